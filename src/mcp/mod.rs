//! The Model Context Protocol on top of a [`Gateway`]: what a client may ask, whatever the transport.
//!
//! [`McpServer`] answers both protocol eras, 2025-11-25 with its handshake and 2026-07-28 without; which one a
//! connection speaks is settled by the library. The transports are in [`stdio`] and [`http`], with the older HTTP+SSE
//! transport inside the latter. Nothing outside this folder names the MCP library.

mod answers;
mod audience;
pub mod authorization;
mod body;
mod calls;
#[allow(deprecated, reason = "clients of the older era go on using what the newer one gives up")]
mod client;
mod complete;
mod convert;
mod cors;
mod credentials;
mod direct;
mod drain;
mod front;
pub mod guard;
mod handler;
mod hosts;
pub mod http;
mod in_flight;
pub mod limits;
mod lines;
mod lists;
mod methods;
mod monitor;
mod pages;
mod paging;
mod plain;
#[allow(deprecated, reason = "clients of the older era go on using what the newer one gives up")]
mod question;
mod refusal;
mod sessions;
mod sites;
mod sse;
mod state;
pub mod stdio;
mod tasks;
mod unanswered;

use std::sync::{Arc, OnceLock, PoisonError, RwLock, atomic::AtomicBool};

use rmcp::{
    ErrorData, RoleServer,
    model::{Implementation, MetaObject, ProtocolVersion},
    service::{Peer, RequestContext},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::{
    audience::{Audience, Subscriptions},
    client::SessionLevel,
    complete::Recent,
    limits::{Capacity, Limits},
    lists::Kinds,
    pages::Entries,
    state::Sealer,
    tasks::{Departure, Tasks},
};
pub use self::{convert::ERROR_META_KEY, lists::Counts};
use crate::{
    access::{Access, Doors},
    audit::{Origin, Transport},
    call,
    caller::Caller,
    gateway::Gateway,
    metrics,
    nearest::nearest,
    telemetry::trace::Parent,
};

/// What a client has to do before anything else, in one era or the other.
const HOW_TO_BEGIN: &str = "send `initialize` first (with `protocolVersion`, `capabilities` and `clientInfo`), or with \
                            each request the `_meta` of protocol 2026-07-28";

/// Marks arguments that stand in headers as well (MCP 2026-07-28, streamable HTTP), which the library checks.
const IN_HEADER: &str = "x-mcp-header";

/// The `_meta` key under which a request says its version of the protocol (MCP 2026-07-28).
const PROTOCOL_VERSION_META_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// The `_meta` key that names the server in results (MCP 2026-07-28).
const SERVER_INFO_META_KEY: &str = "io.modelcontextprotocol/serverInfo";

/// Answers MCP requests from a [`Gateway`]. Clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct McpServer {
    shared: Arc<Shared>,
    /// Gives up the calls in flight, once their grace period is over.
    abort: CancellationToken,
    /// Ends subscriptions, at the start of that period.
    leaving: CancellationToken,
    departure: Departure,
    /// Whether sessions of the older era last longer than one request.
    keeps_sessions: bool,
    /// Whether the session has joined the audience.
    joined: Arc<AtomicBool>,
    /// What the session was told there is.
    announced: Arc<OnceLock<Kinds>>,
    /// The resources that the session asked to be told of.
    subscribed: Subscriptions,
    door: Door,
    transport: Transport,
    /// The least of log messages that the session wants.
    level: Arc<SessionLevel>,
    /// Reaches the client of the session, once it has opened one or called a tool.
    peer: Arc<OnceLock<Peer<RoleServer>>>,
    capacity: Arc<Capacity>,
}

/// How callers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Over a transport of their own, as whoever started the program.
    Own,
    /// Past a guard, which says what each may use. Without its word nothing behind a gate is open.
    Guarded,
}

#[derive(Debug)]
struct Shared {
    /// Replaced as a whole.
    served: RwLock<Arc<Gateway>>,
    /// What the guard of a transport looks at; replaced before what is served.
    doors: Doors,
    audience: Audience,
    /// Values that were listed a moment ago.
    recent: Recent,
    /// The entries of the tools that are served, once they were asked for.
    entries: RwLock<Option<Arc<Entries>>>,
    info: Implementation,
    info_json: Option<Value>,
    tasks: Tasks,
    sealer: Sealer,
}

impl McpServer {
    /// A server for this gateway.
    ///
    /// # Errors
    ///
    /// The operating system has no randomness.
    pub fn new(gateway: Arc<Gateway>) -> Result<Self, getrandom::Error> {
        Self::with_state_key(gateway, None)
    }

