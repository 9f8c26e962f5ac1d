//! JSON-RPC messages as lines over a pair of byte streams, as MCP's stdio transport has them.
//!
//! Unlike the library's own, this one answers what it cannot read: a client would wait for its call until its time is
//! up. Knows nothing of tools and sessions.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, ErrorCode},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Mutex,
};

use super::{drain::LINGER, plain::Call};

/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 8 * 1024;

/// A transport over lines.
pub(super) struct Lines<R, W> {
    reader: R,
    writer: Writer<W>,
    /// The longest line that is read, in bytes; longer ones are skipped and refused.
    max_line_bytes: usize,
    /// What was read and is not taken yet. Another one after each line, unlike a buffered reader's: values lie in it, and
    /// what is freed is overwritten.
    chunk: Vec<u8>,
    /// The line so far: a read that is given up half-way goes on with it.
    line: Vec<u8>,
    /// Whether the rest of the present line is skipped, since it is too long.
    skipping: bool,
    ended: bool,
}

/// Writes lines. Clones write to the same stream, each line whole.
#[derive(Debug)]
pub(super) struct Writer<W>(Arc<Output<W>>);

#[derive(Debug)]
struct Output<W> {
    stream: Mutex<W>,
    /// Whether it was said that nobody reads what is written.
    is_lost: AtomicBool,
}

impl<W> Clone for Writer<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes a message. Dropping the future half-way leaves half a line.
    pub(super) async fn write(&self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        let written = async {
            let mut stream = self.0.stream.lock().await;
            stream.write_all(&line).await?;
            stream.flush().await
        };
        let written = written.await;
        if let Err(error) = &written
            && !self.0.is_lost.swap(true, Ordering::Relaxed)
        {
            tracing::info!(%error, "the client reads no more; answers to it are lost");
        }
        written
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Lines<R, W> {
    /// A transport that reads lines of at most so many bytes from one stream and writes to the other.
    pub(super) fn new(reader: R, writer: W, max_line_bytes: usize) -> Self {
        let writer = Writer(Arc::new(Output { stream: Mutex::new(writer), is_lost: AtomicBool::new(false) }));
        Self { reader, writer, max_line_bytes, chunk: Vec::new(), line: Vec::new(), skipping: false, ended: false }
    }

    /// Writes to the client past the transport.
    pub(super) fn writer(&self) -> Writer<W> {
        self.writer.clone()
    }

    /// The next line, or what is left at the end of input; `Err` for one that is too long.
    async fn next_line(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        loop {
            if self.ended {
                return None;
            }
            if self.chunk.is_empty() {
                self.chunk.reserve_exact(CHUNK_BYTES);
                // Nothing is lost if this is dropped while it waits: what was read is in `chunk` and `line`.
                self.ended = self.reader.read_buf(&mut self.chunk).await.unwrap_or_default() == 0;
            }
            let end = self.chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(self.chunk.len(), |end| end + 1);
            if !self.skipping {
                self.line.extend_from_slice(self.chunk.get(..end.unwrap_or(taken)).unwrap_or_default());
                self.skipping = self.line.len() > self.max_line_bytes;
            }
            self.chunk = self.chunk.split_off(taken);
            if end.is_some() || self.ended {
                let line = std::mem::take(&mut self.line);
                return Some(if std::mem::take(&mut self.skipping) { Err(TooLong) } else { Ok(line) });
            }
            if self.skipping {
                self.line = Vec::new();
            }
        }
    }
}

struct TooLong;

impl<R, W> Transport<RoleServer> for Lines<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let writer = self.writer();
        async move { writer.write(serde_json::to_vec(&message)?).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let refusal = match self.next_line().await? {
                Ok(line) if line.trim_ascii().is_empty() => continue,
                Ok(line) => match message(&line) {
                    Ok(message) => return Some(message),
                    Err(error) => unreadable(&line, &error),
                },
                Err(TooLong) => {
                    let message = format!("the message is longer than {} bytes; send less", self.max_line_bytes);
                    refusal(Value::Null, ErrorCode::INVALID_REQUEST, &message)
                }
            };
            tracing::debug!("refused a line that is no message");
            // On its own task, since this future may be dropped half-way through a line.
            let writer = self.writer();
            tokio::spawn(async move { writer.write(refusal.to_string().into_bytes()).await });
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        // Somebody may be writing to a client that reads no more, and would do so for ever.
        let closing = async { self.writer.0.stream.lock().await.shutdown().await };
        tokio::time::timeout(LINGER, closing).await.unwrap_or(Ok(()))
    }
}

/// The message of a line.
fn message(line: &[u8]) -> serde_json::Result<ClientJsonRpcMessage> {
    match Call::read(line) {
        Some(call) => Ok(ClientJsonRpcMessage::Request(call.into_request())),
        None => serde_json::from_slice(line),
    }
}

/// The answer to a line that is no message (JSON-RPC 2.0, section 5.1), with its id where it has one. Nothing of the line
/// is repeated.
fn unreadable(line: &[u8], error: &serde_json::Error) -> Value {
    if !error.is_data() {
        return refusal(Value::Null, ErrorCode::PARSE_ERROR, "the line is not JSON that can be read");
    }
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    let id = value.get("id").filter(|id| id.is_string() || id.is_i64() || id.is_u64()).cloned().unwrap_or_default();
    refusal(
        id,
        ErrorCode::INVALID_REQUEST,
        "not a JSON-RPC 2.0 message; `params` must be an object, and batches are not supported",
    )
}

fn refusal(id: Value, code: ErrorCode, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn lines_are_read_in_pieces_and_what_is_no_message_is_answered() {
        let (mut client, server) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(server);
        let mut lines = Lines::new(reader, writer, 1024 * 1024);
        let sending = tokio::spawn(async move {
            let texts = [
                "{nope\n",
                "\n  \n",
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":{"limit":1e400}}}"#,
                "\n",
                "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\",\"params\":[]}\n",
                "\"\\ud800\"\n",
                "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}", // without a line's end
            ];
            for text in texts {
                client.write_all(text.as_bytes()).await.unwrap();
            }
            client.shutdown().await.unwrap();
            let mut answers = String::new();
            client.read_to_string(&mut answers).await.unwrap();
            answers
        });
        let message = lines.receive().await.expect("the last line is a message");
        assert!(
            matches!(message, ClientJsonRpcMessage::Request(request) if request.id == rmcp::model::RequestId::Number(9))
        );
        assert!(lines.receive().await.is_none());
        tokio::task::yield_now().await;
        drop(lines);
        let answers = sending.await.unwrap();
        let mut found: Vec<(Value, i64)> = answers
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|answer| (answer["id"].clone(), answer["error"]["code"].as_i64().unwrap()))
            .collect();
        found.sort_by_key(|(id, code)| (id.to_string(), *code));
        assert_eq!(found, [(json!(8), -32600), (Value::Null, -32700), (Value::Null, -32700), (Value::Null, -32700)]);
    }
}
