use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use super::{Follow, Patience, patiently};
use crate::client::Client;
use crate::config::Connection;
use crate::error::ClientError;
use crate::fake_plane::{Answer, FakePlane};

const EVENTS: &str = "GET /api/v1/measurements/m/events";
const EAGER: Patience = Patience {
    first: Duration::ZERO,
    longest: Duration::ZERO,
    times: 3,
    silence: Duration::from_mins(1),
};

fn client(plane: &FakePlane) -> Client {
    let connection = Connection {
        url: plane.url.parse().unwrap(),
        key: SecretString::from("po_live_test"),
    };
    Client::new(&connection).unwrap()
}

async fn events(plane: &FakePlane) -> Result<Vec<String>, ClientError> {
    let client = client(plane);
    let mut follow = Follow::new(&client, "m", EAGER);
    let mut events = Vec::new();
    while let Some(message) = follow.next().await? {
        events.push(message.data);
    }
    Ok(events)
}

fn busy() -> Answer {
    Answer::json(503, &json!({"code": "unavailable", "detail": "starting"})).with_header("retry-after", "0")
}

#[tokio::test]
async fn net_03_a_broken_stream_goes_on_after_the_last_event_seen() {
    let plane = FakePlane::start([(
        EVENTS,
        vec![
            Answer::stream("id: b.m.0\nevent: snapshot\ndata: 0\n\nid: b.m.1\nevent: finding\ndata: 1\n\nid: b.m.2\nevent: finding\ndata: cut"),
            busy(),
            Answer::stream("id: b.m.2\nevent: finding\ndata: 2\n\nid: b.m.3\nevent: done\ndata: 3\n\nevent: finding\ndata: after the end\n\n"),
        ],
    )])
    .await;
    assert_eq!(events(&plane).await.unwrap(), ["0", "1", "2", "3"]);
    let resumed: Vec<Option<String>> = plane
        .asked_for(EVENTS)
        .iter()
        .map(|asked| asked.headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned()))
        .collect();
    assert_eq!(resumed, [None, Some("b.m.1".to_owned()), Some("b.m.1".to_owned())]);
}

#[tokio::test]
async fn a_stream_that_never_goes_on_is_given_up_after_a_bounded_number_of_tries() {
    let plane = FakePlane::start([(EVENTS, vec![Answer::stream(": nothing\n\n")])]).await;
    assert!(matches!(events(&plane).await, Err(ClientError::Broken)));
    assert_eq!(plane.asked().len(), 1 + EAGER.times);
}

#[tokio::test]
async fn an_event_between_gives_new_patience() {
    let piece = |number: usize| Answer::stream(&format!("id: {number}\nevent: finding\ndata: {number}\n\n"));
    let mut answers: Vec<Answer> = (0..3 * EAGER.times).flat_map(|number| [piece(number), busy(), busy()]).collect();
    answers.push(Answer::stream("event: done\ndata: {}\n\n"));
    let plane = FakePlane::start([(EVENTS, answers)]).await;
    assert_eq!(events(&plane).await.unwrap().len(), 3 * EAGER.times + 1);
}

#[tokio::test]
async fn what_will_not_change_is_not_tried_again() {
    for (answer, tries) in [
        (Answer::json(404, &json!({"code": "not_found", "detail": "gone"})), 1),
        (Answer::json(401, &json!({})), 1),
        (Answer::stream("data: \u{0}\n").with_header("x", "y"), 4),
        (busy(), 4),
    ] {
        let plane = FakePlane::start([(EVENTS, vec![answer.clone()])]).await;
        assert!(events(&plane).await.is_err(), "{answer:?}");
        assert_eq!(plane.asked().len(), tries, "{answer:?}");
    }
}

#[tokio::test]
async fn a_read_is_repeated_while_the_control_plane_is_not_there() {
    let answers = vec![busy(), busy(), Answer::json(200, &json!("there"))];
    let plane = FakePlane::start([("GET /api/v1/x", answers)]).await;
    let client = client(&plane);
    let answer: String = patiently(EAGER, async || client.get(&["x"], &[]).await).await.unwrap();
    assert_eq!((answer.as_str(), plane.asked().len()), ("there", 3));
}
