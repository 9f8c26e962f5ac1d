//! What many operations cost: loading and compiling, memory, finding and binding one call, one page of `tools/list`.
//!
//! `cargo bench --bench load` builds and runs it; `-- 100 1000` measures these sizes alone. Specs are made in the shape
//! that published ones have: a file for each hundred operations, with a REST surface beside the tools; once with bodies
//! of any form, once with bodies typed by a JSON Schema. Each measurement has a process of its own, so that memory is
//! its own; all sizes have their turn in every round, so that the machine's noise falls on all alike. Medians and ratios
//! to the row of 1,000 are printed. Nothing is asserted.

use std::{
    fmt::Write as _,
    fs,
    hint::black_box,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use keyglass::{
    catalog::{JsonObject, fill::Scope},
    clock::Clock,
    config::Options,
    diagnostic::SourceMap,
    setup::{Purpose, setup},
    spec,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

const KEYGLASS: &str = env!("CARGO_BIN_EXE_keyglass");
const SIZES: [usize; 4] = [100, 1_000, 10_000, 37_000];
/// Rounds, and how many of them the sizes beyond [`LARGE`] take part in.
const ROUNDS: usize = 5;
const LARGE_ROUNDS: usize = 3;
const LARGE: usize = 10_000;
const PER_FILE: usize = 100;
/// Calls that are bound for one measurement, each of another tool.
const CALLS: usize = 100;
/// Pages of the list that are asked for, beside the first.
const PAGES: usize = 5;
/// Marks the process that measures.
const MEASURE: &str = "--measure";

/// What one process measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Sample {
    /// Reading the specs alone, in seconds.
    read: f64,
    /// From settings to a gateway, in seconds.
    load: f64,
    /// Resident memory that the gateway added, and the most there was on the way, in KiB.
    resident: f64,
    peak: f64,
    /// Finding a tool, checking its arguments and binding its request, in seconds: the first call of a tool, and later.
    first_call: f64,
    later_call: f64,
    /// The program as a server: from its start to the first page of tools, in seconds; memory then, in KiB.
    start: f64,
    server_resident: f64,
    server_peak: f64,
    /// One later page of tools, in seconds.
    page: f64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mark, folder, ..] = arguments.as_slice()
        && mark == MEASURE
    {
        let sample = measure_gateway(Path::new(folder))?;
        return print(&serde_json::to_string(&sample)?);
    }
    let asked: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if asked.is_empty() { SIZES.to_vec() } else { asked };
    print(&report(&sizes)?)
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn report(sizes: &[usize]) -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    let mut cases = Vec::new();
    for typed in [false, true] {
        for size in sizes {
            let path = folder.path().join(format!("{}-{size}", if typed { "typed" } else { "plain" }));
            let bytes = generate(&path, *size, typed)?;
            cases.push((typed, *size, path, bytes, Vec::new()));
        }
    }
    for round in 0..ROUNDS {
        for (_, size, path, _, samples) in &mut cases {
            if *size <= LARGE || round < LARGE_ROUNDS {
                samples.push(measure(path)?);
            }
        }
    }
    let mut text = String::new();
    for typed in [false, true] {
        let rows: Vec<_> = cases.iter().filter(|case| case.0 == typed).collect();
        let medians: Vec<_> =
            rows.iter().map(|(_, size, _, bytes, samples)| (*size, *bytes, median(samples))).collect();
        writeln!(
            text,
            "\n{} bodies, medians of {ROUNDS} runs ({LARGE_ROUNDS} beyond {LARGE}):\n",
            if typed { "typed" } else { "untyped" }
        )?;
        table(&medians, &mut text)?;
    }
    Ok(text)
}

