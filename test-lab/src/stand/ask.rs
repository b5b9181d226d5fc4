//! What is asked of a stand's control plane from outside: its API with the tenant's key, its counters, and waiting for either to say something.

use anyhow::{Context, Result, ensure};

use super::{POLL, STARTS_WITHIN, Stand, items_of, text};

impl Stand {
    /// Waits until the control plane sees an agent online.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub async fn until_online(&self, name: &str) -> Result<()> {
        self.until_presence(name, "online").await
    }

    /// Waits until the control plane sees an agent as `online`, `late` or `offline`.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub async fn until_presence(&self, name: &str, presence: &str) -> Result<()> {
        let began = crate::clock::start();
        loop {
            if let Ok(agents) = self.get("/api/v1/agents?limit=200").await
                && items_of(&agents).any(|agent| text(agent, "name") == name && text(agent, "presence") == presence)
            {
                return Ok(());
            }
            ensure!(
                began.elapsed() < STARTS_WITHIN,
                "{name} does not become {presence}; {}; {}",
                self.last_words(&format!("{name}.log")),
                self.last_words("server.log")
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until a counter of the control plane has reached a number.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub async fn until_counted(&self, counter: &str, count: u64) -> Result<()> {
        let began = crate::clock::start();
        while self.counter(counter).await.unwrap_or(0) < count {
            ensure!(
                began.elapsed() < STARTS_WITHIN,
                "{counter} does not reach {count}; {}",
                self.last_words("server.log")
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Reads a resource with the tenant's key.
    ///
    /// # Errors
    /// When the control plane cannot be reached or answers with a problem.
    pub async fn get(&self, path: &str) -> Result<serde_json::Value> {
        let answer = self.client.get(self.url(path)).bearer_auth(&self.key).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Sends a body with the tenant's key.
    ///
    /// # Errors
    /// When the control plane cannot be reached or answers with a problem.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let answer = self.client.post(self.url(path)).bearer_auth(&self.key).json(body).send().await?;
        let status = answer.status();
        let answer: serde_json::Value = answer.json().await?;
        ensure!(status.is_success(), "{path} answered {status}: {answer}");
        Ok(answer)
    }

    /// A counter of the control plane, by its name and labels as the scrape shows them; 0 where it does not stand there yet.
    ///
    /// # Errors
    /// When the control plane cannot be reached.
    pub async fn counter(&self, name: &str) -> Result<u64> {
        let text = self.client.get(self.url("/metrics")).send().await?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(Ok(0), |value| value.trim().parse().context("read a counter"))
    }
}
