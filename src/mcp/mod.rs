//! The Model Context Protocol on top of a [`Gateway`]: what a client may ask, whatever the transport.
//!
//! [`McpServer`] answers both protocol eras, 2025-11-25 with its handshake and 2026-07-28 without; which one a
//! connection speaks is settled by the library. The transports are in [`stdio`] and [`http`], with the older HTTP+SSE
//! transport inside the latter. Nothing outside this folder names the MCP library.

mod audience;
mod convert;
mod credentials;
mod drain;
pub mod guard;
pub mod http;
mod lines;
mod sse;
pub mod stdio;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt as _;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, DiscoverResult, ErrorCode,
        Implementation, InitializeRequestParams, InitializeResult, ListToolsResult, MetaObject, PaginatedRequestParams,
        ProtocolVersion, ServerCapabilities, ServerConfig, SubscriptionFilter, Tool,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::audience::Audience;
pub use self::convert::ERROR_META_KEY;
use crate::{
    access::{Access, Doors},
    call::{self, CallContext},
    catalog::CompiledTool,
    error::CallError,
    gateway::Gateway,
    nearest::nearest,
};

/// How many tools one answer to `tools/list` holds.
const PAGE: usize = 100;

/// How long a client of the 2026-07-28 era may take a listing for fresh, in milliseconds. Listings change only when the
/// operator changes the specs.
const LISTING_TTL_MS: u64 = 60_000;

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
    /// Whether the session has joined the audience.
    joined: Arc<AtomicBool>,
    door: Door,
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
    info: Implementation,
    info_json: Option<Value>,
}

impl McpServer {
    /// A server for this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let doors = Doors::new(gateway.gates.clone(), gateway.gated());
        let served = RwLock::new(gateway);
        let info = Implementation::new("keyglass", env!("CARGO_PKG_VERSION")).with_title("keyglass");
        let info_json = serde_json::to_value(&info).ok();
        Self {
            shared: Arc::new(Shared { served, doors, audience: Audience::default(), info, info_json }),
            abort: CancellationToken::new(),
            leaving: CancellationToken::new(),
            joined: Arc::default(),
            door: Door::Own,
        }
    }

    /// Serves another gateway from now on, to clients that are connected as well; they are told if their list of tools
    /// changed. Calls in flight end with the gateway they began with. Needs a runtime.
    pub fn replace(&self, gateway: Arc<Gateway>) {
        // First: a caller let in by the old gates finds no tool behind a new one.
        self.shared.doors.replace(gateway.gates.clone(), gateway.gated());
        let old = {
            let mut served = self.shared.served.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *served, gateway.clone())
        };
        let same = old.catalog.len() == gateway.catalog.len()
            && old.tools().zip(gateway.tools()).all(|(old, new)| old.is_listed_as(new));
        if !same {
            self.shared.audience.tell();
        }
    }

    fn served(&self) -> Arc<Gateway> {
        self.shared.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same server for one transport: with its own switch to give up calls, so that one transport's end leaves the
    /// others alone.
    fn scoped(&self, leaving: CancellationToken, door: Door) -> Self {
        Self { abort: self.abort.child_token(), leaving, door, ..self.for_session() }
    }

    /// The same server for one session.
    fn for_session(&self) -> Self {
        Self { joined: Arc::default(), ..self.clone() }
    }

    /// What the caller of a request may use.
    fn access(&self, context: &RequestContext<RoleServer>) -> Access {
        let of_message = context.extensions.get::<Access>();
        let of_request =
            || context.extensions.get::<::http::request::Parts>().and_then(|parts| parts.extensions.get::<Access>());
        match (of_message.or_else(of_request), self.door) {
            (Some(access), _) => access.clone(),
            (None, Door::Own) => Access::Everything,
            (None, Door::Guarded) => Access::nothing(),
        }
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
        let allowed = gateway.tools().filter(|tool| access.allows(tool.gate)).map(|tool| tool.name.as_str());
        let message = match nearest(name, allowed) {
            Some(near) => format!("unknown tool; did you mean `{near}`? `tools/list` has all names"),
            None => "unknown tool; `tools/list` has all names".to_owned(),
        };
        ErrorData::invalid_params(message, None)
    }
}

