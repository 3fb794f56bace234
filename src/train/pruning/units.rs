use super::{check_share, is_in};
use crate::error::{Error, Result};
use crate::nn::{LayerSpec, Sequential, UnitFlow};
use crate::shape::{Shape, TensorType};
use crate::train::weights::{WeightArray, Weights};

/// A smaller model: of each layer of units (dense units, filters) but the last, the share `fraction` with
/// the smallest weights is taken out, by the sum of magnitudes of a unit's weights (Li et al., "Pruning
/// filters for efficient ConvNets", ICLR 2017), and with them what the next layer made of them. At least
/// one unit stays in each layer. Returns the model with the weights for it:
/// [`Trainer::set_weights`](crate::train::Trainer::set_weights) puts them into a trainer of that model.
///
/// A layer stays as it is if its units reach the next layer of units through anything else than
/// activations, pools, dropout, batch normalisation and [`Flatten`](crate::nn::Flatten).
///
/// ```
/// use retape::prelude::*;
/// use retape::train::pruning::prune_units;
/// let model = Sequential::new()
///     .add(Dense::new(8).activation(Activation::Relu))
///     .add(Dense::new(3));
/// let build = |model: &Sequential| {
///     Trainer::new(model.clone(), [4])
///         .loss(Loss::SparseCategoricalCrossEntropy)
///         .optimizer(Sgd::new(0.1))
///         .build(&Device::cpu())
/// };
/// let trainer = build(&model)?;
/// let (smaller, weights) = prune_units(&model, [4], &trainer.weights()?, 0.5)?;
/// assert_eq!(smaller.summary([4])?.parameters, (4 * 4 + 4) + (4 * 3 + 3));
/// build(&smaller)?.set_weights(&weights)?;
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for a share outside `[0, 1)`, and for a model with a shared layer;
/// [`Error::Unknown`] if `weights` are not the model's;
/// what the model refuses at this input.
pub fn prune_units(
    model: &Sequential,
    input: impl Into<Shape>,
    weights: &Weights,
    fraction: f64,
) -> Result<(Sequential, Weights)> {
    check_share("fraction", fraction)?;
    check(weights)?;
    let stages = stages(model, input.into())?;
    let mut smaller = Sequential::new();
    let mut kept_weights = weights.clone();
    let mut kept: Option<Vec<usize>> = None;
    for (index, stage) in stages.iter().enumerate() {
        let mut spec = stage.spec.clone();
        match stage.spec.layer().units() {
            UnitFlow::Own { count, outputs, inputs } => {
                let weight = kept_weights.find(&format!("{}.weight", stage.name))?;
                check_axis(weight, outputs.max(inputs), 1)?;
                let chosen = passes_on(&stages, index).then(|| strongest(weight, outputs, fraction));
                let chosen = chosen.filter(|units| units.len() < count);
                for array in own(&mut kept_weights, &stage.name) {
                    let is_weight = array.shape.rank() > 1;
                    if let Some(features) = kept.as_ref().filter(|_| is_weight) {
                        *array = select(array, inputs, features)?;
                    }
                    if let Some(units) = &chosen {
                        *array = select(array, if is_weight { outputs } else { 0 }, units)?;
                    }
                }
                if let Some(units) = &chosen {
                    spec = spec.with_units(units.len()).unwrap_or(spec);
                }
                kept = chosen;
            }
            UnitFlow::Flattened => {
                let run: usize = stage.input.dims().iter().skip(1).product();
                kept = kept.map(|units| units.iter().flat_map(|u| u * run..(u + 1) * run).collect());
            }
            UnitFlow::Kept if let Some(units) = &kept => {
                for array in own(&mut kept_weights, &stage.name) {
                    *array = select(array, 0, units)?;
                }
            }
            UnitFlow::Kept | UnitFlow::Mixed => {}
        }
        smaller = smaller.add(spec.named(&stage.name));
    }
    Ok((smaller, kept_weights))
}

