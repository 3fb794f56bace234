//! What a model refuses: typed, with the layer's name, the shapes and the line that added it.

use retape::nn::{LayerSpec, record};
use retape::prelude::*;
use retape::{Error, Result};

/// Whether an error is of this variant.
macro_rules! is {
    ($variant:ident) => {
        |error: &Error| matches!(error, Error::$variant { .. })
    };
}

/// What a layer says to an input `[2, ..]`, in training and in evaluation.
fn refused(layer: impl Into<LayerSpec>, input: &[usize], is: fn(&Error) -> bool, facts: &[&str]) {
    let spec = layer.into();
    for mode in [Mode::Training, Mode::Evaluation] {
        let mut g = Graph::new();
        let dims: Vec<usize> = [2].iter().chain(input).copied().collect();
        let x = g.input("x", Shape::new(&dims).unwrap());
        let result = Sequential::new().add(&spec).record(&mut g, x, mode);
        let error = match result {
            Err(error) => error,
            Ok(y) => panic!("{spec:?} took {input:?} and made {}", g.shape(y).unwrap()),
        };
        let text = error.to_string();
        assert!(is(error.root()), "another error expected: {text}");
        assert!(text.contains(" in layer `"), "no layer in: {text}");
        assert!(text.contains("nn_errors.rs:"), "no line in: {text}");
        for fact in facts {
            assert!(text.contains(fact), "{fact} is missing in: {text}");
        }
    }
}

#[test]
fn wrong_ranks() {
    refused(Dense::new(3), &[], is!(Rank), &["dense in layer `dense`", "[2]", "[batch, .., features]"]);
    let image = "[batch, channels, height, width]";
    refused(Conv2d::new(3, 3), &[784], is!(Rank), &["`conv2d`", "[2, 784]", image]);
    refused(Conv2d::new(3, 3).named("first"), &[9, 9], is!(Rank), &["`first`", "[2, 9, 9]", image]);
    refused(DepthwiseConv2d::new(3), &[9, 9], is!(Rank), &["`depthwise_conv2d`", image]);
    refused(ConvTranspose2d::new(3, 3), &[9, 9, 9, 9], is!(Rank), &["[2, 9, 9, 9, 9]", image]);
    refused(Conv1d::new(3, 3), &[1, 9, 9], is!(Rank), &["[2, 1, 9, 9]", "[batch, channels, length]"]);
    refused(MaxPool2d::new(2), &[9, 9], is!(Rank), &["`max_pool2d`", image]);
    refused(AvgPool2d::new(2), &[9, 9], is!(Rank), &["`avg_pool2d`", image]);
    refused(GlobalAvgPool2d, &[9, 9], is!(Rank), &["`global_avg_pool2d`", image]);
    refused(GlobalMaxPool2d, &[9, 9], is!(Rank), &["`global_max_pool2d`", image]);
    refused(ZeroPad2d::new(1), &[9, 9], is!(Rank), &["`zero_pad2d`", image]);
    refused(LocalResponseNorm::new(5), &[9], is!(Rank), &["`local_response_norm`", image]);
    refused(BatchNorm::new(), &[], is!(Rank), &["`batch_norm`", "[2]", "[batch, channels, ..]"]);
    refused(GroupNorm::new(1), &[], is!(Rank), &["`group_norm`", "[2]"]);
    refused(InstanceNorm::new(), &[], is!(Rank), &["`instance_norm`", "[2]"]);
    refused(Reshape::new([1; 6]), &[1], is!(RankLimit), &["7 dimensions"]);
}

