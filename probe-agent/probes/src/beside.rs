//! What this host has to say beside a probe that speaks with a service: whether the agent had a processor meanwhile. It goes into the report
//! as evidence, and where it names the cause, the report's verdict does.

use shared_protocol::report::{Evidence, Report};
use shared_protocol::spec::ProbeSpec;

mod processor;
mod verdict;

use processor::Processor;

/// What is noted beside one probe.
#[derive(Debug)]
pub(crate) struct Beside {
    /// At the beginning; `None` where nothing is noted.
    processor: Option<Processor>,
    is_noted: bool,
}

impl Beside {
    /// Begins.
    pub(crate) fn begin(spec: &ProbeSpec) -> Self {
        let is_noted = is_noted(spec);
        Self {
            processor: is_noted.then(Processor::read).flatten(),
            is_noted,
        }
    }

    /// Ends, and puts what was seen into the report.
    pub(crate) fn end(self, mut report: Report) -> Report {
        let processor = self.processor.and_then(|before| Processor::read().map(|after| after.since(&before)));
        if !self.is_noted || processor.is_none() {
            return report;
        }
        let mut evidence = Evidence {
            version: VERSION,
            causes: Vec::new(),
            processor,
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
        | ProbeSpec::Port(_) => false,
    }
}

/// Of the shape of evidence.
const VERSION: u16 = 1;
