// What sequences of indices that are padded to one length hold.
//
//   sequence_lengths  y[b] = 1 + the last t with index[b, t] != padding; 0 if there is none
//   padding_mask      y[i] = 0 if index[i] = padding else 1
//
// index is [batch, time], contiguous. sequence_lengths: a thread handles a row and walks it from its
// end; n is the batch. padding_mask: a thread per element. Workgroups of 64 in a folded grid.

struct Params {
    n: u32,
    time: u32,
    padding: u32,
}

@group(0) @binding(0) var<storage, read> index: array<u32>;
@group(0) @binding(1) var<storage, read_write> lengths: array<u32>;
@group(0) @binding(1) var<storage, read_write> mask: array<f32>;
var<immediate> p: Params;

@compute @workgroup_size(64)
fn sequence_lengths(@builtin(global_invocation_id) id: vec3<u32>) {
    let b = linear_index(id, 64u);
    if b >= p.n { return; }
    var length = p.time;
    while length > 0u {
        if index[b * p.time + length - 1u] != p.padding { break; }
        length -= 1u;
    }
    lengths[b] = length;
}

@compute @workgroup_size(64)
fn padding_mask(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { mask[i] = select(1.0, 0.0, index[i] == p.padding); }
}
