//! JPEG files, taken apart far enough to refuse what a decoder would fill in: a file that ends before its
//! end-of-image marker, and a scan that ends before its pixels do.

use std::ops::Range;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Row, undecodable};
use crate::error::Result;
use crate::files::{probe, reserve};

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Bits that no code of a scan begins with: all ones, each byte of them followed by the zero that tells it from
/// a marker. A decoder that reads on past the end of a scan finds them and fails, where it would otherwise make
/// up zeros.
const STOP: [u8; 16] = [0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0];

/// A whole file, from its first marker to the last.
pub(super) struct Jpeg {
    /// Height and width.
    pub size: [usize; 2],
    components: usize,
    progressive: bool,
    /// The file with [`STOP`] behind its scans.
    bytes: Vec<u8>,
}

impl Jpeg {
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Jpeg> {
        let (spans, frame) = Spans::of(bytes).map_err(|message| undecodable(path, message))?;
        let mut guarded = reserve(path, bytes.len() + STOP.len() * spans.pieces.len())?;
        for (piece, stopped) in spans.pieces {
            guarded.extend_from_slice(&bytes[piece]);
            guarded.extend_from_slice(if stopped { &STOP } else { &[] });
        }
        let Frame { size, components, progressive, .. } = frame;
        Ok(Jpeg { size, components, progressive, bytes: guarded })
    }

    /// Decodes the picture and gives its rows to `sink`, from the top.
    pub fn read(self, path: &Path, sink: &mut dyn FnMut(Row<'_>)) -> Result<()> {
        let [height, width] = self.size;
        let pixels = height * width;
        // The decoder asks for its memory without a way to hear that there is none: a band of rows at a time,
        // or coefficients of 16 bits for the whole picture.
        let kept = if self.progressive { 4 * pixels } else { pixels + 256 * width };
        probe(path, self.components * kept)?;

        let limits = DecoderOptions::default().set_strict_mode(true);
        let limits = limits.set_max_width(width).set_max_height(height);
        let channels = if self.components == 1 { 1 } else { 3 };
        let space = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
        let options = limits.jpeg_set_out_colorspace(space);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&self.bytes[..]), options);
        let failed = |e: zune_jpeg::errors::DecodeErrors| undecodable(path, e.to_string());
        decoder.decode_headers().map_err(failed)?;
        let same = decoder.dimensions() == Some((width, height));
        let mut samples = reserve(path, pixels * channels)?;
        samples.resize(pixels * channels, 0u8);
        if !same || decoder.output_buffer_size() != Some(samples.len()) {
            return Err(undecodable(path, "its headers disagree"));
        }
        decoder.decode_into(&mut samples).map_err(failed)?;
        for row in samples.chunks_exact(width * channels) {
            sink(Row { samples: row, channels, wide: false });
        }
        Ok(())
    }
}

/// What a header of a frame says.
#[derive(Clone, Copy)]
struct Frame {
    size: [usize; 2],
    components: usize,
    progressive: bool,
    /// Whether some components have fewer rows than others.
    uneven: bool,
}

/// What is taken of a file.
struct Spans {
    /// Pieces one after the other, and whether each ends with data of a scan.
    pieces: Vec<(Range<usize>, bool)>,
    /// Where the next piece begins.
    from: usize,
}

impl Spans {
    /// Walks from marker to marker.
    fn of(bytes: &[u8]) -> Result<(Spans, Frame), &'static str> {
        let cut = "it is cut off: there is no end-of-image marker";
        let mut spans = Spans { pieces: Vec::new(), from: 0 };
        let (mut frame, mut scans, mut at, mut given) = (None, 0, 2, 0);
        loop {
            let (marker, start) = next_marker(bytes, at).ok_or(cut)?;
            // What stands before a marker and is no segment is of no use to anybody.
            if start - 2 > at {
                spans.end_piece(at, false);
                spans.from = start - 2;
            }
            at = start;
            match marker {
                EOI => break,
                SOI | 0x01 | 0xd0..=0xd7 => continue,
                _ => {}
            }
            let segment = bytes.get(start..).unwrap_or_default();
            let &[high, low, ..] = segment else { return Err(cut) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let payload = segment.get(2..length.max(2)).ok_or(cut)?;
            at = start + length.max(2);
            match marker {
                // Every kind of frame but the tables of Huffman codes, of arithmetic ones, and the reserved.
                0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) && frame.is_none() => {
                    frame = Some(parse_frame(marker, payload)?);
                }
                SOS => {
                    let frame: Frame = frame.ok_or("a scan comes before the frame's header")?;
                    let in_scan = payload.first().map_or(0, |&n| usize::from(n));
                    given += in_scan;
                    if frame.uneven && !frame.progressive && in_scan < frame.components {
                        // The decoder would give colours from wrong places.
                        return Err("scans of one colour each, some of fewer rows, are not supported");
                    }
                    // The decoder looks for the marker behind the first of several scans right at their end.
                    let guarded = if frame.progressive { scans > 0 } else { in_scan == frame.components };
                    at = spans.scan(bytes, at, guarded).ok_or(cut)?;
                    scans += 1;
                }
                _ => {}
            }
        }
        spans.end_piece(at, false);
        let frame =
            frame.filter(|_| scans > 0).ok_or("there is no picture before the end-of-image marker")?;
        if given < frame.components || (frame.progressive && scans == 1) {
            return Err("it is cut off: scans are missing");
        }
        Ok((spans, frame))
    }

    fn end_piece(&mut self, at: usize, stopped: bool) {
        self.pieces.push((self.from..at, stopped));
        self.from = at;
    }

    /// The place of the marker that ends the data of a scan. Restart markers are part of it.
    fn scan(&mut self, bytes: &[u8], mut at: usize, guarded: bool) -> Option<usize> {
        loop {
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
            let next = *bytes.get(at + 1)?;
            let restart = (0xd0..=0xd7).contains(&next);
            if guarded && (restart || ![0, 0xff].contains(&next)) {
                self.end_piece(at, true);
            }
            match next {
                0xff => at += 1,
                0 | 0xd0..=0xd7 => at += 2,
                _ => return Some(at),
            }
        }
    }
}

/// The next marker and the place behind it.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match *bytes.get(at + 1)? {
            0xff => at += 1,
            0 => at += 2,
            marker => return Some((marker, at + 2)),
        }
    }
}

fn parse_frame(marker: u8, payload: &[u8]) -> Result<Frame, &'static str> {
    let &[_, h1, h0, w1, w0, components, ..] = payload else {
        return Err("the header of its frame is too short");
    };
    let rows = payload[6..].iter().skip(1).step_by(3).map(|factors| factors & 0xf);
    let uneven = rows.clone().max() != rows.min();
    let size = [[h1, h0], [w1, w0]].map(|bytes| usize::from(u16::from_be_bytes(bytes)));
    if size.contains(&0) || components == 0 {
        return Err("its frame is empty");
    }
    Ok(Frame { size, components: components.into(), progressive: marker == 0xc2, uneven })
}
