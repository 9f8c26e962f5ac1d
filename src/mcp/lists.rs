//! What is listed of a gateway, and for whom: a caller hears nothing of what it may not use. Entries are the catalog's own;
//! one becomes an entry of the protocol only when its page is asked for. What specs offer comes first.

use rmcp::model::{Prompt, Resource, ResourceTemplate, ServerCapabilities};

use super::convert;
use crate::{
    access::Access,
    catalog::{Catalog, CompiledPrompt, CompiledResource, CompiledTool, resource::ResourceSource},
    gateway::Gateway,
    guides::Guide,
    originals::{Kind, Original},
};

/// A resource in a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'a> {
    /// One of a spec.
    Own(Own<'a>),
    /// A spec or a schema itself.
    Original(&'a Original),
}

/// A resource of a spec: one with a URI of its own, or a file of a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub(super) resource: &'a CompiledResource,
    /// Its path and its media type, where that is known.
    pub(super) file: Option<(&'a str, Option<&'a str>)>,
}

/// A template in a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum TemplateEntry<'a> {
    /// One of a spec.
    Own(&'a CompiledResource),
    /// That of specs or schemas themselves.
    Originals(Kind),
}

/// A prompt in a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum PromptEntry<'a> {
    /// One of a spec.
    Own(&'a CompiledPrompt),
    /// A guide to a group of tools.
    Guide(&'a Guide),
}

/// How many entries the lists of a gateway have.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Tools.
    pub tools: usize,
    /// Resources, the files of specs and schemas themselves among them.
    pub resources: usize,
    /// Those that are specs.
    pub specs: usize,
    /// Those that are schemas.
    pub schemas: usize,
    /// Templates of resources.
    pub templates: usize,
    /// Prompts, guides among them.
    pub prompts: usize,
    /// Those that are guides.
    pub guides: usize,
}

/// What there is of, or what changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) tools: bool,
    pub(super) resources: bool,
    pub(super) prompts: bool,
    /// Log messages of steps; no list.
    pub(super) logs: bool,
}

impl Entry<'_> {
    pub(super) fn listed(self) -> Resource {
        match self {
            Self::Own(own) => convert::resource(own),
            Self::Original(original) => convert::original(original),
        }
    }
}

impl TemplateEntry<'_> {
    pub(super) fn listed(self) -> ResourceTemplate {
        match self {
            Self::Own(resource) => convert::template(resource),
            Self::Originals(kind) => convert::template_of_originals(kind),
        }
    }
}

impl TemplateEntry<'_> {
    /// The template as it is listed.
    pub(super) fn uri(self) -> String {
        match self {
            Self::Own(resource) => resource.uri.to_string(),
            Self::Originals(kind) => kind.template().to_owned(),
        }
    }
}

impl<'a> PromptEntry<'a> {
    pub(super) fn listed(self) -> Prompt {
        match self {
            Self::Own(prompt) => convert::prompt(prompt),
            Self::Guide(guide) => convert::guide(guide),
        }
    }

    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Own(prompt) => &prompt.name,
            Self::Guide(guide) => &guide.name,
        }
    }
}

pub(super) fn tools<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledTool> {
    catalog.tools().filter(|tool| access.allows(*tool))
}

/// The resources of specs.
pub(super) fn own_resources<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = Own<'a>> {
    allowed(catalog, access).flat_map(|resource| {
        let own = matches!(resource.source, ResourceSource::Answer(_)) && resource.uri.is_fixed();
        let files = match &resource.source {
            ResourceSource::Folder(folder) => Some(&folder.files),
            ResourceSource::Answer(_) => None,
        };
        let files = files.into_iter().flatten().map(|(path, media_type)| Some((path.as_str(), media_type.as_deref())));
        own.then_some(None).into_iter().chain(files).map(move |file| Own { resource, file })
    })
}

pub(super) fn resources<'a>(gateway: &'a Gateway, access: &Access) -> impl Iterator<Item = Entry<'a>> {
    let own = own_resources(&gateway.catalog, access).map(Entry::Own);
    own.chain(gateway.originals.open_to(access).map(Entry::Original))
}

/// Whether there is anything to choose from for what a caller may fill in.
pub(super) fn has_choices(gateway: &Gateway, access: &Access) -> bool {
    let has = |resource: &CompiledResource| {
        let mut placeholders = resource.uri.placeholders();
        placeholders.any(|name| resource.choices(name).is_some_and(|choices| !choices.is_empty()))
    };
    gateway.originals.open_to(access).next().is_some()
        || own_prompts(&gateway.catalog, access).flat_map(|prompt| &prompt.arguments).any(|one| !one.choices.is_empty())
        || own_templates(&gateway.catalog, access).any(has)
}

/// Whether a URI leads to something that a caller may read.
pub(super) fn is_readable(gateway: &Gateway, uri: &str, access: &Access) -> bool {
    let own = gateway.catalog.resources().find(uri);
    own.is_some_and(|(resource, _)| access.allows(resource))
        || gateway.originals.find(uri).is_some_and(|original| original.is_open_to(access))
}

