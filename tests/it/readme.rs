//! What the README and the page on steps show: their specs are sound, and the commands of the README print what it says.

use std::{fs, path::Path, process::Command};

use keyglass::{
    backend::embedded::Limits,
    catalog::CompiledTool,
    clock::Clock,
    config::{Options, Settings, config_file_schema},
    mcp,
    policy::rules::Rule,
    setup::{Purpose, setup},
};

/// The fenced blocks of a language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    readme.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0)).collect()
}

fn write_examples(readme: &str, folder: &Path) {
    for name in ["pets.yaml", "parcels.yaml"] {
        let head = format!("# {name}\n");
        let spec = blocks(readme, "yaml").into_iter().find(|block| block.starts_with(&head)).expect(name);
        fs::write(folder.join(name), spec).expect("written");
    }
    fs::create_dir(folder.join("schemas")).expect("made");
    let schemas = blocks(readme, "json").into_iter().find(|block| block.contains("$defs")).expect("the schemas");
    fs::write(folder.join("schemas/pets.json"), schemas).expect("written");
}

#[test]
fn the_specs_of_the_readme_make_the_tools_it_shows() {
    let readme = fs::read_to_string("README.md").expect("the README");
    let folder = tempfile::tempdir().expect("a folder");
    write_examples(&readme, folder.path());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
        let output = command.args(arguments).current_dir(folder.path()).env_clear().output().expect("runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let mut shown = 0;
    for block in blocks(&readme, "console") {
        let Some(rest) = block.strip_prefix("$ keyglass tools --capabilities ") else { continue };
        let (spec, table) = rest.split_once('\n').expect("a table");
        let (code, out) = run(&["tools", "--capabilities", spec]);
        assert_eq!((code, out.trim_end()), (Some(0), table));
        let (code, out) = run(&["check", "--joins", spec]);
        assert!(code == Some(0) && out.ends_with(" 0 errors, 0 warnings, 0 notes\n"), "{out}");
        shown += 1;
    }
    assert_eq!(shown, 2);
    let (code, out) = run(&["call", "read_pet", "pet_id=1", "--capabilities", "pets.yaml", "--dry-run"]);
    assert!(code == Some(0) && out.starts_with("GET https://api.pets.test/v1/pets/1\n"), "{out}");
    let log = run(&["check", "--sarif", "pets.yaml"]);
    assert!(log.0 == Some(0) && log.1.contains("\"2.1.0\""), "{}", log.1);
}

#[test]
fn the_specs_of_the_page_on_steps_are_sound() {
    let page = fs::read_to_string("docs/steps.md").expect("the page");
    let readme = fs::read_to_string("README.md").expect("the README");
    let folder = tempfile::tempdir().expect("a folder");
    write_examples(&readme, folder.path());
    let pets = fs::read_to_string(folder.path().join("pets.yaml")).expect("a spec");
    let tool = blocks(&readme, "yaml").into_iter().find(|block| block.starts_with("        - name: rename_pet\n"));
    let mut specs = vec![("renaming.yaml", format!("{pets}\n{}\n", tool.expect("the tool with steps")))];
    for block in blocks(&page, "yaml") {
        let name = block.lines().next().and_then(|line| line.strip_prefix("# ")).expect("the name of a spec");
        specs.push((name, block.to_owned()));
    }
    for (name, spec) in &specs {
        fs::write(folder.path().join(name), spec).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
        let output = command.args(["check", *name]).current_dir(folder.path()).env_clear().output().expect("runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.ends_with(" 0 errors, 0 warnings, 0 notes\n"), "{name}: {said}");
    }
    assert_eq!(specs.len(), 9);
}

#[test]
fn the_command_line_of_the_readme_is_the_one_that_is_printed() {
    let readme = fs::read_to_string("README.md").expect("the README");
    let head = "$ keyglass call get_secret ";
    let block = blocks(&readme, "console").into_iter().find(|block| block.starts_with(head) && block.contains("=curl"));
    let (asked, shown) = block.and_then(|block| block.split_once('\n')).expect("a command with what it prints");
    let words = asked.strip_prefix("$ keyglass ").expect("a command").split(' ');
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
    let output = command.args(words).current_dir(folder.path()).env_clear().env("HOME", folder.path()).output();
    let output = output.expect("runs");
    assert_eq!(String::from_utf8(output.stdout).expect("text").trim_end(), shown);
}

#[test]
fn the_callers_of_the_readme_are_good_settings() {
    let readme = fs::read_to_string("README.md").expect("the README");
    let callers = blocks(&readme, "yaml").into_iter().find(|block| block.starts_with("# callers.yaml\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("callers.yaml");
    fs::write(&config, callers.expect("the callers")).expect("written");
    let settings = Options { config: Some(config), group: vec!["all".to_owned()], ..Options::default() }.settings();
    let settings = settings.expect("good settings");
    let callers = &settings.callers;
    let names: Vec<&str> = callers.tokens.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["ci", "dashboard"]);
    let gateway = setup(&settings, Purpose::Inspect, Clock::System).expect("set up").gateway;
    let oauth = callers.oauth.as_ref().expect("an issuer");
    let groups = callers.tokens.iter().filter_map(|token| token.groups.as_deref()).flatten();
    for group in groups.chain(oauth.scopes.groups.keys()) {
        assert!(gateway.tools().any(|tool| *tool.group == **group), "{group}");
    }
    assert!(oauth.scopes.tools.keys().all(|tool| gateway.tool(tool).is_some()));
    let brought = callers.backend_key.as_ref().expect("a header");
    let services =
        |tool: &CompiledTool| tool.plan.operations().iter().any(|operation| operation.service.for_callers.is_some());
    assert!(gateway.tools().any(services), "{:?}", brought.namespaces);
}

#[test]
fn the_policy_of_the_readme_is_a_good_one() {
    let readme = fs::read_to_string("README.md").expect("the README");
    let policy = blocks(&readme, "yaml").into_iter().find(|block| block.starts_with("# glass.yaml\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("glass.yaml");
    fs::write(&config, policy.expect("the policy")).expect("written");
    let settings = Options { config: Some(config), ..Options::default() }.settings().expect("good settings");
    let catalog = setup(&settings, Purpose::Inspect, Clock::System).expect("set up").gateway.catalog;
    assert_eq!(settings.policy.unknown_tools(&catalog), [""; 0]);
    let denied = catalog.tool("delete_secret").expect("the tool");
    assert_eq!(settings.policy.rules.of(&denied.name, denied.risk.class), Rule::Deny);
    let scopes = settings.policy.ceiling.scopes.expect("scopes");
    assert_eq!((scopes.len(), settings.policy.ceiling.unlimited), (2, false));
}

/// The settings that a section of limits in the README makes. Every member that there is has to be in it.
fn limits_of_readme(section: &str, definition: &str) -> Settings {
    let readme = fs::read_to_string("README.md").expect("the README");
    let limits = blocks(&readme, "yaml").into_iter().find(|block| block.starts_with(&format!("{section}:")));
    let limits = limits.expect("the limits");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("keyglass.yaml");
    fs::write(&config, limits).expect("written");
    let schema = config_file_schema();
    let known = schema["$defs"][definition]["properties"].as_object().expect("members");
    for name in known.keys() {
        assert!(limits.contains(&format!("\n  {name}: ")), "{name}");
    }
    Options { config: Some(config), ..Options::default() }.settings().expect("good settings")
}

#[test]
fn the_limits_of_the_readme_are_all_there_are_and_the_defaults() {
    let settings = limits_of_readme("backend_limits", "BackendLimits");
    assert_eq!(settings.backend_limits, Limits::default());
    let settings = limits_of_readme("mcp_limits", "McpLimits");
    assert_eq!(settings.mcp_limits, mcp::limits::Limits::default());
}
