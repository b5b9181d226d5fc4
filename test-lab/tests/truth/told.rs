//! From `probectl` through control plane and agent and back: what a person does who wants to know a path, and whether a report of it is right.

use std::future::pending;

use clap::Parser;
use probectl::cli::Cli;
use probectl::config::Surroundings;
use probectl::exit::Exit;
use probectl::output::{Screen, Surface};
use test_lab::database::Kind;
use test_lab::network::Ethernet;
use test_lab::stand::{Stand, items_of, text};

use crate::setting::may_make_networks;

/// Runs `probectl` against a stand; how it ended, and what it printed for people and programs.
pub(crate) async fn ask(stand: &Stand, arguments: &[&str]) -> (Exit, String, String) {
    let url = stand.url("");
    let cli = Cli::try_parse_from([&["probectl", "--url", &url], arguments].concat()).unwrap();
    let surroundings = Surroundings {
        token: Some(stand.key.clone().into()),
        ..Surroundings::default()
    };
    let (mut data, mut words) = (Vec::new(), Vec::new());
    let mut screen = Screen::new(&mut data, &mut words, Surface::Pipe);
    let exit = probectl::run(cli, surroundings, &mut std::io::empty(), &mut screen, pending()).await;
    (exit, String::from_utf8(data).unwrap(), String::from_utf8(words).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_is_followed_told_and_derived_again() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    stand.add_agent("local").await.unwrap();
    for (arguments, told) in [
        (&["traceroute", "127.0.0.1", "--raw"][..], "1 hop, reached, path "),
        (
            &["traceroute", "127.0.0.1", "--raw", "--protocol", "udp", "--flow", "classic"],
            "1 hop, reached, path ",
        ),
        (
            &["mtr", "127.0.0.1", "--rounds", "3", "--interval-ms", "100", "--raw"],
            "--- 127.0.0.1 from local: 3 rounds ---",
        ),
        (&["pmtu", "127.0.0.1", "--raw"], "9216 bytes, bound: asked; TCP segments of 9176 bytes fit"),
    ] {
        let (exit, data, words) = ask(&stand, arguments).await;
        assert_eq!(exit, Exit::Ok, "{arguments:?}: {data}{words}");
        assert!(data.contains(told), "{arguments:?}: {data}");
        let jobs = stand.get("/api/v1/jobs?limit=1").await.unwrap();
        let job = items_of(&jobs).map(|job| text(job, "id")).next().unwrap();
        let (exit, data, words) = ask(&stand, &["explain", job]).await;
        assert_eq!(exit, Exit::Ok, "{arguments:?}: {data}{words}");
        assert!(data.ends_with("the report is the same, byte for byte\n"), "{data}");
    }
    let (exit, data, _) = ask(&stand, &["mtr", "127.0.0.1", "--rounds", "2", "--interval-ms", "100", "-o", "md"]).await;
    assert_eq!(exit, Exit::Ok, "{data}");
    assert!(
        data.contains("| hop | address | as | loss | sent |") && data.contains("| 1 | 127.0.0.1 | - | 0.0 % | 2 |"),
        "{data}"
    );
    let (exit, data, _) = ask(&stand, &["traceroute", "127.0.0.1", "-o", "prom"]).await;
    assert_eq!(exit, Exit::Ok, "{data}");
    assert!(
        data.contains("probe_traceroute_total_hops{probe=\"traceroute\",target=\"127.0.0.1\",agent=\"local\"} 1\n"),
        "{data}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_is_told_in_every_form() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    stand.add_agent("local").await.unwrap();
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let open = open.local_addr().unwrap().port();
    let ports = format!("{open},{closed}");
    for mode in [&[][..], &["--syn"]] {
        let arguments = |form| [&["port", "127.0.0.1", &ports, "-o", form], mode].concat();
        let (exit, data, words) = ask(&stand, &arguments("table")).await;
        assert_eq!(exit, Exit::Ok, "{data}{words}");
        assert!(data.contains(&format!("open port={open} 127.0.0.1 rtt=")), "{data}");
        assert!(data.contains(&format!("closed port={closed} 127.0.0.1")), "{data}");
        assert!(data.contains("2 ports: 1 open, 1 closed, 0 filtered; 2 questions"), "{data}");
        let (_, data, _) = ask(&stand, &arguments("csv")).await;
        assert!(data.contains(&format!(",127.0.0.1,2,1,1,0,0,2,{open},")), "{data}");
        let (_, data, _) = ask(&stand, &arguments("md")).await;
        assert!(data.contains(&format!("| {closed} | closed | reset | 1 |")), "{data}");
        let (_, data, words) = ask(&stand, &arguments("prom")).await;
        assert!(
            data.contains("probeops_port_open{probe=\"port\",target=\"127.0.0.1\",agent=\"local\"} 1\n"),
            "{data}{words}"
        );
        let (_, data, _) = ask(&stand, &arguments("json")).await;
        assert!(data.contains("\"state\": \"open\""), "{data}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_of_many_targets_over_udp_and_what_services_say_are_told_in_every_form() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    stand.add_agent("local").await.unwrap();
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap().port().to_string();
    let (exit, data, words) = ask(&stand, &["port", "127.0.0.1", &port, "--udp", "--tries", "1", "--wait-ms", "100"]).await;
    assert_eq!(exit, Exit::TargetFailed, "nothing answered: {data}{words}");
    assert!(data.contains(&format!("open_filtered port={port} 127.0.0.1: silence")), "{data}{words}");
    let arguments = |form| {
        [
            "port",
            "127.0.0.1",
            "127.0.0.4/30",
            &port,
            "--udp",
            "--tries",
            "1",
            "--wait-ms",
            "100",
            "-o",
            form,
        ]
    };
    let (exit, data, words) = ask(&stand, &arguments("table")).await;
    assert_eq!(exit, Exit::Ok, "{data}{words}");
    for told in [
        format!("127.0.0.5                                closed {port}"),
        format!("127.0.0.1: open_filtered {port}"),
        "2 of 3 targets answered; 3 ports: 0 open, 2 closed, 0 filtered, 1 open or filtered; 3 questions".to_owned(),
    ] {
        assert!(data.contains(&told), "{told}: {data}");
    }
    let (_, data, _) = ask(&stand, &arguments("csv")).await;
    assert!(data.contains(",2/3 targets,3,0,2,0,0,3,,"), "{data}");
    let (_, data, _) = ask(&stand, &arguments("md")).await;
    assert!(data.contains(&format!("| 127.0.0.6 | {port} | closed | icmp\\_error | 1 |")), "{data}");
    let (_, data, words) = ask(&stand, &arguments("prom")).await;
    assert!(data.contains("probeops_port_open_filtered{probe=\"port\","), "{data}{words}");
    let (_, data, _) = ask(&stand, &arguments("json")).await;
    assert!(data.contains("\"probe\": \"port_sweep\""), "{data}");

    let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port().to_string();
    let speaking = std::thread::spawn(move || {
        let (mut stream, _) = service.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"SSH-2.0-lab\r\n").unwrap();
        // Until it is reset.
        let _ended = std::io::Read::read(&mut stream, &mut [0; 1]);
    });
    let (exit, data, words) = ask(&stand, &["port", "127.0.0.1", &port, "--banner"]).await;
    speaking.join().unwrap();
    assert_eq!(exit, Exit::Ok, "{data}{words}");
    assert!(data.contains(r#": connected, says "SSH-2.0-lab\r\n""#), "{data}");
}

#[test]
fn a_link_is_asked_and_told_in_every_form() {
    if !may_make_networks("told-neighbor") {
        return;
    }
    let link = Ethernet::of(&[&["203.0.113.1/29"], &["203.0.113.2/29"], &["203.0.113.5/29"], &["203.0.113.5/29"]]).unwrap();
    // Whatever the runtime starts is a host of this link.
    let host = link.host(0).unwrap();
    host.within(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(ask_link());
    })
    .unwrap();
}

async fn ask_link() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    stand.add_agent("local").await.unwrap();
    let arguments = |form| ["neighbor", "203.0.113.0/29", "--wait-ms", "200", "--interface", "eth0", "-o", form];
    let (exit, data, words) = ask(&stand, &arguments("table")).await;
    assert_eq!(exit, Exit::Ok, "{data}{words}");
    for told in [
        "present 203.0.113.2 mac=02:00:00:00:00:02 rtt=",
        "conflict 203.0.113.5 mac=02:00:00:00:00:0",
        "own 203.0.113.1 mac=02:00:00:00:00:01",
        "nobody answered for 203.0.113.3 to 203.0.113.4, 203.0.113.6",
        "6 addresses: 1 present, 3 silent, 1 in conflict, 1 our own; 8 questions",
    ] {
        assert!(data.contains(told), "{told}: {data}");
    }
    assert!(words.contains("address_conflict") || data.contains("address_conflict"), "{data}{words}");
    let (_, data, _) = ask(&stand, &arguments("csv")).await;
    assert!(data.contains(",eth0,203.0.113.1,6,1,1,3,1,,0,0,8,"), "{data}");
    let (_, data, _) = ask(&stand, &arguments("md")).await;
    assert!(data.contains("| 203.0.113.2 | present | 02:00:00:00:00:02 | - | 1 |"), "{data}");
    let (_, data, words) = ask(&stand, &arguments("prom")).await;
    assert!(
        data.contains("probeops_neighbor_conflicts{probe=\"neighbor\",target=\"203.0.113.0/29\",agent=\"local\"} 1\n"),
        "{data}{words}"
    );
    let (_, data, _) = ask(&stand, &arguments("json")).await;
    assert!(data.contains("\"state\": \"conflict\""), "{data}");
    let (exit, data, words) = ask(&stand, &["neighbor", "203.0.113.9"]).await;
    assert_eq!(exit, Exit::TargetFailed, "{data}{words}");
    assert!(format!("{data}{words}").contains("not_on_link"), "{data}{words}");
    let (exit, data, words) = ask(&stand, &["neighbor", "fe80::1"]).await;
    assert_eq!(exit, Exit::Denied, "{data}{words}");
}
