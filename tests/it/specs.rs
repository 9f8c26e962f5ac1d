//! Every spec beside its snapshot: the tools, resources and prompts it becomes and the diagnostics it gives.
//!
//! `tests/specs/NAME.yaml` compiles without an error, `NAME.bad.yaml` does not. A folder `NAME` with specs in it is
//! loaded as a whole, and `NAME.bad` likewise. `INSTA_UPDATE=always cargo test` writes the snapshots anew.

use std::{fmt::Write, fs, path::Path};

use keyglass::{
    catalog::{
        CompiledTool,
        plan::{Plan, Step},
        poll::{Next, Poll},
        resource::ResourceSource,
    },
    clock::Clock,
    config::Options,
    decode::Format,
    diagnostic::{Style, has_errors, render_text},
    mcp,
    setup::{Purpose, Setup, setup},
};

fn load(path: &Path) -> Setup {
    let options = Options { capabilities: vec![path.to_owned()], ..Options::default() };
    setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up")
}

#[test]
fn every_spec_compiles_to_its_snapshot() {
    let is_spec = |path: &Path| path.extension().is_some_and(|extension| extension == "yaml");
    let entries = |folder: &Path| -> Vec<_> {
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect()
    };
    let mut paths = entries(Path::new("tests/specs"));
    paths.retain(|path| is_spec(path) || path.is_dir() && entries(path).iter().any(|path| is_spec(path)));
    paths.sort();
    assert!(paths.len() >= 30, "the specs are there");
    let mut faults = String::new();
    for path in paths {
        let set_up = load(&path);
        let name = path.file_name().expect("a name").to_string_lossy();
        let name = name.strip_suffix(".yaml").unwrap_or(&name);
        let mut text = render_text(&set_up.diagnostics, &set_up.sources, Style::Plain);
        if has_errors(&set_up.diagnostics) != name.ends_with(".bad") {
            writeln!(faults, "{name}:\n{text}").expect("a string");
        }
        for tool in set_up.gateway.tools() {
            describe(tool, &mut text).expect("a string");
        }
        for resource in set_up.gateway.catalog.resources().iter() {
            match &resource.source {
                ResourceSource::Answer(tool) => {
                    write!(text, "{} as ", resource.uri).expect("a string");
                    describe(tool, &mut text).expect("a string");
                }
                ResourceSource::Folder(folder) => {
                    for path in folder.files.keys() {
                        writeln!(text, "{} from a folder", resource.uri_of(path)).expect("a string");
                    }
                }
            }
        }
        for prompt in set_up.gateway.catalog.prompts() {
            writeln!(text, "{}:", prompt.name).expect("a string");
            for message in &prompt.messages {
                writeln!(text, "  {:?}: {:?}", message.role, message.text).expect("a string");
            }
        }
        text.push_str(&serde_json::to_string_pretty(&mcp::listing(&set_up.gateway)).expect("JSON"));
        insta::with_settings!({ snapshot_path => "../specs", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
    }
    assert!(faults.is_empty(), "errors where there should be none, or none where there should be some:\n{faults}");
}

/// The two dialects are two spellings of one language.
#[test]
fn old_and_new_words_make_the_same_tools() {
    let listing = |path: &str| mcp::listing(&load(Path::new(path)).gateway);
    let old = listing("tests/specs/old-words.yaml");
    assert_eq!(old, listing("tests/specs/new-words.yaml"));
    assert_eq!(old["tools"].as_array().expect("tools").len(), 3);
}

/// What a tool does, a line for each request and for what is made of the answers.
fn describe(tool: &CompiledTool, text: &mut String) -> std::fmt::Result {
    writeln!(text, "{}: {}", tool.name, tool.plan.summary())?;
    for operation in tool.plan.operations() {
        writeln!(text, "  {:?}", operation.request)?;
        if operation.format != Format::Json {
            writeln!(text, "  answers in {:?}", operation.format)?;
        }
        if let Some(poll) = &operation.poll {
            let next = match &poll.next {
                Next::Again => "the same again".to_owned(),
                Next::Location => "where `Location` points".to_owned(),
                Next::Operation(asked) => format!("{:?}", asked.request),
            };
            let Poll { statuses, until, next: _, interval, timeout } = &**poll;
            writeln!(text, "  until not {statuses:?}, {until:?}; every {interval:?}, for {timeout:?}: {next}")?;
        }
        for (name, path) in &operation.projection {
            writeln!(text, "  of which {name} = {path:?}")?;
        }
        let endpoint = operation.service.endpoint.as_ref();
        for place in endpoint.map(|endpoint| endpoint.credential.describe()).unwrap_or_default() {
            writeln!(text, "  with {place}")?;
        }
    }
    match &tool.plan {
        Plan::Call(_) => {}
        Plan::Steps(steps) => {
            for (name, step) in &steps.steps {
                match step {
                    Step::Call(operation) => writeln!(text, "  {name}: {}", operation.name)?,
                    Step::Lookup(lookup) => writeln!(text, "  {name}: {lookup:?}")?,
                    Step::Interaction(interaction) => writeln!(text, "  {name}: {interaction:?}")?,
                }
            }
            for (target, fill) in &steps.mappings {
                writeln!(text, "  {} = {fill:?}", target.join("."))?;
            }
        }
        Plan::Mock(fill) => writeln!(text, "  {fill:?}")?,
    }
    for shape in &tool.shaping.shapes {
        writeln!(text, "  shaped as {shape:?}")?;
    }
    Ok(())
}

/// What every client takes (names, schemas) and every person expects (titles, hints, descriptions).
#[test]
fn every_shipped_tool_is_fit_for_every_client() {
    let options = Options { group: vec!["all".to_owned()], ..Options::default() };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up");
    assert_eq!(set_up.diagnostics, [], "{}", render_text(&set_up.diagnostics, &set_up.sources, Style::Plain));
    let listing = mcp::listing(&set_up.gateway);
    let tools = listing["tools"].as_array().expect("tools");
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
    assert_eq!(
        names,
        [
            "create_api_key",
            "create_restricted_key",
            "create_secret",
            "list_secrets",
            "get_secret",
            "update_secret",
            "delete_secret",
            "runtools_create_api_key",
            "runtools_list_api_keys",
            "runtools_get_api_key",
            "runtools_change_api_key",
            "runtools_revoke_api_key",
            "runtype_list_api_key_options",
            "runtype_create_api_key",
            "runtype_list_api_keys",
            "runtype_get_api_key",
            "runtype_change_api_key",
            "runtype_regenerate_api_key",
            "runtype_revoke_api_key",
            "list_keys",
            "get_key",
            "revoke_key",
            "rotate_key",
            "list_expiring_secrets",
            "set_secret_expiry"
        ]
    );
    for tool in tools {
        let name = tool["name"].as_str().expect("a name");
        assert!(name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        let description = tool["description"].as_str().expect("a description");
        let verb = description.split(' ').next().expect("a word");
        let verbs = ["Create", "Store", "List", "Get", "Replace", "Delete", "Change", "Revoke", "Give", "Set"];
        assert!(verbs.contains(&verb), "{name}: {description}");
        assert!(!tool["title"].as_str().expect("a title").is_empty());
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{name}: {hint}");
        }
        assert_eq!(tool["annotations"]["title"], tool["title"]);
        for schema in ["inputSchema", "outputSchema"] {
            let schema = &tool[schema];
            assert_eq!(schema["type"], "object", "{name}");
            for keyword in ["$ref", "anyOf", "oneOf", "allOf", "$defs", "not"] {
                assert!(schema.get(keyword).is_none(), "{name}: {keyword}");
            }
            assert!(!schema.to_string().contains("int64"), "{name}");
            jsonschema::draft202012::meta::validate(schema).expect("a valid schema");
            for (argument, schema) in schema["properties"].as_object().expect("properties") {
                assert!(
                    argument.len() <= 64 && argument.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
                );
                let description = schema["description"].as_str().unwrap_or_default();
                let described = !description.is_empty() || argument == "secrets";
                assert!(described && description.chars().count() <= 200, "{name}.{argument}: {description}");
            }
        }
    }
    let destructive: Vec<&str> = tools
        .iter()
        .filter(|tool| tool["annotations"]["destructiveHint"] == true)
        .map(|tool| tool["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        destructive,
        [
            "update_secret",
            "delete_secret",
            "runtools_change_api_key",
            "runtools_revoke_api_key",
            "runtype_change_api_key",
            "runtype_regenerate_api_key",
            "runtype_revoke_api_key",
            "revoke_key",
            "rotate_key"
        ]
    );
    assert!(set_up.gateway.instructions().chars().count() <= 2_000);
}
