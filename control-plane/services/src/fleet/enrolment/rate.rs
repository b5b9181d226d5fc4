//! How often somebody may try to enrol: a bucket for each address, and one for all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use shared_protocol::time::MonotonicMicros;

/// The buckets of everybody who tried of late.
#[derive(Debug)]
pub(crate) struct EnrolRate {
    everybody: Bucket,
    addresses: HashMap<IpAddr, Bucket>,
    limits: EnrolLimits,
}

/// How many enrolments there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnrolLimits {
    /// From one address (one /64 of IPv6), a second.
    pub per_address: u32,
    /// From one address at once.
    pub per_address_burst: u32,
    /// From everybody, a second, and at once.
    pub everybody: u32,
}

impl Default for EnrolLimits {
    fn default() -> Self {
        Self {
            per_address: 1,
            per_address_burst: 5,
            everybody: 50,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Thousandths of a token.
    tokens: u64,
    at: MonotonicMicros,
}

impl EnrolRate {
    pub(crate) fn new(limits: EnrolLimits, now: MonotonicMicros) -> Self {
        Self {
            everybody: Bucket::full(limits.everybody, now),
            addresses: HashMap::new(),
            limits,
        }
    }

    /// Takes one token of the address and one of everybody's.
    ///
    /// # Errors
    /// Seconds after which to try again.
    pub(crate) fn admit(&mut self, address: IpAddr, now: MonotonicMicros) -> Result<(), u32> {
        let limits = self.limits;
        let address = network(address);
        if self.addresses.len() >= ADDRESSES && !self.addresses.contains_key(&address) {
            self.forget_idle(now);
        }
        // With more addresses than that at once, everybody's bucket alone decides.
        if self.addresses.len() < ADDRESSES || self.addresses.contains_key(&address) {
            let full = Bucket::full(limits.per_address_burst, now);
            let bucket = self.addresses.entry(address).or_insert(full);
            bucket.take(limits.per_address, limits.per_address_burst, now)?;
        }
        self.everybody.take(limits.everybody, limits.everybody, now)
    }

    fn forget_idle(&mut self, now: MonotonicMicros) {
        let limits = self.limits;
        self.addresses
            .retain(|_, bucket| bucket.refilled(limits.per_address, limits.per_address_burst, now) < u64::from(limits.per_address_burst) * TOKEN);
    }
}

impl Bucket {
    fn full(burst: u32, now: MonotonicMicros) -> Self {
        Self {
            tokens: u64::from(burst) * TOKEN,
            at: now,
        }
    }

    fn refilled(&self, per_second: u32, burst: u32, now: MonotonicMicros) -> u64 {
        let elapsed_ms = u64::try_from(now.since(self.at).min(Duration::from_hours(1)).as_millis()).unwrap_or(0);
        let gained = elapsed_ms.saturating_mul(u64::from(per_second));
        self.tokens.saturating_add(gained).min(u64::from(burst) * TOKEN)
    }

    fn take(&mut self, per_second: u32, burst: u32, now: MonotonicMicros) -> Result<(), u32> {
        let tokens = self.refilled(per_second, burst, now);
        if now.since(self.at) >= Duration::from_millis(1) {
            *self = Self { tokens, at: now };
        }
        let Some(rest) = tokens.checked_sub(TOKEN) else {
            let missing_ms = (TOKEN - tokens) / u64::from(per_second.max(1));
            return Err(u32::try_from(missing_ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1));
        };
        self.tokens = rest;
        Ok(())
    }
}

/// A household has a /64 of IPv6 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

const TOKEN: u64 = 1_000;
/// Most addresses remembered; their buckets take about a megabyte.
const ADDRESSES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(milliseconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(milliseconds * 1_000)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn enr_20_one_address_has_a_burst_of_five_and_then_one_a_second() {
        let mut rate = EnrolRate::new(EnrolLimits::default(), at_ms(0));
        assert!((0..5).all(|_| rate.admit(address(1), at_ms(0)).is_ok()));
        assert_eq!(rate.admit(address(1), at_ms(0)), Err(1));
        assert_eq!(rate.admit(address(1), at_ms(999)), Err(1));
        assert!(rate.admit(address(2), at_ms(0)).is_ok(), "another address is not affected");
        assert!(rate.admit(address(1), at_ms(1_000)).is_ok());
        assert!(rate.admit(address(1), at_ms(1_000)).is_err());
    }

    #[test]
    fn everybody_together_has_fifty_a_second() {
        let mut rate = EnrolRate::new(EnrolLimits::default(), at_ms(0));
        let admitted = (0..=255).filter(|last| rate.admit(address(*last), at_ms(0)).is_ok()).count();
        assert_eq!(admitted, 50);
    }

    #[test]
    fn one_network_of_ipv6_is_one_address_and_memory_is_bounded() {
        let mut rate = EnrolRate::new(EnrolLimits::default(), at_ms(0));
        let within = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        assert!((0..5).all(|host| rate.admit(within(host), at_ms(0)).is_ok()));
        assert!(rate.admit(within(9), at_ms(0)).is_err());
        for host in 0..20_000_u32 {
            let _ = rate.admit(IpAddr::from((0x0a00_0000 + host).to_be_bytes()), at_ms(u64::from(host) * 10));
        }
        assert!(rate.addresses.len() <= ADDRESSES);
    }
}
