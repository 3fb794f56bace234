//! Samples in memory: what they are made of, how they are taken apart, and what is said about those that do
//! not fit together; splits by seed and by class; features brought to one scale.

use std::borrow::Cow;

use retape::data::{
    Column, ColumnData, Dataset, MinMax, Samples, Standardize, channels_first, one_hot, split_indices,
    stratified_indices,
};
use retape::{DType, Error, Result, Shape};

fn numbered(n: usize) -> Dataset {
    let inputs = (0..2 * n).map(|i| i as f32).collect();
    Dataset::new([2], inputs, (0..n as u32).collect(), n as u32).expect("the labels are in range")
}

/// Five samples with an input of words, one of numbers, targets and weights.
fn mixed() -> Samples<'static> {
    Samples::new()
        .input([3], (0..15u32).collect::<Vec<_>>())
        .input([], vec![0.5f32, 1.5, 2.5, 3.5, 4.5])
        .target([1, 2], (0..10).map(|i| i as f32 / 10.0).collect::<Vec<_>>())
        .weights(vec![1.0, 0.0, 2.0, 0.25, 1.0])
}

#[test]
fn samples_hold_inputs_targets_and_weights() -> Result<()> {
    let samples = mixed();
    samples.check()?;
    assert_eq!((samples.len(), samples.is_empty()), (5, false));
    assert_eq!(samples.input_shapes(), [Shape::from([3]), Shape::scalar()]);
    let dtypes: Vec<DType> = samples.inputs.iter().map(|input| input.data.dtype()).collect();
    assert_eq!(dtypes, [DType::U32, DType::F32]);
    assert_eq!(samples.inputs[0].data.as_u32().map(<[u32]>::len), Some(15));
    assert_eq!(samples.inputs[0].data.as_f32(), None);
    assert_eq!(Samples::new().len(), 0);
    Ok(())
}

#[test]
fn a_dataset_is_borrowed() -> Result<()> {
    let data = numbered(3);
    let samples = Samples::from(&data);
    samples.check()?;
    assert_eq!(samples.inputs[0].shape, Shape::from([2]));
    let targets = samples.targets.as_ref().expect("a data set has labels");
    assert_eq!((targets.shape, targets.data.as_u32()), (Shape::scalar(), Some(&[0, 1, 2][..])));
    let borrowed = samples.inputs[0].data.as_f32().expect("inputs are f32");
    assert_eq!(borrowed.as_ptr(), data.inputs().as_ptr());
    assert_eq!(Samples::from(data.clone()), samples);
    Ok(())
}

#[test]
fn slices_do_not_copy() {
    for samples in [mixed(), Samples::from(&mixed()).into_owned()] {
        let part = samples.slice(1..3);
        assert_eq!(part, samples.select(&[1, 2]));
        assert_eq!(part.len(), 2);
        let all = samples.inputs[0].data.as_u32().expect("words are u32");
        let words = part.inputs[0].data.as_u32().expect("words are u32");
        assert_eq!((words, words.as_ptr()), (&[3, 4, 5, 6, 7, 8][..], all[3..].as_ptr()));
        assert!(matches!(part.weights, Some(Cow::Borrowed(&[0.0, 2.0]))));
    }
    let again = mixed();
    let view = Samples::from(&again);
    assert!(matches!(&view.inputs[1].data, ColumnData::F32(Cow::Borrowed(_))));
    assert_eq!(view, again);
}

#[test]
fn batches_take_over_the_buffers() {
    let samples = mixed();
    let mut batch = Samples::new();
    samples.gather(&[4, 0, 4], &mut batch);
    assert_eq!(batch.inputs[0], Column::new([3], vec![12u32, 13, 14, 0, 1, 2, 12, 13, 14]));
    assert_eq!(batch.inputs[1], Column::new([], vec![4.5f32, 0.5, 4.5]));
    assert_eq!(batch.targets, Some(Column::new([1, 2], vec![0.8f32, 0.9, 0.0, 0.1, 0.8, 0.9])));
    assert_eq!(batch.weights.as_deref(), Some(&[1.0, 1.0, 1.0][..]));
    let address = |batch: &Samples<'_>| batch.inputs[0].data.as_u32().map(<[u32]>::as_ptr);
    let before = address(&batch);
    samples.gather(&[1, 2, 3], &mut batch);
    assert_eq!(address(&batch), before);
    assert_eq!(batch, samples.slice(1..4));

    // What the batch held before does not shine through.
    Samples::from(&numbered(2)).gather(&[1], &mut batch);
    assert_eq!(batch, Samples::new().input([2], vec![2.0f32, 3.0]).labels(vec![1]));
    assert_eq!(mixed().select(&[]).len(), 0);
}

