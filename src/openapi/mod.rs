//! OpenAPI 3.0 and 3.1 and Swagger 2.0 documents, in one form: operations with parameters, a body and an answer, their
//! schemas in JSON Schema 2020-12 without references.
//!
//! A document is read once and lists its operations in outline; one operation's schemas are converted when they are
//! asked for, since published documents have hundreds. Must not know capability specs.
//! Source: OpenAPI Specification 2.0, 3.0.4 and 3.1.1.

mod bundle;
mod operation;
mod schemas;
mod security;
mod swagger;
mod told;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

pub(crate) use self::told::as_deprecated;
pub use self::{
    schemas::Trimmer,
    security::{Security, SecurityKind},
};
use crate::{
    diagnostic::{Code, Diagnostic, FileId, SourceMap, Span},
    schema::inline::Published,
    spec::{
        hidden::take_out_of_json,
        yaml::{self, Node},
    },
};

/// A document.
#[derive(Debug)]
pub struct Document {
    /// Its file.
    pub file: FileId,
    /// What the API is called.
    pub title: Option<String>,
    /// What the API is for.
    pub description: Option<String>,
    /// The version of the API.
    pub version: Option<String>,
    /// Base URLs, variables replaced by their defaults. They may be relative; there may be none.
    pub servers: Vec<String>,
    /// How calls can prove who they are, those that the document asks for everywhere first.
    pub security: Vec<Security>,
    /// Its operations, in order.
    pub operations: Vec<Outline>,
    /// References to other files that lead nowhere, or where nothing is read; they stand for any value.
    pub lost: Vec<String>,
    root: Published,
    edition: Edition,
}

/// What tells one operation of a document from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The `operationId`.
    pub id: Option<String>,
    /// The HTTP method, upper case.
    pub method: String,
    /// The path template below the server's URL.
    pub path: String,
    /// Where it stands; in JSON the start of the file.
    pub span: Span,
}

/// An operation, converted.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The `operationId`.
    pub id: Option<String>,
    /// The HTTP method, upper case.
    pub method: String,
    /// The path template below the server's URL.
    pub path: String,
    /// What it does, in a line.
    pub summary: Option<String>,
    /// What it does, at length; CommonMark.
    pub description: Option<String>,
    /// Its groups.
    pub tags: Vec<String>,
    /// Whether it should no longer be used.
    pub deprecated: bool,
    /// Its parameters and those of its path, without those that HTTP itself sets (`Accept`, `Content-Type`,
    /// `Authorization`).
    pub parameters: Vec<Parameter>,
    /// The body it takes.
    pub body: Option<Body>,
    /// The best of its successful answers.
    pub answer: Option<Answer>,
    /// Where it stands.
    pub span: Span,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The name as it is sent.
    pub name: String,
    /// Where it goes.
    pub location: ParameterLocation,
    /// Whether it must be given.
    pub required: bool,
    /// What it means; also the schema's `description`.
    pub description: Option<String>,
    /// Its JSON Schema.
    pub schema: Value,
    /// How lists and objects are written.
    pub style: Style,
    /// Whether each element of a list or object is written on its own (`a=1&a=2`) rather than in one (`a=1,2`).
    pub explode: bool,
}

/// Where a parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterLocation {
    /// A placeholder of the path.
    Path,
    /// The query string.
    Query,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
}

/// How a list or an object is written in a parameter (OpenAPI 3.1, "Style Values").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Values between commas; the default of paths and headers.
    Simple,
    /// `name=value`; the default of queries.
    Form,
    /// Values between spaces.
    SpaceDelimited,
    /// Values between bars.
    PipeDelimited,
    /// Values between tabs (Swagger 2.0).
    TabDelimited,
    /// `name[member]=value`.
    DeepObject,
    /// `.value`, in a path.
    Label,
    /// `;name=value`, in a path.
    Matrix,
    /// The value as JSON text (`content` instead of `schema`).
    Json,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Its media type: JSON where it may be, then a form, text, anything.
    pub media_type: String,
    /// Its JSON Schema; `{}` where nothing is said.
    pub schema: Value,
    /// Whether there must be one: the document says so, or the schema has required members.
    pub required: bool,
    /// What it is.
    pub description: Option<String>,
}

