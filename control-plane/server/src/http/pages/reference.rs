//! The API reference: overview, operations by tag, problem codes, schemas.

use std::fmt::Write as _;

use serde_json::Value;

use super::html::{escaped, inline, prose};
use super::{html, operation, schema};
use crate::http::problem_catalogue::{ALL, meaning, name, title};

/// The page as it is served.
pub(super) fn page(document: &Value) -> String {
    html::page("ProbeOps API reference", &body(document))
}

fn body(document: &Value) -> String {
    let mut body = String::new();
    body.push_str(&navigation(document));
    body.push_str("<main><h1>ProbeOps API</h1>");
    body.push_str(&prose(document.pointer("/info/description").and_then(Value::as_str).unwrap_or_default()));
    body.push_str(&first_steps());
    for tag in tags(document) {
        let _ = write!(
            body,
            "<section><h2 id=\"{}\">{}</h2>{}",
            anchor(tag.0),
            escaped(&capitalised(tag.0)),
            prose(tag.1)
        );
        for operation in operation::of_tag(document, tag.0) {
            body.push_str(&operation.write());
        }
        body.push_str("</section>");
    }
    body.push_str(&problems());
    body.push_str(&schemas(document));
    body.push_str("</main>");
    body
}

fn first_steps() -> String {
    "<section><h2 id=\"first-steps\">First steps</h2>\
     <p>Put the key into a file that only you can read, so that it stands neither in your history nor in the process list:</p>\
     <pre>printf 'Authorization: Bearer %s\\n' \"$(cat api-key)\" &gt; auth-header; chmod 600 auth-header\n\
curl -s -H @auth-header http://127.0.0.1:8080/api/v1/agents</pre>\
     <p>Ask for four pings of 127.0.0.1 from any agent that is online, and wait for the answer:</p>\
     <pre>curl -s -H @auth-header -H 'Content-Type: application/json' \\\n  -d '{\"spec\":{\"probe\":\"ping\",\"target\":\"127.0.0.1\"}}' 'http://127.0.0.1:8080/api/v1/measurements?wait=30s'</pre></section>"
        .to_owned()
}

fn navigation(document: &Value) -> String {
    let mut written = String::from("<nav aria-label=\"Contents\"><p><a href=\"/\">ProbeOps</a></p><ul><li><a href=\"#first-steps\">First steps</a></li>");
    for (tag, _) in tags(document) {
        let _ = write!(written, "<li><a href=\"#{}\">{}</a><ul>", anchor(tag), escaped(&capitalised(tag)));
        for operation in operation::of_tag(document, tag) {
            let _ = write!(
                written,
                "<li><a href=\"#{}\">{}</a></li>",
                escaped(operation.id()),
                escaped(operation.summary())
            );
        }
        written.push_str("</ul></li>");
    }
    written.push_str("<li><a href=\"#problems\">Problems</a></li><li><a href=\"#schemas\">Schemas</a></li><li><a href=\"/api/v1/openapi.json\">OpenAPI document</a></li></ul></nav>");
    written
}

fn tags(document: &Value) -> Vec<(&str, &str)> {
    let tags = document.get("tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    tags.iter()
        .filter_map(|tag| Some((tag.get("name")?.as_str()?, tag.get("description").and_then(Value::as_str).unwrap_or_default())))
        .collect()
}

fn problems() -> String {
    let mut written = String::from(
        "<section><h2 id=\"problems\">Problems</h2><p>Every error is answered with a body of <code>application/problem+json</code> (RFC 9457). \
         Programs rely on <code>code</code>; the sentence in <code>detail</code> may change. <code>request_id</code> finds the request in the server's log.</p><dl>",
    );
    for code in ALL {
        let name = name(code);
        let _ = write!(
            written,
            "<dt id=\"problem-{name}\"><code>{name}</code> <span class=\"status\">{}</span></dt><dd><strong>{}.</strong> {}</dd>",
            code.http_status(),
            escaped(title(code)),
            inline(meaning(code))
        );
    }
    written.push_str("</dl></section>");
    written
}

fn schemas(document: &Value) -> String {
    let mut written = String::from("<section><h2 id=\"schemas\">Schemas</h2>");
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    for (name, value) in schemas.into_iter().flatten() {
        let _ = write!(
            written,
            "<article><h3 id=\"schema-{0}\">{0}</h3>{1}</article>",
            escaped(name),
            schema::described(value)
        );
    }
    written.push_str("</section>");
    written
}

fn anchor(tag: &str) -> String {
    format!("tag-{}", tag.replace(' ', "-"))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    fn written() -> String {
        page(&serde_json::to_value(api::document()).unwrap())
    }

    #[test]
    fn every_operation_schema_and_problem_has_its_place() {
        let page = written();
        let document = serde_json::to_value(api::document()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(page.contains(&format!("id=\"{id}\"")), "{path} {id}");
                assert!(page.contains(&escaped(path)), "{path}");
            }
        }
        for code in ALL {
            assert!(page.contains(&format!("id=\"problem-{}\"", name(code))));
        }
    }

    #[test]
    fn links_within_the_page_lead_somewhere() {
        let page = written();
        for piece in page.split("href=\"#").skip(1) {
            let target = piece.split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{target}\"")), "#{target}");
        }
    }

    #[test]
    fn the_page_needs_no_outside_host_and_no_script() {
        let page = written();
        assert!(!page.contains("<script") && !page.contains("style=\""));
        for piece in page.split("http").skip(1) {
            let harmless = ["://127.0.0.1:8080", "s://", "_", " ", "-"].iter().any(|start| piece.starts_with(start));
            assert!(harmless || !piece.starts_with("://"), "{}", piece.chars().take(60).collect::<String>());
        }
        assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    }
}
