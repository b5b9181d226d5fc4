//! Spares the socket that receives for every flow the replies that a sweep hears elsewhere.
//!
//! A filter of identifiers costs the kernel a copy of each reply that it drops, one of types does not. So as long as nobody else waits for
//! a reply, the socket is handed none at all; with the first request of somebody else it is again.

use std::sync::atomic::Ordering;

use super::Shared;
use super::packet::Family;
use super::registry::{EchoNumber, FlowId};
use super::socket::{IcmpSocket, Wanted};
use super::tap::{self, Identifiers};

impl Shared {
    /// Gives a request of a flow a number, as the registry does, and sees to it that its reply is heard.
    pub(in crate::net) fn reserve(&self, id: FlowId, index: u32, wished: EchoNumber) -> Option<EchoNumber> {
        let mut registry = self.registry();
        self.hear_others();
        registry.reserve(id, index, wished)
    }

    /// Sees to it that the replies of IPv4 that are no tapped sweep's are heard; the caller holds the registry.
    pub(super) fn hear_others(&self) {
        if self.spared.swap(false, Ordering::Relaxed) {
            self.tell_receiver(|socket| socket.want(Wanted::RepliesToo));
        }
    }

    /// Spares the socket the replies to a sweep with these identifiers.
    pub(super) fn spare(&self, id: FlowId, identifiers: Identifiers) {
        self.tell_receiver(|socket| socket.filter(Some(&tap::all_but(identifiers))));
        let registry = self.registry();
        if registry.is_alone(id, Family::V4) && !self.spared.swap(true, Ordering::Relaxed) {
            self.tell_receiver(|socket| socket.want(Wanted::ErrorsOnly));
        }
    }

    /// Ends it.
    pub(super) fn spare_no_more(&self) {
        let _registry = self.registry();
        self.hear_others();
        self.tell_receiver(|socket| socket.filter(None));
    }

    fn tell_receiver(&self, tell: impl FnOnce(&IcmpSocket) -> std::io::Result<()>) {
        let receiver = self.channels.iter().find(|channel| channel.receives(Family::V4));
        if let Some(Err(error)) = receiver.map(|receiver| tell(receiver.socket())) {
            tracing::warn!(%error, "the raw socket hears other replies than it should");
        }
    }
}
