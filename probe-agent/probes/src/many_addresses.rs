//! From the targets of a probe of many to the addresses that it asks: names are resolved, every address is put to the owner's policy, doubles
//! go.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{DeniedRun, UnresolvedName};
use shared_protocol::spec::{AddressFamily, SweepTarget, Targets};
use shared_protocol::target::Target;
use tokio::task::JoinSet;

use crate::net::gate::Denial;
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict, error};
use crate::{denied, resolution};

/// What a probe of many targets is aimed at.
#[derive(Debug, Default)]
pub(crate) struct Aim {
    pub addresses: Vec<IpAddr>,
    /// Names, by the place of their address.
    pub names: Vec<(u32, String)>,
    pub denied: Vec<DeniedRun>,
    pub unresolved: Vec<UnresolvedName>,
}

/// Addresses on their way into an aim.
struct Taking<'a, U> {
    af: AddressFamily,
    context: &'a ProbeContext,
    /// Which addresses of a name this host has sockets for.
    usable: U,
    aim: Aim,
    seen: HashSet<IpAddr>,
    denied: Vec<(IpAddr, Denial)>,
}

impl Aim {
    /// What is to be said where not everything that was asked for is asked.
    pub(crate) fn gap(&self) -> Option<Verdict> {
        if let Some(name) = self.unresolved.first() {
            let told = error(name.code, format!("{} names have no usable address", self.unresolved.len()));
            return Some(Verdict::of(Status::Degraded, Fault::Resolver, told));
        }
        let told = error(ErrorCode::PolicyDenied, "the owner of this agent forbids some of the targets");
        (!self.denied.is_empty()).then(|| Verdict::of(Status::Degraded, Fault::Policy, told))
    }
}

/// Finds the addresses. Where none is left, the reason is the probe's.
pub(crate) async fn take(targets: &Targets, af: AddressFamily, context: &ProbeContext, usable: impl Fn(IpAddr) -> bool) -> Result<Aim, Stop> {
    let entries = targets.entries();
    let mut resolved = resolve(&entries, context).await;
    let mut taking = Taking {
        af,
        context,
        usable,
        aim: Aim::default(),
        seen: HashSet::new(),
        denied: Vec::new(),
    };
    for (place, entry) in entries.iter().enumerate() {
        match entry {
            SweepTarget::Block(block) => block.addresses().for_each(|address| taking.add_address(address)),
            SweepTarget::One(Target::Address(address)) => taking.add_address(*address),
            SweepTarget::One(Target::Name(name)) => match resolved.remove(&place).unwrap_or(Err(ErrorCode::DnsNoAddress)) {
                Ok(addresses) => taking.add_name(name.as_str(), addresses),
                Err(code) => taking.leave_out(name.as_str().to_owned(), code),
            },
        }
    }
    taking.finish()
}

impl<U: Fn(IpAddr) -> bool> Taking<'_, U> {
    fn add_address(&mut self, address: IpAddr) {
        if !resolution::is_of(address, self.af) {
            self.leave_out(address.to_string(), ErrorCode::DnsNoAddress);
        } else if self.is_allowed(address) && self.seen.insert(address) {
            self.aim.addresses.push(address);
        }
    }

    /// Every address of a name must be allowed, whichever is used.
    fn add_name(&mut self, name: &str, addresses: Vec<IpAddr>) {
        if !addresses.iter().all(|address| self.is_allowed(*address)) {
            return;
        }
        let of_family: Vec<IpAddr> = addresses.into_iter().filter(|address| resolution::is_of(*address, self.af)).collect();
        let Some(address) = resolution::choose(&of_family, &self.usable) else {
            return self.leave_out(name.to_owned(), ErrorCode::DnsNoAddress);
        };
        let place = if self.seen.insert(address) {
            self.aim.addresses.push(address);
            self.aim.addresses.len() - 1
        } else {
            self.aim.addresses.iter().position(|known| *known == address).unwrap_or_default()
        };
        self.aim.names.push((u32::try_from(place).unwrap_or(u32::MAX), name.to_owned()));
    }

    fn is_allowed(&mut self, address: IpAddr) -> bool {
        match self.context.gate.check_address(address) {
            Ok(()) => true,
            Err(denial) => {
                self.denied.push((address, denial));
                false
            }
        }
    }

    fn leave_out(&mut self, name: String, code: ErrorCode) {
        self.aim.unresolved.push(UnresolvedName { name, code });
    }

    fn finish(mut self) -> Result<Aim, Stop> {
        if self.aim.addresses.is_empty() {
            let denial = self.denied.into_iter().next().map(|(_, denial)| Stop::Denied(denial));
            let code = self.aim.unresolved.first().map_or(ErrorCode::DnsNoAddress, |name| name.code);
            return Err(denial.unwrap_or_else(|| Stop::failed(Fault::Resolver, code, "none of the targets has a usable address")));
        }
        self.aim.denied = denied::runs(&self.denied);
        Ok(self.aim)
    }
}

/// Resolves the names of a list, several at a time; by their places.
async fn resolve(entries: &[SweepTarget], context: &ProbeContext) -> BTreeMap<usize, Result<Vec<IpAddr>, ErrorCode>> {
    let names = entries.iter().enumerate().filter_map(|(place, entry)| match entry {
        SweepTarget::One(target @ Target::Name(_)) => Some((place, target.clone())),
        SweepTarget::One(Target::Address(_)) | SweepTarget::Block(_) => None,
    });
    let mut answers = BTreeMap::new();
    let mut questions = JoinSet::new();
    for (place, target) in names {
        if questions.len() >= QUESTIONS
            && let Some(Ok((place, answer))) = questions.join_next().await
        {
            answers.insert(place, answer);
        }
        let resolver = context.resolver.clone();
        questions.spawn(async move { (place, resolver.resolve(&target).await.map_err(|error| error.code())) });
    }
    while let Some(answer) = questions.join_next().await {
        answers.extend(answer.ok());
    }
    answers
}

/// Names that are asked for at a time.
const QUESTIONS: usize = 32;
