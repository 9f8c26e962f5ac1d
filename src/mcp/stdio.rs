//! MCP over standard input and output: one client, one JSON-RPC message a line.
//!
//! Standard output belongs to the protocol alone; what has to be said otherwise goes to the log.

#[cfg(unix)]
use std::os::fd::AsFd;
use std::{io, sync::Arc};

use rmcp::{
    service::{ServerInitializeError, serve_server_with_ct},
    transport::{TransportAdapterIdentity, stdio_pipes},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{
    Door, McpServer,
    drain::{Draining, Ending, InPlace, Write},
    lines::Lines,
};
use crate::metrics::{self, Transport as Counted};

/// Serves the client at the other end of standard input and output, until it closes the input or `shutdown` is
/// cancelled. Calls in flight are answered first, and tasks carried to their end, for up to 10 s.
///
/// Where standard input is neither a pipe nor a socket (a terminal, a file), a thread of the runtime stays blocked in a
/// read after `shutdown`; a caller that wants to leave then has to shut the runtime down in the background.
///
/// # Errors
///
/// When the service itself breaks down. A client that leaves, at whatever point, is no error.
pub async fn serve(server: McpServer, shutdown: CancellationToken) -> io::Result<()> {
    let max_line_bytes = server.capacity.limits.max_line_bytes;
    #[cfg(unix)]
    if let (Some(reader), Some(writer)) = (socket(&io::stdin()), socket(&io::stdout())) {
        return serve_transport(server, Lines::new(reader, writer, max_line_bytes), shutdown).await;
    }
    let (reader, writer) = stdio_pipes();
    serve_transport(server, Lines::new(reader, writer, max_line_bytes), shutdown).await
}

/// The stream behind a descriptor, if it is a Unix socket. Hosts that run on Node start their servers with sockets
/// rather than pipes, for which the library would hand each read and write to a thread.
#[cfg(unix)]
fn socket(descriptor: &impl AsFd) -> Option<tokio::net::UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(descriptor.as_fd().try_clone_to_owned().ok()?);
    // Fails for everything that is no Unix socket.
    stream.local_addr().ok()?;
    stream.set_nonblocking(true).ok()?;
    tokio::net::UnixStream::from_std(stream).ok()
}

async fn serve_transport(
    server: McpServer,
    transport: Lines<impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let leaving = shutdown.child_token();
    let server = server.scoped(leaving.clone(), Door::Own);
    let (abort, departure) = (server.abort.clone(), server.departure.clone());
    let ending = Ending {
        stop_reading: shutdown,
        leaving: leaving.clone(),
        abort: abort.clone(),
        in_flight: departure.in_flight.clone(),
    };
    let writer = transport.writer();
    let write: Write = Arc::new(move |line| {
        let writer = writer.clone();
        Box::pin(async move { writer.write(line).await })
    });
    let transport = Draining::new(transport, ending).with_answers_in_place(InPlace { server: server.clone(), write });
    let _counted = metrics::session(Counted::Stdio);
    // The transport itself ends on `shutdown`. This token would cut calls short, so it is never cancelled.
    let cut = CancellationToken::new();
    match serve_server_with_ct::<_, _, _, TransportAdapterIdentity>(server, transport, cut).await {
        Ok(running) => {
            let serving = async {
                let ended = running.waiting().await;
                leaving.cancel(); // the transport did it, unless the service broke down
                ended
            };
            let (ended, deadline) = tokio::join!(serving, departure.deadline());
            departure.over(deadline, &abort).await;
            ended.map(drop).map_err(io::Error::other)
        }
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(ServerInitializeError::TransportError { error, .. }) => {
            tracing::debug!(%error, "the client left during the handshake");
            Ok(())
        }
        // The library's text would repeat what the client sent.
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the client broke the handshake off")),
    }
}
