// Update rules: what a step overwrites.
//
//   assign          s = x
//   accumulate      s + c = s + c + x, where c is less than s can hold
//   moving_average  a = rho a + (1 - rho) w; a = w at the first update
//   update_count    t
//
// and for a parameter w of gradient dw, with g = dw + weight_decay w and w reduced by
// lr decoupled_weight_decay w before all else:
//
//   sgd             w -= lr g
//   sgd_momentum    u = momentum u + g;  w -= lr u, or lr (g + momentum u) in Nesterov's form
//   adagrad         s += g^2;  w -= lr g / sqrt(s + epsilon)
//   adadelta        s = rho s + (1 - rho) g^2;  z = sqrt(d + epsilon) / sqrt(s + epsilon) g;
//                   d = rho d + (1 - rho) z^2;  w -= lr z
//   rmsprop         v = rho v + (1 - rho) g^2;  w -= step, step = lr g / sqrt(v + epsilon)
//     _centered     v = rho (v + (1 - rho) (g - m)^2);  m += (1 - rho) (g - m): v is the variance
//     _momentum     u = momentum u + step;  w -= u
//   adam            m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;
//                   w -= lr m_hat / (sqrt(v_hat) + epsilon / sqrt(1 - beta_2^t)),
//                   m_hat = m / (1 - beta_1^t), likewise v
//     _amsgrad      v_hat of the largest v so far
//   adamax          m as in adam;  u = max(beta_2 u, |g|);  w -= lr m_hat / (u + epsilon)
//   nadam           m, v and v_hat as in adam;  m_hat = mu' m / (1 - P mu') + (1 - mu) g / (1 - P)
//                   with the momenta mu of t and mu' of t + 1, and P the product of those to t
//   lion            w -= lr sign(beta_1 m + (1 - beta_1) g);  m = beta_2 m + (1 - beta_2) g
//   ftrl            n = s + g^2, q(n) = n^-p;  z += g + 2 l2_shrinkage w - (q(n) - q(s)) / lr w;
//                   w = (clamp(z, l1) - z) / ((q(n) + beta) / lr + 2 l2);  s = n;  p = learning_rate_power
//
// These are Keras's forms. In PyTorch's, adagrad and rmsprop divide by sqrt(..) + epsilon, rmsprop's velocity
// is multiplied by lr afterwards, adam divides by sqrt(v_hat) + epsilon, and adamax takes
// u = max(beta_2 u, |g| + epsilon) and divides by it.
//
// dw is the gradient, or in the shader of `limited_gradient.wgsl` the gradient clipped by a norm.
//
// t counts from 1 and comes, like lr, with each dispatch. A thread handles four neighbouring
// elements, a workgroup 256; buffers are padded to 16 bytes. For any shape.

struct UpdateParams {
    n: u32,
    updates: u32,
    lr: f32,
    weight_decay: f32,
    decoupled_weight_decay: f32,
    nesterov: f32,
    pytorch: f32,
    momentum: f32,
    momentum_decay: f32,
    rho: f32,
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    learning_rate_power: f32,
    l1: f32,
    l2: f32,
    beta: f32,
    l2_shrinkage: f32,
    // What gradients are clipped to, where they are.
    limit: f32,
}

// The parameter, or what is overwritten in its stead; its states; its gradient, or the new value.
@group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dw: array<vec4<f32>>;
// What is copied bit by bit.
@group(0) @binding(0) var<storage, read_write> state: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> value: array<vec4<u32>>;
var<immediate> p: UpdateParams;

@compute @workgroup_size(64)
fn assign(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { state[i] = value[i]; }
}

@compute @workgroup_size(64)
fn accumulate(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let first = two_sum(w[i], dw[i]);
    let second = two_sum(first.sum, m[i] + first.lost);
    w[i] = second.sum;
    m[i] = second.lost;
}

@compute @workgroup_size(64)
fn moving_average(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let x = dw[i];
    if p.updates == 0u {
        w[i] = x;
    } else {
        w[i] = p.rho * w[i] + (1.0 - p.rho) * x;
    }
}

@compute @workgroup_size(1)
fn update_count() {
    if p.n > 0u { w[0] = vec4(update_number()); }
}

