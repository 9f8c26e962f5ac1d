//! The person's side: a local page on which they enter and reveal secrets, confirm or refuse calls that wait, try the tools
//! and watch.
//!
//! - `guard`: which requests are looked at, and what every answer carries
//! - `session`: one-time links and the sessions they open
//! - `api`: what the page asks; `tools`: the tools among that
//! - [`acts`]: what a person does that has to be written down first
//! - [`trail`]: where the audit log is read
//! - `assets/`: the page itself, plain HTML, CSS and JavaScript, which puts what comes from outside into texts alone
//!
//! Serves loopback addresses and nothing else. What the page shows and decides on lies in the sealed store, so a console in
//! one process answers for calls of another one. Must not know MCP.

pub mod acts;
mod api;
mod guard;
mod session;
mod tools;
pub mod trail;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

pub use self::session::{LINK_LIFE, MOST_SESSIONS, SESSION_IDLE};
use self::{
    api::Problem,
    guard::{Guard, Kind, protected},
    session::Sessions,
    trail::Trail,
};
use crate::{clock::Clock, gateway::Gateway, http_server, live::Live, policy::store::Store};

const PAGE: &str = include_str!("assets/console.html");
const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

/// How long requests that are under way get at the end.
const GRACE: Duration = Duration::from_secs(2);

/// What the console shows.
pub struct Parts {
    /// Handles and questions.
    pub store: Arc<Store>,
    /// The tools as they are now.
    pub served: Box<dyn Fn() -> Arc<Gateway> + Send + Sync>,
    /// The calls of this process.
    pub live: Arc<Live>,
    /// The audit log, where there is one.
    pub trail: Option<Arc<dyn Trail>>,
    /// Where it listens once it is needed; port 0 for one that the system picks.
    pub listen: SocketAddr,
    /// Shows a link to the person when it is needed, where no model reads.
    pub announce: Box<dyn Fn(&Link) + Send + Sync>,
    /// The time.
    pub clock: Clock,
}

/// A console, started or not. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Console(Arc<Shared>);

struct Shared {
    parts: Parts,
    sessions: Sessions,
    started: tokio::sync::Mutex<Option<SocketAddr>>,
    shutdown: CancellationToken,
}

/// A console that listens.
#[derive(Clone)]
pub struct Started {
    console: Console,
    /// Where.
    pub address: SocketAddr,
}

/// A way to the page. Its `Debug` shows no token.
#[derive(Clone)]
pub struct Link {
    address: SocketAddr,
    token: Option<SecretString>,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Other machines could reach it.
    #[error(
        "the console is for this machine alone, and `{0}` is reached from others; give a loopback address such as \
         `127.0.0.1:7481`, and come from elsewhere through a tunnel to the same port"
    )]
    Exposed(SocketAddr),
    /// Nothing can be listened on there.
    #[error("the console cannot listen on `{0}`; choose another port ({1})")]
    Listen(SocketAddr, #[source] io::Error),
    /// No links can be made.
    #[error("no randomness available on this machine, which the console's links are made of")]
    NoRandomness,
}

impl Console {
    /// A console that nobody can reach yet. It ends when `shutdown` is cancelled.
    pub fn new(parts: Parts, shutdown: CancellationToken) -> Self {
        let sessions = Sessions::new(parts.clock);
        Self(Arc::new(Shared { parts, sessions, started: tokio::sync::Mutex::default(), shutdown }))
    }

    /// Listens. Where it does already, it goes on there.
    pub async fn start(&self, listen: SocketAddr) -> Result<Started, ConsoleError> {
        if !listen.ip().to_canonical().is_loopback() {
            return Err(ConsoleError::Exposed(listen));
        }
        let mut started = self.0.started.lock().await;
        let address = match *started {
            Some(address) => address,
            None => {
                let failed = |error| ConsoleError::Listen(listen, error);
                let listener = http_server::listen(listen).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                let page = Arc::new(Page { address, guard: Guard::new(address), shared: Arc::clone(&self.0) });
                let router = Router::new().fallback(move |request| {
                    let page = Arc::clone(&page);
                    async move { page.answer(request).await }
                });
                tokio::spawn(serve(listener, router, self.0.shutdown.clone()));
                *started = Some(address);
                address
            }
        };
        Ok(Started { console: self.clone(), address })
    }

