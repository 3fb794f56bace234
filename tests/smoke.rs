use retape::prelude::*;
fn mlp(device: &Device) -> retape::Result<Vec<f32>> {
    let mut g = Graph::new();
    let x = g.input("x", [4, 2]);
    let t = g.targets("t", [4, 1]);
    let w1 = g.parameter("w1", [2, 8], Init::GlorotUniform);
    let b1 = g.parameter("b1", [8], Init::Zeros);
    let w2 = g.parameter("w2", [8, 1], Init::GlorotUniform);
    let h = g.tanh(g.add(g.matmul(x, w1)?, b1)?)?;
    let y = g.sigmoid(g.matmul(h, w2)?)?;
    let loss = g.mean(g.square(g.sub(y, t)?)?, &[], false)?;
    let tape = g.training_step(loss, &Adam::new(0.05))?;
    println!("{tape}");
    if let Some(p) = device.profile() { println!("{}", tape.plan(p)?); }
    let mut s = tape.session(device)?;
    s.write(x, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    s.write(t, &[0.0, 1.0, 1.0, 0.0])?;
    let mut out = vec![];
    println!("{}", s.verify(&[])?);
    for _ in 0..5 { s.replay()?; out.push(s.read_scalar(loss)?); }
    s.replay_n(500)?;
    out.push(s.read_scalar(loss)?);
    Ok(out)
}
#[test]
fn smoke() {
    println!("{:?}", mlp(&Device::cpu()).unwrap());
    println!("{:?}", mlp(&Device::named("llvmpipe").unwrap()).unwrap());
}
