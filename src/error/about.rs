//! The parts that messages of errors are made of.

use std::path::Path;

use crate::dtype::DType;
use crate::shape::{Shape, TensorType};

/// Where a layer is named, its place in a sentence.
pub(crate) fn in_layer(layer: &str) -> String {
    if layer.is_empty() { String::new() } else { format!(" in layer `{layer}`") }
}

/// Where a value is named, its place in a sentence.
pub(super) fn of_value(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!(" of `{value}`") }
}

/// What a shared weight has been, and what a call needs it to be.
pub(super) fn misfit(inputs: &[Shape; 2], weights: &[Shape; 2]) -> String {
    let ([first, now], [shape, needed]) = (inputs, weights);
    format!("has been {shape} since its call with an input {first}, and an input {now} needs {needed}")
}

/// What a target is and what it is to be, and what may be done about it.
pub(super) fn target_mismatch(&[found, output, expected]: &[TensorType; 3]) -> String {
    let dims = |ty: TensorType| ty.shape.dims().iter().filter(|&&dim| dim != 1).count();
    let cure = match (found.dtype, expected.dtype) {
        (DType::U32, DType::F32) => {
            "; labels are for Loss::SparseCategoricalCrossEntropy, or made rows by Dataset::one_hot(); other \
             targets must be f32"
        }
        (DType::F32, DType::U32) => {
            "; it takes u32 labels; one-hot rows are for Loss::CategoricalCrossEntropy"
        }
        _ if dims(expected) > dims(found) => "; is a Flatten missing in the model?",
        _ => "",
    };
    format!("a sample's target is {found}, but for an output of {output} the loss takes {expected}{cure}")
}

/// Height and width of an image where those of the first one are needed.
pub(super) fn other_size(found: [usize; 2], expected: [usize; 2], first: &Path) -> String {
    let ([h, w], [height, width], first) = (found, expected, first.display());
    format!("{h} x {w} pixels, {height} x {width} expected as in {first}; name a size to have images resized")
}

/// How the classes of some data differ from those that were trained on, and what is done about it.
pub(super) fn class_difference(data: &str, found: &[String], expected: &[String]) -> String {
    let differs = |&class: &usize| found.get(class) != expected.get(class);
    let class = (0..found.len().max(expected.len())).find(differs).unwrap_or(0);
    let name = |names: &[String]| names.get(class).map_or("none".to_owned(), |name| format!("`{name}`"));
    let (there, here, counts) = (name(found), name(expected), [found.len(), expected.len()]);
    // Of what is to be trained on, other classes may be meant.
    let cure = match data {
        "training data" | "batch" => {
            "; to train for others instead, `Trainer::set_class_names::<&str>(&[])` drops those there are"
        }
        _ => "",
    };
    format!(
        "the {data} has other classes than the training: class {class} of {} is {there}, of {} trained on \
         {here}. `classes` of the reader, or `Dataset::reorder_classes`, gives both one order{cure}",
        counts[0], counts[1]
    )
}

/// How a machine without a GPU comes to an adapter.
pub(super) const SOFTWARE_ADAPTER: &str =
    "On Debian or Ubuntu a software one comes with `apt-get install mesa-vulkan-drivers`";

/// Names with commas between them.
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What may be done about a file of another version.
pub(super) fn version_cure(found: u64, newest: u64) -> String {
    if found > newest {
        return format!("versions up to {newest} are known: a newer version of this crate reads it");
    }
    format!(
        "training goes on from version {newest} only: take its weights by `load_weights`, or go on with the \
         version of this crate that wrote it"
    )
}
