//! Published specs of many providers: every document loads or is reported, every operation becomes a tool or is left
//! out for a reason that is said where it stands.
//!
//! The documents are no part of this repository. They are looked for in `../shared/corpus` beside it; where that folder
//! is absent these tests say so and pass. Operations are counted in the tree of the YAML text itself, not by the reader
//! of the language, so that an operation that is dropped in silence is missed.
//!
//! `cargo test --test it corpus -- --nocapture` shows the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use keyglass::{
    catalog::{CompiledTool, risk::Risk},
    clock::Clock,
    config::Options,
    diagnostic::{Code, Diagnostic, Severity, SourceMap, Span, Style, render_text, to_json},
    mcp,
    setup::{Purpose, Setup, setup},
    spec::yaml::{self, Key, Node, Value},
};

use crate::clients::misfits;

/// The tools of Runloop's API that take something away: what their path ends in says so, their hints do not.
const DESTRUCTIVE: [&str; 13] = [
    "runloop-agents-agents-deleteAgent",
    "runloop-benchmark-benchmark-runs-cancelBenchmarkRun",
    "runloop-benchmark-benchmarks-cancelBenchmarkRunDeprecated",
    "runloop-blueprint-blueprints-deleteBlueprint",
    "runloop-devbox-devboxes-deleteSnapshot",
    "runloop-devbox-devboxes-killAsyncExecution",
    "runloop-devbox-devboxes-shutdownDevbox",
    "runloop-gateway-configs-gateway-configs-deleteGatewayConfig",
    "runloop-mcp-configs-mcp-configs-deleteMcpConfig",
    "runloop-network-policies-network-policies-deleteNetworkPolic",
    "runloop-objects-objects-deleteObject",
    "runloop-scenario-scenarios-cancelScenarioRun",
    "runloop-secrets-secrets-deleteSecret",
];

/// The folder of the corpus, where it is there.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from("../shared/corpus"); // tests run in the folder of the manifest
    if !folder.is_dir() {
        let message = "SKIPPED: there is no folder `../shared/corpus` beside this crate; nothing of it was tested";
        writeln!(std::io::stderr(), "{message}").ok(); // past the harness, which would hide it
        return None;
    }
    Some(folder)
}

/// Seen with `--nocapture` alone, as the test harness does with all that a test prints.
#[allow(clippy::print_stderr, reason = "the harness captures this, and nothing else")]
pub(crate) fn show(text: &str) {
    eprintln!("{text}");
}

/// Loads files or folders as `keyglass tools` would.
fn load(capabilities: &[&Path], schemas: &[&Path]) -> Setup {
    let own = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
    let options = Options {
        capabilities: own(capabilities),
        schemas: own(schemas),
        backend: vec!["remote".to_owned()],
        ..Options::default()
    };
    setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up")
}

/// A document of the corpus, taken apart without the reader under test.
#[derive(Default)]
struct Document {
    file: String,
    /// Whether it says that it is one of this language.
    is_spec: bool,
    /// Whether it is one section for others to import.
    is_standalone: bool,
    /// How many tools it gives by itself.
    alone: usize,
    operations: Vec<Operation>,
    tools: Vec<Tool>,
    /// What stands in `consumes`, `exposes` and `aggregates`: a problem elsewhere is one of the whole document.
    sections: Vec<Range<usize>>,
    /// Every service, resource, operation, server and tool.
    parts: Vec<Range<usize>>,
}

struct Operation {
    namespace: String,
    name: String,
    /// `METHOD /path`.
    request: String,
    own: Range<usize>,
    /// The resource around it, and the service around that.
    around: [Range<usize>; 2],
}

struct Tool {
    name: String,
    /// All that it calls: its own `call`, those of its steps, of what it refers to.
    calls: BTreeSet<String>,
    own: Range<usize>,
    server: Range<usize>,
}

/// A named element of a list, or of a map keyed by name.
struct Element<'a> {
    name: String,
    node: &'a Node,
    extent: Range<usize>,
}

