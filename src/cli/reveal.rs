//! `keyglass reveal`: the value of a handle, for a person, once.

use std::{
    fs,
    io::{ErrorKind, IsTerminal as _, Write as _, stdout},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Usage,
    approve::{BY_COMMAND, BY_TERMINAL, store},
    data::DataOptions,
    print,
    table::{plain, table},
    time,
};
use crate::{
    backend::embedded::private_options,
    clock::Clock,
    config::AuditFlag,
    console::{
        acts::{self, ActError},
        trail::{Act, told},
    },
    policy::store::{HandleError, HandleId, Store},
    setup::open_audit,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The handle, as `secret://…` or without that; without one all handles are listed
    handle: Option<String>,
    /// Write the value to this new file, for you alone to read
    #[arg(long, value_name = "FILE", requires = "handle")]
    output: Option<PathBuf>,
    /// Write the value to standard output although that is no terminal: whatever reads there, an agent's shell perhaps, gets
    /// the value in clear
    #[arg(long, requires = "handle", conflicts_with = "output")]
    to_pipe: bool,
    #[command(flatten)]
    audit: AuditFlag,
    #[command(flatten)]
    data: DataOptions,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { handle, output, to_pipe, audit, data } = arguments;
    let settings = data.audited(audit)?;
    let store = store(&settings)?;
    let Some(handle) = handle else {
        list(store.as_ref())?;
        return Ok(ExitCode::SUCCESS);
    };
    // What is no handle may be a secret in the wrong place, and is not repeated.
    let id: HandleId = handle.parse().map_err(|_| {
        Usage("this is no handle; expected one such as `secret://` and 22 letters and digits".to_owned())
    })?;
    let is_terminal = stdout().is_terminal();
    if output.is_none() && !is_terminal && !to_pipe {
        let problem = "standard output is no terminal, and what reads there may be a model; give `--output FILE`, or \
                       `--to-pipe` where you know what reads";
        return Err(Usage(problem.to_owned()).into());
    }
    let unknown = || Usage(format!("{} ({id})", HandleError::Unknown));
    let store = Arc::new(store.ok_or_else(unknown)?);
    let reveal = async || -> anyhow::Result<SecretString> {
        let audit = open_audit(&settings, Clock::System)?;
        let _closing = audit.closing();
        let by = if is_terminal { BY_TERMINAL } else { BY_COMMAND };
        let tell = |act: Act<'_>| told(&audit, act, by);
        acts::reveal(&store, &id, &tell).await.map_err(|error| match error {
            ActError::Refused(HandleError::Store(error)) => anyhow::Error::from(error),
            ActError::Refused(error) => Usage(format!("{error} ({id})")).into(),
            unwritten @ ActError::Unwritten(_) => unwritten.into(),
        })
    };
    match output {
        Some(path) => write(path, reveal).await?,
        None if is_terminal => {
            let value = reveal().await?;
            let shown = on_terminal(value.expose_secret());
            if shown.expose_secret() != value.expose_secret() {
                tracing::warn!("the value has characters that a terminal would obey; they are shown escaped");
            }
            print(&format!("{}\n", shown.expose_secret()))?;
        }
        None => print(reveal().await?.expose_secret())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A value of several lines keeps them.
fn on_terminal(value: &str) -> SecretString {
    let lines: Vec<String> = value.split('\n').map(plain).collect();
    SecretString::from(lines.join("\n"))
}

/// The file is there before the value is revealed, which happens once.
async fn write(path: PathBuf, reveal: impl AsyncFnOnce() -> anyhow::Result<SecretString>) -> anyhow::Result<()> {
    let shown = plain(&path.display().to_string());
    let mut file = private_options().create_new(true).open(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow::Error::from(Usage(format!("`{shown}` is there already; name another file")))
        }
        _ => anyhow::Error::from(error).context(format!("`{shown}` cannot be made")),
    })?;
    // The reason why there is no value matters more than an empty file that stays.
    let value = reveal().await.inspect_err(|_| drop(fs::remove_file(&path)))?;
    let written = file.write_all(value.expose_secret().as_bytes()).and_then(|()| file.sync_all());
    written
        .with_context(|| format!("`{shown}` cannot be written; the value counts as revealed, tools go on using it"))?;
    print(&format!("{shown}: the value\n"))
}

fn list(store: Option<&Store>) -> anyhow::Result<()> {
    let handles = store.map(Store::handles).transpose()?.unwrap_or_default();
    if handles.is_empty() {
        return print("There are no handles.\n");
    }
    let rows = handles.iter().map(|handle| {
        let origin = &handle.origin;
        [
            handle.id.to_string(),
            format!("{} {}", origin.tool, origin.place),
            origin.about.clone(),
            time::shown(handle.create_time_ms),
            time::shown(handle.expires_at_ms),
            handle.revealed_at_ms.map(time::shown).unwrap_or_default(),
        ]
    });
    print(&table(["HANDLE", "FROM", "ABOUT", "MADE", "EXPIRES", "REVEALED"], rows))
}
