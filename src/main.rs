//! The `keyglass` program: hands the command line to [`keyglass::cli`] and leaves with its exit code.

use std::{alloc::System, process::ExitCode};

use zeroizing_alloc::ZeroAlloc;

/// Overwrites whatever is freed. Values pass through memory that nobody else clears: buffers of connections, JSON, what a
/// growing text leaves behind.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    keyglass::cli::main()
}
