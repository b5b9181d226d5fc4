//! What an observation of somebody's own is: a program for the kernel as its object, a manifest that says what it is for, and the signature
//! of whoever stands for it.
//!
//! A [`Package`] is read, [`checked`](Package::check) and signed here, by its author, by the control plane and by the observer alike, so that
//! all three refuse the same things: kinds of programs, helpers, sizes, a manifest that lies. What its maps hold becomes JSON by a [`Shape`],
//! which is read out of the object's own description of its types (BTF).
//!
//! It imports `shared-protocol` only, does no I/O, and loads nothing: that is the business of `ebpf-probes`.
//!
//! ```
//! use ebpf_package::{Package, Refusal};
//!
//! assert!(matches!(Package::parse(b"{}"), Err(Refusal::Shape(_))));
//! ```

mod attach;
mod btf;
mod checked;
mod code;
mod decode;
mod elf;
mod helper;
mod limits;
mod manifest;
mod map;
mod package;
mod refusal;
mod shape;
mod signature;

pub use attach::{Attach, InvalidAttach};
pub use checked::{Checked, Exported, Reading};
pub use decode::{decode, sum};
pub use limits::{HZ_MAX, MANIFEST_BYTES, MEMORY_BYTES, OBJECT_BYTES, PACKAGE_BYTES};
pub use manifest::{Manifest, ManifestMap, ManifestProgram, Read};
pub use map::{Map, MapKind};
pub use package::Package;
pub use refusal::Refusal;
pub use shape::{Field, Shape};
pub use signature::{InvalidKey, PublicKey, SigningKey};