/// The elements of what may be a list or a map; `single` takes a map as the one element of a list.
fn elements<'a>(parent: &'a Node, section: &str, single: bool) -> Vec<Element<'a>> {
    let text = |node: &Node| match &node.value {
        Value::String(text) | Value::Number(_, text) => text.clone(),
        _ => String::new(),
    };
    let element = |key: Option<&Key>, node: &'a Node| {
        let mut extent = extent(node);
        if let Some(key) = key {
            extent.start = extent.start.min(key.span.start);
        }
        let name = key.map(|key| key.text.clone()).or_else(|| node.get("name").map(text)).unwrap_or_default();
        Element { name, node, extent }
    };
    match parent.get(section) {
        Some(Node { value: Value::Sequence(items), .. }) => items.iter().map(|node| element(None, node)).collect(),
        Some(node @ Node { value: Value::Mapping(_), .. }) if single => vec![element(None, node)],
        Some(Node { value: Value::Mapping(entries), .. }) => {
            entries.iter().map(|(key, node)| element(Some(key), node)).collect()
        }
        _ => Vec::new(),
    }
}

/// From the first byte of a node to the last of what is in it.
fn extent(node: &Node) -> Range<usize> {
    let own = node.span.start..node.span.end;
    let join = |all: Range<usize>, inner: Range<usize>| all.start.min(inner.start)..all.end.max(inner.end);
    match &node.value {
        Value::Sequence(items) => items.iter().map(extent).fold(own, join),
        Value::Mapping(entries) => {
            let parts = entries.iter().flat_map(|(key, node)| [key.span.start..key.span.end, extent(node)]);
            parts.fold(own, join)
        }
        _ => own,
    }
}

fn text_at(node: &Node, key: &str) -> Option<String> {
    match &node.get(key)?.value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// A path as requests are named by it.
fn without_query(path: &str) -> &str {
    let path = path.trim();
    let at = |separator| path.split_once(separator).map(|(path, _)| path).filter(|path| !path.ends_with('{'));
    at('#').filter(|path| !path.contains('?')).or_else(|| at('?')).unwrap_or(path)
}

/// Every value of `call` and `ref` at any depth.
fn calls(node: &Node, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::Sequence(items) => items.iter().for_each(|item| calls(item, found)),
        Value::Mapping(entries) => {
            for (key, inner) in entries {
                if matches!(key.text.as_str(), "call" | "ref") {
                    found.extend(text_at(node, &key.text));
                }
                calls(inner, found);
            }
        }
        _ => {}
    }
}

impl Document {
    fn read(path: &Path) -> Self {
        let mut document = Self { file: path.display().to_string(), ..Self::default() };
        let Ok(text) = std::fs::read_to_string(path) else { return document };
        let mut sources = SourceMap::default();
        let file = sources.add(document.file.clone(), text);
        let Ok(root) = yaml::parse(file, &sources) else { return document };
        document.is_spec = root.get("ikanos").or_else(|| root.get("naftiko")).is_some();
        if !document.is_spec {
            return document; // OpenAPI, data, manifests: nothing in it is an operation of a capability
        }
        let capability = root.get("capability");
        document.is_standalone = capability.is_none();
        let mut flows = BTreeMap::new();
        for parent in capability.into_iter().chain([&root]) {
            for section in ["consumes", "exposes", "aggregates"] {
                document.sections.extend(parent.get(section).map(extent));
            }
            for service in elements(parent, "consumes", true) {
                document.service(&service);
            }
            for aggregate in elements(parent, "aggregates", true) {
                let namespace = text_at(aggregate.node, "namespace").unwrap_or_default();
                for section in ["flows", "functions"] {
                    for flow in elements(aggregate.node, section, false) {
                        let mut called = BTreeSet::new();
                        calls(flow.node, &mut called);
                        flows.insert(format!("{namespace}.{}", flow.name), called);
                    }
                }
            }
        }
        for parent in capability.into_iter().chain([&root]) {
            for server in elements(parent, "exposes", true) {
                if text_at(server.node, "type").is_some_and(|kind| kind == "mcp") {
                    document.server(&server, &flows);
                }
            }
        }
        document
    }

    fn service(&mut self, service: &Element<'_>) {
        let namespace = text_at(service.node, "namespace").unwrap_or_default();
        self.parts.push(service.extent.clone());
        for resource in elements(service.node, "resources", false) {
            let shared = text_at(resource.node, "path");
            self.parts.push(resource.extent.clone());
            for operation in elements(resource.node, "operations", false) {
                let path = text_at(operation.node, "path").or_else(|| shared.clone()).unwrap_or_default();
                let method = text_at(operation.node, "method").unwrap_or("GET".to_owned());
                self.parts.push(operation.extent.clone());
                self.operations.push(Operation {
                    namespace: namespace.clone(),
                    name: operation.name,
                    request: format!("{} {}", method.to_ascii_uppercase(), without_query(&path)),
                    own: operation.extent,
                    around: [resource.extent.clone(), service.extent.clone()],
                });
            }
        }
    }

