//! The tools as the page shows them, the request that a call would send, and calls that the person makes there.
//!
//! Knows no HTTP.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Shared,
    api::{BY, Problem, json_answer},
};
use crate::{
    audit::{Origin, Transport},
    call::{CallContext, CallOutput, Returned, request_id},
    caller::Caller,
    catalog::{CompiledTool, JsonObject},
    dry_run::{Format, dry_run},
    error::CallError,
    gateway::Gateway,
};

/// What the page calls itself towards whoever counts calls.
const CLIENT: &str = "console";

/// All tools, without their schemas.
pub(super) fn list(gateway: &Gateway) -> Response {
    let tool = |tool: &CompiledTool| {
        let (risk, reason) = risk_of(tool);
        json!({ "name": tool.name, "title": tool.title, "group": &*tool.group, "risk": risk, "reason": reason })
    };
    json_answer(&json!({ "tools": gateway.tools().map(tool).collect::<Vec<_>>() }))
}

/// One tool with its schemas.
pub(super) fn show(gateway: &Gateway, name: &str) -> Result<Response, Problem> {
    let tool = find(gateway, name)?;
    let (risk, reason) = risk_of(tool);
    Ok(json_answer(&json!({
        "name": tool.name,
        "title": tool.title,
        "group": &*tool.group,
        "risk": risk,
        "reason": reason,
        "description": tool.description,
        "operation": tool.plan.summary(),
        "input": tool.input.listed(),
        "secrets": secrets_of(tool),
        "output": tool.output.listed(),
    })))
}

/// The arguments that are secret. The listed schema, which every client has to take, does not say it.
fn secrets_of(tool: &CompiledTool) -> Vec<String> {
    let schema = tool.input.listed();
    let names = schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name);
    let some_value = |name: &String| JsonObject::from_iter([(name.clone(), Value::from("a value"))]);
    let is_secret =
        |name: &&String| tool.input.replace_secrets(&some_value(name), "hidden").get(*name) == Some(&"hidden".into());
    names.filter(is_secret).cloned().collect()
}

/// The request that a call would send.
pub(super) fn preview(gateway: &Gateway, name: &str, arguments: JsonObject) -> Result<Response, Problem> {
    let tool = find(gateway, name)?;
    Ok(json_answer(&match dry_run(tool, arguments) {
        Ok(request) => json!({ "request": request.to_text(Format::Http) }),
        Err(error) => json!({ "error": error.to_string(), "kind": error.kind() }),
    }))
}

/// Makes a call for the person. It is given up when they leave.
pub(super) async fn call(shared: &Shared, name: &str, arguments: JsonObject) -> Result<Response, Problem> {
    let gateway = (shared.parts.served)();
    let tool = find(&gateway, name)?;
    let request_id = request_id().map_err(|error| Problem::fault(&error))?;
    let outcome = Box::pin(gateway.call(tool, arguments, &persons_context(&request_id))).await;
    let answer = match outcome {
        Ok(CallOutput::Paused(_)) => {
            json!({ "error": "this tool waits for an MCP client; call it from one", "kind": "capability" })
        }
        Ok(output) => {
            let is_error = matches!(output, CallOutput::Returned(Returned::Result { is_error: true, .. }));
            let result = match &output {
                CallOutput::Returned(Returned::Result { content, structured: None, .. }) => {
                    Value::from(content.clone())
                }
                output => output.structured().unwrap_or_default(),
            };
            json!({ "result": result, "is_error": is_error })
        }
        Err(error) => json!({ "error": told(&error), "kind": error.kind() }),
    };
    let Value::Object(mut answer) = answer else {
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no object"));
    };
    answer.insert("request_id".to_owned(), request_id.into());
    Ok(json_answer(&Value::Object(answer)))
}

/// What goes with a call that the person makes themselves: nobody has to be asked about it.
fn persons_context(request_id: &str) -> CallContext {
    let client = Some((CLIENT, env!("CARGO_PKG_VERSION")));
    let origin = Origin::new(Caller::local().principal, client, (Transport::Console, "call"));
    CallContext {
        is_person: true,
        confirmed_by: Some(BY),
        origin: Some(Arc::new(origin)),
        ..CallContext::new(request_id)
    }
}

fn told(error: &CallError) -> String {
    match error {
        CallError::Lacks(capability) => {
            format!("this tool needs the capability `{capability}` of an MCP client; call it from one")
        }
        error => error.to_string(),
    }
}

/// The class of risk of a tool, and why it is in that class.
fn risk_of(tool: &CompiledTool) -> (&'static str, String) {
    (tool.risk.class.name(), tool.risk.reason.clone().into_owned())
}

fn find<'a>(gateway: &'a Gateway, name: &str) -> Result<&'a CompiledTool, Problem> {
    gateway.tool(name).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such tool; load the list anew"))
}
