//! What the tests share: a case that describes one operator call, and the two checks that every
//! case goes through.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod cases;
pub mod data;
pub mod descent;
pub mod folder;
pub mod host;
pub mod logs;
pub mod metric_data;
pub mod momentum;
pub mod simulate;
pub mod special;
pub mod steps;
pub mod twice;
pub mod unrolled;

use std::sync::OnceLock;

use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile, Plan};
use retape::testing::*;
use retape::{HostData, Result, SessionOptions};

/// The GPU that the tests run on: `RETAPE_TEST_DEVICE` (part of an adapter's name) or whatever
/// `Device::gpu` finds. No adapter is a failure, never a reason to skip.
pub fn gpu() -> &'static Device {
    static GPU: OnceLock<Device> = OnceLock::new();
    GPU.get_or_init(open_gpu)
}

/// The same GPU opened once more, as a device of its own.
pub fn open_gpu() -> Device {
    let opened = match std::env::var("RETAPE_TEST_DEVICE") {
        Ok(name) if !name.is_empty() => Device::named(&name),
        _ => Device::gpu(),
    };
    opened.unwrap_or_else(|e| panic!("these tests need a GPU adapter, hardware or software: {e}"))
}

/// Contents of an input.
#[derive(Clone, Debug)]
pub enum Input {
    F32(Shape, Vec<f32>),
    U32(Shape, Vec<u32>),
}

type Build = dyn Fn(&mut Graph, &[Value]) -> Result<Value> + Send + Sync;

/// One operator call with its inputs. Its name is a one-line description to reproduce it by.
pub struct Case {
    pub name: String,
    pub inputs: Vec<Input>,
    pub build: Box<Build>,
    /// Whether the function is smooth at these inputs, so that finite differences apply.
    pub smooth: bool,
}

impl Case {
    pub fn new(
        name: impl Into<String>,
        inputs: Vec<Input>,
        build: impl Fn(&mut Graph, &[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        Case { name: name.into(), inputs, build: Box::new(build), smooth: true }
    }

    /// The same operators on numbers of half precision.
    pub fn in_half(self) -> Self {
        let Case { name, inputs, build, smooth } = self;
        let narrow = move |g: &mut Graph, inputs: &[Value]| {
            let half = |&x: &Value| if g.ty(x)?.dtype == DType::F32 { g.cast(x, DType::F16) } else { Ok(x) };
            let inputs: Vec<Value> = inputs.iter().map(half).collect::<Result<_>>()?;
            build(g, &inputs)
        };
        Case { name: format!("{name}, f16"), inputs, build: Box::new(narrow), smooth }
    }

    /// Marks a case whose inputs include kinks, ties or overflow: its kernels are checked, its
    /// finite differences are not.
    pub fn rough(mut self) -> Self {
        self.smooth = false;
        self
    }

    /// The case as a tape: the result, a loss that weighs every element of it differently, and
    /// the gradients of the loss with respect to the f32 inputs.
    pub fn record(&self) -> Result<Recorded> {
        let mut g = Graph::new();
        let declare = |g: &mut Graph, (index, input): (usize, &Input)| match input {
            Input::F32(shape, _) => g.input(&format!("x{index}"), *shape),
            Input::U32(shape, _) => g.indices(&format!("x{index}"), *shape),
        };
        let inputs: Vec<Value> = self.inputs.iter().enumerate().map(|i| declare(&mut g, i)).collect();
        let y = (self.build)(&mut g, &inputs)?;
        let floats = inputs.iter().zip(&self.inputs).filter(|(_, i)| matches!(i, Input::F32(..)));
        let wrt: Vec<Value> = floats.map(|(&v, _)| v).collect();
        if !g.ty(y)?.dtype.is_float() || wrt.is_empty() {
            let tape = g.forward([y])?;
            return Ok(Recorded { tape, inputs, wrt: Vec::new(), y, loss: None, grads: Vec::new() });
        }
        let shape = g.shape(y)?;
        let weights = g.constant(shape, &data::noise(shape.numel(), 99, 0.5, 1.5))?;
        let loss = g.sum(g.mul(g.cast(y, DType::F32)?, weights)?, &[], false)?;
        let grads = g.differentiate(loss, &wrt)?;
        let mut kept = vec![y, loss];
        kept.extend(&grads);
        Ok(Recorded { tape: g.forward(kept)?, inputs, wrt, y, loss: Some(loss), grads })
    }

    /// The contents of its inputs.
    pub fn host_data<'a>(&'a self, inputs: &[Value]) -> Vec<(Value, HostData<'a>)> {
        let data = |input: &'a Input| match input {
            Input::F32(_, data) => HostData::from(data),
            Input::U32(_, data) => HostData::from(data),
        };
        inputs.iter().zip(&self.inputs).map(|(&v, input)| (v, data(input))).collect()
    }

