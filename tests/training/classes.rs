//! Classes by name: all data that a trainer is given means the same by their numbers, and a split that leaves
//! some of them on one side is warned of.

use log::Level;

use crate::common::logs::logged;
use retape::data::{Dataset, Samples, Table};
use retape::prelude::*;
use retape::{Error, Result};

fn trainer() -> Trainer {
    let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(3));
    let built = Trainer::new(model, [1]).loss(Loss::SparseCategoricalCrossEntropy).optimizer(Adam::new(0.05));
    built
        .metrics([Metric::Accuracy])
        .batch_size(8)
        .seed(2)
        .build(&Device::reference())
        .expect("the model fits")
}

/// Samples of the classes at -1, 0 and 1, `each` of each that is named.
fn data(classes: &[(&str, f32)], each: usize) -> Dataset {
    let names: Vec<&str> = classes.iter().map(|class| class.0).collect();
    let inputs = classes.iter().flat_map(|&(_, at)| (0..each).map(move |i| at + 0.02 * i as f32)).collect();
    let labels = (0..names.len() as u32).flat_map(|class| vec![class; each]).collect();
    let data = Dataset::new([1], inputs, labels, names.len() as u32).expect("the labels are in range");
    data.with_class_names(&names).expect("each has a name")
}

const CLASSES: [(&str, f32); 3] = [("ant", -1.0), ("bee", 0.0), ("cat", 1.0)];

/// What an [`Error::ClassMismatch`] is about.
fn mismatch<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    match result {
        Err(Error::ClassMismatch { data, found, expected }) => {
            assert_ne!(found, expected);
            data
        }
        other => panic!("Error::ClassMismatch expected, {other:?} found"),
    }
}

#[test]
fn data_of_other_classes_is_refused() -> Result<()> {
    let (train, subset) = (data(&CLASSES, 8), data(&[CLASSES[0], CLASSES[2]], 8));
    let mut trainer = trainer();
    assert_eq!(mismatch(trainer.fit(&train, Fit::epochs(1).validation(&subset))), "validation data");
    // What was refused has left nothing: the classes may be others yet.
    assert_eq!((trainer.class_names(), trainer.steps()), (None, 0));
    trainer.fit(&train, Fit::epochs(60).validation(&train).progress(false))?;
    assert_eq!(trainer.class_names().expect("the data had names"), ["ant", "bee", "cat"]);

    assert_eq!(mismatch(trainer.evaluate(&subset)), "data to evaluate");
    assert_eq!(mismatch(trainer.fit(&subset, Fit::epochs(1))), "training data");
    assert_eq!(mismatch(trainer.train_on_batch(&subset)), "batch");
    assert_eq!(
        mismatch(trainer.evaluate(subset.one_hot())),
        "data to evaluate",
        "names stay with other targets"
    );
    let error = trainer.evaluate(&subset).expect_err("it lacks a class").to_string();
    assert!(error.contains("class 1 of 2 is `cat`, of 3 trained on `bee`"), "{error}");
    let swapped = data(&[CLASSES[1], CLASSES[0], CLASSES[2]], 8);
    assert_eq!(mismatch(trainer.evaluate(&swapped)), "data to evaluate");

    // In the order of the training, the numbers are right.
    let names: Vec<String> = trainer.class_names().unwrap_or_default().to_vec();
    for other in [subset.clone(), swapped] {
        assert_eq!(trainer.evaluate(&other.reorder_classes(&names)?)?.get("accuracy"), Some(1.0));
    }
    // Data without names is taken at its word, and predictions look at no targets.
    let nameless = Dataset::new([1], vec![-1.0, 1.0], vec![0, 2], 3)?;
    assert_eq!(trainer.evaluate(&nameless)?.get("accuracy"), Some(1.0));
    assert_eq!(trainer.predict_classes(&subset)?[..2], [0, 0]);
    trainer.set_class_names::<&str>(&[]);
    trainer.evaluate(&subset)?;
    trainer.set_class_names(&["x", "y", "z"]);
    assert_eq!(mismatch(trainer.evaluate(&train)), "data to evaluate");
    Ok(())
}

