//! `keyglass backend`: the embedded backend alone, over HTTP, for Runloop's own clients.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    Usage,
    serve::{address, address_variable, bind, serve_backend},
    shutdown_signal,
};
use crate::{clock::Clock, config::Options, setup};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Address to listen on; every request needs a key of the backend, wherever it comes from
    /// [env: KEYGLASS_BACKEND_LISTEN]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Folder of the embedded backend [default: the platform's data folder] [env: KEYGLASS_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file (YAML), of which the data folder is read [env: KEYGLASS_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { listen, data_dir, config } = arguments;
    let listen = listen.map_or_else(|| address_variable("KEYGLASS_BACKEND_LISTEN"), |address| Ok(Some(address)))?;
    let listen = listen.ok_or_else(|| Usage("give an address: `--listen 127.0.0.1:8080`".to_owned()))?;
    let settings = Options { data_dir, config, ..Options::default() }.or_environment()?.settings()?;
    let embedded = setup::open(&settings, Clock::System)?;
    tracing::info!(root_key = %embedded.root_key_path().display(), "the embedded backend is open");
    let listener = bind(listen).await?;
    serve_backend(embedded, listener, shutdown_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}
