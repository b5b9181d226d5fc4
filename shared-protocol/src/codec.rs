//! Frames as text: the only place that knows that the wire is JSON.
//!
//! Every frame is `{"v":1,"t":"<type>",…}`. Unknown members are ignored; missing or wrongly typed ones are errors that name their place;
//! an unknown type is ignored unless the frame says `"critical":true`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::frame::{AgentFrame, Hello, ServerFrame};
use crate::host::{TooMany, shorten};
use crate::limits::{EVENTS_PER_FRAME, JOBS_IN_HAND, OBSERVATIONS, PROTOCOL_VERSION, REPORT_CHUNK_BYTES, STANDING_ITEMS, SUPPORTED_VERSIONS};
use crate::standing::StandingHeld;
use crate::strict_json;

/// What a text turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded<F> {
    /// A frame.
    Frame(F),
    /// A frame of a type that this build does not know and may ignore.
    Ignored,
}

/// The text is not a frame; the session ends with 4400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// Not JSON, or beyond its bounds.
    #[error(transparent)]
    Json(#[from] strict_json::InvalidJson),
    /// Not an object, or without a usable `v` or `t`.
    #[error("not an envelope: {0}")]
    Envelope(&'static str),
    /// Of another version of the protocol.
    #[error("not of a protocol version spoken here")]
    Version,
    /// Of a type that must not be ignored, and is not known.
    #[error("unknown critical frame type")]
    UnknownCritical,
    /// A member is missing, of the wrong type, or out of bounds.
    #[error("frame {frame}: {path}: {message}")]
    Member {
        /// The frame's type.
        frame: &'static str,
        /// Where in the frame.
        path: String,
        /// What is wrong.
        message: String,
    },
}

/// Writes an agent's frame.
pub fn encode_agent(frame: &AgentFrame) -> String {
    match frame {
        AgentFrame::Hello(body) => encode("hello", body),
        AgentFrame::Credit(body) => encode("credit", body),
        AgentFrame::Accept(body) => encode("accept", body),
        AgentFrame::Refuse(body) => encode("refuse", body),
        AgentFrame::Event(body) => encode("event", body),
        AgentFrame::Report(body) => encode("report", body),
        AgentFrame::Keepalive(body) => encode("keepalive", body),
        AgentFrame::Configured(body) => encode("configured", body),
    }
}

/// Writes a control plane's frame.
pub fn encode_server(frame: &ServerFrame) -> String {
    match frame {
        ServerFrame::Welcome(body) => encode("welcome", body),
        ServerFrame::Run(body) => encode("run", body),
        ServerFrame::Cancel(body) => encode("cancel", body),
        ServerFrame::Ack(body) => encode("ack", body),
        ServerFrame::Keepalive(body) => encode("keepalive", body),
        ServerFrame::Goaway(body) => encode("goaway", body),
        ServerFrame::Configure(body) => encode("configure", body),
    }
}

/// Reads what an agent sent.
///
/// # Errors
/// [`InvalidFrame`] where it is no frame within the bounds.
pub fn decode_agent(text: &str) -> Result<Decoded<AgentFrame>, InvalidFrame> {
    let envelope = Envelope::open(text)?;
    let frame = match envelope.kind.as_str() {
        "hello" => AgentFrame::Hello(Box::new(check_hello(envelope.read("hello")?)?)),
        "credit" => AgentFrame::Credit(envelope.read("credit")?),
        "accept" => AgentFrame::Accept(envelope.read("accept")?),
        "refuse" => {
            let mut refuse: crate::frame::Refuse = envelope.read("refuse")?;
            refuse.message = shorten(&refuse.message);
            AgentFrame::Refuse(refuse)
        }
        "event" => {
            let event: crate::frame::Event = envelope.read("event")?;
            bound("event", "findings", event.findings.len(), EVENTS_PER_FRAME)?;
            AgentFrame::Event(event)
        }
        "report" => {
            let chunk: crate::frame::ReportChunk = envelope.read("report")?;
            bound("report", "data", chunk.data.len(), REPORT_CHUNK_BYTES)?;
            AgentFrame::Report(chunk)
        }
        "keepalive" => {
            let mut keepalive: crate::frame::AgentKeepalive = envelope.read("keepalive")?;
            if let Some(load) = &mut keepalive.load {
                load.bound().map_err(|over| too_many("keepalive", over))?;
            }
            AgentFrame::Keepalive(keepalive)
        }
        "configured" => {
            let mut configured: crate::standing::Configured = envelope.read("configured")?;
            check_held("configured", "items", &mut configured.items)?;
            AgentFrame::Configured(configured)
        }
        _ => return envelope.ignore(),
    };
    Ok(Decoded::Frame(frame))
}

/// Reads what a control plane sent.
///
/// # Errors
/// [`InvalidFrame`] where it is no frame within the bounds.
pub fn decode_server(text: &str) -> Result<Decoded<ServerFrame>, InvalidFrame> {
    let envelope = Envelope::open(text)?;
    let frame = match envelope.kind.as_str() {
        "welcome" => ServerFrame::Welcome(envelope.read("welcome")?),
        "run" => ServerFrame::Run(envelope.read("run")?),
        "cancel" => ServerFrame::Cancel(envelope.read("cancel")?),
        "ack" => ServerFrame::Ack(envelope.read("ack")?),
        "keepalive" => ServerFrame::Keepalive(envelope.read("keepalive")?),
        "goaway" => ServerFrame::Goaway(envelope.read("goaway")?),
        "configure" => {
            let configure: crate::standing::Configure = envelope.read("configure")?;
            bound("configure", "items", configure.items.len(), STANDING_ITEMS)?;
            bound("configure", "removed", configure.removed.len(), STANDING_ITEMS)?;
            ServerFrame::Configure(configure)
        }
        _ => return envelope.ignore(),
    };
    Ok(Decoded::Frame(frame))
}

/// Writes a report as the text that travels in chunks and is stored.
pub fn encode_report(report: &crate::report::Report) -> String {
    to_text(report)
}

/// Reads a report that arrived whole.
///
/// # Errors
/// [`InvalidFrame`] names the member that is missing or of the wrong type.
pub fn decode_report(text: &str) -> Result<crate::report::Report, InvalidFrame> {
    strict_json::check_report(text)?;
    read("report body", text)
}

/// A frame whose type is known; the text is JSON within the bounds.
struct Envelope<'a> {
    kind: String,
    critical: bool,
    text: &'a str,
}

