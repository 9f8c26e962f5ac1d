//! Classes of risk: those that are worked out of Runloop's whole API, against what a person read from its descriptions.

use std::{collections::BTreeMap, fmt::Write as _};

use keyglass::{
    catalog::risk::Risk,
    clock::Clock,
    config::{OfferedOptions, Options},
    diagnostic::Code,
    setup::{Purpose, setup},
};

use crate::corpus::{folder, show};

/// The label of each operation, by its method and path.
fn labels() -> BTreeMap<&'static str, Risk> {
    let lines = include_str!("../fixtures/runloop-risks.txt").lines().filter(|line| !line.starts_with('#'));
    let label = |line: &'static str| {
        let line = line.split("  # ").next().unwrap_or(line);
        let (class, request) = line.split_once(' ').expect("a class and a request");
        (request.trim(), class.parse::<Risk>().expect(line))
    };
    lines.map(label).collect()
}

/// How often each class that was meant was taken for which.
#[derive(Default)]
struct Confusion(BTreeMap<(Risk, Risk), usize>);

impl Confusion {
    fn of<'a>(labels: &BTreeMap<&'a str, Risk>, found: &BTreeMap<&'a str, Risk>) -> Self {
        let mut confusion = Self::default();
        for (request, label) in labels {
            *confusion.0.entry((*label, found[request])).or_default() += 1;
        }
        confusion
    }

    fn count(&self, is_meant: impl Fn(Risk, Risk) -> bool) -> usize {
        self.0.iter().filter(|((label, found), _)| is_meant(*label, *found)).map(|(_, count)| count).sum()
    }

    /// Of what is of a class the part that was found to be, in percent.
    fn recall(&self, class: Risk) -> usize {
        self.count(|label, found| label == class && found == class) * 100 / self.count(|label, _| label == class)
    }

    fn overall(&self) -> usize {
        self.count(|label, found| label == found) * 100 / self.count(|_, _| true)
    }

    fn table(&self, title: &str) -> String {
        let mut text = format!("{title}: {} % right\n{:<14}", self.overall(), "meant \\ found");
        Risk::ALL.iter().for_each(|found| write!(text, "{:>12}", found.name()).expect("a string"));
        text.push_str("      recall\n");
        for label in Risk::ALL {
            write!(text, "{:<14}", label.name()).expect("a string");
            for found in Risk::ALL {
                write!(text, "{:>12}", self.count(|one, other| one == label && other == found)).expect("a string");
            }
            writeln!(text, "{:>10} %", self.recall(label)).expect("a string");
        }
        text
    }
}

#[test]
fn every_operation_of_runloop_is_of_the_class_that_a_person_gave_it() {
    let labels = labels();
    assert_eq!(labels.len(), 150, "as many as the corpus has");
    let Some(corpus) = folder() else { return };
    let corpus = corpus.join("runloop-ai");
    let options = Options {
        capabilities: vec![corpus.join("capabilities")],
        schemas: vec![corpus.join("openapi"), corpus.join("json-schema")],
        backend: vec!["remote".to_owned()],
        ..Options::default()
    };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up");
    let (mut found, mut published, mut wrong) = (BTreeMap::new(), BTreeMap::new(), String::new());
    let workspace = set_up.inspected.expect("looked at").workspace;
    let stated = workspace.documents.iter().flat_map(|document| &document.servers).flat_map(|server| &server.tools);
    for stated in stated {
        let tool = set_up.gateway.tool(&stated.name.value).expect("offered");
        let request = tool.plan.operations().first().expect("a call").name.as_str();
        let (request, label) = labels.get_key_value(request).unwrap_or_else(|| panic!("no label for {request}"));
        found.insert(*request, tool.risk.class);
        let is = |flag: &Option<keyglass::spec::Spanned<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        let said = match (is(&stated.hints.destructive), is(&stated.hints.read_only)) {
            (true, _) => Risk::Destructive,
            (false, true) => Risk::Read,
            (false, false) => Risk::Write,
        };
        published.insert(*request, said);
        assert!(!tool.risk.reason.is_empty(), "{request}");
        if tool.risk.class != *label {
            writeln!(wrong, "{request} is {label}, found {} ({})", tool.risk.class, tool.risk.reason)
                .expect("a string");
        }
    }
    let (ours, theirs) = (Confusion::of(&labels, &found), Confusion::of(&labels, &published));
    show(&format!("{}\n{}\n{wrong}", ours.table("worked out"), theirs.table("the published hints")));
    for class in [Risk::Destructive, Risk::Exec, Risk::Grant] {
        assert_eq!(ours.recall(class), 100, "{class}:\n{wrong}");
    }
    assert!(ours.overall() >= 98, "{wrong}");
}

