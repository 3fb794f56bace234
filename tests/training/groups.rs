//! Several optimisers in one step, and the names of their rates.

use retape::prelude::*;
use retape::{Error, Result, Value};

use crate::common;

/// Two parameters of one element, and the gradient of the sum of their squares.
fn two(g: &mut Graph) -> Result<([Value; 2], Vec<Value>)> {
    let a = g.parameter("a", [1], Init::Constant(1.0));
    let b = g.parameter("b", [1], Init::Constant(1.0));
    let loss = g.sum(g.add(g.square(a)?, g.square(b)?)?, &[], false)?;
    let gradients = g.differentiate(loss, &[a, b])?;
    Ok(([a, b], gradients))
}

#[test]
fn two_optimisers_of_a_graph_keep_their_rates() -> Result<()> {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let ([a, b], d) = two(&mut g)?;
        Adam::new(0.1).record(&g, &[(a, d[0])])?;
        RmsProp::new(0.001).record(&g, &[(b, d[1])])?;
        let mut session = g.forward(Vec::new())?.session(&device)?;
        session.replay()?;
        let [a, b] = [session.read(a)?[0] - 1.0, session.read(b)?[0] - 1.0];
        assert!((a + 0.1).abs() < 1e-6, "{a}");
        assert!((b + 0.003_162).abs() < 1e-5, "{b}");
        session.set_scalar("learning_rate_2", 0.0)?;
        assert_eq!(session.scalar("learning_rate")?, 0.1);
    }
    Ok(())
}

#[test]
fn a_scalar_has_one_value() -> Result<()> {
    let g = Graph::new();
    let first = g.scalar("rate", 0.5)?;
    assert_eq!(g.scalar("rate", 0.5)?, first);
    let again = g.scalar("rate", 0.9).unwrap_err();
    let text = again.to_string();
    assert!(matches!(again.root(), Error::ScalarDeclared { before: 0.5, now: 0.9, .. }), "{text}");
    assert!(text.contains("groups.rs") && text.contains("`rate`"), "{text}");
    Ok(())
}

#[test]
fn training_steps_of_one_graph_have_rates_of_their_own() -> Result<()> {
    let mut g = Graph::new();
    let w = g.parameter("w", [1], Init::Constant(1.0));
    let loss = g.sum(w, &[], false)?;
    for rate in [0.5, 0.25] {
        let tape = g.training_step(loss, &Sgd::new(rate))?;
        let mut session = tape.session(&Device::reference())?;
        assert_eq!(session.scalar("learning_rate")?, rate);
        session.replay()?;
        session.set_scalar("learning_rate", 0.125)?;
        session.replay()?;
        assert_eq!(session.read(w)?, [0.875 - rate]);
    }
    Ok(())
}

#[test]
fn groups_have_losses_and_optimisers_of_their_own() -> Result<()> {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let a = g.parameter("a", [1], Init::Constant(1.0));
        let b = g.parameter("b", [1], Init::Constant(2.0));
        // A game: one player lowers the product, the other raises it, both from where the step began.
        let product = g.sum(g.mul(a, b)?, &[], false)?;
        let against = g.neg(product)?;
        let (first, second) = (Sgd::new(0.5), Sgd::new(0.25).rate_name("second_rate"));
        let tape = g.training_groups(&[
            ParameterGroup::new(product, &first).parameters(vec![a]),
            ParameterGroup::new(against, &second).parameters(vec![b]),
        ])?;
        assert_eq!(tape.losses(), [product, against]);
        let mut session = tape.session(&device)?;
        session.replay()?;
        assert_eq!((session.read(a)?, session.read(b)?), (vec![0.0], vec![2.25]));
        session.set_scalar("second_rate", 0.0)?;
        session.replay()?;
        assert_eq!((session.read(a)?, session.read(b)?), (vec![-1.125], vec![2.25]));
        let plan = session.verify(&[])?;
        assert!(plan.passes(), "{plan}");
    }
    Ok(())
}