#[test]
fn columns_have_to_agree() {
    let check = |samples: Samples<'_>| samples.check().expect_err("the samples do not fit together");
    assert!(matches!(check(Samples::new()), Error::NoInputs));
    assert!(matches!(check(Samples::new().labels(vec![1])), Error::NoInputs));

    let error = check(mixed().input([2], &[0.0f32; 8]));
    assert!(matches!(&error, Error::SampleCount { name, found: 4, expected: 5 } if name == "input 2"));
    assert_eq!(error.to_string(), "`input 2` has 4 samples, the first input has 5");
    let error = check(mixed().labels(&[1, 2, 3, 4, 5, 6][..]));
    assert!(matches!(error, Error::SampleCount { name, found: 6, .. } if name == "targets"));
    let error = check(mixed().weights(vec![1.0; 4]));
    assert!(matches!(error, Error::SampleCount { name, found: 4, .. } if name == "weights"));

    let error = check(Samples::new().input([3], &[0.0f32; 7]));
    assert!(matches!(&error, Error::PartialSample { name, elements: 7, .. } if name == "input 0"));
    let error = check(mixed().target([4], &[0.0f32; 21]));
    assert!(matches!(&error, Error::PartialSample { name, .. } if name == "targets"));
    let error = check(Samples::new().input([2, 0], &[0.0f32; 4]));
    assert!(matches!(error, Error::EmptyDimension { .. }));
    let error = check(Samples::new().input([2], Vec::<f32>::new()).labels(vec![]));
    assert!(matches!(error, Error::NoSamples { name } if name == "input 0"));
}

#[test]
fn targets_and_weights_are_finite() -> Result<()> {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut targets = vec![0.0; 5];
        targets[3] = bad;
        match mixed().target([], targets).check() {
            Err(Error::NonFinite { name, index: 3, value }) => {
                assert_eq!((name.as_str(), value.to_bits()), ("targets", bad.to_bits()));
            }
            other => panic!("Error::NonFinite expected, {other:?} found"),
        }
    }
    for bad in [f32::NAN, f32::INFINITY, -0.5] {
        let wrong = mixed().weights(vec![1.0, 1.0, bad, bad, 1.0]).check();
        assert!(matches!(wrong, Err(Error::SampleWeight { index: 2, .. })), "{wrong:?}");
    }
    // Inputs may be anything.
    Samples::new().input([], vec![f32::NAN; 2]).labels(vec![0, 1]).check()
}

#[test]
fn labels_become_rows() -> Result<()> {
    assert_eq!(one_hot(&[1, 0, 2], 3)?, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(one_hot(&[], 3)?, [0.0; 0]);
    assert!(matches!(one_hot(&[0, 3], 3), Err(Error::LabelOutOfRange { index: 1, label: 3, limit: 3, .. })));
    let data = numbered(3);
    let samples = data.one_hot();
    samples.check()?;
    let targets = samples.targets.expect("one-hot targets were made");
    assert_eq!(
        (targets.shape, targets.data.as_f32()),
        (Shape::from([3]), Some(&one_hot(&[0, 1, 2], 3)?[..]))
    );
    Ok(())
}

/// Every index of the parts, in order: `0..n` if each is there once.
fn sorted(parts: &[Vec<usize>]) -> Vec<usize> {
    let mut all = parts.concat();
    all.sort_unstable();
    all
}

#[test]
fn splits_hold_every_sample_once() -> Result<()> {
    for (n, fractions, sizes) in [
        (10, &[0.7, 0.2, 0.1][..], &[7, 2, 1][..]),
        (11, &[0.5, 0.5], &[6, 5]),
        (3, &[0.98, 0.01, 0.01], &[1, 1, 1]),
        (257, &[0.8, 0.1, 0.1], &[205, 26, 26]),
        (1, &[1.0], &[1]),
        (7, &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0], &[3, 2, 2]),
    ] {
        let parts = split_indices(n, fractions, 3)?;
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{n} by {fractions:?}");
        assert_eq!(sorted(&parts), (0..n).collect::<Vec<_>>());
    }
    let parts = split_indices(257, &[0.5, 0.5], 3)?;
    assert_ne!(parts, split_indices(257, &[0.5, 0.5], 4)?);
    assert_eq!(parts, split_indices(257, &[0.5, 0.5], 3)?);
    assert_ne!(parts.concat(), sorted(&parts), "the samples are shuffled");
    Ok(())
}

