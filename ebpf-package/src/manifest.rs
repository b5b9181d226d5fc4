//! The manifest: what the author says a package is, in TOML. It is believed in nothing: [`crate::checked`] compares it with the object.

use std::collections::BTreeSet;

use serde::Deserialize;
use shared_protocol::package::{PackageName, PackageVersion};

use crate::attach::{Attach, is_name};
use crate::limits::{EXPORTS, HZ_MAX, MANIFEST_BYTES, PROGRAMS};
use crate::refusal::Refusal;

/// What a package is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// By what name it is asked for.
    pub name: PackageName,
    /// Which one of that name.
    pub version: PackageVersion,
    /// What it is for, in a line.
    pub summary: String,
    /// What is put onto which hook.
    pub programs: Vec<ManifestProgram>,
    /// Which maps are told, and how.
    pub maps: Vec<ManifestMap>,
    /// The map that counts what was seen and could not be told.
    pub lost: Option<String>,
    /// The map that counts what shows that the programs run.
    pub check: Option<String>,
}

/// A program and its hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestProgram {
    /// The function's name.
    pub name: String,
    /// Its hook.
    pub attach: Attach,
    /// How often a second it runs on the clock of each CPU.
    pub hz: Option<u32>,
}

/// A map that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestMap {
    /// Its name.
    pub name: String,
    /// How it is read.
    pub read: Read,
    /// Most entries, or bytes of a ring, where the author says so.
    pub entries: Option<u32>,
    /// Bytes of a value or message, where the author says so.
    pub value_bytes: Option<u32>,
}

