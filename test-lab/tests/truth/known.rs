//! What files of the agent's owner say about addresses, through the real programs.

use std::path::Path;

use probectl::exit::Exit;
use serde_json::Value;
use shared_protocol::report::{Findings, NeighborState};
use tempfile::TempDir;
use test_lab::database::Kind;
use test_lab::network::{Ethernet, Internet};
use test_lab::peer::Agent;
use test_lab::stand::{Stand, items_of, text};

use crate::setting::may_make_networks;
use crate::told::ask;

/// A way out of a private network, through one system that has two of the hops, into another whose target two systems announce.
const WORLD: &str = r#"
[observer]
addresses = ["10.0.0.1", "2001:db8::1"]
[[node]]
name = "gate"
addresses = ["10.1.0.1"]
link = { delay_us = 500 }
[[node]]
name = "edge"
addresses = ["8.1.0.1"]
[[node]]
name = "core"
addresses = ["8.1.0.2"]
[[node]]
name = "unknown"
addresses = ["9.1.0.1"]
[[node]]
name = "transit"
addresses = ["8.8.0.1"]
[[node]]
name = "target"
addresses = ["203.0.113.7"]
[[path]]
hops = ["gate", "edge", "core", "unknown", "transit", "target"]
"#;
const TARGET: &str = "203.0.113.7";
/// That of the private network is nobody's word about the Internet.
const PREFIXES: &str = "10.0.0.0\t8\t64499\n8.0.0.0\t8\t64500\n8.8.0.0\t16\t64501\n8.8.0.128\t25\t64502\n203.0.113.0\t24\t64504_64503\n";
const BLOCKS: &str = "00-00-5E   (hex)\t\tICANN, IANA Department\n00005E     (base 16)\t\tICANN, IANA Department\n";

/// A folder with files, and the table that names some of them.
fn files(table: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("prefixes", PREFIXES.as_bytes());
    put("broken", format!("{PREFIXES}8.0.0.0\t33\t64500\n").as_bytes());
    put("names.mmdb", &database());
    put("oui.txt", BLOCKS.as_bytes());
    let table = table.replace('/', &format!("{}/", folder.path().display()));
    (folder, format!("[known]\n{table}"))
}

/// The first database of the corpus by which its reader is attacked: it names 64500.
fn database() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../probe-agent/probes/corpus/origin_database.txt");
    let saved = std::fs::read_to_string(path).unwrap();
    let digits = saved.lines().find_map(|line| line.strip_prefix("hex ")).unwrap().to_owned();
    let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
    bytes.collect()
}

/// Of each hop the numbers, the name and the prefix of the address that answered.
fn origins(report: &Value) -> Vec<(Vec<u64>, Option<&str>, Option<&str>)> {
    let hops = report["findings"]["hops"].as_array().unwrap_or_else(|| panic!("no hops: {report}"));
    let origin = |hop| {
        let address: &Value = &Value::get(hop, "addresses").unwrap()[0];
        let numbers = address["asn"].as_array().map_or(&[][..], Vec::as_slice);
        let numbers = numbers.iter().map(|number| number.as_u64().unwrap()).collect();
        (numbers, address["as_name"].as_str(), address["prefix"].as_str())
    };
    hops.iter().map(origin).collect()
}

