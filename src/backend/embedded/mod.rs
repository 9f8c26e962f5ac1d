//! The backend built in: Runloop's API for keys and secrets, and the key APIs of RunTools and Runtype, on SQLite, in
//! process or on a port.
//!
//! Knows nothing of tools, specs and MCP; its input is HTTP requests and a data folder. Source: the published documents
//! of these APIs; what they leave open is decided where it is handled, with the reason.
//!
//! - `folder`, `start`, `upgrade`: the data folder, what happens once, what SQL alone cannot upgrade
//! - `schema`, `store`, `turn`: the database's schema, the threads that own its connections, which process is next
//! - `crypto`, `keyring`, `ids`: digests and sealing, which key serves what, ids that sort by creation
//! - `sealing`: the same master key for what others keep beside the database
//! - [`maintenance`]: backup, restore, new keys, a look at everything
//! - `route`, `surface`, `unserved`: what a route is; the APIs side by side, each with its keys and its form of errors;
//!   what is said where there is no route
//! - `limits`, `rates`: what is taken, and how often
//! - `auth`, `uses`, `body`, `once`, `query`, `idempotency`, `answer`, `error`: what all routes share
//! - `keys`, `known_keys`: the rows of API keys, whoever they are for, and those that were read already
//! - `grants`, `times`: what the APIs with `rt_` keys share: scopes as texts, and times as texts
//! - `runtools`, `runtype`: the key APIs of these two, under paths of their own
//! - `management`: what Runloop's API lacks
//! - `api_keys`, `restricted_keys`, `secrets`, `accounts`: a resource of Runloop's each, its handlers, views and SQL

mod accounts;
mod answer;
mod api_keys;
mod auth;
mod body;
mod crypto;
mod error;
mod folder;
mod grants;
mod health;
mod idempotency;
mod ids;
mod keyring;
mod keys;
mod known_keys;
mod limits;
pub mod maintenance;
mod management;
mod once;
mod query;
mod rates;
mod reach;
mod restricted_keys;
mod route;
mod runtools;
mod runtype;
mod schema;
mod sealing;
mod secrets;
mod start;
mod store;
mod surface;
mod times;
mod turn;
mod unserved;
mod upgrade;
mod uses;

use std::{
    fmt, io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, middleware};
use http::{Method, Uri};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use self::folder::private_options;
pub use self::{
    error::OpenError,
    folder::MasterKeyReference,
    limits::{Limits, Rate},
    sealing::{Sealing, SealingError},
};
use self::{
    folder::{Folder, MasterKeySource},
    idempotency::Replays,
    keyring::Keyring,
    rates::Rates,
    route::Route,
    start::Start,
    store::{Connections, Store},
    turn::Turn,
    uses::Uses,
};
use crate::{
    clock::{Clock, SteadyClock},
    http_server::{self, Tls},
};

/// A service that this backend stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The service's base URI, as specs write it.
    pub base_uri: &'static str,
    /// What stands before the service's paths in this backend.
    pub path_prefix: &'static str,
}

/// The services that this backend stands in for.
pub const STAND_INS: &[StandIn] = &[
    RUNLOOP,
    StandIn { base_uri: "https://api.runtools.ai", path_prefix: "/runtools" },
    StandIn { base_uri: "https://api.runtype.com", path_prefix: "/runtype" },
    // What no service has stands under a name that no machine can have (RFC 6761, section 6.4).
    StandIn { base_uri: "https://keyglass.invalid", path_prefix: "/keyglass" },
];
/// Runloop, whose paths are this backend's own.
pub const RUNLOOP: StandIn = StandIn { base_uri: "https://api.runloop.ai", path_prefix: "" };

/// How long open requests may take to end once [`serve`] was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How many threads read what is more than a row.
const READERS: usize = 2;
/// The most connections that single rows are read with: one for each processor.
const MOST_AT_HAND: usize = 8;

/// Where a backend keeps its data, and whose time it uses.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder. Made where there is none. Several processes may share it.
    pub data_dir: PathBuf,
    /// The source of the time.
    pub clock: Clock,
    /// How long to wait for another program that holds the database.
    pub patience: Duration,
    /// Where the master key lies, if not in the data folder.
    pub master_key: Option<MasterKeyReference>,
    /// What it takes.
    pub limits: Limits,
    /// Whether a restricted key (`rk_`) may make keys that may do more than itself, full ones included, where
    /// `RESOURCE_TYPE_ACCOUNT` at write is among its scopes. As at Runloop it may, where nothing is said.
    pub restricted_keys_make_wider_keys: bool,
}

impl Options {
    /// This folder with the master key in it, the machine's clock, the default limits, 15 s of patience: several processes that write all
    /// the time make each other wait, but clients wait 30 s.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let patience = Duration::from_secs(15);
        let data_dir = data_dir.into();
        let limits = Limits::default();
        Self {
            data_dir,
            clock: Clock::System,
            patience,
            master_key: None,
            limits,
            restricted_keys_make_wider_keys: true,
        }
    }
}

/// An open backend. Clones share everything.
#[derive(Clone)]
pub struct Embedded {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    keyring: Arc<Keyring>,
    clock: SteadyClock,
    replays: Replays,
    uses: Uses,
    limits: Limits,
    restricted_keys_make_wider_keys: bool,
    rates: Rates,
    root_key: SecretString,
    root_key_path: PathBuf,
}

