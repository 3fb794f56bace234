/// How the features of a layer's output, the units of a dense layer or the channels of an image, come
/// from those of its input: what taking units out of a model has to know of each layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnitFlow {
    /// The layer has so many of its own, along the axis `outputs` of its `weight`; its inputs are along the
    /// axis `inputs`.
    Own {
        /// How many.
        count: usize,
        /// The axis of the weight for them.
        outputs: usize,
        /// The axis of the weight for the features of the input.
        inputs: usize,
    },
    /// Each feature of the input is one of the output; parameters, if any, are one for each.
    Kept,
    /// Each feature of the input is a run of neighbouring ones, as many as it has elements.
    Flattened,
    /// Anything else.
    Mixed,
}

/// [`UnitFlow::Own`] of a layer of this many, unless it works in groups.
pub(super) fn own(count: usize, groups: usize, [outputs, inputs]: [usize; 2]) -> UnitFlow {
    if groups == 1 { UnitFlow::Own { count, outputs, inputs } } else { UnitFlow::Mixed }
}
