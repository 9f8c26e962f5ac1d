//! Which tool reads the object that a call of another one is about: `GET /pets/{id}` for `POST /pets/{id}/delete`.

use std::sync::Arc;

use http::Method;
use serde_json::Value;

use super::{
    Catalog, CompiledTool, JsonObject,
    fill::{Fill, Scope},
    plan::{CompiledOperation, Plan},
    risk::Risk,
};

impl Catalog {
    /// The tool that reads what a call is about, with its arguments, where the caller `may_use` it. None where the path of
    /// the call names nothing that another operation of the same service reads by a path that begins the same.
    pub fn reader_of(
        &self,
        tool: &CompiledTool,
        arguments: &JsonObject,
        may_use: impl Fn(&CompiledTool) -> bool,
    ) -> Option<(&CompiledTool, JsonObject)> {
        let called = operation(tool)?;
        let candidates = self.tools().filter_map(|reader| {
            let read = operation(reader).filter(|read| {
                reader.risk.class == Risk::Read
                    && reader.gate == tool.gate
                    && may_use(reader)
                    && read.request.method == Method::GET
                    && Arc::ptr_eq(&read.service, &called.service)
            })?;
            let pairs = read.request.path.begins(&called.request.path)?;
            let arguments = filled(&pairs, arguments)?;
            let is_enough = reader.input.required().all(|name| arguments.contains_key(name));
            is_enough.then_some((pairs.len(), read.request.path.len(), reader, arguments))
        });
        let best = candidates.max_by_key(|(placeholders, segments, ..)| (*placeholders, *segments));
        best.map(|(_, _, reader, arguments)| (reader, arguments))
    }
}

fn operation(tool: &CompiledTool) -> Option<&CompiledOperation> {
    match &tool.plan {
        Plan::Call(operation) => Some(operation),
        Plan::Steps(_) | Plan::Mock(_) => None,
    }
}

/// The arguments of the reader: what its placeholders are filled from has the value that the call has in their place.
fn filled(pairs: &[(&Fill, &Fill)], arguments: &JsonObject) -> Option<JsonObject> {
    let scope = Scope::new(arguments, &Value::Null);
    let mut filled = JsonObject::new();
    for (own, called) in pairs {
        let Fill::Argument(name) = own else { return None };
        filled.insert(name.clone(), called.value(&scope).ok()??.into_owned());
    }
    Some(filled)
}