/// A table, each value with its ratio to the row of 1,000 per operation, where there is one.
fn table(rows: &[(usize, usize, Sample)], text: &mut String) -> Result<(), Failure> {
    writeln!(
        text,
        "| operations | specs, MB | read, us/op | load, ms | load, us/op | memory, MB | memory, KiB/op | peak, MB \
         | first call, us | later call, us | server start, ms | server, MB | server peak, MB | page, ms |"
    )?;
    writeln!(text, "|{}", "--:|".repeat(14))?;
    let base = rows.iter().find(|(size, ..)| *size == 1_000);
    for (size, bytes, sample) in rows {
        let operations = *size as f64;
        let cell = |value: f64, of: &dyn Fn(f64, &Sample) -> f64| match base {
            Some((base, _, sample)) => format!("{value:.1} ({:.2}x)", value / of(*base as f64, sample)),
            None => format!("{value:.1}"),
        };
        let each = |of: &dyn Fn(f64, &Sample) -> f64| cell(of(operations, sample), of);
        let Sample { load, resident, peak, start, server_resident, server_peak, .. } = sample;
        writeln!(
            text,
            "| {size} | {:.1} | {} | {:.0} | {} | {:.0} | {} | {:.0} | {} | {} | {:.0} | {:.0} | {:.0} | {} |",
            *bytes as f64 / 1e6,
            each(&|operations, sample| sample.read * 1e6 / operations),
            load * 1e3,
            each(&|operations, sample| sample.load * 1e6 / operations),
            resident / 1024.0,
            each(&|operations, sample| sample.resident / operations),
            peak / 1024.0,
            each(&|_, sample| sample.first_call * 1e6),
            each(&|_, sample| sample.later_call * 1e6),
            start * 1e3,
            server_resident / 1024.0,
            server_peak / 1024.0,
            each(&|_, sample| sample.page * 1e3),
        )?;
    }
    Ok(())
}

fn median(samples: &[Sample]) -> Sample {
    let of = |field: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Sample {
        read: of(|sample| sample.read),
        load: of(|sample| sample.load),
        resident: of(|sample| sample.resident),
        peak: of(|sample| sample.peak),
        first_call: of(|sample| sample.first_call),
        later_call: of(|sample| sample.later_call),
        start: of(|sample| sample.start),
        server_resident: of(|sample| sample.server_resident),
        server_peak: of(|sample| sample.server_peak),
        page: of(|sample| sample.page),
    }
}

/// One sample: a process that loads, then one that serves.
fn measure(folder: &Path) -> Result<Sample, Failure> {
    let output = Command::new(std::env::current_exe()?).arg(MEASURE).arg(folder).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("measuring {} failed", folder.display()).into());
    }
    let mut sample: Sample = serde_json::from_slice(&output.stdout)?;
    measure_server(folder, &mut sample)?;
    Ok(sample)
}

/// In a process of its own: loads, and binds calls.
fn measure_gateway(folder: &Path) -> Result<Sample, Failure> {
    let options = Options {
        capabilities: vec![folder.to_owned()],
        backend: vec!["https://backend.invalid".to_owned()],
        ..Options::default()
    };
    let settings = options.settings()?;
    let before = memory("self")?.0;
    let started = Instant::now();
    let set_up = setup(&settings, Purpose::Inspect, Clock::System)?;
    let load = started.elapsed();
    let (resident, peak) = memory("self")?;

    let gateway = &set_up.gateway;
    let step = (gateway.catalog.len() / CALLS).max(1);
    let names: Vec<String> = gateway.tools().step_by(step).map(|tool| tool.name.clone()).collect();
    let arguments = json!({"id": "thing-1", "limit": 10, "filter": "name eq \"x\""});
    let call = |name: &str| -> Result<Duration, Failure> {
        let tool = gateway.tool(name).ok_or("the tool is gone")?;
        let operations = tool.plan.operations();
        let [operation] = operations.as_slice() else { return Err("not one operation".into()) };
        let arguments = if operation.request.method == http::Method::GET {
            arguments.clone()
        } else {
            json!({"id": "thing-1", "body": {"name": "x"}})
        };
        // Typed bodies are arguments of their own.
        let arguments = match tool.input.listed().get("properties").and_then(|properties| properties.get("name")) {
            Some(_) => json!({"id": "thing-1", "name": "x", "kind": "small"}),
            None => arguments,
        };
        let started = Instant::now();
        let tool = gateway.tool(name).ok_or("the tool is gone")?;
        tool.input.check(&arguments)?;
        let Value::Object(arguments) = arguments else { return Err("no arguments".into()) };
        let arguments: JsonObject = arguments;
        let endpoint = operation.service.endpoint.as_ref().map_err(ToString::to_string)?;
        black_box(operation.request.bind(&Scope::new(&arguments, &Value::Null), &endpoint.base)?);
        Ok(started.elapsed())
    };
    let calls = || -> Result<Duration, Failure> {
        let mut times = names.iter().map(|name| call(name)).collect::<Result<Vec<_>, _>>()?;
        times.sort_unstable();
        Ok(times.get(times.len() / 2).copied().unwrap_or_default())
    };
    let (first_call, later_call) = (calls()?, calls()?);

    let started = Instant::now();
    black_box(spec::load(&settings.specs, &mut SourceMap::default()));
    let read = started.elapsed();
    Ok(Sample {
        read: read.as_secs_f64(),
        load: load.as_secs_f64(),
        resident: resident - before,
        peak,
        first_call: first_call.as_secs_f64(),
        later_call: later_call.as_secs_f64(),
        ..Sample::default()
    })
}