#[test]
fn fractions_are_checked() {
    let argument = |wrong: Result<Vec<Vec<usize>>>| match wrong {
        Err(Error::Argument { argument, .. }) => argument,
        other => panic!("Error::Argument expected, {other:?} found"),
    };
    for fractions in [&[][..], &[0.5, 0.4], &[0.5, 0.6], &[1.5, -0.5], &[1.0, 0.0], &[f64::NAN, 0.5]] {
        assert_eq!(argument(split_indices(10, fractions, 0)), "fractions", "{fractions:?}");
    }
    assert_eq!(argument(split_indices(2, &[0.4, 0.3, 0.3], 0)), "number of samples");
}

#[test]
fn classes_keep_their_shares() -> Result<()> {
    // 60, 30, 9, 2 and 1 samples, not in order.
    let mut labels: Vec<u32> = [(0, 60), (1, 30), (7, 9), (8, 2), (9, 1)]
        .iter()
        .flat_map(|&(label, count)| vec![label; count])
        .collect();
    labels.reverse();
    for (fraction, shares) in [(0.2, [12, 6, 1, 1, 0]), (0.01, [1, 1, 1, 1, 0]), (0.99, [59, 29, 8, 1, 0])] {
        let (left, right) = stratified_indices(&labels, fraction, 5)?;
        let count = |side: &[usize], class: u32| side.iter().filter(|&&i| labels[i] == class).count();
        assert_eq!([0, 1, 7, 8, 9].map(|class| count(&right, class)), shares, "{fraction}");
        assert_eq!(count(&left, 9), 1);
        assert_eq!(sorted(&[left, right]), (0..102).collect::<Vec<_>>());
    }
    let (left, right) = stratified_indices(&labels, 0.3, 1)?;
    assert_eq!(right.len(), 31, "the whole is rounded once");
    assert_ne!(right, stratified_indices(&labels, 0.3, 2)?.1);
    assert!(!left.is_sorted() && !right.is_sorted());
    for fraction in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(matches!(stratified_indices(&labels, fraction, 1), Err(Error::Argument { .. })));
    }
    for labels in [&[][..], &[4], &[1, 2, 3]] {
        assert!(matches!(stratified_indices(labels, 0.5, 1), Err(Error::Argument { .. })), "{labels:?}");
    }
    Ok(())
}

#[test]
fn datasets_and_samples_split_alike() -> Result<()> {
    let names: Vec<String> = (0..20).map(|i| format!("class {i}")).collect();
    let data = numbered(20).with_class_names(&names)?;
    let [train, test] = data.split([0.75, 0.25], 9)?;
    let [train_samples, test_samples] = Samples::from(&data).split([0.75, 0.25], 9)?;
    assert_eq!((train.len(), test.len()), (15, 5));
    assert_eq!((Samples::from(&train), Samples::from(&test)), (train_samples, test_samples));
    assert_eq!(test.class_names(), Some(&names[..]));
    for i in 0..test.len() {
        assert_eq!(test.input(i)[0], 2.0 * test.labels()[i] as f32, "inputs move with their labels");
    }
    let shuffled = data.shuffle(9);
    assert_eq!(Samples::from(&shuffled), Samples::from(&data).shuffle(9));
    assert_ne!(shuffled.labels(), data.labels());
    assert_eq!(shuffled.labels()[..15], *train.labels());

    let halves = Dataset::new([1], vec![0.0; 8], vec![0, 0, 0, 0, 1, 1, 1, 1], 2)?;
    let (left, right) = halves.stratified_split(0.5, 3)?;
    assert_eq!([&left, &right].map(|half| half.labels().iter().sum::<u32>()), [2, 2]);
    assert_eq!(Samples::from(&halves).stratified_split(0.5, 3)?, (left.into(), right.into()));
    // Targets of floats tell a class too: rows with a single 1, and numbers that are 0 or 1, or -1 or 1.
    let (hot, _) = halves.one_hot().stratified_split(0.5, 3)?;
    assert_eq!(hot.targets.and_then(|t| Some(t.data.as_f32()?.iter().step_by(2).sum::<f32>())), Some(2.0));
    for low in [0.0, -1.0f32] {
        let targets = [[low; 4], [1.0; 4]].concat();
        let signs = Samples::new().input([1], vec![0.0; 8]).target([1], targets);
        let (left, right) = signs.stratified_split(0.5, 3)?;
        for half in [left, right] {
            assert_eq!(half.targets.and_then(|t| Some(t.data.as_f32()?.iter().sum())), Some(2.0 + 2.0 * low));
        }
    }
    for other in [[0.0, 1.0, -1.0, 1.0], [1.0, 2.0, 1.0, 2.0], [-1.0, 1.0, -1.0, 0.5]] {
        let numbers = Samples::new().input([1], &[0.0f32; 4]).target([1], other.to_vec());
        let error = numbers.stratified_split(0.5, 3).expect_err("they are no classes");
        assert!(matches!(error, Error::NoLabels) && error.to_string().contains("-1 or 1"), "{error}");
    }
    let no_targets = Samples::new().input([1], &[0.0f32; 4]);
    assert!(matches!(no_targets.stratified_split(0.5, 3), Err(Error::NoLabels)));
    let uneven = Samples::new().input([], &[0.0f32; 4]).labels(vec![0]);
    assert!(matches!(uneven.split([0.5, 0.5], 3), Err(Error::SampleCount { .. })));
    Ok(())
}