impl<'a> Envelope<'a> {
    fn open(text: &'a str) -> Result<Self, InvalidFrame> {
        strict_json::check(text)?;
        if !text.trim_start().starts_with('{') {
            return Err(InvalidFrame::Envelope("must be an object"));
        }
        let head: Head = serde_json::from_str(text).map_err(|_| InvalidFrame::Envelope("must be an object"))?;
        let Some(version) = head.v.and_then(|version| version.as_u64()) else {
            return Err(InvalidFrame::Envelope("v must be a number"));
        };
        if !SUPPORTED_VERSIONS.iter().any(|supported| u64::from(*supported) == version) {
            return Err(InvalidFrame::Version);
        }
        let Some(Value::String(kind)) = head.t else {
            return Err(InvalidFrame::Envelope("t must be a string"));
        };
        let critical = match head.critical {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return Err(InvalidFrame::Envelope("critical must be true or false")),
        };
        Ok(Self { kind, critical, text })
    }

    fn read<T: DeserializeOwned>(self, frame: &'static str) -> Result<T, InvalidFrame> {
        read(frame, self.text)
    }

    fn ignore<F>(&self) -> Result<Decoded<F>, InvalidFrame> {
        if self.critical {
            Err(InvalidFrame::UnknownCritical)
        } else {
            Ok(Decoded::Ignored)
        }
    }
}

/// What every frame says of itself; a member that is null is there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    #[serde(deserialize_with = "present")]
    v: Option<Value>,
    #[serde(deserialize_with = "present")]
    t: Option<Value>,
    #[serde(deserialize_with = "present")]
    critical: Option<Value>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a text that was looked at. Only where it is refused is it taken apart, to say where.
fn read<T: DeserializeOwned>(frame: &'static str, text: &str) -> Result<T, InvalidFrame> {
    if let Ok(read) = serde_json::from_str(text) {
        return Ok(read);
    }
    let refused = |path: String, message: String| InvalidFrame::Member { frame, path, message };
    let value: Value = serde_json::from_str(text).map_err(|error| refused(".".to_owned(), error.to_string()))?;
    serde_path_to_error::deserialize(value).map_err(|error| refused(error.path().to_string(), error.inner().to_string()))
}