// The number of the update from 1, of which the largest count has one too.
fn update_number() -> f32 {
    return f32(p.updates) + 1.0;
}

// The gradient with what decays the weights through it.
fn gradient(i: u32) -> vec4<f32> {
    return gradient_at(i) + p.weight_decay * w[i];
}

// The parameter decayed beside the gradient.
fn decayed(i: u32) -> vec4<f32> {
    return w[i] - p.lr * p.decoupled_weight_decay * w[i];
}

@compute @workgroup_size(64)
fn sgd(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    w[i] = decayed(i) - p.lr * gradient(i);
}

@compute @workgroup_size(64)
fn sgd_momentum(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let velocity = p.momentum * m[i] + g;
    m[i] = velocity;
    w[i] = decayed(i) - p.lr * select(velocity, g + p.momentum * velocity, p.nesterov != 0.0);
}

@compute @workgroup_size(64)
fn adagrad(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let sum = m[i] + g * g;
    m[i] = sum;
    w[i] = decayed(i) - p.lr * g / root(sum);
}

@compute @workgroup_size(64)
fn adadelta(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let squares = p.rho * m[i] + (1.0 - p.rho) * g * g;
    let delta = sqrt(v[i] + p.epsilon) / sqrt(squares + p.epsilon) * g;
    m[i] = squares;
    v[i] = p.rho * v[i] + (1.0 - p.rho) * delta * delta;
    w[i] = decayed(i) - p.lr * delta;
}

@compute @workgroup_size(64)
fn rmsprop(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    w[i] = decayed(i) - velocity_rate() * scaled(g, mean_square(i, g));
}

@compute @workgroup_size(64)
fn rmsprop_momentum(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let velocity = p.momentum * v[i] + scaled(g, mean_square(i, g));
    v[i] = velocity;
    w[i] = decayed(i) - velocity_rate() * velocity;
}

@compute @workgroup_size(64)
fn rmsprop_centered(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    w[i] = decayed(i) - velocity_rate() * scaled(g, variance(i, g));
}

@compute @workgroup_size(64)
fn rmsprop_centered_momentum(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let velocity = p.momentum * u[i] + scaled(g, variance(i, g));
    u[i] = velocity;
    w[i] = decayed(i) - velocity_rate() * velocity;
}

fn scaled(g: vec4<f32>, square: vec4<f32>) -> vec4<f32> {
    return select(p.lr, 1.0, p.pytorch != 0.0) * g / root(square);
}

// What a velocity is multiplied with, which holds the rates of its steps or does not.
fn velocity_rate() -> f32 {
    return select(1.0, p.lr, p.pytorch != 0.0);
}

fn root(square: vec4<f32>) -> vec4<f32> {
    return select(sqrt(square + p.epsilon), sqrt(square) + p.epsilon, p.pytorch != 0.0);
}

fn mean_square(i: u32, g: vec4<f32>) -> vec4<f32> {
    let square = p.rho * m[i] + (1.0 - p.rho) * g * g;
    m[i] = square;
    return square;
}

fn variance(i: u32, g: vec4<f32>) -> vec4<f32> {
    let distance = g - v[i];
    let square = p.rho * (m[i] + (1.0 - p.rho) * distance * distance);
    m[i] = square;
    v[i] += (1.0 - p.rho) * distance;
    return square;
}

@compute @workgroup_size(64)
fn adam(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let first = mean(i, g);
    w[i] = decayed(i) - corrected_step(first, mean_of_squares(i, g));
}

@compute @workgroup_size(64)
fn adam_amsgrad(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let first = mean(i, g);
    let largest = larger(u[i], mean_of_squares(i, g));
    u[i] = largest;
    w[i] = decayed(i) - corrected_step(first, largest);
}

fn mean(i: u32, g: vec4<f32>) -> vec4<f32> {
    let first = p.beta_1 * m[i] + (1.0 - p.beta_1) * g;
    m[i] = first;
    return first;
}

fn mean_of_squares(i: u32, g: vec4<f32>) -> vec4<f32> {
    let second = p.beta_2 * v[i] + (1.0 - p.beta_2) * g * g;
    v[i] = second;
    return second;
}

