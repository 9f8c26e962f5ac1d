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

use std::sync::{
    Arc, OnceLock, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult,
        CustomRequest, CustomResult, DiscoverResult, ErrorCode, GetPromptRequestParams, GetPromptResponse,
        GetTaskParams, GetTaskResult, Implementation, InitializeRequestParams, InitializeResult, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, MetaObject, PaginatedRequestParams,
        ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerConfig, SubscribeRequestParams,
        SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{NotificationContext, Peer, RequestContext, SubscriptionContext},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::{
    audience::{Audience, MAX_SUBSCRIPTIONS, Subscriptions},
    client::SessionLevel,
    complete::Recent,
    limits::{Capacity, Limits},
    lists::Kinds,
    pages::{Apart, Entries},
    paging::page,
    state::Sealer,
    tasks::{Departure, Tasks},
};
pub use self::{convert::ERROR_META_KEY, lists::Counts};
use crate::{
    access::{Access, Doors, Gated},
    call,
    caller::Caller,
    gateway::Gateway,
    metrics,
    nearest::nearest,
    telemetry::trace::Parent,
};

/// How long a client of the 2026-07-28 era may take a listing for fresh, in milliseconds, where no spec says. Listings change only when the
/// operator changes the specs.
const LISTING_TTL_MS: u64 = 60_000;

/// What a client has to do before anything else, in one era or the other.
const HOW_TO_BEGIN: &str = "send `initialize` first (with `protocolVersion`, `capabilities` and `clientInfo`), or with \
                            each request the `_meta` of protocol 2026-07-28";

/// Marks arguments that stand in headers as well (MCP 2026-07-28, streamable HTTP), which the library checks.
const IN_HEADER: &str = "x-mcp-header";

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

    fn served(&self) -> Arc<Gateway> {
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
        Self { abort: self.abort.child_token(), leaving, departure, door, ..self.for_session() }
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

    /// What the caller of a request may use.
    fn access(&self, context: &RequestContext<RoleServer>) -> Access {
        self.caller(context).access
    }

    /// Names the server in a result's `_meta`, as the 2026-07-28 era asks for.
    fn sign(&self, meta: &mut Option<MetaObject>, context: &RequestContext<RoleServer>) {
        if is_modern(context)
            && let Some(info) = &self.shared.info_json
        {
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

fn cursor(request: Option<&PaginatedRequestParams>) -> Option<&str> {
    request.and_then(|request| request.cursor.as_deref())
}

/// How fresh a list is for clients of the newer era.
macro_rules! fresh {
    ($page:ident, $own:expr, $access:expr, $context:expr) => {
        if is_modern($context) {
            let (ttl_ms, scope) = $own.freshness($access);
            $page = $page.with_ttl_ms(ttl_ms).with_cache_scope(scope);
        }
    };
}

impl McpServer {
    /// How long a list is fresh, and for whom. What a token was needed for is nobody else's, whatever specs say.
    fn freshness(&self, access: &Access) -> (u64, CacheScope) {
        let gateway = self.served();
        let stated = gateway.catalog.freshness();
        let is_open = self.door == Door::Own || *access == Access::nothing();
        let is_public = stated.is_public && is_open && gateway.gated() == Gated::Nothing;
        let scope = if is_public { CacheScope::Public } else { CacheScope::Private };
        (stated.ttl_ms.unwrap_or(LISTING_TTL_MS), scope)
    }

    fn info_for(&self, access: &Access) -> ServerConfig {
        let gateway = self.served();
        let kinds = lists::kinds(&gateway, access);
        let mut capabilities = kinds.capabilities();
        capabilities.completions = lists::has_choices(&gateway, access).then(Default::default);
        let config = ServerConfig::new(capabilities).with_server_info(self.shared.info.clone());
        match gateway.instructions_for(access) {
            instructions if instructions.is_empty() => config,
            instructions => config.with_instructions(instructions),
        }
    }
}

impl ServerHandler for McpServer {
    /// For the library, which accepts subscriptions by it: who may not use a list hears no more than that it changed.
    fn get_info(&self) -> ServerConfig {
        let capabilities = lists::kinds(&self.served(), &Access::Everything).capabilities();
        ServerConfig::new(capabilities).with_server_info(self.shared.info.clone())
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let access = self.access(&context);
        let info = self.info_for(&access);
        context.peer.set_peer_info(request.clone());
        self.peer.get_or_init(|| context.peer.clone());
        let mut result = self.negotiate_initialize(&request)?;
        result.capabilities = info.capabilities;
        // An extension of the newer era.
        result.capabilities.extensions = None;
        if !self.keeps_sessions {
            lists::promise_no_news(&mut result.capabilities);
        }
        result.instructions = info.instructions;
        self.announced.set(lists::kinds(&self.served(), &access)).ok(); // what was said first holds
        Ok(result)
    }

    async fn discover(&self, context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        let access = self.access(&context);
        let (ttl_ms, scope) = self.freshness(&access);
        Ok(DiscoverResult::from_server_info(versions, self.info_for(&access))
            .with_ttl_ms(ttl_ms)
            .with_cache_scope(scope))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let (access, gateway) = (self.access(&context), self.served());
        let (tools, next) = match context.extensions.get::<Apart>() {
            Some(apart) => {
                let entries = self.entries(&gateway);
                let (entries, next) = page(entries.open_to(&access), cursor(request.as_ref()))?;
                apart.put(&entries).map_err(|error| {
                    tracing::error!(%error, "a tool could not be written");
                    ErrorData::internal_error("a tool could not be written", None)
                })?;
                (Vec::new(), next)
            }
            None => {
                let (tools, next) = page(lists::tools(&gateway.catalog, &access), cursor(request.as_ref()))?;
                (tools.into_iter().map(|tool| convert::listing(tool, is_modern(&context))).collect(), next)
            }
        };
        let mut page = ListToolsResult::with_all_items(tools);
        page.next_cursor = next;
        fresh!(page, self, &access, &context);
        self.sign(&mut page.meta, &context);
        Ok(page)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (access, gateway) = (self.access(&context), self.served());
        let (resources, next) = page(lists::resources(&gateway, &access), cursor(request.as_ref()))?;
        let mut page = ListResourcesResult::with_all_items(resources.into_iter().map(lists::Entry::listed).collect());
        page.next_cursor = next;
        fresh!(page, self, &access, &context);
        self.sign(&mut page.meta, &context);
        Ok(page)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let (access, gateway) = (self.access(&context), self.served());
        let (templates, next) = page(lists::templates(&gateway, &access), cursor(request.as_ref()))?;
        let mut page = ListResourceTemplatesResult::with_all_items(
            templates.into_iter().map(lists::TemplateEntry::listed).collect(),
        );
        page.next_cursor = next;
        fresh!(page, self, &access, &context);
        self.sign(&mut page.meta, &context);
        Ok(page)
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let (access, gateway) = (self.access(&context), self.served());
        let (prompts, next) = page(lists::prompts(&gateway, &access), cursor(request.as_ref()))?;
        let mut page = ListPromptsResult::with_all_items(prompts.into_iter().map(lists::PromptEntry::listed).collect());
        page.next_cursor = next;
        fresh!(page, self, &access, &context);
        self.sign(&mut page.meta, &context);
        Ok(page)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        Box::pin(self.resource_read(request, context)).await
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let info = Box::pin(self.values(&request, &context)).await?;
        let mut result = CompleteResult::new(info);
        self.sign(&mut result.meta, &context);
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        Box::pin(self.prompt_gotten(request, context)).await
    }

    /// For the library, which checks `Mcp-Param-*` headers by the schema. Of a tool without any it need not know: the
    /// schema is made anew for each call.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        let gateway = self.served();
        let tool = gateway.tool(name).filter(|tool| tool.name == name && tool.input.mentions(IN_HEADER))?;
        Some(convert::listing(tool, true))
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        // A client may say it twice.
        if !self.joined.swap(true, Ordering::SeqCst) {
            let announced = self.announced.get().copied().unwrap_or(Kinds { tools: true, ..Kinds::default() });
            self.shared.audience.join(context.peer, announced, self.subscribed.clone());
        }
    }

    /// The library leaves out what the capabilities do not promise. Resources that lead nowhere are left out as well; but
    /// where there are gates it is not known yet who asks, and what is left out would tell what stands behind them. Runs in
    /// the task that goes on to listen.
    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.shared.audience.asked();
        let gateway = self.served();
        let tells_nothing = self.door == Door::Guarded && gateway.gated() != Gated::Nothing;
        let mut accepted = requested.clone();
        accepted.resource_subscriptions = accepted.resource_subscriptions.map(|uris| {
            let known = |uri: &String| tells_nothing || lists::is_readable(&gateway, uri, &Access::Everything);
            uris.into_iter().filter(known).take(MAX_SUBSCRIPTIONS).collect()
        });
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let caller = self.caller(context.request_context());
        let place = self.capacity.subscriptions.take(&caller.principal);
        let _place = place.map_err(|full| {
            metrics::refused(metrics::Refused::Subscription);
            ErrorData::internal_error(full.message(metrics::Refused::Subscription.name()), None)
        })?;
        let may_know = |uri: &str| lists::is_readable(&self.served(), uri, &caller.access);
        Box::pin(self.shared.audience.listen(context, &self.leaving, may_know)).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        only_of_sessions(&context, "resources/subscribe")?;
        if !lists::is_readable(&self.served(), &request.uri, &self.access(&context)) {
            return Err(convert::unknown_resource(&request.uri));
        }
        self.subscribed.add(request.uri)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        only_of_sessions(&context, "resources/unsubscribe")?;
        self.subscribed.remove(&request.uri);
        Ok(())
    }

    /// Also takes in requests of known methods whose parameters the library could not read.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let expected = match request.method.as_str() {
            "tools/call" => "a string `name` and, where the tool takes any, an object `arguments`",
            "resources/read" => "a string `uri`",
            // The stateless protocol has no such methods, nor `initialize`.
            "resources/subscribe" | "resources/unsubscribe" if !is_modern(&context) => "a string `uri`",
            "prompts/get" => "a string `name` and, where the prompt takes any, an object `arguments`",
            "tools/list" | "resources/list" | "resources/templates/list" | "prompts/list" => {
                "nothing, or a string `cursor`"
            }
            "completion/complete" => {
                "a `ref` with `type` and `name` or `uri`, and an `argument` with `name` and `value`"
            }
            "initialize" if !is_modern(&context) => "`protocolVersion`, `capabilities` and `clientInfo`",
            method => {
                // Some clients put far more than a name there.
                let shown: String = method.chars().filter(|character| !character.is_control()).take(64).collect();
                return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("unknown method `{shown}`"), None));
            }
        };
        Err(ErrorData::invalid_params(format!("unreadable `params`; expected {expected}"), None))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.peer.get_or_init(|| context.peer.clone());
        // Large, and moved from hand to hand by the library.
        Box::pin(self.tool_called(request, context)).await
    }

    #[allow(deprecated, reason = "clients of the older era go on using it")]
    async fn set_level(
        &self,
        request: rmcp::model::SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        only_of_sessions(&context, "logging/setLevel")?;
        self.level.set(request.level);
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let task = self.shared.tasks.get(&request.task_id, &self.caller(&context).principal)?;
        let mut result = GetTaskResult::new(task);
        self.sign(&mut result.meta, &context);
        Ok(result)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let caller = self.caller(&context).principal;
        self.shared.tasks.update(&request.task_id, &caller, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.cancel(&request.task_id, &self.caller(&context).principal)
    }
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

/// Error: the newer era, which knows no sessions, has no such method.
fn only_of_sessions(context: &RequestContext<RoleServer>, method: &str) -> Result<(), ErrorData> {
    if !is_modern(context) {
        return Ok(());
    }
    Err(methods::unknown(method))
}

/// Whether the request is of the 2026-07-28 era or later.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    // Versions are dates, which compare as text.
    context.protocol_version().is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
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
