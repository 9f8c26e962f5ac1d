//! What a caller shows in an HTTP request, and how it is taken out again before anything else sees the request.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request, uri::PathAndQuery};
use secrecy::SecretString;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::refusal::Refusal;
use crate::{access::Shown, credential::Slot};

/// Everything that a request shows. Two of `Authorization` are as good as none: which one is meant?
pub(super) fn shown(request: &request::Parts, slots: &[Slot]) -> Shown {
    let mut sent = request.headers.get_all(header::AUTHORIZATION).iter();
    let authorization = match (sent.next(), sent.next()) {
        (Some(sent), None) => Some(sent),
        _ => None,
    };
    let token = authorization.and_then(|sent| of_scheme(sent, "Bearer"));
    let basic = authorization.and_then(|sent| of_scheme(sent, "Basic")).and_then(pair);
    let query = request.uri.query().unwrap_or_default();
    let mut keys = Vec::new();
    for slot in slots {
        match slot {
            Slot::Header(name) => {
                let values = request.headers.get_all(name).iter().map(text);
                keys.extend(values.map(|value| (slot.clone(), value)));
            }
            Slot::Query(name) => {
                let values = form_urlencoded::parse(query.as_bytes()).filter(|(own, _)| own == name);
                keys.extend(values.map(|(_, value)| (slot.clone(), SecretString::from(value.as_ref()))));
            }
        }
    }
    Shown { bearer: token.map(|token| SecretString::from(String::from_utf8_lossy(token).as_ref())), basic, keys }
}

/// Whether a request shows a bearer token otherwise than in one header, so that none can be read (RFC 6750, section 2). What
/// keys are asked for in is theirs.
pub(super) fn is_malformed(request: &request::Parts, slots: &[Slot]) -> bool {
    let mut sent = request.headers.get_all(header::AUTHORIZATION).iter();
    let is_one = |sent: &HeaderValue| {
        let scheme = sent.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        // What follows is one word of the characters that a token has.
        let is_word = |token: &[u8]| token.iter().all(|byte| byte.is_ascii_graphic());
        !scheme.eq_ignore_ascii_case(b"bearer") || of_scheme(sent, "Bearer").is_some_and(is_word)
    };
    let in_header = match (sent.next(), sent.next()) {
        (None, _) => false,
        (Some(sent), None) => !is_one(sent),
        (Some(_), Some(_)) => true,
    };
    let query = request.uri.query().unwrap_or_default();
    let is_key = |name: &str| slots.iter().any(|slot| matches!(slot, Slot::Query(own) if own == name));
    in_header
        || form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token" && !is_key("access_token"))
}

/// A header that was to hold one key holds something else.
#[derive(Debug)]
pub(super) struct NotOneKey;

/// The key in a header of this name, where there is one.
pub(super) fn only_value(headers: &HeaderMap, name: &HeaderName) -> Result<Option<SecretString>, NotOneKey> {
    let mut sent = headers.get_all(name).iter();
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(sent), None) if !sent.is_empty() && sent.as_bytes().iter().all(u8::is_ascii_graphic) => {
            Ok(Some(text(sent)))
        }
        _ => Err(NotOneKey),
    }
}

/// Takes what keys are asked for in out of a request.
pub(super) fn take_out(request: &mut request::Parts, slots: &[Slot]) -> Result<(), Refusal> {
    for slot in slots {
        match slot {
            Slot::Header(name) => {
                request.headers.remove(name);
            }
            Slot::Query(name) => {
                if let Some(query) = request.uri.query() {
                    let is_it = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(own, _)| own == *name);
                    let kept: Vec<&str> = query.split('&').filter(|pair| !is_it(pair)).collect();
                    let path = request.uri.path();
                    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
                    request.uri = with_target(&request.uri, &target).ok_or(Refusal::BAD_TARGET)?;
                }
            }
        }
    }
    Ok(())
}

