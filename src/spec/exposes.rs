//! `exposes` of `type: mcp`: the tools a capability offers, as written. Other types of surface are not ours.

use super::{
    auth::{self, Authentication},
    parameters::{self, InputParameter, OutputParameter},
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Span};

/// An MCP server of a capability.
#[derive(Clone, Debug)]
pub struct McpServer {
    /// Its namespace; the prefix of references to arguments in `with`.
    pub namespace: Option<Spanned<String>>,
    /// What the server is for, told to the client.
    pub description: Option<Spanned<String>>,
    /// What callers have to show, over transports that can carry it.
    pub authentication: Option<Authentication>,
    /// The tools.
    pub tools: Vec<Tool>,
    /// What the tools call that were left out for an error.
    pub left_out: Vec<String>,
}

/// A tool.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The name.
    pub name: Spanned<String>,
    /// The name a person reads.
    pub title: Option<Spanned<String>>,
    /// What it does.
    pub description: Option<Spanned<String>>,
    /// What a client may assume about its effects.
    pub hints: Hints,
    /// `NAMESPACE.OPERATION`.
    pub call: Spanned<String>,
    /// Parameters of the operation that are fed otherwise than by the argument of the same name.
    pub with: Vec<(Spanned<String>, Spanned<WithValue>)>,
    /// Its own parameters, where it declares any.
    pub input_parameters: Vec<InputParameter>,
    /// What it gives back.
    pub output_parameters: Vec<OutputParameter>,
    /// Where it stands.
    pub span: Span,
}

/// What feeds a parameter of the called operation.
#[derive(Clone, Debug, PartialEq)]
pub enum WithValue {
    /// Text: a reference to an argument, or a literal.
    Text(String),
    /// Any other literal.
    Literal(serde_json::Value),
}

/// Hints as written; `None` where not stated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The tool changes nothing.
    pub read_only: Option<Spanned<bool>>,
    /// The tool may destroy something.
    pub destructive: Option<Spanned<bool>>,
    /// Repeating the call has no further effect.
    pub idempotent: Option<Spanned<bool>>,
    /// The tool reaches beyond a closed world.
    pub open_world: Option<Spanned<bool>>,
}

pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<McpServer> {
    let kind = node.get("type").and_then(|kind| match &kind.value {
        Value::String(kind) => Some(kind.as_str()),
        _ => None,
    });
    if kind.is_some_and(|kind| kind != "mcp") {
        return None; // another surface over the same operations
    }
    let mut fields = Fields::of(node, "an exposed server", problems)?;
    fields.unsupported(&["from", "location"], problems);
    fields.skip(&["type", "port", "address"]);
    let namespace = fields.text(&["namespace"], problems);
    let description = fields.text(&["description"], problems);
    let authentication = fields.node(&["authentication"]).map(|node| auth::read_inbound(node, problems));
    if let (Some(transport), Some(authentication)) = (fields.text(&["transport"], problems), &authentication)
        && transport.value == "stdio"
    {
        let message = "nothing is asked of the caller over `stdio`; this holds over HTTP alone";
        problems.push(Diagnostic::note(Code::StdioAuthentication, authentication.span, message));
    }
    let tools = fields.named(&["tools"], problems);
    let mut left_out = Vec::new();
    let tools = tools.iter().filter_map(|tool| read_tool(tool, &mut left_out, problems)).collect();
    fields.unsupported(&["resources", "prompts", "ttlMs", "cacheScope", "maxBinarySize"], problems);
    fields.finish(problems);
    Some(McpServer { namespace, description, authentication, tools, left_out })
}

fn read_tool(named: &NamedNode<'_>, left_out: &mut Vec<String>, problems: &mut Vec<Diagnostic>) -> Option<Tool> {
    let mut fields = Fields::of(named.node, "a tool", problems)?;
    let before = problems.len();
    let name = named.name(&mut fields, problems);
    let title = fields.text(&["display", "label", "title"], problems);
    let description = fields.text(&["description"], problems);
    let hints = fields.node(&["hints"]).map(|node| read_hints(node, problems)).unwrap_or_default();
    fields.unsupported(&["steps", "ref", "mappings", "inputSchema"], problems);
    let call = if problems.len() == before {
        fields.required_text(&["call"], problems)
    } else {
        fields.text(&["call"], problems) // one error is enough to leave the tool out
    };
    let with = fields.node(&["with"]).map(|node| read_with(node, problems)).unwrap_or_default();
    let input_parameters = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    let output_parameters = parameters::read_outputs(fields.named(&["outputParameters"], problems), problems);
    fields.skip(&["tags"]);
    let span = fields.span();
    fields.finish(problems);
    if name.is_none() {
        problems.push(Diagnostic::error(Code::MissingField, span, "a tool needs `name`"));
    }
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        left_out.extend(call.map(|call| call.value));
        return None;
    }
    let name = name?;
    Some(Tool { name, title, description, hints, call: call?, with, input_parameters, output_parameters, span })
}

fn read_hints(node: &Node, problems: &mut Vec<Diagnostic>) -> Hints {
    let Some(mut fields) = Fields::of(node, "`hints`", problems) else { return Hints::default() };
    let hints = Hints {
        read_only: fields.flag(&["readOnly", "readOnlyHint"], problems),
        destructive: fields.flag(&["destructive", "destructiveHint"], problems),
        idempotent: fields.flag(&["idempotent", "idempotentHint"], problems),
        open_world: fields.flag(&["openWorld", "openWorldHint"], problems),
    };
    fields.finish(problems);
    hints
}

fn read_with(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<(Spanned<String>, Spanned<WithValue>)> {
    let Value::Mapping(entries) = &node.value else {
        let message = format!("`with` must be a map, found {}", node.kind());
        problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
        return Vec::new();
    };
    entries
        .iter()
        .map(|(key, node)| {
            let value = match &node.value {
                Value::String(text) => WithValue::Text(text.clone()),
                _ => WithValue::Literal(node.to_json()),
            };
            (Spanned::new(key.text.clone(), key.span), Spanned::new(value, node.span))
        })
        .collect()
}
