//! `keyglass backend`: the embedded backend alone, over HTTP, for Runloop's own clients; and its database as a whole.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::{
    EXIT_DIAGNOSTICS, Usage, count,
    data::DataOptions,
    print,
    serve::{address, address_variable, bind, serve_backend},
    shutdown_signal,
};
use crate::{
    backend::embedded::maintenance::{self, Progress, Rekeyed},
    clock::Clock,
    config::{self, MasterKeyLocation, Settings},
    setup,
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    work: Option<Work>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Args)]
struct Serve {
    /// Address to listen on; every request needs a key of the backend, wherever it comes from
    /// [env: KEYGLASS_BACKEND_LISTEN]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Speak TLS with this certificate (PEM), its chain after it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    data: DataOptions,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Copy the database to a new file, while others use it; the copy holds no master key
    Backup {
        /// The file to write
        file: PathBuf,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Put a backup in the place of everything that the database holds, while others use it
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Make new keys and seal everything with them, while others use the database
    Rekey {
        /// Instead, put the master key at this reference in the place of the present one: `env:NAME`, `file:PATH` or
        /// `cmd:COMMAND`; give it as `--master-key` from then on
        #[arg(long, value_name = "REFERENCE")]
        new_master_key: Option<String>,
        /// End the handles of secrets that are in the data folder: a new master key opens none of them
        #[arg(long)]
        end_handles: bool,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Look at everything in the database; exit code 1 where something is wrong
    Verify {
        #[command(flatten)]
        data: DataOptions,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.work {
        None => serve(arguments.serve).await,
        Some(Work::Backup { file, data }) => backup(&file, data),
        Some(Work::Restore { file, data }) => restore(&file, data),
        Some(Work::Rekey { new_master_key: Some(reference), end_handles, data }) => {
            change_master_key(&reference, end_handles, data)
        }
        Some(Work::Rekey { new_master_key: None, end_handles, data }) => rekey(end_handles, data),
        Some(Work::Verify { data }) => verify(data),
    }
}

async fn serve(arguments: Serve) -> anyhow::Result<ExitCode> {
    let Serve { listen, tls_cert, tls_key, data } = arguments;
    let listen = listen.map_or_else(|| address_variable("KEYGLASS_BACKEND_LISTEN"), |address| Ok(Some(address)))?;
    let listen = listen.ok_or_else(|| Usage("give an address: `--listen 127.0.0.1:8080`".to_owned()))?;
    let tls = tls_cert.zip(tls_key).map(|(certificate, key)| config::tls(&certificate, &key)).transpose()?;
    let embedded = setup::open(&data.settings()?, Clock::System)?;
    tracing::info!(root_key = %embedded.root_key_path().display(), "the embedded backend is open");
    let listener = bind(listen)?;
    serve_backend(embedded, listener, tls, shutdown_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}

fn backup(file: &std::path::Path, data: DataOptions) -> anyhow::Result<ExitCode> {
    let settings = data.settings()?;
    maintenance::backup(&setup::embedded_options(&settings, Clock::System)?, file)?;
    let key = match &settings.master_key {
        Some(_) => "the master key",
        None => "`master.key` of the data folder",
    };
    print(&format!(
        "{}: the database as it is now; keep it apart from {key}, without which it is closed\n",
        file.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn restore(file: &std::path::Path, data: DataOptions) -> anyhow::Result<ExitCode> {
    let options = setup::embedded_options(&data.settings()?, Clock::System)?;
    let restored = maintenance::restore(&options, file)?;
    let kept = restored.replaced.map(|kept| format!("; what it held before is in `{}`", kept.display()));
    let kept = kept.unwrap_or_default();
    let needed = restored.master_key.map(|reference| {
        format!("; it needs the master key at `{reference}`: give it by `--master-key` from now on, `master.key` does not open it")
    });
    let needed = needed.unwrap_or_default();
    print(&format!("{}: holds what `{}` held{kept}{needed}\n", options.data_dir.display(), file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A handle may be the only way to a key that its service shows once.
fn insist_on_no_handles(settings: &Settings) -> anyhow::Result<()> {
    let count = match super::approve::store(settings)? {
        Some(store) => store.handles()?.len(),
        None => 0,
    };
    if count == 0 {
        return Ok(());
    }
    let handles = super::count(count, "handle");
    Err(Usage(format!(
        "nothing was changed: a new master key ends {handles} of secrets, of which some may be had nowhere else; `keyglass \
         reveal` lists them for a person who needs one, and `--end-handles` goes on without them"
    ))
    .into())
}

fn rekey(end_handles: bool, data: DataOptions) -> anyhow::Result<ExitCode> {
    let settings = data.settings()?;
    // Where it lies outside the data folder the master key stays, and with it all handles.
    if !end_handles && settings.master_key.is_none() {
        insist_on_no_handles(&settings)?;
    }
    let options = setup::embedded_options(&settings, Clock::System)?;
    let progress = |progress| {
        if let Progress::Sealed(rows) = progress {
            tracing::info!(rows, "sealed anew");
        }
    };
    let Rekeyed { secrets, keys, former_master_key } = maintenance::rekey(&options, progress)?;
    let (secrets, keys) = (count(secrets, "secret"), count(keys, "API key"));
    let kept = match former_master_key {
        Some(former) => format!(
            "there is a new master key in the data folder; the one before is kept as `{}` for older backups, delete it when \
             those are gone",
            former.display()
        ),
        None => "the master key is the same, since it lies outside the data folder; `--new-master-key` changes it"
            .to_owned(),
    };
    print(&format!("{secrets} and {keys} sealed with a new key; {kept}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn change_master_key(reference: &str, end_handles: bool, data: DataOptions) -> anyhow::Result<ExitCode> {
    let location = reference.parse::<MasterKeyLocation>();
    let location = location.map_err(|error| Usage(format!("`--new-master-key`: {error}")))?;
    let settings = data.settings()?;
    if !end_handles {
        insist_on_no_handles(&settings)?;
    }
    let options = setup::embedded_options(&settings, Clock::System)?;
    maintenance::change_master_key(&options, &location.clone().reference())?;
    print(&format!(
        "the database is sealed with the master key at `{location}`: give it by `--master-key` from now on, and start \
         running processes anew with it before the next `rekey`; backups made so far need the one before\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn verify(data: DataOptions) -> anyhow::Result<ExitCode> {
    let options = setup::embedded_options(&data.settings()?, Clock::System)?;
    let problems = maintenance::verify(&options)?;
    if problems.is_empty() {
        print("no problems\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let lines: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    print(&format!("{lines}{}; undo what is named, or restore a backup\n", count(problems.len(), "problem")))?;
    Ok(ExitCode::from(EXIT_DIAGNOSTICS))
}
