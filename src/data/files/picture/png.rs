//! PNG files, decoded row by row; an interlaced one as a whole.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use png::{ColorType, Decoder, DecodingError, Limits, Reader, Transformations};

use super::{EXTRAS, Row, check_pixels, undecodable};
use crate::error::{Error, Result};
use crate::files::{probe, reserve};

/// What the decoder may ask for beside rows: palettes and the like.
const BESIDE: usize = 1 << 20;

pub(super) struct Png {
    /// Height and width.
    pub size: [usize; 2],
    /// The bytes of the file.
    length: u64,
    reader: Reader<BufReader<File>>,
}

impl Png {
    pub fn open(path: &Path, file: BufReader<File>, max_pixels: u64) -> Result<Png> {
        let length = file.get_ref().metadata().map_err(Error::io(path))?.len();
        let failed = |e| failed(path, length, e);
        let mut decoder = Decoder::new(file);
        // Texts and profiles are packed, and of no use here.
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(Transformations::EXPAND);
        let (width, height) = decoder.read_header_info().map_err(failed)?.size();
        let size = [height as usize, width as usize];
        check_pixels(path, size, max_pixels)?;
        // Rows of four samples of 16 bits: as they come, the one before, and what they become.
        let rows = size[1].saturating_mul(8).saturating_mul(4).saturating_add(BESIDE);
        // The decoder keeps other data whole, such as that of a camera, and doubles its room for it as it comes.
        let extras = 2 * length.min(EXTRAS) as usize;
        probe(path, rows.saturating_add(2 * extras))?;
        decoder.set_limits(Limits { bytes: rows.saturating_add(extras) });
        Ok(Png { size, length, reader: decoder.read_info().map_err(failed)? })
    }

    pub fn is_interlaced(&self) -> bool {
        self.reader.info().interlaced
    }

    /// Gives the rows to `sink`, from the top.
    pub fn read(mut self, path: &Path, sink: &mut dyn FnMut(Row<'_>)) -> Result<()> {
        let length = self.length;
        let failed = |e| failed(path, length, e);
        let (colour, depth) = self.reader.output_color_type();
        let channels = match colour {
            ColorType::Grayscale => 1,
            ColorType::GrayscaleAlpha => 2,
            ColorType::Rgb | ColorType::Indexed => 3,
            ColorType::Rgba => 4,
        };
        let wide = depth == png::BitDepth::Sixteen;
        let uncountable = || undecodable(path, "it has more bytes than can be counted");
        let line = self.reader.output_line_size(self.size[1] as u32).ok_or_else(uncountable)?;
        if self.is_interlaced() {
            let bytes = self.reader.output_buffer_size().ok_or_else(uncountable)?;
            let mut samples = reserve(path, bytes)?;
            samples.resize(bytes, 0);
            self.reader.next_frame(&mut samples).map_err(failed)?;
            samples.chunks_exact(line).for_each(|samples| sink(Row { samples, channels, wide }));
        } else {
            let mut samples = reserve(path, line)?;
            samples.resize(line, 0);
            while self.reader.read_row(&mut samples).map_err(failed)?.is_some() {
                sink(Row { samples: &samples, channels, wide });
            }
        }
        self.reader.finish().map_err(failed)
    }
}

/// A file that ends too early is damaged; one that the system does not give is not, nor is one of so many bytes
/// that holds more beside its pixels than is read.
fn failed(path: &Path, length: u64, error: DecodingError) -> Error {
    match error {
        DecodingError::LimitsExceeded if length > EXTRAS => {
            Error::file_limit(path, "bytes", length, EXTRAS, " beside the pixels")
        }
        DecodingError::IoError(e) if e.kind() != io::ErrorKind::UnexpectedEof => Error::io(path)(e),
        DecodingError::IoError(_) => undecodable(path, "it is cut off"),
        other => undecodable(path, other),
    }
}
