//! Types from OpenAPI documents and JSON Schemas beside specs, on published specs and on made-up ones.

use std::{fs, path::Path};

use keyglass::{
    catalog::join::{Certainty, JoinReport, Joined, Joiner, Origin, Outcome, Wanted},
    clock::Clock,
    config::Options as LoadOptions,
    diagnostic::{Code, Diagnostic, Severity, SourceMap, Style, render_text},
    import::{Options, import},
    openapi::{Document, Operation, ParameterLocation},
    setup::{Purpose, setup},
    spec::{self, Source, yaml},
};
use serde_json::Value;

/// The folder of published specs, where it lies beside this one.
#[expect(clippy::print_stderr, reason = "who asks for a test's output is told that it tested nothing")]
fn corpus(folder: &str) -> Option<std::path::PathBuf> {
    let path = Path::new("../shared/corpus").join(folder);
    if !path.is_dir() {
        eprintln!("skipped: there is no folder `{}`", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn every_operation_of_runloop_is_joined_exactly_and_every_body_has_a_type() {
    let Some(folder) = corpus("runloop-ai/capabilities") else { return };
    let mut sources = SourceMap::default();
    let files: Vec<Source> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(Source::Path)
        .collect();
    let (workspace, _) = spec::load(&files, &mut sources);
    let mut joiner = Joiner::new(&[]);
    let report = JoinReport::new(&workspace, &mut joiner, &mut sources);
    assert_eq!(joiner.take_problems(), []);
    let text = report.to_text(&sources);
    assert_eq!(report.entries.len(), 150, "{text}");
    let paths: std::collections::BTreeSet<_> =
        report.entries.iter().filter_map(|entry| entry.request.split(' ').nth(1)).collect();
    assert_eq!(paths.len(), 129);
    for entry in &report.entries {
        assert!(matches!(entry.found, Some((Origin::OpenApi { .. }, Certainty::Exact))), "{entry:?}");
    }
    let bodies = |outcome| report.entries.iter().filter(|entry| entry.body == outcome).count();
    assert_eq!((bodies(Outcome::Joined), bodies(Outcome::Absent)), (53, 97), "{text}");
    let answers = report.entries.iter().filter(|entry| entry.answer == Outcome::Joined).count();
    assert_eq!(answers, 149, "one answers nothing\n{text}");
    assert!(text.contains("150 joined by id, method and path"), "{text}");
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, text).expect("written");
    }
}

const PETS: &str = r#"{"openapi": "3.1.0", "info": {"title": "Pets", "version": "1"},
"servers": [{"url": "https://api.pets.example.com/v1"}],
"paths": {"/pets/{petId}": {"get": {"operationId": "getPet",
  "parameters": [{"name": "petId", "in": "path", "required": true, "schema": {"type": "integer"}},
                 {"name": "filter[x]", "in": "query", "schema": {"type": "boolean"}}],
  "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "object"}}}}}}}}}"#;

fn wanted<'a>(spec: &'a Path, operation: &'a str, base_uri: &'a str, path: &'a str) -> Wanted<'a> {
    Wanted { spec, namespace: "pets", base_uri: Some(base_uri), operation, method: "GET", path }
}

#[test]
fn operations_are_found_by_path_and_id_with_and_without_the_base_path() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[("openapi/pets.json", PETS), ("capabilities/x.yaml", "naftiko: 1\n")]);
    let spec = folder.path().join("capabilities/x.yaml");
    let mut sources = SourceMap::default();
    let mut joiner = Joiner::new(&[]);
    for (operation, base, path, expected) in [
        ("get-pet", "https://api.pets.example.com/v1", "/pets/{{id}}", Some(Certainty::Exact)),
        ("getPet", "https://staging.example.com", "/v1/pets/{id}/", Some(Certainty::Exact)),
        ("readPet", "", "/pets/{id}", Some(Certainty::Path)),
        ("readPet", "http://127.0.0.1:8080/v1", "/pets/{id}", Some(Certainty::Path)),
        ("getPet", "https://api.pets.example.com", "/animals/{id}", Some(Certainty::Id)),
        ("readPet", "https://api.another.org/v1", "/pets/{id}", None),
        ("getPet", "https://api.another.org", "/animals/{id}", None),
        ("readPet", "", "/animals/{id}", None),
    ] {
        let joined = joiner.join(&wanted(&spec, operation, base, path), &mut sources);
        assert_eq!(joined.as_ref().map(|joined| joined.certainty), expected, "{operation} {base} {path}");
        let Some(joined) = joined.filter(|joined| joined.certainty != Certainty::Id) else { continue };
        let id = joined.parameter("id", ParameterLocation::Path).expect("named as the spec names it");
        assert_eq!(id.schema["type"], "integer");
        let filter = joined.parameter("filter_x", ParameterLocation::Query).expect("found by the name that fits");
        assert_eq!(filter.name, "filter[x]");
    }
    let post = Wanted { method: "POST", ..wanted(&spec, "getPet", "", "/pets/{id}") };
    assert_eq!(joiner.join(&post, &mut sources), None);
}

#[test]
fn a_broken_document_is_reported_once_and_others_are_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = folder.path().join("named");
    write(
        folder.path(),
        &[
            ("named/broken.yaml", "openapi: 3.0.0\npaths: {"),
            ("named/pets.json", PETS),
            ("named/other.json", "{ not even json"),
            ("a/x.yaml", ""),
            ("b/y.yaml", ""),
        ],
    );
    let mut sources = SourceMap::default();
    let mut joiner = Joiner::new(&[named]);
    for spec in ["a/x.yaml", "b/y.yaml"] {
        let spec = folder.path().join(spec);
        assert!(joiner.join(&wanted(&spec, "getPet", "", "/pets/{id}"), &mut sources).is_some());
    }
    let problems = joiner.take_problems();
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::UnusableOpenApi]);
}

