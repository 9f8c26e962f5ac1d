//! The backend built in: Runloop's API for keys and secrets on SQLite, in process or on a port.
//!
//! Knows nothing of tools, specs and MCP; its input is HTTP requests and a data folder. Source: the published documents
//! of the API keys API and the secrets API; what they leave open is decided where it is handled, with the reason.
//!
//! - `folder`, `start`, `store`: the data folder, what happens once, the connection's thread
//! - `crypto`, `ids`: digests and sealing, ids that sort by creation
//! - `auth`, `body`, `idempotency`, `error`: what all routes share
//! - `api_keys`, `restricted_keys`, `secrets`, `accounts`: a resource each, its handlers, views and SQL

mod accounts;
mod api_keys;
mod auth;
mod body;
mod crypto;
mod error;
mod folder;
mod idempotency;
mod ids;
mod restricted_keys;
mod secrets;
mod start;
mod store;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router, middleware,
    routing::{MethodRouter, get, post},
};
use http::Method;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::error::OpenError;
use self::{crypto::Crypto, error::ApiError, folder::Folder, idempotency::Replays, start::Start, store::Store};
use crate::{clock::Clock, http_server};

/// Base URI of the service that this backend stands in for.
pub const RUNLOOP_BASE_URI: &str = "https://api.runloop.ai";

/// How long open requests may take to end once [`serve`] was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Where a backend keeps its data, and whose time it uses.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder. Made where there is none. Several processes may share it.
    pub data_dir: PathBuf,
    /// The source of the time.
    pub clock: Clock,
    /// How long to wait for another program that holds the database.
    pub patience: Duration,
}

impl Options {
    /// This folder, the machine's clock, 5 s of patience.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), clock: Clock::System, patience: Duration::from_secs(5) }
    }
}

/// An open backend. Clones share everything.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    crypto: Arc<Crypto>,
    clock: Clock,
    replays: Replays,
    root_key: SecretString,
    root_key_path: PathBuf,
}

/// Opens the backend of a data folder; makes folder, master key, database and root key where they are missing.
///
/// Blocks on files and locks, so it belongs to the start of a program. Errors: each one a line that names the file and
/// says what to do.
pub fn open(options: &Options) -> Result<Embedded, OpenError> {
    let Options { data_dir, clock, patience } = options;
    let folder = Folder::prepare(data_dir)?;
    let crypto = Crypto::new(&folder.master_key()?);
    let database = folder.prepare_database()?;
    let mut connection = store::connect(&database, *patience)?;
    let start =
        Start { folder: &folder, database: &database, crypto: &crypto, now_ms: clock.now_ms(), patience: *patience };
    let root_key = start.run(&mut connection)?;
    let shared = Shared {
        store: Store::start(connection)?,
        crypto: Arc::new(crypto),
        clock: *clock,
        replays: Replays::default(),
        root_key,
        root_key_path: folder.root_key_path(),
    };
    Ok(Embedded { shared: Arc::new(shared) })
}

impl Embedded {
    /// All routes behind the auth layer. Everything it answers is JSON, unknown routes and wrong methods included.
    pub fn router(&self) -> Router {
        Operation::ALL
            .into_iter()
            .fold(Router::new(), |router, operation| router.route(operation.template(), operation.handler()))
            .fallback(async || ApiError::not_found("this backend has no such route"))
            .method_not_allowed_fallback(async || ApiError::method_not_allowed("this route has other methods only"))
            .layer(middleware::from_fn_with_state(self.clone(), auth::layer))
            .with_state(self.clone())
    }

    /// The key that may do everything, for the operator and for the tools of this process.
    pub fn root_key(&self) -> &SecretString {
        &self.shared.root_key
    }

    /// The file that holds the root key.
    pub fn root_key_path(&self) -> &Path {
        &self.shared.root_key_path
    }

    fn store(&self) -> &Store {
        &self.shared.store
    }

    fn crypto(&self) -> &Arc<Crypto> {
        &self.shared.crypto
    }

    fn clock(&self) -> Clock {
        self.shared.clock
    }

    fn replays(&self) -> &Replays {
        &self.shared.replays
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("root_key_path", &self.shared.root_key_path).finish_non_exhaustive()
    }
}

/// Whether this backend has a route for an operation of a spec: its method, and its path with `{name}` or `{{name}}` in
/// place of parameters, whatever they are called. A query behind the path does not matter.
pub fn serves(method: &Method, path_template: &str) -> bool {
    let path = path_template.split('?').next().unwrap_or_default();
    Operation::ALL.into_iter().any(|operation| operation.method() == *method && covers(operation.template(), path))
}

