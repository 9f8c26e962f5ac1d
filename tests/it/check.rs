//! `keyglass check`: the manual's pages and the formats of its report.

use std::{collections::HashSet, fmt::Write as _, fs, path::Path};

use keyglass::{
    clock::Clock,
    config::Options,
    diagnostic::{Code, Severity, Style, render_text, to_sarif},
    setup::{Purpose, Setup, setup},
};
use serde_json::Value;

use crate::support::run;

/// Schemas that the examples of the manual refer to.
const SCHEMAS: &str = r#"{"$defs": {
    "Pet": {"type": "object", "properties": {"name": {"type": "string"}}},
    "Broken": {"type": "object", "properties": {"name": {"type": "no such type"}}}
}}"#;

/// A file beside the examples, for imports.
const SERVICES: &str = "\
ikanos: 1.0.0-beta5
consumes:
  - type: http
    namespace: pets
    baseUri: https://pets.test/v1
    resources:
      - path: /pets
        operations:
          - { name: listPets, method: GET, description: List pets. }
";

/// A service for examples of tools.
const SERVICE: &str = "\
- path: /pets
  operations:
    - name: listPets
      method: GET
      description: List pets.
    - name: createPet
      method: POST
      description: Add a pet.
- path: /pets/{id}
  operations:
    - name: getPet
      method: GET
      description: Read a pet.
      inputParameters: [{ name: id, in: path, description: The pet's number. }]
    - name: deletePet
      method: DELETE
      description: Delete a pet.
      inputParameters: [{ name: id, in: path, description: The pet's number. }]
";

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// A spec around an example, which starts at any of its levels.
fn spec_of(example: &str) -> String {
    let service = |resources: &str| {
        let head =
            "consumes:\n  - type: http\n    namespace: pets\n    baseUri: https://pets.test/v1\n    resources:\n";
        format!("{head}{}", indented(resources, 6))
    };
    let capability = |sections: &str| format!("naftiko: 1.0.0-alpha2\ncapability:\n{}", indented(sections, 2));
    let (first, rest) = example.split_once('\n').expect("two lines");
    match first {
        "consumes:" => capability(example),
        "resources:" => capability(&service(rest)),
        "operations:" => capability(&service(&format!("- path: /pets\n  operations:\n{}", indented(rest, 2)))),
        "tools:" => {
            let tools = format!("exposes:\n  - type: mcp\n    tools:\n{}", indented(rest, 4));
            capability(&format!("{}{tools}", service(SERVICE)))
        }
        "aggregates:" | "exposes:" => capability(&format!("{}{example}", service(SERVICE))),
        "binds:" => format!("naftiko: 1.0.0-alpha2\n{example}"),
        _ => example.to_owned(),
    }
}

fn load(path: &Path) -> Setup {
    let options = Options { capabilities: vec![path.to_owned()], ..Options::default() };
    setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up")
}

#[test]
fn the_examples_of_every_page_show_what_they_say() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("schemas")).expect("made");
    fs::write(folder.path().join("schemas/pets.json"), SCHEMAS).expect("written");
    fs::write(folder.path().join("services.yaml"), SERVICES).expect("written");
    let spec = folder.path().join("pets.yaml");
    let said = |example: &str| {
        fs::write(&spec, spec_of(example)).expect("written");
        let Setup { diagnostics, sources, .. } = load(&spec);
        (render_text(&diagnostics, &sources, Style::Plain), diagnostics)
    };
    let (mut without, mut faults) = (HashSet::new(), String::new());
    for code in Code::ALL {
        let page = code.page();
        let (Some(wrong), Some(right)) = (page.wrong, page.right) else {
            without.insert(code.as_str());
            continue;
        };
        let (text, diagnostics) = said(&wrong);
        if diagnostics.iter().all(|diagnostic| diagnostic.code != *code) {
            writeln!(faults, "{code}, wrong:\n{wrong}\n{text}").expect("a string");
        }
        let (text, diagnostics) = said(&right);
        if diagnostics.iter().any(|problem| problem.code == *code || problem.severity == Severity::Error) {
            writeln!(faults, "{code}, right:\n{right}\n{text}").expect("a string");
        }
    }
    assert!(faults.is_empty(), "{faults}");
    // These are about files, variables and settings, which no YAML shows.
    assert_eq!(
        without,
        HashSet::from([
            "unreadable-file",
            "unusable-openapi",
            "unserved-operation",
            "missing-variable",
            "open-elsewhere"
        ])
    );
}

#[test]
fn a_page_can_be_asked_for() {
    let data = tempfile::tempdir().expect("a folder");
    let (code, out, _) = run(data.path(), &["check", "--explain", "literal-secret"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("literal-secret\n\nA credential stands in the spec itself"), "{out}");
    assert!(out.contains("\nWrong:\n") && out.contains("\nRight:\n"), "{out}");
    let (code, out, _) = run(data.path(), &["check", "--explain"]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), Code::ALL.len());
    assert!(out.contains("unknown-field              A field that the language does not have"), "{out}");
    let (code, out, err) = run(data.path(), &["check", "--explain", "unknwon-field"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("did you mean `unknown-field`?") && err.contains("invalid-syntax, "), "{err}");
    assert_eq!(run(data.path(), &["check", "--explain", "unknown-field", "--json"]).0, 64);
}

/// What SARIF 2.1.0 asks of a log, as far as its schema cannot be had here.
fn assert_is_sarif(log: &Value) -> usize {
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().expect("a schema").ends_with("sarif-schema-2.1.0.json"));
    let [run] = log["runs"].as_array().expect("runs").as_slice() else { panic!("one run") };
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let ids: HashSet<_> = rules.iter().map(|rule| rule["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), rules.len(), "each rule once");
    let results = run["results"].as_array().expect("results");
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["note", "warning", "error"].contains(&result["level"].as_str().expect("a level")), "{result}");
        assert!(!result["message"]["text"].as_str().expect("a message").is_empty(), "{result}");
        for location in result["locations"].as_array().expect("places") {
            let place = &location["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().expect("a file");
            assert!(uri.is_ascii() && !uri.contains([' ', '\\']), "{uri}");
            let number = |name: &str| place["region"][name].as_u64().expect("a number");
            let (start, end) = ((number("startLine"), number("startColumn")), (number("endLine"), number("endColumn")));
            assert!(start.0 >= 1 && start.1 >= 1 && start <= end, "{place}");
            assert!(place["region"].get("snippet").is_none(), "{place}");
        }
    }
    results.len()
}

#[test]
fn every_bad_spec_gives_a_sarif_log() {
    for entry in fs::read_dir("tests/specs").expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let Setup { diagnostics, sources, .. } = load(&path);
            assert_eq!(assert_is_sarif(&to_sarif(&diagnostics, &sources)), diagnostics.len(), "{}", path.display());
        }
    }
}

#[test]
fn sarif_is_printed_and_shows_no_secret() {
    let data = tempfile::tempdir().expect("a folder");
    let spec = data.path().join("a spec.yaml");
    fs::write(&spec, spec_of(&Code::LiteralSecret.page().wrong.expect("an example"))).expect("written");
    let (code, out, _) = run(data.path(), &["check", "--sarif", &spec.display().to_string()]);
    assert_eq!(code, 0, "a warning is no error");
    let log: Value = serde_json::from_str(&out).expect("JSON");
    assert!(assert_is_sarif(&log) > 0);
    let mut results = log["runs"][0]["results"].as_array().expect("results").iter();
    assert!(results.any(|result| result["ruleId"] == "literal-secret"), "{out}");
    // The page's own example is part of the rule, so the result alone is looked at.
    assert!(!log["runs"][0]["results"].to_string().contains("correct-horse"));
    let (code, out, _) = run(data.path(), &["check", "--sarif", "tests/specs/unknown-version.bad.yaml"]);
    assert_eq!(code, 1);
    let log: Value = serde_json::from_str(&out).expect("JSON");
    let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "tests/specs/unknown-version.bad.yaml");
    assert_eq!(place["region"]["startColumn"], 10);
    assert_eq!(run(data.path(), &["check", "--sarif", "--json"]).0, 64);
}

