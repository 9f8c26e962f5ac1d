//! `exposes` of `type: mcp`: the tools, resources and prompts a capability offers, as written. Other types of surface are
//! not ours.

use super::{
    auth::{self, Authentication},
    consumes::read_size,
    flow::{self, Action, Mode},
    parameters::{self, InputParameter},
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{self, Code, Diagnostic, Span};

/// The type of server that is ours.
const SERVED: &str = "mcp";
/// Those that offer the same operations in other ways (language schema, exposes, of all its versions; the last two are
/// of published specs).
const OTHER_SURFACES: [&str; 6] = ["rest", "skill", "control", "api", "http", "agent-skill"];

/// An MCP server of a capability.
#[derive(Clone, Debug)]
pub struct McpServer {
    /// Its namespace; the prefix of references to arguments in `with`.
    pub namespace: Option<Spanned<String>>,
    /// The namespace it has in the file it was imported from, which its references still use.
    pub imported_as: Option<String>,
    /// What the server is for, told to the client.
    pub description: Option<Spanned<String>>,
    /// The largest binary answer of its tools, in bytes.
    pub max_binary_size: Option<usize>,
    /// For how long a client may take its lists for fresh, in milliseconds, where stated.
    pub ttl_ms: Option<u64>,
    /// Who may share what was kept of its lists, where stated.
    pub cache_scope: Option<CacheScope>,
    /// What callers have to show, over transports that can carry it.
    pub authentication: Option<Authentication>,
    /// The tools.
    pub tools: Vec<Tool>,
    /// The resources.
    pub resources: Vec<Resource>,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// The tools that were left out for an error.
    pub left_out: Vec<LeftOut>,
}

/// A tool that was left out for an error.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Its name, where it has one.
    pub name: Option<Spanned<String>>,
    /// What it calls.
    pub call: Option<String>,
    /// What is wrong, and where.
    pub reason: Option<Spanned<String>>,
}

/// Who may share what was kept of a list (MCP 2026-07-28, caching).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Whoever asks.
    Public,
    /// Nobody but who asked.
    Private,
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
    /// Its own parameters, where it declares any.
    pub input_parameters: Vec<InputParameter>,
    /// What it does and gives back.
    pub action: Action,
    /// Where it stands.
    pub span: Span,
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

/// A resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The name.
    pub name: Spanned<String>,
    /// The URI, with `{placeholder}`s where it is a template.
    pub uri: Spanned<String>,
    /// The name a person reads.
    pub title: Option<Spanned<String>>,
    /// What it holds.
    pub description: Option<Spanned<String>>,
    /// Its media type.
    pub mime_type: Option<Spanned<String>>,
    /// What is said of the placeholders of its URI. The language has no place for it; this is an extension.
    pub parameters: Vec<InputParameter>,
    /// What it is read from.
    pub content: ResourceContent,
    /// Where it stands.
    pub span: Span,
}

/// What a resource is read from.
#[derive(Clone, Debug)]
pub enum ResourceContent {
    /// The answer of an operation or of steps.
    Action(Action),
    /// The files of a folder, `file:///FOLDER`.
    Folder(Spanned<String>),
}

/// A prompt.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The name.
    pub name: Spanned<String>,
    /// The name a person reads.
    pub title: Option<Spanned<String>>,
    /// What it is for.
    pub description: Option<Spanned<String>>,
    /// Its arguments.
    pub arguments: Vec<InputParameter>,
    /// What it says.
    pub content: PromptContent,
}

/// What a prompt says.
#[derive(Clone, Debug)]
pub enum PromptContent {
    /// Messages with placeholders.
    Messages(Vec<Message>),
    /// A file that is one message of the user, `file:///FILE`.
    File(Spanned<String>),
}

/// A message of a prompt.
#[derive(Clone, Debug)]
pub struct Message {
    /// `user` or `assistant`.
    pub role: Spanned<String>,
    /// The text.
    pub content: Spanned<String>,
}

