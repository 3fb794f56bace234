use crate::nn::{Activation, Conv2d, Dense, Dropout, Flatten, Layer, MaxPool2d, Model, Sequential};
use crate::ops::Padding;

/// VGG-16 (Simonyan and Zisserman, Very deep convolutional networks for large-scale image
/// recognition, ICLR 2015, configuration D), for images `[3, 224, 224]`: 138,357,544 parameters
/// with 1,000 classes.
pub fn vgg16(classes: usize) -> Model {
    build(classes, [2, 2, 3, 3, 3])
}

/// VGG-19, configuration E of the same paper: 143,667,240 parameters with 1,000 classes.
pub fn vgg19(classes: usize) -> Model {
    build(classes, [2, 2, 4, 4, 4])
}

/// Blocks of so many convolutions, each block ended by a pool. The weights start Glorot uniform,
/// which the paper's authors found to make their pre-training unnecessary.
fn build(classes: usize, blocks: [usize; 5]) -> Model {
    let mut model = Sequential::new();
    for (block, (count, filters)) in blocks.into_iter().zip([64, 128, 256, 512, 512]).enumerate() {
        for index in 0..count {
            let conv = Conv2d::new(filters, 3).padding(Padding::symmetric(1)).activation(Activation::Relu);
            model = model.add(conv.named(&format!("conv{}_{}", block + 1, index + 1)));
        }
        model = model.add(MaxPool2d::new(2));
    }
    let hidden = || Dense::new(4096).activation(Activation::Relu);
    let model = model
        .add(Flatten)
        .add(hidden().named("fc6"))
        .add(Dropout::new(0.5))
        .add(hidden().named("fc7"))
        .add(Dropout::new(0.5))
        .add(Dense::new(classes).named("fc8"));
    model.into()
}
