//! Tables in CSV, by RFC 4180 and its usual variants: columns by name, and what they become.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Dataset, Samples};
use crate::error::{Error, Result};

/// How a table is written: fields between commas, a header, and missing values that are empty or `NA`,
/// `NaN`, `nan` or `null`, unless set.
///
/// ```
/// use retape::data::{Table, TableOptions};
/// let options = TableOptions::new().delimiter(b';').header(false).missing(&["?"]);
/// let table = Table::parse_with("prices", "3;?\n4;5".as_bytes(), &options)?;
/// assert_eq!(table.names(), ["0", "1"]);
/// assert_eq!(table.column_optional_f32("1")?, [None, Some(5.0)]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct TableOptions {
    delimiter: u8,
    header: bool,
    missing: Vec<String>,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions::new()
    }
}

impl TableOptions {
    /// The defaults.
    pub fn new() -> Self {
        let missing = ["", "NA", "NaN", "nan", "null"].map(str::to_owned).to_vec();
        TableOptions { delimiter: b',', header: true, missing }
    }

    setters! {
        /// The ASCII character between fields.
        delimiter: u8 => delimiter;
        /// Whether the first record holds the names of the columns. Without, they are called `0`, `1` and so on.
        header: bool => header;
        /// The fields that stand for a missing value. An empty one is among them only if named.
        missing: &[&str] => missing = missing.iter().map(|&field| field.to_owned()).collect();
    }
}

/// A table in memory, each field as it was written.
///
/// ```
/// use retape::data::Table;
/// let text = "length,width,species\n5.1,3.5,setosa\n6.0,2.7,virginica\n4.9,3.0,setosa\n";
/// let table = Table::parse("iris", text.as_bytes())?;
/// assert_eq!(table.column_f32("width")?, [3.5, 2.7, 3.0]);
///
/// let data = table.to_dataset(&["length", "width"], "species")?;
/// assert_eq!(data.labels(), [0, 1, 0]);
/// assert_eq!(data.class_names().unwrap(), ["setosa", "virginica"]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    name: PathBuf,
    names: Vec<String>,
    rows: Vec<Row>,
    missing: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Row {
    line: u64,
    /// One for each column.
    fields: StringRecord,
}

/// What follows the text of a table while it is parsed: a record of its own, unless a quote is open.
const SENTINEL: &[u8] = b"\nend";

impl Table {
    /// Reads a CSV file with a header; see [`read_with`](Table::read_with).
    ///
    /// # Errors
    /// As for [`read_with`](Table::read_with).
    pub fn read(path: impl AsRef<Path>) -> Result<Table> {
        Table::read_with(path, &TableOptions::new())
    }