/// The answer to a successful call.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its media type.
    pub media_type: String,
    /// Its JSON Schema, where one is given.
    pub schema: Option<Value>,
}

/// The generations of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edition {
    Swagger2,
    OpenApi3,
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl ParameterLocation {
    /// As `in` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Path, Self::Query, Self::Header, Self::Cookie].into_iter().find(|location| location.as_str() == text)
    }
}

impl Document {
    /// Whether a text may be such a document at all: a cheap look, for files that may be anything.
    pub fn is_likely(text: &str) -> bool {
        ["openapi", "swagger"].iter().any(|word| {
            text.match_indices(word).any(|(start, _)| {
                let before = text.get(..start).unwrap_or_default();
                let quoted = before.ends_with(['"', '\'']);
                let rest = text.get(start + word.len()..).unwrap_or_default();
                let rest = if quoted { rest.trim_start_matches(['"', '\'']) } else { rest };
                rest.trim_start_matches([' ', '\t']).starts_with(':')
                    && (quoted || before.is_empty() || before.ends_with('\n'))
            })
        })
    }

    /// Reads a document, YAML or JSON, with the files it refers to, as far as they lie in `folder`. `None` where the text
    /// is something else; a warning where it is broken.
    pub fn read(file: FileId, folder: &Path, sources: &mut SourceMap) -> Result<Option<Self>, Box<Diagnostic>> {
        let text = sources.text(file);
        let (mut root, spans) = if text.trim_start().starts_with('{') {
            (parse_json(file, &text, sources)?, IndexMap::new())
        } else {
            let node =
                yaml::parse(file, sources).map_err(|problem| Box::new(broken(problem.primary, problem.message)))?;
            (node.to_json(), spans(&node))
        };
        take_out_of_json(&mut root);
        let edition = match (root.get("openapi"), root.get("swagger")) {
            (Some(version), _) if plain(version).starts_with('3') => Edition::OpenApi3,
            (_, Some(version)) if plain(version).starts_with('2') => Edition::Swagger2,
            (Some(version), _) | (_, Some(version)) => {
                let message = format!("OpenAPI version `{}` is not known; expected 2.0, 3.0 or 3.1", plain(version));
                return Err(Box::new(broken(Span::start_of(file), message)));
            }
            _ => return Ok(None),
        };
        if root.get("paths").is_some_and(|paths| !paths.is_object()) {
            return Err(Box::new(broken(
                Span::start_of(file),
                "`paths` of an OpenAPI document must be a map".to_owned(),
            )));
        }
        let path = PathBuf::from(sources.name(file));
        let lost = bundle::bundle(&mut root, &path, folder, sources);
        let info = |name: &str| root.pointer(&format!("/info/{name}")).map(plain).filter(|text| !text.is_empty());
        let mut document = Self {
            file,
            title: info("title"),
            description: info("description"),
            version: info("version"),
            servers: servers(&root, edition),
            security: Vec::new(),
            operations: Vec::new(),
            lost,
            root: Published::default(),
            edition,
        };
        document.root = Published::new(root);
        document.security = security::read(document.root(), edition);
        document.operations = document.outlines(&spans);
        Ok(Some(document))
    }

    fn root(&self) -> &Value {
        self.root.root()
    }

    fn outlines(&self, spans: &IndexMap<(String, String), Span>) -> Vec<Outline> {
        let paths = self.root().get("paths").and_then(Value::as_object);
        let mut outlines = Vec::new();
        for (path, item) in paths.into_iter().flatten().filter(|(path, _)| path.starts_with('/')) {
            let Some(item) = self.follow(item).as_object() else { continue };
            for (method, operation) in item {
                if !METHODS.contains(&method.as_str()) || !operation.is_object() {
                    continue;
                }
                let span = spans.get(&(path.clone(), method.clone())).copied();
                outlines.push(Outline {
                    id: text(operation, "operationId"),
                    method: method.to_ascii_uppercase(),
                    path: path.clone(),
                    span: span.unwrap_or(Span::start_of(self.file)),
                });
            }
        }
        outlines
    }

