//! From a text to records, and from records to a table.

use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::missing::Missing;
use super::{Row, Table, TableOptions};
use crate::error::{Error, Result, TableError};
use crate::files::probe;

/// What a field takes beside its text while a table is read: as a text of its own, and in its row.
const FIELD: usize = 96;

/// A record as it was written, and the line that it begins on.
struct Record {
    line: u64,
    fields: Vec<String>,
}

impl Record {
    /// Whether nothing is written at this place.
    fn is_empty_at(&self, column: usize) -> bool {
        self.fields.get(column).is_none_or(String::is_empty)
    }
}

pub(super) fn parse(path: PathBuf, bytes: Vec<u8>, options: &TableOptions) -> Result<Table> {
    options.check()?;
    let text = decode(&path, bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // Fields are small: that there is room for all of them is made sure of before the first.
    let ends_field = |&byte: &u8| options.is_delimiter(byte) || byte == b'\n';
    let fields = text.bytes().filter(ends_field).count();
    probe(&path, fields.saturating_mul(FIELD).saturating_add(text.len()))?;
    let mut reader = Reader { path: &path, text, at: 0, line: 1, options };
    let mut records = Vec::new();
    while let Some(record) = reader.record()? {
        records.push(record);
    }
    records.truncate(records.len().saturating_sub(options.skip_footer));
    let Some(first) = records.first() else { return Err(Error::corrupt(&path, "it is empty")) };
    let head = first.line;
    let header = options.header.then(|| records.remove(0).fields);
    let columns = columns(&path, head, header, &records, options)?;
    let rows = rows(&path, records, &columns)?;
    Ok(Table {
        name: path,
        names: columns.names,
        rows,
        missing: Missing::new(&options.missing),
        classes: None,
    })
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        let (at, bytes) = (e.utf8_error().valid_up_to(), e.as_bytes());
        let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let message = format!("it is not UTF-8: byte {at}, on line {line}, is 0x{:02x}", bytes[at]);
        Error::corrupt(path, message)
    })
}

/// The columns of a table.
struct Columns {
    names: Vec<String>,
    /// Whether an index stands before them.
    index: bool,
    /// How many fields a row has at least: in columns after these nothing is written.
    least: usize,
}

fn columns(
    path: &Path,
    line: u64,
    header: Option<Vec<String>>,
    records: &[Record],
    options: &TableOptions,
) -> Result<Columns> {
    let numbers = |count: usize| (0..count).map(|column| column.to_string()).collect();
    let first = records.first().map_or(0, |record| record.fields.len());
    let named = header.is_some();
    let mut names: Vec<String> = header.unwrap_or_else(|| numbers(first));
    let widest = records.iter().map(|record| record.fields.len()).chain([names.len()]).max().unwrap_or(0);
    // A comma at the end of lines begins no column.
    let nothing_at = |column| records.iter().all(|record| record.is_empty_at(column));
    while names.len() > 1 && nothing_at(names.len() - 1) && (!named || names[names.len() - 1].is_empty()) {
        names.pop();
    }
    let mut least = names.len();
    let mut index = named && names.len() > 1 && names[0].is_empty();
    // Unless the program gives it a name.
    if let Some(given) = &options.names {
        names.resize(least.max(widest.min(given.len() + usize::from(index))), String::new());
        index &= names.len() != given.len();
        least = (least..names.len()).rev().find(|&column| !nothing_at(column)).map_or(least, |last| last + 1);
    }
    if index {
        names.remove(0);
    } else if named && options.whitespace {
        index = first > 0 && records.iter().all(|record| record.fields.len() == names.len() + 1);
    }
    if let Some(given) = &options.names {
        let expected = "as many as the table has columns";
        let fits = given.len() == names.len();
        Error::expect(fits, "names", format!("{} for {} columns", given.len(), names.len()), expected)?;
        names.clone_from(given);
    }
    check_names(path, line, &names, usize::from(index))?;
    Ok(Columns { names, index, least })
}

/// The rows: a field for each column, and one for the index if there is one.
fn rows(path: &Path, records: Vec<Record>, columns: &Columns) -> Result<Vec<Row>> {
    let expected = columns.names.len() + usize::from(columns.index);
    let lacking: usize = records.iter().map(|record| expected.saturating_sub(record.fields.len())).sum();
    probe(path, lacking.saturating_mul(FIELD))?;
    let row = |Record { line, mut fields }: Record| {
        while fields.len() > expected && fields.last().is_some_and(String::is_empty) {
            fields.pop();
        }
        if (columns.least..expected).contains(&fields.len()) {
            fields.resize(expected, String::new());
        }
        if fields.len() != expected {
            return Err(Error::Table(TableError::Fields {
                path: path.to_owned(),
                line,
                found: fields.len(),
                expected,
            }));
        }
        let index = columns.index.then(|| fields.remove(0));
        Ok(Row { line, index, fields: StringRecord::from(fields) })
    };
    records.into_iter().map(row).collect()
}

