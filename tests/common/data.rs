//! Deterministic contents for inputs.

use retape::Shape;
use retape::random::Stream;

use super::Input;

/// Uniform numbers.
pub fn noise(n: usize, seed: u32, low: f32, high: f32) -> Vec<f32> {
    let stream = Stream { seed, step: 0, stream: 77 };
    (0..n).map(|i| low + (high - low) * stream.uniform(i as u32) as f32).collect()
}

/// An f32 input of uniform numbers.
pub fn uniform(shape: impl Into<Shape>, seed: u32, low: f32, high: f32) -> Input {
    let shape = shape.into();
    Input::F32(shape, noise(shape.numel(), seed, low, high))
}

/// An f32 input of numbers away from zero, of both signs: no kinks within reach of a finite
/// difference.
pub fn signed(shape: impl Into<Shape>, seed: u32) -> Input {
    let shape = shape.into();
    let away = |x: f32| if x >= 0.0 { x + 0.15 } else { x - 0.15 };
    Input::F32(shape, noise(shape.numel(), seed, -1.5, 1.5).into_iter().map(away).collect())
}

/// An f32 input of distinct numbers in scrambled order: no ties.
pub fn distinct(shape: impl Into<Shape>, seed: u32) -> Input {
    let shape = shape.into();
    let order = Stream { seed, step: 0, stream: 78 }.permutation(shape.numel());
    let spread = |i: usize| 0.05 * i as f32 - 0.025 * shape.numel() as f32;
    Input::F32(shape, order.into_iter().map(spread).collect())
}

/// An f32 input of hostile numbers: zeros of both signs, ties, denormals, +-100 to +-400.
pub fn hostile(shape: impl Into<Shape>) -> Input {
    const NUMBERS: [f32; 17] = [
        0.0, -0.0, 1.0, -1.0, 1.0, 100.0, -100.0, 399.5, -399.5, 1e-40, -1e-40, 1e-20, -1e-20, 0.5, -3.0,
        3.0, 88.0,
    ];
    let shape = shape.into();
    Input::F32(shape, (0..shape.numel()).map(|i| NUMBERS[i * 5 % NUMBERS.len()]).collect())
}

/// A u32 input of numbers below `limit`, the first and the last among them.
pub fn indices(shape: impl Into<Shape>, seed: u32, limit: u32) -> Input {
    let shape = shape.into();
    let stream = Stream { seed, step: 0, stream: 79 };
    let mut data: Vec<u32> = (0..shape.numel()).map(|i| stream.words(i as u32)[0] % limit).collect();
    if let [first, .., last] = &mut data[..] {
        (*first, *last) = (0, limit - 1);
    }
    Input::U32(shape, data)
}