fn check_hello(mut hello: Hello) -> Result<Hello, InvalidFrame> {
    bound("hello", "versions", hello.versions.len(), 16)?;
    bound("hello", "capabilities", hello.capabilities.len(), 256)?;
    bound("hello", "in_hand", hello.in_hand.len(), JOBS_IN_HAND)?;
    if hello.outbox.first_seq > hello.outbox.next_seq {
        return Err(InvalidFrame::Member {
            frame: "hello",
            path: "outbox.first_seq".to_owned(),
            message: "must not be above next_seq".to_owned(),
        });
    }
    hello.host.bound().map_err(|over| too_many("hello", over))?;
    hello.agent_version = shorten(&hello.agent_version);
    for capability in &mut hello.capabilities {
        bound("hello", "capabilities.observations", capability.observations.len(), OBSERVATIONS)?;
        capability.reason = capability.reason.as_deref().map(shorten);
        capability.remedy = capability.remedy.as_deref().map(shorten);
        for observation in &mut capability.observations {
            observation.observation = shorten(&observation.observation);
            observation.reason = observation.reason.as_deref().map(shorten);
            observation.remedy = observation.remedy.as_deref().map(shorten);
        }
    }
    if let Some(held) = &mut hello.standing {
        check_held("hello", "standing", held)?;
    }
    Ok(hello)
}

fn check_held(frame: &'static str, path: &'static str, held: &mut [StandingHeld]) -> Result<(), InvalidFrame> {
    bound(frame, path, held.len(), STANDING_ITEMS)?;
    for item in held {
        item.mark = shorten(&item.mark);
        item.message = item.message.as_deref().map(shorten);
    }
    Ok(())
}

fn too_many(frame: &'static str, over: TooMany) -> InvalidFrame {
    InvalidFrame::Member {
        frame,
        path: over.path.to_owned(),
        message: format!("holds {}, at most {} are allowed", over.found, over.limit),
    }
}

fn bound(frame: &'static str, path: &'static str, found: usize, limit: usize) -> Result<(), InvalidFrame> {
    if found <= limit {
        return Ok(());
    }
    Err(too_many(frame, TooMany { path, found, limit }))
}

fn encode<T: Serialize>(kind: &'static str, body: &T) -> String {
    #[derive(Serialize)]
    struct Tagged<'a, T> {
        v: u16,
        t: &'static str,
        #[serde(flatten)]
        body: &'a T,
    }
    to_text(&Tagged {
        v: PROTOCOL_VERSION,
        t: kind,
        body,
    })
}

#[expect(
    clippy::expect_used,
    reason = "frames and reports hold no map with non-text keys and no failing serialiser, the only causes of an error"
)]
fn to_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("frames and reports always have a JSON form")
}

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    #[test]
    fn frm_25_fuzz_agent_frame() {
        let target = Target::new("agent_frame", include_str!("../corpus/agent_frame.txt")).of_json();
        target.survives(|bytes| {
            let Ok(Decoded::Frame(frame)) = decode_agent(&String::from_utf8_lossy(bytes)) else {
                return Reading::Refused;
            };
            // What is left out beside what was said differs from no text of ours, so the second reading is the first.
            let written = encode_agent(&frame);
            let Ok(Decoded::Frame(again)) = decode_agent(&written) else {
                panic!("{written}")
            };
            assert_eq!(encode_agent(&again), written);
            Reading::Taken
        });
    }

    #[test]
    fn frm_25_fuzz_server_frame() {
        let target = Target::new("server_frame", include_str!("../corpus/server_frame.txt")).of_json();
        target.survives(|bytes| {
            let Ok(Decoded::Frame(frame)) = decode_server(&String::from_utf8_lossy(bytes)) else {
                return Reading::Refused;
            };
            let written = encode_server(&frame);
            let Ok(Decoded::Frame(again)) = decode_server(&written) else {
                panic!("{written}")
            };
            assert_eq!(encode_server(&again), written);
            Reading::Taken
        });
    }

    #[test]
    fn frm_25_fuzz_report() {
        let target = Target::new("report", include_str!("../corpus/report.txt")).of_json();
        target.survives(|bytes| {
            let Ok(report) = decode_report(&String::from_utf8_lossy(bytes)) else {
                return Reading::Refused;
            };
            let written = encode_report(&report);
            assert_eq!(decode_report(&written).map(|again| encode_report(&again)), Ok(written));
            Reading::Taken
        });
    }
}
