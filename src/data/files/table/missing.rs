//! Missing values: rows without them, and what takes their place.

use super::typing::{Number, distinct};
use super::{Row, Table};
use crate::error::{Error, Result};
use crate::files::reserve;

/// The fields that stand for a missing value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Missing {
    words: Vec<String>,
    /// Those that are numbers.
    numbers: Vec<String>,
}

impl Missing {
    pub fn new(words: &[String]) -> Self {
        let numbers = words.iter().filter(|word| Number::read(word).is_some()).cloned().collect();
        Missing { words: words.to_vec(), numbers }
    }

    /// Whether a field is one of them, or a number that one of them is.
    fn has(&self, field: &str) -> bool {
        let is_number = |field| self.numbers.iter().any(|number| Number::read(number) == Some(field));
        self.words.iter().any(|word| word == field)
            || !self.numbers.is_empty() && Number::read(field).is_some_and(is_number)
    }
}

/// What takes the place of a missing value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fill {
    /// The mean of the column's numbers.
    Mean,
    /// The median of the column's numbers: between the two in the middle where they are even in number.
    Median,
    /// The field that is there most often; of several, the first in the order of
    /// [`categories`](Table::categories).
    MostFrequent,
    /// This field.
    Value(String),
}

impl Fill {
    /// A number, or a text.
    pub fn value(value: impl ToString) -> Fill {
        Fill::Value(value.to_string())
    }
}

/// What fills which columns: [`Table::fit_missing`] makes values of it, by the rows that are trained on, which
/// then fill new rows too. Those may lack columns, such as the target; one that a program names must be there.
///
/// ```
/// use retape::data::{Fill, Fills, Table};
/// let train = Table::parse("train", "age,town\n20,Bonn\nNA,Ulm\n40,Ulm\n70,?\n".as_bytes())?;
/// let fills = Fills::new().column("age", Fill::Median).column("town", Fill::MostFrequent);
/// let fitted = train.fit_missing(fills)?;
/// let train = train.fill_missing(&fitted)?;
/// assert_eq!(train.column_f32("age")?, [20.0, 40.0, 40.0, 70.0]);
/// assert_eq!(train.column_str("town")?[3], "Ulm");
///
/// let new = Table::parse("new", "age,town\n,Bonn\n".as_bytes())?.fill_missing(&fitted)?;
/// assert_eq!(new.column_f32("age")?, [40.0]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Fills {
    others: Option<Fill>,
    columns: Vec<Column>,
}

/// A column, and what fills it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    fill: Fill,
    /// Whether data may be without it: the value was fitted on other data.
    may_lack: bool,
}

impl Fills {
    /// Of no column.
    pub fn new() -> Self {
        Fills::default()
    }

    /// Fills a column, which the data must have.
    pub fn column(mut self, name: &str, fill: Fill) -> Self {
        self.columns.retain(|column| column.name != name);
        self.columns.push(Column { name: name.to_owned(), fill, may_lack: false });
        self
    }

    /// Fills every column that is not named: with a mean or a median, every one of numbers.
    pub fn others(mut self, fill: Fill) -> Self {
        self.others = Some(fill);
        self
    }

    /// The columns that are named, each with what fills it: after [`Table::fit_missing`] with values alone,
    /// which may be written down.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fill)> {
        self.columns.iter().map(|column| (column.name.as_str(), &column.fill))
    }
}

/// Every column alike.
impl From<Fill> for Fills {
    fn from(fill: Fill) -> Self {
        Fills::new().others(fill)
    }
}

impl From<&Fills> for Fills {
    fn from(fills: &Fills) -> Self {
        fills.clone()
    }
}

/// Columns by name.
impl<S: AsRef<str>, const N: usize> From<[(S, Fill); N]> for Fills {
    fn from(columns: [(S, Fill); N]) -> Self {
        columns.into_iter().fold(Fills::new(), |fills, (name, fill)| fills.column(name.as_ref(), fill))
    }
}

impl Table {
    /// The table without the rows in which one of these columns is missing.
    ///
    /// # Errors
    /// [`TableError::Column`](crate::TableError::Column).
    pub fn drop_missing(mut self, columns: &[&str]) -> Result<Table> {
        let columns = self.indices(columns)?;
        let missing = &self.missing;
        self.rows.retain(|row| !columns.iter().any(|&column| missing.has(&row.fields[column])));
        Ok(self)
    }

