//! What the service manager is told (`sd_notify(3)`): ready, alive, stopping. Without one every call does nothing.

use std::convert::Infallible;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Does the agent's work and tells the service manager how it goes. The watchdog is fed by the one thread that also drives the session and the jobs:
/// where that thread hangs, the service manager starts the agent anew.
pub async fn accompany<T>(stop: CancellationToken, work: impl Future<Output = T>) -> T {
    tell(&NotifyState::Ready);
    tokio::select! {
        done = work => done,
        never = feed_watchdog() => match never {},
        never = say_stopping(stop) => match never {},
    }
}

async fn feed_watchdog() -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tell(&NotifyState::Watchdog);
        tokio::time::sleep(limit / 3).await;
    }
}

async fn say_stopping(stop: CancellationToken) -> Infallible {
    stop.cancelled().await;
    tell(&NotifyState::Stopping);
    std::future::pending().await
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