#[test]
fn class_names_match_the_classes() {
    let wrong = numbered(3).with_class_names(&["a", "b"]);
    assert!(matches!(wrong, Err(Error::ClassNames { found: 2, classes: 3 })));
    assert_eq!(numbered(3).class_names(), None);
}

#[test]
fn features_are_standardized() -> Result<()> {
    // Large offsets, as of years or timestamps, and a constant that is no sum of powers of two.
    let rows = 1000;
    let values: Vec<f32> = (0..rows).flat_map(|i| [2000.0 + i as f32, -0.001 * i as f32, 0.1]).collect();
    let scale = Standardize::fit(&values, 3)?;
    assert_eq!(scale.std[2], 0.0);
    let mut scaled = values.clone();
    scale.transform(&mut scaled)?;
    for feature in 0..3 {
        let column: Vec<f64> = scaled.iter().skip(feature).step_by(3).map(|&x| f64::from(x)).collect();
        let mean = column.iter().sum::<f64>() / rows as f64;
        let variance = column.iter().map(|x| x * x).sum::<f64>() / rows as f64 - mean * mean;
        assert!(mean.abs() < 1e-6, "{feature}: {mean}");
        let expected = if feature == 2 { 0.0 } else { 1.0 };
        assert!((variance - expected).abs() < 1e-6, "{feature}: {variance}");
    }
    scale.inverse(&mut scaled)?;
    let worst = scaled.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 2e-4, "{worst}");

    // A constant feature of other data is shifted, not blown up.
    let mut other = [2000.0, 0.0, 1.1];
    scale.transform(&mut other)?;
    assert!((other[2] - 1.0).abs() < 1e-6);
    Ok(())
}

#[test]
fn features_are_brought_between_bounds() -> Result<()> {
    let train = Dataset::new([2], vec![-1.0, 7.0, 3.0, 7.0, 1.0, 7.0], vec![0, 1, 0], 2)?;
    let scale = MinMax::fit_dataset(&train)?;
    assert_eq!((&scale.min[..], &scale.max[..]), (&[-1.0, 7.0][..], &[3.0, 7.0][..]));
    let test = Dataset::new([2], vec![5.0, 8.0], vec![1], 2)?;
    assert_eq!(scale.transform_dataset(test)?.inputs(), [1.5, 1.0]);
    let scaled = scale.transform_dataset(train.clone())?;
    assert_eq!((scaled.inputs(), scaled.labels()), (&[0.0, 0.0, 1.0, 0.0, 0.5, 0.0][..], train.labels()));
    let mut back = scaled.inputs().to_vec();
    scale.inverse(&mut back)?;
    assert_eq!(back, train.inputs());
    let same = Standardize::fit_dataset(&train)?;
    assert_eq!(same, Standardize::fit(train.inputs(), 2)?);
    assert_eq!(same.transform_dataset(train)?.inputs()[1], 0.0);
    Ok(())
}

#[test]
fn scales_need_whole_rows_of_numbers() -> Result<()> {
    for (values, features) in [(&[1.0, 2.0, 3.0][..], 2), (&[], 1), (&[1.0], 0), (&[], 0)] {
        let standard = Standardize::fit(values, features).map(|_| ());
        let bounds = MinMax::fit(values, features).map(|_| ());
        for fitted in [standard, bounds] {
            assert!(matches!(fitted, Err(Error::Features { .. })), "{values:?}, {features}: {fitted:?}");
        }
    }
    let wrong = MinMax::fit(&[0.0, 1.0, f32::NAN], 1);
    assert!(matches!(wrong, Err(Error::NonFinite { index: 2, .. })));
    let scale = Standardize::fit(&[1.0, 2.0, 3.0, 4.0], 2)?;
    assert!(matches!(scale.transform(&mut [0.0; 3]), Err(Error::Features { features: 2, values: 3 })));
    assert!(matches!(scale.inverse(&mut [0.0; 3]), Err(Error::Features { .. })));
    let wide = Dataset::new([4], vec![0.0; 4], vec![0], 1)?;
    assert!(matches!(scale.transform_dataset(wide), Err(Error::Features { features: 2, values: 4 })));
    Ok(())
}

