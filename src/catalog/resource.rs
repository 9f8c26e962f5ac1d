//! Resources: what a client may read by a URI. One is the answer of a call, a flow or fixed values, with the placeholders
//! of its URI as arguments; or each file of a folder.
//!
//! What is done to read one is lowered as a tool is, and is a tool that nobody sees: the same arguments, requests, limits
//! and masks.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use url::Url;

use super::{
    CompiledTool, JsonObject,
    collected::does_same,
    compile::{Compiler, Scene, Use},
    complete::{Choices, Listing, Wanted},
    folder::{Folder, Reach},
    lengths, names,
    plan::Plan,
    risk::Risk,
    uri::UriTemplate,
};
use crate::{
    access::GateId,
    diagnostic::{Code, Diagnostic, Severity, SourceMap, Span},
    error::Repetition,
    prose::tidy,
    spec::{
        self, BindSource, InputParameter, McpServer, Mode, Resource, ResourceContent, Spanned, StepKind, Tool,
        Workspace,
        yaml::{self, Node},
    },
};

/// The media type of an answer where the spec names none: answers are JSON, whatever the service sent.
const JSON: &str = "application/json";

/// A resource as resolved from a spec.
#[derive(Debug)]
pub struct CompiledResource {
    /// Its URI; where it is a folder, that of the folder.
    pub uri: UriTemplate,
    /// The name its spec gives it. Others may have the same.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// What it holds.
    pub description: String,
    /// Its media type; of a folder's files each has its own.
    pub media_type: Option<String>,
    /// What it is read from.
    pub source: ResourceSource,
    /// The gate before it, where callers have to show something.
    pub gate: Option<GateId>,
    /// What it was written to be used with, as of a tool.
    pub group: Arc<str>,
    /// What lists the values of placeholders, by their names.
    pub listings: Vec<(String, Arc<Listing>)>,
}

/// What a resource is read from.
#[derive(Debug)]
pub enum ResourceSource {
    /// The answer of a call.
    Answer(Box<CompiledTool>),
    /// The files of a folder.
    Folder(Folder),
}

/// What a URI leads to.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// An answer.
    Answer {
        /// What is done for it.
        tool: &'a CompiledTool,
        /// With what.
        arguments: JsonObject,
    },
    /// A file.
    File {
        /// The folder it is in.
        folder: &'a Folder,
        /// Its path in there.
        path: &'a str,
        /// Its media type, where it is known.
        media_type: Option<&'a str>,
    },
}

/// All resources, in the order of the specs.
#[derive(Debug, Default)]
pub struct Resources {
    list: Vec<CompiledResource>,
    /// URIs without a placeholder, as they are written and in the form that libraries bring them into.
    fixed: BTreeMap<String, usize>,
}

impl<'a> Target<'a> {
    /// What it is read by; nothing for a file.
    pub fn tool(&self) -> Option<&'a CompiledTool> {
        match self {
            Self::Answer { tool, .. } => Some(tool),
            Self::File { .. } => None,
        }
    }

    /// What it does to read it twice.
    pub fn repetition(&self) -> Repetition {
        match self {
            Self::Answer { tool, .. } => tool.hints.repetition(),
            Self::File { .. } => Repetition::Harmless,
        }
    }
}

impl CompiledResource {
    /// What is done to read it; nothing for a folder.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.source {
            ResourceSource::Answer(tool) => Some(&tool.plan),
            ResourceSource::Folder(_) => None,
        }
    }

    /// What a person may choose from for a placeholder of its URI. None where it has no such placeholder.
    pub fn choices(&self, placeholder: &str) -> Option<Choices> {
        self.uri.placeholders().find(|name| *name == placeholder)?;
        let mut choices = match &self.source {
            ResourceSource::Answer(tool) => {
                let listed = tool.input.listed();
                let schemas = listed.get("properties");
                let schema = schemas.and_then(|schemas| schemas.get(names::argument(placeholder)));
                schema.map(Choices::of_schema).unwrap_or_default()
            }
            ResourceSource::Folder(_) => Choices::default(),
        };
        let listing = self.listings.iter().find(|(name, _)| name == placeholder);
        choices.listing = listing.map(|(_, listing)| Arc::clone(listing));
        Some(choices)
    }

    /// A file of its folder, as a client asks for it.
    pub fn uri_of(&self, path: &str) -> String {
        format!("{}/{path}", self.uri.to_string().trim_end_matches('/'))
    }
}

impl Resources {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &CompiledResource> {
        self.list.iter()
    }

