//! The live stream over a WebSocket, as programs and browsers open it.

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::{Server, Tenant};

/// A stream as a client has it.
struct Stream(WebSocketStream<TcpStream>);

impl Stream {
    async fn open(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(&server.address).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((stream, _)) => Ok(Self(stream)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn with(server: &Server, key: &str) -> Self {
        Self::open(server, "/api/v1/stream", &[("authorization", &format!("Bearer {key}"))])
            .await
            .unwrap()
    }

    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; what is sent to keep the connection alive is left out.
    async fn hear(&mut self) -> Value {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Hears on until a message of this name.
    async fn until(&mut self, event: &str) -> Value {
        loop {
            let message = self.hear().await;
            if message["event"] == event {
                return message;
            }
        }
    }

    /// The reason with which it was closed.
    async fn closed(mut self) -> String {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.reason.to_string()).unwrap_or_default(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn measurement(server: &Server, tenant: Tenant, key: &str) -> Value {
    let agent = server.agent(tenant).await;
    let asked = json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": {"agents": [agent]}});
    server.post("/api/v1/measurements", key, &asked).await.json().await.unwrap()
}

#[tokio::test]
async fn a_stream_tells_what_happens_and_goes_on_where_it_broke_off() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let key = server.key(tenant, &["measure", "read"]).await;
    let measured = measurement(&server, tenant, &key).await;
    let mut stream = Stream::with(&server, &key).await;
    for wish in [json!({"topic": "jobs"}), json!({"measurement": measured["id"]})] {
        stream.say(&json!({"subscribe": wish})).await;
        stream.until("subscribed").await;
        let snapshot = stream.until("snapshot").await;
        assert!(!snapshot["data"].is_null() && snapshot["seq"].as_u64().unwrap() > 1, "{snapshot}");
    }
    let job = measured["jobs"][0]["id"].as_str().unwrap();
    server.post(&format!("/api/v1/jobs/{job}/cancel"), &key, &json!({})).await;
    let (mut ended, mut done) = (Value::Null, false);
    while ended.is_null() || !done {
        let message = stream.hear().await;
        done |= message["event"] == "done";
        if message["event"] == "job_ended" {
            ended = message;
        }
    }
    assert_eq!(
        (ended["topic"].as_str(), ended["data"]["job"].as_str(), ended["data"]["state"].as_str()),
        (Some("jobs"), Some(job), Some("cancelled"))
    );
    drop(stream);

    let other = measurement(&server, tenant, &key).await;
    let other_job = other["jobs"][0]["id"].as_str().unwrap();
    server.post(&format!("/api/v1/jobs/{other_job}/cancel"), &key, &json!({})).await;
    let mut again = Stream::with(&server, &key).await;
    again.say(&json!({"subscribe": {"topic": "jobs", "after": ended["id"]}})).await;
    assert_eq!(again.hear().await["event"], "subscribed");
    let missed = again.hear().await;
    assert_eq!(
        (missed["event"].as_str(), missed["data"]["job"].as_str()),
        (Some("job_ended"), Some(other_job)),
        "no snapshot between"
    );
    again.say(&json!({"unsubscribe": {"topic": "jobs"}})).await;
    assert_eq!(again.hear().await["event"], "unsubscribed");
    server.stop().await;
}

#[tokio::test]
async fn aut_02_what_is_anothers_is_not_there_and_what_cannot_be_read_is_told() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let (key, foreign) = (server.key(ours, &["measure", "read"]).await, server.key(theirs, &["read"]).await);
    let measured = measurement(&server, ours, &key).await;
    let mut stream = Stream::with(&server, &foreign).await;
    let mut answers = Vec::new();
    for id in [measured["id"].as_str().unwrap(), "01890a5d-ac96-774b-bcce-b302099a8057", "x"] {
        stream.say(&json!({"subscribe": {"measurement": id}})).await;
        let answer = stream.hear().await;
        assert_eq!(
            (answer["event"].as_str(), answer["data"]["code"].as_str()),
            (Some("error"), Some("not_found")),
            "{answer}"
        );
        answers.push(answer["data"].clone());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "the same words for all: {answers:?}");
    for bad in [
        json!({"subscribe": {}}),
        json!([]),
        json!({"subscribe": {"topic": "jobs", "tenant": "t"}}),
        json!("x"),
    ] {
        stream.say(&bad).await;
        assert_eq!(stream.hear().await["data"]["code"], "malformed_request", "{bad}");
    }
    stream.say(&json!({"subscribe": {"topic": "jobs"}})).await;
    stream.until("snapshot").await;
    let job = measured["jobs"][0]["id"].as_str().unwrap();
    server.post(&format!("/api/v1/jobs/{job}/cancel"), &key, &json!({})).await;
    let theirs_measured = measurement(&server, theirs, &server.key(theirs, &["measure"]).await).await;
    let their_job = theirs_measured["jobs"][0]["id"].as_str().unwrap();
    server
        .post(&format!("/api/v1/jobs/{their_job}/cancel"), &server.key(theirs, &["measure"]).await, &json!({}))
        .await;
    assert_eq!(
        stream.until("job_ended").await["data"]["job"],
        their_job,
        "nothing of the other tenant came before"
    );
    server.stop().await;
}

#[tokio::test]
async fn aut_05_a_stream_ends_with_its_key() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let (key, admin) = (server.key(tenant, &["read"]).await, server.key(tenant, &["admin"]).await);
    let stream = Stream::with(&server, &key).await;
    let id = key.split('_').nth(2).unwrap();
    server.request(Method::DELETE, &format!("/api/v1/keys/{id}"), &admin).send().await.unwrap();
    assert_eq!(stream.closed().await, "the API key is no longer good");
    server.stop().await;
}

#[tokio::test]
async fn aut_11_a_stream_is_opened_by_a_key_and_by_no_foreign_page() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let key = server.key(tenant, &["read"]).await;
    let (bearer, offered) = (format!("Bearer {key}"), format!("probeops.stream.v1, probeops.key.{key}"));
    let own = format!("http://{}", server.address);
    for (path, headers, expected) in [
        ("/api/v1/stream", vec![], Some(401)),
        ("/api/v1/stream", vec![("authorization", "Bearer po_live_x")], Some(401)),
        (
            "/api/v1/stream",
            vec![("authorization", bearer.as_str()), ("origin", "https://evil.example")],
            Some(403),
        ),
        ("/api/v1/stream", vec![("authorization", bearer.as_str()), ("origin", "null")], Some(403)),
        ("/api/v1/stream", vec![("authorization", bearer.as_str()), ("origin", own.as_str())], None),
        (
            "/api/v1/stream",
            vec![("sec-websocket-protocol", offered.as_str()), ("origin", own.as_str())],
            None,
        ),
        ("/ws/stream", vec![], Some(401)),
        ("/ws/stream", vec![("authorization", bearer.as_str())], None),
    ] {
        assert_eq!(Stream::open(&server, path, &headers).await.err(), expected, "{path} {headers:?}");
    }
    let measure = server.key(tenant, &["measure"]).await;
    let refused = Stream::open(&server, "/api/v1/stream", &[("authorization", &format!("Bearer {measure}"))]).await;
    assert_eq!(refused.err(), Some(403), "a scope that does not read");
    server.stop().await;
}

#[tokio::test]
async fn frm_22_no_extension_is_negotiated_whatever_is_offered() {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    let key = server.key(tenant, &["read"]).await;
    for offer in ["permessage-deflate", "permessage-deflate; client_max_window_bits, x-unknown; a=b"] {
        let mut request = format!("ws://{}/api/v1/stream", server.address).into_client_request().unwrap();
        request
            .headers_mut()
            .insert("authorization", HeaderValue::from_str(&format!("Bearer {key}")).unwrap());
        request.headers_mut().insert("sec-websocket-extensions", HeaderValue::from_static(offer));
        let stream = TcpStream::connect(&server.address).await.unwrap();
        let (_, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.status(), 101);
        assert!(response.headers().get("sec-websocket-extensions").is_none());
    }
    server.stop().await;
}