/// Opens the backend of a data folder; makes folder, master key, database and root key where they are missing.
///
/// Blocks on files and locks, so it belongs to the start of a program. Errors: each one a line that names the file and
/// says what to do.
pub fn open(options: &Options) -> Result<Embedded, OpenError> {
    let Options { data_dir, clock, patience, master_key, limits, restricted_keys_make_wider_keys } = options;
    let folder = Folder::prepare(data_dir)?;
    let source = match master_key {
        Some(reference) => MasterKeySource::Reference(reference.clone()),
        None => MasterKeySource::Folder(folder.clone()),
    };
    // Before there is a database: who sees one must be able to see the key as well.
    let master = source.present()?;
    let database = folder.prepare_database()?;
    let connect = || schema::connect(&database, *patience);
    let writer = connect()?;
    let start = Start {
        folder: &folder,
        database: &database,
        source: &source,
        master: Some(&master),
        now_ms: clock.now_ms(),
        patience: *patience,
    };
    let (keyring, root_key) = start.run(&writer)?;
    let readers = std::iter::repeat_with(connect).take(READERS).collect::<Result<_, _>>()?;
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let impatient = || schema::connect_impatient(&database, *patience);
    let at_hand = std::iter::repeat_with(impatient).take(processors.min(MOST_AT_HAND)).collect::<Result<_, _>>()?;
    let connections = Connections { writer, readers, at_hand };
    let shared = Shared {
        store: Store::start(connections, Turn::open(&folder.turn_path())?, *patience)?,
        keyring: Arc::new(keyring),
        clock: SteadyClock::following(*clock),
        replays: Replays::default(),
        uses: Uses::default(),
        limits: *limits,
        restricted_keys_make_wider_keys: *restricted_keys_make_wider_keys,
        rates: Rates::new(limits),
        root_key,
        root_key_path: folder.root_key_path(),
    };
    Ok(Embedded { shared: Arc::new(shared) })
}

impl Embedded {
    /// All routes behind the auth layer, and the two of `health` before it. Everything it answers is JSON, unknown routes and
    /// wrong methods included.
    pub fn router(&self) -> Router {
        routes()
            .fold(Router::new(), |router, route| router.route(route.template, (route.handler)()))
            .fallback(async |method: Method, uri: Uri| unserved::path(&method, &uri, routes()))
            .method_not_allowed_fallback(async |method: Method, uri: Uri| {
                unserved::method(&method, uri.path(), routes())
            })
            .layer(middleware::from_fn_with_state(self.clone(), surface::layer))
            .merge(health::routes())
            .with_state(self.clone())
    }

    /// The same for callers in this process, whose requests nobody counts.
    pub fn router_in_process(&self) -> Router {
        self.router().layer(Extension(auth::InProcess))
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

    fn keyring(&self) -> &Arc<Keyring> {
        &self.shared.keyring
    }

    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn restricted_keys_make_wider_keys(&self) -> bool {
        self.shared.restricted_keys_make_wider_keys
    }

    fn rates(&self) -> &Rates {
        &self.shared.rates
    }

    fn clock(&self) -> &SteadyClock {
        &self.shared.clock
    }

    fn uses(&self) -> &Uses {
        &self.shared.uses
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
    routes().any(|route| route.method == *method && route.covers(path))
}

/// All operations of all APIs: method, and path with `{name}` in place of parameters.
pub fn operations() -> impl Iterator<Item = (&'static Method, &'static str)> {
    routes().map(|route| (&route.method, route.template))
}

/// Serves a backend on a port until `shutdown` is done, within its limits: HTTP/1.1, and HTTP/2 for clients that begin with it (h2c with
/// prior knowledge, RFC 9113, section 3.3), as the vendor's newer clients do on `http://` addresses. With a certificate all of
/// it is over TLS, and nothing without.
///
/// Then no new connection is taken, and open requests have 10 s to end. Errors: those of the listener.
pub async fn serve(
    embedded: &Embedded,
    listener: TcpListener,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Limits { max_connections, idle_time, body_time, answer_time, .. } = *embedded.limits();
    let body_time = Some(body_time);
    let defaults = http_server::Options::default();
    let options = http_server::Options { max_connections, idle_time, body_time, answer_time, tls, ..defaults };
    let router = embedded.router();
    let stopping = CancellationToken::new();
    let stopped = stopping.clone();
    let server = http_server::serve(listener, router, options, async move {
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

/// All operations of all APIs.
fn routes() -> impl Iterator<Item = &'static Route> + Clone {
    let runloop = [api_keys::ROUTES, restricted_keys::ROUTES, secrets::ROUTES, accounts::ROUTES];
    runloop.into_iter().chain([runtools::ROUTES, runtype::ROUTES, management::ROUTES]).flatten()
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
            ("POST", "/v1/secrets/id/{id}/delete", true),
            ("POST", "/v1/secrets/id/{id}/update", true),
            ("GET", "/v1/secrets/id/{id}", true),
            ("GET", "/keyglass/v1/keys/{key}", true),
            ("DELETE", "/v1/secrets/{name}", false),
            ("GET", "/v1/accounts/me", true),
            ("GET", "/v1/devboxes", false),
            ("PATCH", "/runtools/v1/api-keys/{{id}}", true),
            ("PUT", "/runtools/v1/api-keys/{{id}}", false),
            ("POST", "/runtools/v1/api-keys/verify", false),
            ("PUT", "/runtype/v1/api-keys/{id}", true),
            ("POST", "/runtype/v1/api-keys/{id}/regenerate", true),
            ("GET", "/runtype/v1/api-keys/{id}/reveal", false),
            ("GET", "/v1/api-keys", false),
            ("GET", "", false),
        ];
        for (method, template, expected) in cases {
            assert_eq!(serves(&method.parse().unwrap(), template), expected, "{method} {template}");
        }
    }
}
