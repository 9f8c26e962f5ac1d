//! Secrets that stand in a spec itself, where a request has the name of one: they become variables, so that all that hides
//! the values of those hides them too. Knows nothing of where they would be shown.

use std::fmt::Write as _;

use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{body::BodyTemplate, fill::Fill, request::RequestTemplate};
use crate::{
    sensitive::{SCHEMES, names_secret_value},
    variables::Variable,
};

/// Shorter values are words more often than secrets, and would be masked in every text.
const MIN_SECRET: usize = 6;
/// Names of what a signed URL is signed with.
const SIGNATURES: [&str; 2] = ["sig", "signature"];

/// Makes variables of the fixed values in a request whose names say that they are secret.
pub(super) fn hide(request: &mut RequestTemplate) {
    let RequestTemplate { method: _, path: _, query, headers, cookies, body, accept: _ } = request;
    query.iter_mut().for_each(|slot| hide_in(&slot.name, &mut slot.fill));
    for (name, fill) in headers {
        if *name == http::header::COOKIE {
            hide_cookies(fill);
        } else {
            hide_in(name.as_str(), fill);
        }
    }
    cookies.iter_mut().for_each(|(name, fill)| hide_in(name, fill));
    match body {
        BodyTemplate::None => {}
        BodyTemplate::Json(fill) | BodyTemplate::Text { fill, .. } => hide_in("", fill),
        BodyTemplate::Form(fields) => fields.iter_mut().for_each(|(name, fill)| hide_in(name, fill)),
        BodyTemplate::Multipart(parts) => parts.iter_mut().for_each(|part| hide_in(&part.name, &mut part.fill)),
    }
}

fn hide_in(name: &str, fill: &mut Fill) {
    match fill {
        Fill::Literal(Value::String(text)) if is_secret(name) => *fill = hidden(name, text),
        Fill::Literal(Value::Object(members)) => {
            let members = members.iter().map(|(name, value)| (name.clone(), Fill::Literal(value.clone())));
            let mut object = Fill::Object(members.collect());
            hide_in(name, &mut object);
            if !object.secrets().is_empty() {
                *fill = object;
            }
        }
        Fill::Object(members) => members.iter_mut().for_each(|(name, member)| hide_in(name, member)),
        Fill::List(items) => items.iter_mut().for_each(|item| hide_in(name, item)),
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    names_secret_value(name) || SIGNATURES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A header of cookies: the value of each is a secret, whatever its name.
fn hide_cookies(fill: &mut Fill) {
    let Fill::Literal(Value::String(text)) = fill else { return };
    let mut parts = Vec::new();
    for (index, pair) in text.split(';').enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let mut before = String::new();
        if index > 0 {
            before.push(';');
        }
        if pair.contains('=') {
            before.push_str(name);
            before.push('=');
        }
        parts.push(Fill::Literal(Value::from(before)));
        parts.push(hidden("cookie", value));
    }
    *fill = Fill::Text(parts);
}

/// A secret, with the word before it that tells of which kind it is.
fn hidden(name: &str, text: &str) -> Fill {
    if let Some((scheme, secret)) = text.split_once(' ')
        && SCHEMES.contains(&scheme.to_ascii_lowercase().as_str())
    {
        return Fill::Text(vec![Fill::Literal(Value::from(format!("{scheme} "))), hidden(name, secret)]);
    }
    if text.trim().chars().count() < MIN_SECRET {
        return Fill::Literal(Value::from(text));
    }
    // Variables are the same where their names are, and these have to differ where their values do.
    let mut name = format!("{name} of the spec, ");
    for byte in Sha256::digest(text).iter().take(4) {
        write!(name, "{byte:02x}").ok(); // a string takes all
    }
    Fill::Variable(Variable { name, value: Ok(SecretString::from(text)), sensitive: true, from_environment: false })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Method};
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::{
        super::{
            fill::Scope,
            path::PathTemplate,
            request::{QuerySlot, QueryStyle},
        },
        *,
    };

    fn literal(value: Value) -> Fill {
        Fill::Literal(value)
    }

    #[test]
    fn what_a_name_says_is_secret_becomes_one_and_is_sent_unchanged() {
        let header = |name, value: &str| (HeaderName::from_static(name), literal(json!(value)));
        let slot = |name: &str, value: &str| QuerySlot {
            name: name.to_owned(),
            style: QueryStyle::Repeat,
            fill: literal(json!(value)),
        };
        let mut request = RequestTemplate {
            method: Method::POST,
            path: PathTemplate::parse("/a").expect("a path"),
            query: vec![slot("token", "canary-query"), slot("sig", "canary-sig"), slot("version", "2026-01-01")],
            headers: vec![
                header("x-api-key", "canary-header"),
                header("authorization", "Bearer canary-bearer"),
                header("cookie", "sid=canary-cookie; lang=german"),
                header("x-version", "version-1"),
            ],
            cookies: vec![("session_token".to_owned(), literal(json!("canary-jar")))],
            body: BodyTemplate::Json(Fill::Object(vec![
                ("client_secret".to_owned(), literal(json!("canary-body"))),
                ("deep".to_owned(), literal(json!({"password": "canary-deep", "plain": "plain-text"}))),
                ("pin".to_owned(), literal(json!("1"))),
            ])),
            accept: "application/json",
        };
        let base = url::Url::parse("https://a.test").expect("a URL");
        let arguments = serde_json::Map::new();
        let bound = |request: &RequestTemplate, stand_in| {
            let scope = Scope { stand_in, ..Scope::new(&arguments, &Value::Null) };
            let bound = request.bind(&scope, &base).expect("bound");
            let headers: Vec<String> = bound
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
                .collect();
            format!("{} {headers:?} {}", bound.uri(), String::from_utf8_lossy(bound.body()))
        };
        let before = bound(&request, None);
        hide(&mut request);
        assert_eq!(bound(&request, None), before, "the same is sent");
        let shown = bound(&request, Some("hidden"));
        assert!(!shown.contains("canary"), "{shown}");
        for plain in ["2026-01-01", "version-1", "plain-text", "Bearer hidden", "sid=hidden"] {
            assert!(shown.contains(plain), "{plain}: {shown}");
        }
        assert!(!format!("{request:?}").contains("canary"));
        let secrets: Vec<&str> =
            request.fills().into_iter().flat_map(Fill::secrets).map(|one| one.expose_secret()).collect();
        assert!(secrets.contains(&"canary-bearer") && secrets.contains(&"canary-deep"), "{secrets:?}");
    }

    #[test]
    fn different_secrets_are_different_fills() {
        assert_eq!(hidden("token", "canary-1"), hidden("token", "canary-1"));
        assert_ne!(hidden("token", "canary-1"), hidden("token", "canary-2"));
    }
}
