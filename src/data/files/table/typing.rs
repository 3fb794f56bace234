//! What fields stand for: numbers, classes, categories.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use super::{Row, Table};
use crate::data::{Dataset, Samples};
use crate::error::{Error, Result, TableError};
use crate::files::{push, reserve};

impl Table {
    /// The rows as labelled samples of shape `[features]`. The distinct labels are the classes, unless
    /// [`classes`](Table::classes) has told them: in the order of their values if all are numbers, where `1` and
    /// `1.0` are one, else of their code points. Numbers are compared exactly, however many digits they have.
    /// [`class_names`](Dataset::class_names) has them.
    ///
    /// # Errors
    /// As for [`column_f32`](Table::column_f32), and [`TableError::Field`] for a label that is missing, or none of the
    /// classes; [`Error::NoSamples`] if there are no rows; [`Error::Argument`] if no features are named;
    /// [`Error::DuplicateName`] for a class that is told twice; [`Error::OutOfMemory`] if there is no room for the
    /// samples.
    pub fn to_dataset(&self, features: &[&str], label: &str) -> Result<Dataset> {
        let inputs = self.numbers("features", features)?;
        let (labels, classes) = self.labels(label)?;
        Dataset::new([features.len()], inputs, labels, classes.len() as u32)?.with_class_names(&classes)
    }

