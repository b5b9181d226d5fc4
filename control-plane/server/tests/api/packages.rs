//! Packages: what is kept, what is refused, on which agents a name means which.

use std::path::Path;

use ebpf_package::{Package, SigningKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, Tenant, problem};

fn sample(name: &str) -> (String, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/observe");
    let manifest = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
    (manifest, std::fs::read(folder.join(format!("{name}.bpf.o"))).unwrap())
}

fn sign(manifest: String, object: Vec<u8>) -> String {
    let key = SigningKey::generate().unwrap();
    let public = key.public().unwrap();
    Package::new(manifest, object).unwrap().signed(&key, public).to_text()
}

/// A sample, signed by a key of its own.
pub(crate) fn signed(name: &str) -> String {
    let (manifest, object) = sample(name);
    sign(manifest, object)
}

fn version(number: u32) -> String {
    let (manifest, object) = sample("tcp-states");
    sign(manifest.replace("1.0.0", &format!("{number}.0.0")), object)
}

/// Uploads a sample for a tenant, whose tier is made one that observes, and says by which hash it is known.
pub(crate) async fn upload(server: &Server, tenant: Tenant, key: &str) -> String {
    let operator = server.key(tenant, &["operator"]).await;
    let path = format!("/api/v1/tenants/{}/tier", tenant.0);
    let moved = server
        .request(Method::PATCH, &path, &operator)
        .json(&json!({"tier": "enterprise"}))
        .send()
        .await
        .unwrap();
    assert_eq!(moved.status(), 200);
    kept(server, key, &signed("opens-by-process")).await
}

async fn send(server: &Server, key: &str, text: &str) -> reqwest::Response {
    let request = server.request(Method::POST, "/api/v1/observe/packages", key);
    request.header("content-type", "application/json").body(text.to_owned()).send().await.unwrap()
}

async fn kept(server: &Server, key: &str, text: &str) -> String {
    let response = send(server, key, text).await;
    assert_eq!(response.status(), 201);
    let package: Value = response.json().await.unwrap();
    package["sha256"].as_str().unwrap().to_owned()
}

async fn act(server: &Server, key: &str, id: &str, action: &str, selection: Value) -> (u16, Value) {
    let body = json!({"action": action, "selection": selection});
    let response = server.post(&format!("/api/v1/observe/packages/{id}/actions"), key, &body).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_package_is_kept_by_its_hash_and_a_version_means_one_package_for_ever() {
    let server = Server::start().await;
    let ours = server.tenant_of("ours", "standard").await;
    let key = server.key(ours, &["read", "admin"]).await;
    let text = version(1);
    let digest = Package::parse(text.as_bytes()).unwrap().digest().to_string();
    assert_eq!(kept(&server, &key, &text).await, digest);
    assert_eq!(kept(&server, &key, &text).await, digest, "the same once more");
    // The very same signed by somebody else is the same package; with another content it is not.
    assert_eq!(kept(&server, &key, &version(1)).await, digest);
    let (manifest, object) = sample("tcp-states");
    let other = sign(manifest.replace("Each change", "Some change"), object);
    let (status, body) = problem(send(&server, &key, &other).await).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("conflict")), "{body}");
    let second = kept(&server, &key, &version(2)).await;
    let page: Value = server.get("/api/v1/observe/packages?limit=1", &key).await.json().await.unwrap();
    assert_eq!(page["items"][0]["sha256"], second.as_str());
    let path = format!("/api/v1/observe/packages?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let page: Value = server.get(&path, &key).await.json().await.unwrap();
    assert_eq!((&page["items"][0]["sha256"], &page["next_cursor"]), (&digest.as_str().into(), &Value::Null));
    let shown: Value = server.get(&format!("/api/v1/observe/packages/{digest}"), &key).await.json().await.unwrap();
    assert_eq!(
        (&shown["name"], &shown["version"], &shown["agents"]),
        (&"tcp-states".into(), &"1.0.0".into(), &json!([]))
    );
    assert!(shown["manifest"].as_str().unwrap().contains("inet_sock_set_state"), "{shown}");
    server.stop().await;
}