    /// What a value refers to, where it is a reference into this document; else itself.
    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut found = value;
        for _ in 0..8 {
            let Some(reference) = found.get("$ref").and_then(Value::as_str) else { return found };
            let Some(target) =
                crate::schema::inline::pointer(reference).and_then(|pointer| self.root().pointer(&pointer))
            else {
                return found;
            };
            found = target;
        }
        found
    }
}

/// Where the operations of a document stand.
fn spans(root: &Node) -> IndexMap<(String, String), Span> {
    let yaml::Value::Mapping(paths) = (match root.get("paths") {
        Some(paths) => &paths.value,
        None => return IndexMap::new(),
    }) else {
        return IndexMap::new();
    };
    let mut spans = IndexMap::new();
    for (path, item) in paths {
        if let yaml::Value::Mapping(methods) = &item.value {
            let keys = methods.iter().map(|(method, _)| ((path.text.clone(), method.text.clone()), method.span));
            spans.extend(keys);
        }
    }
    spans
}

fn parse_json(file: FileId, text: &str, sources: &SourceMap) -> Result<Value, Box<Diagnostic>> {
    serde_json::from_str(text).map_err(|error| {
        let start = sources.offset(file, error.line().max(1), error.column().max(1));
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        Box::new(broken(Span { file, start, end: start }, format!("not well-formed JSON: {message}")))
    })
}

/// A fault of a document: nothing is joined from it, and nothing else is lost.
fn broken(span: Span, message: String) -> Diagnostic {
    Diagnostic::warning(Code::UnusableOpenApi, span, message)
        .with_source_hidden()
        .with_help("no types are taken from this document until it is mended")
}

/// The warning about references that are lost, where there are any.
pub fn lost_references(document: &Document) -> Option<Diagnostic> {
    let first = document.lost.first()?;
    let message = format!(
        "{} of this document lead nowhere, the first to `{first}`; what they stand for is left open",
        match document.lost.len() {
            1 => "a reference".to_owned(),
            number => format!("{number} references"),
        }
    );
    let problem = Diagnostic::warning(Code::UnusableOpenApi, Span::start_of(document.file), message);
    Some(problem.with_source_hidden().with_help(
        "only files in the folder where types are looked for are read, and nothing is fetched from other hosts",
    ))
}

fn servers(root: &Value, edition: Edition) -> Vec<String> {
    match edition {
        Edition::Swagger2 => {
            let base = text(root, "basePath").unwrap_or_default();
            match text(root, "host") {
                None => Some(base).filter(|base| !base.is_empty()).into_iter().collect(),
                Some(host) => {
                    let schemes = root.get("schemes").and_then(Value::as_array);
                    let mut schemes: Vec<&str> = schemes.into_iter().flatten().filter_map(Value::as_str).collect();
                    schemes.retain(|scheme| matches!(*scheme, "http" | "https"));
                    schemes.sort_by_key(|scheme| *scheme != "https");
                    if schemes.is_empty() {
                        schemes.push("https");
                    }
                    schemes.iter().map(|scheme| format!("{scheme}://{host}{base}")).collect()
                }
            }
        }
        Edition::OpenApi3 => {
            let servers = root.get("servers").and_then(Value::as_array);
            servers.into_iter().flatten().filter_map(server_url).collect()
        }
    }
}

fn server_url(server: &Value) -> Option<String> {
    let mut url = text(server, "url")?;
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        if let Some(default) = variable.get("default") {
            url = url.replace(&format!("{{{name}}}"), &plain(default));
        }
    }
    Some(url)
}

/// A member that is text.
fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A scalar as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

