//! One conversation: what the agent asks, and what it is told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use agent_probes::observe::message::{self, ASK_BYTES, Ask, Inbox, Told};
use ebpf_probes::{Kernel, Look, ObserveError};
use shared_protocol::fault::ErrorCode;
use shared_protocol::spec::{ObserveSpec, ProbeSpec};
use tokio::net::UnixStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::governor::SLICE;
use super::tried::try_out;
use super::watch::{Going, Watch};
use super::{Observer, facts, own, trust};

/// Holds it to its end.
pub(super) async fn hold(mut stream: UnixStream, observer: Arc<Observer>, stop: CancellationToken) {
    let mut inbox = Inbox::new(ASK_BYTES);
    let asked = tokio::time::timeout(ASK_TIME, inbox.receive(&mut stream)).await;
    let held = match asked {
        Ok(Ok(Ask::Capabilities)) => {
            let told = Told::Capabilities {
                observations: observer.capabilities.clone(),
            };
            tell(&mut stream, &told).await
        }
        Ok(Ok(Ask::Observe {
            spec: ProbeSpec::Observe(spec),
            check_port,
            package,
        })) => observe(&mut stream, &mut inbox, &observer, (&spec, check_port, package), &stop).await,
        Ok(Ok(Ask::Facts { namespace })) => facts::hold(&mut stream, &mut inbox, &observer, namespace, &stop).await,
        Ok(Ok(Ask::Observe { .. } | Ask::Stop | Ask::Watch { .. } | Ask::Tell { .. })) => {
            refuse(&mut stream, ErrorCode::Internal, "this is not an observation").await
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = held {
        tracing::debug!(%error, "a conversation ended early");
    }
}

async fn observe(
    stream: &mut UnixStream,
    inbox: &mut Inbox,
    observer: &Observer,
    (spec, check_port, package): (&ObserveSpec, u16, Option<String>),
    stop: &CancellationToken,
) -> io::Result<()> {
    if let Err(refused) = observer.settings.check(spec) {
        return refuse(stream, ErrorCode::PolicyDenied, &refused.message).await;
    }
    let package = match trust::package(&observer.settings, spec, package.as_deref()) {
        Ok(package) => package,
        Err((code, message)) => return refuse(stream, code, &message).await,
    };
    let Ok(_place) = observer.room.try_acquire() else {
        return refuse(stream, ErrorCode::Resource, "as many observations run on this host as may at the same time").await;
    };
    if let (true, Some(package)) = (spec.try_out, &package) {
        let told = match try_out(observer, package) {
            Ok(findings) => Told::Ended(Box::new(findings)),
            Err(error) => return refuse(stream, code_of(&error), &format!("{error} ({})", error.remedy())).await,
        };
        return tell(stream, &told).await;
    }
    // Read each time: kept, it would be most of what this process needs.
    let started = Kernel::read(observer.settings.btf.as_deref()).and_then(|kernel| Watch::start(&kernel, (spec, package.as_ref()), check_port, observer));
    let mut watch = match started {
        Ok(watch) => watch,
        Err(error) => {
            return refuse(stream, code_of(&error), &format!("{error} ({})", error.remedy())).await;
        }
    };
    tell(stream, &watch.started()).await?;
    own::be_seen(spec.observation, check_port).await;
    let told = drive(stream, inbox, &mut watch, spec, stop).await?;
    tell(stream, &told).await
}

/// Whose fault it is.
fn code_of(error: &ObserveError) -> ErrorCode {
    if error.is_refused_package() {
        ErrorCode::PackageRefused
    } else {
        ErrorCode::PermissionMissing
    }
}

/// Looks, tells, and comes to an end when the time is over or somebody says so.
async fn drive(stream: &mut UnixStream, inbox: &mut Inbox, watch: &mut Watch, spec: &ObserveSpec, stop: &CancellationToken) -> io::Result<Told> {
    let look = tokio::time::sleep(Duration::ZERO);
    let mut windows = tokio::time::interval_at(from_here(spec.interval()), spec.interval());
    windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = tokio::time::sleep(spec.duration());
    tokio::pin!(end, look);
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            () = stop.cancelled() => break,
            asked = inbox.receive(stream) => match asked {
                Ok(Ask::Stop) => break,
                Ok(Ask::Capabilities | Ask::Observe { .. } | Ask::Facts { .. } | Ask::Watch { .. } | Ask::Tell { .. }) => {
                    return Ok(Told::Refused {
                        code: ErrorCode::Internal,
                        message: "one conversation is about one observation".to_owned(),
                    });
                }
                // The agent is gone, and with it whoever wanted to know.
                Err(error) => return Err(error),
            },
            _ = windows.tick() => match watch.window() {
                Ok(window) => tell(stream, &Told::Window(window)).await?,
                Err(error) => return Ok(broken(&error)),
            },
            () = &mut look => {
                let next = match watch.gather() {
                    Look::Soon => LOOK,
                    Look::Later => SLICE,
                };
                if watch.govern() == Going::TooDear {
                    break;
                }
                look.as_mut().reset(from_here(next));
            }
        }
    }
    Ok(watch.end().unwrap_or_else(|error| broken(&error)))
}

#[expect(clippy::disallowed_methods, reason = "an interval of the runtime begins at an instant of the runtime")]
fn from_here(interval: Duration) -> Instant {
    Instant::now() + interval
}

fn broken(error: &ObserveError) -> Told {
    Told::Refused {
        code: ErrorCode::Internal,
        message: error.to_string(),
    }
}

pub(super) async fn refuse(stream: &mut UnixStream, code: ErrorCode, message: &str) -> io::Result<()> {
    let told = Told::Refused {
        code,
        message: message.to_owned(),
    };
    tell(stream, &told).await
}

/// An agent that does not listen must not keep programs in the kernel.
pub(super) async fn tell(stream: &mut UnixStream, told: &Told) -> io::Result<()> {
    tokio::time::timeout(TELL_TIME, message::send(stream, told))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Time between two looks at the rings of an observation; where there is none, all that is looked at is what its programs cost.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How long whoever connects may take to say what it wants.
const ASK_TIME: Duration = Duration::from_secs(5);
/// How long it may take to listen.
const TELL_TIME: Duration = Duration::from_secs(5);
