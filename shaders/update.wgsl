// Update rules: what a step overwrites.
//
//   assign        s = x
//   sgd           w -= lr g                                        with g = dw + weight_decay w
//   sgd_momentum  u = momentum u + g;  w -= lr u, or lr (g + momentum u) in Nesterov's form
//   rmsprop       v = rho v + (1 - rho) g^2;  w -= lr g / (sqrt(v) + epsilon)
//   adam          m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;
//                 w -= lr m_hat / (sqrt(v_hat) + epsilon), m_hat = m / (1 - beta_1^t), likewise v
//
// t counts from 1 and comes, like lr, with each dispatch. A thread handles four neighbouring
// elements, a workgroup 256; buffers are padded to 16 bytes. For any shape.

struct AssignParams {
    n: u32,
}

struct SgdParams {
    n: u32,
    lr: f32,
    momentum: f32,
    weight_decay: f32,
    nesterov: u32,
}

struct RmsPropParams {
    n: u32,
    lr: f32,
    rho: f32,
    epsilon: f32,
    weight_decay: f32,
}

struct AdamParams {
    n: u32,
    step: u32,
    lr: f32,
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dw: array<vec4<f32>>;
@group(0) @binding(0) var<storage, read_write> state: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> value: array<vec4<u32>>;
var<immediate> assign_p: AssignParams;
var<immediate> sgd_p: SgdParams;
var<immediate> rmsprop_p: RmsPropParams;
var<immediate> adam_p: AdamParams;

@compute @workgroup_size(64)
fn assign(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < assign_p.n { state[i] = value[i]; }
}

@compute @workgroup_size(64)
fn sgd(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= sgd_p.n { return; }
    w[i] -= sgd_p.lr * (dw[i] + sgd_p.weight_decay * w[i]);
}

@compute @workgroup_size(64)
fn sgd_momentum(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= sgd_p.n { return; }
    let g = dw[i] + sgd_p.weight_decay * w[i];
    let u = sgd_p.momentum * m[i] + g;
    m[i] = u;
    w[i] -= sgd_p.lr * select(u, g + sgd_p.momentum * u, sgd_p.nesterov != 0u);
}

@compute @workgroup_size(64)
fn rmsprop(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= rmsprop_p.n { return; }
    let g = dw[i] + rmsprop_p.weight_decay * w[i];
    let square = rmsprop_p.rho * m[i] + (1.0 - rmsprop_p.rho) * g * g;
    m[i] = square;
    w[i] -= rmsprop_p.lr * g / (sqrt(square) + rmsprop_p.epsilon);
}

@compute @workgroup_size(64)
fn adam(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= adam_p.n { return; }
    let g = dw[i] + adam_p.weight_decay * w[i];
    let first = adam_p.beta_1 * m[i] + (1.0 - adam_p.beta_1) * g;
    let second = adam_p.beta_2 * v[i] + (1.0 - adam_p.beta_2) * g * g;
    m[i] = first;
    v[i] = second;
    let t = f32(adam_p.step + 1u);
    let m_hat = first / one_minus_power(adam_p.beta_1, t);
    let v_hat = second / one_minus_power(adam_p.beta_2, t);
    w[i] -= adam_p.lr * m_hat / (sqrt(v_hat) + adam_p.epsilon);
}

// 1 - beta^t without cancellation for beta near 1.
fn one_minus_power(beta: f32, t: f32) -> f32 {
    return -expm1(vec4(t * log_near_one(beta))).x;
}

// log(beta); for beta in (1/2, 1] through artanh, since WGSL's log is only good to 2^-21 there.
fn log_near_one(beta: f32) -> f32 {
    let s = (beta - 1.0) / (beta + 1.0);
    let q = s * s;
    var series = 1.0 / 11.0;
    series = fma(series, q, 1.0 / 9.0);
    series = fma(series, q, 1.0 / 7.0);
    series = fma(series, q, 0.2);
    series = fma(series, q, 1.0 / 3.0);
    series = fma(series, q, 1.0);
    return select(log(beta), 2.0 * s * series, beta > 0.5);
}
