//! What asking a link says about its hosts and this one. Pure.

use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{NeighborFindings, NeighborState};

use super::inquiry::Unsent;
use crate::verdict::{Verdict, error};

/// Judges what was found: it is well where everything was asked and somebody is there. Who is there is what was asked for, but two that say
/// to have the same address are trouble, whoever asks.
pub(super) fn judge(found: &NeighborFindings, first_unsent: Option<(IpAddr, Unsent)>) -> Verdict {
    let numbers = &found.statistics;
    if let Some((address, unsent)) = first_unsent {
        let mut told = error(
            unsent.code,
            format!(
                "{} of {} addresses were not asked for, the first: {address}",
                numbers.unknown, numbers.addresses
            ),
        );
        told.errno = unsent.errno;
        let status = if numbers.sent > 0 { Status::Degraded } else { Status::Failed };
        return Verdict::of(status, Fault::Agent, told);
    }
    if let Some(conflict) = found.neighbors.iter().find(|result| result.state == NeighborState::Conflict) {
        let owners: Vec<String> = conflict.mac.iter().chain(&conflict.others).map(ToString::to_string).collect();
        let more = if numbers.conflicts > 1 {
            format!(", and so of {} more", numbers.conflicts - 1)
        } else {
            String::new()
        };
        let message = format!("{}: {} say to have it{more}", conflict.address, owners.join(" and "));
        return Verdict::of(Status::Degraded, Fault::Target, error(ErrorCode::AddressConflict, message));
    }
    if found.agent_drops > 0 && numbers.silent > 0 {
        let message = format!("{} messages were lost on this host: who seems silent may have answered", found.agent_drops);
        return Verdict::of(Status::Degraded, Fault::Agent, error(ErrorCode::Resource, message));
    }
    if numbers.present + numbers.own == 0 {
        let told = error(ErrorCode::Timeout, "nobody on the link said to have any of the addresses");
        return Verdict::of(Status::Timeout, Fault::Target, told);
    }
    if !found.denied.is_empty() {
        let told = error(ErrorCode::PolicyDenied, "the owner of this agent forbids some of the addresses");
        return Verdict::of(Status::Degraded, Fault::Policy, told);
    }
    Verdict::ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared_protocol::report::AddressRun;

    use super::*;

    fn found(neighbors: &serde_json::Value, silent: u32, drops: u32) -> NeighborFindings {
        let of = |state: &str| neighbors.as_array().unwrap().iter().filter(|result| result["state"] == state).count();
        let statistics = json!({"addresses": 9, "present": of("present"), "conflicts": of("conflict"), "silent": silent,
            "own": of("own"), "unknown": of("unknown"), "sent": 9});
        let found = json!({"interface": "eth0", "address": "10.0.0.1", "mac": "02:00:00:00:00:01", "neighbors": neighbors,
            "statistics": statistics, "agent_drops": drops});
        serde_json::from_value(found).unwrap()
    }

    fn judged(found: &NeighborFindings) -> (Status, Fault, Option<ErrorCode>) {
        let verdict = judge(found, None);
        (verdict.status, verdict.fault, verdict.error.map(|error| error.code))
    }

    #[test]
    fn who_is_there_is_a_finding_and_who_is_twice_is_trouble() {
        let present = json!({"address": "10.0.0.2", "state": "present", "mac": "02:00:00:00:00:02", "tries": 1});
        let own = json!({"address": "10.0.0.1", "state": "own", "mac": "02:00:00:00:00:01", "tries": 0});
        assert_eq!(judged(&found(&json!([present]), 7, 0)), (Status::Ok, Fault::None, None));
        assert_eq!(judged(&found(&json!([own]), 7, 0)), (Status::Ok, Fault::None, None));
        assert_eq!(judged(&found(&json!([]), 7, 0)), (Status::Timeout, Fault::Target, Some(ErrorCode::Timeout)));
        assert_eq!(
            judged(&found(&json!([present]), 7, 3)),
            (Status::Degraded, Fault::Agent, Some(ErrorCode::Resource))
        );
        assert_eq!(judged(&found(&json!([present]), 0, 3)).0, Status::Ok, "everybody answered all the same");
        let twice = json!({"address": "10.0.0.3", "state": "conflict", "mac": "02:00:00:00:00:03", "others": ["02:00:00:00:00:04"], "tries": 1});
        let conflict = judge(&found(&json!([present, twice]), 0, 0), None);
        assert_eq!((conflict.status, conflict.fault), (Status::Degraded, Fault::Target));
        assert_eq!(
            conflict.error.unwrap().message,
            "10.0.0.3: 02:00:00:00:00:03 and 02:00:00:00:00:04 say to have it"
        );
        let mut denied = found(&json!([present]), 0, 0);
        let run = AddressRun {
            first: "10.0.0.9".parse().unwrap(),
            count: 1,
        };
        denied.denied.push(shared_protocol::report::DeniedRun {
            run,
            rule: "deny_cidrs".to_owned(),
        });
        assert_eq!(judged(&denied), (Status::Degraded, Fault::Policy, Some(ErrorCode::PolicyDenied)));
    }

    #[test]
    fn what_was_not_asked_for_is_the_agents_fault() {
        let unknown = json!({"address": "10.0.0.2", "state": "unknown", "tries": 0});
        let unsent = Unsent {
            code: ErrorCode::LinkDown,
            errno: Some(100),
        };
        let verdict = judge(&found(&json!([unknown]), 0, 0), Some(("10.0.0.2".parse().unwrap(), unsent)));
        let told = verdict.error.unwrap();
        assert_eq!(
            (verdict.status, verdict.fault, told.code, told.errno),
            (Status::Degraded, Fault::Agent, ErrorCode::LinkDown, Some(100))
        );
        assert_eq!(told.message, "1 of 9 addresses were not asked for, the first: 10.0.0.2");
    }
}