    /// Reads a table from a file in UTF-8, with or without a byte order mark. Lines end with LF, CRLF or CR;
    /// empty ones are skipped. A field in double quotes may hold delimiters, line ends, and quotes written
    /// twice. White space around fields is dropped.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] if the file is empty, not UTF-8, or ends within quotes;
    /// [`Error::CsvFields`] for a record with more or fewer fields than there are columns; [`Error::Csv`]
    /// for a column's name that is empty or occurs twice; [`Error::Argument`] for a delimiter that is a
    /// quote, a line end or not ASCII.
    pub fn read_with(path: impl AsRef<Path>, options: &TableOptions) -> Result<Table> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        parse(path.to_owned(), bytes, options)
    }

    /// Reads a table with a header from anywhere. Errors call it by `name`.
    ///
    /// # Errors
    /// As for [`read_with`](Table::read_with).
    pub fn parse(name: &str, reader: impl Read) -> Result<Table> {
        Table::parse_with(name, reader, &TableOptions::new())
    }

    /// Reads a table from anywhere. Errors call it by `name`.
    ///
    /// # Errors
    /// As for [`read_with`](Table::read_with).
    pub fn parse_with(name: &str, mut reader: impl Read, options: &TableOptions) -> Result<Table> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(Error::io(name.as_ref()))?;
        parse(name.into(), bytes, options)
    }

    /// The names of the columns, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of rows, without the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A column's fields as they were written, without the white space around them.
    ///
    /// # Errors
    /// [`Error::CsvColumn`].
    pub fn column_str(&self, name: &str) -> Result<Vec<&str>> {
        let column = self.column(name)?;
        Ok(self.rows.iter().map(|row| &row.fields[column]).collect())
    }

    /// A column of numbers.
    ///
    /// # Errors
    /// [`Error::CsvColumn`]; [`Error::Csv`] for the first field that is missing, or no finite f32.
    pub fn column_f32(&self, name: &str) -> Result<Vec<f32>> {
        let column = self.column(name)?;
        self.rows.iter().map(|row| self.number(row, column)).collect()
    }

    /// A column of numbers some of which may be missing.
    ///
    /// # Errors
    /// [`Error::CsvColumn`]; [`Error::Csv`] for the first field that is neither missing nor a finite f32.
    pub fn column_optional_f32(&self, name: &str) -> Result<Vec<Option<f32>>> {
        let column = self.column(name)?;
        let number =
            |row| if self.is_missing(row, column) { Ok(None) } else { self.number(row, column).map(Some) };
        self.rows.iter().map(number).collect()
    }

    /// The table without the rows in which one of these columns is missing.
    ///
    /// # Errors
    /// [`Error::CsvColumn`].
    pub fn drop_missing(mut self, columns: &[&str]) -> Result<Table> {
        let columns = self.columns(columns)?;
        let rows = std::mem::take(&mut self.rows);
        let whole = |row: &Row| !columns.iter().any(|&column| self.is_missing(row, column));
        self.rows = rows.into_iter().filter(whole).collect();
        Ok(self)
    }

    /// The rows as labelled samples of shape `[features]`. The distinct labels are the classes: in the order
    /// of their numbers if all are integers, else of their code points.
    /// [`class_names`](Dataset::class_names) has them.
    ///
    /// # Errors
    /// As for [`column_f32`](Table::column_f32), and [`Error::Csv`] for a missing label;
    /// [`Error::NoSamples`] if there are no rows; [`Error::Argument`] if no features are named.
    pub fn to_dataset(&self, features: &[&str], label: &str) -> Result<Dataset> {
        let inputs = self.numbers("features", features)?;
        let (labels, classes) = self.classes(label)?;
        Dataset::new([features.len()], inputs, labels, classes.len() as u32)?.with_class_names(&classes)
    }

    /// The rows as samples with an input of shape `[features]` and f32 targets of shape `[targets]`.
    ///
    /// # Errors
    /// As for [`column_f32`](Table::column_f32); [`Error::NoSamples`] if there are no rows;
    /// [`Error::Argument`] if no features or no targets are named.
    pub fn to_regression(&self, features: &[&str], targets: &[&str]) -> Result<Samples<'static>> {
        let inputs = self.numbers("features", features)?;
        let outputs = self.numbers("targets", targets)?;
        Ok(Samples::new().input([features.len()], inputs).target([targets.len()], outputs))
    }

    /// The rows as samples with an input of shape `[features]` and nothing else: new rows, to predict for.
    ///
    /// ```
    /// use retape::data::Table;
    /// let rows = Table::parse("new", "length,width\n5.1,3.5\n".as_bytes())?;
    /// let samples = rows.to_inputs(&["width", "length"])?;
    /// assert_eq!(samples.inputs[0].data.as_f32(), Some(&[3.5, 5.1][..]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`column_f32`](Table::column_f32); [`Error::NoSamples`] if there are no rows;
    /// [`Error::Argument`] if no features are named.
    pub fn to_inputs(&self, features: &[&str]) -> Result<Samples<'static>> {
        Ok(Samples::new().input([features.len()], self.numbers("features", features)?))
    }

    /// The distinct fields of a column, in the order of their code points.
    ///
    /// # Errors
    /// [`Error::CsvColumn`]; [`Error::Csv`] for the first field that is missing.
    pub fn categories(&self, name: &str) -> Result<Vec<String>> {
        let column = self.column(name)?;
        self.check(column, "a category", |row| !self.is_missing(row, column))?;
        let fields: BTreeSet<&str> = self.rows.iter().map(|row| &row.fields[column]).collect();
        Ok(fields.into_iter().map(str::to_owned).collect())
    }

    /// The table with a further column for each category of one of text, called `column=category`: 1 where a
    /// row is of the category, else 0. New rows take the categories of those that were trained on.
    ///
    /// ```
    /// use retape::data::Table;
    /// let table = Table::parse("houses", "area,town\n70,Bonn\n90,Ulm\n".as_bytes())?;
    /// let towns = table.categories("town")?;
    /// let table = table.one_hot("town", &towns)?;
    /// assert_eq!(table.names(), ["area", "town", "town=Bonn", "town=Ulm"]);
    /// assert_eq!(table.column_f32("town=Ulm")?, [0.0, 1.0]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::CsvColumn`]; [`Error::Csv`] for the first field that is none of the categories;
    /// [`Error::DuplicateName`] for a column that there is already, as where a category is named twice.
    pub fn one_hot<S: AsRef<str>>(mut self, name: &str, categories: &[S]) -> Result<Table> {
        let column = self.column(name)?;
        let known = |row: &Row| categories.iter().any(|category| *category.as_ref() == row.fields[column]);
        self.check(column, "one of the categories", known)?;
        for category in categories {
            let category = category.as_ref();
            let added = format!("{name}={category}");
            if self.names.contains(&added) {
                return Err(Error::DuplicateName { name: added, cure: "" });
            }
            self.names.push(added);
            for row in &mut self.rows {
                let is_of = row.fields[column] == *category;
                row.fields.push_field(if is_of { "1" } else { "0" });
            }
        }
        Ok(self)
    }

    /// The index of a column.
    fn column(&self, name: &str) -> Result<usize> {
        self.names.iter().position(|known| known == name).ok_or_else(|| Error::CsvColumn {
            path: self.name.clone(),
            column: name.to_owned(),
            known: self.names.clone(),
        })
    }

    fn columns(&self, names: &[&str]) -> Result<Vec<usize>> {
        names.iter().map(|name| self.column(name)).collect()
    }

    /// The numbers of some columns, row by row.
    fn numbers(&self, argument: &'static str, names: &[&str]) -> Result<Vec<f32>> {
        let columns = self.columns(names)?;
        Error::expect(!columns.is_empty(), argument, "[]", "at least one column must be named")?;
        if self.is_empty() {
            return Err(Error::NoSamples { name: self.name.display().to_string() });
        }
        let cells = self.rows.iter().flat_map(|row| columns.iter().map(move |&column| (row, column)));
        cells.map(|(row, column)| self.number(row, column)).collect()
    }

    /// The label of each row, and the classes by label.
    fn classes(&self, name: &str) -> Result<(Vec<u32>, Vec<String>)> {
        let column = self.column(name)?;
        self.check(column, "a label", |row| !self.is_missing(row, column))?;
        let fields: Vec<&str> = self.rows.iter().map(|row| &row.fields[column]).collect();
        let integers: Option<Vec<i64>> = fields.iter().map(|field| field.parse().ok()).collect();
        Ok(match integers {
            Some(integers) => number_classes(&integers),
            None => number_classes(&fields),
        })
    }

    fn is_missing(&self, row: &Row, column: usize) -> bool {
        self.missing.iter().any(|missing| *missing == row.fields[column])
    }

    fn number(&self, row: &Row, column: usize) -> Result<f32> {
        let expected = match row.fields[column].parse::<f32>() {
            _ if self.is_missing(row, column) => "a number, not a missing value",
            Ok(number) if number.is_finite() => return Ok(number),
            _ => "a finite f32",
        };
        Err(self.unexpected(row, column, expected))
    }

    /// Fails for the first row whose field in a column is not as it should be.
    fn check(&self, column: usize, expected: &'static str, is_right: impl Fn(&Row) -> bool) -> Result<()> {
        let wrong = self.rows.iter().find(|row| !is_right(row));
        wrong.map_or(Ok(()), |row| Err(self.unexpected(row, column, expected)))
    }

    fn unexpected(&self, row: &Row, column: usize, expected: &'static str) -> Error {
        let (path, value) = (self.name.clone(), row.fields[column].to_owned());
        Error::Csv { path, line: row.line, column: self.names[column].clone(), value, expected }
    }
}