    /// How many there are; a folder is one.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The resource that a URI leads to: one of that very URI, else a file of a folder, else the first template it fits.
    pub fn find(&self, uri: &str) -> Option<(&CompiledResource, Target<'_>)> {
        let normal = Url::parse(uri).ok();
        let exact = self.fixed.get(uri).or_else(|| self.fixed.get(normal.as_ref()?.as_str()));
        if let Some(found) = exact.and_then(|index| self.list.get(*index)).and_then(|resource| resource.target(uri)) {
            return Some(found);
        }
        let files = self.list.iter().filter(|resource| matches!(resource.source, ResourceSource::Folder(_)));
        let templates = self.list.iter().filter(|resource| !resource.uri.is_fixed());
        files.chain(templates).find_map(|resource| resource.target(uri))
    }

    /// Takes those out that are chosen.
    pub(super) fn take_out(&mut self, is_chosen: impl Fn(&CompiledResource) -> bool) -> Vec<CompiledResource> {
        let (mut places, mut taken) = (Vec::new(), Vec::new());
        for resource in std::mem::take(&mut self.list) {
            let is_chosen = is_chosen(&resource);
            places.push((!is_chosen).then_some(self.list.len()));
            if is_chosen { &mut taken } else { &mut self.list }.push(resource);
        }
        let moved = |(uri, place): (String, usize)| Some((uri, places.get(place).copied().flatten()?));
        self.fixed = std::mem::take(&mut self.fixed).into_iter().filter_map(moved).collect();
        taken
    }

    /// Adds a resource, unless its URI is taken.
    fn add(
        &mut self,
        resource: CompiledResource,
        uri: &Spanned<String>,
        places: &mut Places,
        problems: &mut Vec<Diagnostic>,
    ) {
        let shape = resource.uri.shape();
        if let Some((first, place)) =
            places.get(&shape).and_then(|(index, place)| Some((self.list.get(*index)?, *place)))
        {
            let problem = if is_same(first, &resource) {
                let message = format!("`{}` is the resource of this URI again; they are one", resource.name);
                Diagnostic::note(Code::DuplicateResource, uri.span, message)
            } else {
                let message =
                    format!("the URI `{}` leads to another resource already; this one is left out", uri.value);
                Diagnostic::error(Code::DuplicateResource, uri.span, message)
            };
            problems.push(problem.with_secondary(place, "the first one"));
            return;
        }
        let index = self.list.len();
        if let (true, ResourceSource::Answer(_)) = (resource.uri.is_fixed(), &resource.source) {
            self.fixed.entry(shape.clone()).or_insert(index);
            if let Ok(normal) = Url::parse(&shape) {
                self.fixed.entry(normal.into()).or_insert(index);
            }
        }
        places.insert(shape, (index, uri.span));
        self.list.push(resource);
    }
}

/// Where the URIs of resources stand.
type Places = BTreeMap<String, (usize, Span)>;

impl CompiledResource {
    /// What a URI leads to, where it is one of this resource.
    fn target(&self, uri: &str) -> Option<(&Self, Target<'_>)> {
        let target = match &self.source {
            ResourceSource::Answer(tool) => {
                // The URI may be fixed and come in another form: who looked it up has seen to that.
                let values = if self.uri.is_fixed() { Vec::new() } else { self.uri.matches(uri)? };
                let argument = |(name, text): (&str, String)| {
                    let name = names::argument(name);
                    let value = tool.input.read(&name, &text);
                    (name, value)
                };
                Target::Answer { tool, arguments: values.into_iter().map(argument).collect() }
            }
            ResourceSource::Folder(folder) => {
                let base = self.uri.to_string();
                let path = uri.strip_prefix(base.trim_end_matches('/'))?.strip_prefix('/')?;
                let (path, media_type) = folder.file(path)?;
                Target::File { folder, path, media_type }
            }
        };
        Some((self, target))
    }
}

