//! Folders of images: what they become, and what is said about files that do not belong there.
#![cfg(feature = "images")]

use std::io::Cursor;
use std::path::PathBuf;

use crate::folder::Folder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, Rgba};
use retape::data::{ImageChannels, ImageOptions, image_folder};
use retape::{Error, Result, Shape};

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).expect("writing to memory succeeds");
    bytes.into_inner()
}

/// An image of one colour.
fn plain(height: u32, width: u32, colour: [u8; 3]) -> ImageBuffer<Rgb<u8>, Vec<u8>> {
    ImageBuffer::from_pixel(width, height, Rgb(colour))
}

/// Two classes of images with 2 x 3 pixels, written out of order.
fn flowers() -> Folder {
    let folder = Folder::new();
    folder.write("tulip/b.PNG", &png(plain(2, 3, [0, 255, 51])));
    folder.write("tulip/a.png", &png(plain(2, 3, [255, 0, 0])));
    let gradient = ImageBuffer::from_fn(3, 2, |x, y| Rgb([(10 * x) as u8, (100 * y) as u8, 7]));
    folder.write("rose/1.png", &png(gradient));
    folder.write(".cache/thumbnail", b"of another program");
    folder.write("rose/.hidden", b"of another program");
    folder
}

fn corrupt<T: std::fmt::Debug>(result: Result<T>) -> (PathBuf, String) {
    match result {
        Err(Error::Corrupt { path, message }) => (path, message),
        other => panic!("Error::Corrupt expected, {other:?} found"),
    }
}

#[test]
fn folders_are_classes_in_order() -> Result<()> {
    let folder = flowers();
    let data = image_folder(&folder.0, &ImageOptions::new())?;
    assert_eq!(data.class_names().expect("folders have names"), ["rose", "tulip"]);
    assert_eq!((data.labels(), data.classes()), (&[0, 1, 1][..], 2));
    assert_eq!(data.input_shape(), Shape::from([3, 2, 3]));
    let of = |values: &[u8]| values.iter().map(|&v| f32::from(v) / 255.0).collect::<Vec<_>>();
    let gradient = of(&[0, 10, 20, 0, 10, 20, 0, 0, 0, 100, 100, 100, 7, 7, 7, 7, 7, 7]);
    assert_eq!(data.input(0), gradient);
    assert_eq!(data.input(1)[..7], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!(data.input(2)[5..13], of(&[0, 255, 255, 255, 255, 255, 255, 51]));
    Ok(())
}

#[test]
fn colours_become_grey_by_rec_709() -> Result<()> {
    let folder = flowers();
    folder.write("rose/2.png", &png(ImageBuffer::from_pixel(3, 2, Luma([200u8]))));
    let data = image_folder(&folder.0, &ImageOptions::new().channels(ImageChannels::Grayscale))?;
    assert_eq!(data.input_shape(), Shape::from([1, 2, 3]));
    assert_eq!(data.input(1), [200.0 / 255.0; 6], "grey stays what it is");
    assert_eq!(data.input(2), [0.2126; 6]);
    assert!((data.input(3)[0] - (0.7152 + 0.0722 * 0.2)).abs() < 1e-6);
    Ok(())
}

#[test]
fn sixteen_bits_and_alpha_are_read() -> Result<()> {
    let folder = Folder::new();
    folder.write("deep/1.png", &png(DynamicImage::ImageLuma16(ImageBuffer::from_pixel(1, 1, Luma([257])))));
    folder.write("deep/2.png", &png(ImageBuffer::from_pixel(1, 1, Rgba([255u8, 51, 0, 3]))));
    let data = image_folder(&folder.0, &ImageOptions::new())?;
    let close = |found: &[f32], expected: [f32; 3]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    };
    close(data.input(0), [257.0 / 65535.0; 3]);
    close(data.input(1), [1.0, 0.2, 0.0]);
    Ok(())
}

#[test]
fn jpeg_is_told_by_contents() -> Result<()> {
    let folder = Folder::new();
    let mut bytes = Vec::new();
    let image = plain(8, 16, [200, 100, 50]);
    JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(&image).expect("writing to memory succeeds");
    folder.write("a/1.jpg", &bytes);
    folder.write("a/2.JPEG", &bytes);
    folder.write("a/3.png", &bytes);
    folder.write("a/4.jpg", &png(image));
    let data = image_folder(&folder.0, &ImageOptions::new())?;
    assert_eq!((data.len(), data.input_shape()), (4, Shape::from([3, 8, 16])));
    assert_eq!(data.input(0), data.input(2));
    let worst = data.input(0).iter().zip(data.input(3)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 3.0 / 255.0, "{worst}");
    Ok(())
}