#[test]
fn json_schemas_are_guessed_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = |title: &str, more: &str| {
        format!(
            r#"{{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "{title}", "type": "object", {more}
            "required": ["name"], "additionalProperties": false, "properties": {{"name": {{"type": "string", "nullable": true}}}}}}"#
        )
    };
    write(
        folder.path(),
        &[
            ("json-schema/acme-devbox-schema.json", &schema("Acme Devbox", "")),
            (
                "json-schema/acme-scenario-schema.json",
                &schema(
                    "Acme Scenario",
                    r#""description": "derived from the Acme OpenAPI schema ScenarioCreateParameters.","#,
                ),
            ),
            ("json-schema/acme-network-policy-schema.json", &schema("NetworkPolicyView", "")),
            ("capabilities/x.yaml", ""),
        ],
    );
    let spec = folder.path().join("capabilities/x.yaml");
    let mut sources = SourceMap::default();
    let mut joiner = Joiner::new(&[]);
    for (method, operation, body, answer) in [
        ("GET", "getDevbox", false, true),
        ("POST", "createDevbox", false, true),
        ("POST", "createScenario", true, false),
        ("GET", "getScenario", false, false),
        ("GET", "listDevboxes", false, false),
        ("POST", "deleteDevbox", false, false),
        ("GET", "get_network_policy", false, true),
    ] {
        let wanted = Wanted { method, ..wanted(&spec, operation, "", "/x") };
        let joined = joiner.join(&wanted, &mut sources);
        assert_eq!(joined.as_ref().is_some_and(|joined| joined.body.is_some()), body, "{operation}");
        assert_eq!(joined.as_ref().is_some_and(|joined| joined.answer.is_some()), answer, "{operation}");
        let Some(joined) = joined else { continue };
        assert_eq!(joined.certainty, Certainty::Guess);
        if let Some(body) = joined.body {
            assert_eq!((body.required, &body.schema["required"][0]), (true, &"name".into()));
        }
        if let Some(schema) = joined.answer.and_then(|answer| answer.schema) {
            assert!(schema.get("required").is_none() && schema.get("additionalProperties").is_none());
            assert_eq!(schema["properties"]["name"]["type"], serde_json::json!(["string", "null"]));
        }
    }
}

fn document(path: &Path) -> Document {
    let mut sources = SourceMap::default();
    let file = sources.add(path.display().to_string(), fs::read_to_string(path).expect("a text"));
    Document::read(file, path.parent().expect("a folder"), &mut sources).expect("well-formed").expect("a document")
}

fn documents(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = entries.collect();
    paths.sort();
    paths
}

