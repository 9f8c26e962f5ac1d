//! `complete`: where the values of a prompt's argument or of a placeholder of a URI come from, as written. The language has
//! no place for it; this is an extension. Nothing is resolved here.

use super::{
    parameters::read_values,
    reader::{Fields, Spanned},
    yaml::Node,
};
use crate::diagnostic::{Diagnostic, Span};

/// An operation that lists what a person may choose from.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    /// The operation, `NAMESPACE.OPERATION`.
    pub call: Spanned<String>,
    /// What feeds its parameters otherwise than the arguments of their names.
    pub with: Vec<(Spanned<String>, Node)>,
    /// Where the values are in its answer, a JSONPath.
    pub value: Spanned<String>,
    /// Where it stands.
    pub span: Span,
}

pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Complete> {
    let mut fields = Fields::of(node, "`complete`", problems)?;
    let call = fields.required_text(&["call"], problems);
    let value = fields.required_text(&["value"], problems);
    let with = fields.node(&["with"]).map(|node| read_values(node, "`with`", problems)).unwrap_or_default();
    let span = fields.span();
    fields.finish(problems);
    Some(Complete { call: call?, with, value: value?, span })
}