#[test]
fn groups_that_cannot_be() -> Result<()> {
    let mut g = Graph::new();
    let a = g.parameter("a", [1], Init::Ones);
    let b = g.parameter("b", [1], Init::Ones);
    let loss = g.sum(a, &[], false)?;
    let sgd = Sgd::new(0.1);
    let group = |of: Vec<Value>| ParameterGroup::new(loss, &sgd).parameters(of);
    let twice = g.training_groups(&[group(vec![a]), group(vec![a])]).unwrap_err();
    assert!(matches!(twice.root(), Error::Argument { argument: "parameters", value, .. } if value == "`a`"));
    let nothing = g.training_groups(&[group(vec![a]), group(vec![b])]).unwrap_err();
    assert!(matches!(nothing.root(), Error::NothingToTrain), "{nothing}");
    assert!(matches!(g.training_groups(&[]).unwrap_err().root(), Error::NothingToTrain));
    let rest = || ParameterGroup::new(loss, &sgd);
    let two = g.training_groups(&[rest(), rest()]).unwrap_err();
    assert!(matches!(two.root(), Error::Argument { argument: "parameters", .. }), "{two}");
    let x = g.input("x", [1]);
    let input = g.training_groups(&[group(vec![x])]).unwrap_err();
    assert!(matches!(input.root(), Error::NotWritable { .. }), "{input}");
    // A name that the program gave is held to.
    let taken = Adam::new(0.2).rate_name("own").record(&g, &[(a, b)]);
    assert!(taken.is_ok());
    let taken = Adam::new(0.3).rate_name("own").record(&g, &[(b, a)]).unwrap_err();
    assert!(matches!(taken.root(), Error::ScalarDeclared { .. }), "{taken}");
    Ok(())
}

fn data() -> data::Dataset {
    let inputs: Vec<f32> = (0..64).map(|i| (i * 37 % 64) as f32 / 64.0).collect();
    let labels = inputs.chunks(2).map(|p| u32::from(p[0] > p[1])).collect();
    data::Dataset::new([2], inputs, labels, 2).expect("it is whole")
}

fn model() -> Sequential {
    Sequential::new()
        .add(Dense::new(8).activation(Activation::Tanh).named("base"))
        .add(Dense::new(2).named("head"))
}

/// Base and head at different rates, each by a schedule, and biases that stay.
#[test]
fn a_trainer_has_groups() -> Result<()> {
    for (device, accumulate) in [
        (Device::reference(), 1),
        (common::gpu().clone(), 1),
        (Device::reference(), 2),
        (common::gpu().clone(), 2),
    ] {
        let build = || {
            Trainer::new(model(), [2])
                .loss(Loss::SparseCategoricalCrossEntropy)
                .optimizer(Sgd::new(0.5))
                .parameter_group(|w| w.shape.rank() == 1, Sgd::new(0.0).rate_name("bias_rate"))
                .parameter_group(|w| w.layer == "base", Adam::new(0.01).rate_name("base_rate"))
                .schedule_of("base_rate", StepDecay::every(0.01, 4, 0.5))
                .batch_size(8)
                .accumulate(accumulate)
                .build(&device)
        };
        let mut trainer = build()?;
        let before = trainer.weights()?;
        trainer.fit(data(), Fit::epochs(2))?;
        let after = trainer.weights()?;
        for (before, after) in before.arrays.iter().zip(&after.arrays) {
            assert_eq!(before.data == after.data, before.shape.rank() == 1, "{}", before.name);
        }
        let updates = 8 / accumulate as u32;
        let base = 0.01 * 0.5f32.powi((updates / 4) as i32);
        assert_eq!(trainer.scalar("base_rate")?, base);
        assert_eq!(trainer.learning_rate(), 0.5);
        assert_eq!(
            trainer.rates().map(|(name, _)| name).collect::<Vec<_>>(),
            ["learning_rate", "bias_rate", "base_rate"]
        );
        let rates = trainer.history().epochs[1].get("base_rate");
        assert_eq!(rates, Some(f64::from(base)));
        trainer.set_scalar("bias_rate", 0.25)?;
        trainer.scale_learning_rate(0.5)?;
        assert_eq!(trainer.scalar("bias_rate")?, 0.125);
        assert!(trainer.set_scalar("base_rate", 0.1).is_err(), "a schedule gives it");

        // A checkpoint holds every rate: the same bits go on.
        let path =
            std::env::temp_dir().join(format!("groups-{}-{accumulate}.safetensors", std::process::id()));
        trainer.save_checkpoint(&path)?;
        trainer.fit(data(), Fit::epochs(1))?;
        let other = Trainer::new(model(), [2]).loss(Loss::SparseCategoricalCrossEntropy);
        let other = other.optimizer(Sgd::new(0.5)).batch_size(8).accumulate(accumulate).build(&device);
        let refused = other?.load_checkpoint(&path).unwrap_err();
        assert!(refused.to_string().contains("base_rate"), "{refused}");
        let mut resumed = build()?;
        resumed.load_checkpoint(&path)?;
        std::fs::remove_file(&path).ok();
        resumed.fit(data(), Fit::epochs(1).shuffle(true))?;
        assert_eq!(resumed.rates().collect::<Vec<_>>(), trainer.rates().collect::<Vec<_>>());
        assert_eq!(resumed.weights()?, trainer.weights()?);
    }
    Ok(())
}

