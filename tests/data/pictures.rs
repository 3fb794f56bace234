//! Pictures one by one: what is cut off or too large is refused, and how one of other proportions is fitted.
#![cfg(feature = "images")]

use std::io::Cursor;
use std::path::Path;

use crate::folder::Folder;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageBuffer, Luma, Rgb};
use retape::data::{ImageChannels, ImageFit, ImageFolder, ImageOptions, image, image_folder};
use retape::prelude::*;
use retape::{Error, Result, Shape};

/// 37 x 45 pixels in colour by libjpeg-turbo, of one quality: sequential with half the colours' rows and
/// columns, the same coefficients in progressive order, the same with restart markers.
const BASELINE: &[u8] = include_bytes!("pictures/baseline.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("pictures/progressive.jpg");
const RESTARTS: &[u8] = include_bytes!("pictures/restarts.jpg");
/// A scan for each colour.
const SCANS: &[u8] = include_bytes!("pictures/scans.jpg");

/// A PNG file of these samples.
pub fn png(
    [height, width]: [u32; 2],
    colour: png::ColorType,
    depth: png::BitDepth,
    samples: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().expect("writing to memory succeeds");
    writer.write_image_data(samples).expect("writing to memory succeeds");
    writer.finish().expect("writing to memory succeeds");
    bytes
}

fn grey(height: u32, width: u32, samples: &[u8]) -> Vec<u8> {
    png([height, width], png::ColorType::Grayscale, png::BitDepth::Eight, samples)
}

/// The planes of a picture.
fn planes(path: &Path, options: &ImageOptions) -> Result<Vec<f32>> {
    let samples = image(path, options)?;
    Ok(samples.inputs[0].data.as_f32().expect("pixels are f32").to_vec())
}

fn is_corrupt(path: &Path) -> bool {
    matches!(image(path, &ImageOptions::new()), Err(Error::Corrupt { path: named, .. }) if named == path)
}

#[test]
fn jpegs_of_one_picture_are_equal() -> Result<()> {
    let folder = Folder::new();
    let files = [BASELINE, PROGRESSIVE, RESTARTS];
    let [base, others @ ..] =
        files.map(|bytes| planes(&folder.write("a.jpg", bytes), &ImageOptions::new()).expect("it is whole"));
    assert_eq!(base.len(), 3 * 37 * 45);
    assert!(others.iter().all(|other| *other == base));
    let mut grey = Vec::new();
    let image = ImageBuffer::from_pixel(9, 5, Luma([77u8]));
    JpegEncoder::new_with_quality(&mut grey, 100).encode_image(&image).expect("writing to memory succeeds");
    let planes = planes(&folder.write("grey.jpg", &grey), &ImageOptions::new())?;
    assert!(planes.len() == 3 * 45 && planes.iter().all(|v| (v * 255.0 - 77.0).abs() < 1.01), "{planes:?}");
    Ok(())
}

#[test]
fn a_jpeg_cut_anywhere_is_refused() {
    let folder = Folder::new();
    for whole in [BASELINE, PROGRESSIVE, RESTARTS] {
        for end in 0..whole.len() {
            assert!(is_corrupt(&folder.write("cut.jpg", &whole[..end])), "{end} of {} bytes", whole.len());
        }
        // What follows the end of the image is another program's.
        let longer = folder.write("longer.jpg", &[whole, &[0; 9]].concat());
        assert!(image(longer, &ImageOptions::new()).is_ok());
        // So is what stands between segments.
        let tables = whole.windows(2).position(|pair| pair == [0xff, 0xdb]).expect("it has tables");
        let between = [&whole[..tables], b"between", &whole[tables..]].concat();
        let read =
            |bytes: &[u8]| planes(&folder.write("a.jpg", bytes), &ImageOptions::new()).expect("it is whole");
        assert_eq!(read(&between), read(whole));
    }
}

/// As programs leave a file that they repair: the decoder alone would fill in what is missing.
#[test]
fn a_jpeg_that_lacks_pixels_is_refused_though_it_ends_well() {
    let folder = Folder::new();
    for whole in [BASELINE, RESTARTS] {
        let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).expect("it has a scan");
        for end in scan..whole.len() - 12 {
            let ended = [&whole[..end], &[0xff, 0xd9]].concat();
            assert!(is_corrupt(&folder.write("cut.jpg", &ended)), "{end} of {} bytes", whole.len());
        }
    }
    // The first scan of several, and nothing more.
    let second =
        PROGRESSIVE.windows(2).skip(200).position(|pair| pair == [0xff, 0xc4]).expect("tables") + 200;
    let one_scan = [&PROGRESSIVE[..second], &[0xff, 0xd9]].concat();
    assert!(is_corrupt(&folder.write("cut.jpg", &one_scan)));
}

