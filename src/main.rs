//! The `keyglass` program: hands the command line to [`keyglass::cli`] and leaves with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyglass::cli::main()
}
