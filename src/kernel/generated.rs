use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Shader;

/// The shaders that were put together at run time, by their source.
static GENERATED: Mutex<BTreeMap<&'static str, &'static Shader>> = Mutex::new(BTreeMap::new());

/// What the sources of kernels end with that put what they store through a function.
const FINISH: &str = include_str!("../../shaders/finish.wgsl");

impl Shader {
    /// The same kernels with another `finish`: its name is added to the module's.
    ///
    /// # Safety
    /// As [`Shader::new_unchecked`].
    pub(crate) unsafe fn finished(&self, name: &str, finish: &str) -> Option<&'static Shader> {
        let kernels = self.own_source().strip_suffix(FINISH)?;
        // SAFETY: the kernels' author vouches for them, and the caller for what they end with.
        Some(unsafe { Shader::generated(&format!("{}_{name}", self.name()), &format!("{kernels}{finish}")) })
    }

    /// The module of a source that is put together at run time: one for each source, which lives as long as
    /// the program, since pipelines are told apart by their shader. It runs without wgpu's run-time checks.
    ///
    /// # Safety
    /// As [`Shader::new_unchecked`].
    pub(crate) unsafe fn generated(name: &str, source: &str) -> &'static Shader {
        let mut known = GENERATED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&shader) = known.get(source) {
            return shader;
        }
        let [name, source]: [&'static str; 2] = [name, source].map(|text| &*Box::leak(text.into()));
        // SAFETY: the caller vouches for the source.
        let shader: &'static Shader = Box::leak(Box::new(unsafe { Shader::new_unchecked(name, source) }));
        known.insert(source, shader);
        shader
    }
}
