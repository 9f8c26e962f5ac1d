//! `authentication`: how calls to a consumed service prove who they are, and what callers of an exposed server have to
//! show. One object for both. Mirrors the text; nothing is resolved here.

use super::{
    reader::{Fields, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Severity, Span, has_errors};

/// How a caller authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The kind.
    pub kind: AuthenticationKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of authentication. Texts are templates over variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticationKind {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer {
        /// The token.
        token: Option<Spanned<String>>,
    },
    /// Keys in headers or query parameters of any name, all of them together.
    ApiKey(Vec<ApiKey>),
    /// User and password as they are (RFC 7617).
    Basic(User),
    /// User and password, shown to be known without being sent (RFC 7616).
    Digest(User),
    /// A token that an authorization server issues (RFC 6749).
    OAuth2(Box<OAuth2>),
    /// One that could not be read; what it guards stays closed.
    Unreadable,
}

/// A key and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The name of the header or query parameter.
    pub name: Option<Spanned<String>>,
    /// The key.
    pub value: Option<Spanned<String>>,
    /// Where it goes.
    pub placement: Placement,
}

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A request header.
    Header,
    /// A query parameter.
    Query,
}

/// A user and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub username: Option<Spanned<String>>,
    /// The password. Services that know callers by a key take it for the name, with an empty password.
    pub password: Option<Spanned<String>>,
}

/// What is known of an authorization server, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// The issuer, whose metadata names its endpoints (RFC 8414).
    pub authorization_server: Option<Spanned<String>>,
    /// Where tokens are issued; found through the issuer where absent.
    pub token_endpoint: Option<Spanned<String>>,
    /// What the token is for (RFC 8707).
    pub resource: Option<Spanned<String>>,
    /// Whom the token is for, for servers that know this parameter instead.
    pub audience: Option<Spanned<String>>,
    /// What the token is to allow.
    pub scopes: Vec<Spanned<String>>,
    /// The client's name. The language has no place for it; this is an extension.
    pub client_id: Option<Spanned<String>>,
    /// The client's secret. An extension as well.
    pub client_secret: Option<Spanned<String>>,
}

const TYPES: [&str; 5] = ["bearer", "apikey", "basic", "digest", "oauth2"];

/// Reads how calls to a consumed service authenticate.
pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Authentication> {
    let mut fields = Fields::of(node, "`authentication`", problems)?;
    let span = fields.span();
    let kind = fields.required_text(&["type"], problems)?;
    let kind = match kind.value.as_str() {
        "bearer" => {
            fields.skip(&["placement"]);
            AuthenticationKind::Bearer { token: fields.text(&["token", "value"], problems) }
        }
        "apikey" => AuthenticationKind::ApiKey(read_keys(&mut fields, problems)?),
        "basic" => AuthenticationKind::Basic(read_user(&mut fields, problems)),
        "digest" => AuthenticationKind::Digest(read_user(&mut fields, problems)),
        "oauth2" => match fields.text(&["token"], problems) {
            Some(token) => AuthenticationKind::Bearer { token: Some(token) },
            None => AuthenticationKind::OAuth2(Box::new(read_oauth2(&mut fields, problems))),
        },
        other if other.eq_ignore_ascii_case("awsSigV4") => {
            problems.push(signed_requests(kind.span));
            return None;
        }
        other => {
            let message = format!(
                "unknown authentication type `{other}`; expected `bearer`, `apikey`, `basic`, `digest` or `oauth2`"
            );
            problems.push(Diagnostic::error(Code::InvalidValue, kind.span, message).with_nearest(other, TYPES));
            return None;
        }
    };
    fields.finish(problems);
    Some(Authentication { kind, span })
}

/// Reads what callers of an exposed server have to show. What cannot be read is a warning: the tools are kept, but no
/// caller is let in by it.
pub(super) fn read_inbound(node: &Node, problems: &mut Vec<Diagnostic>) -> Authentication {
    let mut found = Vec::new();
    let read = read(node, &mut found);
    let failed = has_errors(&found);
    problems.extend(
        found.into_iter().map(|problem| Diagnostic { severity: problem.severity.min(Severity::Warning), ..problem }),
    );
    read.filter(|_| !failed).unwrap_or(Authentication { kind: AuthenticationKind::Unreadable, span: node.span })
}

