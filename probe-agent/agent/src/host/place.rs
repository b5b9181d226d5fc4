//! Where the host is, as its owner says: the table `[place]` of the configuration, or the command line, which wins.

use clap::Args;
use serde::Deserialize;
use shared_protocol::host::Place;

/// The owner's words for where the host is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Args)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceSettings {
    /// Region the host is in, as `eu-central`; before the configuration's `[place]`.
    #[arg(long, env = "PROBEOPS_REGION")]
    pub region: Option<String>,
    /// Zone within the region.
    #[arg(long, env = "PROBEOPS_ZONE")]
    pub zone: Option<String>,
    /// Network the host is in: an AS number, as `AS64500`, or a name.
    #[arg(long, env = "PROBEOPS_NETWORK")]
    pub network: Option<String>,
}

/// A word for a place cannot have been meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` must be 1 to {PLACE_BYTES} characters of a-z A-Z 0-9 . _ - /")]
pub struct InvalidPlace {
    /// The key.
    pub key: &'static str,
}

impl PlaceSettings {
    /// These words where they are given, else the other ones.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            region: self.region.or(other.region),
            zone: self.zone.or(other.zone),
            network: self.network.or(other.network),
        }
    }

    /// The place they mean.
    ///
    /// # Errors
    /// [`InvalidPlace`] names the key.
    pub fn validated(self) -> Result<Place, InvalidPlace> {
        for (key, word) in [("region", &self.region), ("zone", &self.zone), ("network", &self.network)] {
            if word.as_deref().is_some_and(|word| !is_word(word)) {
                return Err(InvalidPlace { key });
            }
        }
        Ok(Place {
            region: self.region,
            zone: self.zone,
            network: self.network,
        })
    }
}

fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    (1..=PLACE_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

/// Longest word, bytes: what the control plane selects by.
const PLACE_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn region(text: &str) -> PlaceSettings {
        PlaceSettings {
            region: Some(text.to_owned()),
            ..PlaceSettings::default()
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file_word_by_word() {
        let file = PlaceSettings {
            region: Some("eu".to_owned()),
            zone: Some("fra".to_owned()),
            network: None,
        };
        let place = region("us").or(file).validated().unwrap();
        assert_eq!((place.region.as_deref(), place.zone.as_deref(), place.network), (Some("us"), Some("fra"), None));
    }

    #[test]
    fn words_that_nobody_could_select_by_are_refused_by_name() {
        for bad in ["", "a b", "eu\n", "\u{1b}[31m", "münchen", &"x".repeat(64)] {
            assert_eq!(region(bad).validated(), Err(InvalidPlace { key: "region" }), "{bad:?}");
        }
        assert!(region("AS64500").validated().is_ok());
    }
}
