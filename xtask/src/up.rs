//! `cargo xtask up`: the whole product on this machine, from nothing to a first measurement, and a second time from what the first left behind.

mod agent;
mod child;
mod data;
mod house;
mod http;
mod operator;
mod outcome;
mod ping;
mod port;
mod privilege;
mod signal;
mod voice;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::cli::{self, UpArgs};
use crate::tool::{self, Install};
use crate::workspace;
use data::DataDir;
use house::House;
use outcome::Outcome;
pub(crate) use outcome::missing_figures;
use signal::Signals;
use voice::{Audience, Voice};

/// Builds, starts, enrols, measures; then stays until Ctrl-C, or stops at once with `--once`.
pub(crate) fn run(root: &Path, arguments: &UpArgs) -> Result<ExitCode> {
    let audience = if arguments.json { Audience::Program } else { Audience::Person };
    let mut voice = Voice::new(audience);
    let data = DataDir::open(&arguments.data_dir)?;
    data.refuse_if_running()?;
    announce(root, arguments, &data, &voice);
    voice.step("check", |voice| check(root, arguments, voice))?;
    voice.step("build", |_| build(root, cli::install(arguments.no_install)))?;

    // From here on Ctrl-C is an event to wait for, so that nothing is left behind.
    let signals = Signals::block()?;
    let mut house = House::new(root, &data, &signals);
    let measured = bring_up(&mut house, arguments, &mut voice);
    let outcome = match measured {
        Ok(outcome) => outcome,
        Err(error) => {
            house.stop(&voice);
            return if signals.interrupted() { Ok(ExitCode::from(INTERRUPTED)) } else { Err(error) };
        }
    };
    let stayed = if arguments.once { Ok(()) } else { stay(&mut house, &outcome, &voice) };
    voice.step("stop", |voice| {
        house.stop(voice);
        Ok(())
    })?;
    stayed?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&outcome.document(voice.steps()))?);
    }
    Ok(ExitCode::SUCCESS)
}

fn bring_up(house: &mut House<'_>, arguments: &UpArgs, voice: &mut Voice) -> Result<Outcome> {
    voice.step("control plane", |_| house.start_server(arguments))?;
    voice.step("tenant and key", |voice| house.tenant_and_key(voice))?;
    voice.step("observer", |voice| house.start_observer(voice))?;
    voice.step("agent", |voice| house.start_agent(voice))?;
    let agent = voice.step("online", |_| house.wait_for_agent())?;
    voice.step("first ping", |voice| ping::run(house, &agent, voice))
}

/// Says what will happen before any of it does.
fn announce(root: &Path, arguments: &UpArgs, data: &DataDir, voice: &Voice) {
    let first = !workspace::built_binary(root, "control-plane").exists();
    voice.say("cargo xtask up");
    match (cli::install(arguments.no_install), first) {
        (Install::Allowed, true) => voice.say("  installs   nothing on this system; cargo downloads the crates of Cargo.lock into its own cache"),
        (Install::Allowed, false) => voice.say("  installs   nothing; cargo downloads crates only if Cargo.lock changed"),
        (Install::Refused, _) => voice.say("  installs   nothing, and cargo may not download (--no-install)"),
    }
    voice.say(if first {
        "  builds     for the first time: about ten minutes on two cores"
    } else {
        "  builds     what has changed"
    });
    voice.say(&format!("  keeps      its state in {}", data.path().display()));
}

fn check(root: &Path, arguments: &UpArgs, voice: &mut Voice) -> Result<()> {
    tool::require_c()?;
    port::refuse_if_busy(arguments.listen, "--listen")?;
    port::refuse_if_busy(arguments.agent_listen, "--agent-listen")?;
    if let Some(degraded) = privilege::degraded(&workspace::built_binary(root, "probe-agent"))? {
        voice.say(&format!("  degraded: {}", degraded.sentence()));
        voice.set_degraded(degraded);
    }
    Ok(())
}

fn build(root: &Path, install: Install) -> Result<()> {
    tool::build_programs(root, install)
}

fn stay(house: &mut House<'_>, outcome: &Outcome, voice: &Voice) -> Result<()> {
    voice.say("");
    voice.say(&format!("ProbeOps is up: {}  (reference: {}/docs)", outcome.url(), outcome.url()));
    voice.say(&format!("  measure    {}", house.probectl_line(&outcome.agent_name())));
    voice.say(&format!("  API key    in {} (readable by you only)", house.data().key_file().display()));
    voice.say(&format!("  logs       {}", house.data().logs().display()));
    voice.say("Ctrl-C stops everything.");
    house.wait_until_interrupted()
}

/// Finds a program that was just built.
fn program(root: &Path, name: &str) -> Result<std::path::PathBuf> {
    let path = workspace::built_binary(root, name);
    if !path.is_file() {
        bail!("{} is not there although the build succeeded", path.display());
    }
    path.canonicalize().with_context(|| format!("finding {}", path.display()))
}

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
