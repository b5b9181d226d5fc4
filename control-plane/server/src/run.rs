//! `control-plane run`: binds, starts, serves, and leaves in order.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use control_services::{Database, ServiceOptions, Services};
use shared_protocol::frame::Goaway;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::addresses::AddressFile;
use crate::config::Config;
use crate::{admin, agent_port, http, service_manager};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When a socket is taken or a part cannot start; the message names it.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let http_listener = bind(config.listen, "HTTP", "--listen").await?;
    let agent_listener = bind(config.agent_listen, "agents", "--agent-listen").await?;
    let http_address = http_listener.local_addr().context("read the HTTP address")?;
    let agent_address = agent_listener.local_addr().context("read the agent address")?;
    if !http_address.ip().is_loopback() {
        tracing::warn!(listen = %http_address, "API keys travel in plain text on this address; put a TLS proxy in front of it");
    }

    let options = service_options(&config, config.database()?, agent_address);
    let services = tokio::select! {
        started = start(options) => started?,
        never = http::waiting::serve(&http_listener) => match never {},
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let admin_socket = admin::Socket::bind(&config.data_dir)?;
    let stopping = CancellationToken::new();
    let leaving = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(http::serve(http_listener, services.clone(), stopping.clone()));
    tasks.spawn(admin_socket.serve(services.clone(), stopping.clone()));
    let agents = TaskTracker::new();
    agents.spawn(agent_port::serve(
        agent_listener,
        (services.fleet.clone(), services.packages.clone()),
        leaving.clone(),
    ));
    let address_file = AddressFile::write(&config.data_dir, http_address, agent_address).context("write addresses.json")?;
    tasks.spawn(service_manager::feed_watchdog(services.clone(), stopping.clone()));
    service_manager::ready();
    tracing::info!(http = %http_address, agents = %agent_address, version = env!("CARGO_PKG_VERSION"), "ready");

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    service_manager::stopping();
    tracing::info!("stopping");
    stopping.cancel();
    finish(&tasks, "HTTP").await;
    services.say_goodbye(GOAWAY).await;
    leaving.cancel();
    finish(&agents, "the agent port").await;
    services.stop().await;
    drop(address_file);
    tracing::info!("stopped");
    Ok(())
}

/// Starts the services; a database server that cannot be reached yet is waited for.
async fn start(options: ServiceOptions) -> anyhow::Result<Services> {
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build();
    loop {
        match Services::start(options.clone()).await {
            Ok(services) => return Ok(services),
            Err(error) if error.is_worth_waiting() => {
                tracing::warn!(%error, database = %options.database, "not ready: the database cannot be reached; trying again");
                tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
            }
            // Its text already names its causes.
            Err(error) => anyhow::bail!("start: {error}"),
        }
    }
}

async fn bind(address: SocketAddr, whom: &str, flag: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            anyhow::bail!("{address} ({whom}) is in use by another process; stop it or choose another address with {flag}")
        }
        Err(error) => Err(error).with_context(|| format!("listen on {address} ({whom}); choose another address with {flag}")),
    }
}

fn service_options(config: &Config, database: Database, agent_address: SocketAddr) -> ServiceOptions {
    let host = config.agent_names.first().map_or("localhost", String::as_str);
    let port = agent_address.port();
    let agent_address = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    ServiceOptions {
        database,
        agent_names: config.agent_names.clone(),
        agent_address,
        trust_domain: config.trust_domain.clone(),
        keepalive: Duration::from_millis(u64::from(config.keepalive_ms)),
        target_packets_per_second: config.target_packets_per_second,
        ..ServiceOptions::new(config.data_dir.clone())
    }
}

async fn finish(tasks: &TaskTracker, what: &str) {
    tasks.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!(what, "some connections did not finish in time and are cut");
    }
}

/// The first pause before a database server is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest such pause, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long open requests, and then open sessions, may take to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Agents leave at once and come back when a new process can be there; their own jitter spreads them.
const GOAWAY: Goaway = Goaway {
    within_ms: 5_000,
    retry_after_ms: 1_000,
};
