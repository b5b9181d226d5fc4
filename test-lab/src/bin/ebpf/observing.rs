//! What is on while a slice is measured.
#![expect(clippy::disallowed_types, reason = "the bench measures beside other people's programs")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use agent_probes::observe::message::{self, Ask, Inbox, Told};
use anyhow::{Context, Result, bail, ensure};
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::spec::{Observation, ProbeSpec};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// What is to be on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Under {
    /// These observations, each a conversation with the observer.
    Observations(&'static [Observation]),
    /// Another program with its arguments.
    Program(&'static str, &'static [&'static str]),
}

/// What is on.
pub(crate) enum On {
    Observations(Vec<Conversation>),
    Program(Child),
}

/// An observation under way.
pub(crate) struct Conversation {
    stream: UnixStream,
    inbox: Inbox,
}

impl Under {
    pub(crate) async fn begin(self, observer: &Path) -> Result<On> {
        match self {
            Self::Observations(observations) => {
                let mut conversations = Vec::new();
                for observation in observations {
                    conversations.push(Conversation::begin(observer, *observation).await?);
                }
                Ok(On::Observations(conversations))
            }
            Self::Program(program, arguments) => {
                let child = Command::new(program)
                    .args(arguments)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .with_context(|| format!("start {program}"))?;
                // It says nothing when its programs are in place.
                tokio::time::sleep(SETTLE).await;
                Ok(On::Program(child))
            }
        }
    }
}

impl On {
    /// The other program's number, where it is one.
    pub(crate) fn process(&self) -> Option<u32> {
        match self {
            Self::Observations(_) => None,
            Self::Program(child) => child.id(),
        }
    }

    pub(crate) async fn end(self) -> Result<()> {
        match self {
            Self::Observations(conversations) => {
                for conversation in conversations {
                    conversation.end().await?;
                }
            }
            Self::Program(mut child) => {
                ensure!(child.try_wait()?.is_none(), "the other program ended by itself: it measured nothing");
                child.kill().await.context("end the other program")?;
            }
        }
        Ok(())
    }
}

impl Conversation {
    async fn begin(observer: &Path, observation: Observation) -> Result<Self> {
        let spec = format!(r#"{{"probe":"observe","observation":"{observation}","duration_s":300,"interval_ms":60000}}"#);
        let spec = ProbeSpec::parse(&spec).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))?;
        let mut conversation = Self {
            stream: UnixStream::connect(observer).await.context("reach the observer")?,
            inbox: Inbox::new(MESSAGE_BYTES),
        };
        message::send(
            &mut conversation.stream,
            &Ask::Observe {
                spec,
                check_port: 0,
                package: None,
            },
        )
        .await?;
        let told = conversation.told().await?;
        let full = matches!(
            told,
            Told::Started {
                level: CapabilityLevel::Full,
                ..
            }
        );
        ensure!(full, "{observation} is not observed in full: {told:?}");
        Ok(conversation)
    }

    async fn end(mut self) -> Result<()> {
        message::send(&mut self.stream, &Ask::Stop).await?;
        loop {
            match self.told().await? {
                Told::Window(_) => {}
                Told::Ended(findings) => {
                    ensure!(findings.over_budget.is_none(), "something was given up: {:?}", findings.over_budget);
                    return Ok(());
                }
                other
                @ (Told::Capabilities { .. } | Told::Started { .. } | Told::Ready | Told::Watching { .. } | Told::Facts { .. } | Told::Refused { .. }) => {
                    bail!("the observation did not come to its end: {other:?}")
                }
            }
        }
    }

    async fn told(&mut self) -> Result<Told> {
        let told = tokio::time::timeout(ANSWER_TIME, self.inbox.receive(&mut self.stream)).await;
        Ok(told.context("the observer does not answer")??)
    }
}

/// How long another program may take until its own programs are in place.
const SETTLE: Duration = Duration::from_millis(700);
const ANSWER_TIME: Duration = Duration::from_secs(20);
const MESSAGE_BYTES: usize = 4 * 1_024 * 1_024;