/// The specs and schemas whose text is another than before.
pub(super) fn updated<'a>(old: &Gateway, new: &'a Gateway) -> impl Iterator<Item = &'a Original> {
    new.originals.iter().filter(|original| {
        let before = old.originals.iter().find(|before| before.kind == original.kind && before.name == original.name);
        before.is_some_and(|before| !before.is_same_text(original))
    })
}

/// The templates of specs.
pub(super) fn own_templates<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledResource> {
    allowed(catalog, access).filter(|resource| !resource.uri.is_fixed())
}

pub(super) fn templates<'a>(gateway: &'a Gateway, access: &Access) -> impl Iterator<Item = TemplateEntry<'a>> {
    let own = own_templates(&gateway.catalog, access).map(TemplateEntry::Own);
    let has = |kind: &Kind| gateway.originals.open_to(access).any(|original| original.kind == *kind);
    own.chain(Kind::ALL.into_iter().filter(has).map(TemplateEntry::Originals))
}

/// The prompts of specs.
pub(super) fn own_prompts<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledPrompt> {
    catalog.prompts().filter(|prompt| access.allows(*prompt))
}

pub(super) fn prompts<'a>(gateway: &'a Gateway, access: &'a Access) -> impl Iterator<Item = PromptEntry<'a>> {
    let own = own_prompts(&gateway.catalog, access).map(PromptEntry::Own);
    own.chain(gateway.guides.open_to(&gateway.catalog, access).map(PromptEntry::Guide))
}

/// How many entries the lists of a gateway have for who may use everything.
pub(super) fn counts(gateway: &Gateway) -> Counts {
    let all = &Access::Everything;
    let of = |wanted| gateway.originals.open_to(all).filter(|original| original.kind == wanted).count();
    Counts {
        tools: tools(&gateway.catalog, all).count(),
        resources: resources(gateway, all).count(),
        specs: of(Kind::Spec),
        schemas: of(Kind::Schema),
        templates: templates(gateway, all).count(),
        prompts: prompts(gateway, all).count(),
        guides: gateway.guides.open_to(&gateway.catalog, all).count(),
    }
}

/// What there is of for a caller of this access. Tools always: a client may wait for the first one.
pub(super) fn kinds(gateway: &Gateway, access: &Access) -> Kinds {
    let has_resources =
        allowed(&gateway.catalog, access).next().is_some() || gateway.originals.open_to(access).next().is_some();
    let has_prompts = prompts(gateway, access).next().is_some();
    Kinds { tools: true, resources: has_resources, prompts: has_prompts, logs: gateway.catalog.logs() }
}

/// Which lists are others than before.
pub(super) fn changes(old: &Gateway, new: &Gateway) -> Kinds {
    let all = &Access::Everything;
    let tools =
        old.catalog.len() == new.catalog.len() && old.tools().zip(new.tools()).all(|(old, new)| old.is_listed_as(new));
    // Who may use an entry may have changed as well.
    let listed = |gateway| {
        resources(gateway, all).map(|entry| match entry {
            Entry::Own(own) => (own.resource.gate, None, entry.listed()),
            Entry::Original(original) => (None, Some(original.gates()), entry.listed()),
        })
    };
    let templated = |gateway| {
        templates(gateway, all).map(|entry| match entry {
            TemplateEntry::Own(resource) => (resource.gate, entry.listed()),
            TemplateEntry::Originals(_) => (None, entry.listed()),
        })
    };
    let prompted = |gateway| {
        prompts(gateway, all).map(|entry| match entry {
            PromptEntry::Own(prompt) => (prompt.gate, entry.listed()),
            PromptEntry::Guide(_) => (None, entry.listed()),
        })
    };
    Kinds {
        tools: !tools,
        resources: !(listed(old).eq(listed(new)) && templated(old).eq(templated(new))),
        prompts: !prompted(old).eq(prompted(new)),
        logs: false,
    }
}

/// Takes out of what is announced to a client of the older era what only a session could deliver. Log messages stay: they
/// come with the answer to a call.
pub(super) fn promise_no_news(capabilities: &mut ServerCapabilities) {
    if let Some(tools) = &mut capabilities.tools {
        tools.list_changed = None;
    }
    if let Some(resources) = &mut capabilities.resources {
        (resources.list_changed, resources.subscribe) = (None, None);
    }
    if let Some(prompts) = &mut capabilities.prompts {
        prompts.list_changed = None;
    }
}

fn allowed<'a>(catalog: &'a Catalog, access: &Access) -> impl Iterator<Item = &'a CompiledResource> {
    catalog.resources().iter().filter(|resource| access.allows(*resource))
}

impl Kinds {
    /// What is announced: lists that may change.
    #[allow(deprecated, reason = "clients of the older era go on using log messages")]
    pub(super) fn capabilities(self) -> ServerCapabilities {
        let mut capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_tasks()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_prompts_list_changed()
            .build();
        capabilities.resources = capabilities.resources.filter(|_| self.resources);
        capabilities.prompts = capabilities.prompts.filter(|_| self.prompts);
        capabilities.logging = capabilities.logging.filter(|_| self.logs);
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
            logs: self.logs && other.logs,
        }
    }
}