/// Imports a document, checks the spec against the official schema and looks every operation up again as loading does.
fn round_trip(path: &Path, official: &jsonschema::Validator) -> (Value, Vec<Joined>) {
    let name = path.display();
    let document = document(path);
    let imported = import(&document, &Options { namespace: Some("x".to_owned()), base_uri: None });
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[("capabilities/x.yaml", &imported.spec), ("schemas/x.json", &imported.schemas)]);
    let mut sources = SourceMap::default();
    let file = sources.add("x.yaml", imported.spec.as_str());
    let spec = yaml::parse(file, &sources).unwrap_or_else(|problem| panic!("{name}: {}", problem.message)).to_json();
    let faults: Vec<String> =
        official.iter_errors(&spec).map(|error| format!("{}: {error}", error.instance_path().as_str())).collect();
    assert!(faults.is_empty(), "{name}: {faults:#?}");
    let service = &spec["capability"]["consumes"][0];
    let tools = spec["capability"]["exposes"][0]["tools"].as_object().expect("tools");
    assert_eq!(tools.len(), imported.tools);
    let mut joiner = Joiner::new(&[]);
    let mut found = Vec::new();
    for resource in service["resources"].as_object().expect("resources").values() {
        for (operation, request) in resource["operations"].as_object().expect("operations") {
            let path = resource["path"].as_str().expect("a path");
            let method = request["method"].as_str().expect("a method");
            let spec = folder.path().join("capabilities/x.yaml");
            let base_uri = service["baseUri"].as_str();
            let wanted = Wanted { spec: &spec, namespace: "x", base_uri, operation, method, path };
            let joined = joiner.join(&wanted, &mut sources).unwrap_or_else(|| panic!("{name}: {operation}"));
            assert_eq!(joined.certainty, Certainty::Exact, "{name}: {operation}");
            let outline = document
                .operations
                .iter()
                .find(|outline| outline.method == method && shape(&outline.path) == shape(path));
            same_types(&document.operation(outline.expect("an operation")), &joined, operation);
            let tool = &tools[operation];
            assert_eq!(tool["call"], format!("x.{operation}"));
            for input in tool["inputParameters"].as_object().into_iter().flatten() {
                let text = input.1["description"].as_str().expect("a description");
                assert!(text.chars().count() <= 200, "{name}: {operation}.{}: {text}", input.0);
            }
            for key in request["inputParameters"].as_object().into_iter().flatten() {
                let location = match key.1["in"].as_str() {
                    Some("path") => ParameterLocation::Path,
                    Some("query") => ParameterLocation::Query,
                    Some("cookie") => ParameterLocation::Cookie,
                    _ => ParameterLocation::Header,
                };
                let known = joined.parameter(key.0, location).is_some() || key.0 == "Content-Type";
                assert!(known, "{name}: {operation}.{}", key.0);
            }
            found.push(joined);
        }
    }
    assert_eq!(joiner.take_problems(), []);
    assert_eq!(found.len(), imported.tools, "{name}");
    loads_back(&folder.path().join("capabilities"), tools);
    (spec, found)
}

/// Loads an imported spec: every tool is there, without a word about it, with the arguments it was written with.
fn loads_back(capabilities: &Path, written: &serde_json::Map<String, Value>) {
    let options = LoadOptions { capabilities: vec![capabilities.to_owned()], ..LoadOptions::default() };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up");
    // What a document does not say, the operator has to.
    let is_of_base = |problem: &Diagnostic| matches!(problem.code, Code::UnusableBaseUri | Code::ExampleBaseUri);
    let serious = |problem: &&Diagnostic| problem.severity > Severity::Note && !is_of_base(problem);
    let serious: Vec<_> = set_up.diagnostics.iter().filter(serious).cloned().collect();
    assert!(serious.is_empty(), "{}", render_text(&serious, &set_up.sources, Style::Plain));
    assert_eq!(set_up.gateway.catalog.len(), written.len());
    for (name, tool) in written {
        let compiled = set_up.gateway.tool(name).expect(name);
        let listed = compiled.input.listed();
        let arguments = listed.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let declared = tool["inputParameters"].as_object().cloned().unwrap_or_default();
        let names = |members: &serde_json::Map<String, Value>| members.keys().cloned().collect::<Vec<_>>();
        let offered: Vec<String> =
            names(&declared).iter().map(|name| keyglass::catalog::names::argument(name)).collect();
        assert_eq!(names(&arguments), offered, "{name}");
        let used: Vec<&str> = compiled
            .plan
            .operations()
            .iter()
            .flat_map(|one| one.request.fills())
            .flat_map(|fill| fill.arguments())
            .collect();
        for (argument, schema) in &arguments {
            assert!(used.contains(&argument.as_str()), "{name}: `{argument}` goes nowhere");
            let stated = schema.get("type").is_some()
                || schema.get("enum").is_some()
                || schema.get("oneOf").is_some()
                || schema.get("anyOf").is_some();
            assert!(stated, "{name}: `{argument}` has no type: {schema}");
        }
    }
}

