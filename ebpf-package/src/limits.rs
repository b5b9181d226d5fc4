//! Every bound of a package, in one place. Whatever passes one is refused by [`crate::Refusal::TooMuch`].

/// Longest object, bytes.
pub const OBJECT_BYTES: usize = 256 * 1024;
/// Longest manifest, bytes.
pub const MANIFEST_BYTES: usize = 16 * 1024;
/// Longest package as text: both, as JSON has them.
pub use shared_protocol::limits::PACKAGE_BYTES;
/// Most programs.
pub(crate) const PROGRAMS: usize = 16;
/// Most maps, of which most are told.
pub(crate) const MAPS: usize = 16;
/// Most maps that are told.
pub(crate) const EXPORTS: usize = 8;
/// Most instructions of all programs and functions.
pub(crate) const INSTRUCTIONS: usize = 16_384;
/// Most entries of a map.
pub(crate) const ENTRIES: u32 = 65_536;
/// Most entries of a map that is told: each is looked at with every interval.
pub(crate) const TOLD_ENTRIES: u32 = 16_384;
/// Longest key, bytes.
pub(crate) const KEY_BYTES: u32 = 512;
/// Longest value, or message of a ring, bytes.
pub(crate) const VALUE_BYTES: u32 = 4_096;
/// Largest ring, bytes.
pub(crate) const RING_BYTES: u32 = 1024 * 1024;
/// Most memory of all maps, bytes, with each value of a map that is kept by CPU counted for each of them.
pub const MEMORY_BYTES: u64 = 16 * 1024 * 1024;
/// Most bytes of global variables.
pub(crate) const DATA_BYTES: u64 = 64 * 1024;
/// Deepest nesting of a type that is told.
pub(crate) const DEPTH: usize = 8;
/// Most values in one key, value or message that is told; a text is one.
pub(crate) const LEAVES: usize = 1_024;
/// Most samples a second of a program on the clock of each CPU.
pub const HZ_MAX: u32 = 99;
/// Longest name of a program, map or field, bytes.
pub(crate) const NAME_BYTES: usize = 64;
/// Most types that an object may describe.
pub(crate) const TYPES: usize = 16_384;
