//! Prompts: messages that a person picks in a client, with placeholders for arguments.
//!
//! A value goes into the text as it is and is never looked at again: what stands in it is no placeholder.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::{
    CompiledTool, JsonObject,
    collected::does_same,
    compile::{Compiler, Scene, Use},
    complete::{Choices, Wanted},
    fill,
    folder::{self, Reach},
    lengths, names,
    plan::Plan,
};
use crate::{
    access::GateId,
    diagnostic::{Code, Diagnostic, Span},
    prose::tidy,
    spec::{self, Action, InputParameter, McpServer, Message, Mode, PromptContent, Spanned, Tool},
};

/// The largest prompt, in bytes, with its arguments filled in.
const MAX_PROMPT_BYTES: usize = 1024 * 1024;

/// A prompt as resolved from a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledPrompt {
    /// The unique name.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// What may be filled in.
    pub arguments: Vec<PromptArgument>,
    /// What it says. Nothing where steps say it.
    pub messages: Vec<PromptMessage>,
    /// What is done to have its messages, where they are not fixed.
    pub action: Option<PromptAction>,
    /// The gate before it, where callers have to show something.
    pub gate: Option<GateId>,
    /// What it was written to be used with, as of a tool.
    pub group: Arc<str>,
}

/// What is done to have the messages of a prompt: a tool that nobody sees.
#[derive(Clone, Debug)]
pub struct PromptAction(pub Arc<CompiledTool>);

impl PartialEq for PromptAction {
    fn eq(&self, other: &Self) -> bool {
        does_same(&self.0, &other.0)
    }
}

/// An argument of a prompt, a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptArgument {
    /// The name.
    pub name: String,
    /// What it means.
    pub description: Option<String>,
    /// Whether it must be given. Where it need not and is not, nothing stands in its place.
    pub required: bool,
    /// What a person may choose from.
    pub choices: Choices,
}

/// A message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptMessage {
    /// Who says it.
    pub role: Role,
    /// The text.
    pub text: Vec<Piece>,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// The argument of this name.
    Argument(String),
}

impl CompiledPrompt {
    /// Whether it is the same for all who use it, whatever it was written to be used with.
    fn says_the_same(&self, other: &Self) -> bool {
        let Self { name, title, description, arguments, messages, action, gate, group: _ } = self;
        *name == other.name
            && *title == other.title
            && *description == other.description
            && *arguments == other.arguments
            && *messages == other.messages
            && *action == other.action
            && *gate == other.gate
    }

    /// The messages with these arguments in them. Error: what is wrong with the arguments.
    pub fn filled(&self, given: &JsonObject) -> Result<Vec<(Role, String)>, String> {
        let mut problems = Vec::new();
        for argument in self.arguments.iter().filter(|argument| argument.required) {
            if given.get(&argument.name).is_none_or(Value::is_null) {
                let meaning = argument.description.as_deref().map(|text| format!(" ({})", text.trim()));
                problems.push(format!("`{}` is missing{}", argument.name, meaning.unwrap_or_default()));
            }
        }
        let mut values: IndexMap<&str, String> = IndexMap::new();
        for (name, value) in given {
            if !self.arguments.iter().any(|argument| argument.name == *name) {
                let known: Vec<String> = self.arguments.iter().map(|argument| format!("`{}`", argument.name)).collect();
                let known = if known.is_empty() { "no argument".to_owned() } else { known.join(", ") };
                problems.push(format!("`{name}` is no argument of this prompt, which takes {known}"));
            } else if value.is_array() || value.is_object() {
                problems.push(format!("`{name}` must be text"));
            } else if let Some(text) = fill::text_of(value) {
                values.insert(name, text);
            }
        }
        if !problems.is_empty() {
            problems.truncate(8);
            return Err(format!("invalid arguments: {}", problems.join("; ")));
        }
        let value = |name: &str| values.get(name).map(String::as_str).unwrap_or_default();
        let text = |piece: &'_ Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Argument(name) => value(name).len(),
        };
        let bytes = self.messages.iter().flat_map(|message| &message.text).map(text).fold(0, usize::saturating_add);
        if bytes > MAX_PROMPT_BYTES {
            return Err(format!("invalid arguments: with them the prompt has more than {MAX_PROMPT_BYTES} bytes"));
        }
        let filled = |message: &PromptMessage| {
            let pieces = message.text.iter().map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Argument(name) => value(name),
            });
            (message.role, pieces.collect())
        };
        Ok(self.messages.iter().map(filled).collect())
    }
}