/// How a map is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// All entries, at the end of each interval.
    Rows {
        /// The number by which the first ones are chosen, as a field of the value.
        order_by: Option<String>,
    },
    /// Messages, as they come.
    Events {
        /// The structure that each is.
        of: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    version: String,
    #[serde(default)]
    summary: String,
    lost: Option<String>,
    check: Option<String>,
    #[serde(default)]
    programs: Vec<ProgramText>,
    #[serde(default)]
    maps: Vec<MapText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramText {
    name: String,
    attach: String,
    hz: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapText {
    name: String,
    read: ReadText,
    order_by: Option<String>,
    #[serde(rename = "type")]
    of: Option<String>,
    entries: Option<u32>,
    value_bytes: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReadText {
    Rows,
    Events,
}

impl Manifest {
    /// Reads it.
    ///
    /// # Errors
    /// [`Refusal`] with the line and the reason.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MANIFEST_BYTES {
            return Err(Refusal::too_much("bytes of the manifest", text.len(), MANIFEST_BYTES));
        }
        let text: Text = toml::from_str(text).map_err(|error| Refusal::Manifest(error.to_string().trim_end().to_owned()))?;
        let invalid = |error: &dyn std::fmt::Display| Refusal::Manifest(error.to_string());
        let summary = text.summary.trim().to_owned();
        if summary.len() > SUMMARY_BYTES || summary.contains(char::is_control) {
            return Err(invalid(&format!("summary: one line of at most {SUMMARY_BYTES} bytes")));
        }
        if text.programs.is_empty() {
            return Err(Refusal::NoProgram);
        }
        for (what, found, most) in [
            ("programs of the manifest", text.programs.len(), PROGRAMS),
            ("maps of the manifest", text.maps.len(), EXPORTS),
        ] {
            if found > most {
                return Err(Refusal::too_much(what, found, most));
            }
        }
        if text.maps.is_empty() {
            return Err(invalid(&"maps: none is told, so nothing would be seen"));
        }
        let own = text.programs.iter().map(|program| &program.name).chain(text.maps.iter().map(|map| &map.name));
        if let Some(name) = own.chain(&text.lost).chain(&text.check).find(|name| !is_name(name)) {
            return Err(invalid(&format!("{name:?} is no name that C would have")));
        }
        let manifest = Self {
            name: text.name.parse().map_err(|error| invalid(&format!("name: {error}")))?,
            version: text.version.parse().map_err(|error| invalid(&format!("version: {error}")))?,
            summary,
            programs: text.programs.into_iter().map(ProgramText::read).collect::<Result<_, _>>()?,
            maps: text.maps.into_iter().map(MapText::read).collect::<Result<_, _>>()?,
            lost: text.lost,
            check: text.check,
        };
        manifest.check_names()?;
        Ok(manifest)
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let (mut programs, mut maps) = (BTreeSet::new(), BTreeSet::new());
        if let Some(twice) = self.programs.iter().find(|program| !programs.insert(&program.name)) {
            return Err(Refusal::Manifest(format!("programs: {} is named twice", twice.name)));
        }
        if let Some(twice) = self.maps.iter().find(|map| !maps.insert(&map.name)) {
            return Err(Refusal::Manifest(format!("maps: {} is named twice", twice.name)));
        }
        let has_events = self.maps.iter().any(|map| matches!(map.read, Read::Events { .. }));
        if has_events && self.lost.is_none() {
            let message = "lost: a ring can be full: name the map that counts what it had no room for";
            return Err(Refusal::Manifest(message.to_owned()));
        }
        Ok(())
    }
}

impl ProgramText {
    fn read(self) -> Result<ManifestProgram, Refusal> {
        let invalid = |message: String| Refusal::Manifest(format!("program {}: {message}", self.name));
        let attach: Attach = self.attach.parse().map_err(|error| invalid(format!("attach: {:?} {error}", self.attach)))?;
        match (&attach, self.hz) {
            (Attach::Clock, Some(hz)) if (1..=HZ_MAX).contains(&hz) => {}
            (Attach::Clock, _) => return Err(invalid(format!("hz: how often a second, 1 to {HZ_MAX}"))),
            (_, Some(_)) => return Err(invalid("hz: goes with perf_event only".to_owned())),
            (_, None) => {}
        }
        Ok(ManifestProgram {
            attach,
            hz: self.hz,
            name: self.name,
        })
    }
}

impl MapText {
    fn read(self) -> Result<ManifestMap, Refusal> {
        let invalid = |message: &str| Refusal::Manifest(format!("map {}: {message}", self.name));
        let read = match (self.read, self.of, self.order_by) {
            (ReadText::Events, Some(of), None) => Read::Events { of },
            (ReadText::Events, None, _) => return Err(invalid("type: name the structure that each event is")),
            (ReadText::Events, Some(_), Some(_)) => return Err(invalid("order_by: goes with rows only")),
            (ReadText::Rows, None, order_by) => Read::Rows { order_by },
            (ReadText::Rows, Some(_), _) => return Err(invalid("type: goes with events only; a map's own types are described")),
        };
        Ok(ManifestMap {
            read,
            name: self.name,
            entries: self.entries,
            value_bytes: self.value_bytes,
        })
    }
}

/// Longest summary, bytes.
const SUMMARY_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "tcp-states"
version = "1.0.0"
lost = "lost"

[[programs]]
name = "changed"
attach = "tp_btf/inet_sock_set_state"

[[maps]]
name = "changes"
read = "events"
type = "change"
"#;

    #[test]
    fn a_manifest_is_read_and_what_cannot_be_meant_is_refused_by_its_place() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("tcp-states", "1.0.0"));
        for (from, to, why) in [
            ("tcp-states", "../x", "name"),
            ("tcp-states", "a/b", "name"),
            ("tcp-states", "", "name"),
            ("tcp-states", "Tcp", "name"),
            ("1.0.0", "1/0", "version"),
            ("\"changed\"", "\"a/b\"", "C would have"),
            ("\"changes\"", "\"..\"", "C would have"),
            ("tp_btf/inet_sock_set_state", "kprobe/x", "attach"),
            ("\"events\"", "\"all\"", "unknown variant"),
            ("type = \"change\"", "", "type"),
            ("lost = \"lost\"", "", "lost"),
            ("lost = \"lost\"", "lost = \"lost\"\nlicense = \"x\"", "unknown field"),
            ("type = \"change\"", "type = \"change\"\nhz = 5", "unknown field"),
            ("[[programs]]", "[[programs]]\nhz = 5", "hz"),
            ("attach = \"tp_btf/inet_sock_set_state\"", "attach = \"perf_event\"", "hz"),
            ("attach = \"tp_btf/inet_sock_set_state\"", "attach = \"perf_event\"\nhz = 100", "hz"),
            ("attach = \"tp_btf/inet_sock_set_state\"", "attach = \"perf_event\"\nhz = 0", "hz"),
        ] {
            let refused = Manifest::parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(
                matches!(&refused, Refusal::Manifest(message) if message.contains(why)),
                "{from} {to}: {refused}"
            );
        }
    }

    #[test]
    fn a_manifest_without_programs_or_with_too_many_is_refused() {
        let none = Manifest::parse("name = \"a\"\nversion = \"1\"\n").unwrap_err();
        assert_eq!(none, Refusal::NoProgram);
        let program = |number: usize| format!("[[programs]]\nname = \"p{number}\"\nattach = \"raw_tp/x\"\n");
        let many: String = (0..17).map(program).collect();
        let refused = Manifest::parse(&GOOD.replace("[[maps]]", &format!("{many}[[maps]]"))).unwrap_err();
        assert!(matches!(refused, Refusal::TooMuch { .. }), "{refused}");
        assert!(matches!(Manifest::parse(&" ".repeat(MANIFEST_BYTES + 1)), Err(Refusal::TooMuch { .. })));
    }
}
