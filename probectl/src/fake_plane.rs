//! A control plane for the tests: answers by a script, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct FakePlane {
    pub(crate) url: String,
    script: Arc<Script>,
    _server: JoinSet<()>,
}

struct Script {
    answers: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    asked: watch::Sender<Vec<Asked>>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub(crate) what: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    stays_open: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
            stays_open: false,
        }
    }

    pub(crate) fn stream(body: &str) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/event-stream".to_owned())],
            body: body.to_owned(),
            stays_open: false,
        }
    }

    pub(crate) fn staying_open(self) -> Self {
        Self { stays_open: true, ..self }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl FakePlane {
    /// Answers each `METHOD path` with its answers in order; the last one stays.
    pub(crate) async fn start<const N: usize>(answers: [(&str, Vec<Answer>); N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script {
            answers: Mutex::new(answers.into_iter().map(|(what, answers)| (what.to_owned(), answers.into())).collect()),
            asked: watch::Sender::default(),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, script, _server: server }
    }

    /// Everything asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.borrow().clone()
    }

    /// The requests of this method and path.
    pub(crate) fn asked_for(&self, what: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.what == what).collect()
    }

    /// Ends once this was asked.
    pub(crate) async fn until_asked(&self, what: &str) {
        let mut asked = self.script.asked.subscribe();
        asked.wait_for(|asked| asked.iter().any(|asked| asked.what == what)).await.unwrap();
    }
}

async fn answer(State(script): State<Arc<Script>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = format!("{method} {}", uri.path());
    let answer = {
        let mut answers = script.answers.lock().unwrap();
        match answers.get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        }
    };
    script.asked.send_modify(|asked| {
        asked.push(Asked {
            what: format!("{method} {}", uri.path_and_query().unwrap()),
            headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        });
    });
    let answer = answer.unwrap_or_else(|| Answer::json(404, &serde_json::json!({"code": "not_found", "detail": "no such thing"})));
    let mut response = Response::builder().status(StatusCode::from_u16(answer.status).unwrap());
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from(answer.body))]);
    let body = if answer.stays_open {
        Body::from_stream(start.chain(stream::pending()))
    } else {
        Body::from_stream(start)
    };
    response.body(body).unwrap()
}