#[test]
fn a_fit_that_never_began_leaves_the_classes_open() -> Result<()> {
    use retape::train::callbacks::EarlyStopping;
    let mut trainer = trainer();
    let (abc, acb) = (data(&CLASSES, 8), data(&[CLASSES[0], CLASSES[2], CLASSES[1]], 8));
    let wrong = trainer.fit(&abc, Fit::epochs(1).callback(EarlyStopping::new("nope")));
    assert!(matches!(wrong, Err(Error::Unknown { .. })), "{wrong:?}");
    assert_eq!((trainer.class_names(), trainer.steps()), (None, 0));
    trainer.fit(&acb, Fit::epochs(0))?;
    assert_eq!(trainer.class_names(), None, "no epoch is no training");
    // Callbacks see the names from the beginning.
    let mut seen = None;
    let fit = Fit::epochs(1).on_epoch_end(|run| {
        seen = run.trainer().class_names().map(<[String]>::to_vec);
        Ok(())
    });
    trainer.fit(&acb, fit)?;
    assert_eq!(seen.as_deref(), acb.class_names());
    // A failure after that leaves what the weights were trained on.
    let again = trainer.fit(&acb, Fit::epochs(1).callback(EarlyStopping::new("nope")));
    assert!(again.is_err());
    assert_eq!(trainer.class_names(), acb.class_names());
    let error = trainer.fit(&abc, Fit::epochs(1)).expect_err("it was trained on others").to_string();
    assert!(error.contains("set_class_names"), "{error}");
    trainer.set_class_names::<&str>(&[]);
    trainer.fit(&abc, Fit::epochs(1))?;
    assert_eq!(trainer.class_names(), abc.class_names());
    Ok(())
}

#[test]
fn a_table_that_lacks_a_class_is_judged_right() -> Result<()> {
    let table = |classes: &[(&str, f32)]| {
        let rows = classes
            .iter()
            .flat_map(|(name, at)| (0..8).map(move |i| format!("{},{name}\n", at + 0.02 * i as f32)));
        Table::parse("t", format!("x,kind\n{}", rows.collect::<String>()).as_bytes())
    };
    let train = table(&CLASSES)?.to_dataset(&["x"], "kind")?;
    let (classes, test) = (train.class_names().expect("a table gives names"), table(&CLASSES[1..])?);
    let mut trainer = trainer();
    trainer.fit(&train, Fit::epochs(60))?;
    let wrong = test.to_dataset(&["x"], "kind")?;
    assert_eq!(mismatch(trainer.evaluate(&wrong)), "data to evaluate");
    let right = test.classes(classes).to_dataset(&["x"], "kind")?;
    assert_eq!(trainer.evaluate(&right)?.get("accuracy"), Some(1.0));
    Ok(())
}

#[test]
fn names_stay_with_the_samples() -> Result<()> {
    let data = data(&CLASSES, 8);
    let names = data.class_names();
    let samples = Samples::from(&data);
    let parts = samples.split([0.5, 0.5], 1)?;
    let (left, right) = samples.stratified_split(0.25, 1)?;
    for part in
        parts.iter().chain([&left, &right, &samples.shuffle(3), &samples.slice(0..2), &data.one_hot()])
    {
        assert_eq!(part.class_names.as_deref(), names);
    }
    let unknown = data.clone().reorder_classes(&["ant", "bee"]);
    assert!(matches!(&unknown, Err(Error::Unknown { name, .. }) if name == "cat"), "{unknown:?}");
    let twice = data.clone().reorder_classes(&["ant", "bee", "cat", "bee"]);
    assert!(matches!(twice, Err(Error::DuplicateName { .. })), "{twice:?}");
    let nameless = Dataset::new([1], vec![0.0], vec![0], 1)?.reorder_classes(&["ant"]);
    assert!(matches!(nameless, Err(Error::Argument { .. })), "{nameless:?}");
    Ok(())
}

