//! `binds`: the variables a capability may read and where they come from, as written; with `externalRefs`, which early
//! versions of the language have instead. No value is read here.

use super::{
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic};

/// A set of variables from one source.
#[derive(Clone, Debug)]
pub struct Bind {
    /// The prefix in templates: `{{NAMESPACE.VARIABLE}}`.
    pub namespace: Spanned<String>,
    /// Variable → name in the source.
    pub keys: Vec<(Spanned<String>, Spanned<String>)>,
    /// Where the values are.
    pub source: BindSource,
}

/// Where the values of variables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindSource {
    /// In the environment of the process.
    Environment,
    /// In a file, as its URI names it: `file:///./name` and other relative paths start at the spec.
    File(Spanned<String>),
    /// In a place that cannot be read; its variables have no value.
    Unsupported,
}

/// Reads an entry of one of the two sections.
pub(super) type ReadBind = fn(&NamedNode<'_>, &mut Vec<Diagnostic>) -> Option<Bind>;

/// An entry of `binds`.
pub(super) fn read_bind(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Bind> {
    let mut fields = Fields::of(named.node, "an entry of `binds`", problems)?;
    fields.skip(&["description"]);
    let namespace = fields.required_text(&["namespace"], problems)?;
    let keys = fields.node(&["keys"]);
    let location = fields.text(&["location"], problems);
    fields.finish(problems);
    let source = match location {
        Some(location) => source(location, problems),
        None => BindSource::Environment,
    };
    Some(Bind { keys: read_keys(keys, &namespace, problems)?, namespace, source })
}

/// An entry of `externalRefs`, in the words of 0.4 and 0.5: `resolution: file` with a `uri`, or `runtime` for the
/// environment.
pub(super) fn read_reference(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Bind> {
    let mut fields = Fields::of(named.node, "an entry of `externalRefs`", problems)?;
    fields.skip(&["description", "type"]);
    let namespace = fields.required_text(&["name"], problems)?;
    let resolution = fields.text(&["resolution"], problems);
    let uri = fields.text(&["uri"], problems);
    let keys = fields.node(&["keys"]);
    fields.finish(problems);
    let source = match (resolution.as_ref().map(|resolution| resolution.value.as_str()), uri) {
        (Some("file") | None, Some(uri)) => source(uri, problems),
        (Some("runtime") | None, _) => BindSource::Environment,
        (Some("file"), None) => {
            let message = "an entry of `externalRefs` with `resolution: file` needs `uri`";
            problems.push(Diagnostic::warning(Code::MissingField, namespace.span, message));
            BindSource::Unsupported
        }
        (Some(other), _) => {
            let span = resolution.as_ref().map_or(namespace.span, |resolution| resolution.span);
            let message = format!("`resolution` must be `file` or `runtime`, found `{other}`");
            let problem = Diagnostic::warning(Code::InvalidValue, span, message);
            problems.push(problem.with_nearest(other, ["file", "runtime"]));
            BindSource::Unsupported
        }
    };
    Some(Bind { keys: read_keys(keys, &namespace, problems)?, namespace, source })
}

/// A location by its URI. A path without a scheme is taken as a file's.
fn source(location: Spanned<String>, problems: &mut Vec<Diagnostic>) -> BindSource {
    match location.value.split_once(':') {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => BindSource::File(location),
        // One letter is a drive, not a scheme.
        Some((scheme, _))
            if scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
        {
            let message = format!("variables from `{scheme}:` are not read by this version; expected `file:`");
            let problem = Diagnostic::warning(Code::UnsupportedFeature, location.span, message);
            problems
                .push(problem.with_help("leave `location` out to take them from the environment").with_source_hidden());
            BindSource::Unsupported
        }
        _ => BindSource::File(location),
    }
}

fn read_keys(
    node: Option<&Node>,
    namespace: &Spanned<String>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<(Spanned<String>, Spanned<String>)>> {
    match node.map(|node| &node.value) {
        Some(Value::Mapping(entries)) => {
            let key = |(key, node): &(super::yaml::Key, Node)| {
                let source = match &node.value {
                    Value::String(text) => text.clone(),
                    _ => key.text.clone(),
                };
                (Spanned::new(key.text.clone(), key.span), Spanned::new(source, node.span))
            };
            Some(entries.iter().map(key).collect())
        }
        Some(Value::Sequence(items)) if items.iter().all(|item| matches!(item.value, Value::String(_))) => {
            let name = |item: &Node| match &item.value {
                Value::String(text) => Some(Spanned::new(text.clone(), item.span)),
                _ => None,
            };
            Some(items.iter().filter_map(name).map(|name| (name.clone(), name)).collect())
        }
        _ => {
            let message = "variables need `keys`, a map from variable to the name in its source";
            problems.push(Diagnostic::error(Code::MissingField, namespace.span, message));
            None
        }
    }
}
