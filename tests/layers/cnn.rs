//! Convolutional networks as wholes: training is reproducible, both paths agree, evaluation sees the
//! running statistics, and every named architecture runs a training step within the memory planned.

use crate::common;
use retape::nn::architectures::Shortcut;
use retape::nn::{Recorded, record};
use retape::prelude::*;

/// A training step of a classifier.
struct Net {
    tape: Tape,
    x: Value,
    labels: Value,
    losses: Vec<Value>,
    recorded: Recorded,
    input: [usize; 4],
    classes: u32,
}

impl Net {
    /// For a whole batch of images; a model of several outputs gets a loss for each.
    fn new(model: &dyn Layer, input: [usize; 4], classes: u32, optimizer: &dyn Optimizer) -> Net {
        let mut g = Graph::new();
        let x = g.input("x", input);
        let labels = g.labels("labels", [input[0]]);
        let recorded = record(model, &mut g, &[x], Mode::Training).unwrap();
        let loss = |&logits: &Value| g.softmax_cross_entropy(logits, labels).unwrap();
        let losses: Vec<Value> = recorded.outputs.iter().map(loss).collect();
        let tape = g.training_step(losses.clone(), optimizer).unwrap();
        Net { tape, x, labels, losses, recorded, input, classes }
    }

    fn session(&self, device: &Device, seed: u32) -> Session {
        self.tape.session_with(device, SessionOptions::new().seed(seed)).unwrap()
    }

    /// The batch of a step: noise around a level that the class decides.
    fn feed(&self, session: &mut Session, step: u32) {
        let batch = self.input[0] as u32;
        let labels: Vec<u32> = (0..batch).map(|i| (i * 7 + step) % self.classes).collect();
        let size = self.input[1..].iter().product::<usize>();
        let mut images = common::data::noise(labels.len() * size, 100 + step, -1.0, 1.0);
        for (image, &label) in images.chunks_exact_mut(size).zip(&labels) {
            image.iter_mut().for_each(|pixel| *pixel += label as f32 / self.classes as f32);
        }
        session.write(self.x, &images).unwrap();
        session.write(self.labels, &labels).unwrap();
    }

    fn train(&self, session: &mut Session, steps: u32) {
        for step in 0..steps {
            self.feed(session, step);
            session.replay().unwrap();
        }
    }

    fn loss(&self, session: &Session) -> f64 {
        session.read_f64(self.losses[0]).unwrap()[0]
    }
}

fn bits(session: &Session, values: &[Value]) -> Vec<u32> {
    values.iter().flat_map(|&v| session.read(v).unwrap()).map(f32::to_bits).collect()
}

/// Everything that makes training depend on more than its data: dropout draws, batch
/// normalisation keeps statistics, pools break ties between the zeros of a rectifier.
fn small() -> Sequential {
    let conv = |filters| Conv2d::new(filters, 3).padding(Padding::Same).bias(false);
    Sequential::new()
        .add(conv(8))
        .add(BatchNorm::new())
        .add(Activation::Relu)
        .add(MaxPool2d::new(2))
        .add(SpatialDropout::new(0.1))
        .add(conv(12))
        .add(BatchNorm::new())
        .add(Activation::Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dropout::new(0.3))
        .add(Dense::new(5))
}

const SMALL_INPUT: [usize; 4] = [10, 2, 13, 12];

fn mnist_cnn() -> Sequential {
    Sequential::new()
        .add(Conv2d::new(10, 5).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(20, 5).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10))
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    let net = Net::new(&small(), SMALL_INPUT, 5, &RmsProp::new(1e-3));
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let epoch = |seed| {
            let mut session = net.session(&device, seed);
            net.train(&mut session, 30);
            (bits(&session, &net.recorded.parameters), bits(&session, &net.recorded.states))
        };
        let first = epoch(3);
        assert_eq!(first.1.len(), 2 * (8 + 12));
        assert!(first.0.iter().chain(&first.1).all(|&b| f32::from_bits(b).is_finite()));
        assert_eq!(epoch(3), first, "{device}");
        let other = epoch(4);
        assert!(other.0 != first.0 && other.1 != first.1, "{device}");

        // The same parameters and other masks.
        let mut session = net.session(&device, 3);
        session.set_seed(4);
        net.train(&mut session, 2);
        let masked = bits(&session, &net.recorded.parameters);
        let mut session = net.session(&device, 3);
        net.train(&mut session, 2);
        assert_ne!(bits(&session, &net.recorded.parameters), masked, "{device}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing_on_the_cpu_path() {
    let net = Net::new(&small(), SMALL_INPUT, 5, &Adam::new(1e-3));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut session = net.session(&Device::reference(), 1);
            net.train(&mut session, 3);
            (bits(&session, &net.recorded.parameters), bits(&session, &net.recorded.states))
        })
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn the_first_twenty_losses_agree_with_the_cpu_path() {
    for optimizer in [&Sgd::new(0.05).momentum(0.9) as &dyn Optimizer, &RmsProp::new(1e-3), &Adam::new(1e-3)]
    {
        let net = Net::new(&small(), SMALL_INPUT, 5, optimizer);
        let (mut cpu, mut gpu) = (net.session(&Device::reference(), 7), net.session(common::gpu(), 7));
        for step in 0..20 {
            for session in [&mut cpu, &mut gpu] {
                net.feed(session, step);
                session.replay().unwrap();
            }
            let (want, got) = (net.loss(&cpu), net.loss(&gpu));
            let error = ((got - want) / want).abs();
            assert!(error <= 1e-4, "{optimizer:?}, step {step}: {got} against {want}");
        }
    }
}

