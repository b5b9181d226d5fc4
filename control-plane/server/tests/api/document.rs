//! The OpenAPI document: the committed one is the generated one.

use std::path::Path;

#[test]
fn the_committed_document_is_the_generated_one() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let generated = control_server::api::document_text().unwrap();
    assert!(
        std::fs::read_to_string(&committed).unwrap_or_default() == generated,
        "docs/openapi.json is not what the routes say; write it anew with `cargo xtask openapi`"
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = serde_json::to_value(control_server::api::document()).unwrap();
    let text = document.to_string();
    let mut seen = 0;
    for piece in text.split("\"$ref\":\"#").skip(1) {
        let pointer = piece.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}
