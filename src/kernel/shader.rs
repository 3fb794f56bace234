use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use naga::back::{PipelineConstants, pipeline_constants::process_overrides};
use naga::compact::{KeepUnused, compact};
use naga::valid::{Capabilities, ModuleInfo, SubgroupOperationSet, ValidationFlags, Validator};

use super::Field;
use super::half::narrow;
use crate::error::{Error, Result};

const PRELUDE: &str = include_str!("../../shaders/prelude.wgsl");

/// A hand-written WGSL module.
///
/// Declare one as a `static`; its address is its identity. The shared helpers of `prelude.wgsl`
/// are appended to the source, so line numbers in messages are those of the file.
///
/// ```
/// use retape::kernel::Shader;
/// static SHADER: Shader = Shader::new("twice", "
///     struct Params { n: u32 }
///     @group(0) @binding(0) var<storage, read> x: array<f32>;
///     @group(0) @binding(1) var<storage, read_write> y: array<f32>;
///     var<immediate> p: Params;
///
///     @compute @workgroup_size(64)
///     fn main(@builtin(global_invocation_id) id: vec3<u32>) {
///         let i = linear_index(id, 64u);
///         if i < p.n { y[i] = 2.0 * x[i]; }
///     }
/// ");
/// let main = SHADER.entry("main", &[]).unwrap();
/// assert_eq!(main.workgroup_size, [64, 1, 1]);
/// assert_eq!(main.bindings.len(), 2);
/// ```
pub struct Shader {
    name: &'static str,
    source: &'static str,
    /// Whether its author vouches for its indices and loops.
    pub(crate) unchecked: bool,
    parsed: OnceLock<Result<Parsed, String>>,
    reflected: Mutex<BTreeMap<ReflectionKey, Arc<EntryPoint>>>,
}

/// An entry point and the bits of its constants.
type ReflectionKey = (&'static str, Vec<(&'static str, u64)>);

type Parsed = (naga::Module, ModuleInfo);

type Specialised<'a> = (Cow<'a, naga::Module>, Cow<'a, ModuleInfo>);

/// How an entry point uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// What reflection finds about one entry point under given `override` constants.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntryPoint {
    /// Invocations along x, y and z.
    pub workgroup_size: [u32; 3],
    /// Bytes of `var<workgroup>` memory.
    pub workgroup_bytes: u32,
    /// The storage buffers it uses: binding number in group 0 and access, ascending.
    pub bindings: Vec<(u32, Access)>,
    /// Fields of the parameter block it uses: name, offset and size in bytes.
    pub params: Vec<(String, usize, usize)>,
}

impl Shader {
    /// A module from its name, for messages, and its source. It runs under wgpu's run-time checks
    /// of bounds and loops.
    pub const fn new(name: &'static str, source: &'static str) -> Self {
        Shader::from_parts(name, source, false)
    }

    /// A module that runs without wgpu's run-time checks, unless `RETAPE_CHECKED=1` asks for them.
    ///
    /// # Safety
    /// Every call that an operator lowers to must keep each index within its binding (the bytes of a
    /// value or a run, padded to 16), and every loop must end.
    pub const unsafe fn new_unchecked(name: &'static str, source: &'static str) -> Self {
        Shader::from_parts(name, source, true)
    }

    const fn from_parts(name: &'static str, source: &'static str, unchecked: bool) -> Self {
        Shader { name, source, unchecked, parsed: OnceLock::new(), reflected: Mutex::new(BTreeMap::new()) }
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The source without the prelude.
    pub(super) fn own_source(&self) -> &'static str {
        self.source
    }

    /// The source with the prelude appended.
    pub fn source(&self) -> String {
        format!("{}\n{PRELUDE}", self.source)
    }

    /// The names of its entry points in source order.
    pub fn entries(&self) -> Result<Vec<String>> {
        Ok(self.parsed()?.0.entry_points.iter().map(|e| e.name.clone()).collect())
    }

    /// The validated naga module and its analysis.
    pub(crate) fn module(&self) -> Result<(&naga::Module, &ModuleInfo)> {
        self.parsed().map(|(module, info)| (module, info))
    }

