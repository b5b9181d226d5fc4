//! Follows a measurement's live events to their end, across broken connections and restarts of the control plane.

use std::collections::VecDeque;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use reqwest::Response;

use crate::client::Client;
use crate::error::ClientError;
use crate::sse::{Message, Parser};

/// The events of one measurement.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    client: &'a Client,
    measurement: &'a str,
    patience: Patience,
    waits: ExponentialBackoff,
    stream: Option<(Response, Parser)>,
    ready: VecDeque<Message>,
    last_id: Option<String>,
    ended: bool,
}

/// How long a broken stream is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The first wait; each further one is twice as long.
    pub(crate) first: Duration,
    /// The longest wait.
    pub(crate) longest: Duration,
    /// How often in a row, without an event between.
    pub(crate) times: usize,
    /// How long a stream may be silent before it counts as broken.
    pub(crate) silence: Duration,
}

impl Patience {
    /// A restart of the control plane takes seconds; after about half a minute without it the caller is told.
    pub(crate) const USUAL: Self = Self {
        first: Duration::from_millis(200),
        longest: Duration::from_secs(5),
        times: 10,
        silence: Duration::from_secs(90),
    };

    fn waits(self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_max_times(self.times)
            .with_jitter()
            .build()
    }
}

impl<'a> Follow<'a> {
    /// Follows from the start; nothing is sent before the first [`Follow::next`].
    pub(crate) fn new(client: &'a Client, measurement: &'a str, patience: Patience) -> Self {
        Self {
            client,
            measurement,
            patience,
            waits: patience.waits(),
            stream: None,
            ready: VecDeque::new(),
            last_id: None,
            ended: false,
        }
    }

    /// The next event; nothing after `done`.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, ClientError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(message) = self.ready.pop_front() {
                self.last_id.clone_from(&message.id);
                self.ended = message.event == "done";
                self.waits = self.patience.waits();
                return Ok(Some(message));
            }
            if let Err(error) = self.read_more().await {
                self.stream = None;
                wait_after(error, &mut self.waits).await?;
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), ClientError> {
        let (response, parser) = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let path = ["measurements", self.measurement, "events"];
            let response = self.client.events(&path, self.last_id.as_deref()).await?;
            self.stream.insert((response, Parser::default()))
        };
        let piece = tokio::time::timeout(self.patience.silence, response.chunk()).await;
        let piece = piece.map_err(|_| ClientError::Timeout)?.map_err(|_| ClientError::Broken)?;
        let piece = piece.ok_or(ClientError::Broken)?;
        let messages = parser.push(&piece).map_err(|_| ClientError::Unreadable("the stream of events is malformed"))?;
        self.ready.extend(messages);
        Ok(())
    }
}

/// Does something that reads only, again and again while the control plane is not there.
pub(crate) async fn patiently<T>(patience: Patience, mut attempt: impl AsyncFnMut() -> Result<T, ClientError>) -> Result<T, ClientError> {
    let mut waits = patience.waits();
    loop {
        match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error) => wait_after(error, &mut waits).await?,
        }
    }
}

/// Waits before the next try, or gives the error back where there is none.
async fn wait_after(error: ClientError, waits: &mut ExponentialBackoff) -> Result<(), ClientError> {
    if !error.is_retryable() {
        return Err(error);
    }
    let asked = error.retry_after_s().map_or(Duration::ZERO, Duration::from_secs).min(RETRY_AFTER_MAX);
    match waits.next() {
        Some(wait) => {
            tokio::time::sleep(wait.max(asked)).await;
            Ok(())
        }
        None => Err(error),
    }
}

/// Longest wait that the control plane can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
