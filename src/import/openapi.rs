//! An OpenAPI document as a capability spec in the official language, and the types that language cannot say as a trimmed
//! OpenAPI document beside it, from where they are joined when the spec is loaded.

use serde_json::{Map, Value, json};

use super::{
    body::{self, Argument},
    names::{Taken, kebab, of_request, variable},
    yaml,
};
use crate::{
    catalog::{hints, input, join::written, names::readable},
    media_type,
    openapi::{
        Answer, Body, Document, Operation, Outline, Parameter, ParameterLocation, Security, SecurityKind, Style,
        Trimmer,
    },
    prose::shortened,
};

/// The language version that is written.
const VERSION: &str = "1.0.0-beta5";
/// The base URL of a document that names none: it leads nowhere, so nothing is sent to anyone.
const NO_BASE: &str = "https://base-url.invalid";
/// The methods that the language has.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What a person decides about an import.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The namespace of the service; made from the title where absent.
    pub namespace: Option<String>,
    /// The base URL; the document's first server where absent.
    pub base_uri: Option<String>,
}

/// What became of a document.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The spec, YAML.
    pub spec: String,
    /// The types, an OpenAPI 3.1 document in JSON.
    pub schemas: String,
    /// How many tools the spec has.
    pub tools: usize,
    /// What a person should know: what was left out, what must be set.
    pub notes: Vec<String>,
}

/// Makes a spec and its types from a document.
pub fn import(document: &Document, options: &Options) -> Imported {
    let title = document.title.clone().unwrap_or_else(|| "API".to_owned());
    let namespace = kebab(options.namespace.as_deref().unwrap_or(&title), "api");
    let mut importer = Importer {
        document,
        trimmer: Trimmer::new(document),
        server: format!("{namespace}-tools"),
        resources: Map::new(),
        tools: Map::new(),
        paths: Map::new(),
        resource_names: Taken::default(),
        operation_names: Taken::default(),
        undescribed: 0,
        namespace,
        notes: Vec::new(),
    };
    for outline in &document.operations {
        importer.operation(outline);
    }
    let base = importer.base_uri(options.base_uri.as_deref());
    importer.finish(&title, &base)
}

struct Importer<'a> {
    document: &'a Document,
    trimmer: Trimmer<'a>,
    namespace: String,
    /// The namespace of the tools.
    server: String,
    resources: Map<String, Value>,
    tools: Map<String, Value>,
    /// The paths of the trimmed document.
    paths: Map<String, Value>,
    resource_names: Taken,
    operation_names: Taken,
    /// How many arguments the document does not describe.
    undescribed: usize,
    notes: Vec<String>,
}

/// What a tool is made of.
struct Tool<'a> {
    name: &'a str,
    description: String,
    arguments: &'a [Argument],
    with: Map<String, Value>,
}

