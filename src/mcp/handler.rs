//! What each method of the protocol is answered: the library's dispatch, with the server behind it.
//!
//! Calls, prompts and resources are carried out in `calls`.

use std::sync::atomic::Ordering;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult,
        CustomRequest, CustomResult, DiscoverResult, ErrorCode, GetPromptRequestParams, GetPromptResponse,
        GetTaskParams, GetTaskResult, InitializeRequestParams, InitializeResult, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ReadResourceRequestParams, ReadResourceResponse, ServerConfig, SubscribeRequestParams, SubscriptionFilter,
        Tool, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext},
};

use super::{
    Door, IN_HEADER, McpServer, audience::MAX_SUBSCRIPTIONS, convert, is_modern, lists, lists::Kinds, methods,
    pages::Apart, paging::page,
};
use crate::{
    access::{Access, Gated},
    metrics,
};

/// How long a client of the 2026-07-28 era may take a listing for fresh, in milliseconds, where no spec says. Listings change
/// only when the operator changes the specs.
const LISTING_TTL_MS: u64 = 60_000;

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
        self.sign(&mut page.meta, is_modern(&context));
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
        self.sign(&mut page.meta, is_modern(&context));
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
        self.sign(&mut page.meta, is_modern(&context));
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
        self.sign(&mut page.meta, is_modern(&context));
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
        self.sign(&mut result.meta, is_modern(&context));
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
        self.sign(&mut result.meta, is_modern(&context));
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

/// Error: the newer era, which knows no sessions, has no such method.
fn only_of_sessions(context: &RequestContext<RoleServer>, method: &str) -> Result<(), ErrorData> {
    if !is_modern(context) {
        return Ok(());
    }
    Err(methods::unknown(method))
}
