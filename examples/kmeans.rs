//! k-means: the centres of four clusters among a hundred points, by Lloyd's algorithm (IEEE Transactions
//! on Information Theory 28(2), 1982) from a k-means++ start (Arthur and Vassilvitskii, SODA 2007).
//!
//! It teaches an algorithm that is no network on the same tape: distances by a matrix product, members
//! by an argmax and a one-hot matrix, sums by another product, and centres that are a state, which the
//! tape moves itself. A program on the host checks the result.

mod common;

use std::process::ExitCode;

use common::loops::Progress;
use common::{Example, Flags, Outcome, Results, positive, round};
#[cfg(feature = "plots")]
use retape::plot::{self, Panel};
use retape::prelude::*;
use retape::random::Stream;

const EXAMPLE: Example = Example {
    name: "kmeans",
    about: "Finds the clusters of a hundred points with Lloyd's algorithm on the device.",
    unused: &["data", "batch"],
};

const POINTS: usize = 100;
/// Where points are scattered around, in turn, and the deviation of each cloud.
const MIDDLES: [[f64; 2]; 4] = [[-3.0, -2.0], [3.0, -2.5], [-2.0, 3.0], [2.5, 2.5]];
const DEVIATION: f64 = 0.9;
/// The most iterations unless `--epochs` says otherwise.
const ITERATIONS: usize = 100;

type Point = [f32; 2];

/// The flags of this example alone.
#[derive(clap::Args)]
struct Own {
    /// Clusters to look for; no more than there are points
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = positive)]
    clusters: usize,
}

/// One iteration in a session: points are given to their nearest centres, and centres move to the
/// means of their points.
struct Lloyd {
    session: Session,
    centres: Value,
    nearest: Value,
    inertia: Value,
    moved: Value,
}

impl Lloyd {
    fn new(device: &Device, points: &[Point], start: &[Point]) -> retape::Result<Self> {
        let (n, k) = (points.len(), start.len());
        let mut g = Graph::new();
        let x = g.input("points", [n, 2]);
        let centres = g.state("centres", [k, 2], Init::Zeros);

        // |x - c|^2 = |x|^2 - 2 x c + |c|^2, of which |x|^2 is the same for all centres: the nearest one
        // has the largest 2 x c - |c|^2.
        let products = g.matmul_with(x, centres, false, true)?;
        let lengths = g.sum(g.square(centres)?, &[1], false)?;
        let closeness = g.sub(g.mul(products, g.scalar_constant(2.0))?, lengths)?;
        let nearest = g.argmax(closeness, 1)?;
        let member = g.one_hot(nearest, k)?;

        let from_own = g.sub(x, g.matmul(member, centres)?)?;
        let inertia = g.sum(g.square(from_own)?, &[], false)?;

        // A cluster that has lost all its points keeps its centre.
        let counts = g.reshape(g.sum(member, &[0], false)?, [k, 1])?;
        let sums = g.matmul_with(member, x, true, false)?;
        let means = g.div(sums, g.maximum(counts, g.scalar_constant(1.0))?)?;
        let next = g.select(counts, means, centres)?;
        let moved = g.sum(g.abs(g.sub(next, centres)?)?, &[], false)?;
        g.assign(centres, next)?;

        let mut session = g.forward([nearest, inertia, moved])?.session(device)?;
        session.write(x, points.as_flattened())?;
        session.write(centres, start.as_flattened())?;
        Ok(Lloyd { session, centres, nearest, inertia, moved })
    }

    /// Makes an iteration; returns the sum of squared distances to the centres as they were, and how far
    /// these moved.
    fn step(&mut self) -> retape::Result<[f64; 2]> {
        self.session.replay()?;
        let read = |value| self.session.read_scalar(value).map(f64::from);
        Ok([read(self.inertia)?, read(self.moved)?])
    }
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let points = points(flags.seed, flags.limit.unwrap_or(POINTS).min(POINTS));
    if own.clusters > points.len() {
        let (points, clusters) = (points.len(), own.clusters);
        let help = format!("lower `--clusters`, or raise `--limit` to at most {POINTS}");
        return Err(format!("{points} points do not make {clusters} clusters: {help}").into());
    }
    let device = flags.open_device()?;
    let start = plus_plus(flags.seed, &points, own.clusters);
    println!("{} points, {} clusters", points.len(), own.clusters);

    let most = flags.epochs.unwrap_or(ITERATIONS);
    let mut lloyd = Lloyd::new(&device, &points, &start)?;
    let mut progress = Progress::of("iteration", most, 1);
    let mut inertias = Vec::new();
    let mut moving = true;
    while moving && inertias.len() < most {
        let [inertia, moved] = lloyd.step()?;
        progress.steps(1);
        progress.epoch(&[("inertia", inertia), ("moved", moved)]);
        inertias.push(inertia);
        moving = moved > 0.0;
    }
    let history = progress.finish();
    println!("{}", if moving { "the centres still move" } else { "nothing moves any more" });