impl Importer<'_> {
    fn operation(&mut self, outline: &Outline) {
        let Outline { id, method, path, span: _ } = outline;
        if !METHODS.contains(&method.as_str()) {
            self.notes.push(format!("`{method} {path}` is left out: the language has no such method"));
            return;
        }
        // What the document means as text, a spec would take for a variable of whoever runs it.
        if names_variable(path) {
            self.notes.push(format!("`{method} {path}` is left out: its path would name a variable"));
            return;
        }
        let own = id.as_deref().map(|id| kebab(id, "")).filter(|name| !name.is_empty());
        let name = self.operation_names.unique(own.unwrap_or_else(|| of_request(method, path)), '-');
        let operation = self.document.operation(outline);
        let mut taken = Taken::default();
        let (mut inputs, mut with, mut template) = (Map::new(), Map::new(), path.clone());
        let mut arguments: Vec<Argument> = Vec::new();
        for parameter in &operation.parameters {
            let key = self.key(parameter, &mut inputs);
            if parameter.location == ParameterLocation::Path {
                template = template.replace(&format!("{{{}}}", parameter.name), &format!("{{{{{key}}}}}"));
            }
            let argument = Argument {
                name: taken.unique(key.clone(), '_'),
                kind: body::kind(&parameter.schema),
                description: body::description(parameter.description.as_deref(), &parameter.schema),
                required: parameter.required,
            };
            with.insert(key, json!(format!("{}.{}", self.server, argument.name)));
            arguments.push(argument);
        }
        let mut written = Map::from_iter([("method".to_owned(), json!(method))]);
        let description = operation.told().unwrap_or_else(|| format!("{method} {path}"));
        written.insert("description".to_owned(), json!(description));
        let mut body = None;
        if let Some(taken_body) = &operation.body {
            let lowered = body::lower(taken_body, &mut taken);
            if let Some(content_type) = lowered.content_type.filter(|kind| !names_variable(kind)) {
                inputs.insert("Content-Type".to_owned(), json!({ "in": "header", "value": content_type }));
            }
            arguments.extend(lowered.arguments);
            body = Some(lowered.body);
        }
        if !inputs.is_empty() {
            written.insert("inputParameters".to_owned(), Value::Object(inputs));
        }
        written.extend(body.map(|body| ("body".to_owned(), body)));
        if let Some(format) = operation.answer.as_ref().and_then(|answer| raw_format(&answer.media_type)) {
            written.insert("outputRawFormat".to_owned(), json!(format));
        }
        self.resource(path, &template, &name, written);
        self.undescribed += arguments.iter().filter(|argument| argument.description.is_empty()).count();
        self.tool(outline, Tool { name: &name, description, arguments: &arguments, with });
        self.keep(outline, &name);
    }

    /// The key of a parameter, each once in an operation. Names the language cannot say are written as near as it can;
    /// the true one is in the types.
    fn key(&mut self, parameter: &Parameter, inputs: &mut Map<String, Value>) -> String {
        let mut key = written(&parameter.name);
        if inputs.contains_key(&key) {
            key = format!("{key}_{}", parameter.location.as_str());
        }
        inputs.insert(key.clone(), json!({ "in": parameter.location.as_str() }));
        key
    }

    /// Adds an operation to the resource of its path.
    fn resource(&mut self, path: &str, template: &str, name: &str, operation: Map<String, Value>) {
        let same = self.resources.values_mut().find(|resource| resource.get("path").is_some_and(|own| own == template));
        if let Some(Value::Object(operations)) = same.and_then(|resource| resource.get_mut("operations")) {
            operations.insert(name.to_owned(), Value::Object(operation));
            return;
        }
        let resource = self.resource_names.unique(kebab(path, "root"), '-');
        self.resources.insert(resource, json!({ "path": template, "operations": { name: operation } }));
    }

    fn tool(&mut self, outline: &Outline, tool: Tool<'_>) {
        let Tool { name, description, arguments, with } = tool;
        let mut tool = Map::new();
        tool.insert("display".to_owned(), json!(readable(name)));
        tool.insert("description".to_owned(), json!(description));
        let id = outline.id.as_deref().unwrap_or(name);
        let called = hints::Called { method: &outline.method, path: &outline.path, operation: id, tool: Some(name) };
        let shown = arguments.iter().map(|Argument { name, kind, required, .. }| {
            let (name, schema, required) = (name.clone(), json!({ "type": kind }), *required);
            input::Argument { name, schema, required }
        });
        let hints = hints::unstated(called, &shown.collect::<Vec<_>>(), &description);
        tool.insert(
            "hints".to_owned(),
            json!({ "readOnly": hints.read_only, "destructive": hints.destructive, "idempotent": hints.idempotent,
                "openWorld": hints.open_world }),
        );
        let inputs: Map<String, Value> = arguments
            .iter()
            .map(|Argument { name, kind, description, required }| {
                let mut input = json!({ "type": kind, "description": description });
                if !required && let Value::Object(input) = &mut input {
                    input.insert("required".to_owned(), json!(false));
                }
                (name.clone(), input)
            })
            .collect();
        if !inputs.is_empty() {
            tool.insert("inputParameters".to_owned(), Value::Object(inputs));
        }
        tool.insert("call".to_owned(), json!(format!("{}.{name}", self.namespace)));
        if !with.is_empty() {
            tool.insert("with".to_owned(), Value::Object(with));
        }
        self.tools.insert(name.to_owned(), Value::Object(tool));
    }

    /// Adds the types of an operation to the trimmed document.
    fn keep(&mut self, outline: &Outline, name: &str) {
        let Operation { parameters, body, answer, summary, deprecated, .. } = self.trimmer.operation(outline);
        let mut kept = Map::new();
        kept.insert("operationId".to_owned(), json!(name));
        kept.extend(summary.map(|summary| ("summary".to_owned(), json!(summary))));
        if deprecated {
            kept.insert("deprecated".to_owned(), json!(true));
        }
        let parameters: Vec<Value> = parameters.iter().map(kept_parameter).collect();
        if !parameters.is_empty() {
            kept.insert("parameters".to_owned(), Value::Array(parameters));
        }
        if let Some(Body { media_type, schema, required, description: _ }) = body {
            let body = json!({ "required": required, "content": { media_type: { "schema": schema } } });
            kept.insert("requestBody".to_owned(), body);
        }
        let mut response = Map::from_iter([("description".to_owned(), json!("Success"))]);
        if let Some(Answer { media_type, schema }) = answer {
            let content = schema.map(|schema| json!({ "schema": schema })).unwrap_or_else(|| json!({}));
            response.insert("content".to_owned(), json!({ media_type: content }));
        }
        kept.insert("responses".to_owned(), json!({ "200": response }));
        let item = self.paths.entry(outline.path.as_str()).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(outline.method.to_ascii_lowercase(), Value::Object(kept));
        }
    }

    fn base_uri(&mut self, given: Option<&str>) -> String {
        let absolute = |url: &str| {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
            let known = !rest.is_empty() && !rest.starts_with('/') && !url.contains(['{', '?', '#', ' ']);
            known.then(|| url.trim_end_matches('/').to_owned())
        };
        if let Some(url) = given.and_then(absolute) {
            return url;
        }
        if let Some(url) = self.document.servers.iter().find_map(|server| absolute(server)) {
            return url;
        }
        let relative = self.document.servers.iter().find(|server| server.starts_with('/') && !server.contains('{'));
        let base = format!("{NO_BASE}{}", relative.map_or("", |path| path.trim_end_matches('/')));
        self.notes.push(format!(
            "the document names no server; `baseUri` is `{base}` until you set it, there or by `--backend {}=URL`",
            self.namespace
        ));
        base
    }

    /// How calls authenticate: the first scheme that can be said. With the variables that it takes.
    fn authentication(&mut self, base: &str) -> Option<(Value, Vec<String>)> {
        let one = |what: &str| variable(&self.namespace, what);
        for (index, scheme) in self.document.security.iter().enumerate() {
            let (value, variables) = match &scheme.kind {
                SecurityKind::Bearer | SecurityKind::Delegated => {
                    let token = one("token");
                    (json!({ "type": "bearer", "token": placeholder(&token) }), vec![token])
                }
                SecurityKind::Basic | SecurityKind::Digest => {
                    let (user, password) = (one("username"), one("password"));
                    let kind = if scheme.kind == SecurityKind::Basic { "basic" } else { "digest" };
                    let value =
                        json!({ "type": kind, "username": placeholder(&user), "password": placeholder(&password) });
                    (value, vec![user, password])
                }
                SecurityKind::HeaderKey(name) | SecurityKind::QueryKey(name) => {
                    let key = one("api_key");
                    let header = matches!(scheme.kind, SecurityKind::HeaderKey(_));
                    let placement = if header { "header" } else { "query" };
                    let value =
                        json!({ "type": "apikey", "key": name, "value": placeholder(&key), "placement": placement });
                    (value, vec![key])
                }
                SecurityKind::ClientCredentials { token_url, scopes } => {
                    let is_safe = !names_variable(token_url) && !scopes.iter().any(|scope| names_variable(scope));
                    let Some(issuer) = origin(token_url).filter(|_| is_safe) else {
                        self.notes.push(format!(
                            "the security scheme `{}` is left out: its `tokenUrl` or a scope cannot be used",
                            scheme.name
                        ));
                        continue;
                    };
                    self.notes.push(format!(
                        "the client's name and secret have no place in the language; give them by `--credential {}=…`",
                        self.namespace
                    ));
                    let mut value = json!({ "type": "oauth2", "authorizationServerUri": issuer, "resource": base,
                        "tokenEndpoint": token_url });
                    if !scopes.is_empty()
                        && let Value::Object(value) = &mut value
                    {
                        value.insert("scopes".to_owned(), json!(scopes));
                    }
                    (value, Vec::new())
                }
                SecurityKind::Other(what) => {
                    self.notes.push(format!("the security scheme `{}` ({what}) cannot be said", scheme.name));
                    continue;
                }
            };
            if let (SecurityKind::Delegated, [token]) = (&scheme.kind, variables.as_slice()) {
                self.notes.push(format!(
                    "`{}` asks a person to log in: get an access token where the service gives them, for {token}",
                    scheme.name
                ));
            }
            let others = self.document.security.iter().skip(index + 1);
            self.notes.extend(others.map(|other| left_out(other, &scheme.name)));
            return Some((value, variables));
        }
        None
    }

    fn finish(mut self, title: &str, base: &str) -> Imported {
        let authentication = self.authentication(base);
        match self.undescribed {
            0 => {}
            1 => self.notes.push("the document describes one argument by its name alone; say what it means".to_owned()),
            many => self.notes.push(format!(
                "the document describes {many} arguments by their names alone; say what they mean where `description` is empty"
            )),
        }
        let Self { document, trimmer, namespace, server, resources, tools, paths, mut notes, .. } = self;
        let about = document.description.as_deref().map(|text| shortened(text, 500));
        let about = about.filter(|text| !text.is_empty()).unwrap_or_else(|| format!("Tools for {title}."));
        let mut info = Map::from_iter([("display".to_owned(), json!(title)), ("description".to_owned(), json!(about))]);
        info.extend(document.version.as_ref().map(|version| ("version".to_owned(), json!(version))));
        let mut root =
            Map::from_iter([("ikanos".to_owned(), json!(VERSION)), ("info".to_owned(), Value::Object(info))]);
        let mut consumes = json!({ "type": "http", "namespace": namespace, "description": about, "baseUri": base });
        if let Some((value, variables)) = authentication {
            if !variables.is_empty() {
                notes.push(format!("set {} in the environment", variables.join(" and ")));
                let keys: Map<String, Value> =
                    variables.into_iter().map(|variable| (variable.clone(), json!(variable))).collect();
                root.insert("binds".to_owned(), json!([{ "namespace": "env", "keys": keys }]));
            }
            if let Value::Object(consumes) = &mut consumes {
                consumes.insert("authentication".to_owned(), value);
            }
        }
        let count = tools.len();
        let mut capability = Map::new();
        if count == 0 {
            notes.push("the document has no operation that the language can say".to_owned());
        }
        if let Value::Object(members) = &mut consumes
            && !resources.is_empty()
        {
            members.insert("resources".to_owned(), Value::Object(resources));
        }
        capability.insert("consumes".to_owned(), json!([consumes]));
        if count > 0 {
            let exposes = json!({ "type": "mcp", "transport": "stdio", "namespace": server, "description": about, "tools": tools });
            capability.insert("exposes".to_owned(), json!([exposes]));
        }
        root.insert("capability".to_owned(), Value::Object(capability));
        let mut types = json!({
            "openapi": "3.1.0",
            "info": { "title": title, "version": document.version.as_deref().unwrap_or("0") },
            "servers": [{ "url": base }],
            "paths": paths,
        });
        let schemas = trimmer.into_schemas();
        if let Value::Object(types) = &mut types
            && !schemas.is_empty()
        {
            types.insert("components".to_owned(), json!({ "schemas": schemas }));
        }
        let schemas = format!("{types:#}\n");
        Imported { spec: yaml::document(&Value::Object(root)), schemas, tools: count, notes }
    }
}