fn check_names(path: &Path, line: u64, names: &[String], before: usize) -> Result<()> {
    for (index, name) in names.iter().enumerate() {
        let expected = match name {
            name if name.is_empty() => "the name of the column",
            name if names[..index].contains(name) => "a name that no other column has",
            _ => continue,
        };
        let (path, column) = (path.to_owned(), (before + index).to_string());
        return Err(Error::Table(TableError::Field { path, line, column, value: name.clone(), expected }));
    }
    Ok(())
}

/// A text that is read record by record. All that splits it is ASCII: no character is cut.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    at: usize,
    /// The line at hand, counted from 1.
    line: u64,
    options: &'a TableOptions,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether a field outside quotes ends here.
    fn ends_field(&self, byte: u8) -> bool {
        self.options.is_delimiter(byte) || self.ends_record(byte)
    }

    fn ends_record(&self, byte: u8) -> bool {
        byte == b'\n' || byte == b'\r' || Some(byte) == self.options.comment
    }

    /// Goes past a line end: LF, CRLF or CR.
    fn end_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += if rest.starts_with(b"\r\n") { 2 } else { 1 };
        self.line += 1;
    }

    /// The rest of the line at hand, without its end.
    fn rest_of_line(&self) -> &str {
        let rest = &self.text[self.at..];
        rest.split(['\n', '\r']).next().unwrap_or(rest)
    }

    /// Goes to the next line.
    fn skip_line(&mut self) {
        self.at += self.rest_of_line().len();
        if self.byte().is_some() {
            self.end_line();
        }
    }

    /// Whether the line at hand has no record: it is to be passed by, it is blank, or a comment.
    fn has_no_record(&self) -> bool {
        let blank = |c: char| {
            c.is_whitespace() && (self.options.whitespace || c != char::from(self.options.delimiter))
        };
        let line = self.rest_of_line().trim_start_matches(blank);
        self.line <= self.options.skip_rows
            || self.options.skip_lines.contains(&self.line)
            || line.bytes().next().is_none_or(|byte| Some(byte) == self.options.comment)
    }

    fn record(&mut self) -> Result<Option<Record>> {
        while self.byte().is_some() && self.has_no_record() {
            self.skip_line();
        }
        if self.byte().is_none() {
            return Ok(None);
        }
        let mut record = Record { line: self.line, fields: Vec::new() };
        loop {
            self.skip_blanks();
            let more = self.byte().is_some_and(|byte| !self.ends_record(byte));
            if more || !self.options.whitespace {
                record.fields.push(self.field(record.line)?);
            }
            match self.byte() {
                Some(byte) if self.options.is_delimiter(byte) => self.at += 1,
                _ => break,
            }
        }
        self.skip_line();
        Ok(Some(record))
    }

    /// Goes past spaces and tabs, but no delimiter that stands by itself.
    fn skip_blanks(&mut self) {
        let is_blank =
            |byte| b" \t".contains(&byte) && (self.options.whitespace || byte != self.options.delimiter);
        self.at += self.text.as_bytes()[self.at..].iter().take_while(|&&byte| is_blank(byte)).count();
    }

    /// A field of the record that began on `line`, up to what ends it.
    fn field(&mut self, line: u64) -> Result<String> {
        let mut field = if self.byte() == Some(b'"') { self.quoted(line)? } else { String::new() };
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|&byte| !self.ends_field(byte)).count();
        field.push_str(&rest[..length]);
        self.at += length;
        Ok(field.trim().to_owned())
    }

    /// What stands between quotes; one written twice stands for itself.
    fn quoted(&mut self, line: u64) -> Result<String> {
        let mut field = String::new();
        self.at += 1;
        loop {
            let start = self.at;
            let plain = |&byte: &u8| !b"\"\r\n".contains(&byte);
            self.at += self.text.as_bytes()[start..].iter().take_while(|byte| plain(byte)).count();
            field.push_str(&self.text[start..self.at]);
            match self.byte() {
                None => {
                    let message = format!("the record on line {line} opens a quote that is not closed");
                    return Err(Error::corrupt(self.path, message));
                }
                Some(b'"') => {
                    self.at += 1;
                    if self.byte() != Some(b'"') {
                        return Ok(field);
                    }
                    field.push('"');
                    self.at += 1;
                }
                Some(_) => {
                    let end = self.at;
                    self.end_line();
                    field.push_str(&self.text[end..self.at]);
                }
            }
        }
    }
}