#[test]
fn hops_are_in_the_systems_of_the_longest_prefixes_that_the_owners_files_have() {
    if !may_make_networks("known-hops") {
        return;
    }
    let (_folder, table) = files(r#"as_numbers = ["/prefixes", "/names.mmdb"]"#);
    let agent = Agent::with_tables(&table).unwrap();
    for options in ["\"probe\":\"traceroute\",\"queries\":1", "\"probe\":\"mtr\",\"rounds\":2,\"interval_ms\":100"] {
        let internet = Internet::open(WORLD).unwrap();
        let documents = agent.documents(&internet.observer, &format!(r#"{{{options},"target":"{TARGET}"}}"#)).unwrap();
        let report = &documents.last().unwrap().1["report"];
        assert_eq!(
            origins(report),
            [
                (vec![], None, None),
                // The database has narrower prefixes, and its names.
                (vec![64_501], Some("Example[31m Access"), Some("8.0.0.0/9")),
                (vec![64_501], Some("Example[31m Access"), Some("8.0.0.0/9")),
                (vec![], None, None),
                (vec![64_501], Some("Example[31m Access"), Some("8.8.0.0/16")),
                (vec![64_503, 64_504], None, Some("203.0.113.0/24")),
            ],
            "{options}"
        );
        assert_eq!(report["findings"]["as_path"].to_string(), "[[64501],[64503,64504]]");
        let live: Vec<&Value> = documents
            .iter()
            .map(|(_, document)| &document["event"])
            .filter(|event| event.is_object())
            .collect();
        assert!(
            live.iter().any(|event| event.to_string().contains("\"asn\":[64503,64504]")),
            "while it runs too: {live:?}"
        );
    }
}

#[test]
fn kno_09_without_a_file_that_can_be_used_or_unasked_nothing_is_said_of_systems() {
    if !may_make_networks("known-nothing") {
        return;
    }
    let spec = |more: &str| format!(r#"{{"probe":"traceroute","queries":1,"target":"{TARGET}"{more}}}"#);
    for (table, more) in [
        ("", ""),
        (r#"as_numbers = ["/missing"]"#, ""),
        (r#"as_numbers = ["/broken"]"#, ""),
        (r#"as_numbers = ["/prefixes"]"#, r#","asn":false"#),
    ] {
        let (folder, table) = files(table);
        let agent = Agent::with_tables(&table).unwrap();
        let internet = Internet::open(WORLD).unwrap();
        let (report, ran) = agent.document(&internet.observer, &spec(more)).unwrap();
        assert_eq!(report["status"], "ok", "{table}: {report}");
        for word in ["\"asn\"", "\"as_name\"", "\"prefix\"", "\"as_path\""] {
            assert!(!report.to_string().contains(word), "{table} {word}: {report}");
        }
        let said = |text: &str| text.contains("file_bad_line") || text.contains("file_unreadable");
        let is_bad = table.contains("missing") || table.contains("broken");
        assert_eq!(said(&ran.err), is_bad, "{table}: {}", ran.err);
        let checked = agent.check(&internet.observer, &folder.path().join("no-state")).unwrap().out;
        assert_eq!((said(&checked), checked.contains("FAIL  as_numbers ")), (is_bad, is_bad), "{table}: {checked}");
        let is_good = checked.starts_with("ok    as_numbers ") && checked.contains("/prefixes: 5 prefixes, written 20");
        assert_eq!(is_good, table.contains("/prefixes"), "{table}: {checked}");
    }
}

#[test]
fn a_path_with_its_systems_is_told_in_every_form_and_derived_again() {
    if !may_make_networks("known-told") {
        return;
    }
    let internet = Internet::open(WORLD).unwrap();
    // Whatever the runtime starts is a host of this internet.
    internet
        .observer
        .within(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(tell());
        })
        .unwrap();
}

async fn tell() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let (_folder, table) = files(r#"as_numbers = ["/prefixes"]"#);
    stand.add_agent_with("knows", &table).await.unwrap();
    let (_other, table) = files(r#"as_numbers = ["/broken"]"#);
    stand.add_agent_with("lacks", &table).await.unwrap();
    let asked = |agent: &'static str, more: &'static [&'static str]| [&["traceroute", TARGET, "-q", "1", "--from", agent], more].concat();
    let (exit, data, words) = ask(&stand, &asked("knows", &["--raw", "-o", "table"])).await;
    assert_eq!(exit, Exit::Ok, "{data}{words}");
    for told in [
        "  2  8.1.0.1 [AS64500]",
        "  5  8.8.0.1 [AS64501]",
        "  6  203.0.113.7 [AS64503/AS64504]",
        "systems on the way: AS64500, AS64501, AS64503/AS64504\n",
    ] {
        assert!(data.contains(told), "{told}: {data}");
    }
    assert!(data.contains("  1  10.1.0.1  ") && data.contains("  4  9.1.0.1  "), "{data}");
    let jobs = stand.get("/api/v1/jobs?limit=1").await.unwrap();
    let job = items_of(&jobs).map(|job| text(job, "id")).next().unwrap();
    let (exit, data, words) = ask(&stand, &["explain", job]).await;
    assert_eq!(exit, Exit::Ok, "{data}{words}");
    assert!(
        data.contains("by the files of the agent's owner the hops are in AS64500, AS64501, AS64503/AS64504")
            && data.ends_with("the report is the same, byte for byte\n"),
        "{data}"
    );
    let (_, data, words) = ask(&stand, &asked("knows", &["-o", "md"])).await;
    assert!(data.contains("| 2 | 8.1.0.1 | AS64500 | 1 |"), "{data}{words}");
    let (_, data, words) = ask(&stand, &asked("knows", &["-o", "csv"])).await;
    assert!(data.contains(",AS64500 AS64501 AS64503/AS64504"), "{data}{words}");
    let (_, data, words) = ask(&stand, &asked("knows", &["-o", "json"])).await;
    assert!(data.contains("\"prefix\": \"203.0.113.0/24\""), "{data}{words}");
    let (_, data, words) = ask(&stand, &["mtr", TARGET, "--rounds", "1", "--from", "knows", "-o", "table"]).await;
    assert!(
        data.contains("HOP  ADDRESS      AS ") && data.contains("203.0.113.7  AS64503/AS64504"),
        "{data}{words}"
    );
    let (exit, data, words) = ask(&stand, &asked("knows", &["--no-as", "-o", "json"])).await;
    assert!(exit == Exit::Ok && !data.contains("64500"), "{data}{words}");
    let (exit, data, words) = ask(&stand, &asked("lacks", &["-o", "table"])).await;
    assert!(exit == Exit::Ok && !data.contains("AS64"), "{data}{words}");
    let (_, data, words) = ask(&stand, &["agents", "show", "lacks"]).await;
    assert!(
        data.contains("traceroute full: AS numbers of hops may be absent: a file of known.as_numbers is of no use (file_bad_line)"),
        "{data}{words}"
    );
    let (_, data, words) = ask(&stand, &["agents", "show", "knows"]).await;
    assert!(!data.contains("may be absent"), "{data}{words}");
}

#[test]
fn neighbours_have_the_vendors_to_whom_the_owners_file_gives_their_blocks() {
    if !may_make_networks("known-vendors") {
        return;
    }
    let link = Ethernet::of(&[&["203.0.113.1/28"], &["203.0.113.2/28"], &["203.0.113.3/28"], &["203.0.113.3/28"]]).unwrap();
    for (place, mac) in [(1, "00:00:5e:00:53:01"), (2, "00:00:5e:00:53:02")] {
        link.host(place).unwrap().configure(&[format!("link set eth0 address {mac}")]).unwrap();
    }
    let (_folder, table) = files(r#"vendors = ["/oui.txt"]"#);
    let agent = Agent::with_tables(&table).unwrap();
    let spec = r#"{"probe":"neighbor","target":"203.0.113.0/28","wait_ms":300,"rate_pps":500}"#;
    let (report, _) = agent.report(link.host(0).unwrap(), spec).unwrap();
    let Some(Findings::Neighbor(found)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    let of = |text: &str| {
        found
            .neighbors
            .iter()
            .find(|result| result.address.to_string() == text)
            .unwrap_or_else(|| panic!("{text}: {found:?}"))
    };
    let iana = Some("ICANN, IANA Department".to_owned());
    assert_eq!(of("203.0.113.1").vendor, None, "what a host made up itself nobody has given it");
    assert_eq!(
        (&of("203.0.113.2").vendor, of("203.0.113.2").mac.unwrap().to_string().as_str()),
        (&iana, "00:00:5e:00:53:01")
    );
    let twice = of("203.0.113.3");
    assert_eq!(twice.state, NeighborState::Conflict);
    let mut vendors: Vec<_> = twice.other_vendors.iter().chain([&twice.vendor]).cloned().collect();
    vendors.sort_unstable();
    assert!(vendors.contains(&iana) && vendors.len() <= 2, "{twice:?}");
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    link.host(0).unwrap().within(|| runtime().block_on(tell_vendors(&table))).unwrap();
    let without = Agent::with_tables("").unwrap();
    let (report, _) = without.document(link.host(0).unwrap(), spec).unwrap();
    assert!(!report.to_string().contains("vendor"), "{report}");
}

async fn tell_vendors(table: &str) {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    stand.add_agent_with("knows", table).await.unwrap();
    let asked = |target, form| ["neighbor", target, "--wait-ms", "300", "-o", form];
    let (exit, data, words) = ask(&stand, &asked("203.0.113.0/29", "table")).await;
    assert_eq!(exit, Exit::Ok, "{data}{words}");
    let line = |of: &str| data.lines().find(|line| line.starts_with(of)).unwrap_or_else(|| panic!("{of}: {data}"));
    assert!(
        line("present 203.0.113.2 mac=00:00:5e:00:53:01 rtt=").ends_with(": ICANN, IANA Department"),
        "{data}"
    );
    assert!(
        line("conflict 203.0.113.3 ").contains("? ") && line("conflict 203.0.113.3 ").contains("ICANN, IANA Department"),
        "{data}"
    );
    assert!(!line("own 203.0.113.1 ").contains("ICANN"), "{data}");
    let (_, data, words) = ask(&stand, &asked("203.0.113.0/29", "md")).await;
    assert!(
        data.contains("| 203.0.113.2 | present | 00:00:5e:00:53:01 | ICANN, IANA Department | 1 |"),
        "{data}{words}"
    );
    let (_, data, words) = ask(&stand, &asked("203.0.113.2", "csv")).await;
    assert!(data.contains(",\"ICANN, IANA Department\""), "{data}{words}");
}