    /// Brings the person here because something waits for them: listens, the first time, and shows them a link, unless they
    /// have the page open or were shown one that is good yet. Cheap when called again.
    pub async fn needed(&self) -> Result<Link, ConsoleError> {
        let Started { address, .. } = self.start(self.0.parts.listen).await?;
        if self.0.sessions.is_watched() {
            return Ok(Link { address, token: None });
        }
        self.0.announced(address)
    }
}

impl Shared {
    /// Shows the person a link, unless they were shown one that is good yet.
    fn announced(&self, address: SocketAddr) -> Result<Link, ConsoleError> {
        let (token, is_new) = self.sessions.shown_link().map_err(|_| ConsoleError::NoRandomness)?;
        let link = Link { address, token: Some(token) };
        if is_new {
            (self.parts.announce)(&link);
        }
        Ok(link)
    }
}

async fn serve(listener: tokio::net::TcpListener, router: Router, shutdown: CancellationToken) {
    let options = http_server::Options {
        max_connections: 64,
        body_time: Some(Duration::from_secs(20)),
        ..http_server::Options::default()
    };
    let serving = http_server::serve(listener, router, options, shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => if let Err(error) = served {
            tracing::error!(%error, "the console broke down");
        },
        () = overdue => {}
    }
}

impl Started {
    /// A new link, good once and for [`LINK_LIFE`].
    pub fn link(&self) -> Result<Link, ConsoleError> {
        let token = self.console.0.sessions.new_link().map_err(|_| ConsoleError::NoRandomness)?;
        Ok(Link { address: self.address, token: Some(token) })
    }
}

impl Link {
    /// Where the page is, without what opens it: for places that a model may read.
    pub fn page(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The whole link, which opens the page once. For the person's eyes alone. Where they have the page open already there
    /// may be no token in it.
    pub fn url(&self) -> SecretString {
        let token = self.token.as_ref().map(|token| format!("#{}", token.expose_secret())).unwrap_or_default();
        SecretString::from(format!("{}{token}", self.page()))
    }
}

/// The page at one address.
struct Page {
    address: SocketAddr,
    guard: Guard,
    shared: Arc<Shared>,
}

impl Page {
    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        protected(self.respond(&parts, body).await.unwrap_or_else(Problem::into_response))
    }

    async fn respond(&self, request: &http::request::Parts, body: Body) -> Result<Response, Problem> {
        let path = request.uri.path();
        let kind = match path {
            "/" => Kind::Page,
            path if path.starts_with("/api/") => Kind::Api,
            _ => Kind::Asset,
        };
        // A form of another page makes no request of another method, so `POST` alone is what has to be looked at as such.
        let refused = self.guard.check(request, if request.method == Method::POST { Kind::Api } else { kind });
        refused.map_err(|(status, message)| Problem::new(status, message))?;
        match (&request.method, kind, path) {
            // Whoever asks does not get it: it is shown where the person reads.
            (&Method::POST, Kind::Api, "/api/link") => match self.shared.announced(self.address) {
                Ok(_) => Ok(api::done()),
                Err(error) => Err(Problem::fault(&error)),
            },
            (&Method::POST, Kind::Api, path) => api::answer(&self.shared, path, &request.headers, body).await,
            (_, Kind::Api, _) => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the page asks by `POST`")),
            (&Method::GET | &Method::HEAD, _, "/") => Ok(file(PAGE, "text/html; charset=utf-8")),
            (&Method::GET | &Method::HEAD, _, "/console.css") => Ok(file(STYLE, "text/css; charset=utf-8")),
            (&Method::GET | &Method::HEAD, _, "/console.js") => Ok(file(SCRIPT, "text/javascript; charset=utf-8")),
            (&Method::GET | &Method::HEAD, _, "/icon.svg") => Ok(file(ICON, "image/svg+xml")),
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "nothing is here; the page is at `/`")),
        }
    }
}

fn file(text: &'static str, media_type: &'static str) -> Response {
    use axum::response::IntoResponse as _;

    ([(header::CONTENT_TYPE, media_type)], text).into_response()
}

impl fmt::Debug for Console {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Console").finish_non_exhaustive()
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Started").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}