    let centres: Vec<Point> = lloyd.session.read(lloyd.centres)?.as_chunks().0.to_vec();
    let nearest = if inertias.is_empty() { Vec::new() } else { lloyd.session.read_u32(lloyd.nearest)? };
    for (cluster, [x, y]) in centres.iter().enumerate() {
        let members = nearest.iter().filter(|&&c| c as usize == cluster).count();
        println!("cluster {cluster}: {members:3} points around ({x:.4}, {y:.4})");
    }
    let differences = differences(&centres, &on_the_host(&points, &start, inertias.len()));
    let largest = differences.iter().copied().fold(0.0, f64::max);
    println!("the host's centres are the same within {largest:.1e}");
    // Coordinates are below 10, and a mean of a hundred of them is rounded a hundred times.
    if !differences.iter().all(|&difference| difference <= 1e-4) {
        return Err(format!("the centres differ from those of the host by {largest}").into());
    }
    #[cfg(feature = "plots")]
    if !nearest.is_empty() {
        picture(flags, &points, &nearest, &centres);
    }

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("points", points.len());
    results.set("clusters", own.clusters);
    results.set("epochs", inertias.len());
    results.set("converged", !moving);
    results.set("inertia", inertias.last().map(|&inertia| round(inertia, 6)));
    results.set("inertias", inertias.iter().map(|&inertia| round(inertia, 6)).collect::<Vec<_>>());
    results
        .set("centres", centres.iter().map(|c| c.map(|v| round(v.into(), 6)).to_vec()).collect::<Vec<_>>());
    results.set("largest_difference", largest);
    results.history(history);
    Ok(results)
}

/// Points around the middles in turn, normally distributed.
fn points(seed: u32, count: usize) -> Vec<Point> {
    let stream = Stream { seed, step: 0, stream: 2 };
    let coordinate = |i: usize, axis: usize| {
        (MIDDLES[i % MIDDLES.len()][axis] + DEVIATION * stream.normal((2 * i + axis) as u32)) as f32
    };
    (0..count).map(|i| [coordinate(i, 0), coordinate(i, 1)]).collect()
}

/// Centres to begin with: a point at random, then again and again one of the others, each the likelier
/// the larger the square of its distance from the nearest centre so far.
fn plus_plus(seed: u32, points: &[Point], clusters: usize) -> Vec<Point> {
    let stream = Stream { seed, step: 0, stream: 3 };
    let first = (stream.uniform(0) * points.len() as f64) as usize;
    let mut centres = vec![points[first]];
    while centres.len() < clusters {
        let away = |point: &Point| {
            centres.iter().map(|centre| squared_distance(*point, *centre)).fold(f64::INFINITY, f64::min)
        };
        let weights: Vec<f64> = points.iter().map(away).collect();
        let mut at = stream.uniform(centres.len() as u32) * weights.iter().sum::<f64>();
        let passed = |weight: &f64| {
            at -= weight;
            at < 0.0
        };
        let chosen = weights.iter().position(passed).unwrap_or(points.len() - 1);
        centres.push(points[chosen]);
    }
    centres
}

/// So many of Lloyd's iterations, in loops and in f64.
fn on_the_host(points: &[Point], start: &[Point], iterations: usize) -> Vec<[f64; 2]> {
    let mut centres: Vec<[f64; 2]> = start.iter().map(|centre| centre.map(f64::from)).collect();
    for _ in 0..iterations {
        let mut sums = vec![([0.0, 0.0], 0.0); centres.len()];
        for point in points {
            let distance = |c: usize| squared_distance(*point, centres[c]);
            let nearest = (1..centres.len()).fold(0, |n, c| if distance(c) < distance(n) { c } else { n });
            let ([x, y], count) = &mut sums[nearest];
            *x += f64::from(point[0]);
            *y += f64::from(point[1]);
            *count += 1.0;
        }
        for (centre, (sum, count)) in centres.iter_mut().zip(sums) {
            if count > 0.0 {
                *centre = sum.map(|s| s / count);
            }
        }
    }
    centres
}

fn squared_distance<T: Into<f64> + Copy>(point: Point, centre: [T; 2]) -> f64 {
    let square = |axis: usize| (f64::from(point[axis]) - centre[axis].into()).powi(2);
    square(0) + square(1)
}

fn differences(centres: &[Point], host: &[[f64; 2]]) -> Vec<f64> {
    let pairs = centres.as_flattened().iter().zip(host.as_flattened());
    pairs.map(|(&a, &b)| (f64::from(a) - b).abs()).collect()
}

/// The points in the colours of their clusters, and the centres as rings.
#[cfg(feature = "plots")]
fn picture(flags: &Flags, points: &[Point], nearest: &[u32], centres: &[Point]) {
    let place = |&[x, y]: &Point| (f64::from(x), f64::from(y));
    let mut panel = Panel::new("").axes("x", "y");
    for cluster in 0..centres.len() {
        let members = points.iter().zip(nearest).filter(|&(_, &c)| c as usize == cluster);
        let mut members = members.map(|(point, _)| place(point)).peekable();
        if members.peek().is_some() {
            panel = panel.dots(format!("cluster {cluster}"), members);
        }
    }
    let panel = panel.rings("centres", centres.iter().map(place));
    flags.picture("kmeans_clusters", |path| plot::panels(path, std::slice::from_ref(&panel)));
}
