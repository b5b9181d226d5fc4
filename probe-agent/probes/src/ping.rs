//! ping stub
use shared_protocol::event::ProbeEvent;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{PolicyVerdict, Report, ReportError, Verdict};
use shared_protocol::spec::PingSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::table::ProbeContext;

pub(crate) async fn run(spec: &PingSpec, context: &ProbeContext, _events: &mpsc::Sender<ProbeEvent>, _cancel: &CancellationToken) -> Report {
    let _ = context.resolver.resolve(&spec.target, spec.af).await;
    let _ = (clock::moment(), clock::monotonic());
    Report {
        schema_version: 1,
        status: Status::Failed,
        fault: Fault::Agent,
        error: Some(ReportError {
            code: ErrorCode::Internal,
            message: "not there yet".to_owned(),
            errno: None,
        }),
        started_at_us: clock::wall(),
        duration_us: 0,
        clock: context.clock,
        resolved: Vec::new(),
        policy: PolicyVerdict {
            verdict: Verdict::Allowed,
            rule: String::new(),
        },
        findings: None,
        truncated: false,
    }
}