    /// The same, with a key that it shares with other processes: each of them takes what another has sealed.
    ///
    /// # Errors
    ///
    /// The operating system has no randomness.
    pub fn with_state_key(gateway: Arc<Gateway>, key: Option<&SecretString>) -> Result<Self, getrandom::Error> {
        let sealer = Sealer::new(key, gateway.clock)?;
        let doors = Doors::new(gateway.gates.clone(), gateway.gated());
        metrics::offered(gateway.tools().map(|tool| tool.name.as_str()));
        let served = RwLock::new(gateway);
        let info = Implementation::new("keyglass", env!("CARGO_PKG_VERSION")).with_title("keyglass");
        let info_json = serde_json::to_value(&info).ok();
        let (audience, recent, tasks) = (Audience::default(), Recent::default(), Tasks::default());
        Ok(Self {
            shared: Arc::new(Shared {
                served,
                doors,
                audience,
                recent,
                entries: RwLock::default(),
                info,
                info_json,
                tasks,
                sealer,
            }),
            abort: CancellationToken::new(),
            leaving: CancellationToken::new(),
            departure: Departure::default(),
            keeps_sessions: true,
            joined: Arc::default(),
            announced: Arc::default(),
            subscribed: Subscriptions::default(),
            door: Door::Own,
            transport: Transport::Stdio,
            level: Arc::default(),
            peer: Arc::default(),
            capacity: Arc::new(Capacity::new(Limits::default())),
        })
    }

