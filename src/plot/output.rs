//! Pictures as files: the format by the ending of the name, and a whole file or none.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use plotters::backend::SVGBackend;
use plotters_backend::DrawingBackend;

use super::canvas::{Canvas, Rect, UNITS};
use super::raster::Raster;
use super::style::WHITE;
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// Something that can be drawn on any backend.
pub(super) trait Scene {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    /// Draws it on white.
    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>);
}

#[derive(Clone, Copy)]
enum Format {
    Svg,
    Png,
}

/// A file that a picture can be written to.
pub(super) struct Target {
    path: PathBuf,
    format: Format,
}

impl Target {
    /// Looks at the name and at the folder, and writes nothing yet.
    pub fn new(path: impl AsRef<Path>) -> Result<Target> {
        let path = path.as_ref();
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let format = match ending.as_deref() {
            Some("svg") => Format::Svg,
            Some("png") => Format::Png,
            _ => return Err(Error::PictureFormat { path: path.to_owned() }),
        };
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => Ok(Target { path: path.to_owned(), format }),
            Ok(_) => Err(failure(folder, io::ErrorKind::NotADirectory.into())),
            Err(source) => Err(failure(folder, source)),
        }
    }

    /// Draws the scene and puts the whole file in place at once.
    pub fn save(&self, scene: &impl Scene) -> Result<()> {
        let drawn = match self.format {
            Format::Svg => svg(scene),
            Format::Png => png(scene),
        };
        let bytes = drawn.map_err(|source| failure(&self.path, source))?;
        write_atomically(&self.path, |file| file.write_all(&bytes))
    }
}

fn failure(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

fn png(scene: &impl Scene) -> io::Result<Vec<u8>> {
    let mut canvas = Canvas::new(Raster::new(scene.size()));
    scene.draw(&mut canvas);
    canvas.finish().map_err(io::Error::other)?.encode()
}

fn svg(scene: &impl Scene) -> io::Result<Vec<u8>> {
    let (width, height) = scene.size();
    let scale = UNITS as u32;
    let mut text = String::new();
    let mut canvas = Canvas::new(SVGBackend::with_string(&mut text, (width * scale, height * scale)));
    canvas.fill(Rect::of_size((width, height)), WHITE);
    scene.draw(&mut canvas);
    drop(canvas.finish().map_err(io::Error::other)?);
    // The picture keeps its fine coordinates and is shown at its size in pixels.
    let fine = format!("width=\"{}\" height=\"{}\"", width * scale, height * scale);
    Ok(text.replacen(&fine, &format!("width=\"{width}\" height=\"{height}\""), 1).into_bytes())
}