#[test]
fn a_split_of_sorted_data_is_warned_of() -> Result<()> {
    let heard_so_far = || logged(Level::Warn);
    heard_so_far();
    let data = data(&CLASSES, 8);
    let heard = |fit: Fit<'_>| -> Result<Vec<String>> {
        trainer().fit(&data, fit)?;
        Ok(heard_so_far())
    };
    let warned = heard(Fit::epochs(1).validation_split(0.33))?;
    assert_eq!(warned.len(), 1, "{warned:?}");
    for part in
        ["the samples to train on lack `cat`", "the samples split off lack `ant`, `bee`", "stratified"]
    {
        assert!(warned[0].contains(part), "{warned:?}");
    }
    assert_eq!(heard(Fit::epochs(1).stratified_split(0.33))?, [""; 0]);
    assert_eq!(heard(Fit::epochs(1).shuffled_split(0.5))?, [""; 0]);
    let _ = data.clone().split_last(0.33)?;
    assert_eq!(heard_so_far().len(), 1);

    // A class of one sample has one side whichever way the samples are split.
    let mut lone: Vec<u32> = vec![0; 12];
    (lone[11], lone[5]) = (2, 1);
    let lone = Dataset::new([1], vec![0.0; 12], lone, 3)?.with_class_names(&["ant", "bee", "cat"])?;
    let told = |fit: Fit<'_>| -> Result<String> {
        trainer().fit(&lone, fit)?;
        let heard = heard_so_far();
        assert_eq!(heard.len(), 1, "{heard:?}");
        Ok(heard.concat())
    };
    for (fit, split) in [
        (Fit::epochs(1).validation_split(0.25), "a split by position: "),
        (Fit::epochs(1).shuffled_split(0.25), "a shuffled split: "),
        (Fit::epochs(1).stratified_split(0.25), "a stratified split: "),
    ] {
        let heard = told(fit)?;
        assert!(heard.starts_with(split) && heard.contains("`bee`") && heard.contains("`cat`"), "{heard}");
        assert!(heard.ends_with("A class of one sample has but one side"), "{heard}");
    }
    // Of two samples, chance may put both on one side, where a stratified split does not.
    let pair = Dataset::new([1], vec![0.0; 40], [vec![0; 38], vec![1; 2]].concat(), 3)?;
    for seed in 0..50 {
        let [left, right] = Samples::from(&pair).split([0.9, 0.1], seed)?;
        let is_warned = [left, right]
            .iter()
            .any(|side| side.targets.as_ref().and_then(|t| t.data.as_u32()).is_some_and(|l| !l.contains(&1)));
        let model = Sequential::new().add(Dense::new(3));
        let built =
            Trainer::new(model, [1]).loss(Loss::SparseCategoricalCrossEntropy).optimizer(Sgd::new(0.1));
        let mut trainer = built.batch_size(8).seed(seed).build(&Device::reference())?;
        trainer.fit(&pair, Fit::epochs(1).shuffled_split(0.1))?;
        let heard = heard_so_far();
        assert_eq!(heard.len(), usize::from(is_warned), "{heard:?}");
        assert!(
            heard.iter().all(|heard| heard.contains("a shuffled split: ") && heard.contains("stratified"))
        );
        if is_warned {
            break;
        }
    }

    // Targets of a hinge loss are classes too.
    let signs = |signs: Vec<f32>| Samples::new().input([1], vec![0.5; 12]).target([1], signs);
    let hinge = |signs: &Samples<'_>, fit: Fit<'_>| -> Result<Vec<String>> {
        let built = Trainer::new(Sequential::new().add(Dense::new(1)), [1]).loss(Loss::Hinge);
        built.optimizer(Sgd::new(0.1)).batch_size(4).build(&Device::reference())?.fit(signs, fit)?;
        Ok(heard_so_far())
    };
    let sorted = signs([vec![-1.0; 8], vec![1.0; 4]].concat());
    let heard = hinge(&sorted, Fit::epochs(1).validation_split(0.25))?;
    assert!(heard.len() == 1 && heard[0].contains("the samples split off lack `-1`"), "{heard:?}");
    assert_eq!(hinge(&sorted, Fit::epochs(1).stratified_split(0.25))?, [""; 0]);

    let regression = Samples::new().input([1], vec![0.0; 4]).target([1], vec![0.5, 0.1, 0.2, 0.3]);
    let built = Trainer::new(Sequential::new().add(Dense::new(1)), [1]).loss(Loss::MeanSquaredError);
    let mut trainer = built.optimizer(Sgd::new(0.1)).batch_size(2).build(&Device::reference())?;
    trainer.fit(&regression, Fit::epochs(1).validation_split(0.5))?;
    assert_eq!(heard_so_far(), [""; 0]);
    let unlabelled = trainer.fit(&regression, Fit::epochs(1).stratified_split(0.5));
    assert!(matches!(unlabelled, Err(Error::NoLabels)), "{unlabelled:?}");
    for fit in [Fit::epochs(1).shuffled_split(1.0), Fit::epochs(1).stratified_split(-0.1)] {
        let wrong = trainer.fit(&regression, fit);
        assert!(matches!(wrong, Err(Error::Argument { argument: "validation_split", .. })), "{wrong:?}");
    }
    Ok(())
}
