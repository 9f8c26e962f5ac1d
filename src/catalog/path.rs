//! The path of a request: a template cut at its slashes, and filling it in without changing its shape.
//!
//! Every value is encoded as one segment, and what encoding cannot make safe is refused: `url` and reqwest collapse
//! `%2e%2e` like `..`, so dot segments are no encoding matter.

use std::{collections::HashMap, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::fill::{Fill, Scope, text_of};
use crate::error::{ArgumentProblem, CallError};

/// All but the unreserved characters of RFC 3986, section 2.3.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What a URL cannot have in its path as it stands; the rest is left as its author wrote it.
const LITERAL: &AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'\\').add(b'^').add(b'|');

/// A path with placeholders, cut at its slashes.
#[derive(Clone, Debug, PartialEq)]
pub struct PathTemplate {
    segments: Vec<Vec<PathPiece>>,
}

#[derive(Clone, Debug, PartialEq)]
enum PathPiece {
    /// Text, encoded.
    Text(String),
    Placeholder {
        name: String,
        fill: Fill,
        /// Whether its slashes stay slashes (`{name+}`).
        greedy: bool,
    },
}

/// The parts of a path as a spec writes it: specs put queries into it, which belong elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub struct WrittenPath<'a> {
    /// The path alone.
    pub path: &'a str,
    /// Query parameters with fixed values or placeholders.
    pub query: Vec<(&'a str, &'a str)>,
    /// Whether the query stands behind `#`, as in AWS query APIs.
    pub fragment: bool,
}

impl<'a> WrittenPath<'a> {
    /// Splits `/a/{b}?c=d` or `/#Action=X`.
    pub fn split(text: &'a str) -> Self {
        let text = text.trim();
        let at = |separator: char| text.split_once(separator).filter(|(path, _)| !path.ends_with('{'));
        let fragment = at('#').filter(|(path, _)| !path.contains('?'));
        let (path, query) = fragment.or_else(|| at('?')).unwrap_or((text, ""));
        let pairs = query.split(['&', '#']).filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        Self { path, query, fragment: fragment.is_some() }
    }
}

