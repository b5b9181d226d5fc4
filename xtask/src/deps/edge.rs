//! Who may import whom.

use super::graph::Graph;

/// Refuses an edge that the house does not have.
pub(super) fn check(graph: &Graph) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, member) in &graph.members {
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
            broken.push(format!("`{name}` is new: say in xtask/src/deps/edge.rs what it may import"));
            continue;
        };
        let is_member = |dep: &&String| graph.members.contains_key(*dep);
        for dep in member.normal.iter().filter(is_member) {
            if !room.imports.contains(&dep.as_str()) {
                broken.push(format!("`{name}` may not import `{dep}` (it may: {})", room.imports.join(", ")));
            }
        }
        for dep in member.dev.iter().filter(is_member) {
            if !room.imports.contains(&dep.as_str()) && !FOR_TESTS.contains(&dep.as_str()) && dep != name {
                broken.push(format!("the tests of `{name}` may not import `{dep}`"));
            }
        }
        if let Some(list) = room.outside {
            let stranger = |dep: &&String| !graph.members.contains_key(*dep) && !list.contains(&dep.as_str());
            broken.extend(
                member
                    .normal
                    .iter()
                    .filter(stranger)
                    .map(|dep| format!("`{name}` imports only {}: not `{dep}`", list.join(", "))),
            );
        }
        if room.does == Does::Nothing {
            broken.extend(
                member
                    .reached
                    .iter()
                    .filter(|dep| DOES_IO.contains(&dep.as_str()))
                    .map(|dep| format!("`{name}` does no I/O, but reaches `{dep}`")),
            );
        }
    }
    broken.extend(owners(graph));
    broken
}

/// Refuses a crate in the hands of somebody who is not its owner.
fn owners(graph: &Graph) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, member) in &graph.members {
        for owned in OWNED
            .iter()
            .filter(|owned| member.normal.contains(owned.name) && !owned.by.contains(&name.as_str()))
        {
            broken.push(format!(
                "`{name}` may not import `{}`: {} (only {})",
                owned.name,
                owned.reason,
                owned.by.join(", ")
            ));
        }
    }
    broken
}

/// A crate of the workspace, and what it may name as a normal dependency.
struct Room {
    name: &'static str,
    imports: &'static [&'static str],
    /// The only crates from outside, where the list is closed.
    outside: Option<&'static [&'static str]>,
    does: Does,
}

#[derive(PartialEq, Eq)]
enum Does {
    Nothing,
    InputAndOutput,
}

struct Owned {
    name: &'static str,
    by: &'static [&'static str],
    reason: &'static str,
}

