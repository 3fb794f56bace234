//! Convolutions by the tiles of every size, in each of the three products.

use std::collections::BTreeSet;

use crate::common::data::signed;
use crate::common::{self, Case};
use retape::ops::{ConvOptions, ConvRoute, Padding};
use retape::tape::{DeviceKind, DeviceProfile};
use retape::{Graph, Value};

fn case(x: [usize; 4], w: [usize; 4], options: ConvOptions) -> Case {
    let build = move |g: &mut Graph, v: &[Value]| g.conv2d(v[0], v[1], None, options);
    Case::new(format!("{x:?} with {w:?}, {options:?}"), vec![signed(x, 1), signed(w, 2)], build)
}

fn same() -> ConvOptions {
    ConvOptions::new().route(ConvRoute::Implicit).padding(Padding::Same)
}

/// Channels, in and out, that fill tiles of 16, 24, 32, 64 and 128 rows, or nearly so; results whose number is a
/// multiple of four and others; images of less than four results, and patches of all lengths.
pub fn cases() -> Vec<Case> {
    let (options, same) = (ConvOptions::new().route(ConvRoute::Implicit), same());
    let mut cases = Vec::new();
    for (c, o) in [(13, 20), (20, 13), (30, 60), (64, 30), (128, 64), (61, 128), (121, 125), (3, 7)] {
        cases.push(case([3, c, 16, 16], [o, c, 3, 3], same));
        cases.push(case([3, c, 15, 17], [o, c, 3, 3], same));
    }
    for (c, o) in [(20, 24), (64, 64)] {
        cases.push(case([1, c, 8, 8], [o, c, 3, 3], same));
    }
    for (c, o) in [(128, 64), (24, 128)] {
        cases.push(case([3, c, 15, 17], [o, c, 1, 1], options));
        cases.push(case([2, c, 17, 15], [o, c, 3, 3], same.stride(2)));
        cases.push(case([2, c, 16, 16], [o, c, 5, 5], options.dilation(2)));
        cases.push(case([70, c, 3, 2], [o, c, 3, 2], options));
        cases.push(case([50, c, 4, 3], [o, c, 3, 2], options));
        cases.push(case([2, 2 * c, 13, 12], [2 * o, c, 2, 3], same.groups(2)));
        cases.push(case([2, c, 20, 18], [o, c, 7, 5], same));
    }
    cases
}

/// In each of the products; with `RETAPE_TEST_ALL`, by every case, else by as many as it takes.
#[test]
fn tiles_of_every_size_make_every_product() {
    let device = common::open_gpu();
    let own = device.profile().expect("a GPU");
    // Of a device that little keeps busy, and of one that these fill only in parts; and one in between.
    let between = case([3, 20, 16, 16], [24, 20, 5, 5], same());
    let cases = cases();
    let all = cases.iter().flat_map(|case| [64, 1 << 16].map(|busy| (case, busy)));
    let everything = std::env::var("RETAPE_TEST_ALL").is_ok();
    let (mut reached, mut forms) = (BTreeSet::new(), BTreeSet::new());
    for (case, busy_invocations) in all.chain([(&between, 1 << 12)]) {
        let profile = DeviceProfile { kind: DeviceKind::Gpu, busy_invocations, ..own.clone() };
        let plan = case.record().unwrap().tape.plan(&profile).unwrap();
        let known = reached.len() + forms.len();
        for d in plan.dispatches.iter().filter(|d| d.shader.name() == "conv_blocks") {
            let number = |wanted| d.constants.iter().find(|c| c.0 == wanted).map_or(0.0, |c| c.1);
            reached.insert(["MODE", "ROWS", "COLUMNS"].map(|name| number(name) as usize));
            forms.insert(["MODE", "TINY", "PADDED", "QUADS_A", "RAGGED"].map(|name| number(name) as usize));
        }
        if everything || reached.len() + forms.len() > known {
            case.check_planned(&device, &profile);
        }
    }
    for mode in 0..3 {
        for [rows, columns] in [
            [16, 32],
            [24, 64],
            [32, 32],
            [16, 128],
            [24, 128],
            [32, 128],
            [64, 64],
            [64, 128],
            [128, 64],
            [128, 128],
        ] {
            assert!(reached.contains(&[mode, rows, columns]), "{mode}: {rows}x{columns} of {reached:?}");
        }
    }
}