#[test]
fn imports_of_one_file_stop_before_they_fill_the_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = "  consumes:\n    - namespace: svc\n      type: http\n      baseUri: https://pets.test\n      resources:\n      \
                   - path: /x\n        operations: [{ name: get, method: GET, description: Gets. }]\n";
    let padding = format!("# {}\n", "x".repeat(100)).repeat(10_000);
    let head = "ikanos: 1.0.0-beta5\ninfo: { display: X, description: Y. }\ncapability:\n";
    fs::write(folder.path().join("large.yaml"), format!("{head}{service}{padding}")).expect("written");
    let imports: String =
        (0..100).map(|number| format!("    - {{ from: large.yaml, import: svc, as: s{number} }}\n")).collect();
    let spec = folder.path().join("many.yaml");
    fs::write(&spec, format!("{head}  consumes:\n{imports}")).expect("written");
    let Setup { diagnostics, .. } = load(&spec);
    let refused = diagnostics.iter().filter(|problem| problem.code == Code::InvalidImport).collect::<Vec<_>>();
    assert!((50..100).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|problem| problem.message.contains("copy more than 32 MiB")), "{refused:?}");
}

#[test]
fn a_file_of_variables_is_no_fault_but_worth_a_word_where_it_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = folder.path().join("variables.yaml");
    fs::write(&variables, "ikanos: 1.0.0-beta5\nbinds: [{ namespace: env, keys: { TOKEN: TOKEN } }]\n")
        .expect("written");
    for (path, expected) in [(variables.as_path(), Severity::Warning), (folder.path(), Severity::Note)] {
        let Setup { diagnostics, .. } = load(path);
        let found: Vec<_> = diagnostics.iter().filter(|problem| problem.code == Code::UnusedFile).collect();
        assert!(matches!(found.as_slice(), [one] if one.severity == expected), "{diagnostics:?}");
    }
}

#[test]
fn a_broken_document_of_types_is_reported_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let specs = folder.path().join("openapi");
    fs::create_dir(&specs).expect("made");
    fs::write(specs.join("broken.yaml"), "openapi: 3.1.0\npaths: [\n").expect("written");
    fs::write(
        specs.join("spec.yaml"),
        "ikanos: 1.0.0-beta5\ninfo: { display: X, description: Y. }\ncapability:\n  consumes:\n    - namespace: svc\n      \
         type: http\n      baseUri: https://pets.test\n      resources:\n      - path: /x\n        operations: \
         [{ name: add, method: POST, description: Adds., body: { type: json, data: { a: '{{a}}' } } }]\n",
    )
    .expect("written");
    let data = tempfile::tempdir().expect("a folder");
    let spec = specs.join("spec.yaml");
    let spec = spec.to_str().expect("text");
    let schemas = specs.to_str().expect("text");
    let (_, out, _) = run(data.path(), &["check", "--joins", "--schemas", schemas, spec]);
    assert_eq!(out.matches("[unusable-openapi]").count(), 1, "{out}");
    assert!(out.contains("svc.add (POST /x): body declared"), "{out}");
}
