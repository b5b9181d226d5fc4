//! What the OpenAPI document says is what the server does: requests are made out of the document, some of them bent, and each answer is held
//! against it. No answer is a failure of the server, whatever is asked.

mod maker;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jsonschema::Validator;
use reqwest::{Method, Response, Url};
use serde_json::{Value, json};

use crate::matrix::Owned;
use crate::packages;
use crate::server::Server;

use maker::Maker;

/// An operation of the document.
struct Operation<'a> {
    method: String,
    path: &'a str,
    described: &'a Value,
}

/// What came of all requests.
#[derive(Default)]
struct Answers {
    validators: HashMap<String, Validator>,
    statuses: BTreeMap<u16, u32>,
}

#[tokio::test]
async fn api_17_whatever_is_asked_the_answer_is_one_that_the_document_describes() {
    let is_long = std::env::var_os("PROBEOPS_LONG").is_some();
    let (servers, requests) = if is_long { (300, 1_000) } else { (6, 1_000) };
    let seed = std::env::var("PROBEOPS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_127);
    let document = serde_json::to_value(control_server::api::document()).unwrap();
    let mut answers = Answers::default();
    for number in 0..servers {
        // What is deleted on the way is there again.
        let server = if number % 2 == 0 {
            Server::start().await
        } else {
            Server::start_on_postgres().await
        };
        ask(&server, &document, (seed + number, requests), &mut answers).await;
        server.stop().await;
    }
    println!("seed {seed}: {:?}", answers.statuses);
    // It gets past the doors, and everything behind them is met.
    let of = |class: u16| {
        answers
            .statuses
            .iter()
            .filter(|(status, _)| **status / 100 == class)
            .map(|(_, count)| count)
            .sum::<u32>()
    };
    let all: u32 = answers.statuses.values().sum();
    assert!(of(2) > all / 5 && of(4) > all / 5, "{:?}", answers.statuses);
}

async fn ask(server: &Server, document: &Value, (seed, requests): (u64, u32), answers: &mut Answers) {
    let tenant = server.tenant("t").await;
    let owned = Owned::of(server, tenant).await;
    let key = server.key(tenant, &["measure", "read", "admin", "operator"]).await;
    let operations = operations(document);
    let mut maker = Maker::new(document, seed);
    for number in 0..requests {
        let operation = maker.one_of(&operations);
        let (request, told) = request(server, &mut maker, operation, &owned);
        let what = format!("seed {seed}, request {number}: {} {told}", operation.method);
        let answer = answer(request.bearer_auth(&key), &what).await;
        judge(document, operation, answer, &what, answers).await;
    }
}

/// A database that others keep busy may have no room for a moment, and the answer says when to come again: whoever does is served.
async fn answer(request: reqwest::RequestBuilder, what: &str) -> Response {
    for _ in 0..TRIES {
        let answer = request.try_clone().unwrap().send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let Some(pause) = answer.headers().get("retry-after").filter(|_| answer.status() == 503) else {
            return answer;
        };
        let pause: u64 = pause.to_str().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
    panic!("{what}: unavailable, however often it is asked again");
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, described) in item.as_object().unwrap() {
            all.push(Operation {
                method: method.to_uppercase(),
                path,
                described,
            });
        }
    }
    all
}

/// A request as the document describes it, or not quite; and how it is told of.
fn request(server: &Server, maker: &mut Maker<'_>, operation: &Operation<'_>, owned: &Owned) -> (reqwest::RequestBuilder, String) {
    let mut url = Url::parse(&format!("http://{}", server.address)).unwrap();
    let mut headers = Vec::new();
    let parameters: Vec<&Value> = operation.described["parameters"].as_array().into_iter().flatten().collect();
    {
        let mut segments = url.path_segments_mut().unwrap();
        for piece in operation.path.split('/').skip(1) {
            match piece {
                "{id}" => segments.push(&maker.id(owned.id(operation.path))),
                "{name}" => segments.push(&maker.id("free")),
                _ => segments.push(piece),
            };
        }
    }
    for parameter in parameters {
        let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
        let is_required = parameter["required"] == true;
        // Nobody reports here: whoever waits does it in vain.
        let is_wait = name == "wait";
        if place == "path" || is_wait && !maker.once_in(30) || !(is_required || maker.once_in(2)) {
            continue;
        }
        let value = maker.value(&parameter["schema"], 0);
        let value = if is_wait {
            "1s".to_owned()
        } else if maker.once_in(6) {
            maker.hostile_text()
        } else {
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        match place {
            "query" => drop(url.query_pairs_mut().append_pair(name, &value)),
            _ => headers.push((name.to_owned(), value)),
        }
    }
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
    let mut told = url.to_string();
    let mut request = server.client.request(method, url);
    for (name, value) in headers {
        if let Ok(value) = reqwest::header::HeaderValue::from_str(&value) {
            request = request.header(name, value);
        }
    }
    if let Some(schema) = operation.described["requestBody"]["content"]
        .as_object()
        .and_then(|content| content.values().next())
    {
        let body = body(maker, operation, schema, owned);
        told = format!("{told} {}", body.chars().take(2_000).collect::<String>());
        request = request.header("content-type", "application/json").body(body);
    }
    (request, told)
}

fn body(maker: &mut Maker<'_>, operation: &Operation<'_>, schema: &Value, owned: &Owned) -> String {
    let mut value = if operation.path == "/api/v1/observe/packages" && !maker.once_in(3) {
        serde_json::from_str(&packages::signed("tcp-states")).unwrap()
    } else if let Some(example) = schema.get("example").filter(|_| maker.once_in(3)) {
        example.clone()
    } else {
        maker.value(&schema["schema"], 0)
    };
    // Most of what is asked about agents is about one that is there.
    if value["selection"].is_object() && !maker.once_in(4) {
        value["selection"] = json!({"agents": [owned.id("/api/v1/agents")]});
    }
    if maker.once_in(2) {
        maker.bend(&mut value);
    }
    let mut text = value.to_string();
    if maker.once_in(40) {
        text.truncate(text.floor_char_boundary(text.len() / 2));
    }
    text
}

async fn judge(document: &Value, operation: &Operation<'_>, answer: Response, what: &str, answers: &mut Answers) {
    let status = answer.status().as_u16();
    *answers.statuses.entry(status).or_default() += 1;
    assert!(status < 500, "{what}: {status} {:?}", answer.text().await);
    let described = &operation.described["responses"][status.to_string()];
    assert!(described.is_object(), "{what}: {status} is not in the document: {:?}", answer.text().await);
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let Some(kind) = kind.as_deref().and_then(|kind| kind.split(';').next()) else {
        assert!(described.get("content").is_none(), "{what}: {status} without a body");
        return;
    };
    let content = &described["content"][kind];
    assert!(content.is_object(), "{what}: {status} with {kind}: {:?}", answer.text().await);
    // A stream of events does not end by itself, and what else is no JSON has no schema.
    if !kind.ends_with("json") || kind.contains("ndjson") {
        return;
    }
    let text = answer.text().await.unwrap();
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
    if status >= 400 {
        assert_eq!(value["status"], status, "{what}: {value}");
    }
    let schema = &content["schema"];
    let validator = answers.validators.entry(schema.to_string()).or_insert_with(|| {
        let whole = json!({"allOf": [schema], "components": document["components"]});
        jsonschema::validator_for(&whole).unwrap()
    });
    if let Err(error) = validator.validate(&value) {
        panic!("{what}: {status}: {error} at {}: {value}", error.instance_path());
    }
}

/// How often somebody asks again.
const TRIES: u32 = 5;
