//! What a kernel calls its reasons for dropping packets: their numbers change from version to version.

use std::collections::BTreeMap;

use crate::btf;
use crate::kernel::Kernel;

/// The kernel's reasons by their numbers.
#[derive(Debug)]
pub(crate) struct Reasons(BTreeMap<u32, String>);

impl Reasons {
    pub(crate) fn of(kernel: &Kernel) -> Self {
        Self(btf::enumeration(&kernel.btf.to_bytes(), TYPE))
    }

    /// What is missing where the kernel has none.
    pub(crate) fn missing(&self) -> Option<String> {
        self.0.is_empty().then(|| NO_REASONS.to_owned())
    }

    /// Its name, or its number where it has none.
    pub(crate) fn name(&self, reason: u32) -> String {
        if self.0.is_empty() {
            return UNSPECIFIED.to_owned();
        }
        let name = self.0.get(&reason).and_then(|name| name.strip_prefix(PREFIX));
        name.map_or_else(|| reason.to_string(), str::to_lowercase)
    }
}

/// The kernel's type of reasons, since version 5.17.
const TYPE: &str = "skb_drop_reason";
const PREFIX: &str = "SKB_DROP_REASON_";
const NO_REASONS: &str = "why packets are dropped: this kernel has no reasons";
/// What the kernels that have reasons call having none.
const UNSPECIFIED: &str = "not_specified";
