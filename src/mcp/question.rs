//! One question to a client of the older era, over its session: taken back when nobody waits for the answer any more, so
//! that a person is not left with a dialog that does nothing.
//!
//! Knows nothing of calls.

use rmcp::{
    ErrorData, RoleServer,
    model::{ClientResult, InputRequest, ServerRequest},
    service::{Peer, PeerRequestOptions, RequestHandle, ServiceError},
};
use serde_json::Value;

/// Why a client is told that it need not answer.
const TAKEN_BACK: &str = "the call that asked has ended";

/// A question that waits for its answer. Dropped before that, it is taken back.
struct Open(Option<RequestHandle<RoleServer>>);

/// Asks a client and waits for its answer.
///
/// # Errors
///
/// It cannot be asked, refused, or answered something else.
pub(super) async fn ask(peer: &Peer<RoleServer>, question: InputRequest) -> Result<Value, ServiceError> {
    let request = match question {
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        InputRequest::CreateMessage(request) => {
            let has_tools = request.params.tools.is_some() || request.params.tool_choice.is_some();
            if has_tools && !peer.supports_sampling_tools() {
                let message = "this client takes no tools with `sampling/createMessage`";
                return Err(ServiceError::McpError(ErrorData::invalid_params(message, None)));
            }
            let refused = |reason| ServiceError::McpError(ErrorData::invalid_params(reason, None));
            request.params.validate().map_err(refused)?;
            ServerRequest::CreateMessageRequest(request)
        }
        InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
        _ => return Err(ServiceError::UnexpectedResponse),
    };
    let handle = peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
    let mut open = Open(Some(handle));
    let Some(handle) = &mut open.0 else { return Err(ServiceError::UnexpectedResponse) };
    let answer = (&mut handle.rx).await.map_err(|_| ServiceError::TransportClosed);
    open.0 = None;
    let answer = match answer?? {
        ClientResult::ElicitResult(answer) => serde_json::to_value(answer),
        ClientResult::CreateMessageResult(answer) => serde_json::to_value(answer),
        ClientResult::ListRootsResult(answer) => serde_json::to_value(answer),
        _ => return Err(ServiceError::UnexpectedResponse),
    };
    answer.map_err(|_| ServiceError::UnexpectedResponse)
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(handle), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(handle.cancel(Some(TAKEN_BACK.to_owned())));
        }
    }
}
