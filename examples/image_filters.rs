//! Filters a picture with kernels that people chose rather than learned: edges, sharpening, blur.
//!
//! It teaches what a convolution computes. A kernel is a small table of weights; it slides over the
//! picture, and each pixel becomes the sum of its neighbourhood times the weights. The kernel is
//! not flipped, as in every neural-network library. With as many groups as colours, each colour is
//! filtered by itself (a depthwise convolution), and padding `Same` surrounds the picture with zeros,
//! so that the result is as large: that is why edges find the picture's border, and why blurs darken
//! it.
//!
//! `--input FILE` names a PNG of one's own. The pictures go to `--out DIR`, else into a folder that the
//! run names.

mod common;

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use common::{Example, Flags, Outcome, Results};
use png::{BitDepth, ColorType, Decoder, Encoder, Transformations};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "image_filters",
    about: "Finds edges in a picture, sharpens it and blurs it, by convolution with hand-made kernels.",
    unused: &["data", "epochs", "batch", "limit", "seed"],
};

#[derive(Args)]
struct Own {
    /// The picture to filter, a PNG [default: one that the example draws]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// A square table of weights, `size` on each side, all divided by `divisor`.
struct Kernel {
    name: &'static str,
    what: &'static str,
    size: usize,
    weights: &'static [f32],
    divisor: f32,
}

const KERNELS: [Kernel; 7] = [
    Kernel {
        name: "identity",
        what: "only the pixel itself: nothing changes",
        size: 3,
        weights: &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        divisor: 1.0,
    },
    Kernel {
        name: "outline",
        what: "the pixel against its eight neighbours: 0 where all are equal, bright at edges",
        size: 3,
        weights: &[-1.0, -1.0, -1.0, -1.0, 8.0, -1.0, -1.0, -1.0, -1.0],
        divisor: 1.0,
    },
    Kernel {
        name: "sharpen",
        what: "the pixel plus its difference from four neighbours: edges stand out",
        size: 3,
        weights: &[0.0, -1.0, 0.0, -1.0, 5.0, -1.0, 0.0, -1.0, 0.0],
        divisor: 1.0,
    },
    Kernel {
        name: "box_blur_3x3",
        what: "the mean of nine pixels",
        size: 3,
        weights: &[1.0; 9],
        divisor: 9.0,
    },
    Kernel {
        name: "box_blur_5x5",
        what: "the mean of 25 pixels",
        size: 5,
        weights: &[1.0; 25],
        divisor: 25.0,
    },
    Kernel {
        name: "gaussian_blur_3x3",
        what: "a mean that counts near pixels more, by binomial coefficients 1 2 1",
        size: 3,
        weights: &[1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0],
        divisor: 16.0,
    },
    Kernel {
        name: "gaussian_blur_5x5",
        what: "the same, wider: 1 4 6 4 1",
        size: 5,
        weights: &[
            1.0, 4.0, 6.0, 4.0, 1.0, //
            4.0, 16.0, 24.0, 16.0, 4.0, //
            6.0, 24.0, 36.0, 24.0, 6.0, //
            4.0, 16.0, 24.0, 16.0, 4.0, //
            1.0, 4.0, 6.0, 4.0, 1.0,
        ],
        divisor: 256.0,
    },
];

/// The slopes of brightness to the right and downwards, each smoothed across (Sobel and Feldman, 1968).
const SOBEL: [Kernel; 2] = [
    Kernel {
        name: "sobel, horizontal",
        what: "how much brighter it gets to the right",
        size: 3,
        weights: &[-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0],
        divisor: 1.0,
    },
    Kernel {
        name: "sobel, vertical",
        what: "how much brighter it gets downwards; the picture shows the length of both together",
        size: 3,
        weights: &[-1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0],
        divisor: 1.0,
    },
];

const COLOURS: usize = 3;

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let picture = own.input.as_deref().map_or_else(|| Ok(drawing()), read)?;
    let (width, height) = (picture.width, picture.pixels.len() / picture.width);
    let device = flags.open_device()?;

    let mut g = Graph::new();
    let x = g.input("picture", [1, COLOURS, height, width]);
    let mut filtered = Vec::new();
    for kernel in &KERNELS {
        kernel.print();
        filtered.push((kernel.name, shown(&g, kernel.convolve(&g, x)?)?));
    }
    SOBEL.iter().for_each(Kernel::print);
    let [across, down] = [SOBEL[0].convolve(&g, x)?, SOBEL[1].convolve(&g, x)?];
    let length = g.sqrt(g.add(g.square(across)?, g.square(down)?)?)?;
    filtered.push(("sobel", shown(&g, length)?));

    let values: Vec<Value> = filtered.iter().map(|&(_, value)| value).collect();
    let mut session = g.forward(values)?.session(&device)?;
    session.write(x, &picture.planes())?;
    session.replay()?;

    let folder = flags.out.clone().unwrap_or_else(|| std::env::temp_dir().join(EXAMPLE.name));
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make `{}`: {e}", folder.display()))?;
    picture.save(&folder, "original")?;
    let mut names = vec!["original.png".to_owned()];
    for (name, value) in filtered {
        Picture::from_planes(&session.read(value)?, width).save(&folder, name)?;
        names.push(format!("{name}.png"));
    }
    println!("{} pictures of {width} x {height} are in {}", names.len(), folder.display());

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("width", width);
    results.set("height", height);
    results.set("folder", folder.display().to_string());
    results.set("pictures", names);
    Ok(results)
}