    fn server(&mut self, server: &Element<'_>, flows: &BTreeMap<String, BTreeSet<String>>) {
        self.parts.push(server.extent.clone());
        for tool in elements(server.node, "tools", false) {
            self.parts.push(tool.extent.clone());
            let mut called = BTreeSet::new();
            calls(tool.node, &mut called);
            let more: Vec<String> = called.iter().filter_map(|name| flows.get(name)).flatten().cloned().collect();
            called.extend(more);
            let (own, server) = (tool.extent, server.extent.clone());
            self.tools.push(Tool { name: tool.name, calls: called, own, server });
        }
    }

    /// The codes of the errors that say why something is not offered: those at one of `own`, else those that name it,
    /// else those around it, else those of the whole document.
    fn reasons(
        &self,
        set_up: &Setup,
        own: &[&Range<usize>],
        names: &[String],
        around: &[&Range<usize>],
    ) -> BTreeSet<&'static str> {
        let is_reason = |found: &&Diagnostic| found.severity == Severity::Error || found.code == Code::UnusedFile;
        let errors = || set_up.diagnostics.iter().filter(is_reason);
        let codes = |holds: &dyn Fn(&Diagnostic) -> bool| -> BTreeSet<&'static str> {
            errors().filter(|found| holds(found)).map(|found| found.code.as_str()).collect()
        };
        let at = |span: Span, range: &Range<usize>| {
            set_up.sources.name(span.file) == self.file && (range.contains(&span.start) || range.start == span.start)
        };
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let attempts = [
            codes(&|found| {
                let mut places = std::iter::once(found.primary).chain(found.secondary.iter().map(|(span, _)| *span));
                places.any(|place| own.iter().any(|range| at(place, range)))
            }),
            codes(&|found| quoted.iter().any(|name| found.message.contains(name))),
            // Of what is around it: not of its neighbours, whose problems are their own.
            codes(&|found| {
                around.iter().any(|range| {
                    let deeper = |part: &&Range<usize>| part.len() < range.len() && at(found.primary, part);
                    at(found.primary, range) && !self.parts.iter().any(|part| deeper(&part))
                })
            }),
            codes(&|found| {
                set_up.sources.name(found.primary.file) == self.file
                    && !self.sections.iter().any(|section| at(found.primary, section))
            }),
        ];
        attempts.into_iter().find(|codes| !codes.is_empty()).unwrap_or_default()
    }

    fn callers<'a>(&'a self, operation: &Operation) -> Vec<&'a Tool> {
        let call = format!("{}.{}", operation.namespace, operation.name);
        self.tools.iter().filter(|tool| tool.calls.contains(&call)).collect()
    }

    /// Whether a tool makes the request of this operation: one that calls it, or where none does one made for it.
    fn is_served(&self, operation: &Operation, set_up: &Setup) -> bool {
        let makes = |tool: &CompiledTool| tool.plan.operations().iter().any(|one| one.name == operation.request);
        let callers = self.callers(operation);
        if callers.is_empty() {
            return set_up.gateway.tools().any(|tool| {
                makes(tool) && tool.plan.operations().iter().any(|one| one.service.namespace == operation.namespace)
            });
        }
        let offered = |tool: &&Tool| Some((tool.calls.len() > 1, set_up.gateway.tool(&tool.name)?));
        callers.iter().filter_map(offered).any(|(several, tool)| several || makes(tool))
    }

    fn left_out_operations(&self, set_up: &Setup) -> Vec<(String, BTreeSet<&'static str>)> {
        let operations = self.operations.iter().filter(|operation| !self.is_served(operation, set_up));
        let reasons = operations.map(|operation| {
            let Operation { namespace, name, request, own, around } = operation;
            let callers = self.callers(operation);
            let own: Vec<_> = std::iter::once(own).chain(callers.iter().map(|tool| &tool.own)).collect();
            let around: Vec<_> = around.iter().chain(callers.iter().map(|tool| &tool.server)).collect();
            let names = [name.clone(), format!("{namespace}.{name}")];
            let what = format!("{}: the operation `{namespace}.{name}` ({request})", self.file);
            (what, self.reasons(set_up, &own, &names, &around))
        });
        reasons.collect()
    }

    fn left_out_tools(&self, set_up: &Setup) -> Vec<(String, BTreeSet<&'static str>)> {
        let tools = self.tools.iter().filter(|tool| set_up.gateway.tool(&tool.name).is_none());
        let reasons = tools.map(|tool| {
            let called =
                |operation: &&Operation| tool.calls.contains(&format!("{}.{}", operation.namespace, operation.name));
            let called: Vec<&Operation> = self.operations.iter().filter(called).collect();
            let own: Vec<_> = std::iter::once(&tool.own).chain(called.iter().map(|operation| &operation.own)).collect();
            let around: Vec<_> =
                std::iter::once(&tool.server).chain(called.iter().flat_map(|operation| &operation.around)).collect();
            let what = format!("{}: the tool `{}`", self.file, tool.name);
            (what, self.reasons(set_up, &own, std::slice::from_ref(&tool.name), &around))
        });
        reasons.collect()
    }
}