const fn room(name: &'static str, imports: &'static [&'static str]) -> Room {
    Room {
        name,
        imports,
        outside: None,
        does: Does::InputAndOutput,
    }
}

const fn pure_room(name: &'static str, imports: &'static [&'static str], outside: &'static [&'static str]) -> Room {
    Room {
        name,
        imports,
        outside: Some(outside),
        does: Does::Nothing,
    }
}

const ROOMS: [Room; 17] = [
    pure_room("shared-protocol", &[], &["serde", "serde_json", "serde_path_to_error", "thiserror", "uuid"]),
    pure_room(
        "control-core",
        &["shared-protocol"],
        &["governor", "roaring", "serde", "serde_json", "thiserror", "uuid"],
    ),
    pure_room(
        "control-api",
        &["shared-protocol"],
        &["jiff", "serde", "serde_json", "thiserror", "utoipa", "uuid"],
    ),
    room("control-store", &["shared-protocol", "control-core"]),
    room(
        "control-services",
        &["shared-protocol", "control-core", "control-store", "control-api", "ebpf-package"],
    ),
    room(
        "control-server",
        &["shared-protocol", "control-core", "control-services", "control-api", "ebpf-package"],
    ),
    pure_room(
        "agent-paths",
        &["shared-protocol"],
        &["base64", "libc", "pnet_packet", "serde_json", "thiserror"],
    ),
    pure_room(
        "ebpf-package",
        &["shared-protocol"],
        &["aws-lc-rs", "base64", "object", "serde", "serde_json", "thiserror", "toml"],
    ),
    Room {
        name: "ebpf-probes",
        imports: &["shared-protocol", "ebpf-package"],
        outside: Some(&["aya", "blazesym", "libc", "rustix", "serde_json", "syscalls", "thiserror"]),
        does: Does::InputAndOutput,
    },
    room("agent-probes", &["shared-protocol", "agent-paths"]),
    room("probe-agent", &["shared-protocol", "agent-probes", "ebpf-package", "ebpf-probes"]),
    room("probectl", &["shared-protocol", "control-api", "agent-paths", "ebpf-package"]),
    room(
        "test-lab",
        &[
            "shared-protocol",
            "control-core",
            "control-store",
            "control-api",
            "control-services",
            "control-server",
            "ebpf-package",
            "agent-probes",
            "probe-agent",
            "probectl",
            "test-internet",
            "test-postgres",
        ],
    ),
    pure_room(
        "test-internet",
        &[],
        &["ipnet", "pnet_packet", "rand", "serde", "serde_json", "thiserror", "toml"],
    ),
    pure_room("test-fuzz", &[], &["rand", "serde_json"]),
    room("test-postgres", &[]),
    room("xtask", &[]),
];

/// What every crate's tests may import.
const FOR_TESTS: [&str; 4] = ["test-fuzz", "test-internet", "test-lab", "test-postgres"];

/// What a crate that does no I/O must not even reach through others.
const DOES_IO: [&str; 12] = [
    "tokio",
    "mio",
    "socket2",
    "nix",
    "sqlx",
    "sqlx-core",
    "hyper",
    "axum",
    "reqwest",
    "rustls",
    "async-io",
    "async-std",
];

const OWNED: [Owned; 12] = [
    Owned {
        name: "sqlx",
        by: &["control-store", "probe-agent", "test-lab"],
        reason: "SQL of the control plane stands in the store, that of the agent in its outbox",
    },
    Owned {
        name: "aya",
        by: &["ebpf-probes"],
        reason: "one crate knows eBPF",
    },
    Owned {
        name: "pnet_packet",
        by: &["agent-paths", "agent-probes", "test-internet"],
        reason: "packets are made where the sockets towards targets are, read there and by the machines of paths, and both in the internet of the tests",
    },
    Owned {
        name: "socket2",
        by: &["agent-probes", "probe-agent", "control-server", "test-lab"],
        reason: "sockets towards targets are opened by the probes, those of the session by its two ends",
    },
    Owned {
        name: "axum",
        by: &["control-server"],
        reason: "HTTP is spoken at the edge",
    },
    Owned {
        name: "utoipa-axum",
        by: &["control-server"],
        reason: "HTTP is spoken at the edge",
    },
    Owned {
        name: "tower-http",
        by: &["control-server"],
        reason: "HTTP is spoken at the edge",
    },
    Owned {
        name: "reqwest",
        by: &["probectl", "test-lab"],
        reason: "neither agent nor control plane fetches what somebody else names",
    },
    Owned {
        name: "governor",
        by: &["control-core"],
        reason: "rates are decided in one place",
    },
    Owned {
        name: "cargo_metadata",
        by: &["xtask"],
        reason: "it is for this check",
    },
    Owned {
        name: "anyhow",
        by: &["control-server", "probe-agent", "probectl", "test-lab", "xtask"],
        reason: "a library names its errors",
    },
    Owned {
        name: "clap",
        by: &["control-server", "probe-agent", "probectl", "test-lab", "xtask"],
        reason: "only programs have a command line",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::graph::Member;
    use super::*;

    fn graph(edges: &[(&str, &[&str], &[&str])]) -> Graph {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut graph = Graph::default();
        for (name, normal, dev) in edges {
            let member = Member {
                normal: set(normal),
                dev: set(dev),
                reached: set(normal),
            };
            graph.members.insert((*name).to_owned(), member);
        }
        graph
    }

    #[test]
    fn the_direction_of_the_house_is_fine() {
        let house = graph(&[
            ("shared-protocol", &["serde", "uuid"], &["proptest"]),
            ("control-core", &["shared-protocol", "thiserror"], &[]),
            ("control-store", &["shared-protocol", "control-core", "sqlx"], &["test-lab"]),
            ("test-lab", &["control-store"], &[]),
        ]);
        assert_eq!(check(&house), Vec::<String>::new());
    }

    #[test]
    fn a_route_cannot_reach_the_database_past_the_services() {
        let house = graph(&[("control-server", &["control-store"], &[]), ("control-store", &[], &[])]);
        assert_eq!(check(&house).len(), 1);
    }

    #[test]
    fn agent_and_server_do_not_meet_even_in_tests() {
        let house = graph(&[("probe-agent", &[], &["control-server"]), ("control-server", &[], &[])]);
        assert_eq!(check(&house), ["the tests of `probe-agent` may not import `control-server`"]);
    }

    #[test]
    fn the_protocol_imports_only_its_list() {
        assert_eq!(check(&graph(&[("shared-protocol", &["base64"], &[])])).len(), 1);
    }

    #[test]
    fn the_core_does_not_reach_io_through_another_crate() {
        let mut house = graph(&[("control-core", &["governor"], &[])]);
        house.members.get_mut("control-core").unwrap().reached.insert("tokio".to_owned());
        assert_eq!(check(&house), ["`control-core` does no I/O, but reaches `tokio`"]);
    }

    #[test]
    fn sql_stands_in_the_store() {
        assert_eq!(check(&graph(&[("control-services", &["sqlx"], &[])])).len(), 1);
    }

    #[test]
    fn a_crate_that_nobody_wrote_down_is_refused() {
        assert_eq!(check(&graph(&[("new-crate", &[], &[])])).len(), 1);
    }
}
