//! `keyglass serve`: the tools over MCP, on stdio or HTTP.

use std::{
    io::{ErrorKind, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    EXIT_DIAGNOSTICS, Usage,
    console::{self, Beside},
    desk::Desk,
    shutdown_signal,
};
use crate::{
    access::Gated,
    audit::{Entry, Event},
    backend::{
        Backend, Lookup, Remote,
        embedded::{self, Embedded},
    },
    clock::Clock,
    config::{self, AuditFlag, CredentialReference, LockFlag, Options, Settings},
    diagnostic::{self, has_errors},
    egress::Egress,
    http_server::{self, Tls},
    live::Live,
    lock,
    mcp::{self, McpServer, authorization::ResourceServer, http::HttpOptions},
    policy,
    random::random_hex,
    reload::{Reload, Snapshot},
    setup::{self, Open, Purpose, SetupError, setup},
};

/// The shortest key that seals what clients carry, in bytes.
const MIN_STATE_KEY_BYTES: usize = 32;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Serve over HTTP on this address instead of stdio: Streamable HTTP at /mcp, HTTP+SSE at /sse, health at /healthz
    /// [env: KEYGLASS_HTTP]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    http: Option<SocketAddr>,
    /// Bearer token that HTTP clients must send, by reference: `env:NAME` or `file:PATH`; needed beyond loopback
    /// [env: KEYGLASS_TOKEN]
    #[arg(long, value_name = "REFERENCE")]
    token: Option<String>,
    /// Host name that HTTP clients may use besides the address itself; may be repeated
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Browser origin that may connect, as `https://app.example.com`; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Serve the embedded backend on this address too, for Runloop's own clients [env: KEYGLASS_BACKEND_LISTEN]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    backend_listen: Option<SocketAddr>,
    /// Speak TLS on that address, with this certificate (PEM), its chain after it
    #[arg(long, value_name = "FILE", requires = "backend_tls_key")]
    backend_tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "backend_tls_cert")]
    backend_tls_key: Option<PathBuf>,
    /// Keep no sessions over HTTP, so that any of several replicas serves any request; HTTP+SSE is off
    #[arg(long)]
    stateless: bool,
    /// Key that replicas share, of at least 32 bytes, by reference: `env:NAME` or `file:PATH` [env: KEYGLASS_STATE_KEY]
    #[arg(long, value_name = "REFERENCE")]
    state_key: Option<String>,
    /// Keep the tools as they are when specs or schemas change
    #[arg(long)]
    no_reload: bool,
    /// The page on which a person confirms calls and reveals secrets: on this loopback address from the start, `auto` for a
    /// port that the system picks once a call waits for them, or `off` [default: auto] [env: KEYGLASS_CONSOLE]
    #[arg(long, value_name = "ADDR | auto | off")]
    console: Option<Beside>,
    #[command(flatten)]
    lock: LockFlag,
    #[command(flatten)]
    audit: AuditFlag,
    #[command(flatten)]
    options: Options,
}

/// An address to listen on, where `localhost` stands for 127.0.0.1.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let literal = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let expected = "expected an IP address and a port, such as 127.0.0.1:7480";
    literal.as_deref().unwrap_or(text).parse().map_err(|_| expected.to_owned())
}

