//! What stands in for spans where they are not built in.

use http::HeaderMap;

/// Nothing that could be sent.
#[derive(Debug)]
pub struct Tracing(());

pub(super) fn start() -> Tracing {
    Tracing(())
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context;

impl Context {
    pub(super) fn remote(_: [(&'static str, Option<&str>); 2]) -> Self {
        Self
    }
}

#[derive(Debug)]
pub(super) struct Span;

impl Span {
    pub(super) fn server(_: &Context, _: &str, _: &[(&'static str, String)]) -> Self {
        Self
    }

    pub(super) fn internal(_: &Context, _: &str, _: &[(&'static str, String)]) -> Self {
        Self
    }

    pub(super) fn client(_: &Context, _: &str, _: &[(&'static str, String)]) -> Self {
        Self
    }

    pub(super) fn context(&self) -> Context {
        Context
    }

    pub(super) fn inject(&self, _: &mut HeaderMap) {}

    pub(super) fn set(&mut self, _: &'static str, _: i64) {}

    pub(super) fn fail(&mut self, _: &str) {}
}
