//! What all agents together send towards one target: a share of what the operator allows is reserved for each open job.
//!
//! Only public targets are counted. A private address is another host in each network, and what lies behind it is the tenant's own.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use shared_protocol::address::{AddressClass, classify};
use shared_protocol::id::{MeasurementId, TenantId};
use shared_protocol::spec::{ProbeSpec, SweepTarget, Targets};
use shared_protocol::target::Target;

/// What one agent sends, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// Public addresses, names, and blocks, each of which counts as one target; and how often each stands there.
    targets: BTreeMap<Arc<str>, u32>,
    packets_per_second: u32,
}

/// What is reserved for the jobs that have no end.
#[derive(Debug)]
pub struct TargetLoad {
    most: u32,
    reserved: BTreeMap<Arc<str>, Load>,
    open: BTreeMap<MeasurementId, Share>,
}

/// The target would be sent more than is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy(pub Arc<str>);

/// What is reserved of one target, packets a second.
#[derive(Debug, Default)]
struct Load {
    all: u64,
    of: BTreeMap<TenantId, u64>,
}

/// What is reserved for a measurement.
#[derive(Debug)]
struct Share {
    tenant: TenantId,
    demand: Demand,
    jobs: u32,
}

impl Demand {
    /// What an agent sends that does this.
    pub fn of(spec: &ProbeSpec) -> Self {
        let entries = spec
            .targets()
            .map_or_else(|| spec.target().cloned().map(SweepTarget::One).into_iter().collect(), Targets::entries);
        let mut targets = BTreeMap::new();
        for target in entries.iter().filter_map(public) {
            *targets.entry(target).or_default() += 1;
        }
        Self {
            targets,
            packets_per_second: spec.packets_per_second(),
        }
    }

    /// Each target, and what so many agents send it.
    fn by(&self, jobs: u32) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let once = u64::from(self.packets_per_second) * u64::from(jobs);
        self.targets.iter().map(move |(target, times)| (target, once.saturating_mul((*times).into())))
    }
}

