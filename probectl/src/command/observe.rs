//! `probectl observe`.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use control_api::job::Job;
use control_api::measurement::JobReport;
use serde_json::{Value, json};
use shared_protocol::package::{PackageDigest, PackageName};
use shared_protocol::report::{Findings, Seen};
use shared_protocol::spec::{Observation, ProbeKind};

use super::measure::{self, MeasureArgs};
use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Screen;
use crate::output::flame::Flame;

/// What to observe, where and how long.
#[derive(Debug, Args)]
pub struct ObserveArgs {
    /// What is observed.
    #[arg(value_parser = observation_parser())]
    pub observation: Observation,
    /// How long, as 30s or 5m [default: 10s].
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub duration_s: Option<u32>,
    /// Milliseconds between two looks [default: 1000].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(200..=60_000))]
    pub interval_ms: Option<u32>,
    /// Most entries shown, those with most to tell [default: 20].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub top: Option<u32>,
    /// The package to run, with `custom`: its name.
    #[arg(long, value_name = "PACKAGE")]
    pub name: Option<PackageName>,
    /// Exactly which package of that name: its hash [default: whichever the agent is to have].
    #[arg(long, value_name = "HASH", requires = "name")]
    pub sha256: Option<PackageDigest>,
    /// Only what has this port at one of its ends.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Only what has this address at one of its ends.
    #[arg(long)]
    pub address: Option<IpAddr>,
    /// Only what this process does; of `exec` also the programs that it starts.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub pid: Option<u32>,
    /// Write the stacks of profile or offcpu to this file, folded, one a line.
    #[arg(long, value_name = "FILE")]
    pub folded: Option<PathBuf>,
    /// Draw the stacks of profile or offcpu into this file as a flame graph (SVG).
    #[arg(long, value_name = "FILE")]
    pub flame_graph: Option<PathBuf>,
    /// Where it runs.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

pub(super) async fn run(
    arguments: &ObserveArgs,
    format: Format,
    client: &Client,
    screen: &mut Screen<'_>,
    interrupt: impl Future<Output = ()>,
) -> Result<Exit, Error> {
    if arguments.name.is_some() != (arguments.observation == Observation::Custom) {
        return Err(Error::Usage("`custom` goes with --name, the name of a package, and nothing else does"));
    }
    let has_stacks = matches!(arguments.observation, Observation::Profile | Observation::Offcpu);
    if !has_stacks && (arguments.folded.is_some() || arguments.flame_graph.is_some()) {
        return Err(Error::Usage("--folded and --flame-graph go with profile and offcpu only"));
    }
    let keep = |jobs: &[Job], reports: &[JobReport]| keep_stacks(arguments, jobs, reports);
    let asked = (ProbeKind::Observe, spec(arguments));
    measure::run_and_keep(asked, &keep, &arguments.measure, format, client, screen, interrupt).await
}

/// Writes the files that were asked for; without a report that has stacks there is nothing to write, and a file of before stays.
fn keep_stacks(arguments: &ObserveArgs, jobs: &[Job], reports: &[JobReport]) -> Result<(), Error> {
    let mut flame = Flame::default();
    let mut told = false;
    for report in reports {
        let Some(Findings::Observe(found)) = report.findings() else { continue };
        if let Seen::Profile(seen) | Seen::Offcpu(seen) = &found.seen {
            let agent = jobs.iter().find(|job| job.id == report.job).map(|job| job.agent_name.as_str());
            flame.add(agent.filter(|_| jobs.len() > 1), seen);
            told = true;
        }
    }
    if !told {
        return Ok(());
    }
    let folded = arguments.folded.as_ref().map(|path| (path, flame.folded()));
    let drawn = arguments.flame_graph.as_ref().map(|path| (path, flame.svg()));
    for (path, text) in folded.into_iter().chain(drawn) {
        std::fs::write(path, text).map_err(|cause| Error::File { path: path.clone(), cause })?;
    }
    Ok(())
}

fn spec(arguments: &ObserveArgs) -> Value {
    measure::spec(
        ProbeKind::Observe,
        [
            ("observation", Some(json!(arguments.observation))),
            ("duration_s", arguments.duration_s.map(Value::from)),
            ("interval_ms", arguments.interval_ms.map(Value::from)),
            ("top", arguments.top.map(Value::from)),
            ("port", arguments.port.map(Value::from)),
            ("address", arguments.address.map(|address| json!(address))),
            ("pid", arguments.pid.map(Value::from)),
            ("package", arguments.name.as_ref().map(|name| json!(name))),
            ("sha256", arguments.sha256.map(|digest| json!(digest))),
        ],
    )
}

/// The names that there are, for help and completion.
pub(super) fn observation_parser() -> impl TypedValueParser<Value = Observation> {
    let names = Observation::ALL.into_iter().chain([Observation::Custom]).map(Observation::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Observation>())
}

/// A time as people write it, in seconds.
pub(super) fn seconds(text: &str) -> Result<u32, String> {
    let (digits, unit) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 60),
        (None, None) => (text, 1),
    };
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u32>().ok()).flatten();
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|seconds| (1..=3_600).contains(seconds))
        .ok_or_else(|| "must be from 1s to 60m".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shared_protocol::spec::ProbeSpec;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_options_given_make_a_spec_and_no_others() {
        let cli = Cli::try_parse_from(["probectl", "observe", "tcp_flows", "--for", "2m", "--port", "443", "--address", "::1"]).unwrap();
        let Command::Observe(arguments) = cli.command else {
            panic!("another command")
        };
        let spec = spec(&arguments);
        insta::assert_snapshot!(spec, @r#"{"probe":"observe","observation":"tcp_flows","duration_s":120,"port":443,"address":"::1"}"#);
        ProbeSpec::from_value(spec).unwrap();
        for bad in [
            &["observe"][..],
            &["observe", "everything"],
            &["observe", "tcp_flows", "--for", "0s"],
            &["observe", "tcp_flows", "--for", "61m"],
            &["observe", "tcp_flows", "--for", "+5"],
            &["observe", "tcp_flows", "--for", "1h"],
            &["observe", "custom", "--name", "../x"],
            &["observe", "custom", "--name", "x", "--sha256", "0"],
            &["observe", "tcp_flows", "--port", "0"],
            &["observe", "tcp_flows", "--address", "a.test"],
        ] {
            assert_eq!(Cli::try_parse_from([&["probectl"], bad].concat()).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn without_a_report_no_file_is_written_and_one_of_before_stays() {
        let place = tempfile::tempdir().unwrap();
        let (folded, drawn) = (place.path().join("folded.txt"), place.path().join("drawn.svg"));
        std::fs::write(&drawn, "of before").unwrap();
        let arguments = [
            "probectl",
            "observe",
            "profile",
            "--folded",
            folded.to_str().unwrap(),
            "--flame-graph",
            drawn.to_str().unwrap(),
        ];
        let Command::Observe(arguments) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("another command")
        };
        keep_stacks(&arguments, &[], &[]).unwrap();
        assert!(!folded.exists());
        assert_eq!(std::fs::read_to_string(drawn).unwrap(), "of before");
    }
}
