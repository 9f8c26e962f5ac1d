//! From arguments to an HTTP request: the template a tool's operation is lowered to, and filling it in.
//!
//! An argument never changes the shape of a request: every value is encoded for its slot. Credentials are not known here;
//! they are added where the request is sent.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use serde_json::Value;
use url::Url;

use super::{
    body::{BodyTemplate, pair, push_form},
    fill::{Fill, Scope, text_of},
    path::PathTemplate,
};
use crate::error::{ArgumentProblem, CallError};

/// The longest URL that is sent; servers and proxies commonly refuse more.
const MAX_URL_BYTES: usize = 16 * 1024;

/// A request with slots.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestTemplate {
    /// The HTTP method.
    pub method: Method,
    /// The path below the base URL.
    pub path: PathTemplate,
    /// Query parameters.
    pub query: Vec<QuerySlot>,
    /// Headers and what fills them.
    pub headers: Vec<(HeaderName, Fill)>,
    /// Cookies and what fills them.
    pub cookies: Vec<(String, Fill)>,
    /// The body.
    pub body: BodyTemplate,
    /// The media types that can be read (`Accept`).
    pub accept: &'static str,
}

/// A query parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct QuerySlot {
    /// The name on the wire.
    pub name: String,
    /// How lists and objects are written.
    pub style: QueryStyle,
    /// What fills it.
    pub fill: Fill,
}

/// How lists and objects are written into a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryStyle {
    /// A list repeats the name; the members of an object are named in brackets (OpenAPI: `form` exploded, `deepObject`).
    Repeat,
    /// A list is one value with something between its items (OpenAPI: `form` not exploded, `pipeDelimited`, …).
    Joined(&'static str),
    /// Lists and objects are written as JSON.
    Json,
    /// The members of an object take the place of a part of the name: `metadata[key]` → `metadata[MEMBER]`.
    Keyed {
        /// What stands behind the member's name, brackets included.
        suffix: String,
    },
}

impl RequestTemplate {
    /// What fills its slots.
    pub fn fills(&self) -> Vec<&Fill> {
        let slots = self.query.iter().map(|slot| &slot.fill).chain(self.headers.iter().map(|(_, fill)| fill));
        let slots = slots.chain(self.cookies.iter().map(|(_, fill)| fill));
        self.path.fills().chain(slots).chain(self.body.fills()).collect()
    }

    /// Fills the template in. Errors: [`CallError::Arguments`] for a value that cannot stand in its slot,
    /// [`CallError::Unconfigured`] for a variable that is not set.
    pub fn bind(&self, scope: &Scope<'_>, base: &Url) -> Result<Request<Bytes>, CallError> {
        let mut problems = Vec::new();
        let mut url = base.as_str().trim_end_matches('/').to_owned();
        url.push_str(&self.path.bind(scope, &mut problems)?);
        let mut query = Vec::new();
        for slot in &self.query {
            if let Some(value) = slot.fill.value(scope)? {
                slot.push(&value, &mut query);
            }
        }
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query.join("&"));
        }
        if url.len() > MAX_URL_BYTES {
            let message =
                format!("the arguments together make a URL of more than {MAX_URL_BYTES} bytes; send shorter values");
            problems.push(ArgumentProblem { argument: String::new(), message });
        }
        let mut request = Request::builder().method(&self.method).uri(&url);
        let mut headers = Vec::new();
        for (name, fill) in &self.headers {
            let Some(value) = fill.value(scope)?.as_deref().and_then(text_of) else { continue };
            headers.push((name.clone(), value, fill.shown(name.as_str()), !fill.secrets().is_empty()));
        }
        if let Some((cookies, shown, sensitive)) = self.cookies(scope)? {
            headers.push((header::COOKIE, cookies, shown, sensitive));
        }
        for (name, value, argument, sensitive) in headers {
            match HeaderValue::from_str(&value) {
                Ok(mut value) => {
                    value.set_sensitive(sensitive);
                    request = request.header(name, value);
                }
                Err(_) => problems.push(ArgumentProblem {
                    argument: argument.to_owned(),
                    message: "goes into an HTTP header and must be one line of printable ASCII".to_owned(),
                }),
            }
        }
        let body = self.body.bind(scope, &mut problems)?;
        if !problems.is_empty() {
            return Err(CallError::Arguments(problems));
        }
        let stated = |name: &HeaderName| self.headers.iter().any(|(stated, _)| stated == name);
        if !stated(&header::ACCEPT) {
            request = request.header(header::ACCEPT, self.accept);
        }
        let body = match body {
            Some((body, media_type)) => {
                // A form's boundary is ours to name.
                if !stated(&header::CONTENT_TYPE) || media_type.starts_with("multipart/") {
                    request = request.header(header::CONTENT_TYPE, media_type);
                }
                body
            }
            None => Bytes::new(),
        };
        request.body(body).map_err(|error| CallError::Internal(format!("request: {error}")))
    }

    /// The `Cookie` header, what to call it in messages, and whether it holds a credential.
    fn cookies<'a>(&'a self, scope: &Scope<'a>) -> Result<Option<(String, &'a str, bool)>, CallError> {
        let mut pairs = Vec::new();
        let (mut shown, mut sensitive) = ("", false);
        for (name, fill) in &self.cookies {
            if let Some(value) = fill.value(scope)?.as_deref().and_then(text_of) {
                pairs.push(pair(name, &value));
                shown = fill.shown(name);
                sensitive |= !fill.secrets().is_empty();
            }
        }
        Ok((!pairs.is_empty()).then(|| (pairs.join("; "), shown, sensitive)))
    }
}

