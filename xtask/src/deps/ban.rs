//! Crates that must not be used, and crates of which there must be one.

use super::graph::{Graph, Package};

/// Refuses a banned crate, a second copy of one that must be single, and a feature that must stay off.
pub(super) fn check(graph: &Graph) -> Vec<String> {
    let mut broken = Vec::new();
    for package in &graph.packages {
        if let Some((_, reason)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            broken.push(format!("`{} {}` is banned: {reason}", package.name, package.version));
        }
        for (_, feature, reason) in FEATURES_OFF
            .iter()
            .filter(|(name, feature, _)| *name == package.name && package.features.contains(*feature))
        {
            broken.push(format!("`{}` must not have the feature `{feature}`: {reason}", package.name));
        }
    }
    for name in ONCE {
        let versions: Vec<&str> = of_name(graph, name).map(|package| package.version.as_str()).collect();
        if versions.len() > 1 {
            broken.push(format!("`{name}` must be there once, and is there as {}", versions.join(" and ")));
        }
    }
    broken
}

fn of_name<'a>(graph: &'a Graph, name: &str) -> impl Iterator<Item = &'a Package> {
    graph.packages.iter().filter(move |package| package.name == name)
}

/// The same list stands in deny.toml for `cargo deny`; a test compares the two.
const BANNED: [(&str, &str); 26] = [
    ("async-std", "RUSTSEC-2025-0052: discontinued; tokio is the one runtime"),
    ("atty", "RUSTSEC-2021-0145: unmaintained; std::io::IsTerminal"),
    ("backoff", "RUSTSEC-2025-0012: unmaintained; backon"),
    ("bincode", "RUSTSEC-2025-0141: unmaintained"),
    ("derivative", "RUSTSEC-2024-0388: unmaintained"),
    ("dotenv", "RUSTSEC-2021-0141: unmaintained"),
    ("figment", "no release since 2024-05; clap and toml"),
    ("fxhash", "RUSTSEC-2025-0057: unmaintained"),
    ("hyper-tls", "one TLS: rustls"),
    ("include_dir", "no release since 2024-06"),
    ("instant", "RUSTSEC-2024-0384: unmaintained"),
    ("madsim", "patches tokio globally"),
    ("native-tls", "one TLS: rustls"),
    ("openssl", "one TLS: rustls"),
    ("openssl-sys", "one TLS: rustls"),
    ("paste", "RUSTSEC-2024-0436: unmaintained; pastey"),
    ("proc-macro-error", "RUSTSEC-2024-0370: unmaintained"),
    ("ring", "one provider of cryptography: aws-lc-rs"),
    ("rustls-pemfile", "RUSTSEC-2025-0134: unmaintained; rustls-pki-types reads PEM"),
    ("serde_yaml", "deprecated by its author"),
    ("serde_yml", "RUSTSEC-2025-0068: unsound"),
    ("sqlx-mysql", "not a database of this product"),
    ("tokio-native-tls", "one TLS: rustls"),
    ("tower-sessions-sqlx-store", "brings a second sqlx"),
    ("users", "RUSTSEC-2025-0040: unmaintained; nix"),
    ("validator", "bounds stand in constructors"),
];

const ONCE: [&str; 8] = ["aws-lc-rs", "axum", "hyper", "rustls", "serde", "sqlx", "tokio", "tungstenite"];

const FEATURES_OFF: [(&str, &str, &str); 3] = [
    ("rustls", "ring", "one provider of cryptography: aws-lc-rs"),
    ("rustls", "logging", "TLS events are logged by us, with our words"),
    ("sqlx", "any", "it refuses uuid, timestamps, JSON and arrays"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, features: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            ..Package::default()
        }
    }

    fn found(packages: &[Package]) -> usize {
        let graph = Graph {
            packages: packages.to_vec(),
            ..Graph::default()
        };
        check(&graph).len()
    }

    #[test]
    fn a_banned_crate_is_found_however_it_came() {
        assert_eq!(found(&[package("openssl", "0.10.0", &[]), package("serde", "1.0.0", &[])]), 1);
    }

    #[test]
    fn two_versions_of_a_single_crate_are_refused() {
        assert_eq!(found(&[package("rustls", "0.22.0", &[]), package("rustls", "0.23.0", &[])]), 1);
        assert_eq!(found(&[package("base64", "0.21.0", &[]), package("base64", "0.22.0", &[])]), 0);
    }

    #[test]
    fn a_feature_that_must_stay_off_is_found() {
        assert_eq!(found(&[package("sqlx", "0.9.0", &["any", "sqlite"])]), 1);
        assert_eq!(found(&[package("sqlx", "0.9.0", &["sqlite"])]), 0);
    }

    #[test]
    fn deny_toml_bans_the_same_crates() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = std::fs::read_to_string(root.join("deny.toml")).unwrap();
        let deny: toml::Table = text.parse().unwrap();
        let mut listed: Vec<&str> = deny["bans"]["deny"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["crate"].as_str().unwrap())
            .collect();
        listed.sort_unstable();
        assert_eq!(listed, BANNED.map(|(name, _)| name));
    }
}
