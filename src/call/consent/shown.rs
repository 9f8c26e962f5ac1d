//! What a person sees of a call that waits for them.

use std::time::Duration;

use serde_json::Value;

use super::Case;
use crate::{
    audit::Recording,
    call::{self, CallContext, Environment},
    catalog::{CompiledTool, JsonObject, plan::Plan, risk::Risk},
    dry_run,
    mask::MASKED,
    policy::{
        glass::Seen,
        grants::Grant,
        rules::Rule,
        store::{Shown, Subject},
    },
    prose::invisible::one_line,
};

/// How long the object of a call may take to be read.
const SUBJECT_WAIT: Duration = Duration::from_secs(10);

impl Case<'_> {
    /// What a person sees of the call.
    pub(super) async fn shown(&self) -> Shown {
        let Self { tool, arguments, context, .. } = self;
        let no_arguments = JsonObject::new();
        let given = self.given.shown();
        let given = given.as_object().unwrap_or(&no_arguments);
        let masked = || Value::Object(tool.input.replace_secrets(given, MASKED));
        let request = match dry_run::dry_run(tool, given.clone()) {
            // What later steps send depends on answers, but all of it is made of the arguments.
            Ok(request) if matches!(tool.plan, Plan::Steps(_)) => {
                format!("{}\n# the arguments of all steps:\n{:#}\n", request.to_text(dry_run::Format::Http), masked())
            }
            Ok(request) => request.to_text(dry_run::Format::Http),
            Err(_) => format!("{}\n\n{:#}\n", tool.plan.summary(), masked()),
        };
        let grant = (tool.risk.class == Risk::Grant).then(|| grant(tool, arguments, self.environment.clock.now_ms()));
        let (subject, missing) = match (self.rule == Rule::Ask).then_some(self.subject()) {
            Some(subject) => subject.await.map_or((None, None), |found| match found {
                Ok(subject) => (Some(subject), None),
                Err(missing) => (None, Some(missing)),
            }),
            None => (None, None),
        };
        Shown {
            code: String::new(),
            tool: tool.name.clone(),
            title: tool.title.clone(),
            risk: tool.risk.class.to_string(),
            reason: tool.risk.reason.clone().into_owned(),
            principal: context.principal.name().to_owned(),
            client: one_line(&context.client.name().unwrap_or_default()),
            request,
            subject,
            notes: grant.iter().flat_map(Grant::notes).chain(missing).map(|note| one_line(&note)).collect(),
            words: self.words(),
            entries: self.given.wanted.clone(),
            confirms: self.rule == Rule::Ask,
        }
    }

    /// What a person has to write.
    pub(super) fn words(&self) -> Option<String> {
        if self.tool.risk.class != Risk::Grant || self.rule != Rule::Ask {
            return None;
        }
        grant(self.tool, self.arguments, self.environment.clock.now_ms()).words()
    }

    /// The object that the call is about, read by a tool that only reads; an error says that there is none. What cannot be
    /// read is not shown.
    async fn subject(&self) -> Option<Result<Subject, String>> {
        let Self { tool, environment, context, .. } = self;
        let may_use = |reader: &CompiledTool| context.access.allows(reader);
        let (reader, arguments) = environment.catalog?.reader_of(tool, self.given.arguments.as_object()?, may_use)?;
        // The operator has a person asked about that as well, or lets nobody read it.
        if matches!(environment.policy.rule(reader), Rule::Ask | Rule::Deny) {
            return None;
        }
        let context = CallContext {
            caller_key: context.caller_key.clone(),
            principal: context.principal.clone(),
            access: context.access.clone(),
            ..CallContext::new(format!("{}-about", context.request_id))
        };
        // What is read for the person is no part of the call.
        let recording = Recording::off();
        let environment = Environment { recording: &recording, ..*environment };
        let reading = Box::pin(call::attempt(reader, arguments, environment, &context));
        let output = match tokio::time::timeout(SUBJECT_WAIT, reading).await.ok()? {
            Err(error) if matches!(error.status().map(|status| status.as_u16()), Some(404 | 410)) => {
                return Some(Err(format!("`{}` finds nothing there, so there may be nothing to act on", reader.name)));
            }
            read => read.ok()?,
        };
        let mut value = output.structured()?;
        environment.policy.glass().value(&mut value, &context.principal, &Seen::default());
        Some(Ok(Subject { tool: reader.name.clone(), value }))
    }
}

/// What a call that mints a key asks for at this time.
pub(super) fn grant(tool: &CompiledTool, arguments: &Value, now_ms: i64) -> Grant {
    let no_arguments = JsonObject::new();
    let names = tool.input.names();
    Grant::asked(names.iter().map(String::as_str), arguments.as_object().unwrap_or(&no_arguments), now_ms)
}
