//! The running kernel: what it says about its types, and which hooks are tried.

use std::path::{Path, PathBuf};

use aya::{Btf, BtfError, Endianness};
use rustix::system::uname;

use crate::error::ObserveError;

/// The running kernel.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) btf: Btf,
    pub(crate) hooks: Hooks,
}

impl Drop for Kernel {
    /// What a kernel says about its types is some ten megabytes, in pieces: whoever keeps running gives them back.
    fn drop(&mut self) {
        drop(std::mem::take(&mut self.btf));
        #[cfg(target_env = "gnu")]
        // SAFETY: it takes no pointer, and may be called at any time by any thread.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// Which hooks are tried, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hooks {
    /// Tracepoints whose arguments the kernel knows the types of, then those it does not.
    TypedFirst,
    /// Only tracepoints whose arguments are plain numbers to the kernel: all that there is where it does not describe its own types.
    PlainOnly,
}

impl Kernel {
    /// Reads the kernel's description of its types, from a file where the kernel itself carries none.
    ///
    /// # Errors
    /// [`ObserveError::NoBtf`].
    pub fn read(file: Option<&Path>) -> Result<Self, ObserveError> {
        let path = file.map_or_else(|| PathBuf::from(OWN), Path::to_owned);
        match parse(&path) {
            Ok(btf) => Ok(Self {
                btf,
                hooks: if file.is_some() { Hooks::PlainOnly } else { Hooks::TypedFirst },
            }),
            Err(source) => Err(ObserveError::NoBtf { path, source }),
        }
    }

    /// The same kernel with a choice of hooks.
    #[must_use]
    pub fn with_hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }
}

/// The loader takes any file whose first bytes happen to make a header of it, so what it is has to be looked at before.
fn parse(path: &Path) -> Result<Btf, BtfError> {
    let bytes = std::fs::read(path).map_err(|error| BtfError::FileError { path: path.to_owned(), error })?;
    if !bytes.starts_with(&MAGIC.to_ne_bytes()) {
        return Err(BtfError::InvalidHeader);
    }
    Btf::parse(&bytes, Endianness::default())
}

/// The running kernel's version, as it calls it.
pub(crate) fn release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// What BTF begins with (Documentation/bpf/btf.rst of the kernel), in the order of its machine.
const MAGIC: u16 = 0xeb9f;
/// Where a kernel describes its own types.
const OWN: &str = "/sys/kernel/btf/vmlinux";