/// The program as a client meets it, over standard input and output.
fn measure_server(folder: &Path, sample: &mut Sample) -> Result<(), Failure> {
    let started = Instant::now();
    let data = tempfile::tempdir()?;
    let mut child = Command::new(KEYGLASS)
        .args(["serve", "--backend", "https://backend.invalid", "--capabilities"])
        .arg(folder)
        .env("KEYGLASS_DATA_DIR", data.path())
        .env("BENCH_TOKEN", "token")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no input")?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut ask = |message: Value, answered: bool| -> Result<Value, Failure> {
        input.write_all(format!("{message}\n").as_bytes())?;
        input.flush()?;
        if !answered {
            return Ok(Value::Null);
        }
        let mut line = String::new();
        output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    let client = json!({"name": "bench", "version": "1"});
    let parameters = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    ask(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}), true)?;
    ask(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), false)?;
    let mut page = ask(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}), true)?;
    sample.start = started.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for id in 0..PAGES {
        let cursor = page.pointer("/result/nextCursor").cloned();
        let parameters = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let started = Instant::now();
        page = ask(json!({"jsonrpc": "2.0", "id": id + 3, "method": "tools/list", "params": parameters}), true)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    sample.page = times.get(PAGES / 2).copied().unwrap_or_default().as_secs_f64();
    (sample.server_resident, sample.server_peak) = memory(&child.id().to_string())?;
    drop(input);
    child.wait()?;
    Ok(())
}

/// Resident memory of a process, now and at most, in KiB; 0 where the platform does not tell.
fn memory(process: &str) -> Result<(f64, f64), Failure> {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { return Ok((0.0, 0.0)) };
    let of = |name: &str| -> Result<f64, Failure> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}

/// Writes specs with so many operations; returns their bytes.
fn generate(folder: &Path, operations: usize, typed: bool) -> Result<usize, Failure> {
    fs::create_dir_all(folder.join("schemas"))?;
    let mut bytes = 0;
    for file in 0..operations.div_ceil(PER_FILE) {
        let numbers = file * PER_FILE..((file + 1) * PER_FILE).min(operations);
        let spec = spec_text(file, numbers.clone(), typed)?;
        bytes += spec.len();
        fs::write(folder.join(format!("tag-{file}.yaml")), spec)?;
        if typed {
            let bodies: JsonObject = numbers.map(|number| (format!("Body{number}"), body_schema(number))).collect();
            let schemas = json!({ "$defs": bodies }).to_string();
            bytes += schemas.len();
            fs::write(folder.join(format!("schemas/tag-{file}.json")), schemas)?;
        }
    }
    Ok(bytes)
}

