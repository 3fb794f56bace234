//! Operators that memory limits: elementwise functions, moves, reductions, updates, and their
//! gradients.

use retape::ops::{Binary, Domain, Gradient, Reduction, Unary};
use retape::prelude::*;

use super::{Row, gradient, indices, step, uniform};

/// The shape of most rows: 4 MiB, more than a CPU's second-level cache.
const SHAPE: [usize; 2] = [1024, 1024];

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Unary::ALL.iter().flat_map(|&kind| unary(kind)).collect();
    rows.extend(Binary::ALL.iter().flat_map(|&kind| binary(kind)));
    rows.extend(broadcasts());
    rows.extend(moves());
    rows.extend(reductions());
    rows.extend(noises());
    rows.extend(augmentations());
    rows.extend(norms());
    rows.extend(constraints());
    rows.extend(updates());
    rows
}

fn unary(kind: Unary) -> Vec<Row> {
    let apply = move |g: &mut Graph, x: Value| {
        let parameters: Vec<f32> = kind.parameters().iter().map(|p| p.1).collect();
        g.unary(kind, x, &parameters)
    };
    let range = if kind.domain() == Domain::Positive { [0.2, 3.0] } else { [-1.5, 1.5] };
    let mut rows = vec![Row::memory(format!("{} {SHAPE:?}", kind.name()), move |g| {
        let x = uniform(g, "x", SHAPE, range);
        Ok(step(apply(g, x.0)?, vec![x]))
    })];
    if kind.gradient() == Gradient::Yes {
        rows.push(Row::memory(format!("{} gradient {SHAPE:?}", kind.name()), move |g| {
            let x = uniform(g, "x", SHAPE, range);
            let y = apply(g, x.0)?;
            gradient(g, y, vec![x])
        }));
    }
    rows
}

fn binary(kind: Binary) -> Vec<Row> {
    let operands = |g: &mut Graph| {
        let a = uniform(g, "a", SHAPE, [0.3, 2.5]);
        let b = uniform(g, "b", SHAPE, [0.5, 2.0]);
        [a, b]
    };
    let mut rows = vec![Row::memory(format!("{} {SHAPE:?}", kind.name()), move |g| {
        let [a, b] = operands(g);
        Ok(step(g.binary(kind, a.0, b.0)?, vec![a, b]))
    })];
    // The gradients of sums are the gradient itself.
    if !kind.is_comparison() && !matches!(kind, Binary::Add | Binary::Sub) {
        rows.push(Row::memory(format!("{} gradient {SHAPE:?}", kind.name()), move |g| {
            let [a, b] = operands(g);
            let y = g.binary(kind, a.0, b.0)?;
            gradient(g, y, vec![a, b])
        }));
    }
    rows
}

fn broadcasts() -> Vec<Row> {
    vec![
        Row::memory("add [1024, 1024] [1024] (bias)", |g| {
            let a = uniform(g, "a", SHAPE, [-1.0, 1.0]);
            let b = uniform(g, "b", [1024], [-1.0, 1.0]);
            Ok(step(g.add(a.0, b.0)?, vec![a, b]))
        }),
        Row::memory("add gradient [1024, 1024] [1024] (bias)", |g| {
            let a = uniform(g, "a", SHAPE, [-1.0, 1.0]);
            let b = uniform(g, "b", [1024], [-1.0, 1.0]);
            let y = g.add(a.0, b.0)?;
            let mut step = gradient(g, y, vec![a, b])?;
            // The left gradient is the given one.
            step.outputs.remove(0);
            Ok(step)
        }),
        Row::memory("mul [1024, 1024] [1024, 1]", |g| {
            let a = uniform(g, "a", SHAPE, [-1.0, 1.0]);
            let b = uniform(g, "b", [1024, 1], [-1.0, 1.0]);
            Ok(step(g.mul(a.0, b.0)?, vec![a, b]))
        }),
        Row::memory("select [1024, 1024]", |g| {
            let condition = uniform(g, "c", SHAPE, [-1.0, 1.0]);
            let a = uniform(g, "a", SHAPE, [-1.0, 1.0]);
            let b = uniform(g, "b", SHAPE, [-1.0, 1.0]);
            let hit = g.greater(condition.0, g.scalar_constant(0.0))?;
            Ok(step(g.select(hit, a.0, b.0)?, vec![condition, a, b]))
        }),
    ]
}

