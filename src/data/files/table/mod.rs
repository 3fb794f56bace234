//! Tables in CSV, by RFC 4180 and its usual variants: columns by name, and what they become.

mod missing;
mod options;
mod read;
mod typing;

use std::io::Read;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use missing::Missing;
pub use missing::{Fill, Fills};
pub use options::TableOptions;

use crate::error::{Error, Result, TableError};
use crate::files;

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
    missing: Missing,
    classes: Option<Vec<String>>,
}

/// What a row takes beside its fields and their ends: a record, and what an allocator adds to each of its parts.
const ROW: usize = 192;

#[derive(Clone, Debug, PartialEq)]
struct Row {
    line: u64,
    /// What stands in a first column without a name.
    index: Option<String>,
    /// One for each column.
    fields: StringRecord,
}

impl Table {
    /// Reads a CSV file with a header; see [`read_with`](Table::read_with).
    ///
    /// # Errors
    /// As for [`read_with`](Table::read_with).
    pub fn read(path: impl AsRef<Path>) -> Result<Table> {
        Table::read_with(path, &TableOptions::new())
    }

    /// Reads a table from a file in UTF-8, with or without a byte order mark. Lines end with LF, CRLF or CR;
    /// those that are empty or blank are skipped. A field in double quotes may hold delimiters, line ends, and
    /// quotes written twice. White space around fields is dropped, before and within quotes too.
    ///
    /// Delimiters at the end of lines begin no column, as long as nothing follows them. A first column without
    /// a name, as pandas writes, is no column but the rows' index; where white space stands between fields, so
    /// is a first field that all rows have and the header lacks. [`reset_index`](Table::reset_index) makes it a
    /// column.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] if the file is empty, not UTF-8, or ends within quotes;
    /// [`TableError::Fields`] for a record with more or fewer fields than there are columns; [`TableError::Field`]
    /// for a column's name that is empty or occurs twice; [`Error::Argument`] for a delimiter or the beginning
    /// of a comment that is a quote, a line end or not ASCII, and for other than as many names as columns;
    /// [`Error::OutOfMemory`] if there is no room for the fields.
    pub fn read_with(path: impl AsRef<Path>, options: &TableOptions) -> Result<Table> {
        let path = path.as_ref();
        let bytes = files::read(path, u64::MAX)?;
        read::parse(path.to_owned(), bytes, options)
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
        let read = reader.read_to_end(&mut bytes);
        read.map_err(|e| files::ungiven(name.as_ref(), e, bytes.capacity()))?;
        read::parse(name.into(), bytes, options)
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

    /// What stands before each row in a first column without a name, if there is one.
    pub fn index(&self) -> Option<Vec<&str>> {
        self.rows
            .iter()
            .map(|row| row.index.as_deref())
            .collect::<Option<Vec<_>>>()
            .filter(|_| !self.is_empty())
    }

    /// The table with its index as a first column of this name.
    ///
    /// ```
    /// use retape::data::Table;
    /// let table = Table::parse("people", ",age\nAnn,31\nBob,47\n".as_bytes())?;
    /// assert_eq!(table.names(), ["age"]);
    /// assert_eq!(table.reset_index("who")?.column_str("who")?, ["Ann", "Bob"]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a table without an index; [`Error::DuplicateName`] for a column that there is
    /// already.
    pub fn reset_index(mut self, name: &str) -> Result<Table> {
        Error::expect(self.index().is_some(), "index", "missing", "a first column without a name is one")?;
        self.check_new(name)?;
        self.names.insert(0, name.to_owned());
        self.rewrite(|row, field| row.index.iter().map(String::as_str).chain(&row.fields).for_each(field))?;
        self.rows.iter_mut().for_each(|row| row.index = None);
        Ok(self)
    }

    /// The table with these columns alone, in this order.
    ///
    /// ```
    /// use retape::data::Table;
    /// let table = Table::parse("t", "a,b,c\n1,2,3\n".as_bytes())?.columns(["c", "a"])?;
    /// let table = table.rename([("c", "label")])?;
    /// assert_eq!(table.names(), ["label", "a"]);
    /// assert_eq!(table.drop_columns(["a"])?.column_f32("label")?, [3.0]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TableError::Column`]; [`Error::Argument`] for no columns; [`Error::DuplicateName`] for one that is named
    /// twice.
    pub fn columns<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Result<Table> {
        let mut chosen = Vec::new();
        for name in names {
            let column = self.column(name.as_ref())?;
            if chosen.contains(&column) {
                return Err(Error::DuplicateName { name: name.as_ref().to_owned(), cure: "" });
            }
            chosen.push(column);
        }
        self.keep(&chosen)
    }

    /// The table without these columns.
    ///
    /// # Errors
    /// [`TableError::Column`]; [`Error::Argument`] if none would be left.
    pub fn drop_columns<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Result<Table> {
        let dropped = self.indices(names)?;
        let kept: Vec<usize> = (0..self.names.len()).filter(|column| !dropped.contains(column)).collect();
        self.keep(&kept)
    }

    /// The table with other names for some columns: pairs of the name that there is and the new one. Two may
    /// be exchanged.
    ///
    /// # Errors
    /// [`TableError::Column`]; [`Error::DuplicateName`] for a name that another column has; [`Error::Argument`]
    /// for an empty one.
    pub fn rename<A: AsRef<str>, B: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = (A, B)>,
    ) -> Result<Table> {
        let mut renamed = self.names.clone();
        for (from, to) in names {
            renamed[self.column(from.as_ref())?] = to.as_ref().to_owned();
        }
        for (index, name) in renamed.iter().enumerate() {
            Error::expect(!name.is_empty(), "name", "\"\"", "a column needs one")?;
            if renamed[..index].contains(name) {
                return Err(Error::DuplicateName { name: name.clone(), cure: "" });
            }
        }
        self.names = renamed;
        Ok(self)
    }

