//! Kernels as plain data: shader sources with their reflection, parameter blocks, grids and the
//! calls an operator lowers to. Nothing here names a graphics API.

mod generated;
mod grid;
mod half;
mod params;
mod profile;
mod roofline;
mod scalar;
mod shader;
mod work;

pub use grid::{FOLD, Grid};
pub use params::{Field, ParamField, Params};
pub use profile::{DeviceKind, DeviceProfile};
pub use roofline::{Clock, Roofline};
pub use scalar::{Scalar, ScalarInfo};
pub use shader::{Access, EntryPoint, Shader};
pub use work::Work;
pub(crate) use work::share;

use crate::error::Setting;

/// Which buffer of an operator a kernel binding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slot {
    /// The operator's input of this index.
    Input(usize),
    /// The inputs from the first to the last index of a run: those that the plan laid side by side
    /// ([`Lowering::runs`](crate::ops::Lowering::runs)).
    Inputs(usize, usize),
    /// The operator's output of this index.
    Output(usize),
    /// Scratch space of this index, requested with
    /// [`Lowering::scratch`](crate::ops::Lowering::scratch).
    Scratch(usize),
}

/// One binding of a kernel call: a slot, or a range of it.
#[derive(Clone, Copy, Debug)]
pub struct Bind {
    /// The buffer.
    pub slot: Slot,
    /// First byte; a multiple of 256. Of values of half precision, twice as many bytes are counted as they have: 4 an
    /// element, as of all others.
    pub offset: u64,
    /// Bytes from `offset`, counted likewise; `None` for all that is left.
    pub bytes: Option<u64>,
}

impl From<Slot> for Bind {
    fn from(slot: Slot) -> Self {
        Bind { slot, offset: 0, bytes: None }
    }
}

