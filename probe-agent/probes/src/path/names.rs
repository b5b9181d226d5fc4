//! The names of hops, asked of the resolver of the agent's host.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use agent_paths::machine;
use shared_protocol::report::Findings;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::net::resolver::Resolver;

/// Adds the names that the resolver knows, as far as it answers soon: a path is worth more than the names on it.
pub(super) async fn add(findings: &mut Findings, resolver: &Resolver, cancel: &CancellationToken) {
    let mut addresses: Vec<IpAddr> = machine::addresses_mut(findings).iter().map(|found| found.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(NAMES_MAX);
    let mut questions = JoinSet::new();
    for address in addresses {
        let resolver = resolver.clone();
        questions.spawn(async move { (address, resolver.name_of(address).await) });
    }
    let mut names = HashMap::new();
    let collect = async {
        while let Some(answer) = questions.join_next().await {
            if let Ok((address, Some(name))) = answer {
                names.insert(address, name);
            }
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        // What has not come by then stays away.
        _ = tokio::time::timeout(LIMIT, collect) => {}
    }
    for found in machine::addresses_mut(findings) {
        found.name = names.get(&found.address).cloned();
    }
}

/// Longest the names are waited for.
const LIMIT: Duration = Duration::from_secs(2);
/// Names that are asked for.
const NAMES_MAX: usize = 128;