const SPEC: &str = "\
naftiko: 1.0.0-alpha2
capability:
  consumes:
    - type: http
      namespace: pets
      baseUri: https://pets.test
      resources:
        - path: /pets
          operations:
            - { name: listPets, method: GET, description: List. }
            - { name: addPet, method: POST, description: Add., inputParameters: [{ name: name, in: body, type: string }] }
        - path: /pets/find
          operations: [{ name: findPets, method: POST, description: Find., inputParameters: [{ name: sql, in: body, type: string }] }]
        - path: /pets/{id}
          operations: [{ name: dropPet, method: DELETE, description: Drop., inputParameters: [{ name: id, in: path, type: string }] }]
  exposes:
    - type: mcp
      namespace: p
      tools:
        - { name: read, description: R., call: pets.listPets }
        - { name: watched, description: W., call: pets.listPets, hints: { readOnly: false } }
        - { name: feared, description: F., call: pets.addPet, hints: { destructive: true } }
        - { name: trusted, description: T., call: pets.addPet, hints: { destructive: false } }
        - { name: believed, description: B., call: pets.findPets, hints: { readOnly: true } }
        - { name: fixed, description: F., outputParameters: [{ name: a, type: string, value: b }] }
        - name: two_reads
          description: Two.
          steps: [{ type: call, name: a, call: pets.listPets }, { type: call, name: b, call: pets.listPets }]
        - name: read_and_drop
          description: Two.
          inputParameters: [{ name: id, type: string, description: Which. }]
          steps: [{ type: call, name: a, call: pets.listPets }, { type: call, name: b, call: pets.dropPet, with: { id: p.id } }]
        - name: run_it
          description: Two.
          inputParameters: [{ name: command, type: string, description: What. }]
          steps: [{ type: call, name: a, call: pets.listPets }, { type: call, name: b, call: pets.addPet, with: { name: p.command } }]
";

#[test]
fn steps_are_as_bad_as_the_worst_and_hints_follow() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pets.yaml");
    std::fs::write(&file, SPEC).expect("written");
    let offered = OfferedOptions { risk: vec!["feared=grant".to_owned()], ..OfferedOptions::default() };
    for (options, feared) in [(OfferedOptions::default(), Risk::Destructive), (offered, Risk::Grant)] {
        let options = Options { capabilities: vec![file.clone()], offered: options, ..Options::default() };
        let set_up = setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up");
        let found = set_up.diagnostics.iter().filter(|found| found.code == Code::ContradictoryHints);
        let errors: Vec<String> = found.map(|found| found.one_line(&set_up.sources)).collect();
        let [contradiction] = errors.as_slice() else { panic!("{errors:?}") };
        assert!(contradiction.contains("`readOnly: true` contradicts the operation `findPets`"), "{contradiction}");
        for (name, class, reason, read_only, destructive) in [
            ("read", Risk::Read, "`GET`", true, false),
            ("watched", Risk::Write, "its spec", false, false),
            ("feared", feared, if feared == Risk::Grant { "the operator" } else { "its spec" }, false, true),
            ("trusted", Risk::Write, "`POST`", false, false),
            ("believed", Risk::Exec, "`sql`", false, true),
            ("fixed", Risk::Read, "calls nothing", true, false),
            ("two_reads", Risk::Read, "`GET`", true, false),
            ("read_and_drop", Risk::Destructive, "`DELETE`", false, true),
            ("run_it", Risk::Exec, "`command`", false, true),
        ] {
            let tool = set_up.gateway.tool(name).unwrap_or_else(|| panic!("{name}: {errors:?}"));
            assert_eq!(tool.risk.class, class, "{name}: {}", tool.risk.reason);
            assert!(tool.risk.reason.contains(reason), "{name}: {}", tool.risk.reason);
            assert_eq!((tool.hints.read_only, tool.hints.destructive), (read_only, destructive), "{name}");
        }
    }
}

/// A spec of these operations and of what is exposed of them.
fn offered(operations: &str, exposed: &str) -> keyglass::setup::Setup {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pets.yaml");
    let text = format!(
        "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - type: http\n      namespace: pets\n      \
         baseUri: https://pets.test\n      resources:\n        - path: /pets\n          operations:\n{operations}  \
         exposes:\n    - type: mcp\n      namespace: p\n{exposed}"
    );
    std::fs::write(&file, text).expect("written");
    let options = Options { capabilities: vec![file], ..Options::default() };
    setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up")
}

