//! The `[known]` table: files that say what is known of addresses.

use std::path::PathBuf;

use serde::Deserialize;

use super::paths::whole_paths;

/// What is known of addresses, by files that somebody else puts there and keeps fresh; they are read when the agent starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownSettings {
    /// Which autonomous systems announce which prefixes: databases in the format of `MaxMind` (`.mmdb`), and lines as CAIDA publishes them
    /// (`pfx2as`). The longest prefix of all counts, and of two files with the same the first.
    #[serde(deserialize_with = "whole_paths::<_, FILES_MAX>")]
    pub as_numbers: Vec<PathBuf>,
    /// To whom the IEEE has given which blocks of addresses on an Ethernet: `oui.txt` and its like, or `oui.csv`.
    #[serde(deserialize_with = "whole_paths::<_, FILES_MAX>")]
    pub vendors: Vec<PathBuf>,
}

/// Most files of each kind.
const FILES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_whole_paths_and_few() {
        let settings: KnownSettings = toml::from_str("as_numbers = [\"/a.mmdb\", \"/b\"]\nvendors = [\"/oui.txt\"]").unwrap();
        assert_eq!((settings.as_numbers.len(), settings.vendors.len()), (2, 1));
        let many = format!("vendors = {:?}", ["/a"; 9]);
        for text in ["as_numbers = [\"a\"]", "vendors = \"/a\"", "vendor = []", "as_numbers = [1]", &many] {
            assert!(toml::from_str::<KnownSettings>(text).is_err(), "{text}");
        }
    }
}