pub(super) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<McpServer> {
    let kind = node.get("type").and_then(|kind| match &kind.value {
        Value::String(kind) => Some(kind.as_str()),
        _ => None,
    });
    if let Some(kind) = kind.filter(|kind| *kind != SERVED) {
        if !OTHER_SURFACES.contains(&kind)
            && let Some(node) = node.get("type")
        {
            let message = format!("unknown type `{kind}` of a server; nothing of it is offered; expected `{SERVED}`");
            let known = [SERVED].into_iter().chain(OTHER_SURFACES);
            problems.push(Diagnostic::warning(Code::InvalidValue, node.span, message).with_nearest(kind, known));
        }
        return None;
    }
    let mut fields = Fields::of(node, "an exposed server", problems)?;
    fields.skip(&["type", "port", "address", "display", "label", "name", "tags"]);
    let namespace = fields.text(&["namespace"], problems);
    let description = fields.text(&["description"], problems);
    fields.skip(&["authentication"]);
    // Whoever writes the field means to ask for something: without a value nobody is let in.
    let authentication = node.get("authentication").map(|node| auth::read_inbound(node, problems));
    if let (Some(transport), Some(authentication)) = (fields.text(&["transport"], problems), &authentication)
        && transport.value == "stdio"
    {
        let message = "nothing is asked of the caller over `stdio`; this holds over HTTP alone";
        problems.push(Diagnostic::note(Code::StdioAuthentication, authentication.span, message));
    }
    let tools = fields.named(&["tools"], problems);
    let resources = fields.named(&["resources"], problems);
    let prompts = fields.named(&["prompts"], problems);
    if tools.is_empty() && resources.is_empty() && prompts.is_empty() {
        let message = "this MCP server has no tools; operations that no tool calls are offered under their own names";
        problems.push(Diagnostic::warning(Code::MissingField, fields.span(), message));
    }
    let mut left_out = Vec::new();
    let tools = tools.iter().filter_map(|tool| read_tool(tool, &mut left_out, problems)).collect();
    let resources = resources.iter().filter_map(|resource| read_resource(resource, problems)).collect();
    let prompts = prompts.iter().filter_map(|prompt| read_prompt(prompt, problems)).collect();
    let max_binary_size = read_size(&mut fields, problems);
    let ttl_ms = fields.text(&["ttlMs"], problems).and_then(|text| read_ttl(&text, problems));
    let cache_scope = fields.text(&["cacheScope"], problems).and_then(|text| read_scope(&text, problems));
    fields.finish(problems);
    Some(McpServer {
        namespace,
        imported_as: None,
        description,
        max_binary_size,
        ttl_ms,
        cache_scope,
        authentication,
        tools,
        resources,
        prompts,
        left_out,
    })
}

fn read_ttl(text: &Spanned<String>, problems: &mut Vec<Diagnostic>) -> Option<u64> {
    let ttl = text.value.parse().ok();
    if ttl.is_none() {
        let message = format!("`ttlMs` must be a whole number of milliseconds, found `{}`; it is ignored", text.value);
        problems.push(Diagnostic::warning(Code::InvalidValue, text.span, message));
    }
    ttl
}

fn read_scope(text: &Spanned<String>, problems: &mut Vec<Diagnostic>) -> Option<CacheScope> {
    match text.value.as_str() {
        "public" => Some(CacheScope::Public),
        "private" => Some(CacheScope::Private),
        other => {
            let message = format!("`cacheScope` must be `public` or `private`, found `{other}`; it is ignored");
            let problem = Diagnostic::warning(Code::InvalidValue, text.span, message);
            problems.push(problem.with_nearest(other, ["public", "private"]));
            None
        }
    }
}

fn read_tool(named: &NamedNode<'_>, left_out: &mut Vec<LeftOut>, problems: &mut Vec<Diagnostic>) -> Option<Tool> {
    let before = problems.len();
    let mut fields = Fields::of(named.node, "a tool", problems)?;
    let name = named.name(&mut fields, problems);
    let title = fields.text(&["display", "label", "title"], problems);
    let description = fields.text(&["description"], problems);
    let hints = fields.node(&["hints"]).map(|node| read_hints(node, problems)).unwrap_or_default();
    let mut input_parameters = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    if let Some(schema) = fields.node(&["inputSchema"])
        && input_parameters.is_empty()
    {
        input_parameters = read_input_schema(schema, problems);
    }
    let action = flow::read_action(&mut fields, problems);
    fields.skip(&["tags", "outputMediaType", "maxBinarySize"]);
    let span = fields.span();
    fields.finish(problems);
    let call = match &action.mode {
        Mode::Call(call) => Some(call.clone()),
        _ => None,
    };
    if matches!(action.mode, Mode::Mock) && !action.outputs.iter().any(has_value) {
        let message = "a tool needs `call`, `steps` or `ref`, or `outputParameters` with values of their own";
        problems.push(Diagnostic::error(Code::MissingField, span, message));
    }
    let name = name.or_else(|| {
        // An element of a list without a name goes by what it calls.
        let (_, operation) = call.as_ref()?.value.rsplit_once('.')?;
        Some(Spanned::new(operation.to_owned(), span))
    });
    if name.is_none() {
        problems.push(Diagnostic::error(Code::MissingField, span, "a tool needs `name`"));
    }
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        let found = problems.get_mut(before..).unwrap_or_default();
        let reason = name.as_ref().and_then(|name| diagnostic::leave_out(found, "tool", &name.value));
        let reason = reason.map(|(reason, place)| Spanned::new(reason, place));
        left_out.push(LeftOut { name, call: call.map(|call| call.value), reason });
        return None;
    }
    Some(Tool { name: name?, title, description, hints, input_parameters, action, span })
}