/// Refuses arrays that do not fill their shapes.
fn check(weights: &Weights) -> Result<()> {
    for WeightArray { name, shape, data } in &weights.arrays {
        if shape.numel() != data.len() || data.is_empty() {
            let (expected, found) = (TensorType::f32(*shape), data.len());
            return Err(Error::Length { name: name.clone(), expected, found });
        }
    }
    Ok(())
}

/// Refuses an array that does not have so many slices along an axis.
fn check_axis(array: &WeightArray, axis: usize, past: usize) -> Result<()> {
    if array.shape.dims().get(axis).is_some_and(|&dim| past <= dim) {
        return Ok(());
    }
    Err(Error::Axis { axis: axis as isize, shape: array.shape })
}

/// A layer of the model with its name and the shape of a sample of its input.
struct Stage {
    spec: LayerSpec,
    name: String,
    input: Shape,
}

fn stages(model: &Sequential, mut input: Shape) -> Result<Vec<Stage>> {
    if let Some(spec) = model.layers().iter().find(|spec| spec.is_shared()) {
        let expected = "layers that are called once can be made smaller";
        return Err(Error::argument("model", format!("with {spec:?}"), expected));
    }
    let summary = model.summary(input)?;
    let layers = summary.layers.iter().filter(|layer| layer.depth == 0);
    let mut stages = Vec::new();
    for (spec, layer) in model.layers().iter().zip(layers) {
        stages.push(Stage { spec: spec.clone(), name: layer.name.clone(), input });
        input = layer.outputs.first().copied().unwrap_or(input);
    }
    Ok(stages)
}

/// Whether the units of layer `index` can be followed to the next layer of units.
fn passes_on(stages: &[Stage], index: usize) -> bool {
    // Channels of images come first, units of dense layers last; of one dimension they are the same.
    let comes_first = |stage: &Stage| matches!(stage.spec.layer().units(), UnitFlow::Own { outputs: 0, .. });
    let first = comes_first(&stages[index]);
    let mut flat = false;
    for stage in &stages[index + 1..] {
        let flat_here = flat || stage.input.rank() == 1;
        match stage.spec.layer().units() {
            UnitFlow::Own { .. } => return flat_here || comes_first(stage) == first,
            UnitFlow::Flattened if first || flat_here => flat = true,
            // What is normalised by feature, or drops whole features, takes them from the first axis.
            UnitFlow::Kept if first || flat_here => {}
            _ => return false,
        }
    }
    false
}

/// The units of a weight whose magnitudes add up to most, in their order.
fn strongest(weight: &WeightArray, axis: usize, fraction: f64) -> Vec<usize> {
    let dims = weight.shape.dims();
    let (count, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
    let mut sums = vec![0.0; count];
    for (index, w) in weight.data.iter().enumerate() {
        sums[index / inner % count] += f64::from(w.abs());
    }
    let pruned = ((count as f64 * fraction).round() as usize).min(count - 1);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| f64::total_cmp(&sums[a], &sums[b]));
    let mut kept = order.split_off(pruned);
    kept.sort_unstable();
    kept
}

/// The slices of an array at `indices` of an axis.
fn select(array: &WeightArray, axis: usize, indices: &[usize]) -> Result<WeightArray> {
    check_axis(array, axis, indices.last().map_or(0, |last| last + 1))?;
    let mut dims = array.shape.dims().to_vec();
    let (count, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
    let blocks = array.data.chunks_exact(count * inner);
    let slices = blocks.flat_map(|block| indices.iter().map(move |index| &block[index * inner..][..inner]));
    let data = slices.flatten().copied().collect();
    dims[axis] = indices.len();
    Ok(WeightArray { name: array.name.clone(), shape: Shape::new(&dims)?, data })
}

/// The arrays of a layer.
fn own<'a>(weights: &'a mut Weights, layer: &str) -> impl Iterator<Item = &'a mut WeightArray> {
    weights.arrays.iter_mut().filter(move |array| is_in(&array.name, layer))
}
