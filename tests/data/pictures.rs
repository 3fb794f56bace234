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

/// What cameras and programs add, as large as they make it, is passed by.
#[test]
fn other_data_in_a_png_is_no_damage() -> Result<()> {
    let folder = Folder::new();
    let whole = grey(6, 5, &(0..30).collect::<Vec<u8>>());
    let plain = planes(&folder.write("plain.png", &whole), &ImageOptions::new())?;
    // After the signature and the header, or before the end.
    let with = |kind: &[u8; 4], size: usize, at: usize| {
        let chunk = [&kind[..], &vec![b'M'; size]].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&chunk);
        let chunk = [&(size as u32).to_be_bytes()[..], &chunk, &crc.sum().to_be_bytes()].concat();
        [&whole[..at], &chunk, &whole[at..]].concat()
    };
    for kind in [b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"iCCP", b"prVt"] {
        for at in [33, whole.len() - 12] {
            for size in [100, 3 << 20, 9 << 20] {
                let path = folder.write("more.png", &with(kind, size, at));
                let read = planes(&path, &ImageOptions::new());
                assert_eq!(read?, plain, "{} bytes of {}", size, kind.escape_ascii());
            }
        }
    }
    // More than is read is told from damage.
    let large = folder.write("large.png", &with(b"eXIf", 150 << 20, 33));
    match image(&large, &ImageOptions::new()) {
        Err(error @ Error::FileLimit { what: "bytes", limit: 67_108_864, .. }) => {
            assert!(error.to_string().ends_with("at most 67108864 are read beside the pixels"), "{error}");
        }
        other => panic!("Error::FileLimit expected, {other:?} found"),
    }
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
        .build(&Device::reference())?;
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

/// Every kind of sample.
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

/// The passes of an interlaced picture (Adam7; PNG, third edition, section 8.1): first column and row, and the
/// steps between them. One that is not has a single pass.
const INTERLACED: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
const PLAIN: [[usize; 4]; 1] = [[0, 0, 1, 1]];

/// A PNG file made by hand: its pixels of so many bits, in these passes, neither filtered nor packed.
fn by_hand(
    [height, width]: [usize; 2],
    [colour, depth, bits]: [u8; 3],
    passes: &[[usize; 4]],
    pixel: impl Fn(usize, usize) -> u64,
) -> Vec<u8> {
    let mut lines = Vec::new();
    for &[x, y, across, down] in passes.iter().filter(|pass| pass[0] < width && pass[1] < height) {
        for row in (y..height).step_by(down) {
            let line = (x..width).step_by(across).map(|column| pixel(row, column));
            let line: Vec<u8> =
                line.flat_map(|p| (0..bits).rev().map(move |bit| (p >> bit) as u8 & 1)).collect();
            let byte = |bits: &[u8]| (0..8).fold(0, |byte, i| 2 * byte + bits.get(i).unwrap_or(&0));
            lines.push(0);
            lines.extend(line.chunks(8).map(byte));
        }
    }
    // A stream of blocks that are stored as they are (RFC 1950 and 1951).
    let mut stream = vec![0x78, 0x01];
    for (index, block) in lines.chunks(60_000).enumerate() {
        let length = block.len() as u16;
        stream.push(u8::from((index + 1) * 60_000 >= lines.len()));
        stream.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        stream.extend(block);
    }
    let sums = lines.iter().fold([1u32, 0], |[a, b], &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        [a, (b + a) % 65_521]
    });
    stream.extend(((sums[1] << 16) | sums[0]).to_be_bytes());
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let sizes = [width as u32, height as u32].map(u32::to_be_bytes).concat();
    let header = [&sizes[..], &[depth, colour, 0, 0, u8::from(passes.len() > 1)]].concat();
    for (kind, contents) in [(b"IHDR", &header), (b"IDAT", &stream), (b"IEND", &Vec::new())] {
        let chunk = [&kind[..], contents].concat();
        let bit = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        let sum = chunk.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), bit));
        file.extend((contents.len() as u32).to_be_bytes());
        file.extend(chunk);
        file.extend((!sum).to_be_bytes());
    }
    file
}

/// An interlaced picture is the one whose rows follow each other.
#[test]
fn an_interlaced_png_is_the_same_picture() -> Result<()> {
    let folder = Folder::new();
    // Grey of 1, 4 and 8 bits, colours of 8 and 16, with alpha too.
    for kind in [[0, 1, 1], [0, 4, 4], [0, 8, 8], [2, 8, 24], [2, 16, 48], [6, 8, 32], [4, 16, 32]] {
        for size in [[1, 1], [1, 9], [9, 1], [2, 3], [5, 5], [8, 8], [13, 22]] {
            let pixel =
                |y: usize, x: usize| ((y * 71 + x * 13 + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let [plain, interlaced] = [&PLAIN[..], &INTERLACED].map(|passes| {
                let bytes = by_hand(size, kind, passes, |y, x| pixel(y, x) >> (64 - kind[2]));
                planes(&folder.write("a.png", &bytes), &ImageOptions::new()).expect("it is whole")
            });
            assert_eq!(interlaced, plain, "{kind:?} {size:?}");
            assert_eq!(plain.len(), 3 * size[0] * size[1]);
            if kind == [0, 8, 8] {
                let bytes: Vec<u8> =
                    (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (pixel(y, x) >> 56) as u8)).collect();
                let encoded = grey(size[0] as u32, size[1] as u32, &bytes);
                assert_eq!(planes(&folder.write("b.png", &encoded), &ImageOptions::new())?, plain);
            }
            // Reduced by strips, and cut off.
            let small = ImageOptions::new().size(3, 2);
            let whole = by_hand(size, kind, &INTERLACED, |y, x| pixel(y, x) >> (64 - kind[2]));
            let reduced = planes(&folder.write("a.png", &whole), &small)?;
            let plain = by_hand(size, kind, &PLAIN, |y, x| pixel(y, x) >> (64 - kind[2]));
            assert_eq!(reduced, planes(&folder.write("b.png", &plain), &small)?);
            for end in [whole.len() / 2, whole.len() - 13] {
                assert!(is_corrupt(&folder.write("cut.png", &whole[..end])), "{kind:?} {size:?} at {end}");
            }
        }
    }
    Ok(())
}

/// A picture comes as it is stored: turning it is left to who knows how it was taken.
#[test]
fn an_orientation_is_not_followed() -> Result<()> {
    let folder = Folder::new();
    // EXIF data whose one entry is the orientation (0x0112), a SHORT: turned by a quarter.
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01".to_vec();
    exif.extend(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00");
    let turned = [&BASELINE[..2], &exif, &BASELINE[2..]].concat();
    let mut decoder = image::codecs::jpeg::JpegDecoder::new(Cursor::new(&turned)).expect("it is a JPEG");
    let orientation = image::ImageDecoder::orientation(&mut decoder).expect("it has one");
    assert_eq!(orientation, image::metadata::Orientation::Rotate90);
    let options = ImageOptions::new();
    let found = planes(&folder.write("turned.jpg", &turned), &options)?;
    assert_eq!(found, planes(&folder.write("plain.jpg", BASELINE), &options)?);
    assert_eq!(image(folder.0.join("turned.jpg"), &options)?.inputs[0].shape, Shape::from([3, 37, 45]));
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
