//! `keyglass console`: the person's page over a data folder, in a process of its own; and the one beside a server.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    str::FromStr,
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use super::{EXIT_DIAGNOSTICS, Usage, desk, lock::verified, log_errors, print, serve, shutdown_signal};
use crate::{
    audit::Audit,
    backend::embedded::private_options,
    clock::Clock,
    config::{self, Options, Settings},
    console::{
        Console, ConsoleError, Link, Parts, Started,
        trail::{AuditTrail, Trail},
    },
    gateway::Gateway,
    live::Live,
    policy::store::Store,
    setup::{Open, SetupError, open_audit, setup_again},
};

/// A port that the system picks.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Says where a server has its console.
const VARIABLE: &str = "KEYGLASS_CONSOLE";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Listen on this loopback address [default: a port that the system picks]
    #[arg(long, value_name = "ADDR", value_parser = serve::address)]
    listen: Option<SocketAddr>,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    options: Options,
}

/// Where a server has its console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Beside {
    /// On a port that the system picks, once a call waits for a person.
    #[default]
    WhenNeeded,
    /// Here, from the start.
    At(SocketAddr),
    /// Nowhere.
    Never,
}

impl Beside {
    /// As the variable says, or nothing.
    pub(super) fn of_environment() -> Result<Self, Usage> {
        let parse = |text: String| text.parse().map_err(|problem| Usage(format!("{VARIABLE}: {problem}")));
        config::variable(VARIABLE).map_or_else(|| Ok(Self::default()), parse)
    }
}

impl FromStr for Beside {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::WhenNeeded),
            "off" => Ok(Self::Never),
            text => serve::address(text).map(Self::At).map_err(|_| {
                "expected `auto`, `off`, or a loopback address and a port such as 127.0.0.1:7481".to_owned()
            }),
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { listen, open, options } = arguments;
    let mut settings = options.clone().or_environment()?.settings()?;
    settings.lock.or_variable();
    if let Err(refused) = verified(&settings)? {
        tracing::error!("{refused}");
        return Ok(ExitCode::from(EXIT_DIAGNOSTICS));
    }
    let audit = open_audit(&settings, Clock::System)?;
    let _closing = audit.closing();
    let live = Arc::new(Live::new(Clock::System));
    let beside = Open { audit: audit.clone(), live: Some(Arc::clone(&live)), ..Open::default() };
    let set_up = setup_again(&settings, Clock::System, &beside)?;
    log_errors(&set_up.diagnostics, &set_up.sources, &options);
    let shutdown = shutdown_signal().context("cannot listen for signals")?;
    let gateway = Arc::new(set_up.gateway);
    let vault = gateway.policy.vault().ok_or(SetupError::NoDataDir)?;
    let store = desk::opened(vault).await?;
    let console = console((&settings, store), Box::new(move || gateway.clone()), (live, audit), shutdown.clone());
    let started = start(&console, listen.unwrap_or(ANY_PORT)).await?;
    let link = started.link()?;
    print(&format!("{}\n", link.url().expose_secret()))?;
    tracing::info!("the link opens the page once, within 10 minutes; Ctrl-C ends the console");
    let way = if open { opened(&settings, &link) } else { None };
    shutdown.cancelled().await;
    if let Some(way) = way {
        // It leads nowhere any more.
        fs::remove_file(way).ok();
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a console where the command line says.
pub(super) async fn start(console: &Console, address: SocketAddr) -> anyhow::Result<Started> {
    console.start(address).await.map_err(|error| match error {
        ConsoleError::Exposed(_) => Usage(error.to_string()).into(),
        error => error.into(),
    })
}

/// The console of a server, over its store. Nobody reaches it before it is started or needed.
pub(super) fn console(
    (settings, store): (&Settings, Arc<Store>),
    served: Box<dyn Fn() -> Arc<Gateway> + Send + Sync>,
    (live, audit): (Arc<Live>, Audit),
    shutdown: CancellationToken,
) -> Console {
    let parts = Parts {
        store,
        served,
        live,
        trail: trail(settings, audit),
        listen: ANY_PORT,
        announce: Box::new(announce),
        clock: Clock::System,
    };
    Console::new(parts, shutdown)
}

/// Where the page reads the audit log, where there is one.
fn trail(settings: &Settings, audit: Audit) -> Option<Arc<dyn Trail>> {
    if !audit.is_on() {
        return None;
    }
    let folder = settings.audit.folder(settings.data_dir.as_deref()).ok()?;
    Some(Arc::new(AuditTrail::new(folder, audit)))
}

/// Shows a link on standard error, whatever the log is set to.
fn announce(link: &Link) {
    let url = link.url();
    let text =
        format!("keyglass: the console, by a link that is good once and for 10 minutes: {}\n", url.expose_secret());
    // Where nobody can read it, `keyglass approve` is left.
    io::stderr().write_all(text.as_bytes()).ok();
}

/// Opens the link in the browser. It goes by a file that this user alone can read: other users see the arguments of a
/// process. That file, if there is one.
fn opened(settings: &Settings, link: &Link) -> Option<PathBuf> {
    let path = settings.data_dir.as_deref()?.join("console.html");
    let opened = write_way(&path, link).and_then(|()| open_in_browser(&path));
    if let Err(error) = opened {
        tracing::warn!(%error, "no browser could be opened; follow the link yourself");
    }
    Some(path)
}

fn write_way(path: &Path, link: &Link) -> io::Result<()> {
    let url = link.url();
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\"><meta \
         http-equiv=\"refresh\" content=\"0; url={url}\"><title>keyglass console</title><p><a href=\"{url}\">keyglass \
         console</a></p>\n",
        url = url.expose_secret()
    );
    fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    private_options().create_new(true).open(path)?.write_all(page.as_bytes())
}

fn open_in_browser(path: &Path) -> io::Result<()> {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        Command::new("explorer")
    } else {
        Command::new("xdg-open")
    };
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_console_is_read() {
        assert_eq!("auto".parse(), Ok(Beside::WhenNeeded));
        assert_eq!("off".parse(), Ok(Beside::Never));
        assert_eq!("localhost:7481".parse(), Ok(Beside::At("127.0.0.1:7481".parse().unwrap())));
        assert!("on".parse::<Beside>().unwrap_err().contains("`auto`, `off`"));
    }
}