    /// The rows as samples with an input of shape `[features]` and f32 targets of shape `[targets]`.
    ///
    /// # Errors
    /// As for [`column_f32`](Table::column_f32); [`Error::NoSamples`] if there are no rows;
    /// [`Error::Argument`] if no features or no targets are named; [`Error::OutOfMemory`] if there is no room for
    /// the samples.
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
    /// [`Error::Argument`] if no features are named; [`Error::OutOfMemory`] if there is no room for the samples.
    pub fn to_inputs(&self, features: &[&str]) -> Result<Samples<'static>> {
        Ok(Samples::new().input([features.len()], self.numbers("features", features)?))
    }

    /// The distinct fields of a column: in the order of their values if all are numbers, where `1` and `1.0`
    /// are one, else of their code points.
    ///
    /// # Errors
    /// [`TableError::Column`]; [`TableError::Field`] for the first field that is missing; [`Error::OutOfMemory`].
    pub fn categories(&self, name: &str) -> Result<Vec<String>> {
        let column = self.column(name)?;
        self.check(column, "a category", |row| !self.is_missing(row, column))?;
        Ok(distinct(&self.name, self.rows.iter().map(|row| &row.fields[column]))?.1)
    }

    /// The table with a further column for each category of one of text, called `column=category`: 1 where a
    /// row is of the category, else 0. New rows take the categories of those that were trained on. Where all
    /// categories are numbers, `1` and `1.0` are one; otherwise a field is of the category that is written so.
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
    /// [`Error::DuplicateName`] for a column that there is already, as where a category is named twice;
    /// [`Error::OutOfMemory`] if there is no room for the fields.
    pub fn one_hot<S: AsRef<str>>(mut self, name: &str, categories: &[S]) -> Result<Table> {
        let column = self.column(name)?;
        let categories: Vec<&str> = categories.iter().map(AsRef::as_ref).collect();
        let added = |category: &str| format!("{name}={category}");
        let lookup = Lookup::new(&categories)
            .map_err(|category| Error::DuplicateName { name: added(category), cure: "" })?;
        self.check(column, "one of the categories", |row| lookup.place(&row.fields[column]).is_some())?;
        for category in &categories {
            let added = added(category);
            self.check_new(&added)?;
            self.names.push(added);
        }
        self.rewrite(|row, field| {
            let place = lookup.place(&row.fields[column]);
            row.fields.iter().for_each(&mut *field);
            (0..categories.len()).for_each(|at| field(if Some(at) == place { "1" } else { "0" }));
        })?;
        Ok(self)
    }

    /// The numbers of some columns, row by row.
    fn numbers(&self, argument: &'static str, names: &[&str]) -> Result<Vec<f32>> {
        let columns = self.indices(names)?;
        Error::expect(!columns.is_empty(), argument, "[]", "at least one column must be named")?;
        if self.is_empty() {
            return Err(Error::NoSamples { name: self.name.display().to_string() });
        }
        let mut numbers = reserve(&self.name, self.rows.len().saturating_mul(columns.len()))?;
        for row in &self.rows {
            for &column in &columns {
                numbers.push(self.number(row, column)?);
            }
        }
        Ok(numbers)
    }

    /// The label of each row, and the classes by label.
    fn labels(&self, name: &str) -> Result<(Vec<u32>, Vec<String>)> {
        let column = self.column(name)?;
        let Some(classes) = &self.classes else {
            self.check(column, "a label", |row| !self.is_missing(row, column))?;
            return distinct(&self.name, self.rows.iter().map(|row| &row.fields[column]));
        };
        let told: Vec<&str> = classes.iter().map(String::as_str).collect();
        let twice = |name: &str| Error::DuplicateName { name: name.to_owned(), cure: "" };
        let lookup = Lookup::new(&told).map_err(twice)?;
        // A class may be called as a missing value is: what is told counts.
        let mut labels = reserve(&self.name, self.rows.len())?;
        for row in &self.rows {
            let label = lookup.place(&row.fields[column]);
            labels.push(label.ok_or_else(|| self.unexpected(row, column, "one of the classes"))? as u32);
        }
        Ok((labels, classes.clone()))
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

/// A number as it is written, digit by digit: compared exactly, however long, and without copies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    is_negative: bool,
    /// It is `0.d₁d₂d₃.. · 10^point`, where `d₁` is not 0.
    point: i64,
    /// The digits, those that stood before the decimal point and those after it: the last is not 0.
    digits: [&'a str; 2],
}

impl<'a> Number<'a> {
    /// What f64 reads as a finite number; as zero, what it reads as zero.
    pub fn read(field: &'a str) -> Option<Number<'a>> {
        let value = field.parse::<f64>().ok().filter(|value| value.is_finite())?;
        if value == 0.0 {
            return Some(Number { is_negative: false, point: 0, digits: [""; 2] });
        }
        let (mantissa, exponent) = field.split_once(['e', 'E']).unwrap_or((field, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (mut whole, mut fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let mut point = whole.len() as i64;
        if whole.is_empty() {
            let length = fraction.len();
            fraction = fraction.trim_start_matches('0');
            point = fraction.len() as i64 - length as i64;
        }
        if fraction.is_empty() {
            whole = whole.trim_end_matches('0');
        }
        let point = point.checked_add(exponent)?;
        Some(Number { is_negative: value < 0.0, point, digits: [whole, fraction] })
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.digits.into_iter().flat_map(str::bytes)
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digits| digits.is_empty())
    }

    /// `1` for `1.0` and `01`, so that tables which write it another way agree.
    fn name(&self) -> String {
        let digits = self.digits.concat();
        let sign = if self.is_negative { "-" } else { "" };
        // A number that is finite is not so many digits away from its point.
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        match usize::try_from(self.point) {
            _ if digits.is_empty() => "0".to_owned(),
            Ok(point) if 0 < point && point < digits.len() => {
                format!("{sign}{}.{}", &digits[..point], &digits[point..])
            }
            Ok(point) if point > 0 => format!("{sign}{digits}{}", zeros((point - digits.len()) as i64)),
            _ => format!("{sign}0.{}{digits}", zeros(-self.point)),
        }
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match number.is_negative {
            true => -1,
            false => i32::from(!number.is_zero()),
        };
        let size = || self.point.cmp(&other.point).then_with(|| self.digits().cmp(other.digits()));
        let size = if self.is_negative { size().reverse() } else { size() };
        sign(self).cmp(&sign(other)).then(size)
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

/// Categories that fields are looked up among: by value where all of them are numbers, else by what is written.
enum Lookup<'a> {
    Numbers(BTreeMap<Number<'a>, usize>),
    Texts(BTreeMap<&'a str, usize>),
}

impl<'a> Lookup<'a> {
    /// Fails with the first category that is there already.
    fn new(categories: &[&'a str]) -> std::result::Result<Lookup<'a>, &'a str> {
        fn places<'a, K: Ord>(
            keys: impl Iterator<Item = K>,
            names: &[&'a str],
        ) -> std::result::Result<BTreeMap<K, usize>, &'a str> {
            let mut places = BTreeMap::new();
            for (place, key) in keys.enumerate() {
                if places.insert(key, place).is_some() {
                    return Err(names[place]);
                }
            }
            Ok(places)
        }
        match categories.iter().map(|category| Number::read(category)).collect::<Option<Vec<Number<'_>>>>() {
            Some(numbers) => places(numbers.into_iter(), categories).map(Lookup::Numbers),
            None => places(categories.iter().copied(), categories).map(Lookup::Texts),
        }
    }

    fn place(&self, field: &str) -> Option<usize> {
        match self {
            Lookup::Numbers(places) => places.get(&Number::read(field)?).copied(),
            Lookup::Texts(places) => places.get(field).copied(),
        }
    }
}

/// Each field's place among the distinct ones in order, and those. `path` is of the file they are from.
pub(super) fn distinct<'a>(
    path: &Path,
    fields: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Result<(Vec<u32>, Vec<String>)> {
    if fields.clone().all(|field| Number::read(field).is_some()) {
        let mut numbers = reserve(path, fields.len())?;
        numbers.extend(fields.filter_map(Number::read));
        return places(path, &numbers, Number::name);
    }
    let mut texts = reserve(path, fields.len())?;
    texts.extend(fields);
    places(path, &texts, |&text| text.to_owned())
}

fn places<T: Ord>(path: &Path, values: &[T], name: impl Fn(&T) -> String) -> Result<(Vec<u32>, Vec<String>)> {
    let mut sorted: Vec<usize> = reserve(path, values.len())?;
    sorted.extend(0..values.len());
    sorted.sort_unstable_by_key(|&index| (&values[index], index));
    let (mut labels, mut names) = (reserve(path, values.len())?, Vec::new());
    labels.resize(values.len(), 0);
    for (rank, &index) in sorted.iter().enumerate() {
        if rank == 0 || values[sorted[rank - 1]] != values[index] {
            push(path, &mut names, name(&values[index]))?;
        }
        labels[index] = names.len() as u32 - 1;
    }
    Ok((labels, names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Numbers around those that f64 cannot tell apart, each written in one of several ways, with the value in
    /// quarters.
    fn mixture(seed: u32, count: u32) -> Vec<(String, i128)> {
        let bases = [0i128, 1 << 53, -(1 << 53), 1_000_000_000_000_000_000, 100];
        let one = |index: u32| {
            let [a, b, c, d] = Stream { seed, step: index, stream: 7 }.words(0);
            let whole = bases[a as usize % bases.len()] + i128::from(b % 7) - 3;
            let quarters = if d % 3 == 0 { i128::from(d / 3 % 4) } else { 0 };
            let value = 4 * whole + quarters;
            let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
            let (whole, hundredths) = (size / 4, size % 4 * 25);
            let text = match c % 5 {
                _ if hundredths > 0 => format!("{sign}{whole}.{hundredths:02}"),
                0 => format!("{sign}{whole}.0"),
                1 => format!("{sign}00{whole}"),
                2 => format!("{sign}{whole}e0"),
                3 => format!("{sign}{whole}00.0E-2"),
                _ => format!("{sign}{whole}"),
            };
            (text, value)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn numbers_are_in_a_total_order_by_their_exact_values() {
        for seed in 0..50 {
            let all = mixture(seed, 60);
            for (a, of_a) in &all {
                for (b, of_b) in &all {
                    let order = Number::read(a).cmp(&Number::read(b));
                    assert_eq!(order, of_a.cmp(of_b), "{a} and {b}");
                }
            }
            let fields: Vec<&str> = all.iter().map(|(text, _)| text.as_str()).collect();
            let (labels, names) = distinct(Path::new("t"), fields.iter().copied()).expect("there is memory");
            let mut values: Vec<i128> = all.iter().map(|pair| pair.1).collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(names.len(), values.len());
            for ((text, value), label) in all.iter().zip(labels) {
                assert_eq!(values[label as usize], *value, "{text}");
                assert_eq!(Number::read(&names[label as usize]), Number::read(text));
            }
        }
    }

    #[test]
    fn numbers_are_named_without_what_does_not_count() {
        for (field, name) in [
            ("007", "7"),
            ("-0.0", "0"),
            ("+1.50", "1.5"),
            ("1e3", "1000"),
            ("12.5e-4", "0.00125"),
            ("-.5", "-0.5"),
            ("5.", "5"),
            ("123456e-3", "123.456"),
            ("1e22", "10000000000000000000000"),
            ("0.10", "0.1"),
            ("1e-999999999999999999999", "0"),
            ("0e99999999999999999999", "0"),
            ("123456789012345678901234567890123456789012.0", "123456789012345678901234567890123456789012"),
        ] {
            assert_eq!(Number::read(field).map(|number| number.name()).as_deref(), Some(name), "{field}");
        }
        for field in ["", "nan", "inf", "1e999", "x", "1_0", "0x10", "1e", "."] {
            assert!(Number::read(field).is_none(), "{field}");
        }
    }
}