fn shape(path: &str) -> String {
    let mut shape = String::new();
    let mut inside = false;
    for character in path.chars() {
        inside = (inside || character == '{') && character != '}';
        if !inside && character != '}' {
            shape.push(character);
        }
    }
    shape
}

fn same_types(operation: &Operation, joined: &Joined, name: &str) {
    assert_eq!(operation.parameters.len(), joined.parameters.len(), "{name}");
    for (own, found) in operation.parameters.iter().zip(&joined.parameters) {
        assert_eq!(
            (&own.schema, own.required, own.location),
            (&found.schema, found.required, found.location),
            "{name}"
        );
    }
    let body = |body: &Option<keyglass::openapi::Body>| {
        body.as_ref().map(|body| (body.media_type.clone(), body.schema.clone(), body.required))
    };
    assert_eq!(body(&operation.body), body(&joined.body), "{name}");
    assert_eq!(operation.answer, joined.answer, "{name}");
}

#[test]
fn imported_specs_are_official_and_find_their_types_again() {
    let Some(corpus) = corpus("ikanos") else { return };
    let text = fs::read_to_string(corpus.join("schema/ikanos-schema.json")).expect("the official schema");
    let official: Value = serde_json::from_str(&text).expect("JSON");
    let official = jsonschema::draft202012::new(&official).expect("a schema");
    let mut paths = documents(&corpus.join("spec-cases/openapi"));
    paths.extend(documents(&corpus.join("engine-cases/openapi")));
    assert!(paths.len() >= 9);
    for path in &paths {
        round_trip(path, &official);
    }
    for path in documents(&corpus.join("../runloop-ai/openapi")) {
        let (spec, found) = round_trip(&path, &official);
        if path.ends_with("runloop-api-openapi.yml") {
            assert_eq!(found.len(), 150);
            let create = &spec["capability"]["exposes"][0]["tools"]["create-secret"];
            assert_eq!(create["inputParameters"]["name"]["type"], "string");
            assert_eq!(create["inputParameters"]["value"]["required"], Value::Null, "required, as the schema says");
        }
    }
}

#[test]
fn an_import_says_what_the_language_can_say() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[(
            "api.yaml",
            r##"
openapi: 3.1.0
info: {title: The Shop, version: "2"}
servers: [{url: /v2/}]
security: [{app: []}]
paths:
  /items/{item-id}:
    parameters: [{name: item-id, in: path, required: true, schema: {type: string}}]
    head: {responses: {}}
    post:
      parameters:
        - {name: "filter[x]", in: query, schema: {type: array, items: {type: string}}, style: form, explode: false}
        - {name: item-id, in: query, schema: {type: integer}}
        - {name: session, in: cookie, schema: {type: string}}
      requestBody:
        content:
          application/merge-patch+json:
            schema:
              type: object
              required: [name]
              properties: {name: {type: string, description: "The name: it's new"}, "item-id": {type: [integer, "null"]}}
      responses: {'200': {description: ok, content: {text/csv: {}}}}
  /files:
    put:
      operationId: putFile
      requestBody: {content: {application/zip: {}}}
      responses: {'204': {description: done}}
components:
  securitySchemes:
    app: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://login.example.com/token", scopes: {write: w}}}}
"##,
        )],
    );
    let imported = import(&document(&folder.path().join("api.yaml")), &Options::default());
    insta::assert_snapshot!(format!("{}---\n{}", imported.spec, imported.notes.join("\n")));
}