/// Serves a router on a port until `shutdown` is done: HTTP/1.1, and HTTP/2 for clients that begin with it (h2c with
/// prior knowledge, RFC 9113, section 3.3), as the vendor's newer clients do on `http://` addresses.
///
/// Then no new connection is taken, and open requests have 10 s to end. Errors: those of the listener.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let stopping = CancellationToken::new();
    let stopped = stopping.clone();
    let server = http_server::serve(listener, router, async move {
        shutdown.await;
        stopping.cancel();
    });
    tokio::select! {
        served = server => served,
        () = async { stopped.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!(seconds = GRACE.as_secs(), "requests still open after the shutdown's grace were dropped");
            Ok(())
        }
    }
}

/// The operations, and with them the route table: every use of a method or a path comes from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    CreateApiKey,
    CreateRestrictedKey,
    CreateSecret,
    ListSecrets,
    GetSecret,
    UpdateSecret,
    DeleteSecret,
    GetAccount,
}

impl Operation {
    const ALL: [Self; 8] = [
        Self::CreateApiKey,
        Self::CreateRestrictedKey,
        Self::CreateSecret,
        Self::ListSecrets,
        Self::GetSecret,
        Self::UpdateSecret,
        Self::DeleteSecret,
        Self::GetAccount,
    ];

    fn method(self) -> Method {
        match self {
            Self::ListSecrets | Self::GetSecret | Self::GetAccount => Method::GET,
            Self::CreateApiKey
            | Self::CreateRestrictedKey
            | Self::CreateSecret
            | Self::UpdateSecret
            | Self::DeleteSecret => Method::POST,
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::CreateApiKey => "/v1/apikeys",
            Self::CreateRestrictedKey => "/v1/restricted_keys",
            Self::CreateSecret | Self::ListSecrets => "/v1/secrets",
            // A secret may be called `id` or `delete`. No other branch lies beside `{name}`, so both can be reached.
            Self::GetSecret | Self::UpdateSecret => "/v1/secrets/{name}",
            Self::DeleteSecret => "/v1/secrets/{name}/delete",
            Self::GetAccount => "/v1/accounts/me",
        }
    }

    fn handler(self) -> MethodRouter<Embedded> {
        match self {
            Self::CreateApiKey => post(api_keys::create),
            Self::CreateRestrictedKey => post(restricted_keys::create),
            Self::CreateSecret => post(secrets::create),
            Self::ListSecrets => get(secrets::list),
            Self::GetSecret => get(secrets::get),
            Self::UpdateSecret => post(secrets::update),
            Self::DeleteSecret => post(secrets::delete),
            Self::GetAccount => get(accounts::me),
        }
    }
}

/// Whether every path of a spec's template is one of this route. A parameter never stands for a fixed segment, and a
/// fixed segment may stand where the route takes any.
fn covers(route: &str, template: &str) -> bool {
    let is_parameter = |segment: &str| segment.contains('{');
    let (mut route, mut template) = (route.split('/'), template.split('/'));
    loop {
        match (route.next(), template.next()) {
            (None, None) => return true,
            (Some(taken), Some(sent)) if is_parameter(taken) && !sent.is_empty() || taken == sent => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_served_where_method_and_every_segment_fit() {
        let cases = [
            ("POST", "/v1/apikeys", true),
            ("GET", "/v1/apikeys", false),
            ("POST", "/v1/restricted_keys", true),
            ("GET", "/v1/secrets", true),
            ("GET", "/v1/secrets?limit={limit}", true),
            ("GET", "/v1/secrets/", false),
            ("GET", "v1/secrets", false),
            ("GET", "/v1/secrets/{name}", true),
            ("GET", "/v1/secrets/{{name}}", true),
            ("GET", "/v1/secrets/{{ other }}", true),
            ("GET", "/v1/secrets/FIXED", true),
            ("GET", "/v1/{family}", false),
            ("POST", "/v1/secrets/{{name}}/delete", true),
            ("POST", "/v1/secrets/{name}/{action}", false),
            ("POST", "/v1/secrets/id/{id}/delete", false),
            ("DELETE", "/v1/secrets/{name}", false),
            ("GET", "/v1/accounts/me", true),
            ("GET", "/v1/devboxes", false),
            ("GET", "", false),
        ];
        for (method, template, expected) in cases {
            assert_eq!(serves(&method.parse().unwrap(), template), expected, "{method} {template}");
        }
    }
}