fn spec_text(file: usize, numbers: std::ops::Range<usize>, typed: bool) -> Result<String, Failure> {
    let mut text = format!(
        "naftiko: 1.0.0-alpha2\ninfo:\n  label: Tag {file}\n  description: The operations of one tag.\nbinds:\n- \
         namespace: env\n  keys:\n    BENCH_TOKEN: BENCH_TOKEN\ncapability:\n  consumes:\n  - type: http\n    namespace: \
         tag-{file}\n    baseUri: https://backend.invalid\n    authentication:\n      type: bearer\n      token: \
         '{{{{env.BENCH_TOKEN}}}}'\n    resources:\n"
    );
    for number in numbers.clone() {
        let (method, name) = (method(number), operation_name(number));
        write!(
            text,
            "    - name: v1-things-{number}\n      path: /v1/things-{number}/{{id}}\n      operations:\n      - name: \
             {name}\n        method: {method}\n        description: Works on the things of number {number}.\n        \
             outputRawFormat: json\n        outputParameters:\n        - name: result\n          type: object\n          \
             value: $.\n        inputParameters:\n        - name: id\n          in: path\n          type: string\n          \
             description: The identifier of the thing.\n          required: true\n"
        )?;
        if method == "GET" {
            text.push_str(
                "        - name: limit\n          in: query\n          type: integer\n          description: How many \
                 things there are on a page.\n          required: false\n        - name: filter\n          in: query\n          \
                 type: string\n          description: Which things to list, as an expression.\n          required: false\n",
            );
        } else {
            text.push_str("        - name: body\n          in: body\n          required: true\n");
            match typed {
                true => writeln!(text, "          schema: schemas/tag-{file}.json#/$defs/Body{number}")?,
                false => text.push_str("          type: object\n          description: The thing (JSON).\n"),
            }
        }
    }
    writeln!(text, "  exposes:\n  - type: rest\n    namespace: tag-{file}-rest\n    port: 8080\n    resources:")?;
    for number in numbers.clone() {
        let (method, name) = (method(number), operation_name(number));
        write!(
            text,
            "    - path: /v1/things-{number}/{{id}}\n      name: v1-things-{number}\n      operations:\n      - method: \
             {method}\n        name: {name}\n        call: tag-{file}.{name}\n        with:\n          id: rest.id\n        \
             outputParameters:\n        - type: object\n          mapping: $.\n"
        )?;
    }
    writeln!(text, "  - type: mcp\n    namespace: tag-{file}-mcp\n    port: 9090\n    tools:")?;
    for number in numbers {
        let (method, name) = (method(number), operation_name(number));
        let fed: &[&str] = if method == "GET" { &["id", "limit", "filter"] } else { &["id", "body"] };
        write!(
            text,
            "    - name: acme-{name}\n      description: Works on the things of number {number}.\n      hints:\n        \
             readOnly: {}\n        destructive: false\n      call: tag-{file}.{name}\n      with:\n",
            method == "GET"
        )?;
        for argument in fed {
            writeln!(text, "        {argument}: tools.{argument}")?;
        }
        text.push_str("      outputParameters:\n      - type: object\n        mapping: $.\n");
    }
    Ok(text)
}

fn method(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "GET" } else { "POST" }
}

fn operation_name(number: usize) -> String {
    format!("{}Things{number}", if number.is_multiple_of(2) { "list" } else { "create" })
}

/// A body as APIs have them: a dozen members, a list, a nested object, a map, an enumeration.
fn body_schema(number: usize) -> Value {
    let text = |about: &str| json!({"type": "string", "description": about, "maxLength": 200});
    json!({"type": "object", "required": ["name"], "properties": {
        "name": text("The name of the thing."),
        "description": text("What the thing is for."),
        "kind": {"type": "string", "enum": ["small", "medium", "large", "huge"], "description": "How large it is."},
        "count": {"type": "integer", "minimum": 0, "maximum": 1_000_000, "description": "How many there are."},
        "ratio": {"type": "number", "description": "How much of it."},
        "enabled": {"type": ["boolean", "null"], "description": "Whether it works."},
        "created_at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}, "description": "Words to find it by."},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Anything else."},
        "owner": {"type": "object", "required": ["id"], "properties": {
            "id": {"type": "string"}, "email": {"type": "string", "format": "email"}, "number": {"const": number}}},
        "parts": {"type": "array", "items": {"type": "object", "properties": {
            "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"},
            "quantity": {"type": "integer"},
            "price": {"oneOf": [{"type": "number"}, {"type": "string"}]}}}},
    }})
}