    /// The plan of the case's tape for the device as if it were of `kind`: the kernels that a
    /// device of the other kind would be given are correct on this one too.
    pub fn plan(&self, tape: &Tape, device: &Device, kind: DeviceKind) -> Plan {
        let profile = device.profile().expect("kernels run on GPU adapters").clone();
        tape.plan(&DeviceProfile { kind, ..profile }).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    /// Runs the forward and backward kernels that a device of `kind` gets on poisoned, guarded
    /// buffers and compares each operator with its reference.
    pub fn check_kernels(&self, device: &Device, kind: DeviceKind) {
        let profile = device.profile().expect("kernels run on GPU adapters").clone();
        self.check_planned(device, &DeviceProfile { kind, ..profile });
    }

    /// The same by the plan for a profile.
    pub fn check_planned(&self, device: &Device, profile: &DeviceProfile) {
        let recorded = self.record().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let options = guarded(SessionOptions::new());
        let plan = recorded.tape.plan(profile).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let mut session = session_with_plan(&recorded.tape, device, plan, options)
            .unwrap_or_else(|e| panic!("{}: {e}", self.name));
        poison(&session);
        let checked = session
            .verify(&self.host_data(&recorded.inputs))
            .unwrap_or_else(|e| panic!("{}: {e}", self.name));
        assert!(checked.passes(), "{}\n{}\n{checked}", self.name, recorded.tape);
        let broken = broken_guards(&session).expect("guards can be read");
        assert!(broken.is_empty(), "{}: wrote past the end of buffers {broken:?}", self.name);
        // A whole replay gives what the operators gave one by one.
        let one_by_one = session.read(recorded.y).ok();
        session.replay().expect("the step replays");
        let replayed = session.read(recorded.y).ok();
        let bits = |data: Option<Vec<f32>>| data.map(|d| d.into_iter().map(f32::to_bits).collect::<Vec<_>>());
        assert_eq!(bits(replayed), bits(one_by_one), "{}: replay differs", self.name);
    }

    /// Runs forward and backward on the CPU device, fused and as recorded, and compares each operator with its
    /// reference.
    pub fn check_on_cpu(&self) {
        let recorded = self.record().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let host = self.host_data(&recorded.inputs);
        for fuse in [true, false] {
            let options = SessionOptions::new().fuse(fuse);
            let built = recorded.tape.session_with(&Device::cpu(), options);
            let mut session = built.unwrap_or_else(|e| panic!("{}: {e}", self.name));
            // What a second step finds in the buffers is no part of its results.
            for _ in 0..2 {
                let checked = session.verify(&host).unwrap_or_else(|e| panic!("{}: {e}", self.name));
                assert!(checked.passes(), "{}\n{}\n{checked}", self.name, recorded.tape);
            }
            let bits = |session: &Session| {
                let read = session.read(recorded.y).ok();
                read.map(|data| data.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            };
            let one_by_one = bits(&session);
            session.replay().expect("the step replays");
            assert_eq!(bits(&session), one_by_one, "{}: replay differs", self.name);
        }
    }

    /// The recorded case on the reference, with its inputs written.
    pub fn on_reference(&self, recorded: &Recorded) -> Session {
        let mut session = recorded.tape.session(&Device::reference()).expect("the reference takes any tape");
        for (value, data) in self.host_data(&recorded.inputs) {
            match data {
                HostData::F32(data) => session.write(value, data),
                HostData::U32(data) => session.write(value, data),
                _ => panic!("data of another type"),
            }
            .expect("the inputs fit");
        }
        session
    }

    /// Compares the reference gradients with central differences of the reference loss, at every
    /// element of small inputs and a spread of larger ones.
    pub fn check_gradients(&self) {
        self.check_gradients_at(24);
    }

    /// The same at about so many elements of each input.
    pub fn check_gradients_at(&self, elements: usize) {
        let recorded = self.record().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let Some(loss) = recorded.loss else { return };
        let mut session = self.on_reference(&recorded);
        // Every replay is of the same step, so that random operators draw the same numbers.
        let step = session.step();
        session.replay().expect("the step replays");
        let grads: Vec<Vec<f32>> = recorded.grads.iter().map(|&g| session.read(g).expect("kept")).collect();
        let floats = self.inputs.iter().filter_map(|input| match input {
            Input::F32(_, data) => Some(data),
            Input::U32(..) => None,
        });
        for ((&input, data), grad) in recorded.wrt.iter().zip(floats).zip(&grads) {
            let stride = (data.len() / elements).max(1);
            for index in (0..data.len()).step_by(stride) {
                let mut loss_at = |by: f32| {
                    let mut moved = data.clone();
                    moved[index] += by;
                    session.write(input, &moved).expect("the input fits");
                    session.set_step(step);
                    session.replay().expect("the step replays");
                    let exact = f64::from(moved[index]) - f64::from(data[index]);
                    (exact, session.read_f64(loss).expect("kept")[0])
                };
                let by = 1e-3 * data[index].abs().max(0.1);
                let (up, high) = loss_at(by);
                let (down, low) = loss_at(-by);
                let slope = (high - low) / (up - down);
                let found = f64::from(grad[index]);
                // Central differences are off by `by`^2 / 6 times the third derivative.
                let tolerance = 2e-4 * (1.0 + slope.abs().max(found.abs()));
                assert!(
                    (slope - found).abs() <= tolerance,
                    "{}: gradient of element {index} of {input:?} is {found}, differences say {slope}",
                    self.name
                );
            }
            session.write(input, data).expect("the input fits");
        }
    }
}

/// A recorded case.
pub struct Recorded {
    pub tape: Tape,
    pub inputs: Vec<Value>,
    pub wrt: Vec<Value>,
    pub y: Value,
    pub loss: Option<Value>,
    pub grads: Vec<Value>,
}