    /// Reflects one entry point with its `override` constants set. Each is worked out once.
    pub fn entry(&self, entry: &'static str, constants: &[(&'static str, f64)]) -> Result<Arc<EntryPoint>> {
        let key = (entry, constants.iter().map(|&(name, value)| (name, value.to_bits())).collect());
        let known = self.reflected.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = Arc::new(self.reflect(entry, constants)?);
        self.reflected.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        Ok(found)
    }

    fn reflect(&self, entry: &'static str, constants: &[(&str, f64)]) -> Result<EntryPoint> {
        let (module, info) = self.specialised(entry, constants)?;
        // There is one: `specialised` refuses a module without it.
        let index = module.entry_points.iter().position(|e| e.name == entry).unwrap_or_default();
        let (uses, point) = (info.get_entry_point(index), &module.entry_points[index]);
        let size = |ty: naga::Handle<naga::Type>| module.types[ty].inner.size(module.to_ctx());

        let mut found = EntryPoint {
            workgroup_size: point.workgroup_size,
            workgroup_bytes: 0,
            bindings: Vec::new(),
            params: Vec::new(),
        };
        for (handle, global) in module.global_variables.iter() {
            if uses[handle].is_empty() {
                continue;
            }
            match global.space {
                naga::AddressSpace::Storage { access } => {
                    let writes = access.contains(naga::StorageAccess::STORE);
                    let access = if writes { Access::ReadWrite } else { Access::Read };
                    let binding = global.binding.as_ref().map_or(u32::MAX, |b| b.binding);
                    found.bindings.push((binding, access));
                }
                naga::AddressSpace::WorkGroup => found.workgroup_bytes += size(global.ty),
                naga::AddressSpace::Immediate => {
                    if let naga::TypeInner::Struct { members, .. } = &module.types[global.ty].inner {
                        let name = |m: &naga::StructMember| m.name.clone().unwrap_or_default();
                        let params =
                            members.iter().map(|m| (name(m), m.offset as usize, size(m.ty) as usize));
                        found.params = params.collect();
                    }
                }
                _ => {}
            }
        }
        found.bindings.sort_by_key(|&(binding, _)| binding);
        Ok(found)
    }

    /// The module reduced to one entry point, its `override` constants replaced by their values.
    /// What is bound to the binding numbers in `halves` has elements of half precision.
    pub(crate) fn specialise(
        &self,
        entry: &'static str,
        constants: &[(&str, f64)],
        halves: &[u32],
    ) -> Result<naga::Module> {
        let mut module = self.specialised(entry, constants)?.0.into_owned();
        // Of a module without constants all is still there, and drivers would read it.
        module.entry_points.retain(|point| point.name == entry);
        compact(&mut module, KeepUnused::No);
        if !halves.is_empty() {
            let failed = |message| Error::KernelMismatch { shader: self.name, entry, message };
            narrow(&mut module, halves).map_err(failed)?;
            compact(&mut module, KeepUnused::No);
        }
        Ok(module)
    }

    fn specialised(&self, entry: &'static str, constants: &[(&str, f64)]) -> Result<Specialised<'_>> {
        let fail = |message: String| Error::KernelMismatch { shader: self.name, entry, message };
        let (module, info) = self.module()?;
        if !module.entry_points.iter().any(|e| e.name == entry) {
            return Err(fail("no such entry point".to_owned()));
        }
        let values: PipelineConstants =
            constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        let stage = (naga::ShaderStage::Compute, entry);
        process_overrides(module, info, Some(stage), &values).map_err(|e| fail(e.to_string()))
    }

    fn parsed(&self) -> Result<&Parsed> {
        let parsed = self.parsed.get_or_init(|| {
            let source = self.source();
            let module = naga::front::wgsl::parse_str(&source)
                .map_err(|e| e.emit_to_string_with_path(&source, self.name))?;
            let info = Validator::new(ValidationFlags::all(), Capabilities::all())
                .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
                .subgroup_operations(SubgroupOperationSet::all())
                .validate(&module)
                .map_err(|e| e.emit_to_string_with_path(&source, self.name))?;
            Ok((module, info))
        });
        parsed.as_ref().map_err(|message| Error::Shader { shader: self.name, message: message.clone() })
    }
}

impl EntryPoint {
    /// Invocations in a workgroup.
    pub fn invocations(&self) -> u32 {
        self.workgroup_size.iter().product()
    }

    /// Compares the shader's parameter block with the Rust struct's fields.
    pub(crate) fn check_params(&self, rust: &[Field]) -> Result<(), String> {
        let found = self.params.iter().map(|(name, offset, bytes)| (name.as_str(), *offset, *bytes));
        if found.eq(rust.iter().map(|f| (f.name, f.offset, f.bytes))) {
            return Ok(());
        }
        let wgsl: Vec<_> = self.params.iter().map(|(n, o, b)| format!("{n}@{o}+{b}")).collect();
        let rust: Vec<_> = rust.iter().map(|f| format!("{}@{}+{}", f.name, f.offset, f.bytes)).collect();
        Err(format!("parameters differ: WGSL has {wgsl:?}, Rust has {rust:?}"))
    }
}

impl fmt::Debug for Shader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shader({})", self.name)
    }
}
