//! What plans alone say of training steps on a discrete GPU: how many of the multiply-adds that workgroups go through
//! are wanted, and how many bytes are bound.

use retape::tape::Work;

use crate::{kernels, steps};

/// Percent of the issued multiply-adds that are wanted at least, by a step's beginning.
const LEAST: [(&str, f64); 8] = [
    ("LeNet-5", 59.0),
    ("MNIST CNN", 70.0),
    ("ResNet-20", 95.0),
    ("ResNet-50", 93.0),
    ("VGG-16", 97.0),
    ("LSTM", 87.0),
    ("GRU", 92.0),
    ("ResNet-20 in f16", 95.0),
];

#[test]
fn most_of_what_is_issued_is_wanted() {
    let profile = kernels::discrete();
    println!("useful  multiply-adds        issued   MB bound  dispatches  step");
    for ((name, tape), (beginning, least)) in steps::all().into_iter().zip(LEAST) {
        assert!(name.starts_with(beginning), "{name} is not {beginning}");
        let plan = tape.fuse(&profile).plan(&profile).expect("the step fits a discrete GPU");
        let Work { multiply_adds, issued, bytes, .. } = plan.work();
        let useful = 100.0 * multiply_adds as f64 / issued as f64;
        let (megabytes, dispatches) = (bytes as f64 / 1e6, plan.dispatches.len());
        println!("{useful:5.1}% {multiply_adds:14} {issued:13} {megabytes:10.1} {dispatches:11}  {name}");
        assert!(useful >= least, "{name}: {useful:.1} %");
    }
}