fn with_target(uri: &Uri, target: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// What follows the name of a scheme, which is not case-sensitive (RFC 9110, section 11.1).
fn of_scheme<'a>(value: &'a HeaderValue, scheme: &str) -> Option<&'a [u8]> {
    let (start, rest) = value.as_bytes().split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?.trim_ascii();
    (start.eq_ignore_ascii_case(scheme.as_bytes()) && !rest.is_empty()).then_some(rest)
}

/// User and password (RFC 7617, section 2).
fn pair(encoded: &[u8]) -> Option<(SecretString, SecretString)> {
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(encoded).ok()?);
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((SecretString::from(name), SecretString::from(password)))
}

fn text(value: &HeaderValue) -> SecretString {
    SecretString::from(String::from_utf8_lossy(value.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn slots() -> Vec<Slot> {
        vec![Slot::Header(HeaderName::from_static("x-key")), Slot::Query("a key".to_owned())]
    }

    #[test]
    fn what_is_shown_is_read() {
        for (sent, bearer, basic) in [
            (&["Bearer abc"][..], Some("abc"), None),
            (&["bEARER  abc "], Some("abc"), None),
            (&["Basic YTpiOmM="], None, Some(("a", "b:c"))),
            (&["basic a2V5Og=="], None, Some(("key", ""))),
            (&["Basic YQ=="], None, None),
            (&["Basic %%%"], None, None),
            (&["Bearer"], None, None),
            (&["Bearer "], None, None),
            (&["Bearerabc"], None, None),
            (&["Bearer abc", "Bearer abc"], None, None),
            (&[], None, None),
        ] {
            let headers: Vec<_> = sent.iter().map(|sent| ("authorization", *sent)).collect();
            let shown = shown(&parts("/mcp", &headers), &[]);
            assert_eq!(shown.bearer.as_ref().map(|token| token.expose_secret()), bearer, "{sent:?}");
            let pair = shown.basic.as_ref().map(|(name, word)| (name.expose_secret(), word.expose_secret()));
            assert_eq!(pair, basic, "{sent:?}");
        }
    }

    #[test]
    fn a_token_is_shown_in_one_header() {
        for (uri, sent, malformed) in [
            ("/mcp", &[][..], false),
            ("/mcp", &["Bearer a.b.c"], false),
            ("/mcp", &["bearer  a.b.c"], false),
            ("/mcp", &["Basic x y"], false),
            ("/mcp", &["Bearer"], true),
            ("/mcp", &["Bearer "], true),
            ("/mcp", &["Bearer a b"], true),
            ("/mcp", &["Bearer a", "Bearer a"], true),
            ("/mcp?access_token=a", &["Bearer a"], true),
            ("/mcp?access%5Ftoken=a", &[], true),
        ] {
            let headers: Vec<_> = sent.iter().map(|sent| ("authorization", *sent)).collect();
            assert_eq!(is_malformed(&parts(uri, &headers), &slots()), malformed, "{uri} {sent:?}");
        }
        assert!(!is_malformed(&parts("/mcp?access_token=a", &[]), &[Slot::Query("access_token".to_owned())]));
    }

    #[test]
    fn keys_are_taken_out_and_the_rest_is_left() {
        let mut request =
            parts("http://h/mcp?x=%20&a%20key=1&a+key=2&y", &[("x-key", "3"), ("x-key", "4"), ("x", "5")]);
        let keys = shown(&request, &slots()).keys;
        let keys: Vec<&str> = keys.iter().map(|(_, value)| value.expose_secret()).collect();
        assert_eq!(keys, ["3", "4", "1", "2"]);
        take_out(&mut request, &slots()).unwrap();
        assert_eq!(request.uri, "http://h/mcp?x=%20&y");
        assert_eq!(request.headers.len(), 1);
        let mut request = parts("/mcp?a+key=2", &[]);
        take_out(&mut request, &slots()).unwrap();
        assert_eq!(request.uri, "/mcp");
    }
}