impl Compiler<'_> {
    /// The prompts of a server, each with its own name and what to put before that where it is taken.
    pub(super) fn prompts(&mut self, server: &McpServer, scene: &Scene<'_>, reach: Reach<'_>) -> Vec<Lowered> {
        let prefix = server.namespace.as_ref().map_or_else(|| "other".to_owned(), |namespace| namespace.value.clone());
        let lowered = server.prompts.iter().filter_map(|prompt| {
            let compiled = self.prompt(prompt, server, scene, reach)?;
            Some(Lowered { prompt: compiled, place: prompt.name.span, prefix: prefix.clone() })
        });
        lowered.collect()
    }

    fn prompt(
        &mut self,
        prompt: &spec::Prompt,
        server: &McpServer,
        scene: &Scene<'_>,
        reach: Reach<'_>,
    ) -> Option<CompiledPrompt> {
        let spec::Prompt { name, title, description, arguments: declared, content } = prompt;
        let title = title.as_ref().map_or_else(|| names::readable(&name.value), |title| title.value.clone());
        let described = description.as_ref().map(|text| text.value.trim()).filter(|text| !text.is_empty());
        if described.is_none() {
            let message = format!("prompt `{}` has no description; a person cannot tell what it is for", name.value);
            self.problems.push(Diagnostic::warning(Code::MissingDescription, name.span, message));
        }
        let title = lengths::title(title, ("prompt", name), &mut self.problems);
        let description = described.map_or_else(|| title.clone(), |text| tidy(text).into_owned());
        let description = lengths::description(description, ("prompt", name), &mut self.problems);
        let arguments = self.prompt_arguments(declared, server, scene);
        let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
        let mut action = None;
        let messages = match content {
            PromptContent::Steps(steps) => {
                action = Some(PromptAction(Arc::new(self.saying(prompt, steps, server, scene)?)));
                Vec::new()
            }
            PromptContent::Messages(messages) => {
                let lowered = messages.iter().map(|Message { role, content }| {
                    let role = if role.value == "assistant" { Role::Assistant } else { Role::User };
                    PromptMessage { role, text: self.message(content, &names) }
                });
                lowered.collect()
            }
            PromptContent::File(location) => match folder::text_of(location, MAX_PROMPT_BYTES, reach, self.sources) {
                // Braces in a file may be its own, so that what they enclose is not looked at.
                Ok(text) => vec![PromptMessage { role: Role::User, text: pieces(&text, &names).0 }],
                Err(problem) => {
                    let message = format!("`{}` cannot be offered: {problem}", location.value);
                    self.problems.push(Diagnostic::error(Code::UnusableLocation, location.span, message));
                    return None;
                }
            },
        };
        for argument in arguments.iter().filter(|_| action.is_none()) {
            let place = declared.iter().find(|declared| declared.name.value == argument.name);
            let place = place.map_or(name.span, |declared| declared.name.span);
            let uses = |piece: &Piece| matches!(piece, Piece::Argument(name) if *name == argument.name);
            if !messages.iter().flat_map(|message| &message.text).any(uses) {
                let message = format!("argument `{}` stands in no message of the prompt", argument.name);
                let help = format!("put `{{{{{}}}}}` where it belongs", argument.name);
                self.problems.push(Diagnostic::warning(Code::UnusedArgument, place, message).with_help(help));
            }
        }
        let (name, gate, group) = (name.value.clone(), scene.gate, Arc::clone(&scene.group));
        Some(CompiledPrompt { name, title, description, arguments, messages, action, gate, group })
    }

    /// What is done to have the messages of a prompt, as a tool whose arguments are the texts that a person gives.
    fn saying(
        &mut self,
        prompt: &spec::Prompt,
        steps: &[spec::Step],
        server: &McpServer,
        scene: &Scene<'_>,
    ) -> Option<CompiledTool> {
        let text = |argument: &InputParameter| InputParameter {
            kind: Some(Spanned::new("string".to_owned(), argument.name.span)),
            ..argument.clone()
        };
        let (mode, with) = (Mode::Steps(steps.to_vec()), Vec::new());
        let tool = Tool {
            name: prompt.name.clone(),
            title: prompt.title.clone(),
            description: prompt.description.clone(),
            hints: spec::Hints::default(),
            input_parameters: prompt.arguments.iter().map(text).collect(),
            input_schema: None,
            output_schema: None,
            action: Action { mode, with, mappings: Vec::new(), outputs: Vec::new() },
            span: prompt.name.span,
        };
        let before = self.problems.len();
        let compiled = self.tool(&tool, server, &mut scene.for_use(Use::Prompt))?;
        // The prompt says it itself.
        let of_tool = self.problems.split_off(before);
        self.problems.extend(of_tool.into_iter().filter(|problem| problem.code != Code::MissingDescription));
        if !matches!(&compiled.plan, Plan::Steps(steps) if steps.returned().is_some()) {
            let message = format!("the steps of the prompt `{}` must end with a `return` step", prompt.name.value);
            self.problems.push(Diagnostic::error(Code::MissingField, prompt.name.span, message));
            return None;
        }
        if compiled.risk.class.is_grave() {
            let (does, summary) = (compiled.risk.class.effect(), compiled.plan.summary());
            let message = format!("filling in the prompt `{}` would {does}: {summary}", prompt.name.value);
            let problem = Diagnostic::error(Code::UnsafeResource, prompt.name.span, message);
            self.problems.push(problem.with_help("offer it as a tool, which no client calls unasked"));
            return None;
        }
        Some(compiled)
    }

    fn prompt_arguments(
        &mut self,
        declared: &[InputParameter],
        server: &McpServer,
        scene: &Scene<'_>,
    ) -> Vec<PromptArgument> {
        let mut arguments: Vec<PromptArgument> = Vec::new();
        let beside: Vec<&str> = declared.iter().map(|argument| argument.name.value.as_str()).collect();
        for parameter in declared {
            let InputParameter { name, description, required, complete, kind, keywords, .. } = parameter;
            if arguments.iter().any(|argument| argument.name == name.value) {
                let message = format!("the argument `{}` is there already; the first one counts", name.value);
                self.problems.push(Diagnostic::warning(Code::DuplicateParameter, name.span, message));
                continue;
            }
            let mut choices = Choices::of_parameter(kind.as_ref().map(|kind| kind.value.as_str()), keywords);
            if let Some(complete) = complete {
                choices.listing = self.listing(Wanted { name, complete, beside: &beside }, server, scene);
            }
            arguments.push(PromptArgument {
                name: name.value.clone(),
                description: description.as_ref().map(|text| tidy(text.value.trim()).into_owned()),
                required: required.as_ref().is_none_or(|required| required.value),
                choices,
            });
        }
        arguments
    }

    fn message(&mut self, content: &Spanned<String>, names: &[&str]) -> Vec<Piece> {
        let (pieces, unknown) = pieces(&content.value, names);
        for name in unknown {
            let message = format!("`{{{{{name}}}}}` names no argument of the prompt; it is said as it stands");
            let problem = Diagnostic::warning(Code::UnknownPlaceholder, content.span, message);
            self.problems.push(problem.with_nearest(&name, names.iter().copied()));
        }
        pieces
    }
}

