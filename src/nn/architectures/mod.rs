//! Well-known architectures, each from its paper.
//!
//! | function | input | parameters with 1,000 classes (LeNet-5 and CIFAR: 10) |
//! |---|---|---|
//! | [`lenet5`] | `[1, 32, 32]` | 61,706 |
//! | [`alexnet`] | `[3, 227, 227]` | 60,965,224 |
//! | [`alexnet_one_gpu`] | `[3, 227, 227]` | 62,378,344 |
//! | [`vgg16`], [`vgg19`] | `[3, 224, 224]` | 138,357,544 and 143,667,240 |
//! | [`googlenet`] | `[3, 224, 224]` | 6,998,552 |
//! | [`resnet18`], [`resnet34`] | `[3, 224, 224]` | 11,689,512 and 21,797,672 |
//! | [`resnet50`], [`resnet101`], [`resnet152`] | `[3, 224, 224]` | 25,557,032, 44,549,160 and 60,192,808 |
//! | [`resnet20`], [`resnet_cifar`] | `[3, 32, 32]` | 269,722 and more |
//!
//! All end in logits, for a loss that takes them. Layers infer their shapes, so other resolutions
//! do as well as the papers' as long as no window outgrows its image; where a dense layer follows a
//! flattened image, the number of parameters changes with the resolution.
//!
//! ```
//! use retape::prelude::*;
//!
//! let summary = architectures::resnet50(1000).summary([3, 224, 224])?;
//! assert_eq!(summary.trainable, 25_557_032);
//! let small = architectures::resnet50(10).summary([3, 64, 64])?;
//! assert_eq!(small.trainable, 25_557_032 - 990 * (2048 + 1));
//! # Ok::<(), retape::Error>(())
//! ```

mod alexnet;
mod googlenet;
mod lenet;
mod resnet;
mod vgg;

pub use alexnet::{alexnet, alexnet_one_gpu};
pub use googlenet::{googlenet, googlenet_with_auxiliary};
pub use lenet::lenet5;
pub use resnet::{Shortcut, resnet_cifar, resnet18, resnet20, resnet34, resnet50, resnet101, resnet152};
pub use vgg::{vgg16, vgg19};