/// A map with one member.
fn single(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnostic::Severity;

    fn document(text: &str) -> Document {
        let mut sources = SourceMap::default();
        let file = sources.add("api.yaml", text);
        Document::read(file, Path::new("."), &mut sources).expect("well-formed").expect("a document")
    }

    fn operation(document: &Document, id: &str) -> Operation {
        let outline = document.operations.iter().find(|outline| outline.id.as_deref() == Some(id)).expect(id);
        document.operation(outline)
    }

    #[test]
    fn openapi_3_becomes_operations_with_plain_schemas() {
        let document = document(
            r##"
openapi: 3.0.3
info: {title: Pets, version: 1.0}
servers: [{url: "https://{region}.example.test/v1", variables: {region: {default: eu}}}]
paths:
  /pets/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer, format: int64}}
      - {name: Accept, in: header, schema: {type: string}}
      - $ref: '#/components/parameters/Limit'
    put:
      operationId: putPet
      summary: Replace a pet
      parameters: [{name: limit, in: query, explode: false, description: own, schema: {type: array, items: {type: string}}}]
      requestBody:
        content:
          application/xml: {schema: {type: string}}
          application/json: {schema: {$ref: '#/components/schemas/Pet'}}
      responses:
        '204': {description: none}
        '201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}
        default: {description: error, content: {application/json: {schema: {type: string}}}}
components:
  parameters:
    Limit: {name: limit, in: query, schema: {type: integer}}
  schemas:
    Pet:
      type: object
      required: [id, name]
      properties:
        id: {type: string, readOnly: true}
        name: {type: string, nullable: true, example: Rex}
        parent: {nullable: true, allOf: [{$ref: '#/components/schemas/Pet'}]}
        lost: {$ref: 'other.yaml#/Lost'}
"##,
        );
        assert_eq!(document.servers, ["https://eu.example.test/v1"]);
        assert_eq!(document.version.as_deref(), Some("1.0"));
        let put = operation(&document, "putPet");
        let names: Vec<&str> = put.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(names, ["id", "limit"], "{:?}", put.parameters);
        let limit = &put.parameters[1];
        assert_eq!((limit.style, limit.explode, limit.required), (Style::Form, false, false));
        assert_eq!(limit.schema, json!({"type": "array", "items": {"type": "string"}, "description": "own"}));
        let body = put.body.expect("a body");
        assert_eq!((body.media_type.as_str(), body.required), ("application/json", true), "its members are required");
        assert_eq!(body.schema["required"], json!(["name"]));
        assert_eq!(body.schema["properties"]["name"], json!({"type": ["string", "null"]}));
        assert_eq!(body.schema["properties"]["lost"], json!({}));
        assert_eq!(body.schema["properties"]["parent"]["type"], json!(["object", "null"]));
        assert_eq!(
            body.schema["properties"]["parent"]["properties"]["parent"],
            json!({"type": ["object", "null"]}),
            "the cycle is cut"
        );
        let answer = put.answer.expect("an answer");
        assert_eq!(answer.schema.expect("typed")["required"], json!(["id", "name"]));
    }

    #[test]
    fn swagger_2_is_lowered_to_the_same_form() {
        let document = document(
            r##"
swagger: "2.0"
info: {title: Pets, version: "1"}
host: example.test
basePath: /v2
schemes: [http, https]
consumes: [application/xml, application/json]
paths:
  /pets:
    post:
      operationId: addPet
      parameters:
        - {name: pet, in: body, required: true, schema: {$ref: '#/definitions/Pet'}}
        - {name: tags, in: query, type: array, items: {type: string}, collectionFormat: multi}
        - {name: ids, in: query, type: array, items: {type: integer}, required: true}
      responses: {200: {description: ok, schema: {$ref: '#/definitions/Pet'}}}
  /upload:
    post:
      operationId: upload
      parameters:
        - {name: file, in: formData, type: file, required: true}
        - {name: note, in: formData, type: string, description: words}
      responses: {200: {description: ok}}
definitions:
  Pet: {type: object, required: [name], properties: {name: {type: string, x-nullable: true}}}
securityDefinitions:
  key: {type: apiKey, in: query, name: api_key}
  app: {type: oauth2, flow: application, tokenUrl: 'https://example.test/token', scopes: {read: x}}
security: [{app: [read]}]
"##,
        );
        assert_eq!(document.servers, ["https://example.test/v2", "http://example.test/v2"]);
        let kinds: Vec<&str> = document.security.iter().map(|security| security.name.as_str()).collect();
        assert_eq!(kinds, ["app", "key"]);
        let add = operation(&document, "addPet");
        assert_eq!(add.body.as_ref().map(|body| body.media_type.as_str()), Some("application/json"));
        let styles: Vec<_> = add.parameters.iter().map(|p| (p.name.as_str(), p.explode, p.required)).collect();
        assert_eq!(styles, [("tags", true, false), ("ids", false, true)]);
        assert_eq!(add.parameters[1].schema, json!({"type": "array", "items": {"type": "integer"}}));
        assert_eq!(
            add.answer.and_then(|answer| answer.schema),
            Some(json!({"type": "object", "required": ["name"], "properties": {"name": {"type": ["string", "null"]}}}))
        );
        let upload = operation(&document, "upload").body.expect("a body");
        assert_eq!(upload.media_type, "multipart/form-data");
        assert_eq!(
            upload.schema,
            json!({"type": "object", "required": ["file"], "properties": {
                "file": {"type": "string", "format": "binary"},
                "note": {"type": "string", "description": "words"}}})
        );
    }

    #[test]
    fn a_schema_that_explodes_is_cut_where_it_is_deep() {
        let mut schemas = Map::new();
        schemas.insert("d0".to_owned(), json!({"type": "string"}));
        for level in 1..20 {
            let reference = json!({"$ref": format!("#/components/schemas/d{}", level - 1)});
            let members: Map<String, Value> = (0..8).map(|index| (format!("m{index}"), reference.clone())).collect();
            schemas.insert(format!("d{level}"), json!({"type": "object", "properties": members}));
        }
        let document = document(
            &json!({"openapi": "3.1.0", "components": {"schemas": schemas}, "paths": {"/x": {"post": {
                "operationId": "x", "responses": {}, "requestBody": {"content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/d19"}}}}}}}})
            .to_string(),
        );
        let body = operation(&document, "x").body.expect("a body");
        assert_eq!(body.schema["properties"]["m0"]["type"], "object");
        assert!(body.schema.pointer("/properties/m0/properties/m7/properties/m1").is_some(), "two levels at least");
    }

    #[test]
    fn trimming_keeps_references_and_what_they_lead_to() {
        let document = document(
            r##"
openapi: 3.0.0
paths:
  /a:
    get:
      operationId: a
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}}
components:
  schemas:
    A: {type: object, x-internal: 1, properties: {a: {nullable: true, $ref: '#/components/schemas/A'}, b: {$ref: '#/components/schemas/B'}}}
    B: {type: integer, minimum: 0, exclusiveMinimum: true, nullable: true}
    Unused: {type: string}
