/// What kind of processor runs the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A GPU: kernels stage through workgroup memory and want many threads.
    Gpu,
    /// A software driver on the CPU: few wide lanes, workgroup memory no faster than any other.
    Cpu,
}

/// The properties of a device that a plan depends on: plain data, so that a plan for any device
/// can be made and inspected anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceProfile {
    /// The adapter's name.
    pub name: String,
    /// GPU or software.
    pub kind: DeviceKind,
    /// Largest range one storage binding may cover, in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Storage buffers per kernel.
    pub max_storage_buffers: u32,
    /// Workgroups per grid dimension.
    pub max_workgroups: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Invocations per workgroup.
    pub max_invocations: u32,
    /// Workgroup size along x, y and z.
    pub max_workgroup_size: [u32; 3],
    /// Bytes of parameters per dispatch.
    pub max_param_bytes: u32,
    /// Alignment of a binding's first byte.
    pub offset_alignment: u32,
    /// Smallest and largest subgroup size, if kernels may use subgroup operations.
    pub subgroups: Option<(u32, u32)>,
    /// Loop iterations that an invocation gets, all its loops together. llvmpipe leaves every loop
    /// after 65,535 without a word; other drivers have no limit.
    pub max_loop_iterations: u32,
}

impl DeviceProfile {
    /// The limits that every WebGPU device with 128 bytes of immediates meets.
    pub fn baseline() -> Self {
        DeviceProfile {
            name: "baseline".to_owned(),
            kind: DeviceKind::Gpu,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            max_storage_buffers: 8,
            max_workgroups: 65_535,
            max_workgroup_bytes: 16_384,
            max_invocations: 256,
            max_workgroup_size: [256, 256, 64],
            max_param_bytes: 128,
            offset_alignment: 256,
            subgroups: None,
            max_loop_iterations: u32::MAX,
        }
    }
}
