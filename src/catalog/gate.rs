//! The gate before the tools of an exposed server that asks its callers for a credential.

use crate::{access::GateId, diagnostic::SourceMap, spec::Document};

/// The gate of the server at this place of a document; absent where it asks its callers for nothing.
pub fn gate_of(document: &Document, place: usize, sources: &SourceMap) -> Option<GateId> {
    let server = document.servers.get(place).filter(|server| server.authentication.is_some())?;
    let namespace = server.namespace.as_ref().map_or("", |namespace| namespace.value.as_str());
    Some(GateId::new(sources.name(document.file), namespace, place))
}

/// The gate before operations that no server offers: that of the first server that has one. A spec that asks its callers
/// for something asks for it on every way to its operations.
pub fn gate_of_rest(document: &Document, sources: &SourceMap) -> Option<GateId> {
    (0..document.servers.len()).find_map(|place| gate_of(document, place, sources))
}