#[test]
fn columns_of_samples_are_scaled() -> Result<()> {
    let samples = Samples::new().input([2], vec![1.0f32, 50.0, 3.0, 50.0]).target([1], vec![10.0f32, 30.0]);
    let borrowed = Samples::from(&samples);
    let (inputs, targets) = (Standardize::fit_inputs(&borrowed)?, MinMax::fit_targets(&borrowed)?);
    assert_eq!((&inputs.mean[..], &inputs.std[..]), (&[2.0, 50.0][..], &[1.0, 0.0][..]));
    assert_eq!((targets.min[0], targets.max[0]), (10.0, 30.0));
    let scaled = targets.transform_targets(inputs.transform_inputs(borrowed)?)?;
    let expected = Samples::new().input([2], vec![-1.0f32, 0.0, 1.0, 0.0]).target([1], vec![0.0f32, 1.0]);
    assert_eq!(scaled, expected);
    assert_eq!(samples.inputs[0].data.as_f32(), Some(&[1.0, 50.0, 3.0, 50.0][..]), "it was borrowed");
    let mut predicted = [0.5, 2.0];
    targets.inverse(&mut predicted)?;
    assert_eq!(predicted, [20.0, 50.0]);

    // Of several inputs, each has its own.
    let mut mixed = mixed();
    let ages = MinMax::fit_column(&mixed.inputs[1])?;
    ages.transform_column(&mut mixed.inputs[1])?;
    assert_eq!(mixed.inputs[1].data.as_f32(), Some(&[0.0, 0.25, 0.5, 0.75, 1.0][..]));
    let several = Standardize::fit_inputs(&mixed);
    assert!(matches!(several, Err(Error::Argument { argument: "inputs", .. })), "{several:?}");
    let several = inputs.transform_inputs(mixed.clone());
    assert!(matches!(several, Err(Error::Argument { argument: "inputs", .. })), "{several:?}");
    assert!(matches!(MinMax::fit_column(&mixed.inputs[0]), Err(Error::DTypeMismatch { .. })));
    assert!(matches!(MinMax::fit_inputs(&Samples::new()), Err(Error::NoInputs)));

    let labelled = Samples::new().input([2], vec![0.0f32; 4]).labels(vec![0, 1]);
    assert!(matches!(MinMax::fit_targets(&labelled), Err(Error::DTypeMismatch { .. })));
    assert!(matches!(targets.transform_targets(labelled.clone()), Err(Error::DTypeMismatch { .. })));
    let narrow = targets.transform_inputs(labelled.clone());
    assert!(matches!(narrow, Err(Error::Features { features: 1, values: 2 })), "{narrow:?}");
    let untold = Samples { targets: None, ..labelled };
    assert!(matches!(MinMax::fit_targets(&untold), Err(Error::Argument { argument: "targets", .. })));
    assert!(matches!(targets.transform_targets(untold), Err(Error::Argument { argument: "targets", .. })));
    Ok(())
}

#[test]
fn channels_that_are_last_come_first() -> Result<()> {
    // Two images of two rows, three columns and two channels: each element says where it is.
    let mut pixels = Vec::new();
    let mut expected = vec![0.0; 24];
    for index in 0..24usize {
        let (image, row, column, channel) = (index / 12, index / 6 % 2, index / 2 % 3, index % 2);
        pixels.push(index as f32);
        expected[((image * 2 + channel) * 2 + row) * 3 + column] = index as f32;
    }
    assert_eq!(channels_first(&pixels, [2, 3, 2])?, expected);
    assert!(channels_first(&[], [2, 3, 2])?.is_empty());
    let partial = channels_first(&pixels[1..], [2, 3, 2]);
    assert!(matches!(partial, Err(Error::PartialSample { elements: 23, .. })), "{partial:?}");
    let empty = channels_first(&pixels, [2, 0, 2]);
    assert!(matches!(empty, Err(Error::EmptyDimension { .. })), "{empty:?}");
    let huge = channels_first(&pixels, [usize::MAX, 2, 2]);
    assert!(matches!(huge, Err(Error::PartialSample { .. })), "{huge:?}");
    Ok(())
}
