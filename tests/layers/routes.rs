//! Layers whose kernel is forced.

use crate::common;
use retape::nn::LayerSpec;
use retape::prelude::*;
use retape::tape::DeviceProfile;

/// Every layer of convolution passes its route on.
#[test]
fn a_forced_route_of_a_convolution_is_planned_and_right() {
    type Made = fn(ConvRoute) -> LayerSpec;
    let images: [(&[usize], Made); 4] = [
        (&[2, 4, 7, 8], |route| Conv2d::new(6, 3).route(route).into()),
        (&[2, 4, 7, 8], |route| DepthwiseConv2d::new(3).route(route).into()),
        (&[2, 4, 7, 8], |route| ConvTranspose2d::new(6, 3).stride(2).route(route).into()),
        (&[2, 4, 9], |route| Conv1d::new(6, 3).route(route).into()),
    ];
    let shaders = |tape: &Tape| -> Vec<&'static str> {
        let plan = tape.plan(&DeviceProfile::baseline()).unwrap();
        plan.dispatches.iter().filter(|d| d.work.multiply_adds > 0).map(|d| d.shader.name()).collect()
    };
    for (shape, layer) in images {
        for (route, shader) in
            [(ConvRoute::Direct, "conv"), (ConvRoute::Im2col, "matmul"), (ConvRoute::Implicit, "conv_blocks")]
        {
            let mut g = Graph::new();
            let x = g.input("x", Shape::new(shape).unwrap());
            let y = Sequential::new().add(layer(route)).record(&mut g, x, Mode::Training).unwrap();
            let loss = g.sum(g.square(y).unwrap(), &[], false).unwrap();
            let wanted: Vec<Value> = [&[x], &g.parameters()[..]].concat();
            let gradients = g.differentiate(loss, &wanted).unwrap();
            let tape = g.forward([&[loss], &gradients[..]].concat()).unwrap();
            let found = shaders(&tape);
            let is_forced =
                |name: &&str| **name == *shader || (shader == "matmul" && name.starts_with("matmul"));
            assert!(found.len() >= 3 && found.iter().all(is_forced), "{shape:?} {route:?}: {found:?}");
            let mut session = tape.session(common::gpu()).unwrap();
            session.write(x, &common::data::noise(shape.iter().product(), 5, -1.0, 1.0)).unwrap();
            let checked = session.verify(&[]).unwrap();
            assert!(checked.passes(), "{shape:?} {route:?}\n{checked}");
        }
    }
}
