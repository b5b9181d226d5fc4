//! The conversation on one stream: what is asked for, what is told, and when it is over.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use control_api::stream::{StreamMessage, StreamRequest, Subject};
use control_services::{ServiceError, clock};
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use shared_protocol::fault::ProblemCode;
use shared_protocol::strict_json;
use shared_protocol::time::MonotonicMicros;
use tokio::time::{MissedTickBehavior, interval};

use super::subscription::{self, Told};
use crate::api::permission::ReadMeasurements;
use crate::http::authenticate::Authz;
use crate::http::state::AppState;
use crate::http::websocket::{Heard, NotTaken, Socket};

/// What is followed on one connection.
struct Conversation<'a> {
    state: &'a AppState,
    authz: Authz<ReadMeasurements>,
    followed: SelectAll<Pin<Box<dyn futures_util::Stream<Item = Told> + Send>>>,
    /// What is followed, each with the number that its events carry; events of an older number are left out.
    subjects: HashMap<Subject, u64>,
    next: u64,
    seq: u64,
    heard: MonotonicMicros,
    asked: u32,
    asked_since: MonotonicMicros,
}

/// Serves a stream to its end; says why it ended.
pub(super) async fn run(mut socket: Socket, authz: Authz<ReadMeasurements>, state: &AppState) -> &'static str {
    let now = clock::monotonic();
    let mut conversation = Conversation {
        state,
        authz,
        followed: SelectAll::new(),
        subjects: HashMap::new(),
        next: 0,
        seq: 0,
        heard: now,
        asked: 0,
        asked_since: now,
    };
    let why = conversation.hold(&mut socket).await;
    socket.close(why).await;
    why
}

impl Conversation<'_> {
    async fn hold(&mut self, socket: &mut Socket) -> &'static str {
        let mut grant = ticks(GRANT_INTERVAL);
        let mut quiet = ticks(PING_INTERVAL);
        loop {
            let told = tokio::select! {
                () = self.state.stopping.cancelled() => return "the control plane stops; come back in a moment",
                heard = socket.hear() => {
                    self.heard = clock::monotonic();
                    match heard {
                        Heard::Text(text) => self.asked(&text).await,
                        Heard::Alive => Ok(Vec::new()),
                        Heard::Wrong(why) => return why,
                        Heard::Gone => return "the client left",
                    }
                }
                Some(told) = self.followed.next() => Ok(self.told(told)),
                _ = grant.tick() => match self.authz.still_granted(&self.state.services.identity).await {
                    Ok(()) | Err(ServiceError::Unavailable { .. }) => Ok(Vec::new()),
                    Err(_) => return "the API key is no longer good",
                },
                _ = quiet.tick() => {
                    if clock::monotonic().since(self.heard) > IDLE_TIMEOUT {
                        return "nothing was heard for too long";
                    }
                    if socket.ping().await.is_err() {
                        return DOES_NOT_READ;
                    }
                    Ok(Vec::new())
                }
            };
            let messages = match told {
                Ok(messages) => messages,
                Err(why) => return why,
            };
            for message in messages {
                if self.say(socket, message).await.is_err() {
                    return DOES_NOT_READ;
                }
            }
        }
    }

    async fn say(&mut self, socket: &mut Socket, message: StreamMessage) -> Result<(), NotTaken> {
        self.seq += 1;
        let text = serde_json::to_string(&StreamMessage { seq: self.seq, ..message }).map_err(|error| {
            tracing::error!(%error, "a message of a stream has no JSON form");
            NotTaken
        })?;
        socket.say(text).await
    }

    /// Something that is followed happened.
    fn told(&self, told: Told) -> Vec<StreamMessage> {
        let current = self.subjects.get(&told.subject) == Some(&told.number);
        if current { vec![told.message] } else { Vec::new() }
    }

    /// Does what a message asks for; an error ends the stream.
    async fn asked(&mut self, text: &str) -> Result<Vec<StreamMessage>, &'static str> {
        if clock::monotonic().since(self.asked_since) >= Duration::from_secs(1) {
            self.asked_since = clock::monotonic();
            self.asked = 0;
        }
        self.asked += 1;
        if self.asked > REQUESTS_A_SECOND {
            return Err("too many messages in a second");
        }
        let request: Option<StreamRequest> = strict_json::parse(text).ok().and_then(|value| serde_json::from_value(value).ok());
        let wish = match &request {
            Some(StreamRequest::Subscribe(wish) | StreamRequest::Unsubscribe(wish)) => wish.subject(),
            None => None,
        };
        Ok(match (request, wish) {
            (Some(StreamRequest::Subscribe(wish)), Some(subject)) => vec![self.subscribe(subject, wish.after.as_deref()).await],
            (Some(StreamRequest::Unsubscribe(_)), Some(subject)) => {
                self.subjects.remove(&subject);
                vec![StreamMessage::about(&subject, "unsubscribed")]
            }
            (Some(_), None) | (None, _) => vec![StreamMessage::refusal(
                "",
                ProblemCode::MalformedRequest,
                "send {\"subscribe\":{\"measurement\":\"ID\"}}, {\"subscribe\":{\"topic\":\"jobs\"}} or {\"subscribe\":{\"topic\":\"agents\"}}",
            )],
        })
    }

    async fn subscribe(&mut self, subject: Subject, after: Option<&str>) -> StreamMessage {
        let topic = subject.to_string();
        if !self.subjects.contains_key(&subject) && self.subjects.len() >= SUBSCRIPTIONS_MAX {
            return StreamMessage::refusal(
                &topic,
                ProblemCode::RateLimited,
                "a connection follows at most 64 subjects; take one back first",
            );
        }
        if self.followed.len() >= 2 * SUBSCRIPTIONS_MAX {
            return StreamMessage::refusal(
                &topic,
                ProblemCode::RateLimited,
                "subjects were taken back and asked for again too often; open another connection",
            );
        }
        self.next += 1;
        match subscription::follow(self.state, self.authz.grant(), &subject, self.next, after).await {
            Ok(stream) => {
                self.followed.push(stream);
                self.subjects.insert(subject.clone(), self.next);
                StreamMessage::about(&subject, "subscribed")
            }
            Err(error) => StreamMessage::refusal(&subject, error.code(), error.to_string()),
        }
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

const DOES_NOT_READ: &str = "the client does not read";
/// How often it is asked whether the key is still good.
const GRANT_INTERVAL: Duration = Duration::from_secs(1);
/// How often a sign of life is asked for.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Silence after which the peer counts as gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// Most subjects followed on one connection.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Most messages taken in a second.
const REQUESTS_A_SECOND: u32 = 20;