impl Compiler<'_> {
    /// The resources of a server.
    pub(super) fn resources(
        &mut self,
        server: &McpServer,
        scene: &Scene<'_>,
        reach: Reach<'_>,
    ) -> Vec<(CompiledResource, Spanned<String>)> {
        let lowered = server.resources.iter().filter_map(|resource| {
            let lowered = self.resource(resource, server, scene, reach)?;
            Some((lowered, resource.uri.clone()))
        });
        lowered.collect()
    }

    fn resource(
        &mut self,
        resource: &Resource,
        server: &McpServer,
        scene: &Scene<'_>,
        reach: Reach<'_>,
    ) -> Option<CompiledResource> {
        let Resource { name, uri, title, description: _, mime_type, parameters, content, span: _ } = resource;
        let template = match UriTemplate::parse(&uri.value) {
            Ok(template) => template,
            Err(problem) => {
                let message = format!("the URI `{}` {problem}", uri.value);
                self.problems.push(Diagnostic::error(Code::InvalidUri, uri.span, message));
                return None;
            }
        };
        let stated = mime_type.as_ref().map(|kind| kind.value.trim().to_owned());
        let title = title.as_ref().map_or_else(|| names::readable(&name.value), |title| title.value.clone());
        let (source, description, media_type) = match content {
            ResourceContent::Folder(location) => {
                if !template.is_fixed() {
                    let message =
                        format!("the URI `{}` of a folder has a placeholder; its files have their own URIs", uri.value);
                    self.problems.push(Diagnostic::error(Code::InvalidUri, uri.span, message));
                    return None;
                }
                let folder = Folder::lower(location, stated.as_deref(), reach, self.sources, &mut self.problems)?;
                let described = resource.description.as_ref().map(|text| tidy(text.value.trim()).into_owned());
                if described.is_none() {
                    let message =
                        format!("resource `{}` has no description; a model cannot tell what it is for", name.value);
                    self.problems.push(Diagnostic::warning(Code::MissingDescription, name.span, message));
                }
                (ResourceSource::Folder(folder), described.unwrap_or_else(|| title.clone()), stated)
            }
            ResourceContent::Action(_) => {
                let tool = self.reading(resource, &template, server, scene)?;
                let description = tool.description.clone();
                (ResourceSource::Answer(Box::new(tool)), description, Some(stated.unwrap_or_else(|| JSON.to_owned())))
            }
        };
        let title = lengths::title(title, ("resource", name), &mut self.problems);
        let description = lengths::description(description, ("resource", name), &mut self.problems);
        let listings = self.listings(parameters, &template, server, scene);
        let (name, gate, group) = (name.value.clone(), scene.gate, Arc::clone(&scene.group));
        Some(CompiledResource { uri: template, name, title, description, media_type, source, gate, group, listings })
    }

    /// What lists the values of the placeholders of a URI, as its parameters say.
    fn listings(
        &mut self,
        parameters: &[InputParameter],
        uri: &UriTemplate,
        server: &McpServer,
        scene: &Scene<'_>,
    ) -> Vec<(String, Arc<Listing>)> {
        let placeholders: Vec<&str> = uri.placeholders().collect();
        let mut listings = Vec::new();
        for InputParameter { name, complete, .. } in parameters {
            if !placeholders.contains(&name.value.as_str()) {
                let message = format!("`{}` is no placeholder of the URI; it is left out", name.value);
                let problem = Diagnostic::warning(Code::UnknownPlaceholder, name.span, message);
                self.problems.push(problem.with_nearest(&name.value, placeholders.iter().copied()));
            } else if let Some(complete) = complete {
                let listing = self.listing(Wanted { name, complete, beside: &placeholders }, server, scene);
                listings.extend(listing.map(|listing| (name.value.clone(), listing)));
            }
        }
        listings
    }

    /// What is done to read a resource, as a tool whose arguments are the placeholders of the URI and nothing else.
    fn reading(
        &mut self,
        resource: &Resource,
        uri: &UriTemplate,
        server: &McpServer,
        scene: &Scene<'_>,
    ) -> Option<CompiledTool> {
        let ResourceContent::Action(action) = &resource.content else { return None };
        let placeholders: Vec<&str> = uri.placeholders().collect();
        let mut action = action.clone();
        // `{id}` in `with` means the placeholder of the URI, as in the URI itself.
        let of_steps = match &mut action.mode {
            Mode::Steps(steps) => steps.as_mut_slice(),
            _ => &mut [],
        };
        let of_steps = of_steps.iter_mut().filter_map(|step| match &mut step.kind {
            StepKind::Call { with, .. } => Some(with),
            StepKind::Lookup { .. } | StepKind::Interaction(_) => None,
        });
        for (_, node) in action.with.iter_mut().chain(of_steps.flatten()) {
            doubled(node, &placeholders);
        }
        let span = resource.uri.span;
        // The type is that of the parameter it feeds.
        let input = |name: &&str| {
            let bare = InputParameter::bare(Spanned::new((*name).to_owned(), span));
            match resource.parameters.iter().find(|declared| declared.name.value == *name) {
                Some(InputParameter { kind, nullable, description, schema, keywords, .. })
                    if kind.is_some() || schema.is_some() || !keywords.is_empty() =>
                {
                    let (kind, schema, keywords) = (kind.clone(), schema.clone(), keywords.clone());
                    let (nullable, description) = (*nullable, description.clone());
                    InputParameter { kind, nullable, description, schema, keywords, ..bare }
                }
                _ => InputParameter { kind: Some(Spanned::new("any".to_owned(), span)), ..bare },
            }
        };
        let tool = Tool {
            name: resource.name.clone(),
            title: resource.title.clone(),
            description: resource.description.clone(),
            hints: spec::Hints::default(),
            input_parameters: placeholders.iter().map(input).collect(),
            input_schema: None,
            output_schema: None,
            action,
            span: resource.span,
        };
        let before = self.problems.len();
        let compiled = self.tool(&tool, server, &mut scene.for_use(Use::Resource));
        let known: BTreeSet<String> = placeholders.iter().map(|name| names::argument(name)).collect();
        // What a model would be asked for, nobody gives here.
        for problem in self.problems.iter_mut().skip(before).filter(|one| one.code == Code::UndeclaredPathParameter) {
            let place = std::mem::replace(&mut problem.primary, span);
            let path = problem.secondary.first().map_or(place, |(path, _)| *path);
            problem.secondary = vec![(path, "nothing feeds a placeholder of this path".to_owned())];
            problem.severity = Severity::Error;
            problem.message = format!("reading `{}` lacks a value for the path", resource.name.value);
            problem.help = Some("put the placeholder into the URI, or set it by `with`".to_owned());
        }
        let compiled = compiled?;
        let listed = compiled.input.listed();
        let asked = listed.get("properties").and_then(Value::as_object);
        let missing = asked.into_iter().flatten().map(|(name, _)| name).find(|name| !known.contains(*name)).cloned();
        if let Some(missing) = missing {
            if !self.problems.iter().skip(before).any(|one| one.code == Code::UndeclaredPathParameter) {
                let message = format!("nothing feeds `{missing}`; put it into the URI, or set it by `with`");
                self.problems.push(Diagnostic::error(Code::UndeclaredPathParameter, span, message));
            }
            return None;
        }
        if compiled.risk.class.is_grave() {
            let (does, summary) = (compiled.risk.class.effect(), compiled.plan.summary());
            let message = format!("reading `{}` would {does}: {summary}", resource.name.value);
            let problem = Diagnostic::error(Code::UnsafeResource, resource.name.span, message);
            self.problems.push(problem.with_help("offer it as a tool, which no client calls unasked"));
            return None;
        }
        if compiled.risk.class == Risk::Write {
            let message =
                format!("reading `{}` would change something: {}", resource.name.value, compiled.plan.summary());
            let problem = Diagnostic::warning(Code::UnsafeResource, resource.name.span, message);
            self.problems
                .push(problem.with_help("clients read resources unasked; offer it as a tool unless it only reads"));
        }
        Some(compiled)
    }
}