impl McpServer {
    fn info_for(&self, access: &Access) -> ServerConfig {
        let config = ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build())
            .with_server_info(self.shared.info.clone());
        match self.served().instructions_for(access) {
            instructions if instructions.is_empty() => config,
            instructions => config.with_instructions(instructions),
        }
    }
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        let access = match self.door {
            Door::Own => Access::Everything,
            Door::Guarded => Access::nothing(),
        };
        self.info_for(&access)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let info = self.info_for(&self.access(&context));
        context.peer.set_peer_info(request.clone());
        let mut result = self.negotiate_initialize(&request)?;
        result.instructions = info.instructions;
        Ok(result)
    }

    async fn discover(&self, context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.info_for(&self.access(&context)))
            .with_ttl_ms(LISTING_TTL_MS)
            .with_cache_scope(CacheScope::Private))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let access = self.access(&context);
        let gateway = self.served();
        let allowed: Vec<&CompiledTool> = gateway.tools().filter(|tool| access.allows(tool.gate)).collect();
        let start = match request.and_then(|request| request.cursor) {
            None => 0,
            Some(cursor) => page_start(&cursor, allowed.len()).ok_or_else(|| {
                ErrorData::invalid_params("unknown `cursor`; take the `nextCursor` of the page before", None)
            })?,
        };
        let end = start.saturating_add(PAGE);
        let mut page = ListToolsResult::with_all_items(
            allowed.iter().skip(start).take(PAGE).map(|tool| convert::listing(tool)).collect(),
        );
        page.next_cursor = (end < allowed.len()).then(|| page_cursor(end));
        if is_modern(&context) {
            // Private, because whoever lists tools may have needed a token for it.
            page = page.with_ttl_ms(LISTING_TTL_MS).with_cache_scope(CacheScope::Private);
        }
        self.sign(&mut page.meta, &context);
        Ok(page)
    }

    /// Needed for more than look-ups: without it the library leaves `Mcp-Param-*` headers unchecked.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.served().tool(name).filter(|tool| tool.name == name).map(convert::listing)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        // A client may say it twice.
        if !self.joined.swap(true, Ordering::SeqCst) {
            self.shared.audience.join(context.peer);
        }
    }

    /// The library leaves out what the capabilities do not promise.
    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        self.shared.audience.listen(context, &self.leaving).await
    }

    /// Also takes in requests of known methods whose parameters the library could not read.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let expected = match request.method.as_str() {
            "tools/call" => "a string `name` and, where the tool takes any, an object `arguments`",
            "tools/list" => "nothing, or a string `cursor`",
            "initialize" => "`protocolVersion`, `capabilities` and `clientInfo`",
            _ => return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "unknown method", None)),
        };
        Err(ErrorData::invalid_params(format!("unreadable `params`; expected {expected}"), None))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let access = self.access(&context);
        let gateway = self.served();
        // A tool that the caller may not use is as unknown as one that is not there.
        let tool = gateway.tool(&request.name).filter(|tool| access.allows(tool.gate));
        let Some(tool) = tool else { return Err(self.unknown_tool(&request.name, &access)) };
        let request_id = call::request_id().map_err(|error| {
            tracing::error!(%error, "no randomness for a request id");
            ErrorData::internal_error("no randomness available on this machine", None)
        })?;
        let call_context = CallContext { request_id: request_id.clone() };
        let call = gateway.call(tool, request.arguments.unwrap_or_default(), &call_context);
        // A dropped call stops its work. Its answer goes nowhere when the client cancelled, but is sent when the server
        // leaves.
        let outcome = tokio::select! {
            outcome = AssertUnwindSafe(call).catch_unwind() => outcome,
            () = context.ct.cancelled() => Ok(Err(CallError::Cancelled)),
            () = self.abort.cancelled() => Ok(Err(CallError::Cancelled)),
        };
        let Ok(outcome) = outcome else {
            // The panic's text went to the process's own hook; a client must not see it.
            tracing::error!(request_id, tool = tool.name, "a call panicked");
            return Err(ErrorData::internal_error(
                format!("keyglass ran into a fault of its own; it has been logged with the request id `{request_id}`"),
                None,
            ));
        };
        if matches!(outcome, Err(CallError::Cancelled)) {
            tracing::debug!(request_id, tool = tool.name, "gave a call up");
        }
        let mut result = convert::result(outcome, tool.hints.repetition(), &request_id);
        self.sign(&mut result.meta, &context);
        Ok(CallToolResponse::Complete(result))
    }
}

/// The answer to `tools/list`, all pages in one.
pub fn listing(gateway: &Gateway) -> Value {
    let tools: Vec<Tool> = gateway.tools().map(convert::listing).collect();
    serde_json::json!({ "tools": tools })
}

/// Whether the request is of the 2026-07-28 era or later.
fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    // Versions are dates, which compare as text.
    context.protocol_version().is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// The cursor of the page that starts at this tool.
fn page_cursor(start: usize) -> String {
    format!("page-{:x}", start / PAGE)
}

/// Where the cursor's page starts; none for a cursor that [`page_cursor`] never gave for this many tools.
fn page_start(cursor: &str, tools: usize) -> Option<usize> {
    let page = usize::from_str_radix(cursor.strip_prefix("page-")?, 16).ok()?;
    let start = page.checked_mul(PAGE)?;
    (start > 0 && start < tools && page_cursor(start) == cursor).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_lead_to_the_next_page_only() {
        assert_eq!(page_start(&page_cursor(100), 250), Some(100));
        assert_eq!(page_start(&page_cursor(1_700), 1_800), Some(1_700));
        for bad in ["", "page-", "page-0", "page-3", "page-+1", "page-01", "page-ffffffffffffffff", "1", "page-1 ", "é"]
        {
            assert_eq!(page_start(bad, 250), None, "{bad}");
        }
        assert_eq!(page_start("page-1", 100), None, "100 tools are one page");
    }
}