"##,
        );
        let mut trimmer = Trimmer::new(&document);
        let operation = trimmer.operation(&document.operations[0]);
        assert_eq!(operation.answer.and_then(|a| a.schema), Some(json!({"$ref": "#/components/schemas/A"})));
        assert_eq!(
            Value::Object(trimmer.into_schemas()),
            json!({
                "A": {"type": "object", "properties": {
                    "a": {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]},
                    "b": {"$ref": "#/components/schemas/B"}}},
                "B": {"type": ["integer", "null"], "exclusiveMinimum": 0}})
        );
    }

    #[test]
    fn what_is_no_document_is_told_from_what_is_broken() {
        for (text, likely) in [
            ("openapi: 3.0.0\n", true),
            ("a: 1\nswagger: '2.0'\n", true),
            ("\"openapi\": 3.1.0", true),
            (r#"{"components": {}, "openapi" : "3.1.0"}"#, true),
            ("naftiko: 1\n# openapi: no\nx: {openapi: y}\n", false),
            ("description: see openapi", false),
        ] {
            assert_eq!(Document::is_likely(text), likely, "{text}");
        }
        let read = |text: &str| {
            let mut sources = SourceMap::default();
            let file = sources.add("api.yaml", text);
            Document::read(file, Path::new("."), &mut sources)
        };
        assert!(read("a: 1\n").expect("well-formed").is_none());
        for broken in ["openapi: [", "{\"openapi\": ", "openapi: 4.0.0\n", "openapi: 3.0.0\npaths: []\n"] {
            let problem = read(broken).expect_err(broken);
            assert_eq!((problem.code, problem.severity), (Code::UnusableOpenApi, Severity::Warning));
        }
    }
}