fn corrected_step(first: vec4<f32>, second: vec4<f32>) -> vec4<f32> {
    let t = update_number();
    let m_hat = first / one_minus_power(p.beta_1, t);
    let correction = one_minus_power(p.beta_2, t);
    let epsilon = select(p.epsilon / sqrt(correction), p.epsilon, p.pytorch != 0.0);
    return p.lr * m_hat / (sqrt(second / correction) + epsilon);
}

@compute @workgroup_size(64)
fn adamax(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let m_hat = mean(i, g) / one_minus_power(p.beta_1, update_number());
    let within = select(0.0, p.epsilon, p.pytorch != 0.0);
    let largest = larger(p.beta_2 * v[i], abs(g) + within);
    v[i] = largest;
    w[i] = decayed(i) - p.lr * m_hat / (largest + (p.epsilon - within));
}

@compute @workgroup_size(64)
fn nadam(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    let t = update_number();
    let next = nadam_momentum(t + 1.0);
    let product = momenta(t);
    let m_hat = next / (1.0 - product * next) * mean(i, g)
        + (1.0 - nadam_momentum(t)) / (1.0 - product) * g;
    let v_hat = mean_of_squares(i, g) / one_minus_power(p.beta_2, t);
    w[i] = decayed(i) - p.lr * m_hat / (sqrt(v_hat) + p.epsilon);
}

// log(0.96)
const LOG_DECAY = -0.040821994520255166;

fn nadam_momentum(t: f32) -> f32 {
    return p.beta_1 * (1.0 - 0.5 * exp(t * (p.momentum_decay * LOG_DECAY)));
}

// The product of the momenta 1 to t. With q = 0.96^momentum_decay, its logarithm is t log(beta_1) and the
// sum over i of log(1 - q^i / 2); each of these is minus the sum over k of 2^-k q^(i k) / k, and the sum
// over i is then geometric.
fn momenta(t: f32) -> f32 {
    let log_q = p.momentum_decay * LOG_DECAY;
    var sum = 0.0;
    var half = 1.0;
    for (var k = 1u; k <= 24u; k++) {
        half *= 0.5;
        let exponent = f32(k) * log_q;
        let powers = expm1(vec4(exponent, exponent * t, 0.0, 0.0));
        sum += half / f32(k) * exp(exponent) * (powers.y / powers.x);
    }
    return exp(t * log_near_one(max(p.beta_1, 1e-30)) - sum);
}

// The sign, of which a NaN has itself.
fn direction(x: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, select(select(x, vec4(1.0), x > vec4(0.0)), vec4(-1.0), x < vec4(0.0)));
}

@compute @workgroup_size(64)
fn lion(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let g = gradient(i);
    w[i] = decayed(i) - p.lr * direction(p.beta_1 * m[i] + (1.0 - p.beta_1) * g);
    m[i] = p.beta_2 * m[i] + (1.0 - p.beta_2) * g;
}

@compute @workgroup_size(64)
fn ftrl(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    // Everything is divided by the rate; at a rate of 0 nothing moves.
    if i >= p.n || p.lr == 0.0 { return; }
    let g = gradient(i);
    let x = decayed(i);
    let sum = m[i] + g * g;
    let after = ftrl_root(sum);
    let linear = v[i] + (g + 2.0 * p.l2_shrinkage * x) - (after - ftrl_root(m[i])) / p.lr * x;
    m[i] = sum;
    v[i] = linear;
    let quadratic = (after + p.beta) / p.lr + 2.0 * p.l2;
    w[i] = (clamp(linear, vec4(-p.l1), vec4(p.l1)) - linear) / quadratic;
}

fn ftrl_root(sum: vec4<f32>) -> vec4<f32> {
    if p.learning_rate_power == -0.5 { return sqrt(sum); }
    if p.learning_rate_power == 0.0 { return vec4(1.0); }
    return exp2(-p.learning_rate_power * log2(sum));
}

// 1 - beta^t without cancellation for beta near 1.
fn one_minus_power(beta: f32, t: f32) -> f32 {
    return select(-expm1(vec4(t * log_near_one(beta))).x, 1.0, beta == 0.0);
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
