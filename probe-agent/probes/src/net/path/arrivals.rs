//! Everything that comes back for a flow, in one place, whichever socket it came by.

use std::net::IpAddr;

use tokio::sync::mpsc;

use super::PathArrival;
use super::holding::Answers;

/// What comes back for a flow.
#[derive(Debug)]
pub(crate) struct PathArrivals {
    target: IpAddr,
    arrivals: mpsc::Receiver<PathArrival>,
    /// Datagrams from the target come by the socket that holds the port.
    answers: Option<Answers>,
}

impl PathArrivals {
    pub(super) const fn new(target: IpAddr, arrivals: mpsc::Receiver<PathArrival>, answers: Option<Answers>) -> Self {
        Self { target, arrivals, answers }
    }

    /// Waits for the next; `None` once the flow has ended. Nothing is lost when the wait is given up.
    pub(crate) async fn recv(&mut self) -> Option<PathArrival> {
        let Some(answers) = &self.answers else {
            return self.arrivals.recv().await;
        };
        tokio::select! {
            biased;
            arrival = self.arrivals.recv() => arrival,
            Ok(arrival) = answers.next(self.target) => Some(arrival),
        }
    }

    /// What is there already.
    pub(crate) fn try_recv(&mut self) -> Option<PathArrival> {
        if let Ok(arrival) = self.arrivals.try_recv() {
            return Some(arrival);
        }
        self.answers.as_ref()?.take(self.target).ok().flatten()
    }
}