/// A prompt on its way into the catalog.
#[derive(Debug)]
pub(super) struct Lowered {
    prompt: CompiledPrompt,
    place: Span,
    prefix: String,
}

/// The prompts of all documents under names of their own: the same one merged, different ones told apart.
pub(super) fn collect(all: Vec<Lowered>, problems: &mut Vec<Diagnostic>) -> IndexMap<String, CompiledPrompt> {
    let mut prompts: IndexMap<String, (CompiledPrompt, Span)> = IndexMap::new();
    for Lowered { mut prompt, place, prefix } in all {
        if let Some((first, first_place)) = prompts.get(&prompt.name) {
            if first.says_the_same(&prompt) {
                let message = format!("`{}` is the prompt of this name again; they are one", prompt.name);
                let problem = Diagnostic::note(Code::DuplicatePrompt, place, message);
                problems.push(problem.with_secondary(*first_place, "the first one"));
                continue;
            }
            let apart = names::told_apart(&prefix, &prompt.name);
            let taken = std::mem::replace(&mut prompt.name, apart);
            prompt.title = names::title_apart(&prompt.title, &prefix);
            let problem = if prompts.contains_key(&prompt.name) {
                let message =
                    format!("prompts named `{taken}` and `{}` are there already; this one is left out", prompt.name);
                Diagnostic::error(Code::DuplicatePrompt, place, message)
            } else {
                let message =
                    format!("a prompt named `{taken}` is there already; this one is offered as `{}`", prompt.name);
                Diagnostic::warning(Code::DuplicatePrompt, place, message)
            };
            problems.push(problem.with_secondary(*first_place, "the first one"));
        }
        prompts.entry(prompt.name.clone()).or_insert((prompt, place));
    }
    prompts.into_iter().map(|(name, (prompt, _))| (name, prompt)).collect()
}