#[test]
fn a_document_in_several_files_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            (
                "api/openapi.yaml",
                "openapi: 3.1.0\npaths:\n  /pets: {$ref: paths/pets.yaml}\ncomponents: {schemas: {Own: {type: integer}}}\n",
            ),
            (
                "api/paths/pets.yaml",
                "post:\n  operationId: addPet\n  requestBody: {content: {application/json: {schema: {$ref: '../pet.json#/$defs/Pet'}}}}\n  responses: {}\n",
            ),
            (
                "api/pet.json",
                r##"{"$defs": {"Name": {"type": "string"}, "Pet": {"type": "object", "properties": {
                    "name": {"$ref": "#/$defs/Name"}, "own": {"$ref": "openapi.yaml#/components/schemas/Own"},
                    "parent": {"$ref": "pet.json#/$defs/Pet"}, "out": {"$ref": "../secret.json"},
                    "far": {"$ref": "https://example.com/x.json"}}}}}"##,
            ),
            ("secret.json", r#"{"const": "canary"}"#),
        ],
    );
    let document = document(&folder.path().join("api/openapi.yaml"));
    assert_eq!(document.lost, ["../secret.json", "https://example.com/x.json"]);
    let body = document.operation(&document.operations[0]).body.expect("a body");
    let members = &body.schema["properties"];
    assert_eq!(members["name"]["type"], "string");
    assert_eq!(members["own"]["type"], "integer");
    assert_eq!(members["parent"]["properties"]["name"]["type"], "string");
    assert_eq!((&members["out"], &members["far"]), (&serde_json::json!({}), &serde_json::json!({})));
    let imported = import(&document, &Options::default());
    assert!(imported.schemas.contains("#/components/schemas/Pet") && !imported.schemas.contains("x-keyglass"));
}

#[test]
fn nothing_in_a_document_becomes_a_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = r#"{"openapi": "3.0.0", "info": {"title": "x", "version": "1"},
        "security": [{"o": ["s"]}], "components": {"securitySchemes": {"o": {"type": "oauth2", "flows":
            {"clientCredentials": {"tokenUrl": "https://auth.test/{{env.CANARY}}", "scopes": {"s": ""}}}}}}, "paths": {
        "/d": {"post": {"operationId": "typed", "requestBody": {"content":
            {"text/{{env.canary}}": {"schema": {"type": "string"}}}}}},
        "/a?b={{env.CANARY}}": {"get": {"operationId": "double"}},
        "/b?b={env.CANARY}": {"get": {"operationId": "single"}},
        "/c/{id}": {"get": {"operationId": "fine", "parameters": [{"name": "id", "in": "path", "required": true}]}}}}"#;
    write(folder.path(), &[("api.json", text)]);
    let imported = import(&document(&folder.path().join("api.json")), &Options::default());
    assert_eq!(imported.tools, 2, "{}", imported.spec);
    assert!(!imported.spec.to_ascii_uppercase().contains("CANARY"), "{}", imported.spec);
    assert_eq!(imported.notes.iter().filter(|note| note.contains("would name a variable")).count(), 2);
}

#[test]
fn an_import_tells_of_security_it_leaves_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let schemes = r#"{"key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "login": {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": "https://a.test", "scopes": {}}}},
        "odd": {"type": "mutualTLS"}}"#;
    let text = |first: &str| {
        format!(
            r#"{{"openapi": "3.1.0", "info": {{"title": "Shop"}}, "servers": [{{"url": "https://a.test"}}], "security": [{{"{first}": []}}],
            "components": {{"securitySchemes": {schemes}}}, "paths": {{"/a": {{"get": {{"description": "<p>Read <b>a</b>.</p>"}}}}}}}}"#
        )
    };
    for (first, expected) in [
        (
            "key",
            [
                "`login` is left out",
                "`type: bearer` and as `token` an access token",
                "`odd` (mutualTLS) cannot be said",
            ],
        ),
        (
            "login",
            [
                "`login` asks a person to log in",
                "`key` is left out",
                "`type: apikey`, `key: X-Key`, `placement: header`",
            ],
        ),
    ] {
        write(folder.path(), &[("api.json", &text(first))]);
        let imported = import(&document(&folder.path().join("api.json")), &Options::default());
        let notes = imported.notes.join("\n");
        for part in expected {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert!(imported.spec.contains("Read **a**."), "{}", imported.spec);
    }
}
