//! Training on both paths: the same losses, the same gradients, the same optimisers.

use crate::common;
use retape::compare;
use retape::prelude::*;
use retape::{Result, SessionOptions};

struct Net {
    tape: Tape,
    x: Value,
    labels: Value,
    loss: Value,
    parameters: Vec<Value>,
}

/// 20-32-16-5 with softmax cross-entropy over 12 samples.
fn classifier(optimizer: &dyn Optimizer) -> Result<Net> {
    let mut g = Graph::new();
    let x = g.input("x", [12, 20]);
    let labels = g.labels("labels", [12]);
    let mut h = x;
    let mut parameters = Vec::new();
    for (index, (inputs, outputs)) in [(20, 32), (32, 16), (16, 5)].into_iter().enumerate() {
        h = g.layer(&format!("dense{index}"), |g| {
            let w = g.parameter(&format!("w{index}"), [inputs, outputs], Init::HeNormal);
            let b = g.parameter(&format!("b{index}"), [outputs], Init::Zeros);
            parameters.extend([w, b]);
            let y = g.add(g.matmul(h, w)?, b)?;
            if index < 2 { g.relu(y) } else { Ok(y) }
        })?;
    }
    let loss = g.softmax_cross_entropy(h, labels)?;
    let tape = g.training_step(loss, optimizer)?.keep_gradients();
    Ok(Net { tape, x, labels, loss, parameters })
}

fn feed(session: &mut Session, net: &Net, step: u32) {
    session.write(net.x, &common::data::noise(12 * 20, 100 + step, -1.0, 1.0)).unwrap();
    let labels: Vec<u32> = (0..12).map(|i| (i * 7 + step) % 5).collect();
    session.write(net.labels, &labels).unwrap();
}

/// The first ten steps of an MLP, GPU against CPU: loss to 1e-5 relative, and every gradient
/// within the tolerance of its operator, accumulated over a network three layers deep.
#[test]
fn the_first_ten_steps_agree_with_the_cpu_path() {
    for optimizer in [&Sgd::new(0.1).momentum(0.9) as &dyn Optimizer, &RmsProp::new(1e-3), &Adam::new(1e-3)] {
        let net = classifier(optimizer).unwrap();
        let options = SessionOptions::new().seed(7);
        let mut cpu = net.tape.session_with(&Device::reference(), options).unwrap();
        let mut gpu = net.tape.session_with(common::gpu(), options).unwrap();
        for step in 0..10 {
            feed(&mut cpu, &net, step);
            feed(&mut gpu, &net, step);
            let verified = gpu.verify(&[]).unwrap();
            assert!(verified.passes(), "{optimizer:?}, step {step}\n{verified}");
            cpu.replay().unwrap();
            gpu.replay().unwrap();
            let (want, got) = (cpu.read_f64(net.loss).unwrap()[0], gpu.read_f64(net.loss).unwrap()[0]);
            assert!(
                (got - want).abs() <= 1e-5 * want.abs(),
                "{optimizer:?}, step {step}: {got} against {want}"
            );
            for &parameter in &net.parameters {
                let grad = net.tape.gradient(parameter).unwrap();
                let (want, got) = (cpu.read_f64(grad).unwrap(), gpu.read_f64(grad).unwrap());
                // 2e-5 of the largest element: rounding differences in the forward pass reach
                // every element through sums of terms as large as that.
                let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let worst = compare(&got, &want, &vec![2e-5 * largest; want.len()]);
                assert!(worst.passes(), "{optimizer:?}, step {step}, {parameter:?}: {worst}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let train = |seed: u32| {
            let net = classifier(&Adam::new(1e-2)).unwrap();
            let mut session = net.tape.session_with(&device, SessionOptions::new().seed(seed)).unwrap();
            for step in 0..20 {
                feed(&mut session, &net, step);
                session.replay().unwrap();
            }
            let names = session.parameter_names();
            let data = names.iter().flat_map(|n| session.parameter(n).unwrap());
            data.map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(train(1), train(1));
        assert_ne!(train(1), train(2));
    }
}

/// Each optimiser against its formula in f64, over 100 steps of a quadratic.
#[test]
fn optimisers_follow_their_formulas() {
    type Rule = Box<dyn FnMut(usize, f64, f64) -> f64>;
    let n = 5;
    let cases: Vec<(Box<dyn Optimizer>, Rule)> = vec![
        (Box::new(Sgd::new(0.05)), Box::new(|_, w, g| w - 0.05 * g)),
        (Box::new(Sgd::new(0.05).weight_decay(0.1)), Box::new(|_, w, g| w - 0.05 * (g + 0.1 * w))),
        (Box::new(Sgd::new(0.02).momentum(0.9)), {
            let mut u = vec![0.0; n];
            Box::new(move |i, w, g| {
                u[i] = 0.9 * u[i] + g;
                w - 0.02 * u[i]
            })
        }),
        (Box::new(Sgd::new(0.02).momentum(0.8).nesterov()), {
            let mut u = vec![0.0; n];
            Box::new(move |i, w, g| {
                u[i] = 0.8 * u[i] + g;
                w - 0.02 * (g + 0.8 * u[i])
            })
        }),
        (Box::new(RmsProp::new(0.01).rho(0.95).weight_decay(0.01)), {
            let mut v = vec![0.0; n];
            Box::new(move |i, w, g| {
                let g = g + 0.01 * w;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                w - 0.01 * g / (f64::sqrt(v[i]) + 1e-7)
            })
        }),
        (Box::new(Adam::new(0.02).betas(0.8, 0.99)), {
            let (mut m, mut v, mut t) = (vec![0.0; n], vec![0.0; n], vec![0i32; n]);
            Box::new(move |i, w, g| {
                t[i] += 1;
                m[i] = 0.8 * m[i] + 0.2 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                let (m_hat, v_hat) = (m[i] / (1.0 - 0.8f64.powi(t[i])), v[i] / (1.0 - 0.99f64.powi(t[i])));
                w - 0.02 * m_hat / (v_hat.sqrt() + 1e-8)
            })
        }),
    ];
    let start = [1.0f32, -2.0, 0.5, 3.0, -0.25];
    for (optimizer, mut rule) in cases {
        let mut want: Vec<f64> = start.iter().map(|&w| f64::from(w)).collect();
        for _ in 0..100 {
            want = want.iter().enumerate().map(|(i, &w)| rule(i, w, 2.0 * w * (i as f64 + 1.0))).collect();
        }
        for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
            let mut g = Graph::new();
            let w = g.parameter("w", [n], Init::Values(start.to_vec()));
            let scale = g.constant([n], &[1.0f32, 2.0, 3.0, 4.0, 5.0]).unwrap();
            let loss = g.sum(g.mul(scale, g.square(w).unwrap()).unwrap(), &[], false).unwrap();
            let mut session = g.training_step(loss, optimizer.as_ref()).unwrap().session(&device).unwrap();
            session.replay_n(100).unwrap();
            for (got, want) in session.parameter("w").unwrap().iter().zip(&want) {
                approx::assert_abs_diff_eq!(f64::from(*got), *want, epsilon = 1e-5);
            }
        }
    }
}

/// Several losses add up, and a parameter used twice gathers both gradients.
#[test]
fn several_losses_add_up() {
    let mut g = Graph::new();
    let w = g.parameter("w", [2], Init::Values(vec![3.0, -1.0]));
    let a = g.sum(g.square(w).unwrap(), &[], false).unwrap();
    let b = g.sum(g.mul(w, g.scalar_constant(5.0)).unwrap(), &[], false).unwrap();
    let tape = g.training_step([a, b], &Sgd::new(0.5)).unwrap().keep_gradients();
    let grad = tape.gradient(w).unwrap();
    let mut session = tape.session(common::gpu()).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(grad).unwrap(), [11.0, 3.0]);
    assert_eq!(session.parameter("w").unwrap(), [-2.5, -2.5]);
    assert_eq!((session.read(a).unwrap(), session.read(b).unwrap()), (vec![10.0], vec![10.0]));
}

#[test]
fn stop_gradient_stops() {
    let mut g = Graph::new();
    let w = g.parameter("w", [1], Init::Constant(3.0));
    let frozen = g.parameter("frozen", [1], Init::Constant(2.0));
    let loss = g.sum(
        g.mul(g.square(w).unwrap(), g.stop_gradient(g.square(frozen).unwrap()).unwrap()).unwrap(),
        &[],
        false,
    );
    let tape = g.training_step(loss.unwrap(), &Sgd::new(0.1)).unwrap().keep_gradients();
    assert!(tape.gradient(frozen).is_none());
    let grad = tape.gradient(w).unwrap();
    let mut session = tape.session(common::gpu()).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(grad).unwrap(), [24.0]);
    assert_eq!(session.parameter("frozen").unwrap(), [2.0]);
}

