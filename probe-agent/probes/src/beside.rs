//! What this host has to say beside a probe that speaks with a service: whether the agent had a processor meanwhile, and what the kernel saw of
//! its connections where an observer may look. It goes into the report as evidence, and where it names the cause, the report's verdict does.

use std::sync::Arc;

use shared_protocol::report::{Evidence, Report};
use shared_protocol::spec::ProbeSpec;

mod flows;
mod processor;
mod verdict;

pub use flows::Flows;
use processor::Processor;

use crate::observe::Observer;

/// What is noted beside one probe.
#[derive(Debug)]
pub(crate) struct Beside {
    /// At the beginning; `None` where nothing is noted.
    processor: Option<Processor>,
    flows: Flows,
}

impl Beside {
    /// Begins.
    pub(crate) async fn begin(spec: &ProbeSpec, observer: &Arc<Observer>) -> Self {
        if !is_noted(spec) {
            return Self {
                processor: None,
                flows: Flows::nobody(),
            };
        }
        let flows = Flows::begin(observer).await;
        Self {
            processor: Processor::read(),
            flows,
        }
    }

    /// The flows of the probe, for it to name.
    pub(crate) fn flows(&self) -> Flows {
        self.flows.clone()
    }

    /// Ends, and puts what was seen into the report.
    pub(crate) async fn end(self, mut report: Report) -> Report {
        let processor = self.processor.and_then(|before| Processor::read().map(|after| after.since(&before)));
        let kernel = self.flows.end().await;
        if processor.is_none() && kernel.is_none() {
            return report;
        }
        let mut evidence = Evidence {
            version: VERSION,
            causes: Vec::new(),
            processor,
            kernel,
        };
        verdict::judge(&mut report, &mut evidence);
        report.evidence = Some(Box::new(evidence));
        report
    }
}

/// Probes that speak with one service, and are timed by this program.
const fn is_noted(spec: &ProbeSpec) -> bool {
    match spec {
        ProbeSpec::Tcp(_) | ProbeSpec::Http(_) | ProbeSpec::Dns(_) => true,
        ProbeSpec::Ping(_)
        | ProbeSpec::Traceroute(_)
        | ProbeSpec::Mtr(_)
        | ProbeSpec::Pmtu(_)
        | ProbeSpec::Udp(_)
        | ProbeSpec::Observe(_)
        | ProbeSpec::Neighbor(_)
        | ProbeSpec::Port(_) => false,
    }
}

/// Of the shape of evidence.
const VERSION: u16 = 1;
