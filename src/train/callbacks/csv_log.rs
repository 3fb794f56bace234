use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Callback, Run};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::train::figures::exact;

/// Writes the figures of each epoch as a line of a CSV file, with a header: `epoch,loss,accuracy,..`.
/// Epochs count from 1, figures have all their digits; a figure that the first epoch did not have is left out.
///
/// The file is begun anew unless [`append`](CsvLog::append) is asked for. A training that does not begin
/// with the first epoch, such as a resumed one, goes on after the lines of the epochs before it; these stay
/// even if it is interrupted while it takes them up. Each line is handed to the operating system before the
/// next epoch begins: the end of the program does not lose it, though that of the machine may.
#[derive(Debug)]
#[must_use]
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

    setters! {
        /// Adds lines to a file that exists, under the columns it has.
        append => append = true;
    }

    /// The lines that new ones are added to, the header first; none if the file is missing or empty.
    fn before(&self, run: &Run<'_>) -> Result<Vec<csv::StringRecord>> {
        if !self.append && run.epoch() == 0 {
            return Ok(Vec::new());
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&self.path)(error)),
        };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
        let lines: Result<Vec<csv::StringRecord>, _> = reader.records().collect();
        let mut lines = lines.map_err(|e| Error::io(&self.path)(e.into()))?;
        // Epochs that were logged before an interruption, and come again, are logged once.
        lines.retain(|line| {
            let epoch = line.get(0).and_then(|cell| cell.parse::<usize>().ok());
            self.append || epoch.is_none_or(|epoch| epoch <= run.epoch())
        });
        Ok(lines)
    }

    fn open(&mut self, run: &mut Run<'_>) -> Result<csv::Writer<File>> {
        let lines = self.before(run)?;
        let Some(header) = lines.first() else {
            self.columns = run.logs()?.names().map(str::to_owned).collect();
            let mut writer = writer(File::create(&self.path).map_err(Error::io(&self.path))?);
            let header = std::iter::once("epoch").chain(self.columns.iter().map(String::as_str));
            writer.write_record(header).map_err(|e| Error::io(&self.path)(e.into()))?;
            return Ok(writer);
        };
        self.columns = header.iter().skip(1).map(str::to_owned).collect();
        write_atomically(&self.path, |file| {
            let mut writer = writer(file);
            lines.iter().try_for_each(|line| writer.write_record(line))?;
            writer.flush()
        })?;
        let file = OpenOptions::new().append(true).open(&self.path).map_err(Error::io(&self.path))?;
        Ok(writer(file))
    }
}

/// Lines may be longer or shorter than the header, as those of a file that the program did not write.
fn writer<W: Write>(into: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().flexible(true).from_writer(into)
}

impl Callback for CsvLog {
    fn on_train_begin(&mut self, _: &mut Run<'_>) -> Result<()> {
        // A training before this one may have ended with an error.
        self.writer = None;
        Ok(())
    }

    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open(run)?,
        };
        let epoch = (run.epoch() + 1).to_string();
        let logs = run.logs()?;
        let cell = |name: &String| logs.get(name).map(exact).unwrap_or_default();
        let cells = std::iter::once(epoch).chain(self.columns.iter().map(cell));
        writer.write_record(cells).map_err(|e| Error::io(&self.path)(e.into()))?;
        writer.flush().map_err(Error::io(&self.path))?;
        self.writer = Some(writer);
        Ok(())
    }

    fn on_train_end(&mut self, _: &mut Run<'_>) -> Result<()> {
        self.writer = None;
        Ok(())
    }
}
