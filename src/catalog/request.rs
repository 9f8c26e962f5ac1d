//! From arguments to an HTTP request: the template a tool's operation is lowered to, and filling it in.
//!
//! An argument never changes the shape of a request. Every value is encoded for its slot, and what encoding cannot
//! make safe is refused: `url` and reqwest collapse `%2e%2e` like `..`, so dot segments are no encoding matter.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use url::Url;

use super::JsonObject;
use crate::error::{ArgumentProblem, CallError};

/// All but the unreserved characters of RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The longest URL that is sent; servers and proxies commonly refuse more.
const MAX_URL_BYTES: usize = 16 * 1024;

/// A request with slots for arguments.
#[derive(Debug, PartialEq)]
pub struct RequestTemplate {
    /// The HTTP method.
    pub method: Method,
    /// The path below the base URL.
    pub path: PathTemplate,
    /// Query parameters: the name on the wire and what fills it.
    pub query: Vec<(String, Fill)>,
    /// Headers and what fills them.
    pub headers: Vec<(HeaderName, Fill)>,
    /// The body.
    pub body: BodyTemplate,
}

/// What fills a slot.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// The argument of this name; the slot is left out where it is absent.
    Argument(String),
    /// A fixed value.
    Literal(Value),
}

/// The body of a request.
#[derive(Debug, PartialEq)]
pub enum BodyTemplate {
    /// None is sent.
    None,
    /// JSON: the value of one slot.
    Whole(Fill),
    /// A JSON object: each member and what fills it. Sent even when no member is filled.
    Members(Vec<(String, Fill)>),
}

/// A path with placeholders, cut at its slashes.
#[derive(Debug, PartialEq)]
pub struct PathTemplate {
    segments: Vec<Vec<PathPiece>>,
}

#[derive(Debug, PartialEq)]
enum PathPiece {
    Text(String),
    Placeholder(String, Fill),
}

impl PathTemplate {
    /// Reads `/secrets/{name}` or `/secrets/{{name}}`; every placeholder is filled by the argument of its name. The
    /// error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['?', '#']) {
            return Err("holds a query or fragment; declare query parameters instead".to_owned());
        }
        if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err("holds a space or control character".to_owned());
        }
        let text = text.strip_prefix('/').unwrap_or(text);
        // The client's own URL parser has the last word on what goes out: what it would change, a call could not send.
        let literal: String =
            text.split('{').map(|part| part.rsplit('}').next().unwrap_or(part)).collect::<Vec<_>>().join("x");
        let parsed = url::Url::parse("https://host.invalid/").and_then(|base| base.join(&format!("/{literal}")));
        if parsed.ok().is_none_or(|url| url.path() != format!("/{literal}")) {
            return Err(
                "holds characters that a URL cannot have as they stand, or a `.` or `..` step; encode them".to_owned()
            );
        }
        let segments = text.split('/').map(parse_segment).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments })
    }

    /// The names of the placeholders, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flatten().filter_map(|piece| match piece {
            PathPiece::Placeholder(name, _) => Some(name.as_str()),
            PathPiece::Text(_) => None,
        })
    }

    /// Sets what fills a placeholder.
    pub fn fill(&mut self, placeholder: &str, new: &Fill) {
        for piece in self.segments.iter_mut().flatten() {
            if let PathPiece::Placeholder(name, fill) = piece
                && name == placeholder
            {
                *fill = new.clone();
            }
        }
    }

    fn bind(&self, arguments: &JsonObject, problems: &mut Vec<ArgumentProblem>) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            let mut plain = String::new();
            let mut values = Vec::new();
            for piece in segment {
                match piece {
                    PathPiece::Text(text) => {
                        path.push_str(text);
                        plain.push_str(text);
                    }
                    PathPiece::Placeholder(name, fill) => {
                        let value = fill.value(arguments).and_then(text_of).unwrap_or_default();
                        path.extend(utf8_percent_encode(&value, ENCODED));
                        plain.push_str(&value);
                        values.push((fill.name(name), value));
                    }
                }
            }
            for (argument, value) in values {
                if let Some(message) = unsafe_in_path(&value, &plain) {
                    problems.push(ArgumentProblem { argument: argument.to_owned(), message: message.to_owned() });
                }
            }
        }
        path
    }
}

impl Fill {
    /// The argument that fills it.
    pub fn argument(&self) -> Option<&str> {
        match self {
            Self::Argument(name) => Some(name),
            Self::Literal(_) => None,
        }
    }

    fn value<'a>(&'a self, arguments: &'a JsonObject) -> Option<&'a Value> {
        match self {
            Self::Argument(name) => arguments.get(name),
            Self::Literal(value) => Some(value),
        }
    }

    fn name<'a>(&'a self, slot: &'a str) -> &'a str {
        match self {
            Self::Argument(name) => name,
            Self::Literal(_) => slot,
        }
    }
}

