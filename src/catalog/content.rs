//! What a `return` step may give back: content blocks, messages and resource contents as MCP has them (2025-11-25 and
//! 2026-07-28, server features). Checked at load, as far as it stands in the spec; knows nothing of calls.

use crate::{
    diagnostic::{Code, Diagnostic},
    spec::yaml::{Node, Value},
};

/// The types of content blocks, with the members that each needs.
const BLOCKS: [(&str, &[&str]); 5] = [
    ("text", &["text"]),
    ("image", &["data", "mimeType"]),
    ("audio", &["data", "mimeType"]),
    ("resource", &["resource"]),
    ("resource_link", &["uri", "name"]),
];

/// Reports content blocks that no client could read.
pub(super) fn check_blocks(blocks: &Node, problems: &mut Vec<Diagnostic>) {
    items(blocks).iter().for_each(|block| check_block(block, problems));
}

/// Reports messages of a prompt that no client could read.
pub(super) fn check_messages(messages: &Node, problems: &mut Vec<Diagnostic>) {
    for message in items(messages) {
        needs(message, "a message", &["role", "content"], problems);
        if let Some(role) = message.get("role") {
            let known = ["user", "assistant"];
            match &role.value {
                Value::String(text) if known.contains(&text.as_str()) => {}
                Value::String(text) => {
                    let problem = format!("`role` must be `user` or `assistant`, found `{text}`");
                    problems.push(Diagnostic::error(Code::InvalidValue, role.span, problem).with_nearest(text, known));
                }
                _ => wrong(role, "`role`", "text", problems),
            }
        }
        if let Some(content) = message.get("content") {
            check_block(content, problems);
        }
    }
}

/// Reports contents of a resource that no client could read. The URI may be left out: it is the one asked for.
pub(super) fn check_contents(contents: &Node, problems: &mut Vec<Diagnostic>) {
    items(contents).iter().for_each(|content| check_content(content, problems));
}

fn check_block(block: &Node, problems: &mut Vec<Diagnostic>) {
    if !needs(block, "a content block", &["type"], problems) {
        return;
    }
    let Some(kind) = block.get("type") else { return };
    let Value::String(name) = &kind.value else { return wrong(kind, "`type` of a content block", "text", problems) };
    let Some((_, members)) = BLOCKS.iter().find(|(known, _)| known == name) else {
        let known = BLOCKS.map(|(name, _)| name);
        let shown = known.map(|name| format!("`{name}`")).join(", ");
        let message = format!("`type` of a content block must be one of {shown}; found `{name}`");
        problems.push(Diagnostic::error(Code::InvalidValue, kind.span, message).with_nearest(name, known));
        return;
    };
    needs(block, &format!("a content block of type `{name}`"), members, problems);
    if let Some(resource) = block.get("resource").filter(|_| name == "resource") {
        needs(resource, "an embedded resource", &["uri"], problems);
        check_content(resource, problems);
    }
}

fn check_content(content: &Node, problems: &mut Vec<Diagnostic>) {
    if needs(content, "the content of a resource", &[], problems)
        && content.get("text").is_some() == content.get("blob").is_some()
    {
        let message = "the content of a resource needs either `text` or `blob`, which is base64";
        problems.push(Diagnostic::error(Code::MissingField, content.span, message));
    }
}

/// Whether a node is a map; reports it where it is none, and the members that it lacks.
fn needs(node: &Node, what: &str, members: &[&str], problems: &mut Vec<Diagnostic>) -> bool {
    if !matches!(node.value, Value::Mapping(_)) {
        // A placeholder that stands for the whole is known only when it is called.
        if !matches!(&node.value, Value::String(text) if text.contains("{{") || text.starts_with("$.")) {
            wrong(node, what, "a map", problems);
        }
        return false;
    }
    for name in members.iter().filter(|name| node.get(name).is_none()) {
        problems.push(Diagnostic::error(Code::MissingField, node.span, format!("{what} needs `{name}`")));
    }
    true
}

fn wrong(node: &Node, what: &str, expected: &str, problems: &mut Vec<Diagnostic>) {
    let message = format!("{what} must be {expected}, found {}", node.kind());
    problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
}

fn items(list: &Node) -> &[Node] {
    match &list.value {
        Value::Sequence(items) => items,
        _ => &[],
    }
}
