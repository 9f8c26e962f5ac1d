//! What a request has to be before anything looks at it, and what every answer carries: the defence against other pages in
//! the same browser, and against other programs on the same machine.
//!
//! Stricter than the guard of MCP: one address, one origin, no exceptions. Knows no sessions.

use std::net::{IpAddr, SocketAddr};

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The page, which a person may come to from anywhere.
    Page,
    /// What belongs to the page.
    Asset,
    /// A question of the page, or a decision.
    Api,
}

/// A request that is refused, and why.
pub(super) type Refusal = (StatusCode, &'static str);

/// The names under which the console may be asked for.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Headers of every answer. No script or style but our own, nothing loaded from elsewhere, no frame around it, no text made
/// into markup by a script, no trace in a cache or in what another page is told.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri \
         'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    (header::CACHE_CONTROL, "no-store"),
];

impl Guard {
    /// For a console at this address.
    pub(super) fn new(address: SocketAddr) -> Self {
        let port = address.port();
        let own = match address.ip() {
            IpAddr::V4(ip) => format!("{ip}:{port}"),
            IpAddr::V6(ip) => format!("[{ip}]:{port}"),
        };
        Self { hosts: vec![own, format!("localhost:{port}")] }
    }

    /// Lets a request pass or not.
    pub(super) fn check(&self, request: &request::Parts, kind: Kind) -> Result<(), Refusal> {
        let host = self.host(request)?;
        let site = only(&request.headers, &FETCH_SITE)?;
        match kind {
            // A link in another program's window is followed; a frame, an image or a script is not.
            Kind::Page => match only(&request.headers, &FETCH_DEST)? {
                None | Some("document") => Ok(()),
                Some(_) => Err((StatusCode::FORBIDDEN, "this page stands in no other one")),
            },
            Kind::Asset => match site {
                None | Some("same-origin" | "none") => Ok(()),
                Some(_) => Err((StatusCode::FORBIDDEN, "this is for the page of the console alone")),
            },
            Kind::Api => {
                let origin = only(&request.headers, &header::ORIGIN)?;
                let is_own = origin.and_then(|origin| origin.strip_prefix("http://")) == Some(host);
                if !is_own || !matches!(site, None | Some("same-origin")) {
                    return Err((StatusCode::FORBIDDEN, "only the page of the console may ask this"));
                }
                let kind = only(&request.headers, &header::CONTENT_TYPE)?.unwrap_or_default();
                let essence = kind.split(';').next().unwrap_or_default().trim();
                // Whatever a form of another page can send needs no leave of ours; JSON does.
                if essence.eq_ignore_ascii_case("application/json") {
                    Ok(())
                } else {
                    Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be `application/json`"))
                }
            }
        }
    }

    /// The host that a request names, which is one of ours. Any other is a name that somebody made to point here.
    fn host<'a>(&'a self, request: &request::Parts) -> Result<&'a str, Refusal> {
        let header = only(&request.headers, &header::HOST)?;
        // HTTP/2 names it in the target, as does a target in absolute form.
        let target = request.uri.authority().map(http::uri::Authority::as_str);
        let (Some(named), other) = (header.or(target), target) else {
            return Err((StatusCode::BAD_REQUEST, "missing `Host` header"));
        };
        let own = |name: &str| self.hosts.iter().find(|host| host.eq_ignore_ascii_case(name));
        match own(named) {
            Some(host) if other.is_none_or(|other| host.eq_ignore_ascii_case(other)) => Ok(host),
            _ => Err((StatusCode::FORBIDDEN, "this is not the host of the console")),
        }
    }
}

/// The only value of a header. Two of them are none.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| MALFORMED),
        (Some(_), Some(_)) => Err(MALFORMED),
    }
}

const MALFORMED: Refusal = (StatusCode::BAD_REQUEST, "a header is malformed, or stands there twice");

/// An answer with the headers that all have.
pub(super) fn protected(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, headers: &[(&str, &str)]) -> u16 {
        let guard = Guard::new("127.0.0.1:7481".parse().unwrap());
        let mut request = http::Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        guard
            .check(&request.body(()).unwrap().into_parts().0, kind)
            .map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:7481");
    const ORIGIN: (&str, &str) = ("origin", "http://127.0.0.1:7481");
    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn only_the_own_host_is_answered() {
        for host in ["127.0.0.1:7481", "localhost:7481", "LOCALHOST:7481"] {
            assert_eq!(check(Kind::Page, &[("host", host)]), 200, "{host}");
        }
        for host in
            ["127.0.0.1", "127.0.0.1:80", "localhost.:7481", "evil.test:7481", "127.0.0.2:7481", "a@localhost:7481"]
        {
            assert_eq!(check(Kind::Page, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(check(Kind::Page, &[]), 400);
        assert_eq!(check(Kind::Page, &[HOST, HOST]), 400);
    }

    #[test]
    fn only_the_own_page_may_ask() {
        assert_eq!(check(Kind::Api, &[HOST, ORIGIN, JSON]), 200);
        assert_eq!(check(Kind::Api, &[HOST, ORIGIN, JSON, ("sec-fetch-site", "same-origin")]), 200);
        assert_eq!(check(Kind::Api, &[HOST, ORIGIN, ("content-type", "application/json; charset=utf-8")]), 200);
        assert_eq!(check(Kind::Api, &[HOST, JSON]), 403, "no origin");
        for origin in
            ["null", "http://localhost:7481", "http://127.0.0.1", "https://127.0.0.1:7481", "http://evil.test"]
        {
            assert_eq!(check(Kind::Api, &[HOST, ("origin", origin), JSON]), 403, "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert_eq!(check(Kind::Api, &[HOST, ORIGIN, JSON, ("sec-fetch-site", site)]), 403, "{site}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert_eq!(check(Kind::Api, &[HOST, ORIGIN, ("content-type", kind)]), 415, "{kind}");
        }
        assert_eq!(check(Kind::Api, &[HOST, ORIGIN]), 415);
        assert_eq!(check(Kind::Asset, &[HOST, ("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(check(Kind::Asset, &[HOST, ("sec-fetch-site", "same-origin")]), 200);
    }

    #[test]
    fn the_page_is_come_to_from_anywhere_but_stands_in_no_other() {
        assert_eq!(check(Kind::Page, &[HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")]), 200);
        for place in ["iframe", "frame", "embed", "object", "image", "script"] {
            assert_eq!(check(Kind::Page, &[HOST, ("sec-fetch-dest", place)]), 403, "{place}");
        }
    }
}