#[test]
fn another_method_in_a_header_or_a_parameter_counts() {
    let operation = |name: &str, method: &str, parameter: &str| {
        let text = format!(
            "{{ name: {name}, path: /pets/search, method: {method}, description: D., inputParameters: [{parameter}] }}"
        );
        format!("            - {text}\n")
    };
    let operations = [
        operation("fixed", "POST", "{ name: X-HTTP-Method-Override, in: header, value: delete }"),
        operation("open", "POST", "{ name: x-http-method, in: header, type: string }"),
        operation("form", "GET", "{ name: _method, in: query, value: DELETE }"),
        operation("member", "POST", "{ name: _method, in: body, type: string }"),
        operation("reading", "POST", "{ name: X-HTTP-Method-Override, in: header, value: GET }"),
        operation("renamed", "GET", "{ name: cmd, in: query, type: string }"),
    ];
    let tools = "      tools:\n        - { name: fixed, description: D., hints: { readOnly: true }, call: pets.fixed }\n        \
        - { name: renamed, description: D., hints: { readOnly: true }, call: pets.renamed, \
        inputParameters: [{ name: x, type: string, description: X. }], with: { cmd: p.x } }\n        \
        - { name: in_steps, description: D., inputParameters: [{ name: x, type: string, description: X. }], \
        steps: [{ type: call, name: a, call: pets.renamed, with: { cmd: p.x } }] }\n";
    let set_up = offered(&operations.concat(), tools);
    for (name, class, reason) in [
        ("fixed", Risk::Destructive, "`DELETE`, by `x-http-method-override`"),
        ("open", Risk::Destructive, "names the method: `x-http-method`"),
        ("form", Risk::Destructive, "`DELETE`, by `_method`"),
        ("member", Risk::Destructive, "names the method: `_method`"),
        ("reading", Risk::Read, "`search`"),
        ("renamed", Risk::Exec, "takes a `cmd`"),
        ("in_steps", Risk::Exec, "takes a `cmd`"),
    ] {
        let tool = set_up.gateway.tool(name).unwrap_or_else(|| panic!("{name}: {:?}", set_up.diagnostics));
        assert_eq!(tool.risk.class, class, "{name}: {}", tool.risk.reason);
        assert!(tool.risk.reason.contains(reason), "{name}: {}", tool.risk.reason);
        assert_eq!(tool.hints.read_only, class == Risk::Read, "{name}");
    }
}

#[test]
fn what_a_resource_would_change_is_said() {
    let operations = "            - { name: addPet, method: POST, description: D. }\n            \
        - { name: run, path: /pets/run, method: GET, description: D., inputParameters: [{ name: command, in: query, type: string }] }\n";
    let resources = "      resources:\n        - { name: added, uri: 'data://added', description: D., call: pets.addPet }\n        \
        - { name: run, uri: 'data://run/{command}', description: D., call: pets.run }\n";
    let set_up = offered(operations, resources);
    let found = set_up.diagnostics.iter().filter(|found| found.code == Code::UnsafeResource);
    let found: Vec<String> =
        found.map(|found| format!("{:?} {}", found.severity, found.one_line(&set_up.sources))).collect();
    let [added, run] = found.as_slice() else { panic!("{found:?}") };
    assert!(added.contains("Warning") && added.contains("reading `added` would change something"), "{added}");
    assert!(run.contains("Error") && run.contains("reading `run` would run something"), "{run}");
}

#[test]
fn what_waits_for_the_end_is_a_part_of_what_is_agreed_to() {
    let shown = |asked: &str, until: &str| {
        let operations = format!(
            "            - {{ name: drop, method: DELETE, description: D., poll: {{ call: {asked}, until: {{ path: $.s, \
             values: [{until}] }} }} }}\n            - {{ name: look, method: GET, description: D. }}\n            \
             - {{ name: peek, path: /peek, method: GET, description: D. }}\n"
        );
        let set_up = offered(&operations, "      tools: [{ name: drop, description: D., call: pets.drop }]\n");
        set_up.gateway.tool("drop").expect("offered").plan.all_it_does()
    };
    assert_eq!(shown("look", "a"), shown("look", "a"));
    assert_ne!(shown("look", "a"), shown("peek", "a"));
    assert_ne!(shown("look", "a"), shown("look", "b"));
}