impl RequestTemplate {
    /// What fills its slots.
    pub fn fills(&self) -> impl Iterator<Item = &Fill> {
        let path = self.path.segments.iter().flatten().filter_map(|piece| match piece {
            PathPiece::Placeholder(_, fill) => Some(fill),
            PathPiece::Text(_) => None,
        });
        let slots = self.query.iter().map(|(_, fill)| fill).chain(self.headers.iter().map(|(_, fill)| fill));
        let body: Vec<&Fill> = match &self.body {
            BodyTemplate::None => Vec::new(),
            BodyTemplate::Whole(fill) => vec![fill],
            BodyTemplate::Members(members) => members.iter().map(|(_, fill)| fill).collect(),
        };
        path.chain(slots).chain(body)
    }

    /// Fills the template in, below a base URL that ends in no slash. Errors: [`CallError::Arguments`] for a value that cannot stand in its slot.
    pub fn bind(&self, arguments: &JsonObject, base: &Url) -> Result<Request<Bytes>, CallError> {
        let mut problems = Vec::new();
        let mut url = base.as_str().trim_end_matches('/').to_owned();
        url.push_str(&self.path.bind(arguments, &mut problems));
        let mut query = Vec::new();
        for (name, fill) in &self.query {
            push_query(name, fill.value(arguments), &mut query);
        }
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query.join("&"));
        }
        if url.len() > MAX_URL_BYTES {
            let message = format!("together make a URL of more than {MAX_URL_BYTES} bytes; send shorter values");
            problems.push(ArgumentProblem { argument: String::new(), message: format!("the arguments {message}") });
        }
        let mut request = Request::builder().method(&self.method).uri(&url);
        for (name, fill) in &self.headers {
            let Some(value) = fill.value(arguments).and_then(text_of) else { continue };
            match HeaderValue::from_str(&value) {
                Ok(value) => request = request.header(name, value),
                Err(_) => problems.push(ArgumentProblem {
                    argument: fill.name(name.as_str()).to_owned(),
                    message: "goes into an HTTP header and must be one line of printable ASCII".to_owned(),
                }),
            }
        }
        if !problems.is_empty() {
            return Err(CallError::Arguments(problems));
        }
        request = request.header(header::ACCEPT, "application/json");
        let body = match self.body.bind(arguments) {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(body).map_err(|error| CallError::Internal(format!("request: {error}")))
    }
}

impl BodyTemplate {
    fn bind(&self, arguments: &JsonObject) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Whole(fill) => fill.value(arguments).cloned().map(whole_numbers),
            Self::Members(members) => {
                let filled =
                    members.iter().filter_map(|(name, fill)| Some((name.clone(), fill.value(arguments)?.clone())));
                Some(whole_numbers(Value::Object(filled.collect())))
            }
        }
    }
}

fn parse_segment(segment: &str) -> Result<Vec<PathPiece>, String> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('{') {
        let (double, after) = match after.strip_prefix('{') {
            Some(after) => (true, after),
            None => (false, after),
        };
        let end = if double { "}}" } else { "}" };
        let (name, tail) = after.split_once(end).ok_or_else(|| format!("has a `{{` without `{end}`"))?;
        let name = name.trim();
        if name.is_empty() || name.contains('{') {
            return Err("has a placeholder without a name".to_owned());
        }
        push_text(before, &mut pieces)?;
        pieces.push(PathPiece::Placeholder(name.to_owned(), Fill::Argument(name.to_owned())));
        rest = tail;
    }
    push_text(rest, &mut pieces)?;
    if pieces.iter().all(|piece| matches!(piece, PathPiece::Text(text) if text == "." || text == ".."))
        && !pieces.is_empty()
    {
        return Err("holds a `.` or `..` segment".to_owned());
    }
    Ok(pieces)
}

fn push_text(text: &str, pieces: &mut Vec<PathPiece>) -> Result<(), String> {
    if text.contains('}') {
        return Err("has a `}` without a `{`".to_owned());
    }
    if !text.is_empty() {
        pieces.push(PathPiece::Text(text.to_owned()));
    }
    Ok(())
}

/// Why a value must not stand in a path segment; `segment` is the whole segment, not encoded.
fn unsafe_in_path(value: &str, segment: &str) -> Option<&'static str> {
    let decoded = percent_decode_str(segment).decode_utf8_lossy();
    if value.is_empty() {
        Some("goes into the path of a URL and must not be empty")
    } else if value.chars().any(char::is_control) || decoded.chars().any(char::is_control) {
        Some("goes into the path of a URL and must hold no control characters")
    } else if matches!(segment, "." | "..") || matches!(&*decoded, "." | "..") {
        Some("goes into the path of a URL and must be neither `.` nor `..`")
    } else if decoded.split(['/', '\\']).any(|step| matches!(step, "." | "..")) {
        Some("goes into the path of a URL and must hold no `.` or `..` step")
    } else {
        None
    }
}

