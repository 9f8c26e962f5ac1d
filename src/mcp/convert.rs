//! Between the catalog's types and MCP's: tools, resources and prompts as entries of a list, the outcome of a call as a
//! tool result or as what a resource holds.
//!
//! Pure functions. Nothing here knows a transport or a session.

use std::{io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use rmcp::{
    ErrorData,
    model::{
        CallToolResult, ContentBlock, GetPromptResult, JsonObject, MetaObject, Prompt, PromptArgument, PromptMessage,
        Resource, ResourceContents, ResourceTemplate, Role, Tool, ToolAnnotations,
    },
};
use serde_json::{Value, json};

use super::lists::Own;
use crate::{
    call::{Binary, CallOutput, Content, Returned},
    catalog::{CompiledPrompt, CompiledResource, CompiledTool, output::as_object, plan::Plan, prompt},
    error::{CallError, Repetition},
    guides::Guide,
    originals::{Kind, Original},
    prose::invisible::visible,
};

/// The `_meta` key under which a failed call repeats its facts for programs: `kind`, `status`, `retryable`,
/// `requestId`.
pub const ERROR_META_KEY: &str = "keyglass/error";

/// The `_meta` key under which a result says where it comes from: `source` (`backend`), `services` (the namespaces that were
/// called) and `trust` (`untrusted-data`). It is on every result that holds words of a backend.
pub(super) const PROVENANCE_META_KEY: &str = "keyglass/provenance";

/// The longest text of a failed call, in bytes. Clients cut longer ones, and the facts stand in the last line.
const MAX_ERROR_BYTES: usize = 2_000;

/// A tool as a client sees it in `tools/list`, with all four hints. In the older era results are objects.
pub(super) fn listing(tool: &CompiledTool, is_modern: bool) -> Tool {
    let annotations = ToolAnnotations::with_title(&tool.title)
        .read_only(tool.hints.read_only)
        .destructive(tool.hints.destructive)
        .idempotent(tool.hints.idempotent)
        .open_world(tool.hints.open_world);
    let listed = Tool::new(tool.name.clone(), tool.description.clone(), Arc::new(tool.input.listed()))
        .with_title(&tool.title)
        .with_annotations(annotations);
    match (tool.output.is_promised(), is_modern) {
        (true, true) => listed.with_raw_output_schema(Arc::new(tool.output.listed())),
        (true, false) => listed.with_raw_output_schema(Arc::new(tool.output.listed_as_object())),
        (false, _) => listed,
    }
}

/// A resource or a file of one as a client sees it in `resources/list`.
pub(super) fn resource(entry: Own<'_>) -> Resource {
    let Own { resource, file } = entry;
    let (listed, media_type) = match file {
        None => {
            let listed = Resource::new(resource.uri.to_string(), &resource.name).with_title(&resource.title);
            (listed, resource.media_type.as_deref())
        }
        // The name has to tell the files apart, for a person who looks at a list of them.
        Some((path, media_type)) => {
            let name = visible(path);
            let title = format!("{}: {name}", resource.title);
            (Resource::new(resource.uri_of(path), name).with_title(title), media_type)
        }
    };
    let listed = listed.with_description(&resource.description);
    match media_type {
        Some(media_type) => listed.with_mime_type(media_type),
        None => listed,
    }
}

/// A resource with placeholders in its URI as a client sees it in `resources/templates/list`.
pub(super) fn template(resource: &CompiledResource) -> ResourceTemplate {
    let listed = ResourceTemplate::new(resource.uri.to_string(), &resource.name)
        .with_title(&resource.title)
        .with_description(&resource.description);
    match &resource.media_type {
        Some(media_type) => listed.with_mime_type(media_type),
        None => listed,
    }
}

/// A spec or a schema as a client sees it in `resources/list`.
pub(super) fn original(original: &Original) -> Resource {
    Resource::new(original.uri(), &original.name)
        .with_title(&original.title)
        .with_description(&original.description)
        .with_mime_type(original.kind.media_type())
}

/// The URIs of specs or schemas as a client sees them in `resources/templates/list`.
pub(super) fn template_of_originals(kind: Kind) -> ResourceTemplate {
    let (name, title, description) = match kind {
        Kind::Spec => ("specs", "Capability specs", "A capability spec that tools were made from, by its file's name."),
        Kind::Schema => ("schemas", "JSON Schemas", "A JSON Schema that specs refer to, by its file's name."),
    };
    ResourceTemplate::new(kind.template(), name)
        .with_title(title)
        .with_description(description)
        .with_mime_type(kind.media_type())
}

/// A guide as a client sees it in `prompts/list`.
pub(super) fn guide(guide: &Guide) -> Prompt {
    Prompt::new(&guide.name, Some(&guide.description), None).with_title(&guide.title)
}

/// A prompt as a client sees it in `prompts/list`.
pub(super) fn prompt(prompt: &CompiledPrompt) -> Prompt {
    let argument = |argument: &prompt::PromptArgument| {
        let listed = PromptArgument::new(&argument.name).with_required(argument.required);
        match &argument.description {
            Some(description) => listed.with_description(description),
            None => listed,
        }
    };
    let arguments: Vec<PromptArgument> = prompt.arguments.iter().map(argument).collect();
    let arguments = (!arguments.is_empty()).then_some(arguments);
    Prompt::new(&prompt.name, Some(&prompt.description), arguments).with_title(&prompt.title)
}

/// The messages of a prompt.
pub(super) fn messages(messages: Vec<(prompt::Role, String)>) -> GetPromptResult {
    let message = |(role, text): (prompt::Role, String)| {
        let role = match role {
            prompt::Role::User => Role::User,
            prompt::Role::Assistant => Role::Assistant,
        };
        PromptMessage::new_text(role, visible(&text))
    };
    GetPromptResult::new(messages.into_iter().map(message).collect())
}

/// What a resource holds, under the URI it was asked for.
pub(super) fn contents(content: Content, uri: String) -> ResourceContents {
    match content {
        Content::Text { media_type: None, text } => ResourceContents::text(text, uri),
        Content::Text { media_type: Some(media_type), text } => {
            ResourceContents::text(text, uri).with_mime_type(media_type)
        }
        Content::Binary(Binary { media_type, bytes }) => {
            ResourceContents::blob(STANDARD.encode(bytes), uri).with_mime_type(media_type)
        }
    }
}

/// The error for a URI that leads nowhere, or nowhere for this caller. The library gives it the code of the era.
pub(super) fn unknown_resource(uri: &str) -> ErrorData {
    let message = "no resource has this URI; `resources/list` and `resources/templates/list` have all";
    ErrorData::resource_not_found(message, Some(json!({ "uri": uri })))
}

/// Why a resource could not be read: the sentence that a failed call of a tool has, and its facts as data.
pub(super) fn read_error(error: &CallError, repetition: Repetition, uri: &str, request_id: &str) -> ErrorData {
    let mut data = facts(error, repetition, request_id);
    data.insert("uri".to_owned(), json!(uri));
    let mut message = error.to_string().replace(['\r', '\n'], " ");
    shorten(&mut message, MAX_ERROR_BYTES);
    let data = Some(Value::Object(data));
    match (error, error.status().map(|status| status.as_u16())) {
        (CallError::NoFile, _) | (_, Some(404 | 410)) => ErrorData::resource_not_found(message, data),
        (CallError::Arguments(_), _) => ErrorData::invalid_params(message, data),
        _ => ErrorData::internal_error(message, data),
    }
}

/// Adds to `_meta` that a result holds words of the backends that a plan calls; nothing where it calls none.
pub(super) fn note_provenance(meta: &mut Option<MetaObject>, services: &[&str]) {
    if !services.is_empty() {
        let provenance = json!({ "source": "backend", "services": services, "trust": "untrusted-data" });
        meta.get_or_insert_default().0.insert(PROVENANCE_META_KEY.to_owned(), provenance);
    }
}

/// The namespaces of the services that a plan calls, each once.
pub(super) fn services(plan: &Plan) -> Vec<&str> {
    let mut services: Vec<&str> = Vec::new();
    for operation in plan.operations() {
        let namespace = operation.service.namespace.as_str();
        if !services.contains(&namespace) {
            services.push(namespace);
        }
    }
    services
}

/// What a call gave, as a tool result. A failure is a tool error that the model can act on, never a protocol error (MCP
/// 2025-11-25 and 2026-07-28, "Error handling"). Error: the spec says something that no client could read.
pub(super) fn result(output: CallOutput, request_id: &str, is_modern: bool) -> Result<CallToolResult, ErrorData> {
    match output {
        CallOutput::Answer { structured, binary } => {
            let mut result = CallToolResult::structured(Value::Object(structured));
            result.content.extend(binary.as_ref().map(|binary| block(binary, request_id)));
            Ok(result)
        }
        CallOutput::Returned(Returned::Result { content, structured, is_error }) => {
            // What is no object has a form of its own in the older era, which knows none.
            let structured = structured.map(|structured| match structured {
                other if is_modern => other,
                other => Value::Object(as_object(other)),
            });
            let mut blocks: Vec<ContentBlock> = read(content)?;
            if blocks.is_empty()
                && let Some(structured) = &structured
            {
                blocks.push(ContentBlock::text(structured.to_string()));
            }
            let mut result = if is_error { CallToolResult::error(blocks) } else { CallToolResult::success(blocks) };
            result.structured_content = structured.filter(|_| !is_error);
            Ok(result)
        }
        CallOutput::Returned(_) | CallOutput::Paused(_) => {
            Err(ErrorData::internal_error("the tool gave nothing that a tool can give", None))
        }
    }
}

/// Parts that a step says, as the protocol has them. Error: they are not that.
pub(super) fn read<T: serde::de::DeserializeOwned>(parts: Vec<Value>) -> Result<Vec<T>, ErrorData> {
    let parts = parts.into_iter().map(serde_json::from_value).collect::<Result<_, _>>();
    parts.map_err(|error| {
        let message = format!("the spec's `return` step gives what no client could read ({error}); tell the operator");
        ErrorData::internal_error(message, None)
    })
}

/// Contents of a resource, of which those without a URI have the one that was asked for.
pub(super) fn with_uri(contents: Vec<Value>, uri: &str) -> Vec<Value> {
    let mut contents = contents;
    for content in contents.iter_mut().filter_map(Value::as_object_mut) {
        content.entry("uri").or_insert_with(|| json!(uri));
    }
    contents
}

/// Why a prompt has no messages.
pub(super) fn prompt_error(error: &CallError, repetition: Repetition, request_id: &str) -> ErrorData {
    let data = Some(Value::Object(facts(error, repetition, request_id)));
    let mut message = error.to_string().replace(['\r', '\n'], " ");
    shorten(&mut message, MAX_ERROR_BYTES);
    match error {
        CallError::Arguments(_) => ErrorData::invalid_params(message, data),
        _ => ErrorData::internal_error(message, data),
    }
}

/// What a resource holds, if that is not more than a client is given.
pub(super) fn fitting(content: Content, max_bytes: usize) -> Result<Content, CallError> {
    let length = match &content {
        Content::Text { text, .. } => text.len(),
        Content::Binary(binary) => base64::encoded_len(binary.bytes.len(), true).unwrap_or(usize::MAX),
    };
    if length > max_bytes { Err(CallError::TooLarge(max_bytes)) } else { Ok(content) }
}

/// A result, if it is not more than a client is given.
pub(super) fn fitting_result(result: CallToolResult, max_bytes: usize) -> Result<CallToolResult, CallError> {
    if fits(&result, max_bytes) { Ok(result) } else { Err(CallError::TooLarge(max_bytes)) }
}

/// Whether a result is at most so many bytes of JSON.
fn fits(result: &CallToolResult, max_bytes: usize) -> bool {
    /// What a result holds besides its answer.
    const FRAME: usize = 4 * 1024;
    let text = result.content.iter().filter_map(|block| block.as_text()).map(|block| block.text.len()).sum::<usize>();
    // The text is the answer's JSON, and in a text each byte of that is two at most; the same JSON comes once more.
    let is_text = result.content.len() == 1;
    if is_text && text.saturating_mul(3).saturating_add(FRAME) <= max_bytes {
        return true;
    }
    let mut room = Room(max_bytes);
    serde_json::to_writer(&mut room, result).is_ok()
}

/// Room for so many bytes, none of which is kept.
struct Room(usize);

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes as a client takes them: images and sounds as such, anything else as an embedded resource, whose URI leads
/// nowhere: it names the call.
fn block(binary: &Binary, request_id: &str) -> ContentBlock {
    let data = STANDARD.encode(&binary.bytes);
    match binary.media_type.split('/').next() {
        Some("image") => ContentBlock::image(data, &binary.media_type),
        Some("audio") => ContentBlock::audio(data, &binary.media_type),
        _ => {
            let uri = format!("keyglass://answers/{request_id}");
            ContentBlock::resource(ResourceContents::blob(data, uri).with_mime_type(&binary.media_type))
        }
    }
}

/// A call that failed, as a tool result.
pub(super) fn failure(error: &CallError, repetition: Repetition, request_id: &str) -> CallToolResult {
    let mut meta = JsonObject::new();
    meta.insert(ERROR_META_KEY.to_owned(), Value::Object(facts(error, repetition, request_id)));
    let text = failure_text(error, repetition, request_id);
    CallToolResult::error(vec![ContentBlock::text(text)]).with_meta(Some(MetaObject(meta)))
}

/// What a failure is, for programs.
fn facts(error: &CallError, repetition: Repetition, request_id: &str) -> JsonObject {
    let members = [
        ("kind", json!(error.kind())),
        ("status", json!(error.status().map(|status| status.as_u16()))),
        ("retryable", json!(error.is_retryable(repetition))),
        ("requestId", json!(request_id)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The error's sentence, shortened where needed, and a last line of facts.
fn failure_text(error: &CallError, repetition: Repetition, request_id: &str) -> String {
    let status = error.status().map_or_else(String::new, |status| format!(", status: {}", status.as_u16()));
    let retry = if error.is_retryable(repetition) { "may help" } else { "will not help" };
    let facts = format!("\nkind: {}{status}, the same call again: {retry}, request id: {request_id}", error.kind());
    // What a backend said may hold line breaks; the sentence stays the first line and the facts the last.
    let mut text = error.to_string().replace(['\r', '\n'], " ");
    shorten(&mut text, MAX_ERROR_BYTES.saturating_sub(facts.len()));
    text.push_str(&facts);
    text
}

/// Cuts a text to at most so many bytes, at a character's end, and marks the cut.
fn shorten(text: &mut String, max_bytes: usize) {
    const MARK: &str = "…";
    if text.len() > max_bytes {
        let end = (0..=max_bytes.saturating_sub(MARK.len())).rev().find(|index| text.is_char_boundary(*index));
        text.truncate(end.unwrap_or_default());
        text.push_str(MARK);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::StatusCode;

    use super::*;
    use crate::error::ArgumentProblem;

    const MOST: usize = 8 * 1024 * 1024;

    fn outcome(outcome: Result<CallOutput, CallError>, repetition: Repetition, request_id: &str) -> CallToolResult {
        outcome_within(outcome, repetition, request_id, MOST)
    }

    fn outcome_within(
        outcome: Result<CallOutput, CallError>,
        repetition: Repetition,
        request_id: &str,
        most: usize,
    ) -> CallToolResult {
        let result = |output| super::result(output, request_id, true).expect("a result");
        let result = outcome.and_then(|output| fitting_result(result(output), most));
        result.unwrap_or_else(|error| failure(&error, repetition, request_id))
    }

    fn text_of(result: &CallToolResult) -> &str {
        assert_eq!(result.content.len(), 1, "one block");
        result.content[0].as_text().unwrap().text.as_str()
    }

    #[test]
    fn a_success_carries_the_same_json_twice() {
        let Value::Object(structured) = json!({"z": 1, "a": [null, "x"]}) else { panic!("an object") };
        let result = outcome(Ok(CallOutput::Answer { structured, binary: None }), Repetition::Harmless, "00ff");
        let wire = serde_json::to_value(&result).unwrap();
        assert_eq!(text_of(&result), r#"{"z":1,"a":[null,"x"]}"#, "compact, members in order");
        assert_eq!(wire["structuredContent"], json!({"z": 1, "a": [null, "x"]}));
        assert_eq!(wire["isError"], json!(false));
        assert_eq!(wire["resultType"], json!("complete"));
    }

    #[test]
    fn a_result_that_is_too_large_says_how_to_ask_for_less() {
        let of = |text: String, max_bytes| {
            let Value::Object(structured) = json!({ "text": text }) else { panic!("an object") };
            let output = CallOutput::Answer { structured, binary: None };
            outcome_within(Ok(output), Repetition::Harmless, "00ff", max_bytes)
        };
        for text in ["x".repeat(3_000), "\"".repeat(3_000), "é\\".repeat(1_000)] {
            let whole = serde_json::to_string(&of(text.clone(), MOST)).unwrap().len();
            let just = of(text.clone(), whole);
            assert_eq!(just.is_error, Some(false), "{whole}");
            let cut = of(text, whole - 1);
            assert_eq!(cut.is_error, Some(true));
            let text = text_of(&cut);
            assert!(
                text.contains(&format!("larger than {} bytes", whole - 1)) && text.contains("ask for less"),
                "{text}"
            );
            assert!(text.contains("kind: oversized"), "{text}");
        }
    }

    #[test]
    fn a_resource_that_is_too_large_is_no_content() {
        let text = |length| Content::Text { media_type: None, text: "x".repeat(length) };
        assert!(fitting(text(10), 10).is_ok());
        assert!(matches!(fitting(text(11), 10), Err(CallError::TooLarge(10))));
        let bytes = Content::Binary(Binary { media_type: "a/b".to_owned(), bytes: Bytes::from_static(&[0; 9]) });
        assert!(matches!(fitting(bytes, 11), Err(CallError::TooLarge(11))), "as base64");
    }

    #[test]
    fn bytes_come_as_what_they_are() {
        for (media_type, kind) in [("image/png", "image"), ("audio/wav", "audio"), ("application/zip", "resource")] {
            let binary = Binary { media_type: media_type.to_owned(), bytes: Bytes::from_static(b"hi") };
            let Value::Object(structured) = json!({"media_type": media_type, "size": 2}) else { panic!("an object") };
            let result =
                outcome(Ok(CallOutput::Answer { structured, binary: Some(binary) }), Repetition::Harmless, "00ff");
            let wire = serde_json::to_value(&result).unwrap();
            assert_eq!(wire["content"][1]["type"], kind, "{wire}");
            assert!(wire["content"][1].to_string().contains("aGk="), "{wire}");
            assert_eq!(wire["structuredContent"]["size"], 2);
        }
    }

    #[test]
    fn a_failure_states_its_facts_last_and_in_meta() {
        let error = CallError::Status {
            status: StatusCode::NOT_FOUND,
            message: "no devbox\nof this id".to_owned(),
            retry_after: None,
        };
        let result = outcome(Err(error), Repetition::Harmless, "1f00");
        let wire = serde_json::to_value(&result).unwrap();
        let lines: Vec<&str> = text_of(&result).lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("the backend answered 404 Not Found; in its own words: \"no devbox of this id\" ("),
            "{}",
            lines[0]
        );
        assert_eq!(lines[1], "kind: status, status: 404, the same call again: will not help, request id: 1f00");
        assert_eq!(wire["isError"], json!(true));
        assert_eq!(wire["resultType"], json!("complete"));
        assert!(wire.get("structuredContent").is_none());
        assert_eq!(
            wire["_meta"][ERROR_META_KEY],
            json!({"kind": "status", "status": 404, "retryable": false, "requestId": "1f00"})
        );
    }

    #[test]
    fn a_failure_without_an_answer_has_no_status() {
        let timeout = || Err(CallError::Timeout(Duration::from_secs(30)));
        let harmful = outcome(timeout(), Repetition::Harmful, "1f00");
        assert!(text_of(&harmful).ends_with("\nkind: timeout, the same call again: will not help, request id: 1f00"));
        let result = outcome(timeout(), Repetition::Harmless, "1f00");
        let wire = serde_json::to_value(&result).unwrap();
        assert!(text_of(&result).ends_with("\nkind: timeout, the same call again: may help, request id: 1f00"));
        assert_eq!(wire["_meta"][ERROR_META_KEY]["status"], Value::Null);
    }

    #[test]
    fn long_failures_are_cut_at_a_character_and_keep_their_facts() {
        for filler in ["x", "é", "鍵", "🔑"] {
            let error =
                CallError::Arguments(vec![ArgumentProblem { argument: String::new(), message: filler.repeat(5_000) }]);
            let result = outcome(Err(error), Repetition::Harmless, "0123456789abcdef");
            let text = text_of(&result);
            assert!(text.len() <= MAX_ERROR_BYTES, "{} bytes", text.len());
            assert!(
                text.ends_with("…\nkind: arguments, the same call again: will not help, request id: 0123456789abcdef")
            );
        }
    }

    #[test]
    fn an_internal_fault_is_withheld() {
        let result = outcome(Err(CallError::Internal("canary-5d1c".to_owned())), Repetition::Harmless, "1f00");
        let wire = serde_json::to_string(&result).unwrap();
        assert!(!wire.contains("canary-5d1c"));
        assert!(wire.contains("kind: internal, the same call again: will not help"));
    }
}