#[test]
fn what_the_decoder_gets_wrong_is_refused() {
    let folder = Folder::new();
    let path = folder.write("scans.jpg", SCANS);
    let Err(Error::Corrupt { message, .. }) = image(&path, &ImageOptions::new()) else {
        panic!("it cannot be decoded")
    };
    assert!(
        message.ends_with("scans of one colour each, some of fewer rows, are not supported"),
        "{message}"
    );
}

#[test]
fn a_png_cut_anywhere_is_refused() {
    let folder = Folder::new();
    let noise: Vec<u8> = (0..40 * 30u32).map(|i| (i * i % 251) as u8).collect();
    let whole = grey(30, 40, &noise);
    assert!(image(folder.write("whole.png", &whole), &ImageOptions::new()).is_ok());
    for end in 0..whole.len() {
        assert!(is_corrupt(&folder.write("cut.png", &whole[..end])), "{end} of {} bytes", whole.len());
    }
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    assert!(is_corrupt(&folder.write("damaged.png", &damaged)));
}

#[test]
fn what_cannot_be_read_is_left_out_and_listed() -> Result<()> {
    let folder = Folder::new();
    let good = grey(2, 2, &[0, 51, 102, 255]);
    // The first of all: its size says nothing of the others.
    let cut = folder.write("a/0.jpg", &BASELINE[..600]);
    folder.write("a/1.png", &good);
    folder.write("b/1.png", &good);
    let text = folder.write("b/2.png", b"<html>404</html>");
    let large = folder.write("b/3.png", &grey(3, 3, &[0; 9]));
    folder.write("b/4.png", &good);

    let options = ImageOptions::new().channels(ImageChannels::Grayscale).max_pixels(8);
    assert!(matches!(image_folder(&folder.0, &options), Err(Error::Corrupt { path, .. }) if path == cut));
    let read = ImageFolder::read(&folder.0, &options.skip_corrupt(true))?;
    assert_eq!(read.data.labels(), [0, 1, 1]);
    assert_eq!(read.data.inputs(), [0.0, 0.2, 0.4, 1.0].repeat(3));
    assert_eq!(read.data, image_folder(&folder.0, &options.skip_corrupt(true))?);
    let skipped: Vec<&Path> = read.skipped.iter().map(|image| image.path.as_path()).collect();
    assert_eq!(skipped, [&cut, &text, &large]);
    assert!(matches!(read.skipped[0].reason, Error::Corrupt { .. }));
    assert!(matches!(read.skipped[2].reason, Error::FileLimit { found: 9, limit: 8, .. }));
    assert!(
        read.skipped[2]
            .reason
            .to_string()
            .ends_with("3.png: 9 pixels, at most 8 are read; `ImageOptions::max_pixels` sets it")
    );

    // A class of which nothing is left, and a whole picture of another size, are no damage of a file.
    let none = folder.write("c/1.jpg", b"");
    let Err(Error::Corrupt { path, message }) = ImageFolder::read(&folder.0, &options.skip_corrupt(true))
    else {
        panic!("the class has no images")
    };
    assert_eq!(
        (path.as_path(), &*message),
        (none.parent().unwrap(), "none of the images of the class can be read")
    );
    folder.write("c/2.png", &grey(1, 2, &[0; 2]));
    let other = ImageFolder::read(&folder.0, &options.skip_corrupt(true));
    assert!(matches!(other, Err(Error::ImageSize { found: [1, 2], expected: [2, 2], .. })), "{other:?}");
    Ok(())
}