/// What holds of every load, whatever was loaded.
fn check_load(what: &str, set_up: &Setup, failures: &mut Vec<String>) {
    let Setup { diagnostics, sources, .. } = set_up;
    for found in diagnostics {
        for span in std::iter::once(found.primary).chain(found.secondary.iter().map(|(span, _)| *span)) {
            let text = sources.text(span.file);
            if !(span.start <= span.end && text.is_char_boundary(span.start) && text.is_char_boundary(span.end)) {
                failures.push(format!("{what}: a place outside of its file: {}", found.one_line(sources)));
            }
        }
        if found.message.contains("no thread could be started") {
            failures.push(format!("{what}: the parser panicked: {}", found.one_line(sources)));
        }
    }
    let rendered = render_text(diagnostics, sources, Style::Plain);
    assert_eq!(rendered.is_empty(), diagnostics.is_empty(), "{what}");
    assert_eq!(to_json(diagnostics, sources).len(), diagnostics.len());
    let listing = mcp::listing(&set_up.gateway);
    let tools = listing["tools"].as_array().expect("tools");
    let names: BTreeSet<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    if names.len() != tools.len() {
        failures.push(format!("{what}: {} tools have {} names", tools.len(), names.len()));
    }
    for tool in tools {
        let misfits = misfits(tool).into_iter().map(|misfit| format!("{what}: tool {}: {misfit}", tool["name"]));
        failures.extend(misfits);
    }
}

/// One line of the table.
#[derive(Default)]
struct Row {
    documents: usize,
    specs: usize,
    operations: usize,
    operations_served: usize,
    tools: usize,
    tools_offered: usize,
    /// Tools offered when each file is loaded alone, and those of the folder as a whole.
    alone: usize,
    together: usize,
    merged: usize,
    renamed: usize,
    /// The tools of the folder, by their class of risk.
    risks: BTreeMap<Risk, usize>,
    /// Operations and tools left out, by the code of the error that says why.
    left_out: BTreeMap<&'static str, (usize, usize)>,
}

impl Row {
    fn add(&mut self, other: &Self) {
        let Self { documents, specs, operations, operations_served, tools, tools_offered, .. } = other;
        let Self { alone, together, merged, renamed, risks, left_out, .. } = other;
        self.documents += documents;
        self.specs += specs;
        self.operations += operations;
        self.operations_served += operations_served;
        self.tools += tools;
        self.tools_offered += tools_offered;
        self.alone += alone;
        self.together += together;
        self.merged += merged;
        self.renamed += renamed;
        for (class, count) in risks {
            *self.risks.entry(*class).or_default() += count;
        }
        for (code, (operations, tools)) in left_out {
            let sum = self.left_out.entry(code).or_default();
            *sum = (sum.0 + operations, sum.1 + tools);
        }
    }
}

