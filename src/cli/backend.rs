//! `keyglass backend`: the embedded backend alone, over HTTP, for Runloop's own clients.

use std::{net::SocketAddr, process::ExitCode};

use clap::Args;

use super::{
    serve::{bind, serve_backend},
    shutdown_signal,
};
use crate::{clock::Clock, config::Options, setup};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address to listen on; every request needs a key of the backend, wherever it comes from
    #[arg(long, value_name = "ADDR", env = "KEYGLASS_BACKEND_LISTEN", hide_env_values = true)]
    listen: SocketAddr,
    /// Folder of the embedded backend [default: the platform's data folder]
    #[arg(long, value_name = "DIR", env = "KEYGLASS_DATA_DIR", hide_env_values = true)]
    data_dir: Option<std::path::PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { listen, data_dir } = arguments;
    let settings = Options { data_dir, ..Options::default() }.settings()?;
    let embedded = setup::open(&settings, Clock::System)?;
    if !listen.ip().is_loopback() {
        tracing::warn!("listening beyond this machine without TLS: keys and secrets travel in clear text");
    }
    tracing::info!(root_key = %embedded.root_key_path().display(), "the embedded backend is open");
    let listener = bind(listen).await?;
    serve_backend(embedded, listener, shutdown_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}