    /// The classes that labels are, by label, instead of those that are found among the rows: a table that
    /// lacks one of them gives the same numbers as one that has all.
    ///
    /// ```
    /// use retape::data::Table;
    /// let table = |text: &'static str| Table::parse("t", text.as_bytes());
    /// let train = table("x,kind\n1,pear\n2,fig\n3,apple\n")?.to_dataset(&["x"], "kind")?;
    /// let classes = train.class_names().unwrap();
    /// let test = table("x,kind\n4,pear\n5,apple\n")?.classes(classes).to_dataset(&["x"], "kind")?;
    /// assert_eq!((test.labels(), test.class_names()), (&[2, 0][..], Some(classes)));
    /// # Ok::<(), retape::Error>(())
    /// ```
    #[must_use]
    pub fn classes<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Table {
        self.classes = Some(names.into_iter().map(|name| name.as_ref().to_owned()).collect());
        self
    }

    /// A column's fields as they were written, without the white space around them.
    ///
    /// # Errors
    /// [`TableError::Column`]; [`Error::OutOfMemory`].
    pub fn column_str(&self, name: &str) -> Result<Vec<&str>> {
        let column = self.column(name)?;
        self.collect(|row| Ok(&row.fields[column]))
    }

    /// A column of numbers.
    ///
    /// # Errors
    /// [`TableError::Column`]; [`TableError::Field`] for the first field that is missing, or no finite f32; [`Error::OutOfMemory`].
    pub fn column_f32(&self, name: &str) -> Result<Vec<f32>> {
        let column = self.column(name)?;
        self.collect(|row| self.number(row, column))
    }

    /// A column of numbers some of which may be missing.
    ///
    /// # Errors
    /// [`TableError::Column`]; [`TableError::Field`] for the first field that is neither missing nor a finite f32; [`Error::OutOfMemory`].
    pub fn column_optional_f32(&self, name: &str) -> Result<Vec<Option<f32>>> {
        let column = self.column(name)?;
        self.collect(|row| match self.is_missing(row, column) {
            true => Ok(None),
            false => self.number(row, column).map(Some),
        })
    }

    /// What each row has, in room that is asked for before it is filled.
    fn collect<'a, T>(&'a self, of: impl Fn(&'a Row) -> Result<T>) -> Result<Vec<T>> {
        let mut all = files::reserve(&self.name, self.rows.len())?;
        for row in &self.rows {
            all.push(of(row)?);
        }
        Ok(all)
    }

    /// Writes the fields of every row anew, where there is room for them: those that `write` hands on, which it is
    /// asked for twice.
    fn rewrite(&mut self, write: impl Fn(&Row, &mut dyn FnMut(&str))) -> Result<()> {
        let size = |row: &Row| {
            let (mut text, mut count) = (0, 0);
            write(row, &mut |field| (text, count) = (text + field.len(), count + 1));
            (text, count)
        };
        let needed =
            self.rows.iter().map(size).fold(0usize, |sum, (text, count)| {
                sum.saturating_add(ROW + text + count * size_of::<usize>())
            });
        files::probe(&self.name, needed)?;
        for row in &mut self.rows {
            let (text, count) = size(row);
            let mut fields = StringRecord::with_capacity(text, count);
            write(row, &mut |field| fields.push_field(field));
            row.fields = fields;
        }
        Ok(())
    }

    /// The index of a column.
    fn column(&self, name: &str) -> Result<usize> {
        self.names.iter().position(|known| known == name).ok_or_else(|| {
            Error::Table(TableError::Column {
                path: self.name.clone(),
                column: name.to_owned(),
                known: self.names.clone(),
            })
        })
    }

    fn indices<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<Vec<usize>> {
        names.into_iter().map(|name| self.column(name.as_ref())).collect()
    }

    /// The table with the columns of these indices.
    fn keep(mut self, columns: &[usize]) -> Result<Table> {
        Error::expect(!columns.is_empty(), "columns", "[]", "at least one must be left")?;
        self.names = columns.iter().map(|&column| self.names[column].clone()).collect();
        self.rewrite(|row, field| columns.iter().for_each(|&column| field(&row.fields[column])))?;
        Ok(self)
    }

    /// Refuses a name that a column has already.
    fn check_new(&self, name: &str) -> Result<()> {
        match self.names.iter().any(|known| known == name) {
            true => Err(Error::DuplicateName { name: name.to_owned(), cure: "" }),
            false => Ok(()),
        }
    }
}
