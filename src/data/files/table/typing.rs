//! What fields stand for: numbers, classes, categories.

use std::cmp::Ordering;

use super::{Row, Table};
use crate::data::{Dataset, Samples};
use crate::error::{Error, Result, TableError};

impl Table {
    /// The rows as labelled samples of shape `[features]`. The distinct labels are the classes, unless
    /// [`classes`](Table::classes) has told them: in the order of their values if all are numbers, where `1` and
    /// `1.0` are one, else of their code points. [`class_names`](Dataset::class_names) has them.
    ///
    /// # Errors
    /// As for [`column_f32`](Table::column_f32), and [`TableError::Field`] for a label that is missing, or none of the
    /// classes; [`Error::NoSamples`] if there are no rows; [`Error::Argument`] if no features are named;
    /// [`Error::DuplicateName`] for a class that is told twice.
    pub fn to_dataset(&self, features: &[&str], label: &str) -> Result<Dataset> {
        let inputs = self.numbers("features", features)?;
        let (labels, classes) = self.labels(label)?;
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

    /// The distinct fields of a column: in the order of their values if all are numbers, where `1` and `1.0`
    /// are one, else of their code points.
    ///
    /// # Errors
    /// [`TableError::Column`]; [`TableError::Field`] for the first field that is missing.
    pub fn categories(&self, name: &str) -> Result<Vec<String>> {
        let column = self.column(name)?;
        self.check(column, "a category", |row| !self.is_missing(row, column))?;
        Ok(distinct(self.rows.iter().map(|row| &row.fields[column])).1)
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
    /// [`TableError::Column`]; [`TableError::Field`] for the first field that is none of the categories;
    /// [`Error::DuplicateName`] for a column that there is already, as where a category is named twice.
    pub fn one_hot<S: AsRef<str>>(mut self, name: &str, categories: &[S]) -> Result<Table> {
        let column = self.column(name)?;
        let known =
            |row: &Row| categories.iter().any(|category| is_same(category.as_ref(), &row.fields[column]));
        self.check(column, "one of the categories", known)?;
        for category in categories {
            let category = category.as_ref();
            let added = format!("{name}={category}");
            self.check_new(&added)?;
            self.names.push(added);
            for row in &mut self.rows {
                let is_of = is_same(category, &row.fields[column]);
                row.fields.push_field(if is_of { "1" } else { "0" });
            }
        }
        Ok(self)
    }

    /// The numbers of some columns, row by row.
    fn numbers(&self, argument: &'static str, names: &[&str]) -> Result<Vec<f32>> {
        let columns = self.indices(names)?;
        Error::expect(!columns.is_empty(), argument, "[]", "at least one column must be named")?;
        if self.is_empty() {
            return Err(Error::NoSamples { name: self.name.display().to_string() });
        }
        let cells = self.rows.iter().flat_map(|row| columns.iter().map(move |&column| (row, column)));
        cells.map(|(row, column)| self.number(row, column)).collect()
    }

    /// The label of each row, and the classes by label.
    fn labels(&self, name: &str) -> Result<(Vec<u32>, Vec<String>)> {
        let column = self.column(name)?;
        let field = |row: &'_ Row| row.fields[column].to_owned();
        let Some(classes) = &self.classes else {
            self.check(column, "a label", |row| !self.is_missing(row, column))?;
            return Ok(distinct(self.rows.iter().map(|row| &row.fields[column])));
        };
        // A class may be called as a missing value is: what is told counts.
        let label = |row: &Row| classes.iter().position(|class| is_same(class, &field(row)));
        for (index, class) in classes.iter().enumerate() {
            if classes[..index].iter().any(|other| is_same(other, class)) {
                return Err(Error::DuplicateName { name: class.clone(), cure: "" });
            }
        }
        self.check(column, "one of the classes", |row| label(row).is_some())?;
        Ok((self.rows.iter().filter_map(label).map(|label| label as u32).collect(), classes.clone()))
    }

    pub(super) fn number(&self, row: &Row, column: usize) -> Result<f32> {
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
        Error::Table(TableError::Field {
            path,
            line: row.line,
            column: self.names[column].clone(),
            value,
            expected,
        })
    }
}

/// A number as it is written, a whole one exactly.
#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(i128),
    Real(f64),
}

impl Number {
    fn read(field: &str) -> Option<Number> {
        let real = |number: f64| number.is_finite().then_some(Number::Real(number));
        match field.parse() {
            Ok(whole) => Some(Number::Whole(whole)),
            Err(_) => field.parse().ok().and_then(real),
        }
    }

    fn real(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Real(real) => real,
        }
    }

    fn order(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a.cmp(&b),
            // Zero has no sign here.
            (a, b) => (a.real() + 0.0).total_cmp(&(b.real() + 0.0)),
        }
    }

    /// `1` for `1.0` and `01`, so that tables which write it another way agree.
    fn name(self) -> String {
        match self {
            Number::Whole(whole) => whole.to_string(),
            Number::Real(real) => (real + 0.0).to_string(),
        }
    }
}

/// Whether two fields stand for the same: they are equal, or numbers that are.
fn is_same(a: &str, b: &str) -> bool {
    let numbers = || Number::read(a).zip(Number::read(b));
    a == b || numbers().is_some_and(|(a, b)| a.order(b).is_eq())
}

/// Each field's place among the distinct ones in order, and those.
pub(super) fn distinct<'a>(fields: impl Iterator<Item = &'a str>) -> (Vec<u32>, Vec<String>) {
    let fields: Vec<&str> = fields.collect();
    match fields.iter().map(|field| Number::read(field)).collect::<Option<Vec<Number>>>() {
        Some(numbers) => places(&numbers, |a, b| a.order(*b), |number| number.name()),
        None => places(&fields, |a, b| a.cmp(b), |field| (*field).to_owned()),
    }
}

fn places<T>(
    values: &[T],
    order: impl Fn(&T, &T) -> Ordering,
    name: impl Fn(&T) -> String,
) -> (Vec<u32>, Vec<String>) {
    let mut sorted: Vec<usize> = (0..values.len()).collect();
    sorted.sort_by(|&a, &b| order(&values[a], &values[b]));
    let (mut labels, mut names) = (vec![0; values.len()], Vec::new());
    for (rank, &index) in sorted.iter().enumerate() {
        if rank == 0 || order(&values[sorted[rank - 1]], &values[index]).is_ne() {
            names.push(name(&values[index]));
        }
        labels[index] = names.len() as u32 - 1;
    }
    (labels, names)
}