fn moves() -> Vec<Row> {
    let with = |name: &str, build: fn(&mut Graph, Value) -> retape::Result<Value>| {
        Row::memory(name, move |g| {
            let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
            Ok(step(build(g, x.0)?, vec![x]))
        })
    };
    vec![
        with("copy [1024, 1024]", |g, x| g.copy(x)),
        with("cast to f16 [1024, 1024]", |g, x| g.cast(x, DType::F16)),
        with("scalar times [1024, 1024]", |g, x| g.mul(x, g.scalar_value(g.scalar("rate", 0.5)?)?)),
        with("transpose [1024, 1024]", |g, x| g.transpose(x, &[1, 0])),
        with("slice [512, 512] of [1024, 1024]", |g, x| {
            let middle = g.slice_axis(x, 0, 256..768)?;
            g.slice_axis(middle, 1, 256..768)
        }),
        with("slice rows 1..1023 of [1024, 1024]", |g, x| g.slice_axis(x, 0, 1..1023)),
        with("pad [1024, 1024] by 1", |g, x| g.pad(x, &[(1, 1), (1, 1)], 0.0)),
        with("concat [1024, 1024] twice along 1", |g, x| g.concat(&[x, x], 1)),
        Row::memory("transpose u32 [1024, 1024]", |g| {
            let x = indices(g, "x", SHAPE, 1000);
            Ok(step(g.transpose(x.0, &[1, 0])?, vec![x]))
        }),
        Row::memory("transpose [32, 64, 8, 64] 0 2 1 3", |g| {
            let x = uniform(g, "x", [32, 64, 8, 64], [-1.0, 1.0]);
            Ok(step(g.transpose(x.0, &[0, 2, 1, 3])?, vec![x]))
        }),
        Row::memory("broadcast_to [1024, 1024] from [1024]", |g| {
            let x = uniform(g, "x", [1024], [-1.0, 1.0]);
            Ok(step(g.broadcast_to(x.0, SHAPE)?, vec![x]))
        }),
    ]
}

fn reductions() -> Vec<Row> {
    let mut rows = Vec::new();
    for &kind in Reduction::ALL {
        let name = format!("{kind:?}").to_lowercase();
        for (over, axes) in [("all", &[][..]), ("rows", &[1]), ("columns", &[0])] {
            rows.push(Row::memory(format!("{name} {SHAPE:?} over {over}"), move |g| {
                let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
                Ok(step(g.reduce(kind, x.0, axes, false)?, vec![x]))
            }));
        }
        rows.push(Row::memory(format!("{name} gradient {SHAPE:?} over rows"), move |g| {
            let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
            let y = g.reduce(kind, x.0, &[1], false)?;
            gradient(g, y, vec![x])
        }));
    }
    for shape in [SHAPE, [65_536, 10]] {
        rows.push(Row::memory(format!("argmax {shape:?} along 1"), move |g| {
            let x = uniform(g, "x", shape, [-1.0, 1.0]);
            Ok(step(g.argmax(x.0, 1)?, vec![x]))
        }));
    }
    rows
}

/// The gradients of dropout are the operator itself; that of noise is the gradient given.
fn noises() -> Vec<Row> {
    let images = [32, 64, 16, 16];
    vec![
        Row::memory(format!("dropout {SHAPE:?}"), |g| {
            let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
            Ok(step(g.dropout(x.0, 0.5)?, vec![x]))
        }),
        Row::memory(format!("spatial_dropout {images:?}"), move |g| {
            let x = uniform(g, "x", images, [-1.0, 1.0]);
            Ok(step(g.spatial_dropout(x.0, 0.5)?, vec![x]))
        }),
        Row::memory(format!("gaussian_noise {SHAPE:?}"), |g| {
            let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
            Ok(step(g.gaussian_noise(x.0, 0.1)?, vec![x]))
        }),
    ]
}