#[test]
fn options_that_make_nothing() {
    let zero = |layer: LayerSpec, what: &str| refused(layer, &[4, 8, 8], is!(Argument), &[what, "0"]);
    zero(Dense::new(0).into(), "units");
    zero(Conv2d::new(0, 3).into(), "filters");
    zero(Conv2d::new(4, 3).groups(0).into(), "groups");
    zero(Conv2d::new(4, 3).stride(0).into(), "stride");
    zero(Conv2d::new(4, 3).dilation([1, 0]).into(), "dilation");
    zero(DepthwiseConv2d::new(3).multiplier(0).into(), "multiplier");
    zero(ConvTranspose2d::new(0, 3).into(), "filters");
    zero(MaxPool2d::new(0).into(), "size");
    zero(AvgPool2d::new(2).stride(0).into(), "stride");
    zero(GroupNorm::new(0).into(), "groups");
    refused(Conv1d::new(0, 3), &[4, 8], is!(Argument), &["filters is 0"]);
    refused(Conv2d::new(4, 0), &[4, 8, 8], is!(EmptyDimension), &["`conv2d.weight`", "[4, 4, 0, 0]"]);
    let indivisible = "3, with 4 channels and 6 filters";
    refused(Conv2d::new(6, 3).groups(3), &[4, 8, 8], is!(Argument), &["groups", indivisible]);
    refused(GroupNorm::new(3), &[4, 8, 8], is!(Argument), &["groups", "4"]);
    for rate in [-0.5, 1.0, 1.5, f32::NAN, f32::INFINITY] {
        refused(Dropout::new(rate), &[4], is!(Argument), &["rate", &rate.to_string()]);
        refused(SpatialDropout::new(rate), &[4, 2, 2], is!(Argument), &["rate", &rate.to_string()]);
    }
    refused(GaussianNoise::new(f32::NAN), &[4], is!(Argument), &["std is NaN"]);
    refused(GaussianNoise::new(-1.0), &[4], is!(Argument), &["std is -1"]);
    refused(BatchNorm::new().epsilon(0.0), &[4], is!(Argument), &["epsilon"]);
    refused(LayerNorm::new().axis(0), &[4], is!(Argument), &["axis is 0"]);
    refused(LayerNorm::new().axis(2), &[4], is!(Axis), &["axis 2", "[2, 4]"]);
    refused(Activation::LeakyRelu(f32::NAN), &[4], is!(Argument), &["alpha is NaN"]);
    refused(Activation::Clip(1.0, 0.0), &[4], is!(Argument), &["range"]);
    refused(Dense::new(3).weight_init(Init::Values(vec![1.0])), &[4], is!(Argument), &["`dense`", "init"]);
}

#[test]
fn sizes_that_do_not_fit() {
    let window = "the window spans 5";
    refused(Conv2d::new(3, 5), &[1, 4, 9], is!(Window), &["`conv2d`", window, "height"]);
    refused(MaxPool2d::new(5), &[1, 9, 4], is!(Window), &["`max_pool2d`", window, "width"]);
    refused(Reshape::new([5]), &[2, 3], is!(Reshape), &["[2, 2, 3]", "[2, 5]"]);
    let huge = usize::MAX;
    refused(Dense::new(huge), &[4], is!(TooManyElements), &["`dense`"]);
    refused(Conv2d::new(huge, 3), &[4, 9, 9], is!(TooManyElements), &["`conv2d`"]);
    refused(
        DepthwiseConv2d::new(3).multiplier(huge),
        &[4, 9, 9],
        is!(TooManyElements),
        &["`depthwise_conv2d`"],
    );
}

#[test]
fn branches_that_do_not_meet() {
    let join = |layer: LayerSpec, branches: &[usize]| -> Result<Value> {
        let mut net = Network::new();
        let x = net.input();
        let outputs: Vec<_> = branches.iter().map(|&units| net.add(Dense::new(units), x)).collect();
        let joined = net.add(layer, outputs);
        let mut g = Graph::new();
        let x = g.input("x", [2, 3]);
        net.output(joined).record(&mut g, x, Mode::Training)
    };
    let fails = |layer: LayerSpec, branches: &[usize], facts: &[&str]| {
        let error = join(layer, branches).unwrap_err().to_string();
        for fact in facts {
            assert!(error.contains(fact), "{fact} is missing in: {error}");
        }
    };
    fails(Add.into(), &[4, 5], &["add in layer `add`", "[2, 4]", "[2, 5]", "nn_errors.rs:"]);
    fails(Add.into(), &[4, 1], &["[2, 4]", "[2, 1]"]);
    fails(Add.into(), &[4], &["inputs is 1", "at least two"]);
    fails(Concat::new(1).into(), &[], &["inputs is 0", "at least two"]);
    fails(Concat::new(0).into(), &[4, 4], &["concat in layer `concat`", "axis is 0"]);
    fails(Concat::new(-2).into(), &[4, 4], &["axis is -2"]);
    fails(Concat::new(2).into(), &[4, 4], &["axis 2", "[2, 4]"]);
    fails(Dense::new(1).into(), &[4, 4], &["inputs is 2", "takes one", "`dense_2`"]);
    assert!(join(Concat::new(1).into(), &[4, 5]).is_ok());
}

