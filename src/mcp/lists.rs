//! What is listed of a catalog, and for whom: a caller hears nothing of what it may not use. Entries are the catalog's own;
//! one becomes an entry of the protocol only when its page is asked for.

use rmcp::model::ServerCapabilities;

use super::convert;
use crate::{
    access::Access,
    catalog::{Catalog, CompiledPrompt, CompiledResource, CompiledTool, resource::ResourceSource},
};

/// A resource in a list: one with a URI of its own, or a file of a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) resource: &'a CompiledResource,
    /// Its path and its media type, where that is known.
    pub(super) file: Option<(&'a str, Option<&'a str>)>,
}

/// What there is of, or what changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) tools: bool,
    pub(super) resources: bool,
    pub(super) prompts: bool,
}

pub(super) fn tools<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledTool> {
    catalog.tools().filter(|tool| access.allows(*tool))
}

pub(super) fn resources<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = Entry<'a>> {
    allowed(catalog, access).flat_map(|resource| {
        let own = matches!(resource.source, ResourceSource::Answer(_)) && resource.uri.is_fixed();
        let files = match &resource.source {
            ResourceSource::Folder(folder) => Some(&folder.files),
            ResourceSource::Answer(_) => None,
        };
        let files = files.into_iter().flatten().map(|(path, media_type)| Some((path.as_str(), media_type.as_deref())));
        own.then_some(None).into_iter().chain(files).map(move |file| Entry { resource, file })
    })
}

pub(super) fn templates<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledResource> {
    allowed(catalog, access).filter(|resource| !resource.uri.is_fixed())
}

pub(super) fn prompts<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledPrompt> {
    catalog.prompts().filter(|prompt| access.allows(*prompt))
}

/// What there is of for a caller of this access. Tools always: a client may wait for the first one.
pub(super) fn kinds(catalog: &Catalog, access: &Access) -> Kinds {
    let has_resources = allowed(catalog, access).next().is_some();
    Kinds { tools: true, resources: has_resources, prompts: prompts(catalog, access).next().is_some() }
}

/// Which lists are others than before.
pub(super) fn changes(old: &Catalog, new: &Catalog) -> Kinds {
    let all = &Access::Everything;
    let tools = old.len() == new.len() && old.tools().zip(new.tools()).all(|(old, new)| old.is_listed_as(new));
    // Who may use an entry may have changed as well.
    let listed = |catalog| resources(catalog, all).map(|entry| (entry.resource.gate, convert::resource(entry)));
    let templated = |catalog| templates(catalog, all).map(|resource| (resource.gate, convert::template(resource)));
    let prompted = |catalog| prompts(catalog, all).map(|prompt| (prompt.gate, convert::prompt(prompt)));
    Kinds {
        tools: !tools,
        resources: !(listed(old).eq(listed(new)) && templated(old).eq(templated(new))),
        prompts: !prompted(old).eq(prompted(new)),
    }
}

fn allowed<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledResource> {
    catalog.resources().iter().filter(|resource| access.allows(*resource))
}

impl Kinds {
    /// What is announced: lists that may change.
    pub(super) fn capabilities(self) -> ServerCapabilities {
        let mut capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .build();
        capabilities.resources = capabilities.resources.filter(|_| self.resources);
        capabilities.prompts = capabilities.prompts.filter(|_| self.prompts);
        capabilities
    }

    pub(super) fn any(self) -> bool {
        self.tools || self.resources || self.prompts
    }

    /// What is in both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            tools: self.tools && other.tools,
            resources: self.resources && other.resources,
            prompts: self.prompts && other.prompts,
        }
    }
}