/// Clipping by norm; norms past the limit, so that everything is scaled.
fn augmentations() -> Vec<Row> {
    let affine = |name: &str, options: AffineOptions| {
        Row::memory(format!("random_affine [128, 3, 32, 32], {name}"), move |g| {
            let x = uniform(g, "x", [128, 3, 32, 32], [0.0, 1.0]);
            Ok(step(g.random_affine(x.0, &options)?, vec![x]))
        })
    };
    let pixels = AffineOptions::new().flip_horizontal().shift([4, 4]);
    vec![
        affine("flips and shifts", pixels),
        affine("flips, shifts and rotations", pixels.rotate(-0.05, 0.05)),
        Row::memory(format!("random_uniform {SHAPE:?}"), |g| {
            Ok(step(g.random_uniform(SHAPE, 0.0, 1.0)?, Vec::new()))
        }),
    ]
}

fn norms() -> Vec<Row> {
    let clip = |g: &mut Graph| {
        let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
        let norm = uniform(g, "norm", [], [2.0, 3.0]);
        let y = g.clip_by_norm(x.0, norm.0, 1.0)?;
        Ok((y, vec![x, norm]))
    };
    vec![
        Row::memory(format!("global_norm {SHAPE:?}"), |g| {
            let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
            Ok(step(g.global_norm(&[x.0])?, vec![x]))
        }),
        Row::memory("global_norm of 20 [128]", |g| {
            let x: Vec<_> = (0..20).map(|i| uniform(g, &format!("x{i}"), [128], [-1.0, 1.0])).collect();
            let values: Vec<Value> = x.iter().map(|x| x.0).collect();
            Ok(step(g.global_norm(&values)?, x))
        }),
        Row::memory(format!("clip_by_norm {SHAPE:?}"), move |g| {
            let (y, inputs) = clip(g)?;
            Ok(step(y, inputs))
        }),
        Row::memory(format!("clip_by_norm gradient {SHAPE:?}"), move |g| {
            let (y, inputs) = clip(g)?;
            gradient(g, y, inputs)
        }),
    ]
}

/// Constraints over the columns of a dense weight and over the filters of a convolution; they leave
/// nothing to scale once they have run.
fn constraints() -> Vec<Row> {
    let norm = |shape: &'static [usize], axes: &'static [isize]| {
        Row::memory(format!("constrain_norm {shape:?} over {axes:?}"), move |g| {
            let w = g.parameter("w", Shape::new(shape)?, Init::GlorotUniform);
            g.apply_constraint(w, Constraint::MaxNorm { limit: 0.5 }, axes)?;
            Ok(super::Step { outputs: Vec::new(), inputs: Vec::new() })
        })
    };
    vec![
        norm(&[1024, 1024], &[0]),
        norm(&[512, 256, 3, 3], &[1, 2, 3]),
        Row::memory(format!("non_negative {SHAPE:?}"), |g| {
            let w = g.parameter("w", SHAPE, Init::GlorotUniform);
            g.apply_constraint(w, Constraint::NonNegative, &[])?;
            Ok(super::Step { outputs: Vec::new(), inputs: Vec::new() })
        }),
        Row::memory(format!("apply_mask {SHAPE:?}"), |g| {
            let w = g.parameter("w", SHAPE, Init::GlorotUniform);
            let mask = uniform(g, "mask", SHAPE, [0.0, 1.0]);
            g.apply_mask(w, mask.0)?;
            Ok(super::Step { outputs: Vec::new(), inputs: vec![mask] })
        }),
    ]
}

