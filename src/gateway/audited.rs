//! What the audit log tells of a call: the one place where calls of all transports and of commands are written down, with
//! who asked, with what, and what became of it.

use std::{borrow::Cow, cell::OnceCell, sync::Arc};

use serde_json::Value;

use super::Gateway;
use crate::{
    audit::{Arguments, Decision, Entry, Event, Name, Origin, Recording},
    call::CallContext,
    catalog::{
        CompiledResource, CompiledTool, JsonObject,
        harmless::{Harmless, HarmlessValue},
        plan::Plan,
        resource::Target,
        risk::Risk,
    },
    error::CallError,
    mask::Mask,
    policy::glass::Seen,
};

/// Numbers with fewer digits are no secrets.
const SHORTEST_SECRET_NUMBER: usize = 4;

/// What is carried out.
pub(super) enum Audited<'a> {
    Tool(&'a CompiledTool, &'a JsonObject),
    Resource(&'a CompiledResource, &'a Target<'a>),
}

impl Gateway {
    /// Begins to write a call down. Error: it cannot be, and has to be.
    pub(super) async fn recording(&self, audited: Audited<'_>, context: &CallContext) -> Result<Recording, CallError> {
        let (name, tool, arguments) = match audited {
            Audited::Tool(tool, arguments) => (&tool.name, Some(tool), Some(arguments)),
            Audited::Resource(resource, Target::Answer { tool, arguments }) => {
                (&resource.name, Some(*tool), Some(arguments))
            }
            Audited::Resource(resource, Target::File { .. }) => (&resource.name, None, None),
        };
        // Fixed values leave nothing to send.
        let risk = tool.filter(|tool| !matches!(tool.plan, Plan::Mock(_))).map(|tool| tool.risk.class);
        let entry = || Entry {
            origin: context.origin.clone(),
            tool: Some(Name::Known(name.clone())),
            risk: Some(risk.unwrap_or(Risk::Read).name()),
            arguments: tool.zip(arguments).and_then(|(tool, arguments)| self.audited(tool, arguments, context)),
            decision: Some(Decision::Allowed),
            request_id: Some(context.request_id.clone()),
            ..Entry::new(Event::Call, self.clock.now_ms())
        };
        let announces = risk.is_some_and(Risk::is_grave);
        Ok(self.audit.begin(entry, announces).await?)
    }

    /// Writes down that a call was turned away before anything was done: of what there is, but not for this caller, or of
    /// nothing that there is.
    pub(crate) async fn turned_away(
        &self,
        (asked, known): (&str, Option<&str>),
        arguments: Option<&JsonObject>,
        origin: Option<Arc<Origin>>,
    ) {
        if !self.audit.is_on() {
            return;
        }
        let (name, decision, outcome) = match known {
            Some(name) => (Some(Name::Known(name.to_owned())), Decision::Denied, "denied"),
            None => (self.audit.unknown(asked), Decision::Refused, "unknown"),
        };
        let arguments = arguments.and_then(|arguments| self.audit.arguments(arguments, |_, _| (false, Vec::new())));
        let entry = Entry { origin, tool: name, arguments, ..Entry::new(Event::Call, self.clock.now_ms()) };
        self.audit.record(Entry { decision: Some(decision), outcome: Some(outcome), ..entry }).await;
    }

    /// Writes down that a call was turned away which came with a state that is not ours, not its own, too old or used up.
    pub(crate) async fn not_continued(&self, tool: &str, request_id: &str, origin: Option<Arc<Origin>>) {
        if self.audit.is_on() {
            let entry = Entry::new(Event::Call, self.clock.now_ms());
            let (tool, request_id) = (Some(Name::Known(tool.to_owned())), Some(request_id.to_owned()));
            let (decision, outcome) = (Some(Decision::Refused), Some("state"));
            self.audit.record(Entry { origin, tool, request_id, decision, outcome, ..entry }).await;
        }
    }

    /// What is told of arguments.
    fn audited(&self, tool: &CompiledTool, arguments: &JsonObject, context: &CallContext) -> Option<Arc<Arguments>> {
        // Of most calls nothing is told that could be a secret.
        let of_call = OnceCell::new();
        let is_secret = |value: &Value| {
            let [known, of_call] = of_call.get_or_init(|| [self.known(), of_call_alone(tool, arguments, context)]);
            self.may_be_secret(value, [known, of_call], context)
        };
        self.audit.arguments(arguments, |name, value| {
            let Harmless { is_declared, values } =
                tool.input.harmless(name, value, &|path| self.audit.clears(&tool.name, path));
            let values = values.into_iter();
            let harmless = |value: &HarmlessValue| value.is_listed || !is_secret(&value.value);
            (is_declared, values.filter(harmless).map(|HarmlessValue { path, value, .. }| (path, value)).collect())
        })
    }

    /// Whether a secret that is known stands in a value.
    fn may_be_secret(&self, value: &Value, masks: [&Mask; 2], context: &CallContext) -> bool {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return false,
        };
        if value.is_number() && text.len() < SHORTEST_SECRET_NUMBER {
            return false;
        }
        // What a handle stands for, and what has the form of a secret.
        let seen = self.policy.glass().text(&text, &context.principal, &Seen::default());
        let mut masked = value.clone();
        let stands_in = |mask: &Mask| {
            mask.value(&mut masked);
            masked != *value
        };
        matches!(seen, Cow::Owned(_)) || masks.into_iter().any(stands_in)
    }
}

/// Finds what this call alone is given: secret arguments, and the key that its caller brings.
fn of_call_alone(tool: &CompiledTool, arguments: &JsonObject, context: &CallContext) -> Arc<Mask> {
    let given = tool.input.marked(arguments);
    let brought = context.caller_key.as_ref().map(|key| key.value());
    Arc::new(Mask::new(given.iter().chain(brought)))
}

/// Writes down what became of a call.
pub(super) fn ended(recording: Recording, kind: &'static str) {
    match kind {
        "declined" => recording.decided(Decision::Declined, None),
        "arguments" | "capability" | "unconfigured" | "unaudited" if !recording.has_sent() => {
            recording.decided(Decision::Refused, None);
        }
        _ => {}
    }
    recording.ended(kind);
}
