//! Pictures as files: the format by the ending of the name, and a whole file or none.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::style::WHITE;

use super::raster;
use super::style::UNITS;
use crate::error::{Error, Result};
use crate::files::{folder_of, write_atomically};

/// A part of a picture, and what drawing on it gives.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn<T = ()> = std::result::Result<T, DrawingAreaErrorKind<io::Error>>;

/// A file that a picture can be written to.
pub(super) struct Target {
    path: PathBuf,
    pixels: bool,
}

impl Target {
    /// Looks at the name and at the folder, and writes nothing yet.
    pub fn new(path: impl AsRef<Path>) -> Result<Target> {
        let path = path.as_ref();
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let pixels = match ending.as_deref() {
            Some("svg") => false,
            Some("png") => true,
            _ => return Err(Error::PictureFormat { path: path.to_owned() }),
        };
        let folder = folder_of(path);
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => Ok(Target { path: path.to_owned(), pixels }),
            found => Err(Error::io(folder)(found.err().unwrap_or(io::ErrorKind::NotADirectory.into()))),
        }
    }

    /// Draws on white, so many pixels wide and high, and puts the whole file in place at once.
    pub fn save(&self, size: [f64; 2], draw: impl FnOnce(&Area) -> Drawn) -> Result<()> {
        let size = size.map(|extent| extent.ceil() as u32);
        let svg = svg(size, draw).map_err(io::Error::other);
        let bytes = svg
            .and_then(|svg| if self.pixels { raster::png(&svg, size, UNITS) } else { Ok(svg.into_bytes()) });
        let bytes = bytes.map_err(Error::io(&self.path))?;
        write_atomically(&self.path, |file| file.write_all(&bytes))
    }
}

/// Fails unless what is to be drawn is there.
pub(super) fn check_any(there: bool, what: impl Into<String>) -> Result<()> {
    if there { Ok(()) } else { Err(Error::NothingToDraw { what: what.into() }) }
}

fn svg([width, height]: [u32; 2], draw: impl FnOnce(&Area) -> Drawn) -> Drawn<String> {
    let mut text = String::new();
    let page = SVGBackend::with_string(&mut text, (width * UNITS, height * UNITS)).into_drawing_area();
    page.fill(&WHITE)?;
    draw(&page)?;
    page.present()?;
    drop(page);
    // The picture keeps its fine coordinates and is shown at its size in pixels.
    let fine = format!("width=\"{}\" height=\"{}\"", width * UNITS, height * UNITS);
    Ok(text.replacen(&fine, &format!("width=\"{width}\" height=\"{height}\""), 1))
}