#[test]
fn every_operator_is_right_several_steps_in() {
    let narrow = |shortcut| architectures::resnet_cifar(1, 5, shortcut);
    let momentum = Sgd::new(0.1).momentum(0.9).weight_decay(1e-4);
    let nets = [
        Net::new(&mnist_cnn(), [6, 1, 28, 28], 10, &RmsProp::new(1e-3)),
        Net::new(&small(), SMALL_INPUT, 5, &Adam::new(1e-3)),
        Net::new(&narrow(Shortcut::Identity), [4, 3, 12, 12], 5, &momentum),
        Net::new(&narrow(Shortcut::Projection), [3, 3, 9, 11], 5, &momentum),
    ];
    for net in &nets {
        let mut session = net.session(common::gpu(), 5);
        for step in 0..7 {
            net.feed(&mut session, step);
            if step % 3 == 0 {
                let checked = session.verify(&[]).unwrap();
                assert!(checked.passes(), "step {step}\n{checked}");
            }
            session.replay().unwrap();
        }
    }
}

/// What training averages, evaluation uses: at another batch size, without a copy, and without
/// changing it.
#[test]
fn evaluation_shares_the_running_statistics() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let model = Sequential::new().add(BatchNorm::new()).add(Dense::new(3)).add(Dropout::new(0.5));
        let mut g = Graph::new();
        let x = g.input("x", [8, 4]);
        let recorded = record(&model, &mut g, &[x], Mode::Training).unwrap();
        let loss = g.mean(g.square(recorded.outputs[0]).unwrap(), &[], false).unwrap();
        let tape = g.training_step(loss, &Sgd::new(0.1)).unwrap();
        let mut training = tape.session_with(&device, SessionOptions::new().seed(1)).unwrap();

        let mut g = Graph::new();
        let eval_x = g.input("x", [2, 4]);
        let evaluated = record(&model, &mut g, &[eval_x], Mode::Evaluation).unwrap();
        let y = evaluated.outputs[0];
        let options = SessionOptions::new().share_parameters(&training);
        let mut evaluation = g.forward([y]).unwrap().session_with(&device, options).unwrap();

        let data = common::data::noise(8, 5, -1.0, 1.0);
        evaluation.write(eval_x, &data).unwrap();
        for steps in [0, 1, 5] {
            for step in 0..steps {
                training.write(x, &common::data::noise(32, step, 2.0, 6.0)).unwrap();
                training.replay().unwrap();
            }
            let before = bits(&training, &recorded.states);
            evaluation.replay().unwrap();
            assert_eq!(bits(&evaluation, &evaluated.states), before);
            assert_eq!(bits(&training, &recorded.states), before, "evaluation moves no statistics");

            let state = |i: usize| training.read(recorded.states[i]).unwrap();
            let parameter = |name: &str| training.parameter(name).unwrap();
            let (mean, variance) = (state(0), state(1));
            let (scale, shift) = (parameter("batch_norm.scale"), parameter("batch_norm.shift"));
            let (weight, bias) = (parameter("dense.weight"), parameter("dense.bias"));
            assert_eq!(steps > 0, mean.iter().all(|m| *m > 0.1), "{mean:?}");
            for (i, &got) in evaluation.read(y).unwrap().iter().enumerate() {
                let (row, unit) = (i / 3, i % 3);
                let normal = |c: usize| {
                    let x = f64::from(data[row * 4 + c] - mean[c]);
                    x / (f64::from(variance[c]) + 1e-5).sqrt() * f64::from(scale[c]) + f64::from(shift[c])
                };
                let sum: f64 = (0..4).map(|c| normal(c) * f64::from(weight[c * 3 + unit])).sum();
                approx::assert_relative_eq!(f64::from(got), sum + f64::from(bias[unit]), epsilon = 1e-5);
            }
        }
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One training step on the GPU at a reduced resolution: the loss is a number, and the first and
/// the last layer learn.
fn runs(name: &str, model: &dyn Layer, input: [usize; 4]) {
    let net = Net::new(model, input, 10, &Sgd::new(0.01));
    let mut session = net.session(common::gpu(), 1);
    let plan = session.plan().expect("a GPU session has a plan");
    println!(
        "{name} {input:?}: {} dispatches, peak {:.1} MiB, {:.1} MiB without sharing",
        plan.dispatches.len(),
        mib(plan.peak_bytes()),
        mib(plan.unshared_bytes())
    );
    assert!(plan.peak_bytes() < plan.unshared_bytes());
    let parameters = &net.recorded.parameters;
    let ends = [parameters[0], parameters[parameters.len() - 2], parameters[parameters.len() - 1]];
    let before = ends.map(|v| bits(&session, &[v]));
    net.feed(&mut session, 0);
    session.replay().unwrap();
    for &loss in &net.losses {
        let loss = session.read_scalar(loss).unwrap();
        assert!(loss.is_finite() && loss > 0.0, "{name}: a loss of {loss}");
    }
    for (&value, before) in ends.iter().zip(before) {
        let after = bits(&session, &[value]);
        assert!(after.iter().all(|&b| f32::from_bits(b).is_finite()), "{name}");
        assert_ne!(after, before, "{name}: a layer that does not learn");
    }
}