/// Each label's place among the distinct ones in order, and those.
fn number_classes<T: Ord + ToString>(labels: &[T]) -> (Vec<u32>, Vec<String>) {
    let mut numbers: BTreeMap<&T, u32> = labels.iter().map(|label| (label, 0)).collect();
    numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
    let classes = numbers.keys().map(|label| label.to_string()).collect();
    (labels.iter().map(|label| numbers[label]).collect(), classes)
}

fn parse(path: PathBuf, bytes: Vec<u8>, options: &TableOptions) -> Result<Table> {
    let delimiter = options.delimiter;
    let fits = delimiter.is_ascii() && !b"\"\r\n".contains(&delimiter);
    let expected = "it must be ASCII, no quote and no line end";
    Error::expect(fits, "delimiter", format!("0x{delimiter:02x}"), expected)?;
    let text = decode(&path, bytes)?;
    let mut rows = records(&path, text.strip_prefix('\u{feff}').unwrap_or(&text), options)?.into_iter();
    let Some(first) = rows.next() else {
        return Err(Error::corrupt(&path, "it is empty"));
    };
    let expected = first.fields.len();
    let names: Vec<String> = if options.header {
        first.fields.iter().map(str::to_owned).collect()
    } else {
        (0..expected).map(|index| index.to_string()).collect()
    };
    check_names(&path, first.line, &names)?;
    let rows: Vec<Row> = std::iter::once(first).skip(usize::from(options.header)).chain(rows).collect();
    if let Some(Row { line, fields }) = rows.iter().find(|row| row.fields.len() != expected) {
        return Err(Error::CsvFields { path, line: *line, found: fields.len(), expected });
    }
    Ok(Table { name: path, names, rows, missing: options.missing.clone() })
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        let (at, bytes) = (e.utf8_error().valid_up_to(), e.as_bytes());
        let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let message = format!("it is not UTF-8: byte {at}, on line {line}, is 0x{:02x}", bytes[at]);
        Error::corrupt(path, message)
    })
}

