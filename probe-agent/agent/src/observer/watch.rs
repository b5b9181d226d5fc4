//! One observation from its start to its findings.

use agent_probes::observe::message::Told;
use ebpf_probes::{Ask, Kernel, ObserveError, Observing};
use shared_protocol::event::ObserveWindow;
use shared_protocol::report::{Masked, ObserveFindings};
use shared_protocol::spec::ObserveSpec;
use shared_protocol::time::MonotonicMicros;

use crate::clock;

/// An observation under way.
pub(super) struct Watch {
    observing: Observing,
    began: MonotonicMicros,
    windows: u32,
    masked: Vec<Masked>,
}

impl Watch {
    /// Puts the programs into the kernel.
    pub(super) fn start(kernel: &Kernel, spec: &ObserveSpec, check_port: u16, masked: &[Masked]) -> Result<Self, ObserveError> {
        let ask = Ask {
            observation: spec.observation,
            top: usize::try_from(spec.top).unwrap_or(1),
            port: spec.port,
            address: spec.address,
            masked,
            check_port,
        };
        Ok(Self {
            observing: Observing::start(kernel, &ask)?,
            began: clock::monotonic(),
            windows: 0,
            masked: masked.to_vec(),
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
    pub(super) fn gather(&mut self) {
        self.observing.gather();
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
        let seen = self.observing.seen()?;
        Ok(Told::Ended(Box::new(ObserveFindings {
            level,
            missing,
            self_check: self.observing.self_check()?,
            observed_us: self.observed_us(),
            windows: self.windows,
            lost: self.observing.lost()?,
            masked: self.masked.clone(),
            cost: self.observing.cost(),
            seen,
        })))
    }

    fn observed_us(&self) -> u64 {
        u64::try_from(clock::monotonic().since(self.began).as_micros()).unwrap_or(u64::MAX)
    }
}
