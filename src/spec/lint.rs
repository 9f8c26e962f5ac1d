//! What is no mistake in a document, but would be better otherwise: advice for whoever writes specs.
//!
//! One document at a time, and only what its text says: nothing is looked up, and nothing is left out for what is found
//! here. Mistakes are reported where they are read or lowered, and what concerns addresses where those are resolved.

use std::collections::{HashMap, HashSet};

use super::{Authentication, AuthenticationKind, Consumes, Document, InputParameter, Location, Spanned};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    prose::{lengths::MAX_ARGUMENT, tidy},
};

/// Headers that carry credentials.
const CREDENTIAL_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"];
/// A parameter that some generator leaves behind; it is dropped, and noted elsewhere.
const GENERATOR_ARTEFACT: &str = "_";
/// How many parameters one note names.
const MAX_NAMED: usize = 5;

/// Reads a document with a critical eye.
pub fn lint(document: &Document) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    information(document, &mut problems);
    namespaces(document, &mut problems);
    for consumes in &document.consumes {
        credentials_in_headers(consumes, &mut problems);
        // A parameter of a resource is one of each of its operations.
        let mut seen = HashSet::new();
        undescribed("every operation", &consumes.input_parameters, &mut seen, &mut problems);
        for operation in &consumes.operations {
            undescribed(&format!("`{}`", operation.name.value), &operation.input_parameters, &mut seen, &mut problems);
        }
    }
    queries_in_paths(document, &mut problems);
    let consumed = document.consumes.iter().filter_map(|consumes| consumes.authentication.as_ref());
    let exposed = document.servers.iter().filter_map(|server| server.authentication.as_ref());
    for authentication in consumed.chain(exposed) {
        oauth2(authentication, &mut problems);
    }
    for tool in document.servers.iter().flat_map(|server| &server.tools) {
        undescribed(&format!("`{}`", tool.name.value), &tool.input_parameters, &mut HashSet::new(), &mut problems);
    }
    for description in descriptions(document) {
        prose(description, &mut problems);
    }
    long_arguments(document, &mut problems);
    problems
}

fn information(document: &Document, problems: &mut Vec<Diagnostic>) {
    // A section for others to import is no capability.
    if !document.standalone && document.info.title.is_none() && document.info.description.is_none() {
        let message = "`info` does not say what this capability is called, nor what it is for";
        problems.push(Diagnostic::note(Code::MissingInfo, document.version.span, message));
    }
}

/// One space of names for services, servers and variables. Services that share one are a mistake, reported elsewhere.
fn namespaces(document: &Document, problems: &mut Vec<Diagnostic>) {
    let variables = document.binds.iter().map(|bind| (&bind.namespace, "variables"));
    let services = document.consumes.iter().map(|consumes| (&consumes.namespace, "a service"));
    let servers = document.servers.iter().filter_map(|server| Some((server.namespace.as_ref()?, "a server")));
    let mut seen: HashMap<&str, (Span, &str)> = HashMap::new();
    for (namespace, what) in variables.chain(services).chain(servers) {
        let Spanned { value, span } = namespace;
        match seen.get(value.as_str()) {
            Some((first, other)) if *other != what => {
                let message = format!("the namespace `{value}` of {what} is also that of {other}");
                let problem = Diagnostic::note(Code::ReusedNamespace, *span, message);
                problems.push(problem.with_secondary(*first, format!("the namespace of {other}")));
            }
            Some(_) => {}
            None => {
                seen.insert(value, (*span, what));
            }
        }
    }
}

/// One note for each path as written: a resource's is that of all its operations.
fn queries_in_paths(document: &Document, problems: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    for operation in document.consumes.iter().flat_map(|consumes| &consumes.operations) {
        let Spanned { value, span } = &operation.path;
        // What stands behind `#` is told of where the path is lowered.
        if let Some((_, query)) = value.split_once('?')
            && !value.contains('#')
            && seen.insert(*span)
        {
            let query: String = query.chars().take(60).collect();
            let message = format!("the query `{query}` stands in the path; it is sent as a query");
            problems.push(
                Diagnostic::note(Code::QueryInPath, *span, message)
                    .with_help("declare each part as a parameter with `in: query`, with `value` where it is fixed"),
            );
        }
    }
}

