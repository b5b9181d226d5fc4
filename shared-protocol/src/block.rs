//! Blocks of addresses in CIDR notation (RFC 4632), as a probe may be aimed at: not larger than what one job may ask.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::target::Target;

/// A block of addresses: its first one, with all bits behind the prefix 0, and the length of the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Block {
    network: IpAddr,
    prefix: u8,
}

impl Block {
    /// Parses `address/prefix`.
    ///
    /// # Errors
    /// [`InvalidBlock`] tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidBlock> {
        let (address, prefix) = text.split_once('/').ok_or(InvalidBlock::Form)?;
        let Ok(Target::Address(network)) = Target::parse(address) else {
            return Err(InvalidBlock::Form);
        };
        let plain = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let prefix: u8 = prefix.parse().ok().filter(|_| plain).ok_or(InvalidBlock::Form)?;
        let block = Self { network, prefix };
        let bits = block.host_bits().ok_or(InvalidBlock::Form)?;
        if bits > HOST_BITS {
            return Err(InvalidBlock::TooLarge);
        }
        if block.number() & mask(bits) != 0 {
            return Err(InvalidBlock::HostBits);
        }
        Ok(block)
    }

    /// How many addresses a sweep of the block asks.
    pub fn count(&self) -> u32 {
        let (skipped, whole) = self.skipped_and_whole();
        u32::try_from(whole.saturating_sub(skipped * 2)).unwrap_or(u32::MAX)
    }

    /// The addresses that a sweep of the block asks: all of them but, of IPv4 blocks of four and more, the first and the last, which are
    /// the network's own and its broadcast address.
    pub fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let (skipped, whole) = self.skipped_and_whole();
        let first = self.number();
        (skipped..whole.saturating_sub(skipped)).map(move |offset| self.address(first | offset))
    }

    /// The first and the last address that a sweep of the block asks.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let (skipped, whole) = self.skipped_and_whole();
        let first = self.number();
        (self.address(first | skipped), self.address(first | whole.saturating_sub(skipped + 1)))
    }

    fn skipped_and_whole(&self) -> (u128, u128) {
        let bits = self.host_bits().unwrap_or_default();
        let skipped = u128::from(self.network.is_ipv4() && bits >= 2);
        (skipped, 1 << bits)
    }

    fn host_bits(&self) -> Option<u8> {
        match self.network {
            IpAddr::V4(_) => 32_u8.checked_sub(self.prefix),
            IpAddr::V6(_) => 128_u8.checked_sub(self.prefix),
        }
    }

    fn number(&self) -> u128 {
        match self.network {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.network {
            IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or_default()).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
        }
    }
}

impl FromStr for Block {
    type Err = InvalidBlock;

    fn from_str(text: &str) -> Result<Self, InvalidBlock> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Block {
    type Error = InvalidBlock;

    fn try_from(text: String) -> Result<Self, InvalidBlock> {
        Self::parse(&text)
    }
}

impl From<Block> for String {
    fn from(block: Block) -> Self {
        block.to_string()
    }
}

impl fmt::Display for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

/// Why a text is not a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// Not an address and the length of a prefix.
    #[error("must be an address, '/' and the length of its prefix")]
    Form,
    /// More addresses than a job may ask.
    #[error("must hold at most 65536 addresses: an IPv4 prefix of at least 16, an IPv6 prefix of at least 112")]
    TooLarge,
    /// Bits behind the prefix are set.
    #[error("must begin with the first address of the block: all bits behind the prefix are 0")]
    HostBits,
}

const fn mask(bits: u8) -> u128 {
    (1 << bits) - 1
}

/// Most bits behind the prefix.
const HOST_BITS: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<String> {
        Block::parse(text).unwrap().addresses().map(|address| address.to_string()).collect()
    }

    #[test]
    fn network_and_broadcast_addresses_are_left_out_where_there_are_any() {
        assert_eq!(addresses("192.0.2.0/30"), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(addresses("192.0.2.4/31"), ["192.0.2.4", "192.0.2.5"], "RFC 3021");
        assert_eq!(addresses("192.0.2.7/32"), ["192.0.2.7"]);
        assert_eq!(addresses("2001:db8::10/127"), ["2001:db8::10", "2001:db8::11"]);
        for (text, count, first, last) in [
            ("10.0.0.0/16", 65_534, "10.0.0.1", "10.0.255.254"),
            ("10.1.2.0/24", 254, "10.1.2.1", "10.1.2.254"),
            ("2001:db8::/112", 65_536, "2001:db8::", "2001:db8::ffff"),
        ] {
            let block = Block::parse(text).unwrap();
            assert_eq!((block.count(), block.to_string()), (count, text.to_owned()));
            assert_eq!(block.addresses().count(), usize::try_from(count).unwrap());
            assert_eq!(block.ends(), (first.parse().unwrap(), last.parse().unwrap()));
            assert_eq!(block.addresses().last().unwrap(), block.ends().1);
        }
    }

    #[test]
    fn job_14_blocks_that_are_too_large_or_no_blocks_are_refused() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/15", "::/0", "2001:db8::/64", "2001:db8::/111"] {
            assert_eq!(Block::parse(text), Err(InvalidBlock::TooLarge), "{text}");
        }
        for text in ["10.0.0.1/24", "2001:db8::1/112"] {
            assert_eq!(Block::parse(text), Err(InvalidBlock::HostBits), "{text}");
        }
        for text in [
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+24",
            "10.0.0.0/024",
            "10.0.0.0/24/24",
            "10.0.0/24",
            "010.0.0.0/24",
            "::/129",
            "example.test/24",
            "/24",
            "10.0.0.0/ 24",
            "10.0.0.0/256",
        ] {
            assert_eq!(Block::parse(text), Err(InvalidBlock::Form), "{text}");
        }
    }
}
