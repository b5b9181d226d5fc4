//! The machines against small internets that are described in files: no socket, no clock. What each file expects is a part of the report.

#[cfg(test)]
mod run;
#[cfg(test)]
mod wire;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;
    use shared_protocol::report::WireRecord;
    use shared_protocol::spec::ProbeSpec;

    use test_internet::Run;

    use crate::run::{run, spec_of};

    /// Every file with its text.
    fn scenarios() -> Vec<(String, String)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test-internet/scenarios");
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let read = |file: PathBuf| (file.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(file).unwrap());
        files.into_iter().map(read).collect()
    }

    /// Runs every run of every file, and says which of them found something else than expected.
    #[test]
    fn job_20_job_21_every_scenario_comes_out_as_its_file_expects() {
        let mut failures = Vec::new();
        let mut runs = 0;
        for (name, text) in scenarios() {
            for (number, of) in Run::all(&text).unwrap().into_iter().enumerate() {
                let (report, took) = run(&text, &spec_of(&of));
                runs += 1;
                let found = serde_json::to_value(&report).unwrap();
                let mut absent = of.missing(&found);
                if of.within_ms.is_some_and(|most| u128::from(most) < took.as_millis()) {
                    absent.push(format!("took {took:?}"));
                }
                if !absent.is_empty() {
                    failures.push(format!("{name}, run {number}: {}\n{}", absent.join("; "), shown(&found)));
                }
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
        assert!(runs >= 25, "{runs} runs");
    }

    /// What was kept of each run gives its report again.
    #[test]
    fn every_scenario_can_be_derived_again_from_what_its_report_keeps() {
        let mut derived = 0;
        for (name, text) in scenarios() {
            for of in Run::all(&text).unwrap() {
                let spec = spec_of(&of);
                let (report, _) = run(&text, &spec);
                if report.raw.as_ref().unwrap().cut {
                    continue;
                }
                let travelled = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
                let again = agent_paths::explain::derive(&spec, &travelled).unwrap();
                assert!(again.is_same(&travelled), "{name}: {}", shown(&serde_json::to_value(&again.findings).unwrap()));
                assert!(again.grounds.len() > 1, "{name}");
                derived += 1;
            }
        }
        assert!(derived >= 20, "{derived}");
    }

    /// Packets that are on their way at the same time, and those sent beyond the target, as the log has them.
    #[test]
    fn no_more_packets_are_on_their_way_than_may_be_and_few_go_beyond_the_target() {
        let (_, text) = scenarios().into_iter().find(|(name, _)| name == "long").unwrap();
        for (inflight, queries) in [(1, 1), (4, 3), (32, 3), (64, 10)] {
            let spec = format!(r#"{{"probe":"traceroute","target":"198.51.100.7","inflight":{inflight},"queries":{queries},"max_ttl":64,"raw":true}}"#);
            let (report, _) = run(&text, &ProbeSpec::parse(&spec).unwrap());
            let (mut waited_for, mut beyond) = (0, 0);
            for record in &report.raw.as_ref().unwrap().records {
                match record {
                    WireRecord::Sent(sent) => {
                        waited_for += 1;
                        beyond += u32::from(sent.ttl > 30);
                    }
                    WireRecord::Came(_) => waited_for -= 1,
                    WireRecord::Unsent(_) => panic!("{record:?}"),
                }
                assert!(waited_for <= inflight, "{inflight}: {record:?}");
            }
            assert!(beyond <= u32::try_from(inflight).unwrap() && beyond <= 10 * queries, "{inflight}: {beyond}");
        }
    }

    fn shown(report: &Value) -> String {
        let mut report = report.clone();
        report["raw"] = Value::Null;
        serde_json::to_string_pretty(&report).unwrap()
    }
}
