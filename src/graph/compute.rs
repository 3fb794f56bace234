use std::ops::{Deref, DerefMut};

use crate::kernel::Scalar;

/// Computes an operator on the CPU device. Made once for a session, called in every step.
pub type Routine = Box<dyn Fn(&mut Compute<'_>) + Send + Sync>;

/// What a [`Routine`] works with. Written are f32, or u32 where the value's dtype says so.
#[derive(Debug)]
pub struct Compute<'a> {
    /// The inputs, but those that are in `results`.
    pub inputs: Operands<'a>,
    /// The outputs, then the mutated inputs in the order of [`Op::mutates`](super::Op::mutates). Outputs hold
    /// anything at first.
    pub results: &'a mut [Written],
    /// The input whose storage output 0 has taken over, if any: it is in `results[0]`.
    pub in_place: Option<usize>,
    /// Room for what is computed on the way.
    pub scratch: &'a mut Scratch,
    pub(crate) scalars: &'a [f64],
}

/// Where a value lies on the CPU device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    /// Index of its buffer, of which it takes the beginning.
    pub buffer: usize,
    pub len: usize,
}

/// The inputs of a [`Compute`].
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    pub(crate) buffers: &'a [Vec<f32>],
    pub(crate) spots: &'a [Spot],
}

/// A result of a [`Compute`]: a slice of f32.
#[derive(Debug)]
pub struct Written {
    pub(crate) spot: Spot,
    pub(crate) data: Vec<f32>,
}

/// Memory of a session for what operators compute on the way. It grows to the most that one of them asks for.
#[derive(Debug, Default)]
pub struct Scratch(Vec<f64>);

impl std::fmt::Debug for Operands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Operands").field(&self.spots).finish()
    }
}

impl<'a> Operands<'a> {
    /// The elements of an f32 input.
    pub fn f32(&self, input: usize) -> &'a [f32] {
        let Spot { buffer, len } = self.spots[input];
        &self.buffers[buffer][..len]
    }

    /// The elements of a u32 input.
    pub fn u32(&self, input: usize) -> &'a [u32] {
        bytemuck::cast_slice(self.f32(input))
    }
}

impl Written {
    /// The elements of a u32 result.
    pub fn u32(&mut self) -> &mut [u32] {
        bytemuck::cast_slice_mut(self)
    }
}

impl Deref for Written {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[..self.spot.len]
    }
}

impl DerefMut for Written {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.spot.len]
    }
}

impl Scratch {
    /// So many numbers, which may be anything.
    pub fn f32(&mut self, len: usize) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(self.f64(len.div_ceil(2)))[..len]
    }

    /// So many numbers, which may be anything.
    pub fn f64(&mut self, len: usize) -> &mut [f64] {
        if self.0.len() < len {
            self.0.resize(len, 0.0);
        }
        &mut self.0[..len]
    }
}

impl Compute<'_> {
    /// The current value of a per-step scalar.
    pub fn scalar(&self, scalar: Scalar) -> f64 {
        self.scalars[scalar.index()]
    }

    /// The same over the first inputs and results alone.
    pub(crate) fn of_first(&mut self, inputs: usize, results: usize) -> Compute<'_> {
        Compute {
            inputs: Operands { spots: &self.inputs.spots[..inputs], ..self.inputs },
            results: &mut self.results[..results],
            in_place: None,
            scratch: self.scratch,
            scalars: self.scalars,
        }
    }
}
