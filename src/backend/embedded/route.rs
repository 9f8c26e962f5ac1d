//! A route: method, path and handler in one place. What is announced to be served and what the router serves come from
//! the same list.

use axum::routing::MethodRouter;
use http::Method;

use super::Embedded;

/// One operation of one of the APIs.
pub(super) struct Route {
    /// The method.
    pub(super) method: Method,
    /// The path, with `{name}` in place of parameters.
    pub(super) template: &'static str,
    /// What carries it out, for this method alone.
    pub(super) handler: fn() -> MethodRouter<Embedded>,
}

impl Route {
    /// A route that is read from.
    pub(super) const fn get(template: &'static str, handler: fn() -> MethodRouter<Embedded>) -> Self {
        Self { method: Method::GET, template, handler }
    }

    /// A route that is posted to.
    pub(super) const fn post(template: &'static str, handler: fn() -> MethodRouter<Embedded>) -> Self {
        Self { method: Method::POST, template, handler }
    }

    /// A route that replaces or creates.
    pub(super) const fn put(template: &'static str, handler: fn() -> MethodRouter<Embedded>) -> Self {
        Self { method: Method::PUT, template, handler }
    }

    /// A route that changes what it is told to.
    pub(super) const fn patch(template: &'static str, handler: fn() -> MethodRouter<Embedded>) -> Self {
        Self { method: Method::PATCH, template, handler }
    }

    /// A route that ends something.
    pub(super) const fn delete(template: &'static str, handler: fn() -> MethodRouter<Embedded>) -> Self {
        Self { method: Method::DELETE, template, handler }
    }

    /// Whether every path of a spec's template is one of this route. A parameter never stands for a fixed segment, and a
    /// fixed segment may stand where the route takes any.
    pub(super) fn covers(&self, template: &str) -> bool {
        let is_parameter = |segment: &str| segment.contains('{');
        let (mut route, mut template) = (self.template.split('/'), template.split('/'));
        loop {
            match (route.next(), template.next()) {
                (None, None) => return true,
                (Some(taken), Some(sent)) if is_parameter(taken) && !sent.is_empty() || taken == sent => {}
                _ => return false,
            }
        }
    }
}
