//! What the service manager is told (`sd_notify(3)`): ready, alive, stopping. Without one every call does nothing.

use std::time::Duration;

use control_services::Services;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Requests are served from now on.
pub(crate) fn ready() {
    tell(&NotifyState::Ready);
}

/// The control plane leaves.
pub(crate) fn stopping() {
    tell(&NotifyState::Stopping);
}

/// Feeds the watchdog for as long as the dispatcher answers: where it hangs, nobody's work moves, and the service manager starts everything anew.
pub(crate) async fn feed_watchdog(services: Services, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let between = limit / 3;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = one_round(&services, between) => {}
        }
    }
}

async fn one_round(services: &Services, between: Duration) {
    match tokio::time::timeout(between, services.dispatcher_answers()).await {
        Ok(true) => tell(&NotifyState::Watchdog),
        Ok(false) => tracing::error!("the dispatcher has ended"),
        Err(_) => tracing::error!(waited_ms = between.as_millis(), "the dispatcher does not answer"),
    }
    tokio::time::sleep(between).await;
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
