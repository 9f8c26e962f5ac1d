//! Tools, resources and prompts as offers, for those who decide who may use them.

use http::Method;

use super::{CompiledPrompt, CompiledResource, CompiledTool, resource::ResourceSource, risk::Risk};
use crate::access::{Offer, Reach};

impl<'a> From<&'a CompiledTool> for Offer<'a> {
    fn from(tool: &'a CompiledTool) -> Self {
        let (gate, risk) = (tool.gate, tool.risk.class);
        Self { gate, group: &tool.group, risk, tool: Some(&tool.name), needs: needs(tool) }
    }
}

impl<'a> From<&'a CompiledResource> for Offer<'a> {
    fn from(resource: &'a CompiledResource) -> Self {
        let (risk, needs) = match &resource.source {
            ResourceSource::Answer(tool) => (tool.risk.class, needs(tool)),
            ResourceSource::Folder(_) => (Risk::Read, Reach::Nothing),
        };
        Self { gate: resource.gate, group: &resource.group, risk, tool: None, needs }
    }
}

impl<'a> From<&'a CompiledPrompt> for Offer<'a> {
    fn from(prompt: &'a CompiledPrompt) -> Self {
        // Fixed messages do nothing; what steps do for theirs counts as it does in a tool.
        let (risk, needs) = match &prompt.action {
            Some(action) => (action.0.risk.class, needs(&action.0)),
            None => (Risk::Read, Reach::Nothing),
        };
        Self { gate: prompt.gate, group: &prompt.group, risk, tool: None, needs }
    }
}

/// How far a caller's own key has to reach at the backend built in.
fn needs(tool: &CompiledTool) -> Reach {
    let told = tool.plan.every_operation().filter(|operation| operation.service.tells_of_caller_keys());
    let each =
        told.map(|operation| if operation.request.method == Method::GET { Reach::Reading } else { Reach::Writing });
    each.max().unwrap_or(Reach::Nothing)
}