impl TargetLoad {
    /// At most so many packets a second towards one target, and half as many on behalf of one tenant: nobody keeps a target from all others.
    pub const fn new(most: u32) -> Self {
        Self {
            most,
            reserved: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// Whether so many agents may do this now.
    ///
    /// # Errors
    /// [`Busy`] names the first target that would be sent too much.
    pub fn check(&self, tenant: TenantId, demand: &Demand, jobs: u32) -> Result<(), Busy> {
        let is_busy = |(target, more): &(&Arc<str>, u64)| {
            let load = self.reserved.get(*target);
            let all = load.map_or(0, |load| load.all);
            let own = load.and_then(|load| load.of.get(&tenant)).copied().unwrap_or(0);
            all.saturating_add(*more) > u64::from(self.most) || own.saturating_add(*more) > u64::from(self.most.div_ceil(2))
        };
        demand.by(jobs).find(is_busy).map_or(Ok(()), |(target, _)| Err(Busy(Arc::clone(target))))
    }

    /// Reserves what so many agents send for a measurement.
    ///
    /// # Errors
    /// [`Busy`], as for [`Self::check`]; nothing is reserved then.
    pub fn reserve(&mut self, measurement: MeasurementId, tenant: TenantId, demand: Demand, jobs: u32) -> Result<(), Busy> {
        self.check(tenant, &demand, jobs)?;
        if demand.targets.is_empty() || jobs == 0 {
            return Ok(());
        }
        for (target, more) in demand.by(jobs) {
            let load = self.reserved.entry(Arc::clone(target)).or_default();
            load.all += more;
            *load.of.entry(tenant).or_default() += more;
        }
        self.open.insert(measurement, Share { tenant, demand, jobs });
        Ok(())
    }

    /// One job of a measurement has its end.
    pub fn ended(&mut self, measurement: MeasurementId) {
        let Some(share) = self.open.get_mut(&measurement) else { return };
        share.jobs = share.jobs.saturating_sub(1);
        let last = share.jobs == 0;
        free(&mut self.reserved, share, 1);
        if last {
            self.open.remove(&measurement);
        }
    }

    /// A measurement was not accepted after all.
    pub fn forget(&mut self, measurement: MeasurementId) {
        if let Some(share) = self.open.remove(&measurement) {
            free(&mut self.reserved, &share, share.jobs);
        }
    }
}

fn free(reserved: &mut BTreeMap<Arc<str>, Load>, share: &Share, jobs: u32) {
    for (target, less) in share.demand.by(jobs) {
        let Some(load) = reserved.get_mut(target) else { continue };
        load.all = load.all.saturating_sub(less);
        if let Some(own) = load.of.get_mut(&share.tenant) {
            *own = own.saturating_sub(less);
            if *own == 0 {
                load.of.remove(&share.tenant);
            }
        }
        if load.all == 0 {
            reserved.remove(target);
        }
    }
}

/// A target as it is counted, where it is.
fn public(entry: &SweepTarget) -> Option<Arc<str>> {
    let is_public = |address: IpAddr| classify(address) == AddressClass::Public;
    match entry {
        SweepTarget::One(Target::Name(name)) => Some(name.as_str().into()),
        SweepTarget::One(Target::Address(address)) => is_public(*address).then(|| address.to_string().into()),
        SweepTarget::Block(block) => block.addresses().next().is_some_and(is_public).then(|| block.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_protocol::time::UnixMicros;

    use super::*;
    use crate::queue::sample::tenant;

    fn id(number: u8) -> MeasurementId {
        MeasurementId::new(UnixMicros::from_micros(0), [number; 10])
    }

    fn demand(text: &str) -> Demand {
        Demand::of(&ProbeSpec::parse(text).unwrap())
    }

    #[test]
    fn job_15_all_agents_together_send_one_target_no_more_than_is_allowed() {
        let mut load = TargetLoad::new(100);
        let victim = || Err(Busy("victim.example".into()));
        // Two a second of each agent.
        let ping = || demand(r#"{"probe":"ping","target":"victim.example","count":10,"interval_ms":500}"#);
        load.reserve(id(1), tenant(1), ping(), 25).unwrap();
        load.reserve(id(2), tenant(2), ping(), 24).unwrap();
        assert_eq!(load.reserve(id(3), tenant(3), ping(), 2), victim());
        load.reserve(id(4), tenant(3), ping(), 1).unwrap();
        // Another probe goes to the same host.
        let tcp = || demand(r#"{"probe":"tcp","target":"victim.example","count":1}"#);
        assert_eq!(load.reserve(id(5), tenant(3), tcp(), 1), victim());
        load.reserve(id(6), tenant(3), demand(r#"{"probe":"tcp","target":"other.example","count":1}"#), 1)
            .unwrap();
        load.ended(id(4));
        load.reserve(id(5), tenant(3), tcp(), 2).unwrap();
        assert_eq!(load.reserve(id(7), tenant(3), tcp(), 1), victim());
    }

    #[test]
    fn one_tenant_has_half_at_most_so_that_nobody_keeps_a_target_from_the_others() {
        let mut load = TargetLoad::new(100);
        let tcp = || demand(r#"{"probe":"tcp","target":"victim.example","count":1}"#);
        load.reserve(id(1), tenant(1), tcp(), 51).unwrap_err();
        load.reserve(id(1), tenant(1), tcp(), 50).unwrap();
        load.reserve(id(2), tenant(1), tcp(), 1).unwrap_err();
        load.reserve(id(2), tenant(2), tcp(), 50).unwrap();
        load.forget(id(1));
        load.reserve(id(3), tenant(1), tcp(), 50).unwrap();
    }

    #[test]
    fn private_targets_are_not_counted() {
        for target in ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "10.0.0.0/24"] {
            let mut load = TargetLoad::new(1);
            let spec = demand(&format!(r#"{{"probe":"ping","target":"{target}"}}"#));
            load.reserve(id(1), tenant(1), spec, 1_000).unwrap();
            assert!(load.open.is_empty(), "{target}");
        }
    }

    #[test]
    fn each_entry_of_a_list_is_a_target_and_all_or_none_are_reserved() {
        let mut load = TargetLoad::new(20);
        let list = |targets: &str| demand(&format!(r#"{{"probe":"ping","targets":[{targets}],"count":1}}"#));
        load.reserve(id(1), tenant(1), list(r#""1.1.1.1","8.8.8.0/24""#), 10).unwrap();
        assert_eq!(
            load.reserve(id(2), tenant(1), list(r#""b.example","8.8.8.0/24""#), 1),
            Err(Busy("8.8.8.0/24".into()))
        );
        load.reserve(id(3), tenant(1), list(r#""b.example""#), 10).unwrap();
        // One that stands there several times is asked as often.
        load.reserve(id(4), tenant(2), list(r#""c.example","c.example""#), 6).unwrap_err();
        load.reserve(id(4), tenant(2), list(r#""c.example","c.example""#), 5).unwrap();
        load.ended(id(4));
        assert_eq!(load.reserved["c.example"].all, 8);
        // Each target of a scan is counted, with its share of the rate.
        let mut load = TargetLoad::new(100);
        let scan = demand(r#"{"probe":"port","targets":["1.1.1.1","d.example"],"ports":"1-9","rate_pps":50}"#);
        load.reserve(id(1), tenant(1), scan.clone(), 2).unwrap();
        assert_eq!(load.reserved.values().map(|load| load.all).collect::<Vec<_>>(), [50, 50]);
        assert_eq!(load.reserve(id(2), tenant(1), scan, 1), Err(Busy("1.1.1.1".into())));
    }

    #[test]
    fn what_every_probe_sends_has_a_rate() {
        for (spec, rate) in [
            (r#"{"probe":"ping","target":"a.example","count":1}"#, 1),
            (r#"{"probe":"ping","target":"a.example","count":100,"interval_ms":10}"#, 100),
            (r#"{"probe":"udp","target":"a.example","port":9,"count":5,"interval_ms":60000}"#, 1),
            (r#"{"probe":"http","url":"http://a.example/","follow":3}"#, 4),
            (r#"{"probe":"traceroute","target":"a.example"}"#, 100),
            (r#"{"probe":"mtr","target":"a.example","max_ttl":8}"#, 8),
            (r#"{"probe":"port","target":"a.example","ports":"1-9","rate_pps":20}"#, 20),
            (r#"{"probe":"port","target":"a.example","ports":"1-9","rate_pps":20,"mode":"udp"}"#, 20),
            (r#"{"probe":"port","target":"8.8.8.0/24","ports":"1-9","rate_pps":20,"tries":1}"#, 1),
            (r#"{"probe":"port","targets":["a.example","8.8.8.0/29"],"ports":"1-9"}"#, 8),
            (r#"{"probe":"observe","observation":"drops"}"#, 0),
        ] {
            assert_eq!(demand(spec).packets_per_second, rate, "{spec}");
        }
    }

    proptest! {
        /// Whatever comes and goes in whatever order, nothing is ever above the bound, and nothing stays when all is over.
        #[test]
        fn job_15_nothing_is_ever_above_the_bound_and_nothing_stays(
            steps in prop::collection::vec((0_u8..20, 0_u8..3, 1_u32..30, any::<bool>()), 1..200),
        ) {
            let mut load = TargetLoad::new(80);
            let mut open: BTreeMap<u8, u32> = BTreeMap::new();
            for (number, target, jobs, forget) in steps {
                let spec = demand(&format!(r#"{{"probe":"ping","target":"t{target}.example","count":3,"interval_ms":400}}"#));
                match open.get_mut(&number) {
                    None => if load.reserve(id(number), tenant(number % 3), spec, jobs).is_ok() {
                        open.insert(number, jobs);
                    },
                    Some(_) if forget => {
                        load.forget(id(number));
                        open.remove(&number);
                    }
                    Some(left) => {
                        load.ended(id(number));
                        *left -= 1;
                        if *left == 0 {
                            open.remove(&number);
                        }
                    }
                }
                for one in load.reserved.values() {
                    prop_assert!(one.all <= 80 && one.of.values().all(|own| *own <= 40));
                    prop_assert_eq!(one.of.values().sum::<u64>(), one.all);
                }
                let reserved: u64 = load.reserved.values().map(|one| one.all).sum();
                prop_assert_eq!(reserved, open.values().map(|jobs| u64::from(*jobs) * 3).sum::<u64>());
            }
            for number in open.into_keys() {
                load.forget(id(number));
            }
            prop_assert!(load.reserved.is_empty() && load.open.is_empty());
        }
    }
}
