use super::BINDING_ALIGNMENT;
use crate::error::{Error, Result};

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
    /// Whether buffers may hold numbers of half precision ([`DType::F16`](crate::DType::F16)).
    pub f16: bool,
    /// Smallest and largest subgroup size, if kernels may use subgroup operations.
    pub subgroups: Option<(u32, u32)>,
    /// Loop iterations that an invocation gets, all its loops together. llvmpipe leaves every loop
    /// after 65,535 without a word; other drivers have no limit.
    pub max_loop_iterations: u32,
    /// Invocations that keep all of it busy. Products of fewer take smaller tiles, or are made in parts.
    pub busy_invocations: u32,
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
            f16: false,
            subgroups: None,
            max_loop_iterations: u32::MAX,
            busy_invocations: 1 << 16,
        }
    }

    /// Fails for what no device has: limits of zero and numbers that contradict each other.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) with the field.
    pub fn check(&self) -> Result<()> {
        let [x, y, z] = self.max_workgroup_size;
        let from = |least: u64, expected: &'static str| (least, expected);
        let some = from(1, "a device has at least 1");
        let fields = [
            (
                "max_binding_bytes",
                self.max_binding_bytes,
                from(256, "bindings begin at multiples of 256 bytes"),
            ),
            ("max_buffer_bytes", self.max_buffer_bytes, from(16, "buffers are padded to 16 bytes")),
            ("max_storage_buffers", self.max_storage_buffers.into(), some),
            ("max_workgroups", self.max_workgroups.into(), some),
            ("max_workgroup_bytes", self.max_workgroup_bytes.into(), some),
            ("max_invocations", self.max_invocations.into(), some),
            ("max_workgroup_size", x.min(y).min(z).into(), some),
            ("max_param_bytes", self.max_param_bytes.into(), some),
            ("busy_invocations", self.busy_invocations.into(), some),
            (
                "max_loop_iterations",
                self.max_loop_iterations.into(),
                from(2, "a device lets kernels loop twice at least"),
            ),
        ];
        for (argument, value, (least, expected)) in fields {
            Error::expect(value >= least, argument, value, expected)?;
        }
        let alignment = self.offset_alignment;
        let fits = alignment.is_power_of_two() && alignment <= BINDING_ALIGNMENT as u32;
        Error::expect(fits, "offset_alignment", alignment, "a power of two up to 256")?;
        Error::expect(
            self.max_param_bytes <= 1 << 16,
            "max_param_bytes",
            self.max_param_bytes,
            "at most 65,536",
        )?;
        let bytes = self.max_workgroup_bytes;
        Error::expect(bytes <= 1 << 26, "max_workgroup_bytes", bytes, "at most 64 MiB")?;
        let Some((least, most)) = self.subgroups else { return Ok(()) };
        let fits = least.is_power_of_two() && most.is_power_of_two() && least <= most && most <= 128;
        let value = format!("{least} to {most}");
        Error::expect(fits, "subgroups", value, "powers of two up to 128, the smallest first")
    }
}