/// Each training step of a graph has its own optimiser: rate, moments and all.
#[test]
fn two_training_steps_of_one_graph_keep_their_rates() {
    let mut g = Graph::new();
    let w = g.parameter("w", [1], Init::Ones);
    let loss = g.sum(w, &[], false).unwrap();
    let fast = g.training_step(loss, &Sgd::new(0.5)).unwrap();
    let slow = g.training_step(loss, &Sgd::new(0.125)).unwrap();
    for (tape, rate) in [(fast, 0.5), (slow, 0.125)] {
        let mut session = tape.session(common::gpu()).unwrap();
        assert_eq!(session.scalar("learning_rate").unwrap(), rate);
        session.replay().unwrap();
        assert_eq!(session.parameter("w").unwrap(), [1.0 - rate]);
        session.set_scalar("learning_rate", 0.25).unwrap();
        session.replay().unwrap();
        assert_eq!(session.parameter("w").unwrap(), [0.75 - rate]);
    }
}

/// An optimiser made of graph operators reads its rate when the step is encoded.
#[test]
fn an_optimiser_of_ones_own_follows_the_learning_rate() {
    #[derive(Debug)]
    struct SignSgd;
    impl Optimizer for SignSgd {
        fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
            let rate = g.scalar_value(g.rate("learning_rate", 0.5))?;
            gradients.iter().try_for_each(|&(w, dw)| g.assign(w, g.sub(w, g.mul(rate, g.sign(dw)?)?)?))
        }
    }
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let w = g.parameter("w", [2], Init::Values(vec![3.0, -2.0]));
        let loss = g.sum(g.square(w).unwrap(), &[], false).unwrap();
        let mut session = g.training_step(loss, &SignSgd).unwrap().session(&device).unwrap();
        session.replay().unwrap();
        assert_eq!(session.parameter("w").unwrap(), [2.5, -1.5]);
        session.set_scalar("learning_rate", 0.25).unwrap();
        session.replay().unwrap();
        assert_eq!(session.parameter("w").unwrap(), [2.25, -1.25]);
    }
}