#[tokio::test]
async fn api_09_what_is_no_package_or_does_more_than_look_is_refused_with_why() {
    let server = Server::start().await;
    let ours = server.tenant_of("ours", "standard").await;
    let key = server.key(ours, &["read", "admin"]).await;
    let (manifest, object) = sample("tcp-states");
    let twin = "name = \"twin\"\nversion = \"1\"\n[[programs]]\nname = \"run\"\nattach = \"raw_tp/sys_enter\"\n[[maps]]\nname = \"rows\"\nread = \"rows\"\n";
    let writes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ebpf-package/tests/objects/writes_memory.bpf.o")).unwrap();
    let good = version(1);
    for (text, why) in [
        (sign(twin.to_owned(), writes), "bpf_probe_write_user"),
        (sign(manifest.replace("\"changed\"", "\"changes\""), object.clone()), "differ"),
        (sign(manifest.clone(), object[..object.len() / 2].to_vec()), "ELF"),
        (Package::new(manifest.clone(), object.clone()).unwrap().to_text(), "not signed"),
        (good.replacen("Each change", "Some change", 1), "signature"),
        ("{}".to_owned(), "no package"),
        ("[]".to_owned(), "no package"),
        (good[..good.len() - 5].to_owned(), "no package"),
        (good.replacen('{', "{\"format\":\"probeops-observation-1\",", 1), "duplicate field"),
        (format!("{good}{}", " ".repeat(600 * 1024)), "bytes of the package"),
    ] {
        let (status, body) = problem(send(&server, &key, &text).await).await;
        let detail = body["detail"].as_str().unwrap();
        assert_eq!((status, body["field"].as_str()), (422, Some("package")), "{body}");
        assert!(detail.contains(why), "{why}: {detail}");
    }
    let long = " ".repeat(2 * 1024 * 1024);
    assert_eq!(problem(send(&server, &key, &long).await).await.0, 413);
    // Whose tier has no observations has no use for packages.
    let free = server.tenant_of("free", "free").await;
    let theirs = server.key(free, &["admin"]).await;
    let (status, body) = problem(send(&server, &theirs, &good).await).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("tier_limit")), "{body}");
    server.stop().await;
}

#[tokio::test]
async fn a_package_is_deployed_to_a_selection_and_rolled_back_there() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant_of("ours", "standard").await, server.tenant_of("theirs", "standard").await);
    let (key, foreign) = (server.key(ours, &["read", "admin"]).await, server.key(theirs, &["read", "admin"]).await);
    let (agent, their_agent) = (server.agent(ours).await, server.agent(theirs).await);
    let (first, second) = (kept(&server, &key, &version(1)).await, kept(&server, &key, &version(2)).await);
    let name = async || {
        let agent: Value = server.get(&format!("/api/v1/agents/{agent}"), &key).await.json().await.unwrap();
        agent["name"].as_str().unwrap().to_owned()
    };
    let name = name().await;
    let on_agent = async || {
        let shown: Value = server.get(&format!("/api/v1/observe/packages/{first}"), &key).await.json().await.unwrap();
        let row = &shown["agents"][0];
        let text = |member: &str| row[member].as_str().map(str::to_owned);
        (text("sha256"), text("previous"))
    };
    let done = json!({"agents": [name], "unchanged": []});
    assert_eq!(act(&server, &key, &first, "deploy", json!({"agents": [agent]})).await, (200, done.clone()));
    assert_eq!(act(&server, &key, &second, "deploy", json!({"all": true})).await, (200, done.clone()));
    assert_eq!(on_agent().await, (Some(second.clone()), Some(first.clone())));
    let untouched = json!({"agents": [], "unchanged": [name]});
    assert_eq!(
        act(&server, &key, &first, "roll_back", json!({"all": true})).await,
        (200, untouched),
        "it is not what is there"
    );
    assert_eq!(act(&server, &key, &second, "roll_back", json!({"agents": [name]})).await, (200, done));
    assert_eq!(on_agent().await, (Some(first.clone()), Some(second.clone())));
    let delete = async |id: &str, key: &str| {
        server
            .request(Method::DELETE, &format!("/api/v1/observe/packages/{id}"), key)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(problem(delete(&first, &key).await).await.1["code"], "conflict");
    assert_eq!(delete(&second, &foreign).await.status(), 404);
    assert_eq!(delete(&second, &key).await.status(), 204);
    assert_eq!(delete(&second, &key).await.status(), 404);
    for (selection, field) in [
        (json!({}), "selection"),
        (json!({"agents": ["nobody"]}), "selection.agents"),
        (json!({"agents": [their_agent]}), "selection.agents"),
        (json!({"agents": [agent], "labels": {"site": "none"}}), "selection.agents"),
    ] {
        let (status, body) = act(&server, &key, &first, "deploy", selection).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(field)), "{body}");
    }
    let (status, body) = act(&server, &key, &first, "deploy", json!({"labels": {"site": "none"}})).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("no_agent_matches")), "{body}");
    assert_eq!(act(&server, &foreign, &first, "deploy", json!({"all": true})).await.0, 404);
    server.stop().await;
}