/// As a spec writes it: `/secrets/{name}`.
impl fmt::Display for PathTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            formatter.write_str("/")?;
            for piece in segment {
                match piece {
                    PathPiece::Text(text) => formatter.write_str(text)?,
                    PathPiece::Placeholder { name, fill: _, greedy } => {
                        write!(formatter, "{{{name}{}}}", if *greedy { "+" } else { "" })?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl PathTemplate {
    /// Reads `/secrets/{name}` or `/secrets/{{name}}`; every placeholder is filled by the argument of its name. The
    /// error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        if text.is_empty() {
            return Ok(Self { segments: Vec::new() }); // the base URL itself
        }
        let text = text.strip_prefix('/').unwrap_or(text);
        let segments = cut(text).into_iter().map(parse_segment).collect::<Result<Vec<_>, _>>()?;
        let template = Self { segments };
        // The client's own URL parser has the last word on what goes out: what it would change, a call could not send.
        let sample: String = template.segments.iter().fold(String::new(), |mut path, segment| {
            path.push('/');
            for piece in segment {
                path.push_str(match piece {
                    PathPiece::Text(text) => text,
                    PathPiece::Placeholder { .. } => "x",
                });
            }
            path
        });
        let parsed = url::Url::parse(&format!("https://host.invalid{sample}"));
        if parsed.ok().is_none_or(|url| url.path() != sample) {
            return Err("holds a `.` or `..` step, or characters that a URL cannot have; encode them".to_owned());
        }
        Ok(template)
    }

    /// The names of the placeholders, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flatten().filter_map(|piece| match piece {
            PathPiece::Placeholder { name, .. } => Some(name.as_str()),
            PathPiece::Text(_) => None,
        })
    }

    /// What fills the placeholders, in order.
    pub fn fills(&self) -> impl Iterator<Item = &Fill> {
        self.segments.iter().flatten().filter_map(|piece| match piece {
            PathPiece::Placeholder { fill, .. } => Some(fill),
            PathPiece::Text(_) => None,
        })
    }

    /// Sets what fills placeholders, by their names.
    pub fn fill(&mut self, fills: &HashMap<String, Fill>) {
        for piece in self.segments.iter_mut().flatten() {
            if let PathPiece::Placeholder { name, fill, .. } = piece
                && let Some(new) = fills.get(name)
            {
                *fill = new.clone();
            }
        }
    }

    /// How many segments it has.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// What fills the placeholders of both, where this path is the beginning of another, or all of it, and ends with a
    /// placeholder.
    pub(super) fn begins<'a>(&'a self, other: &'a Self) -> Option<Vec<(&'a Fill, &'a Fill)>> {
        let mut pairs = Vec::new();
        if self.segments.len() > other.segments.len() {
            return None;
        }
        for (own, other) in self.segments.iter().zip(&other.segments) {
            match (own.as_slice(), other.as_slice()) {
                ([PathPiece::Placeholder { fill: own, .. }], [PathPiece::Placeholder { fill: other, .. }]) => {
                    pairs.push((own, other));
                }
                (own, other) if own == other => {}
                _ => return None,
            }
        }
        let last = self.segments.last()?;
        matches!(last.as_slice(), [PathPiece::Placeholder { .. }]).then_some(pairs)
    }

    /// The path with its placeholders unnamed: the same for all that lead to the same place.
    pub fn shape(&self) -> String {
        let piece = |piece: &PathPiece| match piece {
            PathPiece::Text(text) => text.clone(),
            PathPiece::Placeholder { .. } => "{}".to_owned(),
        };
        let segments: Vec<String> = self.segments.iter().map(|segment| segment.iter().map(piece).collect()).collect();
        segments.join("/")
    }

    /// The path with all values in it. Values that cannot stand there are added to the problems.
    pub(super) fn bind(&self, scope: &Scope<'_>, problems: &mut Vec<ArgumentProblem>) -> Result<String, CallError> {
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
                    PathPiece::Placeholder { name, fill, greedy } => {
                        let value = fill.value(scope)?.as_deref().and_then(text_of).unwrap_or_default();
                        let steps: Vec<&str> = if *greedy { value.split('/').collect() } else { vec![&value] };
                        let steps: Vec<String> =
                            steps.iter().map(|step| utf8_percent_encode(step, ENCODED).to_string()).collect();
                        path.push_str(&steps.join("/"));
                        plain.push_str(&value);
                        values.push((fill.shown(name), value.clone(), *greedy));
                    }
                }
            }
            for (argument, value, greedy) in values {
                if let Some(message) = unsafe_in_path(&value, &plain, greedy) {
                    problems.push(ArgumentProblem { argument: argument.to_owned(), message: message.to_owned() });
                }
            }
        }
        Ok(path)
    }
}

/// Cuts at the slashes outside placeholders.
fn cut(text: &str) -> Vec<&str> {
    let mut open = 0_usize;
    text.split(|character: char| {
        match character {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        character == '/' && open == 0
    })
    .collect()
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
        // `{+name}` (RFC 6570) and `{name+}` (AWS) take slashes.
        let name = name.trim();
        let bare = name.strip_suffix('+').or_else(|| name.strip_suffix('*')).or_else(|| name.strip_prefix('+'));
        let greedy = bare.is_some();
        let name = bare.unwrap_or(name);
        if name.is_empty() || name.contains('{') {
            return Err("has a placeholder without a name".to_owned());
        }
        push_text(before, &mut pieces)?;
        let fill = Fill::Argument(super::names::argument(name));
        pieces.push(PathPiece::Placeholder { name: name.to_owned(), fill, greedy });
        rest = tail;
    }
    push_text(rest, &mut pieces)?;
    Ok(pieces)
}

fn push_text(text: &str, pieces: &mut Vec<PathPiece>) -> Result<(), String> {
    if text.contains('}') {
        return Err("has a `}` without a `{`".to_owned());
    }
    if !text.is_empty() {
        pieces.push(PathPiece::Text(utf8_percent_encode(text, LITERAL).to_string()));
    }
    Ok(())
}

/// Whether a step is `.` or `..`, which it is to many servers with parameters behind it as well (`..;v=1`; RFC 3986,
/// section 3.3).
fn is_dots(step: &str) -> bool {
    matches!(step.split(';').next(), Some("." | ".."))
}

