use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::{Callback, Run};
use crate::error::{Error, Result};

/// Writes the figures of each epoch as a line of a CSV file, with a header: `epoch,loss,accuracy,..`.
/// Epochs count from 1; a figure that the first epoch did not have is left out.
///
/// The file is begun anew unless [`append`](CsvLog::append) is asked for; a resumed training always
/// appends. Each line is on the disk before the next epoch begins.
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    append: bool,
    columns: Vec<String>,
    writer: Option<csv::Writer<File>>,
}

impl CsvLog {
    /// A log in this file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        CsvLog { path: path.as_ref().to_owned(), append: false, columns: Vec::new(), writer: None }
    }

    /// Adds lines to a file that exists, under the columns it has.
    pub fn append(mut self) -> Self {
        self.append = true;
        self
    }

    fn io(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }

    /// The header of a file that lines are to be added to; none if it is missing or empty.
    fn header(&self) -> Result<Option<Vec<String>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        let mut reader = csv::Reader::from_reader(file);
        let header = reader.headers().map_err(|e| self.io(e.into()))?;
        Ok(if header.is_empty() { None } else { Some(header.iter().skip(1).map(str::to_owned).collect()) })
    }

    fn open(&mut self, run: &mut Run<'_>) -> Result<csv::Writer<File>> {
        let append = self.append || run.epoch() > 0;
        let known = if append { self.header()? } else { None };
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(append).truncate(!append);
        let file = options.open(&self.path).map_err(|e| self.io(e))?;
        let mut writer = csv::Writer::from_writer(file);
        match known {
            Some(columns) => self.columns = columns,
            None => {
                self.columns = run.logs()?.names().map(str::to_owned).collect();
                let header = std::iter::once("epoch").chain(self.columns.iter().map(String::as_str));
                writer.write_record(header).map_err(|e| self.io(e.into()))?;
            }
        }
        Ok(writer)
    }
}

impl Callback for CsvLog {
    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open(run)?,
        };
        let epoch = (run.epoch() + 1).to_string();
        let logs = run.logs()?;
        let cell = |name: &String| logs.get(name).map(|value| value.to_string()).unwrap_or_default();
        let cells = std::iter::once(epoch).chain(self.columns.iter().map(cell));
        writer.write_record(cells).map_err(|e| self.io(e.into()))?;
        writer.flush().map_err(|e| self.io(e))?;
        self.writer = Some(writer);
        Ok(())
    }
}