fn push_query(name: &str, value: Option<&Value>, query: &mut Vec<String>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => items.iter().for_each(|item| push_query(name, Some(item), query)),
        Some(value) => query.extend(text_of(value).map(|text| pair(name, &text))),
    }
}

fn pair(name: &str, value: &str) -> String {
    format!("{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(value, ENCODED))
}

/// A value as text for a path, query or header slot; `None` for null.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(whole_numbers(other.clone()).to_string()),
    }
}

/// Writes 7.0 as 7: both are integers to JSON Schema, but not to every backend.
pub(super) fn whole_numbers(value: Value) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53, so exact")]
            Some(float) if float.fract() == 0.0 && float.abs() < EXACT => Value::from(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, whole_numbers(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn template() -> RequestTemplate {
        RequestTemplate {
            method: Method::POST,
            path: PathTemplate::parse("/v1/secrets/{name}/x-{{part}}").expect("a path"),
            query: vec![("filter[a]".to_owned(), Fill::Argument("filter".to_owned()))],
            headers: vec![(HeaderName::from_static("x-note"), Fill::Argument("note".to_owned()))],
            body: BodyTemplate::Members(vec![
                ("value".to_owned(), Fill::Argument("value".to_owned())),
                ("fixed".to_owned(), Fill::Literal(json!(1))),
            ]),
        }
    }

    fn bind(arguments: Value) -> Result<Request<Bytes>, CallError> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        template().bind(&arguments, &Url::parse("https://host.test/base").expect("a URL"))
    }

    #[test]
    fn every_value_goes_into_its_slot() {
        let request = bind(json!({"name": "A/b c%", "part": 7.0, "filter": ["x&y", 2], "value": 3.0, "note": "hi"}))
            .expect("bound");
        assert_eq!(
            request.uri().to_string(),
            "https://host.test/base/v1/secrets/A%2Fb%20c%25/x-7?filter%5Ba%5D=x%26y&filter%5Ba%5D=2"
        );
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.headers()["x-note"], "hi");
        assert_eq!(request.body(), r#"{"value":3,"fixed":1}"#);
    }

    #[test]
    fn absent_and_null_arguments_leave_their_slot_out() {
        let request = bind(json!({"name": "a", "part": "b", "filter": null})).expect("bound");
        assert_eq!(request.uri().query(), None);
        assert_eq!(request.body(), r#"{"fixed":1}"#);
    }

    #[test]
    fn values_that_would_change_the_request_are_refused() {
        for name in ["", ".", "..", "%2e%2e", "%2E.", "a\u{0}", "a\nb", "%00", "../x", "a/../b", "..\\x", "a%2f.."] {
            let error = bind(json!({"name": name, "part": "b"})).expect_err(name);
            let CallError::Arguments(problems) = &error else { panic!("{error}") };
            assert_eq!(problems[0].argument, "name", "{name:?}");
        }
        let error = bind(json!({"name": "a", "part": "b", "note": "a\r\nHost: evil"})).expect_err("refused");
        assert!(error.to_string().contains("`note`"), "{error}");
        let error = bind(json!({"name": "a".repeat(20_000), "part": "b"})).expect_err("refused");
        assert!(error.to_string().contains("URL of more than"), "{error}");
    }

    #[test]
    fn broken_paths_are_refused() {
        for path in ["/a/{b", "/a/}", "/a/{}", "/a?b=c", "/a#b", "/a b", "/a/../b", "/{{a}"] {
            PathTemplate::parse(path).expect_err(path);
        }
        for path in ["/", "", "a/{b}:{c}", "/cell(row={row})", "/a//b"] {
            PathTemplate::parse(path).expect(path);
        }
    }

    proptest! {
        #[test]
        fn no_argument_changes_the_shape_of_a_request(name in "\\PC{0,40}|[./\\\\%2eE?#@:]{0,12}", part in "\\PC{0,20}", note in "\\PC{0,20}|[\\r\\n:a]{0,8}", filter in "\\PC{0,20}") {
            let Ok(request) = bind(json!({"name": name, "part": part, "note": note, "filter": filter})) else { return Ok(()) };
            let text = request.uri().to_string();
            let parsed = Url::parse(&text).expect("a URL");
            prop_assert_eq!(parsed.host_str(), Some("host.test"));
            prop_assert_eq!(parsed.path(), request.uri().path(), "the client's parser keeps the path");
            prop_assert_eq!(parsed.path_segments().map(Iterator::count), Some(5));
            prop_assert!(parsed.fragment().is_none());
            prop_assert_eq!(parsed.query_pairs().count(), 1);
            prop_assert_eq!(request.headers().len(), 3);
        }
    }
}