#[test]
fn names_that_clash() {
    let names = |a: &str, b: &str| {
        let model = Sequential::new().add(Dense::new(3).named(a)).add(Dense::new(3).named(b));
        let error = model.summary([3]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("nn_errors.rs:"), "no line in: {text}");
        error
    };
    assert!(matches!(names("a", "a").root(), Error::DuplicateName { name, .. } if name == "a"));
    assert!(matches!(names("a", "").root(), Error::Argument { argument: "name", .. }));
    assert!(matches!(names("a.b", "c").root(), Error::Argument { argument: "name", .. }));
    // An automatic name was there first.
    let model = Sequential::new().add(Dense::new(3)).add(Dense::new(3).named("dense"));
    assert!(matches!(model.summary([3]).unwrap_err().root(), Error::DuplicateName { .. }));
    // A model recorded twice in one graph would be two models of one name.
    let model = Sequential::new().add(Dense::new(3));
    let mut g = Graph::new();
    let x = g.input("x", [2, 3]);
    model.record(&mut g, x, Mode::Training).unwrap();
    let twice = model.record(&mut g, x, Mode::Evaluation).unwrap_err();
    assert!(matches!(twice.root(), Error::DuplicateName { name, .. } if name == "dense.weight"), "{twice}");
}

#[test]
fn a_nested_layer_is_named_in_full_and_its_own_line_is_told() {
    let line = line!() + 1;
    let inner = Sequential::new().add(Dense::new(3)).add(Conv2d::new(1, 3));
    let model = Sequential::new().add(Flatten).add(inner.named("inner"));
    let error = model.summary([3]).unwrap_err().to_string();
    assert!(error.contains("`inner.conv2d`"), "{error}");
    assert!(error.contains(&format!("nn_errors.rs:{line}:")), "{error}");
    // An operator's own error, too: the shapes do not multiply.
    let mut g = Graph::new();
    let x = g.indices("x", [2, 3]);
    let error = Sequential::new().add(Dense::new(3)).record(&mut g, x, Mode::Training).unwrap_err();
    assert!(matches!(error.root(), Error::DTypeMismatch { .. }), "{error}");
    assert!(error.to_string().contains("nn_errors.rs:"), "{error}");
    // What comes after the model is attributed to its own line again.
    let line = line!() + 1;
    let error = g.relu(x).unwrap_err().to_string();
    assert!(error.contains(&format!("nn_errors.rs:{line}:")) && !error.contains("in layer"), "{error}");
}

#[test]
fn networks_put_together_wrongly() {
    let other = Network::new().input();
    let mut net = Network::new();
    let x = net.input();
    let y = net.add(Dense::new(1), other);
    let model = net.clone().output(y);
    assert!(matches!(model.summary([3]).unwrap_err().root(), Error::ForeignValue));
    let later = net.add(Dense::new(1), x);
    let mut earlier = Network::new();
    earlier.input();
    assert!(matches!(earlier.output(later).summary([3]).unwrap_err().root(), Error::ForeignValue));

    let mut net = Network::new();
    let (a, _) = (net.input(), net.input());
    let model = net.clone().output(a);
    let error = model.summary([3]).unwrap_err();
    assert!(error.to_string().contains("inputs is 1"), "{error}");
    let none = net.outputs([]);
    let mut g = Graph::new();
    let x = g.input("x", [2, 3]);
    assert!(none.record(&mut g, [x, x], Mode::Training).is_err());
    let nested = Sequential::new().add(none);
    assert!(record(&nested, &mut g, &[x, x], Mode::Training).is_err());

    let foreign = Graph::new().input("x", [2, 3]);
    let error = Sequential::new().add(Dense::new(1)).record(&mut g, foreign, Mode::Training).unwrap_err();
    assert!(matches!(error.root(), Error::ForeignValue), "{error}");
}

