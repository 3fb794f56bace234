//! How a table is written.

use crate::error::{Error, Result};

/// How a table is written: fields between commas and a header, unless set.
///
/// ```
/// use retape::data::{Table, TableOptions};
/// let text = "# measured in May\n\n  id   price\n   a     3.5\n   b  -9999\n";
/// let options = TableOptions::new().whitespace(true).comment(b'#').missing(&["-9999"]);
/// let table = Table::parse_with("prices", text.as_bytes(), &options)?;
/// assert_eq!(table.names(), ["id", "price"]);
/// assert_eq!(table.column_optional_f32("price")?, [Some(3.5), None]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct TableOptions {
    pub(super) delimiter: u8,
    pub(super) whitespace: bool,
    pub(super) header: bool,
    pub(super) names: Option<Vec<String>>,
    pub(super) comment: Option<u8>,
    pub(super) skip_rows: u64,
    pub(super) skip_lines: Vec<u64>,
    pub(super) skip_footer: usize,
    pub(super) missing: Vec<String>,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions::new()
    }
}

impl TableOptions {
    /// The fields that stand for a missing value unless others are named: those of pandas, and `?`.
    pub const MISSING: [&str; 20] = [
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
        "?", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
    ];

    /// The defaults.
    pub fn new() -> Self {
        TableOptions {
            delimiter: b',',
            whitespace: false,
            header: true,
            names: None,
            comment: None,
            skip_rows: 0,
            skip_lines: Vec::new(),
            skip_footer: 0,
            missing: owned(&TableOptions::MISSING),
        }
    }

    setters! {
        /// The ASCII character between fields. Two of them side by side have an empty field between them.
        delimiter: u8 => delimiter;
        /// Whether fields are apart by runs of spaces and tabs, of any length, instead of by the delimiter.
        /// Those at the ends of a line do not count.
        whitespace: bool => whitespace;
        /// Whether the first record holds the names of the columns. Without, they are called `0`, `1` and so on.
        header: bool => header;
        /// The names of the columns, in place of those in the header or, without one, of numbers. A last column in
        /// which nothing is written, not even a name, is one if it is named here.
        names: &[&str] => names = Some(owned(names));
        /// The ASCII character that, outside quotes, begins a comment: what follows on its line is passed by.
        comment: u8 => comment = Some(comment);
        /// Passes by so many lines at the top, before the header.
        skip_rows: u64 => skip_rows;
        /// Passes by these lines, counted from 1 as in errors: a line of units below the header is `&[2]`.
        skip_lines: &[u64] => skip_lines;
        /// Passes by so many records at the end, such as totals.
        skip_footer: usize => skip_footer;
        /// The fields that stand for a missing value, in place of [`MISSING`](TableOptions::MISSING). An empty
        /// one is among them only if named. A number stands for its value however that is written: `-9999` for
        /// `-9999.0` too.
        missing: &[&str] => missing = owned(missing);
    }

    /// Refuses characters that a text could not be split at.
    pub(super) fn check(&self) -> Result<()> {
        let fits = |byte: u8| byte.is_ascii() && !b"\"\r\n".contains(&byte);
        let expected = "it must be ASCII, no quote and no line end";
        Error::expect(fits(self.delimiter), "delimiter", format!("0x{:02x}", self.delimiter), expected)?;
        let Some(comment) = self.comment else { return Ok(()) };
        let shown = || format!("0x{comment:02x}");
        Error::expect(fits(comment), "comment", shown(), expected)?;
        let expected = "fields are apart by it";
        Error::expect(!self.is_delimiter(comment), "comment", shown(), expected)
    }

    /// Whether fields are apart by this.
    pub(super) fn is_delimiter(&self, byte: u8) -> bool {
        if self.whitespace { b" \t".contains(&byte) } else { byte == self.delimiter }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