impl QuerySlot {
    fn push(&self, value: &Value, query: &mut Vec<String>) {
        match (&self.style, value) {
            (QueryStyle::Joined(separator), Value::Array(items)) => {
                let items: Vec<String> = items.iter().filter_map(text_of).collect();
                if !items.is_empty() {
                    query.push(pair(&self.name, &items.join(separator)));
                }
            }
            (QueryStyle::Json, value) => query.extend(text_of(value).map(|text| pair(&self.name, &text))),
            (QueryStyle::Keyed { suffix }, Value::Object(members)) => {
                for (member, value) in members {
                    let name = format!("{}[{member}]{suffix}", self.name);
                    match value {
                        // `[in]` takes alternatives, which services read from one value.
                        Value::Array(items) if !suffix.is_empty() => {
                            let items: Vec<String> = items.iter().filter_map(text_of).collect();
                            query.push(pair(&name, &items.join(",")));
                        }
                        value => push_form(&name, value, query),
                    }
                }
            }
            _ => push_form(&self.name, value, query),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::body::Encoding, *};

    fn argument(name: &str) -> Fill {
        Fill::Argument(name.to_owned())
    }

    fn slot(name: &str, style: QueryStyle) -> QuerySlot {
        QuerySlot { name: name.to_owned(), style, fill: argument("filter") }
    }

    fn template() -> RequestTemplate {
        RequestTemplate {
            method: Method::POST,
            path: PathTemplate::parse("/v1/secrets/{name}/x-{{part}}").expect("a path"),
            query: vec![slot("filter[a]", QueryStyle::Repeat)],
            headers: vec![(HeaderName::from_static("x-note"), argument("note"))],
            cookies: vec![("c".to_owned(), argument("cookie"))],
            body: BodyTemplate::Json(Fill::Object(vec![
                ("value".to_owned(), argument("value")),
                ("fixed".to_owned(), Fill::Literal(json!(1))),
            ])),
            accept: "application/json",
        }
    }

    fn bind_with(template: &RequestTemplate, arguments: Value) -> Result<Request<Bytes>, CallError> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let base = Url::parse("https://host.test/base").expect("a URL");
        template.bind(&Scope::new(&arguments, &Value::Null), &base)
    }

    fn bind(arguments: Value) -> Result<Request<Bytes>, CallError> {
        bind_with(&template(), arguments)
    }

