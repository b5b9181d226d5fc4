//! Classic filters of the kernel: a chain of tests, of which the first that fails decides. Pure.

use socket2::SockFilter;

/// A step of a filter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Do(u16, u32),
    /// Goes on only if the test holds.
    Only(u16, u32),
    /// Goes on only if it does not.
    Not(u16, u32),
}

/// How many bytes of a packet the kernel keeps: of one that passes every step, and of every other one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub passing: u32,
    pub others: u32,
}

/// The program of the steps.
pub(crate) fn compile(steps: &[Step], kept: Kept) -> Vec<SockFilter> {
    // The last instruction is for those that fail a test.
    let last = steps.len() + 1;
    let steps = steps.iter().enumerate().map(|(at, step)| {
        let out = u8::try_from(last.saturating_sub(at + 1)).unwrap_or(u8::MAX);
        match *step {
            Step::Do(code, value) => SockFilter::new(code, 0, 0, value),
            Step::Only(code, value) => SockFilter::new(code, 0, out, value),
            Step::Not(code, value) => SockFilter::new(code, out, 0, value),
        }
    });
    let returns = [kept.passing, kept.others].map(|bytes| SockFilter::new(RETURN, 0, 0, bytes));
    steps.chain(returns).collect()
}

/// Instructions of the classic filter machine (`linux/bpf_common.h`).
pub(crate) const LOAD_HALF: u16 = 0x28;
pub(crate) const LOAD_BYTE: u16 = 0x30;
pub(crate) const LOAD_WORD_INDEXED: u16 = 0x40;
pub(crate) const LOAD_HALF_INDEXED: u16 = 0x48;
pub(crate) const LOAD_BYTE_INDEXED: u16 = 0x50;
pub(crate) const INDEX: u16 = 0x01;
pub(crate) const INDEX_BY_IPV4_HEADER: u16 = 0xb1;
pub(crate) const AND: u16 = 0x54;
pub(crate) const SHIFT_RIGHT: u16 = 0x74;
pub(crate) const EQUAL: u16 = 0x15;
pub(crate) const ABOVE: u16 = 0x25;
pub(crate) const AT_LEAST: u16 = 0x35;
pub(crate) const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
/// What the filter machine knows beside the bytes: the packet's protocol of Ethernet (`SKF_AD_OFF + SKF_AD_PROTOCOL`).
pub(crate) const PROTOCOL_OF_PACKET: u32 = 0xffff_f000;
/// And whether it is tagged as a virtual network's (`SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT`).
pub(crate) const TAGGED_FOR_VLAN: u32 = 0xffff_f030;