/// One dispatch of a kernel, as an operator lowers to it.
#[derive(Clone, Debug)]
#[must_use]
pub struct KernelCall {
    pub(crate) shader: &'static Shader,
    pub(crate) entry: &'static str,
    pub(crate) constants: Vec<(&'static str, f64)>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) params: Vec<u8>,
    pub(crate) fields: &'static [Field],
    pub(crate) scalars: Vec<(&'static str, Scalar)>,
    pub(crate) grid: Grid,
    elementwise: Option<Elementwise>,
    pub(crate) finish: Option<Finish>,
    pub(crate) loops: u64,
    pub(crate) multiply_adds: Option<u64>,
    pub(crate) issued: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

/// How the invocations of a call lie over its bindings.
#[derive(Clone, Copy, Debug)]
struct Elementwise {
    /// Byte offset of the parameter that holds the number of invocations.
    count_at: usize,
    invocations: usize,
    /// Bytes of each binding that an invocation works on.
    bytes: usize,
}

/// How a kernel that ends in `finish` of `finish.wgsl` numbers what it stores: the row and the column of the
/// element at place `i` of a result are `(i / inner) % extent`, given as `[inner, extent]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finish {
    pub row: Option<[usize; 2]>,
    pub column: Option<[usize; 2]>,
}

impl Finish {
    /// That of matrices of so many rows and columns, one after the other.
    pub fn matrices(rows: usize, columns: usize) -> Self {
        Finish { row: Some([columns, rows]), column: Some([1, columns]) }
    }
}

/// Bindings begin at multiples of this many bytes, on every device.
pub(crate) const BINDING_ALIGNMENT: usize = 256;

impl KernelCall {
    /// A call of `entry` in `shader`. Bindings are given in the order of the numbers that the
    /// entry point uses.
    pub fn new(shader: &'static Shader, entry: &'static str) -> Self {
        KernelCall {
            shader,
            entry,
            constants: Vec::new(),
            binds: Vec::new(),
            params: Vec::new(),
            fields: &[],
            scalars: Vec::new(),
            grid: Grid::groups([1, 1, 1]),
            elementwise: None,
            finish: None,
            loops: 0,
            multiply_adds: None,
            issued: None,
            bytes: None,
        }
    }

    /// Sets an `override` constant of the shader.
    pub fn constant(mut self, name: &'static str, value: f64) -> Self {
        self.constants.push((name, value));
        self
    }

    /// Adds the next binding.
    pub fn bind(mut self, bind: impl Into<Bind>) -> Self {
        self.binds.push(bind.into());
        self
    }

    /// Adds several bindings.
    pub fn binds(mut self, slots: impl IntoIterator<Item = impl Into<Bind>>) -> Self {
        self.binds.extend(slots.into_iter().map(Into::into));
        self
    }

    /// Sets the parameter block (`var<immediate>` in the shader).
    pub fn params<P: Params>(mut self, params: &P) -> Self {
        self.params = params.bytes();
        self.fields = P::FIELDS;
        self
    }

    /// Writes the current value of a per-step scalar into the parameter field `field` each time
    /// the call is encoded. An unknown field name is reported when the call is planned.
    pub fn scalar(mut self, field: &'static str, scalar: Scalar) -> Self {
        self.scalars.push((field, scalar));
        self
    }

    /// Where the parameter field of this name begins, if there is one.
    pub(crate) fn offset_of(&self, field: &str) -> Option<usize> {
        self.fields.iter().find(|f| f.name == field).map(|f| f.offset)
    }

    /// Sets the f32 parameter fields of the settings' names, where there are any.
    pub(crate) fn settings(mut self, settings: &[Setting]) -> Self {
        for Setting { name, value, .. } in settings {
            if let Some(offset) = self.offset_of(name) {
                self.params[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        self
    }

    /// Says how the kernel numbers what it puts through `finish`, if it does.
    pub(crate) fn finish(mut self, finish: Option<Finish>) -> Self {
        self.finish = finish;
        self
    }

    /// Sets the number of workgroups.
    pub fn grid(mut self, grid: Grid) -> Self {
        self.grid = grid;
        self
    }

    /// Declares the most loop iterations that an invocation goes through, those of nested loops and
    /// of loops in a row added up. A device that would cut them short is then refused.
    pub fn loops(mut self, iterations: usize) -> Self {
        self.loops = iterations as u64;
        self
    }

    /// Says how many of its operator's multiply-adds the call makes, such as none of them where it only moves or adds
    /// up what others make. Calls that say nothing share the rest.
    pub fn multiply_adds(mut self, count: u64) -> Self {
        self.multiply_adds = Some(count);
        self
    }

    /// Says how many multiply-adds the call's workgroups go through, where that is more than it makes.
    pub(crate) fn issued(mut self, count: u64) -> Self {
        self.issued = Some(count);
        self
    }

    /// Says how many bytes the call reads and writes, where that is less than its bindings cover: a few rows of a
    /// table, one step of a sequence.
    pub fn bytes(mut self, count: u64) -> Self {
        self.bytes = Some(count);
        self
    }

    /// Sets the grid of an elementwise kernel in workgroups of 64: `invocations`, whose number the
    /// parameter `count` holds, of which each touches its own `elements` neighbours in every binding
    /// and nothing else, or the one element of a binding that holds a single number. Bindings larger
    /// than the device allows are then worked on in ranges.
    pub fn elementwise(mut self, count: &'static str, invocations: usize, elements: usize) -> Self {
        let over = |count_at| Elementwise { count_at, invocations, bytes: 4 * elements };
        self.elementwise = self.offset_of(count).map(over);
        self.grid(Grid::linear(invocations, 64))
    }

    /// The calls that do the same with no range of a binding larger than `limit` bytes; itself if it
    /// is not elementwise. `sizes` are those of the bindings' buffers, and `narrowing` the largest of theirs.
    pub(crate) fn in_ranges(self, sizes: &[u64], limit: u64, narrowing: u64) -> Vec<KernelCall> {
        let Some(Elementwise { count_at, invocations, bytes }) = self.elementwise else { return vec![self] };
        let alignment = BINDING_ALIGNMENT * narrowing as usize;
        let most = usize::try_from(limit).unwrap_or(usize::MAX) / alignment * alignment / bytes;
        let whole = invocations.saturating_mul(bytes) as u64;
        let range = |start: usize| {
            let count = most.min(invocations - start);
            let mut call = self.clone().grid(Grid::linear(count, 64));
            call.params[count_at..count_at + 4].copy_from_slice(&(count as u32).to_le_bytes());
            let part = |all: u64| (u128::from(all) * count as u128 / invocations as u128) as u64;
            (call.multiply_adds, call.bytes) = (self.multiply_adds.map(part), self.bytes.map(part));
            for (bind, &size) in call.binds.iter_mut().zip(sizes) {
                // All but the operands of a single number, which every range reads.
                if size >= whole.min(limit + 1) {
                    let (offset, bytes) = ((start * bytes) as u64, (count * bytes) as u64);
                    *bind = Bind { offset, bytes: Some(bytes.min(size - offset)), ..*bind };
                }
            }
            call
        };
        (0..invocations).step_by(most.max(1)).map(range).collect()
    }
}