    #[test]
    fn every_value_goes_into_its_slot() {
        let request = bind(json!({
            "name": "A/b c%", "part": 7.0, "filter": ["x&y", 2], "value": 3.0, "note": "hi", "cookie": "a; b=c"
        }))
        .expect("bound");
        assert_eq!(
            request.uri().to_string(),
            "https://host.test/base/v1/secrets/A%2Fb%20c%25/x-7?filter%5Ba%5D=x%26y&filter%5Ba%5D=2"
        );
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.headers()["x-note"], "hi");
        assert_eq!(request.headers()["cookie"], "c=a%3B%20b%3Dc");
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.body(), r#"{"value":3,"fixed":1}"#);
    }

    #[test]
    fn absent_and_null_arguments_leave_their_slot_out() {
        let request = bind(json!({"name": "a", "part": "b", "filter": null})).expect("bound");
        assert_eq!(request.uri().query(), None);
        assert_eq!(request.body(), r#"{"fixed":1}"#);
        assert_eq!(request.headers().len(), 2, "Accept and Content-Type alone");
    }

    #[test]
    fn lists_and_objects_are_written_in_their_style() {
        let keyed = |suffix: &str| QueryStyle::Keyed { suffix: suffix.to_owned() };
        for (style, value, expected) in [
            (QueryStyle::Repeat, json!({"a": [1, 2], "b": "x"}), Some("q%5Ba%5D=1&q%5Ba%5D=2&q%5Bb%5D=x")),
            (QueryStyle::Joined(","), json!([1, "x y"]), Some("q=1%2Cx%20y")),
            (QueryStyle::Joined(","), json!([]), None),
            (keyed(""), json!({"team": "a&b"}), Some("q%5Bteam%5D=a%26b")),
            (keyed("[in]"), json!({"team": ["a", "b"]}), Some("q%5Bteam%5D%5Bin%5D=a%2Cb")),
        ] {
            let mut template = template();
            template.query = vec![slot("q", style)];
            let request = bind_with(&template, json!({"name": "a", "part": "b", "filter": value})).expect("bound");
            assert_eq!(request.uri().query(), expected);
        }
    }

    #[test]
    fn stated_headers_win_over_our_own() {
        let mut template = template();
        let literal = |text: &str| Fill::Literal(json!(text));
        template.headers =
            vec![(header::ACCEPT, literal("text/csv")), (header::CONTENT_TYPE, literal("application/vnd.api+json"))];
        let request = bind_with(&template, json!({"name": "a", "part": "b"})).expect("bound");
        assert_eq!(request.headers()["accept"], "text/csv");
        assert_eq!(request.headers()["content-type"], "application/vnd.api+json");
        template.body = BodyTemplate::Text {
            media_type: "text/plain".to_owned(),
            fill: argument("value"),
            encoding: Encoding::Plain,
        };
        let request = bind_with(&template, json!({"name": "a", "part": "b", "value": "x"})).expect("bound");
        assert_eq!(request.body(), "x");
    }

    #[test]
    fn values_that_would_change_the_request_are_refused() {
        let error = bind(json!({"name": "..", "part": "b"})).expect_err("refused");
        assert!(error.to_string().contains("`name`"), "{error}");
        let error = bind(json!({"name": "a", "part": "b", "note": "a\r\nHost: evil"})).expect_err("refused");
        assert!(error.to_string().contains("`note`"), "{error}");
        let error = bind(json!({"name": "a".repeat(20_000), "part": "b"})).expect_err("refused");
        assert!(error.to_string().contains("URL of more than"), "{error}");
    }

    proptest! {
        #[test]
        fn no_argument_changes_the_shape_of_a_request(name in "\\PC{0,40}|[./\\\\%2eE?#@:]{0,12}", part in "\\PC{0,20}", note in "\\PC{0,20}|[\\r\\n:a]{0,8}", filter in "\\PC{0,20}", cookie in "\\PC{0,20}|[;=, \\r\\n]{0,8}") {
            let Ok(request) = bind(json!({"name": name, "part": part, "note": note, "filter": filter, "cookie": cookie})) else { return Ok(()) };
            let text = request.uri().to_string();
            let parsed = Url::parse(&text).expect("a URL");
            prop_assert_eq!(parsed.host_str(), Some("host.test"));
            prop_assert_eq!(parsed.path(), request.uri().path(), "the client's parser keeps the path");
            prop_assert_eq!(parsed.path_segments().map(Iterator::count), Some(5));
            prop_assert!(parsed.fragment().is_none());
            prop_assert_eq!(parsed.query_pairs().count(), 1);
            prop_assert_eq!(request.headers().len(), 4);
        }
    }
}
