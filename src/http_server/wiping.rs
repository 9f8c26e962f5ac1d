//! A stream whose reader finds nothing of what came before.
//!
//! The HTTP library reads into a buffer that lasts as long as the connection, and hands out pieces of it without clearing
//! them: the body of one request would lie there until enough others have come. Overwriting what is free of the buffer
//! before each read ends that, wherever the library begins at the front of its buffer again.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The size of buffers that this goes together with, in bytes: the library begins at the front of such a buffer with every
/// request, or takes a new one, while larger ones go on behind the request before. It is the least that the library takes.
/// The head of a request has to fit into it, as with many servers.
pub(super) const BUFFER_BYTES: usize = 8 * 1024;

/// A stream that overwrites what is free of a buffer before it reads into it.
#[derive(Debug)]
pub(super) struct Wiping<S>(S);

impl<S> Wiping<S> {
    /// Of this stream.
    pub(super) fn new(stream: S) -> Self {
        Self(stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wiping<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.initialize_unfilled();
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wiping<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