impl Kernel {
    /// The kernel over every colour of `x` by itself.
    fn convolve(&self, g: &Graph, x: Value) -> retape::Result<Value> {
        let weights: Vec<f32> = self.weights.iter().map(|w| w / self.divisor).collect();
        // [out, in / groups, height, width]: one kernel for each colour.
        let w = g.constant([COLOURS, 1, self.size, self.size], &weights.repeat(COLOURS))?;
        g.conv2d(x, w, None, ConvOptions::new().padding(Padding::Same).groups(COLOURS))
    }

    fn print(&self) {
        println!("\n{}: {}", self.name, self.what);
        for (i, row) in self.weights.chunks_exact(self.size).enumerate() {
            let row: String = row.iter().map(|w| format!("{w:4}")).collect();
            let divided = i == self.size / 2 && self.divisor != 1.0;
            let note = if divided { format!("   / {}", self.divisor) } else { String::new() };
            println!("  {row}{note}");
        }
    }
}

/// Limited to what a picture can show: black to full colour.
fn shown(g: &Graph, value: Value) -> retape::Result<Value> {
    g.clip(value, 0.0, 1.0)
}

/// A picture, row by row.
struct Picture {
    width: usize,
    pixels: Vec<[u8; COLOURS]>,
}

impl Picture {
    /// Colour planes one after the other, from 0 to 1.
    fn planes(&self) -> Vec<f32> {
        let plane = |colour: usize| self.pixels.iter().map(move |p| f32::from(p[colour]) / 255.0);
        (0..COLOURS).flat_map(plane).collect()
    }

    /// The picture of three colour planes.
    fn from_planes(planes: &[f32], width: usize) -> Self {
        let size = planes.len() / COLOURS;
        let pixel = |at: usize| [0, 1, 2].map(|colour| (planes[colour * size + at] * 255.0).round() as u8);
        Picture { width, pixels: (0..size).map(pixel).collect() }
    }

    fn read(file: File) -> Result<Self, Box<dyn Error>> {
        let mut decoder = Decoder::new(BufReader::new(file));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().ok_or("it is too large")?];
        let info = reader.next_frame(&mut bytes)?;
        let of_pixel = |p: &[u8]| if p.len() < COLOURS { [p[0]; COLOURS] } else { [p[0], p[1], p[2]] };
        let pixels = bytes[..info.buffer_size()].chunks_exact(info.color_type.samples()).map(of_pixel);
        Ok(Picture { width: info.width as usize, pixels: pixels.collect() })
    }

    fn save(&self, folder: &Path, name: &str) -> Result<(), String> {
        let path = folder.join(format!("{name}.png"));
        self.write(&path).map_err(|e| format!("cannot write `{}`: {e}", path.display()))
    }

    fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let [width, height] = [self.width, self.pixels.len() / self.width].map(|side| side as u32);
        let mut encoder = Encoder::new(BufWriter::new(File::create(path)?), width, height);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        Ok(writer.finish()?)
    }
}

fn read(path: &Path) -> Result<Picture, Box<dyn Error>> {
    let picture = File::open(path).map_err(Box::from).and_then(Picture::read);
    picture.map_err(|e| format!("cannot read `{}`: {e}", path.display()).into())
}

/// A landscape with soft gradients, straight and round edges, and fine detail.
fn drawing() -> Picture {
    const WIDTH: u32 = 320;
    let pixel = |at: u32| {
        let (x, y) = (at % WIDTH, at / WIDTH);
        let (fx, fy) = (f64::from(x), f64::from(y));
        let from_sun = (fx - 250.0).hypot(fy - 55.0);
        let hill = 150.0 + 18.0 * (fx / 50.0).sin();
        let (in_house, in_roof) = (inside(fx, 60.0, 150.0) && inside(fy, 120.0, 200.0), roof(fx, fy));
        let window = inside(fx, 76.0, 104.0) && inside(fy, 138.0, 166.0);
        let cross = inside(fx, 89.0, 91.0) || inside(fy, 151.0, 153.0);
        let door = inside(fx, 116.0, 136.0) && inside(fy, 152.0, 200.0);
        let fence = inside(fy, 185.0, 215.0) && inside(fx, 180.0, 305.0) && x % 12 < 4;
        let checked = if (x / 4 + y / 4) % 2 == 0 { [200.0, 60.0, 50.0] } else { [150.0, 40.0, 40.0] };
        let colour = match () {
            () if in_roof => checked,
            () if in_house && window && !cross => [250.0, 230.0, 140.0],
            () if in_house && door => [90.0, 60.0, 40.0],
            () if in_house => [225.0, 215.0, 195.0],
            () if fence => [240.0, 240.0, 235.0],
            () if fy > hill => [60.0 + 0.2 * fx, 150.0 - 0.4 * (fy - hill), 70.0],
            () if from_sun < 28.0 => [255.0, 220.0, 80.0],
            () => [90.0 + 0.5 * fy, 150.0 + 0.4 * fy, 235.0],
        };
        colour.map(|c: f64| c.clamp(0.0, 255.0) as u8)
    };
    Picture { width: WIDTH as usize, pixels: (0..WIDTH * 240).map(pixel).collect() }
}

fn inside(value: f64, from: f64, to: f64) -> bool {
    value >= from && value < to
}

/// A triangle above the house.
fn roof(x: f64, y: f64) -> bool {
    inside(y, 75.0, 120.0) && (x - 105.0).abs() < (y - 75.0) * 1.2
}
