//! The decision, pure: rules and surroundings in, yes or the name of the rule that says no out.

use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::address::{AddressClass, classify};
use shared_protocol::end::RefuseReason;
use shared_protocol::spec::{PortMode, PortSpec, ProbeSpec, SweepTarget, Targets};
use shared_protocol::target::Target;

use super::local::LocalAddresses;
use super::rules::{AllowPorts, PolicyRules};

/// A job that may not run, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What is said to the control plane.
    pub reason: RefuseReason,
    /// The rule's name.
    pub rule: &'static str,
    /// One sentence for people.
    pub message: String,
}

/// All that decides about an address.
#[derive(Debug, Clone, Copy)]
pub struct AddressRules<'a> {
    /// What the owner wrote.
    pub rules: &'a PolicyRules,
    /// The host's own addresses.
    pub local: &'a LocalAddresses,
    /// The control plane's addresses.
    pub control_plane: &'a [IpAddr],
}

impl AddressRules<'_> {
    /// Whether packets may be sent to an address.
    ///
    /// # Errors
    /// The name of the rule that forbids it.
    pub fn check(&self, address: IpAddr) -> Result<(), &'static str> {
        let class = classify(address);
        let loopback_allowed = class == AddressClass::Loopback && self.rules.allow_loopback;
        if self.control_plane.contains(&address) && !loopback_allowed {
            return Err("control_plane");
        }
        self.check_denied(address)?;
        let listed = || self.rules.allow_cidrs.iter().any(|network| network.contains(&address));
        match class {
            AddressClass::Loopback if self.rules.allow_loopback => Ok(()),
            AddressClass::Loopback => Err("allow_loopback"),
            AddressClass::Private | AddressClass::Public if self.local.is_own(address) => {
                if self.rules.allow_local {
                    Ok(())
                } else {
                    Err("allow_local")
                }
            }
            AddressClass::Public if self.rules.allow_public || listed() => Ok(()),
            AddressClass::Public => Err("allow_public"),
            AddressClass::Private if listed() => Ok(()),
            AddressClass::Private => Err("allow_cidrs"),
            AddressClass::Forbidden(rule) => Err(rule),
        }
    }

    /// Whether packets may be sent to a name server that the host itself is set to ask. That the owner has chosen it allows it, as it does when
    /// a target's name is resolved; what is never a target, or denied, stays so.
    ///
    /// # Errors
    /// The name of the rule that forbids it.
    pub fn check_resolver(&self, address: IpAddr) -> Result<(), &'static str> {
        if self.control_plane.contains(&address) && classify(address) != AddressClass::Loopback {
            return Err("control_plane");
        }
        self.check_denied(address)
    }

    fn check_denied(&self, address: IpAddr) -> Result<(), &'static str> {
        if let AddressClass::Forbidden(rule) = classify(address) {
            return Err(rule);
        }
        if self.local.is_broadcast(address) {
            return Err("broadcast");
        }
        if self.rules.deny_cidrs.iter().any(|network| network.contains(&address)) {
            return Err("deny_cidrs");
        }
        Ok(())
    }
}

/// Whether a port may be sent to.
pub(super) fn check_port(rules: &PolicyRules, port: u16) -> Result<(), &'static str> {
    match &rules.allow_ports {
        AllowPorts::Any => Ok(()),
        AllowPorts::Listed(ports) if ports.contains(&port) => Ok(()),
        AllowPorts::Listed(_) => Err("allow_ports"),
    }
}

/// Whether a job may begin.
pub(super) fn check_spec(rules: &PolicyRules, addresses: &AddressRules<'_>, spec: &ProbeSpec) -> Result<(), Refused> {
    if !rules.allows_probe(spec.kind()) {
        return Err(Refused {
            reason: RefuseReason::KindDisabled,
            rule: "allow_probes",
            message: format!("the owner of this agent does not allow the probe {}", spec.kind()),
        });
    }
    let denied = |rule| Refused {
        reason: RefuseReason::PolicyDenied,
        rule,
        message: sentence(rule),
    };
    match spec.target() {
        Some(Target::Address(address)) => addresses.check(*address).map_err(denied)?,
        Some(Target::Name(name)) if METADATA_NAMES.contains(&name.as_str()) => return Err(denied("metadata")),
        Some(Target::Name(_)) | None => {}
    }
    // The addresses of a sweep are asked for when it begins, and those that are denied are told apart; a name for credentials is none's.
    if let Some(Targets::List { targets }) = spec.targets()
        && targets.iter().any(names_metadata)
    {
        return Err(denied("metadata"));
    }
    if let Some(port) = spec.port() {
        check_port(rules, port).map_err(denied)?;
    }
    if let ProbeSpec::Port(scan) = spec {
        scan.ports.as_slice().iter().try_for_each(|port| check_port(rules, *port)).map_err(denied)?;
    }
    check_caps(rules, spec)
}