fn oauth2(authentication: &Authentication, problems: &mut Vec<Diagnostic>) {
    let AuthenticationKind::OAuth2(oauth2) = &authentication.kind else { return };
    if let Some(Spanned { value, span }) = &oauth2.resource
        && value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
    {
        let message = "the `resource` that tokens are for is not reached by https";
        problems.push(
            Diagnostic::warning(Code::InsecureBaseUri, *span, message)
                .with_help("a token that travels in clear text is anybody's; name the resource by `https://`"),
        );
    }
    if oauth2.scopes.is_empty() {
        let message = "no `scopes` are named; the authorization server decides what the token allows";
        problems.push(
            Diagnostic::note(Code::MissingScopes, authentication.span, message)
                .with_help("name the fewest that the operations need"),
        );
    }
}

fn credentials_in_headers(consumes: &Consumes, problems: &mut Vec<Diagnostic>) {
    let operations = consumes.operations.iter().flat_map(|operation| &operation.input_parameters);
    let mut seen = HashSet::new();
    for parameter in consumes.input_parameters.iter().chain(operations) {
        let InputParameter { name, location, value, .. } = parameter;
        let Some(value) = value else { continue };
        let in_header = location.as_ref().is_some_and(|location| location.value == Location::Header);
        let header = name.value.to_ascii_lowercase();
        let is_new = seen.insert(value.span);
        if in_header && is_new && CREDENTIAL_HEADERS.contains(&header.as_str()) && !value.value.contains("{{") {
            let message = format!("the header `{}` has a credential that stands in the spec itself", name.value);
            problems.push(
                Diagnostic::warning(Code::LiteralSecret, value.span, message)
                    .with_source_hidden()
                    .with_help("name the variable that holds it by `authentication`"),
            );
        }
    }
}

/// One note for all parameters of an operation or a tool: a spec may hold thousands.
fn undescribed(of: &str, parameters: &[InputParameter], seen: &mut HashSet<Span>, problems: &mut Vec<Diagnostic>) {
    // A schema describes its parameter itself; a fixed value, a variable and what a generator left behind are no arguments.
    let is_bare = |parameter: &&InputParameter| {
        let text = parameter.description.as_ref().map_or("", |text| text.value.trim());
        // The official dialect describes parameters where tools declare them; there those of operations have no type.
        let is_argument = parameter.location.is_none() || parameter.kind.is_some();
        text.is_empty()
            && is_argument
            && parameter.schema.is_none()
            && parameter.value.is_none()
            && parameter.name.value != GENERATOR_ARTEFACT
    };
    let bare: Vec<&InputParameter> =
        parameters.iter().filter(is_bare).filter(|parameter| seen.insert(parameter.name.span)).collect();
    let Some(first) = bare.first() else { return };
    let mut names: Vec<String> = bare.iter().take(MAX_NAMED).map(|one| format!("`{}`", one.name.value)).collect();
    if bare.len() > MAX_NAMED {
        names.push(format!("{} more", bare.len() - MAX_NAMED));
    }
    let message = match names.as_slice() {
        [one] => format!("the parameter {one} of {of} has no description"),
        [most @ .., last] => format!("the parameters {} and {last} of {of} have no description", most.join(", ")),
        [] => return,
    };
    problems.push(Diagnostic::note(Code::UndescribedParameter, first.name.span, message));
}

/// What arguments are said to be, where that is more than is listed.
fn long_arguments(document: &Document, problems: &mut Vec<Diagnostic>) {
    let operations = document.consumes.iter().flat_map(|consumes| &consumes.operations);
    let consumed = operations.flat_map(|operation| of_parameters(&operation.input_parameters));
    let tools = document.servers.iter().flat_map(|server| &server.tools);
    let exposed = tools.flat_map(|tool| of_parameters(&tool.input_parameters));
    let mut seen = HashSet::new();
    for Spanned { value, span } in consumed.chain(exposed) {
        let length = tidy(value.trim()).chars().count();
        if length > MAX_ARGUMENT && seen.insert(*span) {
            let message =
                format!("the description of the argument has {length} characters; it is cut to {MAX_ARGUMENT}");
            let problem = Diagnostic::note(Code::LongText, *span, message);
            problems.push(problem.with_help("say the most important first, in few words"));
        }
    }
}