/// All YAML files below a folder, in order.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// One provider: each of its files alone, then its folder as a whole.
fn provider(folder: &Path, outcome: &mut Outcome) -> Row {
    let Outcome { left_out, grave, failures, table: _ } = outcome;
    let mut row = Row::default();
    let mut read = Vec::new();
    for path in documents(folder) {
        let mut document = Document::read(&path);
        let set_up = load(&[&path], &[]);
        check_load(&document.file, &set_up, failures);
        if set_up.gateway.catalog.is_empty() && set_up.diagnostics.is_empty() {
            failures.push(format!("{}: it gives no tool, and nothing is said", document.file));
        }
        row.documents += 1;
        row.specs += usize::from(document.is_spec);
        row.operations += document.operations.len();
        row.tools += document.tools.len();
        document.alone = set_up.gateway.catalog.len();
        row.alone += document.alone;
        let (operations, tools) = (document.left_out_operations(&set_up), document.left_out_tools(&set_up));
        row.operations_served += document.operations.len() - operations.len();
        row.tools_offered += document.tools.len() - tools.len();
        for (what, reasons) in operations.iter().chain(&tools) {
            if reasons.is_empty() {
                failures.push(format!("{what} is left out, and nothing says why"));
            }
            let reasons: Vec<&str> = reasons.iter().copied().collect();
            left_out.push(format!("{what} is left out: {}", reasons.join(", ")));
        }
        for (_, reasons) in operations {
            reasons.iter().for_each(|code| row.left_out.entry(code).or_default().0 += 1);
        }
        for (_, reasons) in tools {
            reasons.iter().for_each(|code| row.left_out.entry(code).or_default().1 += 1);
        }
        read.push(document);
    }
    let set_up = load(&[folder], &[]);
    check_load(&folder.display().to_string(), &set_up, failures);
    row.together = set_up.gateway.catalog.len();
    for tool in set_up.gateway.tools() {
        *row.risks.entry(tool.risk.class).or_default() += 1;
        if tool.risk.class > Risk::Destructive {
            grave.push(format!("{}: {} ({})", tool.plan.summary(), tool.risk.class, tool.risk.reason));
        }
    }
    let repeated = |severity| {
        let found = set_up.diagnostics.iter().filter(|found| found.code == Code::DuplicateTool);
        found.filter(|found| found.severity == severity).count()
    };
    row.merged = repeated(Severity::Note);
    row.renamed = repeated(Severity::Warning);
    for document in &read {
        let everywhere = |request: &str| {
            set_up.gateway.tools().any(|tool| tool.plan.operations().iter().any(|one| one.name == request))
        };
        let served = document.operations.iter().filter(|operation| everywhere(&operation.request)).count();
        let explained = document.left_out_operations(&set_up).iter().filter(|(_, codes)| !codes.is_empty()).count();
        if served + explained < document.operations.len() {
            failures.push(format!("{}: operations are lost when the whole folder is loaded", document.file));
        }
    }
    // Together they are as many as alone, but for those that are one; what a file holds for others to import is offered by
    // those.
    let imported: usize = read.iter().map(|document| if document.is_standalone { document.alone } else { 0 }).sum();
    let all = row.together + row.merged;
    if all > row.alone || all + imported < row.alone {
        let Row { alone, together, merged, .. } = row;
        let folder = folder.display();
        failures.push(format!("{folder}: {alone} tools file by file are {together} together, {merged} merged"));
    }
    row
}

fn table(rows: &[(String, Row)]) -> String {
    let mut text = String::new();
    let mut line = |cells: [&str; 10]| {
        let [name, rest @ ..] = cells;
        let rest: String = rest.iter().map(|cell| format!("{cell:>12}")).collect();
        writeln!(text, "{}", format!("{name:<22}{rest}").trim_end()).expect("a string");
    };
    line([
        "PROVIDER",
        "documents",
        "specs",
        "operations",
        "served",
        "tools",
        "offered",
        "together",
        "merged",
        "renamed",
    ]);
    for (name, row) in rows {
        let Row { documents, specs, operations, operations_served, tools, tools_offered, .. } = row;
        let Row { together, merged, renamed, .. } = row;
        let cells = [documents, specs, operations, operations_served, tools, tools_offered, together, merged, renamed];
        let cells = cells.map(usize::to_string);
        let [a, b, c, d, e, f, g, h, i] = cells.each_ref().map(String::as_str);
        line([name, a, b, c, d, e, f, g, h, i]);
    }
    text.push_str("\nCLASSES OF RISK       ");
    Risk::ALL.iter().for_each(|class| write!(text, "{:>12}", class.name()).expect("a string"));
    text.push('\n');
    for (name, row) in rows {
        write!(text, "{name:<22}").expect("a string");
        let counts = Risk::ALL.map(|class| row.risks.get(&class).copied().unwrap_or_default());
        counts.iter().for_each(|count| write!(text, "{count:>12}").expect("a string"));
        text.push('\n');
    }
    text.push_str("\nLEFT OUT, BY CODE (one may have several)     operations       tools\n");
    for (name, row) in rows {
        for (code, (operations, tools)) in &row.left_out {
            writeln!(text, "{name:<22}{code:<24}{operations:>9}{tools:>12}").expect("a string");
        }
    }
    text
}