fn names_metadata(target: &SweepTarget) -> bool {
    match target {
        SweepTarget::One(Target::Name(name)) => METADATA_NAMES.contains(&name.as_str()),
        SweepTarget::One(Target::Address(_)) | SweepTarget::Block(_) => false,
    }
}

/// A spec beyond a cap is refused, never clamped: a report must mean what was asked.
fn check_caps(rules: &PolicyRules, spec: &ProbeSpec) -> Result<(), Refused> {
    match spec {
        ProbeSpec::Ping(ping) => {
            let targets = ping.target.count();
            check_rates(rules, ping.count, ping.interval_ms)?;
            check_targets(rules, targets)?;
            check_sending(rules, targets.saturating_mul(ping.count), ping.sending())?;
            let packets = u64::from(ping.count) * u64::from(targets);
            check_bytes(rules, packets * (u64::from(ping.payload_bytes) + HEADER_BYTES))
        }
        ProbeSpec::Tcp(tcp) => {
            check_rates(rules, tcp.count, tcp.interval_ms)?;
            check_bytes(rules, u64::from(tcp.count) * CONNECTION_BYTES)
        }
        // What is counted is what is sent: the request, once for each redirect, with its handshakes. What comes back has the spec's own bound.
        ProbeSpec::Http(http) => {
            let headers = http.headers.iter().map(|header| header.name.len() + header.value.len()).sum::<usize>();
            let request = headers + http.body.as_ref().map_or(0, String::len) + http.url.path_and_query().len();
            let request = u64::try_from(request).unwrap_or(u64::MAX);
            check_bytes(rules, request.saturating_add(EXCHANGE_BYTES).saturating_mul(u64::from(http.follow) + 1))
        }
        ProbeSpec::Dns(dns) => check_bytes(rules, u64::from(dns.retries + 2) * QUESTION_BYTES),
        // How fast packets leave along a path is up to the owner's rates: each waits for its place.
        ProbeSpec::Traceroute(path) => check_bytes(rules, u64::from(path.packets()) * u64::from(path.path.size_bytes)),
        ProbeSpec::Mtr(path) => check_bytes(rules, u64::from(path.packets()) * u64::from(path.path.size_bytes)),
        ProbeSpec::Udp(udp) => {
            check_rates(rules, udp.count, udp.interval_ms)?;
            let bytes = u64::try_from(udp.payload.as_slice().len()).unwrap_or(u64::MAX);
            check_bytes(rules, u64::from(udp.count) * (bytes + HEADER_BYTES))
        }
        // Nothing is sent; what the owner says of it stands in a table of its own.
        ProbeSpec::Observe(_) => Ok(()),
        ProbeSpec::Port(scan) => {
            check_ports(rules, scan.ports.count())?;
            check_targets(rules, scan.target.count())?;
            let pace = |interval: Duration| u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
            check_rate(("max_pps", rules.max_pps), scan.packets(), pace(scan.interval()))?;
            check_rate(("per_target_pps", rules.per_target_pps), scan.packets(), pace(scan.target_interval()))?;
            check_bytes(rules, scan_bytes(scan))
        }
        ProbeSpec::Neighbor(link) => {
            check_targets(rules, link.target.count())?;
            let most = rules.max_pps;
            if link.packets() > 1 && link.rate_pps > most {
                return Err(exceeded("max_pps", format!("the owner of this agent allows {most} packets a second (max_pps)")));
            }
            check_bytes(rules, u64::from(link.packets()) * LINK_QUESTION_BYTES)
        }
        ProbeSpec::Pmtu(pmtu) => check_bytes(rules, u64::from(pmtu.packets()) * u64::from(pmtu.max_bytes)),
    }
}

/// A connection counts as one packet: its others only answer what the target sends.
fn check_rates(rules: &PolicyRules, count: u32, interval_ms: u32) -> Result<(), Refused> {
    check_rate(("per_target_pps", rules.per_target_pps), count, interval_ms)?;
    check_rate(("max_pps", rules.max_pps), count, interval_ms)
}