fn descriptions(document: &Document) -> impl Iterator<Item = &Spanned<String>> {
    let consumed = document.consumes.iter().flat_map(|consumes| {
        let operations = consumes
            .operations
            .iter()
            .flat_map(|operation| operation.description.iter().chain(of_parameters(&operation.input_parameters)));
        consumes.description.iter().chain(operations)
    });
    let exposed = document.servers.iter().flat_map(|server| {
        let tools = server
            .tools
            .iter()
            .flat_map(|tool| tool.description.iter().chain(&tool.title).chain(of_parameters(&tool.input_parameters)));
        let resources = server.resources.iter().flat_map(|resource| resource.description.iter().chain(&resource.title));
        let prompts = server
            .prompts
            .iter()
            .flat_map(|prompt| prompt.description.iter().chain(&prompt.title).chain(of_parameters(&prompt.arguments)));
        server.description.iter().chain(tools).chain(resources).chain(prompts)
    });
    document.info.description.iter().chain(consumed).chain(exposed)
}

fn of_parameters(parameters: &[InputParameter]) -> impl Iterator<Item = &Spanned<String>> {
    parameters.iter().filter_map(|parameter| parameter.description.as_ref())
}

/// Descriptions are shown by clients and read by models.
fn prose(description: &Spanned<String>, problems: &mut Vec<Diagnostic>) {
    let Spanned { value, span } = description;
    let lower = value.to_ascii_lowercase();
    for found in ["<script", "javascript:", "eval("] {
        if lower.contains(found) {
            let message = format!("the description holds `{found}`, which a client that shows it may run");
            problems.push(Diagnostic::warning(Code::ActiveContent, *span, message));
        }
    }
    if has_password(value) {
        problems.push(password(*span));
    }
}

fn password(span: Span) -> Diagnostic {
    let message = "the description holds a URL with a password";
    Diagnostic::warning(Code::LiteralSecret, span, message).with_source_hidden()
}

/// Whether a text holds a URL with a user and a password (RFC 3986, section 3.2.1), other than a placeholder for them.
fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let end = |character: char| character.is_whitespace() || matches!(character, '/' | '?' | '#' | '"' | '`' | '<');
        let authority = rest.split(end).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
        password.is_some_and(|password| !password.is_empty() && !password.contains(['{', '$', '[']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Severity, SourceMap};

    fn codes(text: &str) -> Vec<&'static str> {
        let mut sources = SourceMap::default();
        let source = super::super::Source::Shipped { name: "a.yaml", text: text.to_owned().leak() };
        let (workspace, problems) = super::super::load(&[source], &mut sources);
        assert_eq!(problems, [], "{text}");
        let problems: Vec<_> = workspace.documents.iter().flat_map(lint).collect();
        assert!(problems.iter().all(|problem| problem.severity < Severity::Error));
        problems.iter().map(|problem| problem.code.as_str()).collect()
    }

    #[test]
    fn services_are_looked_at() {
        let service = |line: &str| {
            codes(&format!(
                "naftiko: 1.0.0-alpha2\ninfo: {{label: A}}\ncapability:\n  consumes: [{{namespace: a, {line}}}]\n"
            ))
        };
        let parameter =
            |line: &str| service(&format!("baseUri: 'https://a.test', inputParameters: [{{name: {line}}}]"));
        for (found, expected) in [
            (service("baseUri: https://a.test/v1"), vec![]),
            (service("baseUri: ''"), vec![]),
            (service("description: 'see http://u:hunter2@a.test/'"), vec!["literal-secret"]),
            (service("description: 'as http://USER:{password}@a.test/, or a: b@c'"), vec![]),
            (service("description: 'Hi <SCRIPT>'"), vec!["active-content"]),
            (parameter("Authorization, in: header, value: Bearer 1"), vec!["literal-secret"]),
            (parameter("Authorization, in: header, value: '{{KEY}}'"), vec![]),
            (parameter("X-Version, in: header, value: '2'"), vec![]),
            (parameter("q, in: query, type: string"), vec!["undescribed-parameter"]),
            (parameter("q, in: query, schema: 'a.json'"), vec![]),
            (parameter("q, in: query, description: The words."), vec![]),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn one_namespace_for_two_things_is_noted() {
        let server = "{type: mcp, namespace: b, tools: [{name: t, call: a.t}]}";
        let text = format!(
            "naftiko: 1.0.0-alpha2\nbinds: [{{namespace: a, keys: {{}}}}]\ncapability:\n  consumes: [{{namespace: a}}]\n  \
             exposes: [{server}, {server}]\n"
        );
        assert_eq!(codes(&text), ["missing-info", "reused-namespace"]);
    }
}