fn has_value(output: &super::OutputParameter) -> bool {
    output.value.is_some()
        || output.properties.iter().any(has_value)
        || output.items.as_ref().is_some_and(|items| has_value(items))
}

/// The parameters of an inline JSON Schema.
fn read_input_schema(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<InputParameter> {
    let Some(mut fields) = Fields::of(node, "`inputSchema`", problems) else { return Vec::new() };
    let properties = fields.named(&["properties"], problems);
    let required: Vec<String> = match node.get("required").map(Node::to_json) {
        Some(serde_json::Value::Array(names)) => {
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    let mut parameters = parameters::read_inputs(properties, problems);
    for parameter in &mut parameters {
        let flag = required.contains(&parameter.name.value);
        parameter.required = Some(Spanned::new(flag, parameter.name.span));
    }
    parameters
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

fn read_resource(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Resource> {
    let mut fields = Fields::of(named.node, "a resource of an MCP server", problems)?;
    let before = problems.len();
    let name = named.name(&mut fields, problems);
    let uri = fields.required_text(&["uri"], problems);
    let title = fields.text(&["display", "label", "title"], problems);
    let description = fields.text(&["description"], problems);
    let mime_type = fields.text(&["mimeType"], problems);
    let location = fields.text(&["location"], problems);
    let parameters = parameters::read_completed(fields.named(&["inputParameters"], problems), problems);
    let action = flow::read_action(&mut fields, problems);
    fields.skip(&["binary", "maxBinarySize", "tags"]);
    let span = fields.span();
    fields.finish(problems);
    let content = match location {
        Some(location) => ResourceContent::Folder(location),
        None => {
            if matches!(action.mode, Mode::Mock) && !action.outputs.iter().any(has_value) {
                let message = "a resource needs `call`, `steps` or `location`";
                problems.push(Diagnostic::error(Code::MissingField, span, message));
            }
            ResourceContent::Action(action)
        }
    };
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        return None;
    }
    let uri = uri?;
    let name = name.unwrap_or_else(|| uri.clone());
    Some(Resource { name, uri, title, description, mime_type, parameters, content, span })
}

fn read_prompt(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Prompt> {
    let mut fields = Fields::of(named.node, "a prompt", problems)?;
    let before = problems.len();
    let name = named.name(&mut fields, problems);
    let title = fields.text(&["display", "label", "title"], problems);
    let description = fields.text(&["description"], problems);
    let arguments = parameters::read_completed(fields.named(&["arguments", "inputParameters"], problems), problems);
    let location = fields.text(&["location"], problems);
    let messages = fields.named(&["template"], problems);
    let messages: Vec<Message> = messages.iter().filter_map(|message| read_message(message, problems)).collect();
    let span = fields.span();
    fields.skip(&["tags"]);
    fields.finish(problems);
    let content = match location {
        Some(location) => PromptContent::File(location),
        None if messages.is_empty() => {
            problems.push(Diagnostic::error(Code::MissingField, span, "a prompt needs `template` or `location`"));
            return None;
        }
        None => PromptContent::Messages(messages),
    };
    if name.is_none() {
        problems.push(Diagnostic::error(Code::MissingField, span, "a prompt needs `name`"));
    }
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        return None;
    }
    Some(Prompt { name: name?, title, description, arguments, content })
}

fn read_message(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Message> {
    let mut fields = Fields::of(named.node, "a message", problems)?;
    let role = fields.required_text(&["role"], problems);
    let content = fields.required_text(&["content"], problems);
    fields.finish(problems);
    let role = role?;
    let known = ["user", "assistant"];
    if !known.contains(&role.value.as_str()) {
        let message = format!("`role` must be `user` or `assistant`, found `{}`", role.value);
        problems.push(Diagnostic::error(Code::InvalidValue, role.span, message).with_nearest(&role.value, known));
        return None;
    }
    Some(Message { role, content: content? })
}
