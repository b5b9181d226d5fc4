//! Why a package is not acceptable.

use std::fmt;

/// Why a package is not acceptable. Each says what was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is not a package.
    #[error("this is no package: {0}")]
    Shape(String),
    /// The manifest cannot be read, or says what cannot be.
    #[error("the manifest is not acceptable: {0}")]
    Manifest(String),
    /// Something passes a bound.
    #[error("{what}: {found}, at most {most} are allowed")]
    TooMuch {
        /// What.
        what: String,
        /// How much of it there is.
        found: u64,
        /// The bound.
        most: u64,
    },
    /// The object is not an ELF file, or is cut off.
    #[error("the object is no ELF file of 64 bits that can be read: {0}")]
    NotElf(String),
    /// The object is for another machine.
    #[error("the object is for another machine (ELF machine {0}): build it with -target bpf")]
    OtherMachine(u16),
    /// The object does not describe its types.
    #[error("the object does not describe its types (BTF): build it with -g, and strip no .BTF section")]
    NoBtf,
    /// What the object says of its types cannot be read.
    #[error("the object's description of its types (BTF) cannot be read: {0}")]
    Btf(String),
    /// The object has a section that a loader would take for something that is not allowed.
    #[error("the section {section} is not allowed: {why}")]
    Section {
        /// Its name.
        section: String,
        /// Why not.
        why: &'static str,
    },
    /// The object says nothing of its license.
    #[error("the object names no license: add a section `license`")]
    NoLicense,
    /// A helper is only for programs under the GPL.
    #[error("the program {program} calls bpf_{helper}, which is for programs under the GPL: the license of this object is {license:?}")]
    LicenseNotGpl {
        /// The program or function.
        program: String,
        /// The helper's name.
        helper: &'static str,
        /// What the object says.
        license: String,
    },
    /// There is nothing to run.
    #[error("the object has no program")]
    NoProgram,
    /// A program is of a kind that is not allowed.
    #[error("the program in section {section} is of a kind that is not allowed; there are: tp_btf, raw_tp, tracepoint, perf_event")]
    ProgramKind {
        /// Its section.
        section: String,
    },
    /// A program calls a helper that is not on the list.
    #[error("the program {program} calls bpf_{helper} (helper {id}), which is not allowed: a package only looks")]
    Helper {
        /// The program or function.
        program: String,
        /// The helper's name.
        helper: &'static str,
        /// Its number.
        id: i32,
    },
    /// A program calls a function of the kernel that is no helper.
    #[error("the program {program} calls a function of the kernel (kfunc), which is not allowed")]
    KernelFunction {
        /// The program or function.
        program: String,
    },
    /// The code refers to something that is neither a map, a variable nor a function of the object.
    #[error("the code of {program} is not acceptable: {why}")]
    Code {
        /// The program or function.
        program: String,
        /// What is wrong.
        why: String,
    },
    /// A map is of a kind, or has a property, that is not allowed.
    #[error("the map {map} is not acceptable: {why}")]
    Map {
        /// Its name.
        map: String,
        /// What is wrong.
        why: String,
    },
    /// A type cannot be told.
    #[error("{what} cannot be told as JSON: {why}")]
    Untellable {
        /// The map and the place in its type.
        what: String,
        /// Why not.
        why: String,
    },
    /// Manifest and object do not say the same.
    #[error("manifest and object differ: {what}: the manifest says {manifest}, the object {object}")]
    Differs {
        /// What.
        what: String,
        /// What the manifest says.
        manifest: String,
        /// What the object says.
        object: String,
    },
    /// Nobody has signed the package.
    #[error("the package is not signed")]
    NotSigned,
    /// The signature is not of this package, or not of this key.
    #[error("the signature is not what the key {key} makes of this package")]
    BadSignature {
        /// The key that the package names.
        key: String,
    },
    /// The owner of the host does not know the key.
    #[error("the package is signed by {key}, which is none of the keys that the owner of this host trusts (observe.custom_keys)")]
    UnknownKey {
        /// The key.
        key: String,
    },
}

impl Refusal {
    pub(crate) fn too_much(what: impl Into<String>, found: impl TryInto<u64>, most: impl TryInto<u64>) -> Self {
        Self::TooMuch {
            what: what.into(),
            found: found.try_into().unwrap_or(u64::MAX),
            most: most.try_into().unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn map(map: &str, why: impl Into<String>) -> Self {
        Self::Map {
            map: map.to_owned(),
            why: why.into(),
        }
    }

    pub(crate) fn code(program: &str, why: impl Into<String>) -> Self {
        Self::Code {
            program: program.to_owned(),
            why: why.into(),
        }
    }

    pub(crate) fn differs(what: impl Into<String>, manifest: impl fmt::Display, object: impl fmt::Display) -> Self {
        Self::Differs {
            what: what.into(),
            manifest: format!("{manifest}"),
            object: format!("{object}"),
        }
    }
}
