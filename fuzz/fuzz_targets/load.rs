//! Any bytes as a capability spec: loading, compiling, listing and reporting must neither panic nor point outside the
//! file, whatever stands in it.
//!
//! Each input is a spec file in a folder of its own, since that is what the loader reads, and lies there as a file of JSON
//! Schemas too: JSON is YAML, so that one input can be a spec and the schemas it refers to (`schemas/self.json#/…`).
//! Imports and references can lead to the input alone.

#![no_main]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use keyglass::{
    catalog::fill::Scope,
    clock::Clock,
    config::{Options, Settings},
    diagnostic::{Diagnostic, SourceMap, Style, render_text, to_json},
    mcp,
    setup::{Purpose, Setup, setup},
};
use libfuzzer_sys::fuzz_target;

struct Harness {
    spec: PathBuf,
    schemas: PathBuf,
    settings: Settings,
}

static HARNESS: LazyLock<Harness> = LazyLock::new(|| {
    let folder = scratch();
    fs::create_dir_all(folder.join("schemas")).expect("a folder");
    let spec = folder.join("spec.yaml");
    let schemas = folder.join("schemas/self.json");
    let options = Options {
        capabilities: vec![spec.clone()],
        backend: vec!["https://backend.invalid/base".to_owned()],
        data_dir: Some(folder.join("data")),
        ..Options::default()
    };
    let mut settings = options.settings().expect("settings");
    settings.schemas.clear(); // what is shipped is not under test, and would be parsed for each input
    Harness { spec, schemas, settings }
});

/// A folder for this process, in memory where there is such a place: a disk takes longer for one file than the loader.
///
/// The fuzzer ends a process in ways that leave no time to tidy up, so the next one removes what is left.
fn scratch() -> PathBuf {
    const PREFIX: &str = "keyglass-fuzz-load-";
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
        let left = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::to_owned);
        if left.is_some_and(|process| Path::new("/proc").is_dir() && !Path::new("/proc").join(process).exists()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    parent.join(format!("{PREFIX}{}", std::process::id()))
}

fuzz_target!(|input: &[u8]| {
    let Harness { spec, schemas, settings } = &*HARNESS;
    fs::write(spec, input).expect("written");
    fs::write(schemas, input).expect("written");
    let Setup { gateway, diagnostics, sources, .. } =
        setup(settings, Purpose::Inspect, Clock::Fixed(0)).expect("a spec never stops the rest");
    for diagnostic in &diagnostics {
        check(diagnostic, &sources);
    }
    let text = render_text(&diagnostics, &sources, Style::Plain);
    assert_eq!(text.is_empty(), diagnostics.is_empty());
    render_text(&diagnostics, &sources, Style::Coloured);
    serde_json::to_string(&to_json(&diagnostics, &sources)).expect("JSON");

    serde_json::to_string(&mcp::listing(&gateway)).expect("JSON");
    let nothing = serde_json::json!({});
    let no_arguments = serde_json::Map::new();
    for tool in gateway.tools() {
        assert!((1..=64).contains(&tool.name.len()), "{}", tool.name);
        assert!(tool.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "{}", tool.name);
        // What is built when a tool is first called is built here.
        if tool.input.check(&nothing).is_ok() {
            let scope = Scope::new(&no_arguments, &serde_json::Value::Null);
            for operation in tool.plan.operations() {
                if let Ok(endpoint) = &operation.service.endpoint {
                    operation.request.bind(&scope, &endpoint.base).ok();
                }
            }
        }
    }
});

fn check(diagnostic: &Diagnostic, sources: &SourceMap) {
    let line = diagnostic.one_line(sources);
    assert!(!diagnostic.message.is_empty());
    // A panic of the parser is caught, and told as this.
    assert!(!diagnostic.message.contains("no thread could be started"), "{line}");
    for span in std::iter::once(diagnostic.primary).chain(diagnostic.secondary.iter().map(|(span, _)| *span)) {
        let text = sources.text(span.file);
        assert!(span.start <= span.end && span.end <= text.len(), "{line}: {span:?} of {}", text.len());
        assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{line}: {span:?}");
        let (row, column) = sources.position(span.file, span.start);
        assert_eq!(sources.offset(span.file, row, column), span.start, "{line}");
    }
}