/// What loading the whole corpus gave.
#[derive(Default)]
struct Outcome {
    table: String,
    /// Every operation and tool that was left out, with its codes.
    left_out: Vec<String>,
    /// Every tool that runs or grants something, and why.
    grave: Vec<String>,
    failures: Vec<String>,
}

/// Loaded once for the tests that look at it.
static OUTCOME: LazyLock<Option<Outcome>> = LazyLock::new(|| {
    let corpus = folder()?;
    let mut folders = vec![corpus.join("runloop-ai/capabilities")];
    for group in ["wild", "ikanos"] {
        let mut of_group: Vec<_> =
            std::fs::read_dir(corpus.join(group)).unwrap().map(|entry| entry.unwrap().path()).collect();
        of_group.sort();
        folders.extend(of_group);
    }
    let mut outcome = Outcome::default();
    let mut rows = Vec::new();
    let mut total = Row::default();
    for folder in folders {
        let name = folder.strip_prefix(&corpus).unwrap().display().to_string();
        let name = name.trim_start_matches("wild/").trim_end_matches("/capabilities").to_owned();
        let row = provider(&folder, &mut outcome);
        total.add(&row);
        rows.push((name, row));
    }
    rows.push(("all".to_owned(), total));
    outcome.table = table(&rows);
    outcome.failures.sort();
    Some(outcome)
});

#[test]
fn every_published_operation_is_a_tool_or_has_its_reason() {
    let Some(outcome) = &*OUTCOME else { return };
    let Outcome { table, left_out, grave, failures } = outcome;
    show(&format!("{table}\n{}\n{}", left_out.join("\n"), grave.join("\n")));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_summary_of_published_specs_is_the_reviewed_one() {
    let Some(outcome) = &*OUTCOME else { return };
    insta::with_settings!({ snapshot_path => "..", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("corpus-summary", outcome.table);
    });
}

#[test]
fn all_of_runloop_is_offered() {
    let Some(corpus) = folder() else { return };
    let corpus = corpus.join("runloop-ai");
    let capabilities = corpus.join("capabilities");
    let documents: Vec<Document> = documents(&capabilities).iter().map(|path| Document::read(path)).collect();
    assert_eq!(documents.len(), 18, "17 capabilities and a shared block");
    let requests: BTreeSet<&str> = documents
        .iter()
        .flat_map(|document| &document.operations)
        .map(|operation| operation.request.as_str())
        .collect();
    assert_eq!(requests.len(), 150, "as many as the corpus has");
    for schemas in [&[][..], &[&*corpus.join("openapi"), &*corpus.join("json-schema")]] {
        let set_up = load(&[&capabilities], schemas);
        let errors = set_up.diagnostics.iter().filter(|found| found.severity == Severity::Error);
        let errors: Vec<String> = errors.map(|found| found.one_line(&set_up.sources)).collect();
        assert_eq!(errors, [""; 0], "the shared block is no mistake either");
        let offered: BTreeSet<&str> =
            { set_up.gateway.tools().flat_map(|tool| tool.plan.operations()).map(|one| one.name.as_str()).collect() };
        assert_eq!(offered, requests);
        let names: BTreeSet<&str> = set_up.gateway.tools().map(|tool| tool.name.as_str()).collect();
        let declared: BTreeSet<&str> =
            documents.iter().flat_map(|document| &document.tools).map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, declared);
        assert_eq!(set_up.gateway.catalog.len(), 150);
        let listing = mcp::listing(&set_up.gateway);
        for tool in listing["tools"].as_array().expect("tools") {
            assert_eq!(misfits(tool), [""; 0], "{}", tool["name"]);
        }
        for name in DESTRUCTIVE {
            assert!(set_up.gateway.tool(name).expect(name).hints.destructive, "{name}");
        }
    }
}
