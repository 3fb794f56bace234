// Dropout and additive noise, from random words that depend only on the seed, the step, the
// operator's stream and the element's index, so that nothing is stored for the gradient.
//
//   dropout          y = scale x where the element's word is past the threshold, else 0
//   spatial_dropout  the same with one word for each `plane` elements, a channel of x
//   gaussian_noise   y = x + deviation z, z standard normal
//   key              step and seed, for kernels that drop what they store
//
// Both dropouts are their own gradients, with dy in place of x. A word is compared by its upper 24
// bits, in integers: kept and dropped are the same on every device, and what is dropped is 0 even
// where x is not finite.
//
// Contiguous; a thread handles four neighbouring elements, one call of the generator, and a
// workgroup 256; buffers are padded to 16 bytes. A thread of spatial_dropout calls it once for each
// element where a channel ends among its four. The in-place entries overwrite the operand that the
// planner proved dead. For any shape; folded grids.

struct DropoutParams {
    // Vectors of four.
    n: u32,
    plane: u32,
    threshold: u32,
    scale: f32,
    stream: u32,
    step: u32,
    seed: u32,
}

struct NoiseParams {
    n: u32,
    deviation: f32,
    stream: u32,
    step: u32,
    seed: u32,
}

struct KeyParams {
    step: u32,
    seed: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> key_out: array<u32>;
var<immediate> p: DropoutParams;
var<immediate> noise_p: NoiseParams;
var<immediate> key_p: KeyParams;

fn words_at(quad: u32) -> vec4<u32> {
    return random_words(quad, p.stream, p.step, p.seed);
}

fn drop(x: vec4<f32>, words: vec4<u32>) -> vec4<f32> {
    return dropped(x, words, p.threshold, p.scale);
}

// The word of a channel.
fn channel_word(channel: u32) -> u32 {
    let words = words_at(channel / 4u);
    let odd = (channel & 1u) != 0u;
    return select(select(words.x, words.y, odd), select(words.z, words.w, odd), (channel & 2u) != 0u);
}

// The words of the channels of elements 4 i to 4 i + 3.
fn channel_words(i: u32) -> vec4<u32> {
    let channels = (4u * i + vec4(0u, 1u, 2u, 3u)) / p.plane;
    let first = channel_word(channels.x);
    if channels.x == channels.w { return vec4(first); }
    return vec4(first, channel_word(channels.y), channel_word(channels.z), channel_word(channels.w));
}

fn noise(i: u32) -> vec4<f32> {
    return noise_p.deviation * random_normals(random_words(i, noise_p.stream, noise_p.step, noise_p.seed));
}

@compute @workgroup_size(64)
fn dropout(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = drop(x[i], words_at(i)); }
}

@compute @workgroup_size(64)
fn dropout_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = drop(y[i], words_at(i)); }
}

@compute @workgroup_size(64)
fn spatial_dropout(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = drop(x[i], channel_words(i)); }
}

@compute @workgroup_size(64)
fn spatial_dropout_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = drop(y[i], channel_words(i)); }
}

@compute @workgroup_size(64)
fn gaussian_noise(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < noise_p.n { y[i] = x[i] + noise(i); }
}

@compute @workgroup_size(64)
fn gaussian_noise_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < noise_p.n { y[i] += noise(i); }
}

@compute @workgroup_size(1)
fn key() {
    key_out[0] = key_p.step;
    key_out[1] = key_p.seed;
}
