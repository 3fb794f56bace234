//! Pixels as other programs lay them out.

use crate::error::{Error, Result};

/// Images `[channels, height, width]`, as layers take them, from images `[height, width, channels]`, one
/// after the other: the layout of Keras's arrays and of decoders of image files.
///
/// ```
/// use retape::data::{Dataset, channels_first};
/// // An image of one row: a red pixel and a grey one.
/// let pixels = channels_first(&[1.0, 0.0, 0.0, 0.5, 0.5, 0.5], [1, 2, 3])?;
/// assert_eq!(pixels, [1.0, 0.5, 0.0, 0.5, 0.0, 0.5]);
/// let data = Dataset::new([3, 1, 2], pixels, vec![1], 2)?;
/// # let _ = data;
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::EmptyDimension`] for a dimension of 0; [`Error::PartialSample`] if the pixels do not make whole
/// images; [`Error::OutOfMemory`].
pub fn channels_first(pixels: &[f32], [height, width, channels]: [usize; 3]) -> Result<Vec<f32>> {
    let (name, shape, elements) = ("pixels".to_owned(), [height, width, channels].into(), pixels.len());
    let size = height.checked_mul(width).and_then(|plane| plane.checked_mul(channels));
    match size {
        Some(0) => return Err(Error::EmptyDimension { name, shape }),
        Some(size) if elements.is_multiple_of(size) => {}
        _ => return Err(Error::PartialSample { name, shape, elements }),
    }
    let mut planes = Vec::new();
    let bytes = 4 * elements as u64;
    let reserved = planes.try_reserve_exact(elements);
    reserved.map_err(|_| Error::OutOfMemory { device: "cpu".to_owned(), bytes })?;
    for image in pixels.chunks_exact(height * width * channels) {
        for channel in 0..channels {
            planes.extend(image.iter().skip(channel).step_by(channels));
        }
    }
    Ok(planes)
}
