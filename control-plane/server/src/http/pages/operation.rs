//! One operation of the API in the reference: what it does, what it takes, what it answers, an example.

use std::fmt::Write as _;

use serde_json::Value;

use super::html::{escaped, inline, prose};
use super::schema;

/// One operation, as the document has it.
pub(super) struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    value: &'a Value,
}

/// The operations of a tag, in the document's order.
pub(super) fn of_tag<'a>(document: &'a Value, tag: &str) -> Vec<Operation<'a>> {
    let paths = document.get("paths").and_then(Value::as_object);
    let operations = paths.into_iter().flatten().flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, value)| Operation { method, path, value })
    });
    operations.filter(|operation| operation.list("tags").iter().any(|own| own == tag)).collect()
}

impl Operation<'_> {
    /// Its id, which is its anchor.
    pub(super) fn id(&self) -> &str {
        self.text("operationId")
    }

    /// What it does, in a few words.
    pub(super) fn summary(&self) -> &str {
        self.text("summary")
    }

    /// The whole article.
    pub(super) fn write(&self) -> String {
        let method = self.method.to_uppercase();
        let mut written = format!(
            "<article><h3 id=\"{}\">{}</h3><p class=\"line\"><span class=\"method {}\">{method}</span> <code>{}</code>{}</p>{}",
            escaped(self.id()),
            escaped(self.summary()),
            escaped(self.method),
            escaped(self.path),
            self.scope(),
            prose(self.text("description")),
        );
        written.push_str(&self.parameters());
        if let Some(body) = self.value.pointer("/requestBody/content/application~1json/schema") {
            let _ = write!(written, "<h4>Body</h4><p>{}</p>", schema::kind(body));
        }
        written.push_str(&self.responses());
        let _ = write!(
            written,
            "<details><summary>Example</summary><pre>{}</pre></details></article>",
            escaped(&self.example())
        );
        written
    }

    fn text(&self, name: &str) -> &str {
        self.value.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, name: &str) -> &[Value] {
        self.value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn scope(&self) -> String {
        let scope = self.value.pointer("/security/0/api_key/0").and_then(Value::as_str).unwrap_or_default();
        format!(" <span class=\"scope\">scope <code>{}</code></span>", escaped(scope))
    }

    fn parameters(&self) -> String {
        let mut written = String::new();
        for parameter in self.list("parameters") {
            let text = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default();
            let kind = parameter.get("schema").map(schema::kind).unwrap_or_default();
            let _ = write!(
                written,
                "<tr><td><code>{}</code></td><td>{}</td><td>{kind}</td><td>{}</td></tr>",
                escaped(text("name")),
                escaped(text("in")),
                inline(text("description"))
            );
        }
        if written.is_empty() {
            return written;
        }
        format!(
            "<h4>Parameters</h4><div class=\"wide\"><table><thead><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead><tbody>{written}</tbody></table></div>"
        )
    }

    fn responses(&self) -> String {
        let mut written =
            String::from("<h4>Answers</h4><div class=\"wide\"><table><thead><tr><th>Status</th><th>Meaning</th><th>Body</th></tr></thead><tbody>");
        for (status, response) in self.value.get("responses").and_then(Value::as_object).into_iter().flatten() {
            let content = response.get("content").and_then(Value::as_object).and_then(|content| content.values().next());
            let body = content.and_then(|content| content.get("schema")).map(schema::kind).unwrap_or_default();
            let meaning = response.get("description").and_then(Value::as_str).unwrap_or_default();
            let _ = write!(written, "<tr><td>{}</td><td>{}</td><td>{body}</td></tr>", escaped(status), inline(meaning));
        }
        written.push_str("</tbody></table></div>");
        written
    }

    fn example(&self) -> String {
        let mut line = String::from("curl -s -H @auth-header");
        if self.id().ends_with("_events") {
            line.push_str(" -N");
        }
        if !matches!(self.method, "get" | "post") || (self.method == "post" && self.value.get("requestBody").is_none()) {
            let _ = write!(line, " -X {}", self.method.to_uppercase());
        }
        if let Some(body) = self.value.pointer("/requestBody/content/application~1json/example") {
            let _ = write!(line, " -H 'Content-Type: application/json' \\\n  -d '{body}'");
        }
        let _ = write!(line, " \\\n  http://127.0.0.1:8080{}", self.path.replace("{id}", "$ID"));
        line
    }
}