/// An address from a variable.
pub(super) fn address_variable(name: &str) -> Result<Option<SocketAddr>, Usage> {
    let parse = |text: String| address(&text).map_err(|problem| Usage(format!("{name}: {problem}")));
    config::variable(name).map(parse).transpose()
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        http,
        token,
        allow_host,
        allow_origin,
        backend_listen,
        backend_tls_cert,
        backend_tls_key,
        stateless,
        state_key,
        no_reload,
        lock: lock_flag,
        audit,
        console: beside,
        options,
    } = arguments;
    let beside = beside.map_or_else(Beside::of_environment, Ok)?;
    let http = http.map_or_else(|| address_variable("KEYGLASS_HTTP"), |address| Ok(Some(address)))?;
    let backend_listen =
        backend_listen.map_or_else(|| address_variable("KEYGLASS_BACKEND_LISTEN"), |address| Ok(Some(address)))?;
    if backend_listen.is_none() && backend_tls_cert.is_some() {
        return Err(Usage(
            "`--backend-tls-cert` is for the backend's port; give `--backend-listen ADDR` too".to_owned(),
        )
        .into());
    }
    let backend_tls = backend_tls_cert.zip(backend_tls_key);
    let backend_tls = backend_tls.map(|(certificate, key)| config::tls(&certificate, &key)).transpose()?;
    if http.is_none() && stateless {
        return Err(Usage("`--stateless` is for HTTP; give `--http ADDR` too".to_owned()).into());
    }
    if http.is_none() && (token.is_some() || !allow_host.is_empty() || !allow_origin.is_empty()) {
        let problem = "`--token`, `--allow-host` and `--allow-origin` are for HTTP; give `--http ADDR` too";
        return Err(Usage(problem.to_owned()).into());
    }
    // Over stdio the variable says nothing: a client may share its environment with another keyglass.
    let token = token.or_else(|| config::variable("KEYGLASS_TOKEN").filter(|_| http.is_some()));
    let token = token.map(|text| text.parse::<CredentialReference>()).transpose();
    let token = token.map_err(|problem| Usage(format!("--token: {problem}")))?;
    let token = token.map(|reference| reference.read()).transpose()?;
    let mut settings = options.or_environment()?.settings()?;
    audit.over(&mut settings)?;
    lock_flag.over(&mut settings);
    let stateless = stateless || settings.stateless;
    let state_key = state_key_of(state_key, &settings, stateless && http.is_some())?;
    let http = match http {
        Some(address) => {
            let options = HttpOptions {
                stateless,
                open_metrics: settings.open_metrics,
                ..http_options(token, allow_host, allow_origin, &settings)?
            };
            options.check(address).map_err(|problem| Usage(problem.to_string()))?;
            Some((address, options))
        }
        None => None,
    };
    let before = Snapshot::of(&settings);
    let live = Arc::new(Live::new(Clock::System));
    let mut set_up = setup(&settings, Purpose::Call, Clock::System)?;
    set_up.gateway.live = Some(Arc::clone(&live));
    diagnostic::log(&set_up.diagnostics, &set_up.sources);
    let missing: Vec<&str> = setup::missing_variables(&set_up.diagnostics).into_iter().collect();
    if !missing.is_empty() {
        tracing::warn!("variables without a value: {}; what needs them says so when it is called", missing.join(", "));
    }
    if set_up.gateway.catalog.is_empty() && has_errors(&set_up.diagnostics) {
        tracing::error!("no tool could be loaded; the errors above say why");
        return Ok(ExitCode::from(EXIT_DIAGNOSTICS));
    }
    if let Some(Err(refused)) = settings.lock.file().map(|path| lock::verify(path, &set_up.gateway)) {
        tracing::error!("{refused}");
        return Ok(ExitCode::from(EXIT_DIAGNOSTICS));
    }
    log_counts(mcp::counts(&set_up.gateway));
    for route in &set_up.routes {
        tracing::info!("{route}");
    }
    if let Some(embedded) = &set_up.embedded {
        tracing::info!(root_key = %embedded.root_key_path().display(), "the embedded backend is open");
    }
    let audit = setup::open_audit(&settings, Clock::System)?;
    set_up.gateway.audit = audit.clone();
    // Whatever ends the server: what was recorded is written.
    let _closing = audit.closing();
    audit.note(
        Entry::new(Event::Start, audit.now_ms())
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("process", std::process::id())
            .with("over", if http.is_some() { "http" } else { "stdio" }),
    );
    let shutdown = shutdown_signal().context("cannot listen for signals")?;
    let backend = match backend_listen {
        Some(address) => {
            let embedded = match &set_up.embedded {
                Some(embedded) => embedded.clone(),
                None => setup::open(&settings, Clock::System)?,
            };
            set_up.embedded = Some(embedded.clone());
            Some(tokio::spawn(serve_backend(embedded, bind(address)?, backend_tls, shutdown.clone())))
        }
        None => None,
    };
    let desk = match (beside, set_up.gateway.policy.vault()) {
        (Beside::Never, _) | (_, None) => None,
        (Beside::At(_) | Beside::WhenNeeded, Some(vault)) => {
            let (settings, live, audit) = (settings.clone(), Arc::clone(&live), audit.clone());
            let ending = shutdown.clone();
            let make = move |store, served| {
                console::console((&settings, store), served, (Arc::clone(&live), audit.clone()), ending.clone())
            };
            let desk = Arc::new(Desk::new(Arc::clone(vault), Box::new(make)));
            set_up.gateway.policy.set_desk(Arc::clone(&desk) as Arc<dyn policy::Desk>);
            Some(desk)
        }
    };
    let open = Open {
        embedded: set_up.embedded.clone(),
        remote: set_up.gateway.backends.remote.clone(),
        vault: set_up.gateway.policy.vault().cloned(),
        desk: desk.clone().map(|desk| desk as Arc<dyn policy::Desk>),
        live: Some(Arc::clone(&live)),
        audit: audit.clone(),
    };
    let limits = settings.mcp_limits;
    let reload = Reload::new(settings, Clock::System, &set_up, before, open).filter(|_| !no_reload);
    let gated = set_up.gateway.gated();
    let server = McpServer::with_state_key(Arc::new(set_up.gateway), state_key.as_ref());
    let server = server.context("no randomness available on this machine")?.with_limits(limits);
    if let Some(desk) = &desk {
        desk.serve(server.clone());
        if let Beside::At(address) = beside {
            let console = desk.console().await.context("the console cannot be opened; the line above says why")?;
            console::start(&console, address).await?;
            console.needed().await?;
        }
    }
    // As large as all specs together, and needed no more.
    drop((set_up.sources, set_up.diagnostics));
    if let Some(reload) = reload {
        let (replaced, told) = (server.clone(), server.clone());
        let replace = move |gateway| replaced.replace(Arc::new(gateway));
        let updated = move |uris: &[String]| told.updated(uris);
        tokio::spawn(reload.run(replace, updated, shutdown.clone()));
    }
    match http {
        Some((address, options)) => {
            let listener = bind(address)?;
            let address = listener.local_addr()?;
            if stateless {
                tracing::info!("listening on http://{address}/mcp (Streamable HTTP, without sessions)");
            } else {
                tracing::info!(
                    "listening on http://{address}/mcp (Streamable HTTP) and http://{address}/sse (HTTP+SSE)"
                );
            }
            mcp::http::serve(server, listener, options, shutdown.clone()).await?;
        }
        None => {
            if gated != Gated::Nothing {
                tracing::info!("over stdio nothing is asked of the caller, although a spec asks for a credential");
            }
            if std::io::stdin().is_terminal() {
                tracing::info!("waiting for an MCP client on standard input; for HTTP give --http 127.0.0.1:7480");
            }
            mcp::stdio::serve(server, shutdown.clone()).await?;
        }
    }
    shutdown.cancel();
    if let Some(backend) = backend {
        backend.await.context("the backend's listener broke down")??;
    }
    audit.note(Entry::new(Event::Stop, audit.now_ms()).with("process", std::process::id()));
    Ok(ExitCode::SUCCESS)
}