/// One key as `key` and `value`, or several as `headers`.
fn read_keys(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Vec<ApiKey>> {
    let name = fields.text(&["key", "name"], problems);
    let value = fields.text(&["value"], problems);
    let placement = match fields.text(&["placement", "in"], problems) {
        Some(text) => match text.value.as_str() {
            "header" => Placement::Header,
            "query" => Placement::Query,
            "body" => {
                let message = "a key in the body of requests is not run by this version; expected `header` or `query`";
                problems.push(Diagnostic::error(Code::UnsupportedFeature, text.span, message));
                return None;
            }
            other => {
                let message = format!("`placement` must be `header` or `query`, found `{other}`");
                problems.push(
                    Diagnostic::error(Code::InvalidValue, text.span, message).with_nearest(other, ["header", "query"]),
                );
                return None;
            }
        },
        None => Placement::Header,
    };
    let headers = fields.node(&["headers"]);
    let mut keys: Vec<ApiKey> = match headers {
        Some(node) => read_headers(node, problems)?,
        None => Vec::new(),
    };
    if name.is_some() || value.is_some() || headers.is_none() {
        keys.push(ApiKey { name, value, placement });
    }
    let signed = |key: &&ApiKey| key.value.as_ref().is_some_and(|value| value.value.contains("AWS4-HMAC-"));
    if let Some(value) = keys.iter().find(signed).and_then(|key| key.value.as_ref()) {
        problems.push(signed_requests(value.span).with_source_hidden());
        return None;
    }
    Some(keys)
}

fn read_headers(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vec<ApiKey>> {
    let Value::Mapping(entries) = &node.value else {
        let message = format!("`headers` of `authentication` must be a map, found {}", node.kind());
        problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
        return None;
    };
    let keys = entries.iter().map(|(key, node)| {
        let value = match &node.value {
            Value::String(text) | Value::Number(_, text) => Some(Spanned::new(text.clone(), node.span)),
            _ => {
                let message = format!("the header `{}` must be text, found {}", key.text, node.kind());
                problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
                None
            }
        };
        let name = Some(Spanned::new(key.text.clone(), key.span));
        ApiKey { name, value, placement: Placement::Header }
    });
    Some(keys.collect())
}

fn read_user(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> User {
    User { username: fields.text(&["username"], problems), password: fields.text(&["password"], problems) }
}

fn read_oauth2(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> OAuth2 {
    let scopes = match fields.node(&["scopes"]) {
        Some(Node { value: Value::Sequence(items), .. }) => items
            .iter()
            .filter_map(|item| match &item.value {
                Value::String(text) => Some(Spanned::new(text.clone(), item.span)),
                _ => {
                    let message = format!("a scope must be text, found {}", item.kind());
                    problems.push(Diagnostic::error(Code::InvalidValue, item.span, message));
                    None
                }
            })
            .collect(),
        Some(Node { value: Value::String(text), span }) => {
            text.split_whitespace().map(|scope| Spanned::new(scope.to_owned(), *span)).collect()
        }
        Some(node) => {
            let message = format!("`scopes` must be a list of texts, found {}", node.kind());
            problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
            Vec::new()
        }
        None => Vec::new(),
    };
    // How callers' tokens are checked, which says nothing to a caller.
    fields.skip(&["tokenValidation"]);
    OAuth2 {
        authorization_server: fields.text(&["authorizationServerUri"], problems),
        token_endpoint: fields.text(&["tokenEndpoint"], problems),
        resource: fields.text(&["resource"], problems),
        audience: fields.text(&["audience"], problems),
        scopes,
        client_id: fields.text(&["clientId"], problems),
        client_secret: fields.text(&["clientSecret"], problems),
    }
}

fn signed_requests(span: Span) -> Diagnostic {
    let message = "requests signed for AWS (Signature Version 4) are not run by this version";
    Diagnostic::error(Code::UnsupportedFeature, span, message)
        .with_help("put a signing proxy in front of the service and name it by `--backend NAMESPACE=URL`")
}

impl Authentication {
    /// Every text that a variable may stand in, secret or not.
    pub fn templates(&self) -> Vec<&Spanned<String>> {
        let texts: Vec<&Option<Spanned<String>>> = match &self.kind {
            AuthenticationKind::Bearer { token } => vec![token],
            AuthenticationKind::ApiKey(keys) => keys.iter().map(|key| &key.value).collect(),
            AuthenticationKind::Basic(user) | AuthenticationKind::Digest(user) => vec![&user.username, &user.password],
            AuthenticationKind::OAuth2(oauth) => vec![&oauth.client_id, &oauth.client_secret],
            AuthenticationKind::Unreadable => Vec::new(),
        };
        texts.into_iter().flatten().collect()
    }
}
