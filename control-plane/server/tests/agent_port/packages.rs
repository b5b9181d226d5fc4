//! Packages at the agent port: who gets which, and who gets none.

use std::path::Path;

use control_api::tenant::CreateTenant;
use control_core::authorize::{Action, Principal, Resource, authorize};
use ebpf_package::{Package, SigningKey};
use serde_json::{Value, json};

use crate::stand::{Agent, Stand};
use crate::wire::{Answer, exchange};

const WANTED: &str = "/agent/v1/observe/packages";
const TOLD: &str = "/agent/v1/observe/packages/told";

fn signed() -> Package {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/observe");
    let manifest = std::fs::read_to_string(folder.join("tcp-states.toml")).unwrap();
    let object = std::fs::read(folder.join("tcp-states.bpf.o")).unwrap();
    let key = SigningKey::generate().unwrap();
    let public = key.public().unwrap();
    Package::new(manifest, object).unwrap().signed(&key, public)
}

async fn post(stand: &Stand, agent: Option<&Agent>, path: &str, body: &str) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    exchange(stand.connect(agent).await, format!("{head}{body}").as_bytes()).await
}

async fn health(stand: &Stand, digest: &str) -> Value {
    let detail = stand.services.packages.detail(&stand.grant(Action::PackageRead), digest).await.unwrap();
    serde_json::to_value(&detail.agents).unwrap()
}

#[tokio::test]
async fn aut_02_an_agent_gets_packages_of_its_own_tenant_only_and_nobody_else_gets_any() {
    let mut stand = Stand::start().await;
    let package = signed();
    let digest = package.digest().to_string();
    stand
        .services
        .packages
        .upload(&stand.grant(Action::PackageCreate), package.to_text().as_bytes())
        .await
        .unwrap();
    let ours = stand.agent().await;
    let own = stand.tenant;
    let platform = authorize(&Principal::Operator, Action::TenantCreate, Resource::Platform).unwrap();
    let request = CreateTenant {
        name: "theirs".to_owned(),
        tier: "standard".to_owned(),
    };
    stand.tenant = stand.services.identity.create_tenant(&platform, request).await.unwrap().id.parse().unwrap();
    let theirs = stand.agent().await;
    stand.tenant = own;
    let by_name = json!({"name": "tcp-states"}).to_string();
    let exactly = json!({"name": "tcp-states", "sha256": digest}).to_string();
    for body in [&by_name, &exactly] {
        let given = post(&stand, Some(&ours), WANTED, body).await;
        assert_eq!(given.status, 200, "{}", given.body);
        assert_eq!(Package::parse(given.body.as_bytes()).unwrap(), package);
        let foreign = post(&stand, Some(&theirs), WANTED, body).await;
        assert_eq!((foreign.status, foreign.json()["code"].as_str()), (404, Some("not_found")));
        let nobody = post(&stand, None, WANTED, body).await;
        assert_eq!((nobody.status, nobody.json()["code"].as_str()), (401, Some("unauthenticated")));
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"name":"../x"}"#,
        r#"{"name":"tcp-states","sha256":"0"}"#,
        r#"{"name":"tcp-states","tenant":"x"}"#,
    ] {
        assert_eq!(post(&stand, Some(&ours), WANTED, body).await.status, 400, "{body}");
    }
    stand.stop().await;
}

#[tokio::test]
async fn what_an_agent_says_of_a_package_is_kept_bounded_and_only_of_one_that_its_tenant_has() {
    let stand = Stand::start().await;
    let package = signed();
    let digest = package.digest().to_string();
    stand
        .services
        .packages
        .upload(&stand.grant(Action::PackageCreate), package.to_text().as_bytes())
        .await
        .unwrap();
    let agent = stand.agent().await;
    let told = |digest: &str, message: &str| {
        let told = json!({"name": "tcp-states", "sha256": digest, "status": "failed", "code": "package_refused", "message": message});
        told.to_string()
    };
    assert_eq!(post(&stand, None, TOLD, &told(&digest, "x")).await.status, 401);
    assert_eq!(post(&stand, Some(&agent), TOLD, &told(&"0".repeat(64), "of another")).await.status, 200);
    assert_eq!(health(&stand, &digest).await, json!([]));
    let long = format!("why\u{1b}[31m{}", "y".repeat(9_000));
    assert_eq!(post(&stand, Some(&agent), TOLD, &told(&digest, &long)).await.status, 200);
    let kept = health(&stand, &digest).await;
    let said = &kept[0]["health"];
    assert_eq!((&said["status"], &said["code"]), (&"failed".into(), &"package_refused".into()));
    let message = said["message"].as_str().unwrap();
    assert!(message.len() <= 255 && message.starts_with("why[31m"), "{message}");
    stand.stop().await;
}
