//! Addresses of a job that the owner's policy forbids, as its report tells of them.

use std::net::IpAddr;

use shared_protocol::report::{AddressRun, DeniedRun};

use crate::net::gate::Denial;

/// Takes denied neighbours under the same rule together.
pub(crate) fn runs(denied: &[(IpAddr, Denial)]) -> Vec<DeniedRun> {
    denied
        .chunk_by(|(_, one), (_, other)| one.rule == other.rule)
        .flat_map(|same| {
            let rule = same.first().map(|(_, denial)| denial.rule.clone()).unwrap_or_default();
            let runs = AddressRun::of(same.iter().map(|(address, _)| *address));
            runs.into_iter().map(move |run| DeniedRun { run, rule: rule.clone() })
        })
        .collect()
}
