//! Pictures in files: told by their contents, measured before they are decoded, and read by rows.

mod jpeg;
mod png;
mod resample;

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use self::jpeg::Jpeg;
use self::png::Png;
pub(super) use resample::{Canvas, Placement};

use crate::error::{Error, Result};
use crate::files;

/// Pictures of more pixels are decoded one at a time where the decoder holds all of them.
const LARGE: usize = 1 << 22;
static LARGE_ONE: Mutex<()> = Mutex::new(());

/// What a file may hold beside its pixels.
const EXTRAS: u64 = 1 << 26;

/// A row of pixels: grey, grey and alpha, red green blue, or these and alpha.
pub(super) struct Row<'a> {
    /// As bytes, or as big-endian pairs of them.
    samples: &'a [u8],
    channels: usize,
    wide: bool,
}

impl Row<'_> {
    /// One for grey, else three.
    fn colours(&self) -> usize {
        if self.channels < 3 { 1 } else { 3 }
    }

    /// The weighted sum of a colour over pixels from this one on, in `[0, 1]`: of one pixel of 8 bits, exactly
    /// what dividing by 255 gives.
    fn sum(&self, first: usize, colour: usize, weights: &[f32]) -> f32 {
        let bytes = if self.wide { 2 } else { 1 };
        let step = self.channels * bytes;
        let samples = &self.samples[first * step + colour * bytes..];
        if self.wide {
            let pairs = samples.chunks(step).filter_map(|pixel| pixel.first_chunk());
            let products =
                pairs.zip(weights).map(|(&pair, w)| f64::from(u16::from_be_bytes(pair)) * f64::from(*w));
            return products.sum::<f64>() as f32 / 65535.0;
        }
        let products = samples.iter().step_by(step).zip(weights).map(|(&s, w)| f64::from(s) * f64::from(*w));
        products.sum::<f64>() as f32 / 255.0
    }
}

/// A picture whose size is known and whose pixels are not yet read.
pub(super) struct Picture {
    path: PathBuf,
    /// Height and width.
    pub size: [usize; 2],
    contents: Contents,
}

enum Contents {
    Png(Box<Png>),
    Jpeg(Jpeg),
}

impl Picture {
    /// # Errors
    /// [`Error::Io`]; [`Error::Corrupt`] for what is no picture, or ends too early; [`Error::FileLimit`] for
    /// one of more pixels than that.
    pub fn open(path: &Path, max_pixels: u64) -> Result<Picture> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let mut magic = [0; 8];
        let found = files::read_up_to(&mut file, &mut magic).map_err(Error::io(path))?;
        file.rewind().map_err(Error::io(path))?;
        let contents = match magic[..found] {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'] => {
                Contents::Png(Box::new(Png::open(path, BufReader::new(file), max_pixels)?))
            }
            [0xff, 0xd8, ..] => {
                let bytes = files::read(path, EXTRAS.saturating_add(max_pixels.saturating_mul(8)))?;
                Contents::Jpeg(Jpeg::parse(path, &bytes)?)
            }
            _ => return Err(undecodable(path, "it is neither PNG nor JPEG")),
        };
        let size = match &contents {
            Contents::Png(png) => png.size,
            Contents::Jpeg(jpeg) => jpeg.size,
        };
        check_pixels(path, size, max_pixels)?;
        Ok(Picture { path: path.to_owned(), size, contents })
    }

    /// Reads the picture, row by row from the top. What follows its pixels is read too, so that a file which
    /// is cut off anywhere is refused.
    pub fn read(self, sink: &mut dyn FnMut(Row<'_>)) -> Result<()> {
        let [height, width] = self.size;
        let whole = match &self.contents {
            Contents::Png(png) => png.is_interlaced(),
            Contents::Jpeg(_) => true,
        };
        let large = whole && height * width > LARGE;
        let _alone = large.then(|| LARGE_ONE.lock().unwrap_or_else(PoisonError::into_inner));
        match self.contents {
            Contents::Png(png) => png.read(&self.path, sink),
            Contents::Jpeg(jpeg) => jpeg.read(&self.path, sink),
        }
    }
}

fn check_pixels(path: &Path, size: [usize; 2], limit: u64) -> Result<()> {
    let found = size.iter().fold(1u64, |n, &side| n.saturating_mul(side as u64));
    if found <= limit {
        return Ok(());
    }
    let cure = "; `ImageOptions::max_pixels` sets it";
    Err(Error::file_limit(path, "pixels", found, limit, cure))
}

fn undecodable(path: &Path, message: impl std::fmt::Display) -> Error {
    Error::corrupt(path, format!("it cannot be decoded: {message}"))
}