#[test]
fn lenet5_and_alexnet_run_a_training_step() {
    runs("lenet5", &architectures::lenet5(10), [4, 1, 32, 32]);
    runs("alexnet", &architectures::alexnet(10), [2, 3, 67, 67]);
    runs("alexnet_one_gpu", &architectures::alexnet_one_gpu(10), [2, 3, 67, 67]);
}

#[test]
fn vgg_runs_a_training_step() {
    runs("vgg16", &architectures::vgg16(10), [2, 3, 32, 32]);
    runs("vgg19", &architectures::vgg19(10), [2, 3, 32, 32]);
}

#[test]
fn googlenet_runs_a_training_step() {
    runs("googlenet", &architectures::googlenet(10), [2, 3, 64, 64]);
    runs("googlenet_with_auxiliary", &architectures::googlenet_with_auxiliary(10), [2, 3, 79, 79]);
}

#[test]
fn resnets_run_a_training_step() {
    runs("resnet20", &architectures::resnet20(10), [4, 3, 32, 32]);
    runs("resnet18", &architectures::resnet18(10), [2, 3, 64, 64]);
    runs("resnet34", &architectures::resnet34(10), [2, 3, 64, 64]);
    runs("resnet101", &architectures::resnet101(10), [2, 3, 32, 32]);
    runs("resnet152", &architectures::resnet152(10), [2, 3, 32, 32]);
}

/// ResNet-50 allocates what its plan says before anything is allocated.
#[test]
fn resnet50_takes_the_memory_that_its_plan_prints() {
    // A device of its own: other tests allocate on the shared one.
    let device = &common::open_gpu();
    let net = Net::new(&architectures::resnet50(1000), [8, 3, 64, 64], 1000, &Sgd::new(0.01));
    let plan =
        net.tape.fuse(device.profile().expect("a GPU")).plan(device.profile().expect("a GPU")).unwrap();
    print!("{plan}");
    let (peak, unshared) = (plan.peak_bytes(), plan.unshared_bytes());
    assert!(plan.to_string().contains(&format!("{:.1} KiB", peak as f64 / 1024.0)), "{plan}");
    assert!(5 * peak <= 3 * unshared, "{:.1} MiB of {:.1} MiB", mib(peak), mib(unshared));

    let allocated = || {
        let (wgpu, _) = device.wgpu().unwrap();
        wgpu.poll(retape::wgpu::PollType::wait_indefinitely()).unwrap();
        let hal = wgpu.get_internal_counters().hal;
        (hal.buffers.read() as usize, hal.buffer_memory.read() as u64)
    };
    let mut session = net.session(device, 1);
    net.feed(&mut session, 0);
    session.replay().unwrap();
    let with = allocated();
    let loss = session.read_scalar(net.losses[0]).unwrap();
    assert!((loss - 1000f32.ln()).abs() < 3.0, "{loss}");
    drop(session);
    let without = allocated();
    let (buffers, bytes) = (with.0 - without.0, with.1 - without.1);
    println!("planned {} buffers, {peak} bytes; allocated {buffers}, {bytes}", plan.buffers.len());
    assert_eq!(buffers, plan.buffers.len());
    // A driver may round each buffer up.
    assert!((peak..=peak + 256 * buffers as u64).contains(&bytes), "{bytes} allocated, {peak} planned");
}
