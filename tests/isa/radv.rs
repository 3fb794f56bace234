//! Mesa's RADV on its null device: a Vulkan device without hardware, which compiles compute kernels to the real
//! instructions of an AMD GPU and tells what they take.
//!
//! The driver reads the GPU to compile for in `RADV_FORCE_FAMILY`, and the loader the driver in `VK_DRIVER_FILES`:
//! both are set for a process before it opens the device.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

use ash::vk;

/// Storage buffers of the one layout that all kernels are compiled with.
const BINDINGS: u32 = 64;

/// The driver's file, where it is installed.
pub fn driver() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let names = ["radeon_icd.x86_64.json", "radeon_icd.json"];
    folders
        .iter()
        .flat_map(|folder| names.map(|name| Path::new(folder).join(name)))
        .find(|file| file.exists())
}

/// What the compiler says of a kernel.
pub struct Compiled {
    /// Names and numbers: registers, spills, bytes of workgroup memory and so on.
    pub statistics: Vec<(String, u64)>,
    pub assembly: String,
}

/// A device that compiles and does nothing else.
pub struct NullDevice {
    // The library stays loaded as long as its functions are called.
    _entry: ash::Entry,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    layout: vk::PipelineLayout,
    /// The driver's version.
    pub version: String,
    /// What it compiles for.
    pub name: String,
}

impl NullDevice {
    pub fn open() -> Result<NullDevice, String> {
        // SAFETY: the loader is the system's.
        let entry = unsafe { ash::Entry::load() }.map_err(|e| format!("no Vulkan loader: {e}"))?;
        let failed = |e: vk::Result| format!("the null device did not open: {e}");
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the structures that are pointed to outlive the calls, here and below; objects live as long as
        // the process, since this driver does not take its null device apart.
        unsafe {
            let instance = entry.create_instance(&info, None).map_err(failed)?;
            let physical = instance.enumerate_physical_devices().map_err(failed)?;
            let &physical = physical.first().ok_or("the driver shows no device")?;
            let (name, version) = described(&instance, physical);
            let mut executable = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                .pipeline_executable_info(true);
            let mut vulkan_13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut vulkan_12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut vulkan_11 = vk::PhysicalDeviceVulkan11Features::default();
            let mut features = vk::PhysicalDeviceFeatures2::default()
                .push_next(&mut executable)
                .push_next(&mut vulkan_13)
                .push_next(&mut vulkan_12)
                .push_next(&mut vulkan_11);
            instance.get_physical_device_features2(physical, &mut features);
            features.features.robust_buffer_access = vk::FALSE;
            let queue = vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0]);
            let queues = [queue];
            let extensions = [ash::khr::pipeline_executable_properties::NAME.as_ptr()];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut features);
            let device = instance.create_device(physical, &info, None).map_err(failed)?;
            let executables = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            let layout = layout(&device).map_err(failed)?;
            Ok(NullDevice { _entry: entry, device, executables, layout, version, name })
        }
    }

    /// Compiles the entry point of a SPIR-V module.
    pub fn compile(&self, words: &[u32], entry: &str) -> Result<Compiled, String> {
        let failed = |e: vk::Result| e.to_string();
        let entry = CString::new(entry).map_err(|e| e.to_string())?;
        let module = vk::ShaderModuleCreateInfo::default().code(words);
        // SAFETY: the words are naga's, and the layout has all bindings and parameters that a kernel may use.
        unsafe {
            let module = self.device.create_shader_module(&module, None).map_err(failed)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&entry);
            let info = vk::ComputePipelineCreateInfo::default()
                .flags(
                    vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                        | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
                )
                .stage(stage)
                .layout(self.layout);
            let pipelines = self
                .device
                .create_compute_pipelines(vk::PipelineCache::null(), &[info], None)
                .map_err(|(_, e)| failed(e))?;
            let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipelines[0]);
            let compiled = Compiled { statistics: self.statistics(&info)?, assembly: self.assembly(&info)? };
            self.device.destroy_pipeline(pipelines[0], None);
            self.device.destroy_shader_module(module, None);
            Ok(compiled)
        }
    }

    fn statistics(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<Vec<(String, u64)>, String> {
        // SAFETY: the pipeline was made with its statistics kept.
        let found = unsafe { self.executables.get_pipeline_executable_statistics(info) };
        let number = |of: vk::PipelineExecutableStatisticKHR<'_>| {
            // SAFETY: the driver's statistics are all 64-bit integers.
            (text(&of.name), unsafe { of.value.u64 })
        };
        Ok(found.map_err(|e| e.to_string())?.into_iter().map(number).collect())
    }

    fn assembly(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String, String> {
        let query = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let mut count = 0;
        let ask = |count: &mut u32, to: *mut vk::PipelineExecutableInternalRepresentationKHR<'_>| {
            // SAFETY: `to` is null or has room for `count` of them.
            let result = unsafe { query(self.device.handle(), info, count, to) };
            result.result().map_err(|e| e.to_string())
        };
        ask(&mut count, std::ptr::null_mut())?;
        let mut forms = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
        ask(&mut count, forms.as_mut_ptr())?;
        let mut texts: Vec<Vec<u8>> = forms.iter().map(|form| vec![0; form.data_size]).collect();
        for (form, text) in forms.iter_mut().zip(&mut texts) {
            form.p_data = text.as_mut_ptr().cast();
        }
        ask(&mut count, forms.as_mut_ptr())?;
        let assembly = forms.iter().position(|form| text(&form.name).contains("ssembly"));
        let index = assembly.ok_or("the driver shows no assembly")?;
        let bytes = texts[index].split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// The name of a device, and its driver's version.
unsafe fn described(instance: &ash::Instance, physical: vk::PhysicalDevice) -> (String, String) {
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
    // SAFETY: the caller's instance has this device.
    unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
    let name = text(&properties.properties.device_name);
    (name, text(&driver.driver_info))
}

/// One layout for all kernels.
unsafe fn layout(device: &ash::Device) -> Result<vk::PipelineLayout, vk::Result> {
    let binding = |binding| {
        vk::DescriptorSetLayoutBinding::default()
            .binding(binding)
            .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
            .descriptor_count(1)
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
    };
    let bindings: Vec<_> = (0..BINDINGS).map(binding).collect();
    let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
    let constants = [vk::PushConstantRange::default().stage_flags(vk::ShaderStageFlags::COMPUTE).size(128)];
    // SAFETY: the caller's device is open, and all that is pointed to outlives the calls.
    unsafe {
        let sets = [device.create_descriptor_set_layout(&set, None)?];
        let info =
            vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&constants);
        device.create_pipeline_layout(&info, None)
    }
}

/// The text of a fixed array that ends in a zero.
fn text(array: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = array.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap_or_default().to_string_lossy().into_owned()
}
