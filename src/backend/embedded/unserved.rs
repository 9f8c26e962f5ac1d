//! What is said of a request that no route serves: what was asked, as far as it may be repeated, and what there is.
//!
//! Whoever asks has shown a key before; what stands in the place of a name may still be a secret in a wrong place.

use http::{Method, Uri};

use super::{error::ApiError, keys, route::Route, surface::Surface};

/// The longest method and the longest segment of a path that are repeated, in bytes.
const MAX_METHOD: usize = 10;
const MAX_SEGMENT: usize = 40;
/// How many segments of a path are repeated.
const MAX_SEGMENTS: usize = 8;

/// 404: no route has this path.
pub(super) fn path<'a>(method: &Method, uri: &Uri, mut routes: impl Iterator<Item = &'a Route>) -> ApiError {
    let path = uri.path();
    let surface = Surface::of(path);
    if surface == Surface::Runtype && path.ends_with("/reveal") {
        return ApiError::not_found(
            "no key is shown again here, since only digests are kept; regenerate the key to have a new one",
        );
    }
    let with_version = format!("/v1{path}");
    let mut lacks_version = || routes.any(|route| route.covers(&with_version));
    let advice = if path.contains("/v1/v1/") {
        "leave `/v1` out of the base URL"
    } else if lacks_version() {
        "put `/v1` before it"
    } else {
        match surface {
            Surface::Runloop => "this backend serves API keys, restricted keys, secrets and accounts/me",
            Surface::RunTools => "of RunTools this backend serves `/runtools/v1/api-keys`",
            Surface::Runtype => "of Runtype this backend serves `/runtype/v1/api-keys`",
            Surface::Keyglass => "under `/keyglass/v1` are `keys`, and `secrets` by expiry",
        }
    };
    ApiError::not_found(format!("there is no `{} {}`; {advice}", shown_method(method), shown_path(path)))
}

/// 405: the path has other methods. It is repeated as its route has it.
pub(super) fn method<'a>(method: &Method, path: &str, routes: impl Iterator<Item = &'a Route> + Clone) -> ApiError {
    let covering = routes.clone().filter(|route| route.covers(path)).map(|route| route.template);
    let Some(template) = covering.min_by_key(|template| template.matches('{').count()) else {
        return ApiError::method_not_allowed(format!("this path does not take `{}`", shown_method(method)));
    };
    let known: Vec<&str> =
        routes.filter(|route| route.template == template).map(|route| route.method.as_str()).collect();
    ApiError::method_not_allowed(format!(
        "`{template}` does not take `{}`; it takes `{}`",
        shown_method(method),
        known.join("`, `")
    ))
}

/// Methods are tokens (RFC 9110, section 9.1), of any length.
fn shown_method(method: &Method) -> &str {
    if method.as_str().len() <= MAX_METHOD { method.as_str() } else { "…" }
}

/// The path, with `…` for each segment that is no plain word.
fn shown_path(path: &str) -> String {
    let is_plain = |segment: &str| {
        segment.len() <= MAX_SEGMENT
            && segment.chars().all(|one| one.is_ascii_alphanumeric() || "_-.".contains(one))
            && !segment.split(['-', '.']).chain([segment]).any(keys::has_form_of_key)
    };
    let segments = path.split('/').skip(1);
    let mut shown = String::new();
    for segment in segments.clone().take(MAX_SEGMENTS) {
        shown.push('/');
        shown.push_str(if is_plain(segment) { segment } else { "…" });
    }
    if segments.count() > MAX_SEGMENTS {
        shown.push_str("/…");
    }
    shown
}