#[test]
fn a_picture_is_a_sample_to_predict_for() -> Result<()> {
    let folder = Folder::new();
    let path = folder.write("photo", &grey(2, 2, &[0, 51, 102, 255]));
    let options = ImageOptions::new().channels(ImageChannels::Grayscale);
    let photo = image(&path, &options)?;
    assert_eq!((photo.len(), photo.input_shapes()), (1, vec![Shape::from([1, 2, 2])]));
    assert!(photo.targets.is_none() && photo.weights.is_none());
    let model = Sequential::new().add(Flatten).add(Dense::new(3));
    let mut trainer = Trainer::new(model, [1, 2, 2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(0.1))
        .build(&Device::cpu())?;
    assert_eq!(trainer.predict_classes(photo)?.len(), 1);
    let nowhere = folder.0.join("nowhere.png");
    assert!(matches!(image(&nowhere, &options), Err(Error::Io { path, .. }) if path == nowhere));
    assert!(matches!(image(&folder.0, &options), Err(Error::Io { .. })));
    Ok(())
}

#[test]
fn proportions_are_kept_as_asked() -> Result<()> {
    let folder = Folder::new();
    let options = ImageOptions::new().channels(ImageChannels::Grayscale);
    // 2 x 4: two columns of black, one of grey, one of white.
    let wide = folder.write("wide.png", &grey(2, 4, &[0, 0, 51, 255, 0, 0, 51, 255]));
    let of = |path: &Path, size: [usize; 2], fit| planes(path, &options.size(size[0], size[1]).fit(fit));

    // The middle two columns; an odd one is left over on the right.
    assert_eq!(of(&wide, [2, 2], ImageFit::Crop)?, [0.0, 0.2, 0.0, 0.2]);
    let column = of(&wide, [2, 1], ImageFit::Crop)?;
    assert_eq!(column, [0.0, 0.0]);
    // Whole rows in the middle, black above and below.
    let boxed = of(&wide, [4, 4], ImageFit::Letterbox)?;
    assert_eq!(boxed[..4], [0.0; 4]);
    assert_eq!(boxed[4..12], [0.0, 0.0, 0.2, 1.0, 0.0, 0.0, 0.2, 1.0]);
    assert_eq!(boxed[12..], [0.0; 4]);
    // 3 rows for 2: the odd one is below.
    let filled = options.size(5, 4).fit(ImageFit::Letterbox).fill([255, 255, 255]);
    let filled = planes(&wide, &filled)?;
    assert_eq!((&filled[..4], &filled[12..]), (&[1.0; 4][..], &[1.0; 8][..]));
    assert_eq!(filled[4..12], boxed[4..12]);
    // Halved by a triangle over four columns of weights 1, 3, 3, 1, fewer at the edges.
    let half = of(&wide, [2, 2], ImageFit::Stretch)?;
    let expected = [0.2 / 7.0, (0.2 * 3.0 + 3.0) / 7.0];
    for (found, expected) in half.iter().zip([expected, expected].concat()) {
        assert!((found - expected).abs() < 1e-6, "{half:?}");
    }
    // Of the same proportions, all are the same.
    let square = folder.write("square.png", &grey(2, 2, &[0, 51, 102, 255]));
    for fit in [ImageFit::Stretch, ImageFit::Crop, ImageFit::Letterbox] {
        assert_eq!(of(&square, [2, 2], fit)?, [0.0, 0.2, 0.4, 1.0], "{fit:?}");
        let doubled = of(&square, [4, 4], fit)?;
        assert_eq!((doubled[0], doubled[15]), (0.0, 1.0));
        assert!((doubled[5] - 0.25 * (0.75 * 0.2 + 0.75 * 0.4 + 0.25)).abs() < 1e-6, "{doubled:?}");
    }
    // Colours of the ground, and slivers that become at least a pixel.
    let colours = ImageOptions::new().size(3, 3).fit(ImageFit::Letterbox).fill([255, 51, 0]);
    let thin = planes(&folder.write("thin.png", &grey(1, 90, &[255; 90])), &colours)?;
    assert_eq!(thin[..3], [1.0; 3]);
    assert!((thin[3] - 1.0).abs() < 1e-6 && (thin[12] - 1.0).abs() < 1e-6);
    assert_eq!((thin[9], thin[18], thin[24]), (0.2, 0.0, 0.0));
    Ok(())
}

/// Every kind of sample, in rows and interlaced by the order of the decoder's rows.
#[test]
fn every_kind_of_png_is_read() -> Result<()> {
    use png::{BitDepth, ColorType};
    let folder = Folder::new();
    let bits = png([1, 3], ColorType::Grayscale, BitDepth::One, &[0b1010_0000]);
    let pairs = png([1, 3], ColorType::Grayscale, BitDepth::Two, &[0b0001_1100]);
    let alpha = png([1, 1], ColorType::GrayscaleAlpha, BitDepth::Eight, &[51, 7]);
    let wide = png([1, 1], ColorType::Rgba, BitDepth::Sixteen, &[255, 255, 0, 0, 51, 51, 1, 2]);
    let expected: [(&[u8], &[f32]); 4] = [
        (&bits, &[1.0, 0.0, 1.0].repeat(3)),
        (&pairs, &[0.0, 1.0 / 3.0, 1.0].repeat(3)),
        (&alpha, &[0.2; 3]),
        (&wide, &[1.0, 0.0, 0.2]),
    ];
    for (bytes, expected) in expected {
        let found = planes(&folder.write("a.png", bytes), &ImageOptions::new())?;
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
        assert_eq!(found.len(), expected.len());
    }
    Ok(())
}

/// 22,000 x 22,000 pixels of one bit: 59 thousand bytes of a file that would be half a gigabyte of pixels.
#[test]
fn a_picture_is_measured_before_it_is_decoded() -> Result<()> {
    let folder = Folder::new();
    let samples = vec![0xff; 22_000 * 2750];
    let bytes = png([22_000, 22_000], png::ColorType::Grayscale, png::BitDepth::One, &samples);
    let path = folder.write("a/huge.png", &bytes);
    for options in [ImageOptions::new(), ImageOptions::new().size(8, 8)] {
        let Err(error) = image_folder(&folder.0, &options) else { panic!("it has too many pixels") };
        let Error::FileLimit { path: named, what: "pixels", found, limit, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((named, found, limit), (path.clone(), 484_000_000, 64_000_000));
    }
    // No memory can hold it in three channels: a typed error comes before the pixels do.
    let all = ImageOptions::new().max_pixels(u64::MAX);
    let giant = png_header(u32::MAX >> 1, u32::MAX >> 1);
    let found = image(folder.write("giant.png", &giant), &all);
    assert!(matches!(found, Err(Error::OutOfMemory { .. } | Error::Corrupt { .. })), "{found:?}");

    // A JPEG says its size in a header too.
    let mut jpeg = BASELINE.to_vec();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("it has a frame");
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let found = image(folder.write("huge.jpg", &jpeg), &ImageOptions::new());
    assert!(matches!(found, Err(Error::FileLimit { found: 4_294_836_225, .. })), "{found:?}");
    // A strip of pixels is all that a large picture takes where it is made a small one.
    let large = grey(3000, 2000, &vec![51; 6_000_000]);
    let small = planes(&folder.write("large.png", &large), &ImageOptions::new().size(2, 2))?;
    assert!(small.iter().all(|v| (v - 0.2).abs() < 1e-5), "{small:?}");
    Ok(())
}

/// A PNG file of this size that ends behind its header.
fn png_header(height: u32, width: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Sixteen);
    drop(encoder.write_header().expect("writing to memory succeeds"));
    bytes.into_inner()
}

/// What is drawn in colour comes out as its own channels.
#[test]
fn colours_stay_apart() -> Result<()> {
    let folder = Folder::new();
    let image = ImageBuffer::from_fn(6, 4, |x, y| Rgb([(x * 51) as u8, (y * 85) as u8, 255]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("writing to memory succeeds");
    let half = planes(&folder.write("a.png", &bytes.into_inner()), &ImageOptions::new().size(4, 6))?;
    assert_eq!(half.len(), 3 * 24);
    let row: Vec<f32> = half[..6].to_vec();
    assert!((0..6).all(|x| (row[x] - x as f32 / 5.0).abs() < 1e-6), "{row:?}");
    assert!((0..4).all(|y| (half[24 + 6 * y] - y as f32 / 3.0).abs() < 1e-6));
    assert!(half[48..].iter().all(|v| (v - 1.0).abs() < 1e-6));
    Ok(())
}