/// What a person does who wants another security scheme than the one that was written.
fn left_out(scheme: &Security, written: &str) -> String {
    let instead = match &scheme.kind {
        SecurityKind::Bearer => "`type: bearer` and a `token`".to_owned(),
        SecurityKind::Delegated => "`type: bearer` and as `token` an access token that the service gave you".to_owned(),
        SecurityKind::Basic => "`type: basic`, `username` and `password`".to_owned(),
        SecurityKind::Digest => "`type: digest`, `username` and `password`".to_owned(),
        SecurityKind::HeaderKey(name) => format!("`type: apikey`, `key: {name}`, `placement: header` and a `value`"),
        SecurityKind::QueryKey(name) => format!("`type: apikey`, `key: {name}`, `placement: query` and a `value`"),
        SecurityKind::ClientCredentials { .. } => "`type: oauth2` and its `tokenEndpoint`".to_owned(),
        SecurityKind::Other(what) => {
            return format!("the security scheme `{}` ({what}) cannot be said", scheme.name);
        }
    };
    format!(
        "the security scheme `{}` is left out, as a service has one `authentication` and `{written}` comes first; to use \
         it, write {instead} there",
        scheme.name
    )
}

/// Whether a spec would take a text for one with a variable of whoever runs it in it.
fn names_variable(text: &str) -> bool {
    ["{{", "{env.", "{secrets."].iter().any(|variable| text.contains(variable))
}