fn updates() -> Vec<Row> {
    let with = |name: &str, optimizer: fn() -> Box<dyn Optimizer>| {
        Row::memory(format!("{name} {SHAPE:?}"), move |g| {
            let w = g.parameter("w", SHAPE, Init::GlorotUniform);
            let dw = uniform(g, "dw", SHAPE, [-1.0, 1.0]);
            optimizer().record(g, &[(w, dw.0)])?;
            Ok(super::Step { outputs: Vec::new(), inputs: vec![dw] })
        })
    };
    vec![
        Row::memory(format!("assign {SHAPE:?}"), |g| {
            let state = g.state("state", SHAPE, Init::Zeros);
            let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
            g.assign(state, x.0)?;
            Ok(super::Step { outputs: Vec::new(), inputs: vec![x] })
        }),
        Row::memory("load_batch [128, 784] of 128", |g| {
            let batch = g.state("batch", [128, 784], Init::Zeros);
            let data = uniform(g, "data", [128, 784], [0.0, 1.0]);
            let order = indices(g, "order", [128], 128);
            g.load_batch(batch, data.0, order.0, 0)?;
            Ok(super::Step { outputs: Vec::new(), inputs: vec![data, order] })
        }),
        Row::memory(format!("accumulate {SHAPE:?}"), |g| {
            let [total, carry] = ["total", "carry"].map(|name| g.state(name, SHAPE, Init::Zeros));
            let x = uniform(g, "x", SHAPE, [-1.0, 1.0]);
            g.accumulate(total, carry, x.0)?;
            Ok(super::Step { outputs: Vec::new(), inputs: vec![x] })
        }),
        Row::memory("update_count", |g| Ok(step(g.update_count()?, Vec::new()))),
        with("sgd", || Box::new(Sgd::new(1e-3))),
        with("sgd with momentum", || Box::new(Sgd::new(1e-3).momentum(0.9))),
        with("sgd with an average", || Box::new(Sgd::new(1e-3).ema(0.99))),
        with("adagrad", || Box::new(Adagrad::new(1e-3))),
        with("adadelta", || Box::new(Adadelta::new(1.0))),
        with("rmsprop", || Box::new(RmsProp::new(1e-3))),
        with("rmsprop centred, with momentum", || Box::new(RmsProp::new(1e-3).centered().momentum(0.9))),
        with("adam", || Box::new(Adam::new(1e-3))),
        with("adam with amsgrad", || Box::new(Adam::new(1e-3).amsgrad())),
        with("adamax", || Box::new(Adamax::new(1e-3))),
        with("nadam", || Box::new(Nadam::new(1e-3))),
        with("lion", || Box::new(Lion::new(1e-4))),
        with("ftrl", || Box::new(Ftrl::new(1e-3))),
        with("adafactor", || Box::new(Adafactor::new(1e-3))),
        Row::memory("adafactor_whole [65536]", |g| {
            let w = g.parameter("w", [65536], Init::Ones);
            let dw = uniform(g, "dw", [65536], [-1.0, 1.0]);
            Adafactor::new(1e-3).record(g, &[(w, dw.0)])?;
            Ok(super::Step { outputs: Vec::new(), inputs: vec![dw] })
        }),
        of_lenet("adafactor", || Box::new(Adafactor::new(1e-3))),
        of_lenet("adam", || Box::new(Adam::new(1e-3))),
    ]
}

/// The update of LeNet-5's ten parameters, and their squares for gradients.
fn of_lenet(name: &str, optimizer: fn() -> Box<dyn Optimizer>) -> Row {
    const SHAPES: [&[usize]; 10] = [
        &[6, 1, 5, 5],
        &[6],
        &[16, 6, 5, 5],
        &[16],
        &[400, 120],
        &[120],
        &[120, 84],
        &[84],
        &[84, 10],
        &[10],
    ];
    Row::memory(format!("{name} of LeNet-5's parameters"), move |g| {
        let mut gradients = Vec::new();
        for (i, shape) in SHAPES.iter().enumerate() {
            let w = g.parameter(&format!("w{i}"), Shape::new(shape)?, Init::Ones);
            gradients.push((w, g.square(w)?));
        }
        optimizer().record(g, &gradients)?;
        Ok(super::Step { outputs: Vec::new(), inputs: Vec::new() })
    })
}
