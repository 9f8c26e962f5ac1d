//! `authentication` of a consumed service: how calls prove who they are. Mirrors the text; nothing is resolved here.

use super::{
    reader::{Fields, Spanned},
    yaml::Node,
};
use crate::diagnostic::{Code, Diagnostic, Span};

/// How calls to a service authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The kind.
    pub kind: AuthenticationKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticationKind {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer {
        /// The token, a template over variables.
        token: Option<Spanned<String>>,
    },
    /// A key in a header or a query parameter of any name.
    ApiKey {
        /// The name of the header or query parameter.
        key: Option<Spanned<String>>,
        /// The key, a template over variables.
        value: Option<Spanned<String>>,
        /// Where it goes.
        placement: Placement,
    },
}

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A request header.
    Header,
    /// A query parameter.
    Query,
}

pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Authentication> {
    let mut fields = Fields::of(node, "`authentication`", problems)?;
    let span = fields.span();
    let kind = fields.required_text(&["type"], problems)?;
    let kind = match kind.value.as_str() {
        "bearer" => {
            fields.skip(&["placement"]);
            AuthenticationKind::Bearer { token: fields.text(&["token", "value"], problems) }
        }
        "apikey" => {
            let key = fields.text(&["key", "name"], problems);
            let value = fields.text(&["value"], problems);
            let placement = match fields.text(&["placement", "in"], problems) {
                Some(text) if text.value == "query" => Placement::Query,
                Some(text) if text.value != "header" => {
                    let message = format!("`placement` must be `header` or `query`, found `{}`", text.value);
                    problems.push(Diagnostic::error(Code::InvalidValue, text.span, message));
                    return None;
                }
                _ => Placement::Header,
            };
            AuthenticationKind::ApiKey { key, value, placement }
        }
        "basic" | "digest" | "oauth2" => {
            let message = format!("authentication of type `{}` is not run by this version", kind.value);
            problems.push(Diagnostic::error(Code::UnsupportedFeature, kind.span, message));
            return None;
        }
        other => {
            let message = format!("unknown authentication type `{other}`; expected `bearer` or `apikey`");
            problems.push(
                Diagnostic::error(Code::InvalidValue, kind.span, message).with_nearest(other, ["bearer", "apikey"]),
            );
            return None;
        }
    };
    fields.finish(problems);
    Some(Authentication { kind, span })
}