fn kept_parameter(parameter: &Parameter) -> Value {
    let Parameter { name, location, required, description, schema, style, explode } = parameter;
    let mut kept = json!({ "name": name, "in": location.as_str(), "required": required });
    let Value::Object(members) = &mut kept else { return kept };
    let mut schema = schema.clone();
    if let Some(description) = description {
        members.insert("description".to_owned(), json!(description));
        if let Value::Object(schema) = &mut schema {
            schema.shift_remove("description"); // it was put there from beside it
        }
    }
    if *style == Style::Json {
        members.insert("content".to_owned(), json!({ "application/json": { "schema": schema } }));
        return kept;
    }
    let written = match style {
        Style::Simple => "simple",
        Style::Form | Style::Json => "form",
        Style::SpaceDelimited => "spaceDelimited",
        Style::PipeDelimited => "pipeDelimited",
        Style::TabDelimited => "tabDelimited",
        Style::DeepObject => "deepObject",
        Style::Label => "label",
        Style::Matrix => "matrix",
    };
    let is_list = matches!(body::kind(&schema), "array" | "object") || schema.get("$ref").is_some();
    if is_list {
        members.insert("style".to_owned(), json!(written));
        members.insert("explode".to_owned(), json!(explode));
    }
    members.insert("schema".to_owned(), schema);
    kept
}

/// The official name of the format of an answer, where it is not JSON.
fn raw_format(media_type: &str) -> Option<&'static str> {
    let essence = media_type::essence(media_type);
    Some(match essence.as_str() {
        "" | "*/*" => return None,
        json if media_type::is_json(json) => return None,
        "text/csv" => "csv",
        "text/tab-separated-values" => "tsv",
        "text/html" => "html",
        "text/markdown" => "markdown",
        "application/yaml" | "application/x-yaml" | "text/yaml" => "yaml",
        xml if media_type::is_xml(xml) => "xml",
        _ => "binary",
    })
}

fn placeholder(variable: &str) -> String {
    format!("{{{{{variable}}}}}")
}

/// Scheme and host of a URL.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{host}"))
}