/// Adds a vector of three to whatever it is given.
#[derive(Debug)]
struct Shifted;

impl Shifted {
    const LINE: u32 = line!() + 10;
}

impl Layer for Shifted {
    fn kind(&self) -> &'static str {
        "shifted"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let shift = cx.parameter("shift", [3], Init::Zeros);
        cx.graph().add(inputs[0], shift)
    }
}

#[test]
fn a_layer_of_the_programs_own_is_told_its_own_line() {
    let model = Sequential::new().add(Dense::new(4)).add(Shifted);
    let error = model.summary([3]).unwrap_err().to_string();
    for fact in ["add in layer `shifted`", "[2, 4]", "[3]", &format!("nn_errors.rs:{}:", Shifted::LINE)] {
        assert!(error.contains(fact), "{fact} is missing in: {error}");
    }
}

#[test]
fn a_layer_of_an_architecture_is_told_the_line_that_records_it() {
    let model = architectures::resnet18(10);
    let line = line!() + 1;
    let error = model.summary([64, 64]).unwrap_err().to_string();
    assert!(error.contains("conv2d in layer `conv1`"), "{error}");
    assert!(error.contains(&format!("nn_errors.rs:{line}:")), "{error}");
    let mut g = Graph::new();
    let x = g.input("x", [1, 3, 32, 32]);
    let line = line!() + 1;
    let error = model.record(&mut g, x, Mode::Training).unwrap_err().to_string();
    // The last stage has one pixel: of one example, a channel has one value.
    assert!(error.contains("batch_norm in layer `conv5_1.batch_norm`"), "{error}");
    assert!(error.contains(&format!("nn_errors.rs:{line}:")), "{error}");
}

/// Says it has two outputs and makes one.
#[derive(Debug)]
struct Miscounted;

impl Layer for Miscounted {
    fn kind(&self) -> &'static str {
        "miscounted"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        cx.one(inputs)
    }
}

#[test]
fn a_layer_that_miscounts_its_outputs() {
    let error = Sequential::new().add(Miscounted).summary([3]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`miscounted`") && text.contains("1 where 2 were announced"), "{text}");
}

#[test]
fn embeddings_that_do_not_fit() {
    let fails = |layer: Embedding, is: fn(&Error) -> bool, facts: &[&str]| {
        let mut g = Graph::new();
        let words = g.indices("words", [2, 3]);
        let error = Sequential::new().add(layer).record(&mut g, words, Mode::Training).unwrap_err();
        let text = error.to_string();
        assert!(is(error.root()), "another error expected: {text}");
        for fact in [&[" in layer `embedding`", "nn_errors.rs:"], facts].concat() {
            assert!(text.contains(fact), "{fact} is missing in: {text}");
        }
    };
    fails(Embedding::new(0, 4), is!(Argument), &["words is 0"]);
    fails(Embedding::new(4, 0), is!(Argument), &["features is 0"]);
    fails(Embedding::new(4, 2).padding_index(4), is!(Argument), &["padding_index is 4, with 4 words"]);
    fails(Embedding::new(usize::MAX, 2), is!(TooManyElements), &[]);
    refused(Embedding::new(4, 2), &[3], is!(DTypeMismatch), &["`embedding`", "u32", "f32"]);
    let mut g = Graph::new();
    let single = g.indices("single", []);
    let error = Sequential::new().add(Embedding::new(4, 2)).record(&mut g, single, Mode::Training);
    assert!(matches!(error.unwrap_err().root(), Error::Rank { .. }));
}
