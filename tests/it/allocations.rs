//! How much memory a call takes: a larger catalog makes none dearer.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use allocation_counter::{AllocationInfo, measure};
use keyglass::{
    audit::{Audit, Clear, Limits, Options, Origin, Transport},
    call::{CallContext, request_id},
    caller::Caller,
    clock::Clock,
    config,
    gateway::Gateway,
    setup::{Open, setup_again},
};
use serde_json::{Value, json};

/// A spec of so many tools that read, with an answer that is looked through for secrets and arguments that the audit log tells
/// of.
fn spec(tools: usize) -> String {
    let mut spec =
        "naftiko: \"1.0.0-alpha5\"\ncapability:\n  exposes:\n    - type: mcp\n      namespace: many\n      tools:\n"
            .to_owned();
    for number in 0..tools {
        write!(
            spec,
            "        - name: read_{number}\n          description: Reads number {number}.\n          inputParameters:\n            \
             - {{ name: id, type: string, description: An id. }}\n            - {{ name: limit, type: integer, description: \
             A limit. }}\n          outputParameters:\n            - {{ name: note, type: string, value: \"see \
             https://a.test/x?y=1\" }}\n"
        )
        .unwrap();
    }
    spec
}

fn gateway(folder: &Path, tools: usize) -> Gateway {
    let path = folder.join(format!("{tools}.yaml"));
    fs::write(&path, spec(tools)).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("capabilities/runloop-secrets.yaml");
    let data_dir = Some(folder.join(format!("data-{tools}")));
    let options = config::Options { capabilities: vec![path, shipped], data_dir, ..config::Options::default() };
    let log = folder.join(format!("audit-{tools}"));
    let log = Options { folder: log, required: false, limits: Limits::default(), clear: Clear::default() };
    let open = Open { audit: Audit::open(log, Clock::System).unwrap(), ..Open::default() };
    setup_again(&options.settings().unwrap(), Clock::System, &open).unwrap().gateway
}

/// The least that one of many calls takes: the first ones make what is kept, and a queue grows now and then.
fn taken(gateway: &Gateway, tool: &str, arguments: &Value) -> AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let call = || {
        let client = Some(("client", "1.0.0"));
        let origin = Origin::new(Caller::local().principal, client, (Transport::Http, "tools/call"));
        let context = CallContext { origin: Some(Arc::new(origin)), ..CallContext::new(request_id().unwrap()) };
        let arguments = arguments.as_object().unwrap().clone();
        runtime.block_on(gateway.call(gateway.tool(tool).unwrap(), arguments, &context)).unwrap();
    };
    (0..50).map(|_| measure(call)).min_by_key(|taken| (taken.count_total, taken.bytes_total)).unwrap()
}

#[test]
fn a_call_of_a_large_catalog_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (few, many) = (gateway(folder.path(), 10), gateway(folder.path(), 400));
    // One that is answered without a backend, and one that the backend built in answers.
    for (tool, arguments) in [("read_7", json!({"id": "a", "limit": 5})), ("list_secrets", json!({"limit": 5}))] {
        let [few, many] = [&few, &many].map(|gateway| taken(gateway, tool, &arguments));
        assert!(few.count_total > 0, "nothing was counted");
        assert_eq!((few.count_total, few.bytes_total), (many.count_total, many.bytes_total), "{tool}");
    }
}