#[test]
fn a_group_may_be_frozen_and_trained_later() -> Result<()> {
    let mut trainer = Trainer::new(model(), [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.1).clip(Clip::GlobalNorm(1.0)))
        .parameter_group(|w| w.layer == "base", Adam::new(0.01).clip(Clip::GlobalNorm(1.0)).ema(0.5))
        .freeze(["base"])
        .batch_size(8)
        .build(&Device::reference())?;
    let base = trainer.session().parameter("base.weight")?;
    trainer.fit(data(), Fit::epochs(1))?;
    assert_eq!(trainer.session().parameter("base.weight")?, base);
    trainer.unfreeze(["base"])?;
    trainer.fit(data(), Fit::epochs(1))?;
    assert_ne!(trainer.session().parameter("base.weight")?, base);

    let nothing = Trainer::new(model(), [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.1))
        .parameter_group(|w| w.layer == "bass", Adam::new(0.01))
        .build(&Device::reference())
        .map(|_| ())
        .unwrap_err();
    assert!(nothing.to_string().contains("parameter_group"), "{nothing}");
    Ok(())
}

/// A rate that is declared where there are gradients alone does not fall to another optimiser.
#[test]
fn rates_go_by_their_names() -> Result<()> {
    #[derive(Debug)]
    struct Late;
    impl Optimizer for Late {
        fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
            if gradients.is_empty() {
                return Ok(());
            }
            let rate = g.scalar_value(g.rate("late_rate", 0.5))?;
            gradients.iter().try_for_each(|&(w, dw)| g.assign(w, g.sub(w, g.mul(rate, dw)?)?))
        }
    }
    let mut trainer = Trainer::new(model(), [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Late)
        .parameter_group(|w| w.layer == "head", Sgd::new(0.0).rate_name("head_rate"))
        .batch_size(8)
        .build(&Device::reference())?;
    trainer.freeze(["base"])?;
    let head = trainer.session().parameter("head.weight")?;
    trainer.fit(data(), Fit::epochs(1))?;
    assert_eq!(trainer.session().parameter("head.weight")?, head);
    Ok(())
}

/// A group whose weights the loss does not depend on stays as it is.
#[test]
fn an_output_that_is_not_trained_may_be_a_group() -> Result<()> {
    let mut net = Network::new();
    let x = net.input();
    let a = net.add(Dense::new(2).named("a"), x);
    let b = net.add(Dense::new(3).named("b"), x);
    let mut trainer = Trainer::new(net.outputs([a, b]), [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.1))
        .parameter_group(|w| w.layer == "a", Adam::new(0.01))
        .batch_size(8)
        .build(&Device::reference())?;
    let before = trainer.weights()?;
    trainer.fit(data(), Fit::epochs(1))?;
    for (before, after) in before.arrays.iter().zip(&trainer.weights()?.arrays) {
        assert_eq!(before.data == after.data, before.name.starts_with("b."), "{}", before.name);
    }
    Ok(())
}

/// What a plateau takes off all rates is gone from one that is set anew, and from no other.
#[test]
fn a_rate_set_anew_is_as_set() -> Result<()> {
    let mut trainer = Trainer::new(model(), [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(0.5))
        .parameter_group(|w| w.layer == "base", Sgd::new(0.5).rate_name("base_rate"))
        .build(&Device::reference())?;
    trainer.scale_learning_rate(0.0)?;
    trainer.set_learning_rate(0.1)?;
    assert_eq!(trainer.rates().collect::<Vec<_>>(), [("learning_rate", 0.1), ("base_rate", 0.0)]);
    trainer.set_schedule_of("base_rate", CosineDecay::new(0.005, 10))?;
    assert_eq!(trainer.scalar("base_rate")?, 0.005);
    Ok(())
}
