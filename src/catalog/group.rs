//! The group that a tool, resource or prompt belongs to: what was written to be used together. Must not know what it does.

use std::{path::Path, sync::Arc};

use crate::{diagnostic::SourceMap, shipped, spec::Document};

/// The group of what the server at this place of a document offers.
pub fn group_of(document: &Document, place: usize, sources: &SourceMap) -> Arc<str> {
    Groups::of(document, sources).of_server(place)
}

/// The groups of a document.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    document: &'a Document,
    /// What all of it belongs to, where it is shipped.
    shipped: Option<Arc<str>>,
    file_stem: String,
}

impl<'a> Groups<'a> {
    pub(super) fn of(document: &'a Document, sources: &SourceMap) -> Self {
        let file = sources.name(document.file);
        let shipped = shipped::group_of(file).map(|group| Arc::from(group.name()));
        let file_stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { document, shipped, file_stem }
    }

    /// What the server at this place offers belongs to the group that is named as its namespace; where it has none, as the
    /// one service that it can only be for.
    pub(super) fn of_server(&self, place: usize) -> Arc<str> {
        let server = self.document.servers.get(place);
        match server.and_then(|server| server.namespace.as_ref()) {
            Some(namespace) => self.named(&namespace.value),
            None => match self.document.consumes.as_slice() {
                [only] => self.of_service(&only.namespace.value),
                _ => self.named(""),
            },
        }
    }

    /// What no server offers belongs to the group that is named as the namespace of its service.
    pub(super) fn of_service(&self, namespace: &str) -> Arc<str> {
        self.named(namespace)
    }

    fn named(&self, namespace: &str) -> Arc<str> {
        match &self.shipped {
            Some(group) => Arc::clone(group),
            None if namespace.is_empty() => self.file_stem.as_str().into(),
            None => namespace.into(),
        }
    }
}