    /// The table with a value in each place of some columns, or of all, where it is missing. What it is, this
    /// table says; other data takes the values of [`fit_missing`](Table::fit_missing), those of columns that it has.
    ///
    /// ```
    /// use retape::data::{Fill, Table};
    /// let table = Table::parse("t", "a,b\n1,\n3,5\n,4\n".as_bytes())?;
    /// let filled = table.clone().fill_missing([("a", Fill::Mean), ("b", Fill::value(0))])?;
    /// assert_eq!((filled.column_f32("a")?, filled.column_f32("b")?), (vec![1., 3., 2.], vec![0., 5., 4.]));
    /// assert_eq!(table.fill_missing(Fill::Median)?.column_f32("b")?, [4.5, 5.0, 4.0]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`fit_missing`](Table::fit_missing).
    pub fn fill_missing(mut self, fills: impl Into<Fills>) -> Result<Table> {
        let mut values = vec![None; self.names.len()];
        for Column { name, fill, .. } in self.fit_missing(fills)?.columns {
            if let Fill::Value(value) = fill {
                values[self.column(&name)?] = Some(value);
            }
        }
        let missing = self.missing.clone();
        self.rewrite(|row, write| {
            for (field, value) in row.fields.iter().zip(&values) {
                write(value.as_deref().filter(|_| missing.has(field)).unwrap_or(field));
            }
        })?;
        Ok(self)
    }

    /// The values that fill these columns, by the rows of this table, for it and for other data, which may lack
    /// some of the columns: new rows have no target.
    ///
    /// # Errors
    /// [`TableError::Column`](crate::TableError::Column);
    /// [`TableError::Field`](crate::TableError::Field) for a field that is no finite f32, where a mean or a
    /// median of a column is asked for by its name; [`Error::Argument`] for a named column in which all is
    /// missing, and for a value that stands for a missing one; [`Error::OutOfMemory`].
    pub fn fit_missing(&self, fills: impl Into<Fills>) -> Result<Fills> {
        let Fills { others, columns } = fills.into();
        let mut fitted = Vec::new();
        let mut add = |name: &String, value| {
            fitted.push(Column { name: name.clone(), fill: Fill::Value(value), may_lack: true });
        };
        for Column { name, fill, may_lack } in &columns {
            if *may_lack && !self.names.contains(name) {
                continue;
            }
            let value = self.fitted(self.column(name)?, fill)?;
            let expected = "a column needs a field that is not missing";
            add(
                name,
                value.ok_or_else(|| Error::argument("fill", format!("{fill:?} of `{name}`"), expected))?,
            );
        }
        let unnamed = |name: &&String| !columns.iter().any(|column| column.name == **name);
        for name in others.iter().flat_map(|_| self.names.iter().filter(unnamed)) {
            let column = self.column(name)?;
            // Of a column of text there is no mean.
            let value = others.as_ref().map(|fill| self.fitted(column, fill));
            match value {
                Some(Ok(Some(value))) => add(name, value),
                Some(Err(error @ (Error::Argument { .. } | Error::OutOfMemory { .. }))) => return Err(error),
                _ => {}
            }
        }
        Ok(Fills { others: None, columns: fitted })
    }

    /// The field that fills a column; nothing if none is there to say.
    fn fitted(&self, column: usize, fill: &Fill) -> Result<Option<String>> {
        let there = || self.rows.iter().filter(|row| !self.is_missing(row, column));
        let numbers = || {
            let mut numbers = reserve(&self.name, self.rows.len())?;
            for row in there() {
                numbers.push(f64::from(self.number(row, column)?));
            }
            Ok::<_, Error>(numbers)
        };
        let number = |value: f64| (!value.is_nan()).then(|| value.to_string());
        let value = match fill {
            Fill::Value(value) => Some(value.clone()),
            Fill::MostFrequent => {
                let mut fields = reserve(&self.name, self.rows.len())?;
                fields.extend(there().map(|row| &row.fields[column]));
                let (labels, names) = distinct(&self.name, fields.into_iter())?;
                let mut counts = vec![0usize; names.len()];
                labels.iter().for_each(|&label| counts[label as usize] += 1);
                let most = counts.iter().max();
                most.and_then(|most| counts.iter().position(|count| count == most))
                    .map(|at| names[at].clone())
            }
            Fill::Mean => {
                let numbers = numbers()?;
                number(numbers.iter().sum::<f64>() / numbers.len() as f64)
            }
            Fill::Median => {
                let mut numbers = numbers()?;
                numbers.sort_unstable_by(f64::total_cmp);
                let middle = numbers.len() / 2;
                let at = |index: usize| numbers.get(index).copied().unwrap_or(f64::NAN);
                let is_even = numbers.len().is_multiple_of(2);
                number(if is_even { at(middle).midpoint(at(middle.wrapping_sub(1))) } else { at(middle) })
            }
        };
        let stands = value.as_ref().is_none_or(|value| !self.missing.has(value));
        let expected = "it stands for a missing value itself";
        Error::expect(stands, "fill", format!("`{}`", value.as_deref().unwrap_or_default()), expected)?;
        Ok(value)
    }

    pub(super) fn is_missing(&self, row: &Row, column: usize) -> bool {
        self.missing.has(&row.fields[column])
    }
}
