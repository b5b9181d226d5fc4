//! A tenant that asks for measurements without pause, and holds on to each until it knows whether it was accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;

/// A load on one control plane.
pub struct Load {
    clients: JoinSet<Result<()>>,
    stop: CancellationToken,
    accepted: Arc<AtomicUsize>,
}

/// Where the load goes.
#[derive(Clone)]
pub struct Destination {
    /// The control plane's address.
    pub url: String,
    /// The tenant's key.
    pub key: String,
    /// The names of the agents that are asked.
    pub agents: Vec<String>,
}

impl Load {
    /// Starts clients, each with one request at a time.
    pub fn start(destination: &Destination, clients: usize, ledger: &Arc<Ledger>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(2))
            .build()?;
        let stop = CancellationToken::new();
        let accepted = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            let client = Client {
                http: http.clone(),
                destination: destination.clone(),
                ledger: Arc::clone(ledger),
                accepted: Arc::clone(&accepted),
                stop: stop.clone(),
            };
            tasks.spawn(client.run(number));
        }
        Ok(Self {
            clients: tasks,
            stop,
            accepted,
        })
    }

    /// Waits until this many more measurements were accepted.
    pub async fn until_accepted(&self, more: usize) {
        let goal = self.accepted.load(Ordering::Acquire) + more;
        while self.accepted.load(Ordering::Acquire) < goal {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets every client finish the request it is at.
    ///
    /// # Errors
    /// When a client met an answer that must not be.
    pub async fn finish(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(client) = self.clients.join_next().await {
            client??;
        }
        Ok(())
    }
}

struct Client {
    http: reqwest::Client,
    destination: Destination,
    ledger: Arc<Ledger>,
    accepted: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Client {
    async fn run(self, number: usize) -> Result<()> {
        let mut request = 0_usize;
        while !self.stop.is_cancelled() {
            let Some(agent) = self
                .destination
                .agents
                .iter()
                .cycle()
                .nth((number + request) % self.destination.agents.len().max(1))
            else {
                return Ok(());
            };
            let body = json!({
                "spec": {"probe": "ping", "target": "127.0.0.1", "count": 1 + request % 3, "interval_ms": 10, "wait_ms": 200},
                "selection": {"agents": [agent]},
                "deadline_s": 60,
            });
            self.ask(&format!("load-{number}-{request}"), &body).await?;
            request += 1;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Asks until it is known whether the request was accepted: the key makes a lost answer harmless.
    async fn ask(&self, idempotency_key: &str, body: &Value) -> Result<()> {
        loop {
            let sent = self
                .http
                .post(format!("{}/api/v1/measurements", self.destination.url))
                .bearer_auth(&self.destination.key)
                .header("idempotency-key", idempotency_key)
                .json(body)
                .send()
                .await;
            let Ok(answer) = sent else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let status = answer.status().as_u16();
            let Ok(answer) = answer.json::<Value>().await else { continue };
            match status {
                200 | 202 => {
                    self.ledger.accepted(&answer);
                    self.accepted.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
                429 | 503 => tokio::time::sleep(PAUSE).await,
                _ => bail!("the control plane answered {status}: {answer}"),
            }
        }
    }
}

/// Time between two requests of one client.
const PAUSE: Duration = Duration::from_millis(10);