/// The resources of all documents, each URI once.
pub(super) fn collect(all: Vec<(CompiledResource, Spanned<String>)>, problems: &mut Vec<Diagnostic>) -> Resources {
    let (mut resources, mut places) = (Resources::default(), Places::new());
    for (resource, uri) in all {
        resources.add(resource, &uri, &mut places, problems);
    }
    resources
}

/// The files that variables are read from: no folder offers them.
pub(super) fn withheld(workspace: &Workspace, sources: &SourceMap) -> BTreeSet<PathBuf> {
    let binds = workspace.documents.iter().flat_map(|document| &document.binds);
    let files = binds.filter_map(|bind| match &bind.source {
        BindSource::File(location) => {
            let folder = spec::folder_of(Path::new(sources.name(location.span.file)));
            folder.join(spec::path_of(&location.value).ok()?).canonicalize().ok()
        }
        BindSource::Environment | BindSource::Unsupported => None,
    });
    files.collect()
}

fn is_same(one: &CompiledResource, other: &CompiledResource) -> bool {
    let same = match (&one.source, &other.source) {
        (ResourceSource::Answer(one), ResourceSource::Answer(other)) => does_same(one, other),
        (ResourceSource::Folder(one), ResourceSource::Folder(other)) => one.root == other.root,
        _ => false,
    };
    same && one.gate == other.gate && one.uri == other.uri && one.media_type == other.media_type
}

/// Doubles the braces around these names, which are single in URIs.
fn doubled(node: &mut Node, placeholders: &[&str]) {
    match &mut node.value {
        yaml::Value::String(text) => {
            for name in placeholders {
                let (single, double) = (format!("{{{name}}}"), format!("{{{{{name}}}}}"));
                if !text.contains(&double) {
                    *text = text.replace(&single, &double);
                }
            }
        }
        yaml::Value::Sequence(items) => items.iter_mut().for_each(|item| doubled(item, placeholders)),
        yaml::Value::Mapping(entries) => entries.iter_mut().for_each(|(_, node)| doubled(node, placeholders)),
        _ => {}
    }
}