    /// The same server within these limits.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { capacity: Arc::new(Capacity::new(limits)), ..self }
    }

    /// Serves another gateway from now on, to clients that are connected as well; they are told which of their
    /// lists changed. Calls in flight end with the gateway they began with. Needs a runtime.
    pub fn replace(&self, gateway: Arc<Gateway>) {
        // First: a caller let in by the old gates finds no tool behind a new one.
        self.shared.doors.replace(gateway.gates.clone(), gateway.gated());
        metrics::offered(gateway.tools().map(|tool| tool.name.as_str()));
        let old = {
            let mut served = self.shared.served.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *served, gateway.clone())
        };
        self.shared.recent.clear();
        *self.shared.entries.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.audience.tell(lists::changes(&old, &gateway));
        for original in lists::updated(&old, &gateway) {
            self.shared.audience.updated(&original.uri());
        }
    }

    /// Tells whoever asked for these resources that they hold something else. Needs a runtime.
    pub fn updated(&self, uris: &[String]) {
        for uri in uris {
            self.shared.audience.updated(uri);
        }
    }

    /// What is served at this moment.
    pub fn served(&self) -> Arc<Gateway> {
        self.shared.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The entries of the tools of this gateway.
    fn entries(&self, gateway: &Arc<Gateway>) -> Arc<Entries> {
        let kept = self.shared.entries.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept.filter(|kept| kept.are_of(gateway)) {
            return kept;
        }
        let entries = Arc::new(Entries::new(gateway.clone()));
        *self.shared.entries.write().unwrap_or_else(PoisonError::into_inner) = Some(entries.clone());
        entries
    }

    /// The same server for one transport: with its own switch to give up calls, so that one transport's end leaves the
    /// others alone.
    fn scoped(&self, leaving: CancellationToken, door: Door) -> Self {
        let departure = Departure { leaving: leaving.clone(), ..Departure::default() };
        let transport = match door {
            Door::Own => Transport::Stdio,
            Door::Guarded => Transport::Http,
        };
        Self { abort: self.abort.child_token(), leaving, departure, door, transport, ..self.for_session() }
    }

    /// The same server for one session.
    fn for_session(&self) -> Self {
        Self {
            joined: Arc::default(),
            announced: Arc::default(),
            subscribed: Subscriptions::default(),
            level: Arc::default(),
            peer: Arc::default(),
            ..self.clone()
        }
    }

    /// Who makes a request, and what they may use.
    fn caller(&self, context: &RequestContext<RoleServer>) -> Caller {
        let of_message = context.extensions.get::<Caller>();
        let of_request =
            || context.extensions.get::<::http::request::Parts>().and_then(|parts| parts.extensions.get::<Caller>());
        match (of_message.or_else(of_request), self.door) {
            (Some(caller), _) => caller.clone(),
            (None, Door::Own) => Caller::local(),
            (None, Door::Guarded) => Caller::anonymous(),
        }
    }

    /// Who makes a request, by what way, for the audit log; nothing where there is none.
    fn origin(
        &self,
        gateway: &Gateway,
        caller: &Caller,
        (client, method): (Option<&Implementation>, &'static str),
    ) -> Option<Arc<Origin>> {
        if !gateway.audit.is_on() {
            return None;
        }
        let client = client.map(|client| (client.name.as_str(), client.version.as_str()));
        Some(Arc::new(Origin::new(caller.principal.clone(), client, (self.transport, method))))
    }

    /// What the caller of a request may use.
    fn access(&self, context: &RequestContext<RoleServer>) -> Access {
        self.caller(context).access
    }

    /// Names the server in a result's `_meta`, as the 2026-07-28 era asks for.
    fn sign(&self, meta: &mut Option<MetaObject>, is_modern: bool) {
        if is_modern && let Some(info) = &self.shared.info_json {
            meta.get_or_insert_default().0.insert(SERVER_INFO_META_KEY.to_owned(), info.clone());
        }
    }

    fn unknown_tool(&self, name: &str, access: &Access) -> ErrorData {
        // The asked name is not repeated: a client may have mixed up its fields, and this text reaches logs.
        let gateway = self.served();
        if let Some(left_out) = gateway.catalog.left_out(name).filter(|left_out| access.hears_why(left_out.gate)) {
            let reason = &left_out.reason;
            let message = format!("the tool `{name}` was left out when its spec was loaded: {reason}");
            return ErrorData::invalid_params(message, None);
        }
        // As unknown as any that is not listed, and so an error of the protocol: a client that calls it has an old list or
        // none. Whoever could use it otherwise hears that nothing is wrong with the call, and whom to ask.
        let off = gateway.catalog.switched_off(name).filter(|(tool, _)| access.allows(*tool));
        if let Some((tool, by)) = off {
            let name = &tool.name;
            let message =
                format!("the tool `{name}` is switched off by the operator of this server ({by}); do without it");
            return ErrorData::invalid_params(message, None);
        }
        let message = match nearest(name, lists::tools(&gateway.catalog, access).map(|tool| tool.name.as_str())) {
            Some(near) => format!("unknown tool; did you mean `{near}`? `tools/list` has all names"),
            None => "unknown tool; `tools/list` has all names".to_owned(),
        };
        ErrorData::invalid_params(message, None)
    }

    fn unknown_prompt(&self, name: &str, access: &Access) -> ErrorData {
        let gateway = self.served();
        let message = match nearest(name, lists::prompts(&gateway, access).map(lists::PromptEntry::name)) {
            Some(near) => format!("unknown prompt; did you mean `{near}`? `prompts/list` has all names"),
            None => "unknown prompt; `prompts/list` has all names".to_owned(),
        };
        ErrorData::invalid_params(message, None)
    }
}

/// What the span of a request is, for those within it.
fn trace_of(context: &RequestContext<RoleServer>) -> Parent {
    let of_message = context.extensions.get::<Parent>();
    let of_request =
        || context.extensions.get::<::http::request::Parts>().and_then(|parts| parts.extensions.get::<Parent>());
    of_message.or_else(of_request).cloned().unwrap_or_default()
}

/// A name for a request of a client.
fn request_id() -> Result<String, ErrorData> {
    call::request_id().map_err(|error| {
        tracing::error!(%error, "no randomness for a request id");
        ErrorData::internal_error("no randomness available on this machine", None)
    })
}

/// The answers to `tools/list`, `resources/list`, `resources/templates/list` and `prompts/list`, all pages in one, with what
/// specs offer and no more: neither the specs themselves nor guides. The last three are left out where all of them are empty.
pub fn listing(gateway: &Gateway) -> Value {
    let (catalog, access) = (&gateway.catalog, &Access::Everything);
    let tools: Vec<_> = lists::tools(catalog, access).map(|tool| convert::listing(tool, true)).collect();
    if catalog.resources().is_empty() && catalog.prompts().len() == 0 {
        return json!({ "tools": tools });
    }
    json!({
        "tools": tools,
        "resources": lists::own_resources(catalog, access).map(convert::resource).collect::<Vec<_>>(),
        "resourceTemplates": lists::own_templates(catalog, access).map(convert::template).collect::<Vec<_>>(),
        "prompts": lists::own_prompts(catalog, access).map(convert::prompt).collect::<Vec<_>>(),
    })
}

/// How many entries there are in what `tools/list`, `resources/list`, `resources/templates/list` and `prompts/list` answer.
pub fn counts(gateway: &Gateway) -> Counts {
    lists::counts(gateway)
}

/// Whether the request is of the 2026-07-28 era or later.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    // Versions are dates, which compare as text.
    let is_newer = |version: &str| version >= ProtocolVersion::V_2026_07_28.as_str();
    // The request says it itself, or the handshake did. Looked at where it stands: each call asks several times.
    match context.meta.get(PROTOCOL_VERSION_META_KEY).and_then(Value::as_str) {
        Some(version) => is_newer(version),
        None => context.peer.peer_info().is_some_and(|info| is_newer(info.protocol_version.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use rmcp::{Service, model::ClientRequest};

    use super::*;

    fn size_of_work<Q, C, F: Future>(_: impl Fn(&'static McpServer, Q, C) -> F) -> usize {
        size_of::<F>()
    }

    /// It lies in the task of every session for as long as that lasts, and goes from hand to hand for each request.
    #[test]
    fn what_the_library_carries_of_a_request_is_small() {
        let size = size_of_work(|server, request: ClientRequest, context| {
            Service::<RoleServer>::handle_request(server, request, context)
        });
        assert!(size < 6 * 1024, "{size} bytes");
    }
}