/// Says what clients will find in the lists.
fn log_counts(counts: mcp::Counts) {
    let mcp::Counts { tools, resources, specs, schemas, templates, prompts, guides } = counts;
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(
        version,
        tools,
        resources,
        specs_among_resources = specs,
        schemas_among_resources = schemas,
        resource_templates = templates,
        prompts,
        guides_among_prompts = guides,
        "keyglass"
    );
}

/// The key that seals what clients carry: the one that was given or, for a server without sessions, one of its own.
fn state_key_of(given: Option<String>, settings: &Settings, stateless: bool) -> anyhow::Result<Option<SecretString>> {
    let given = given.or_else(|| config::variable("KEYGLASS_STATE_KEY"));
    let given = given.map(|text| text.parse::<CredentialReference>()).transpose();
    let given = given.map_err(|problem| Usage(format!("--state-key: {problem}")))?;
    let Some(reference) = given.or_else(|| settings.state_key.clone()) else {
        if !stateless {
            return Ok(None);
        }
        tracing::warn!(
            "no `--state-key` was given, so this process has one of its own; several replicas need one that they share"
        );
        let key = random_hex::<MIN_STATE_KEY_BYTES>().context("no randomness available on this machine")?;
        return Ok(Some(SecretString::from(key)));
    };
    let key = reference.read()?;
    if key.expose_secret().len() < MIN_STATE_KEY_BYTES {
        let problem = format!(
            "the state key of `{reference}` is shorter than {MIN_STATE_KEY_BYTES} bytes; make one by `openssl rand -hex 32`"
        );
        return Err(Usage(problem).into());
    }
    Ok(Some(key))
}

/// Who may talk to the HTTP server.
fn http_options(
    token: Option<SecretString>,
    allowed_hosts: Vec<String>,
    allowed_origins: Vec<String>,
    Settings { callers, egress, .. }: &Settings,
) -> anyhow::Result<HttpOptions> {
    let oauth = match callers.oauth.clone() {
        Some(settings) => {
            // Apart from that of the backends, which there may be none of.
            let egress = Egress::new(Arc::clone(egress), []);
            let remote = Remote::new(egress, &Lookup::system()).map_err(SetupError::Client)?;
            Some(ResourceServer::new(settings, Backend::Remote(remote)))
        }
        None => None,
    };
    let (tokens, backend_key) = (callers.held()?, callers.backend_key.clone());
    let own =
        HttpOptions { token, tokens, oauth, backend_key, allowed_hosts, allowed_origins, ..HttpOptions::default() };
    Ok(own)
}

pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    http_server::listen(address).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "stop the program that does, another keyglass perhaps, or choose another port",
            ErrorKind::AddrNotAvailable => {
                "this machine does not have this address; give one of its own, 127.0.0.1 for this machine alone or \
                 0.0.0.0 for all of its addresses"
            }
            ErrorKind::PermissionDenied => "this user may not; choose a port of 1024 or above",
            _ => "choose another address or port",
        };
        anyhow::Error::new(error).context(format!("cannot listen on {address}; {advice}"))
    })
}

pub(super) async fn serve_backend(
    embedded: Embedded,
    listener: TcpListener,
    tls: Option<Tls>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!("listening beyond this machine without TLS: keys and secrets travel in clear text");
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("the embedded backend listens on {scheme}://{address}");
    embedded::serve(&embedded, listener, tls, shutdown.cancelled_owned()).await?;
    Ok(())
}