/// Why a value must not stand in a path segment; `segment` is the whole segment, not encoded.
fn unsafe_in_path(value: &str, segment: &str, greedy: bool) -> Option<&'static str> {
    let decoded = percent_decode_str(segment).decode_utf8_lossy();
    if value.is_empty() {
        Some("goes into the path of a URL and must not be empty")
    } else if value.chars().any(char::is_control) || decoded.chars().any(char::is_control) {
        Some("goes into the path of a URL and must hold no control characters")
    } else if matches!(segment, "." | "..") || is_dots(&decoded) {
        Some("goes into the path of a URL and must be neither `.` nor `..`")
    } else if decoded.split(['/', '\\']).any(is_dots) {
        Some("goes into the path of a URL and must hold no `.` or `..` step")
    } else if greedy && (value.starts_with('/') || value.ends_with('/') || value.contains("//")) {
        Some("goes into the path of a URL; its steps must not be empty")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bind(path: &str, arguments: Value) -> Result<String, Vec<ArgumentProblem>> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        let mut problems = Vec::new();
        let scope = Scope::new(&arguments, &Value::Null);
        let path = PathTemplate::parse(path).expect("a path").bind(&scope, &mut problems).expect("bound");
        if problems.is_empty() { Ok(path) } else { Err(problems) }
    }

    #[test]
    fn broken_paths_are_refused() {
        for path in ["/a/{b", "/a/}", "/a/{}", "/a/../b", "/{{a}", "/a\nb", "/./a"] {
            PathTemplate::parse(path).expect_err(path);
        }
        for path in ["/", "", "a/{b}:{c}", "/cell(row={row})", "/a//b", "/a b", "/a/"] {
            PathTemplate::parse(path).expect(path);
        }
    }

    #[test]
    fn values_stay_in_their_segment() {
        let arguments = json!({"a": "x/y ?#%", "b": 7.0, "name": "one/two", "id": "é"});
        for (path, expected) in [
            ("/v1/{a}/{{ b }}", "/v1/x%2Fy%20%3F%23%25/7"),
            ("objects/{name+}", "/objects/one/two"),
            ("/objects/{+name}/x", "/objects/one/two/x"),
            ("/Invoice Items/{id}", "/Invoice%20Items/%C3%A9"),
            ("/cell(row={b},id='{id}')/", "/cell(row=7,id='%C3%A9')/"),
            ("//double", "//double"),
        ] {
            assert_eq!(bind(path, arguments.clone()).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn values_that_would_change_the_path_are_refused() {
        for value in ["", ".", "..", "%2e%2e", "%2E.", "a\u{0}", "a\nb", "%00", "../x", "a/../b", "..\\x", "a%2f.."] {
            for path in ["/v1/{a}/x", "/v1/{a+}"] {
                let problems = bind(path, json!({ "a": value })).expect_err(value);
                assert_eq!(problems.first().map(|problem| problem.argument.as_str()), Some("a"), "{value:?}");
            }
        }
        bind("/v1/{a+}", json!({"a": "x//y"})).expect_err("an empty step");
        bind("/v1/.{a}", json!({"a": "."})).expect_err("a step made of two");
        for path in ["/v1/{a};v=1", "/v1/{a};v={a}/x", "/v1/{a}%3Bv"] {
            bind(path, json!({"a": ".."})).expect_err(path);
            bind(path, json!({"a": "..x"})).expect(path);
        }
        bind("/v1/{a}", json!({"a": "..;x"})).expect_err("a step with parameters");
    }

    #[test]
    fn queries_in_paths_are_split_off() {
        for (text, path, query, fragment) in [
            ("/a/{b}", "/a/{b}", vec![], false),
            ("/a?b={c}&d", "/a", vec![("b", "{c}"), ("d", "")], false),
            ("/#Action=X", "/", vec![("Action", "X")], true),
            ("/a?b=1#frag", "/a", vec![("b", "1"), ("frag", "")], false),
        ] {
            assert_eq!(WrittenPath::split(text), WrittenPath { path, query, fragment }, "{text}");
        }
    }
}
