//! What a client of the measurement sends, and one over standard input and output.

use std::{process::Stdio, time::Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::measure::{Failure, SPAN, Sample, processor_time};

pub(crate) fn handshake() -> Value {
    let client = json!({"name": "bench", "version": "1"});
    let parameters = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters})
}

pub(crate) fn initialized() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
}

pub(crate) fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    })
}

pub(crate) fn meta_with_level() -> Value {
    let mut meta = meta();
    if let Some(meta) = meta.as_object_mut() {
        meta.insert("io.modelcontextprotocol/logLevel".to_owned(), json!("emergency"));
    }
    meta
}

/// A call of a tool, in the era 2026-07-28.
pub(crate) fn modern(tool: &str, arguments: &Value) -> Value {
    let parameters = json!({"name": tool, "arguments": arguments, "_meta": meta()});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters})
}

pub(crate) fn listing() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta()}})
}

pub(crate) fn posted(tool: &str, call: &Value) -> Vec<u8> {
    message_posted("tools/call", Some(tool), call)
}

pub(crate) fn message_posted(method: &str, name: Option<&str>, message: &Value) -> Vec<u8> {
    let (body, name) = (message.to_string(), name.map(|name| format!("mcp-name: {name}\r\n")).unwrap_or_default());
    format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: application/json, \
         text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{name}content-length: \
         {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A client over standard input and output, past the handshake of the older era; messages may be of either.
pub(crate) struct StdioClient {
    pub(crate) child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl StdioClient {
    pub(crate) async fn start(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut client = Self { child, input, output };
        client.ask(&handshake()).await?;
        client.input.write_all(format!("{}\n", initialized()).as_bytes()).await?;
        Ok(client)
    }

    pub(crate) async fn ask(&mut self, message: &Value) -> Result<String, Failure> {
        self.input.write_all(format!("{message}\n").as_bytes()).await?;
        self.output.next_line().await?.ok_or_else(|| "the program ended".into())
    }

    /// Keeps so many requests under way.
    pub(crate) async fn load(&mut self, at_a_time: usize, message: &Value, sample: &mut Sample) -> Result<(), Failure> {
        let mut message = message.clone();
        let mut lines = Vec::new();
        for id in 0..at_a_time {
            *message.get_mut("id").ok_or("no id")? = json!(id);
            lines.push(format!("{message}\n").into_bytes());
        }
        let (mut times, mut sent) = (Vec::new(), vec![Instant::now(); at_a_time]);
        let (before, begun) = (processor_time(&self.child), Instant::now());
        for (line, sent) in lines.iter().zip(&mut sent) {
            *sent = Instant::now();
            self.input.write_all(line).await?;
        }
        let mut under_way = at_a_time;
        while under_way > 0 {
            let answer = self.output.next_line().await?.ok_or("the program ended")?;
            let id = answer.split_once(r#""id":"#).and_then(|(_, rest)| rest.split([',', '}']).next());
            let id: usize = id.ok_or("an answer without an id")?.parse()?;
            let (Some(line), Some(sent)) = (lines.get(id), sent.get_mut(id)) else { return Err("another id".into()) };
            times.push(sent.elapsed());
            if begun.elapsed() < SPAN {
                *sent = Instant::now();
                self.input.write_all(line).await?;
            } else {
                under_way -= 1;
            }
        }
        let elapsed = begun.elapsed();
        sample.add(&mut times, elapsed, processor_time(&self.child) - before);
        Ok(())
    }
}
