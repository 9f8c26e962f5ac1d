//! Tools, resources and prompts as offers, for those who decide who may use them.

use super::{CompiledPrompt, CompiledResource, CompiledTool, resource::ResourceSource, risk::Risk};
use crate::access::Offer;

impl<'a> From<&'a CompiledTool> for Offer<'a> {
    fn from(tool: &'a CompiledTool) -> Self {
        Self { gate: tool.gate, group: &tool.group, risk: tool.hints.into(), tool: Some(&tool.name) }
    }
}

impl<'a> From<&'a CompiledResource> for Offer<'a> {
    fn from(resource: &'a CompiledResource) -> Self {
        let risk = match &resource.source {
            ResourceSource::Answer(tool) => tool.hints.into(),
            ResourceSource::Folder(_) => Risk::Read,
        };
        Self { gate: resource.gate, group: &resource.group, risk, tool: None }
    }
}

impl<'a> From<&'a CompiledPrompt> for Offer<'a> {
    fn from(prompt: &'a CompiledPrompt) -> Self {
        Self { gate: prompt.gate, group: &prompt.group, risk: Risk::Read, tool: None }
    }
}