fn check_rate((rule, most): (&'static str, u32), count: u32, interval_ms: u32) -> Result<(), Refused> {
    if count > 1 && 1_000_u32.div_ceil(interval_ms.max(1)) > most {
        return Err(exceeded(rule, format!("the owner of this agent allows {most} packets a second ({rule})")));
    }
    Ok(())
}

/// What a scan sends at most: of TCP, a connection for each question; of UDP, a datagram with what its port is asked.
fn scan_bytes(scan: &PortSpec) -> u64 {
    let asked = |port: &u16| match scan.mode {
        PortMode::Connect | PortMode::Syn => CONNECTION_BYTES,
        PortMode::Udp => HEADER_BYTES.saturating_add(u64::try_from(agent_probes::datagram_bytes(*port)).unwrap_or(u64::MAX)),
    };
    let once: u64 = scan.ports.as_slice().iter().map(asked).sum();
    once.saturating_mul(scan.target.count().into()).saturating_mul(scan.tries.into())
}

fn check_targets(rules: &PolicyRules, targets: u32) -> Result<(), Refused> {
    let most = rules.max_targets_per_job;
    if targets > most {
        return Err(exceeded(
            "max_targets_per_job",
            format!("the owner of this agent allows {most} targets a job (max_targets_per_job)"),
        ));
    }
    Ok(())
}

fn check_ports(rules: &PolicyRules, ports: u32) -> Result<(), Refused> {
    let most = rules.scan_max_ports;
    if ports > most {
        return Err(exceeded(
            "scan_max_ports",
            format!("the owner of this agent allows {most} ports of each target of a job (scan_max_ports)"),
        ));
    }
    Ok(())
}

/// A sweep that cannot leave within its time at the owner's rate is not begun.
fn check_sending(rules: &PolicyRules, packets: u32, within: Duration) -> Result<(), Refused> {
    if !within.is_zero() && u64::from(packets) > u64::from(rules.max_pps).saturating_mul(within.as_secs()) {
        let most = rules.max_pps;
        return Err(exceeded(
            "max_pps",
            format!("at the {most} packets a second that the owner of this agent allows (max_pps), {packets} would not leave in time"),
        ));
    }
    Ok(())
}

fn check_bytes(rules: &PolicyRules, bytes: u64) -> Result<(), Refused> {
    let most = rules.max_bytes_per_job.0;
    if bytes > most {
        return Err(exceeded(
            "max_bytes_per_job",
            format!("the owner of this agent allows {most} bytes a job (max_bytes_per_job)"),
        ));
    }
    Ok(())
}

const fn exceeded(rule: &'static str, message: String) -> Refused {
    Refused {
        reason: RefuseReason::CapExceeded,
        rule,
        message,
    }
}

/// One sentence for people about a rule on addresses.
pub(super) fn sentence(rule: &str) -> String {
    match rule {
        "allow_loopback" => "the owner of this agent does not allow loopback addresses (allow_loopback)".to_owned(),
        "allow_local" => "the owner of this agent does not allow the host's own addresses and gateways (allow_local)".to_owned(),
        "allow_cidrs" => "the owner of this agent has not listed this private network (allow_cidrs)".to_owned(),
        "allow_public" => "the owner of this agent does not allow public addresses (allow_public)".to_owned(),
        "allow_ports" => "the owner of this agent has not listed this port (allow_ports)".to_owned(),
        "deny_cidrs" => "the owner of this agent forbids this network (deny_cidrs)".to_owned(),
        "control_plane" => "the control plane's own addresses are never a target".to_owned(),
        other => format!("this address is never a target ({other})"),
    }
}

/// Names under which clouds hand out credentials; their addresses are forbidden too.
const METADATA_NAMES: [&str; 3] = ["metadata.google.internal", "metadata", "instance-data"];
/// IPv6 and ICMP headers: the most that a ping adds to its payload.
const HEADER_BYTES: u64 = 48;
/// SYN, its acknowledgement and reset over IPv6, with all their options; the SYN may be sent four times within the longest wait.
const CONNECTION_BYTES: u64 = 6 * 80;
/// A neighbour solicitation with its Ethernet header; a question of ARP is shorter.
const LINK_QUESTION_BYTES: u64 = 86;
/// What a request sends beside itself: the connection's segments, a TLS handshake, acknowledgements, the agent's own headers.
const EXCHANGE_BYTES: u64 = 8 * 1024;
/// The longest question over a connection of its own.
const QUESTION_BYTES: u64 = 6 * 80 + 300;

#[cfg(test)]
mod tests;