/// A text cut at the placeholders of these names, and the names of others, which stay as they are.
fn pieces(text: &str, names: &[&str]) -> (Vec<Piece>, Vec<String>) {
    let (mut pieces, mut unknown) = (Vec::new(), Vec::new());
    let (mut before, mut rest) = (String::new(), text);
    while let Some((start, after)) = rest.split_once("{{") {
        before.push_str(start);
        let closed = after.split_once("}}");
        match closed.map(|(name, tail)| (name.trim(), tail)) {
            Some((name, tail)) if names.contains(&name) => {
                if !before.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut before)));
                }
                pieces.push(Piece::Argument(name.to_owned()));
                rest = tail;
            }
            other => {
                let is_name = |name: &str| !name.is_empty() && !name.contains(['{', '}', '\n']);
                unknown.extend(other.map(|(name, _)| name).filter(|name| is_name(name)).map(str::to_owned));
                before.push_str("{{");
                rest = after;
            }
        }
    }
    before.push_str(rest);
    if !before.is_empty() {
        pieces.push(Piece::Text(before));
    }
    (pieces, unknown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn prompt(text: &str) -> CompiledPrompt {
        let argument = |name: &str, required| PromptArgument {
            name: name.to_owned(),
            description: None,
            required,
            choices: Choices::default(),
        };
        CompiledPrompt {
            name: "p".to_owned(),
            title: "P".to_owned(),
            description: "A prompt.".to_owned(),
            arguments: vec![argument("a", true), argument("b", false)],
            messages: vec![PromptMessage { role: Role::User, text: pieces(text, &["a", "b"]).0 }],
            action: None,
            gate: None,
            group: "g".into(),
        }
    }

    fn filled(text: &str, arguments: Value) -> Result<String, String> {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        prompt(text).filled(&arguments).map(|messages| messages.into_iter().map(|(_, text)| text).collect())
    }

    #[test]
    fn placeholders_are_replaced_once() {
        for (text, arguments, expected) in [
            ("{{a}} and {{ b }}", json!({"a": "x", "b": "y"}), "x and y"),
            ("{{a}}{{b}}", json!({"a": "{{b}}", "b": "{{a}}"}), "{{b}}{{a}}"),
            ("{{a}}[{{b}}]", json!({"a": 7}), "7[]"),
            ("{{ c }} {{a", json!({"a": "x"}), "{{ c }} {{a"),
            ("{{a {{b}}", json!({"a": "x", "b": "y"}), "{{a y"),
            ("{{{a}}}", json!({"a": "x"}), "{{{a}}}"),
        ] {
            assert_eq!(filled(text, arguments).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_missing_argument_is_told_with_its_meaning() {
        let mut prompt = prompt("hi");
        prompt.arguments.iter_mut().for_each(|argument| argument.description = Some("The pet.".to_owned()));
        let refused = prompt.filled(&JsonObject::new()).expect_err("refused");
        assert_eq!(refused, "invalid arguments: `a` is missing (The pet.)");
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (arguments, part) in [
            (json!({}), "`a` is missing"),
            (json!({"a": null}), "`a` is missing"),
            (json!({"a": "x", "c": "y"}), "`c` is no argument of this prompt, which takes `a`, `b`"),
            (json!({"a": ["x"]}), "`a` must be text"),
            (json!({"a": "x".repeat(MAX_PROMPT_BYTES)}), "more than"),
        ] {
            let problem = filled("Say {{a}}.", arguments).expect_err(part);
            assert!(problem.contains(part), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_never_expanded(text in "[ab{} ]{0,24}", a in "[ab{} ]{0,12}|\\PC{0,8}") {
            let with = |value: &str| filled(&text, json!({"a": value, "b": "b"})).expect("filled");
            // Filling in is the same as putting the value where a mark was.
            prop_assert_eq!(with("\u{fdd0}").replace('\u{fdd0}', &a), with(&a));
        }
    }
}