/// The records of a text, each with the line that it begins on.
fn records(path: &Path, text: &str, options: &TableOptions) -> Result<Vec<Row>> {
    let bytes = text.as_bytes();
    // With a CR that no LF follows a line ends too.
    let is_end =
        |&at: &usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    let ends: Vec<usize> = (0..bytes.len()).filter(is_end).collect();
    let mut reader = ReaderBuilder::new()
        .delimiter(options.delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(bytes.chain(SENTINEL));
    let (mut rows, mut start) = (Vec::new(), 0);
    for record in reader.records() {
        // The text is UTF-8 in memory and rows may differ in length: nothing is left that could fail.
        let fields = record.map_err(|e| Error::corrupt(path, e.to_string()))?;
        // A record follows the line ends at its position.
        let position = fields.position().map_or(0, |position| position.byte() as usize);
        let rest = bytes.get(position..).unwrap_or_default();
        let skipped = rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        start = bytes.len().min(position + skipped);
        let line = 1 + ends.partition_point(|&end| end < start) as u64;
        rows.push(Row { line, fields });
    }
    let line = rows.pop().map_or(1, |last: Row| last.line);
    if start == bytes.len() {
        return Ok(rows);
    }
    Err(Error::corrupt(path, format!("the record on line {line} opens a quote that is not closed")))
}

fn check_names(path: &Path, line: u64, names: &[String]) -> Result<()> {
    for (index, name) in names.iter().enumerate() {
        let expected = match name {
            name if name.is_empty() => "the name of the column",
            name if names[..index].contains(name) => "a name that no other column has",
            _ => continue,
        };
        let (path, column) = (path.to_owned(), index.to_string());
        return Err(Error::Csv { path, line, column, value: name.clone(), expected });
    }
    Ok(())
}
