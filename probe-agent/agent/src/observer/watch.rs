//! One observation from its start to its findings.

use agent_probes::observe::message::Told;
use ebpf_package::Package;
use ebpf_probes::{Ask, Kernel, Look, ObserveError, Observing};
use shared_protocol::event::ObserveWindow;
use shared_protocol::report::{Masked, ObserveFindings, OverBudget};
use shared_protocol::spec::ObserveSpec;
use shared_protocol::time::MonotonicMicros;

use super::Observer;
use super::governor::Governed;
use crate::clock;

/// An observation under way.
pub(super) struct Watch {
    observing: Observing,
    began: MonotonicMicros,
    windows: u32,
    masked: Vec<Masked>,
    governed: Governed,
    over_budget: Option<OverBudget>,
}

/// Whether an observation can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Going {
    On,
    /// It costs more than the owner allows, and nothing is left to give up.
    TooDear,
}

impl Watch {
    /// Puts the programs into the kernel.
    pub(super) fn start(
        kernel: &Kernel,
        (spec, package): (&ObserveSpec, Option<&Package>),
        check_port: u16,
        observer: &Observer,
    ) -> Result<Self, ObserveError> {
        let masked = observer.settings.hidden(spec.observation);
        let ask = Ask {
            observation: spec.observation,
            top: usize::try_from(spec.top).unwrap_or(1),
            port: spec.port,
            address: spec.address,
            pid: spec.pid,
            libraries: &observer.settings.tls_libraries,
            masked: &masked,
            check_port,
        };
        Ok(Self {
            observing: match package {
                Some(package) => Observing::start_package(kernel, package, &ask)?,
                None => Observing::start(kernel, &ask)?,
            },
            began: clock::monotonic(),
            windows: 0,
            masked,
            governed: Governed::begin(&observer.governor),
            over_budget: None,
        })
    }

    pub(super) fn started(&self) -> Told {
        let attachment = self.observing.attachment();
        Told::Started {
            level: attachment.level(),
            missing: attachment.missing.clone(),
        }
    }

    /// Takes in what waits in rings.
    pub(super) fn gather(&mut self) -> Look {
        self.observing.gather()
    }

    /// Keeps within the owner's share of a CPU, as far as this host counts what programs cost: what costs too much gives up one hook after the
    /// other, and then everything.
    pub(super) fn govern(&mut self) -> Going {
        let Some((over, budget)) = self.governed.over(clock::monotonic(), || self.observing.cost()) else {
            return Going::On;
        };
        let mut given_up = self.over_budget.take().map_or_else(Vec::new, |before| before.given_up);
        let next = self.observing.give_up_one();
        given_up.extend(next.map(str::to_owned));
        tracing::warn!(share = %over.share, together = %over.together, %budget, gives_up = next, "an observation costs more than the owner allows");
        self.over_budget = Some(OverBudget {
            budget,
            share: over.share,
            together: over.together,
            given_up,
            ended: next.is_none(),
        });
        if next.is_some() { Going::On } else { Going::TooDear }
    }

    /// An interval is over.
    pub(super) fn window(&mut self) -> Result<ObserveWindow, ObserveError> {
        let window = ObserveWindow {
            seq: self.windows,
            at_us: self.observed_us(),
            seen: self.observing.seen()?,
            lost: self.observing.lost()?,
        };
        self.windows += 1;
        Ok(window)
    }

    /// Everything up to now.
    pub(super) fn end(&mut self) -> Result<Told, ObserveError> {
        let attachment = self.observing.attachment();
        let (level, missing) = (attachment.level(), attachment.missing.clone());
        let seen = self.observing.found()?;
        Ok(Told::Ended(Box::new(ObserveFindings {
            level,
            missing,
            self_check: self.observing.self_check()?,
            observed_us: self.observed_us(),
            windows: self.windows,
            lost: self.observing.lost()?,
            masked: self.masked.clone(),
            cost: self.observing.cost(),
            over_budget: self.over_budget.clone(),
            tried: None,
            seen,
        })))
    }

    fn observed_us(&self) -> u64 {
        u64::try_from(clock::monotonic().since(self.began).as_micros()).unwrap_or(u64::MAX)
    }
}