#[test]
fn images_are_resized_if_a_size_is_named() -> Result<()> {
    let folder = flowers();
    let odd = folder.write("tulip/c.png", &png(plain(3, 2, [9; 3])));
    match image_folder(&folder.0, &ImageOptions::new()) {
        Err(Error::ImageSize { path, found: [3, 2], expected: [2, 3], first }) => {
            assert_eq!((path, first), (odd, folder.0.join("rose/1.png")));
        }
        other => panic!("Error::ImageSize expected, {other:?} found"),
    }
    let data = image_folder(&folder.0, &ImageOptions::new().size(5, 1))?;
    assert_eq!((data.len(), data.input_shape()), (4, Shape::from([3, 5, 1])));
    assert!(data.input(1)[..5].iter().all(|v| (v - 1.0).abs() < 1e-6), "one colour stays that colour");
    assert!(data.inputs().iter().all(|v| (0.0..=1.0).contains(v)));

    // Halving averages: a column of black beside one of white becomes grey, whatever is nearest.
    let stripes = Folder::new();
    let image = ImageBuffer::from_fn(8, 4, |x, _| Luma([if x % 2 == 0 { 0u8 } else { 255 }]));
    stripes.write("a/1.png", &png(image));
    let halved = ImageOptions::new().size(2, 4).channels(ImageChannels::Grayscale);
    let data = image_folder(&stripes.0, &halved)?;
    assert_eq!(data.input_shape(), Shape::from([1, 2, 4]));
    assert!(data.inputs().iter().all(|v| (0.3..0.7).contains(v)), "{:?}", data.inputs());
    for options in [ImageOptions::new().size(0, 4), ImageOptions::new().size(4, 0)] {
        assert!(matches!(image_folder(&stripes.0, &options), Err(Error::Argument { argument: "size", .. })));
    }
    Ok(())
}

#[test]
fn other_files_are_named_or_skipped() -> Result<()> {
    let options = ImageOptions::new();
    let skipping = options.skip_others(true);
    for name in ["tulip/notes.txt", "readme.txt", "tulip/deeper/1.png", "loose.png"] {
        let folder = flowers();
        let expected = image_folder(&folder.0, &options)?;
        folder.write(name, b"of no use");
        let (path, _) = corrupt(image_folder(&folder.0, &options));
        assert!(folder.0.join(name).starts_with(&path) && path != folder.0, "{name}: {path:?}");
        assert_eq!(image_folder(&folder.0, &skipping)?, expected, "{name}");
    }
    Ok(())
}

#[test]
fn damaged_images_are_named() {
    let folder = flowers();
    let whole = png(ImageBuffer::from_fn(3, 2, |x, y| Rgb([x as u8, y as u8, 7])));
    for bytes in [&b""[..], b"no image", &whole[..20], &whole[..whole.len() / 2]] {
        let bad = folder.write("tulip/z.png", bytes);
        for skip in [false, true] {
            let (path, message) = corrupt(image_folder(&folder.0, &ImageOptions::new().skip_others(skip)));
            assert_eq!(path, bad);
            assert!(message.starts_with("it cannot be decoded: "), "{message}");
        }
    }
}

#[test]
fn classes_need_images() {
    let folder = flowers();
    let empty = folder.0.join("daisy");
    std::fs::create_dir(&empty).expect("the temporary folder can be written");
    assert_eq!(
        corrupt(image_folder(&folder.0, &ImageOptions::new())),
        (empty, "the class has no images".into())
    );
    folder.write("daisy/notes.txt", b"of no use");
    let (_, message) = corrupt(image_folder(&folder.0, &ImageOptions::new().skip_others(true)));
    assert_eq!(message, "the class has no images");

    let nothing = Folder::new();
    let (path, message) = corrupt(image_folder(&nothing.0, &ImageOptions::new()));
    assert_eq!(path, nothing.0);
    assert!(message.contains("no folders"), "{message}");
    let nowhere = nothing.0.join("nowhere");
    assert!(
        matches!(image_folder(&nowhere, &ImageOptions::new()), Err(Error::Io { path, .. }) if path == nowhere)
    );
}

#[test]
fn classes_may_be_told() -> Result<()> {
    let folder = flowers();
    let options = ImageOptions::new();
    let told = options.classes(&["tulip", "daisy", "rose"]);
    let data = image_folder(&folder.0, &told)?;
    assert_eq!((data.labels(), data.classes()), (&[2, 0, 0][..], 3));
    assert_eq!(data.class_names().expect("they were told"), ["tulip", "daisy", "rose"]);
    assert_eq!(data.inputs(), image_folder(&folder.0, &options)?.inputs());

    // The folder of another class does not belong there.
    let tulips = options.classes(&["tulip"]);
    let (path, message) = corrupt(image_folder(&folder.0, &tulips));
    assert_eq!((path, message.as_str()), (folder.0.join("rose"), "it is the folder of none of the classes"));
    let data = image_folder(&folder.0, &tulips.skip_others(true))?;
    assert_eq!((data.labels(), data.classes()), (&[0, 0][..], 1));
    let twice = image_folder(&folder.0, &ImageOptions::new().classes(&["rose", "tulip", "rose"]));
    assert!(matches!(twice, Err(Error::DuplicateName { .. })), "{twice:?}");
    Ok(())
}
