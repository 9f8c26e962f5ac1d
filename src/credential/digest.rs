//! HTTP Digest authentication (RFC 7616): a challenge is answered by showing that the password is known.
//!
//! MD5 and SHA-256 with and without `-sess`, `qop` of `auth` and `auth-int`, and challenges of the older RFC 2069 without
//! one. A nonce is used again with a higher count until the service asks for another.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use md5::Md5;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{User, authorize, send::Way};
use crate::{error::CallError, random::random_hex};

/// A user and what a service last asked of it.
#[derive(Debug)]
pub struct Digest {
    user: User,
    known: Mutex<Option<Known>>,
}

/// A challenge and how often its nonce was used.
#[derive(Debug)]
struct Known {
    challenge: Challenge,
    count: u32,
}

/// What a service asks (RFC 7616, section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// The algorithm as the service names it; absent where it does not, which means MD5.
    named: Option<String>,
    /// Whether the key is that of a session, `-sess`.
    session: bool,
    protection: Protection,
    /// Whether the user's name is to be hashed.
    hash_user: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

/// The quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    /// None is named, as in RFC 2069.
    Old,
    /// Of method and target.
    Auth,
    /// Of the body as well.
    AuthInt,
}

/// What an answer is made for.
struct Asked<'a> {
    method: &'a Method,
    target: &'a str,
    body: &'a [u8],
}

impl Digest {
    /// A user of whom nothing was asked yet.
    pub fn new(user: User) -> Self {
        Self { user, known: Mutex::default() }
    }

    /// The user.
    pub fn user(&self) -> &User {
        &self.user
    }

    pub(super) async fn send(&self, request: Request<Bytes>, way: Way<'_>) -> Result<Response<Bytes>, CallError> {
        let mut first = request.clone();
        self.answer(&mut first)?;
        let response = way.send(first).await?;
        // What was asked before may have run out (`stale`), so one refusal is answered in any case.
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(challenge) = challenge(response.headers()) else { return Ok(response) };
        self.learn(challenge);
        let mut second = request;
        self.answer(&mut second)?;
        way.send(second).await
    }

    /// Takes a challenge for the one to answer. Some services give the same nonce for a while, and take no count of it
    /// twice: calls at the same time may have used it since.
    fn learn(&self, challenge: Challenge) {
        let mut known = self.known();
        if known.as_ref().is_none_or(|known| known.challenge != challenge) {
            *known = Some(Known { challenge, count: 0 });
        }
    }

    /// Answers the challenge that is known, if one is.
    fn answer(&self, request: &mut Request<Bytes>) -> Result<(), CallError> {
        let (challenge, count) = {
            let mut known = self.known();
            let Some(known) = known.as_mut() else { return Ok(()) };
            known.count = known.count.saturating_add(1);
            (known.challenge.clone(), known.count)
        };
        let client_nonce =
            random_hex::<16>().map_err(|error| CallError::Internal(format!("no randomness: {error}")))?;
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let asked = Asked { method: request.method(), target: &target, body: request.body() };
        let answer = challenge.answer(&self.user, &asked, count, &client_nonce);
        authorize(request.headers_mut(), "Digest ", &answer)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        // A challenge is replaced as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Challenge {
    /// The parameters of an answer (RFC 7616, section 3.4).
    fn answer(&self, user: &User, asked: &Asked<'_>, count: u32, client_nonce: &str) -> Zeroizing<String> {
        let hash = |text: &str| self.algorithm.hash(text.as_bytes());
        let (name, password) = (user.name.expose(), user.password.expose());
        let mut key = hash(&Zeroizing::new(format!("{name}:{}:{password}", self.realm)));
        if self.session {
            key = hash(&Zeroizing::new(format!("{}:{}:{client_nonce}", *key, self.nonce)));
        }
        let mut subject = format!("{}:{}", asked.method, asked.target);
        if self.protection == Protection::AuthInt {
            subject = format!("{subject}:{}", *self.algorithm.hash(asked.body));
        }
        let subject = hash(&subject);
        let protection = match self.protection {
            Protection::Old => None,
            Protection::Auth => Some("auth"),
            Protection::AuthInt => Some("auth-int"),
        };
        let response = match protection {
            None => hash(&format!("{}:{}:{}", *key, self.nonce, *subject)),
            Some(protection) => {
                hash(&format!("{}:{}:{count:08x}:{client_nonce}:{protection}:{}", *key, self.nonce, *subject))
            }
        };
        let mut parts = vec![
            if self.hash_user {
                format!("username=\"{}\"", *hash(&format!("{name}:{}", self.realm)))
            } else if name.is_ascii() {
                format!("username={}", quoted(name))
            } else {
                format!("username*=UTF-8''{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
            },
            format!("realm={}", quoted(&self.realm)),
            format!("uri={}", quoted(asked.target)),
        ];
        parts.extend(self.named.as_ref().map(|name| format!("algorithm={name}")));
        parts.push(format!("nonce={}", quoted(&self.nonce)));
        if let Some(protection) = protection {
            parts.push(format!("nc={count:08x}, cnonce={}, qop={protection}", quoted(client_nonce)));
        }
        parts.push(format!("response=\"{}\"", *response));
        parts.extend(self.opaque.as_ref().map(|opaque| format!("opaque={}", quoted(opaque))));
        if self.hash_user {
            parts.push("userhash=true".to_owned());
        }
        Zeroizing::new(parts.join(", "))
    }
}

impl Algorithm {
    /// In lower-case hexadecimal digits.
    fn hash(self, bytes: &[u8]) -> Zeroizing<String> {
        use std::fmt::Write as _;
        let digest = match self {
            Self::Md5 => Md5::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
        };
        Zeroizing::new(digest.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").ok(); // writing to a string cannot fail
            text
        }))
    }
}

/// The strongest challenge that can be answered.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    // Realms are often written in UTF-8, though no standard says so.
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
    let values = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    let offered = values.flat_map(challenges).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("digest"));
    let understood = offered.filter_map(|(_, parameters)| understand(&parameters));
    // Of equals the first, which the service prefers.
    understood.reduce(|best, next| if next.algorithm > best.algorithm { next } else { best })
}

fn understand(parameters: &[(String, String)]) -> Option<Challenge> {
    let parameter =
        |name: &str| parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    let named = parameter("algorithm");
    let (algorithm, session) = match named.unwrap_or("MD5").to_ascii_lowercase().as_str() {
        "md5" => (Algorithm::Md5, false),
        "md5-sess" => (Algorithm::Md5, true),
        "sha-256" => (Algorithm::Sha256, false),
        "sha-256-sess" => (Algorithm::Sha256, true),
        _ => return None,
    };
    let offers = |wanted: &str| {
        let mut offered = parameter("qop").unwrap_or_default().split(',').map(str::trim);
        offered.any(|offered| offered.eq_ignore_ascii_case(wanted))
    };
    let protection = match parameter("qop") {
        None => Protection::Old,
        Some(_) if offers("auth") => Protection::Auth,
        Some(_) if offers("auth-int") => Protection::AuthInt,
        Some(_) => return None,
    };
    Some(Challenge {
        realm: parameter("realm")?.to_owned(),
        nonce: parameter("nonce")?.to_owned(),
        opaque: parameter("opaque").map(str::to_owned),
        algorithm,
        named: named.map(str::to_owned),
        session,
        protection,
        hash_user: parameter("userhash").is_some_and(|flag| flag.eq_ignore_ascii_case("true")),
    })
}

/// The challenges of one `WWW-Authenticate` (RFC 9110, section 11.6.1): each a scheme with its parameters. Commas part
/// both parameters and challenges.
fn challenges(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        if token.is_empty() {
            // Nothing starts like this; a quote without a name ends the reading.
            return found;
        }
        match after.trim_start().strip_prefix('=') {
            Some(value) => {
                let (value, after) = read_value(value.trim_start());
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((token.to_owned(), value));
                }
                rest = after;
            }
            None => {
                found.push((token.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

/// A quoted text without its quotes, or a plain one; and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Secret, *};

    fn user(name: &str, password: &str) -> User {
        User { name: Secret::unnamed(name), password: Secret::unnamed(password), secret_name: false }
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::WWW_AUTHENTICATE, value.parse().expect("a value"))).collect()
    }

    // RFC 7616, section 3.9.1
    const MD5: &str = r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
    const SHA256: &str = r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (offered, response) in [
            (&[MD5][..], "8ca523f5e9506fed4657c9700eebdbec"),
            (&[SHA256], "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            (&[MD5, SHA256], "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = challenge(&headers(offered)).expect("understood");
            let asked = Asked { method: &Method::GET, target: "/dir/index.html", body: b"" };
            let client_nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let answer = challenge.answer(&user("Mufasa", "Circle of Life"), &asked, 1, client_nonce);
            for part in [
                format!(r#"response="{response}""#).as_str(),
                r#"username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html""#,
                r#"nc=00000001"#,
                r#"qop=auth"#,
                r#"opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
            ] {
                assert!(answer.contains(part), "{part} in {}", *answer);
            }
            assert!(!answer.contains("Circle of Life"));
        }
    }

    #[test]
    fn older_and_rarer_challenges_are_answered() {
        let asked = Asked { method: &Method::GET, target: "/dir/index.html", body: b"" };
        let answer = |offered: &str, name: &str| {
            challenge(&headers(&[offered])).expect(offered).answer(&user(name, "Circle Of Life"), &asked, 1, "0a4f113b")
        };
        // RFC 2069, section 2.4, as its erratum has it
        let old = answer(
            r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
            "Mufasa",
        );
        assert!(!old.contains("qop") && !old.contains("cnonce") && !old.contains("algorithm"), "{}", *old);
        // RFC 2617, section 3.5
        let newer = answer(
            r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
            "Mufasa",
        );
        assert!(newer.contains(r#"response="6629fae49393a05397450978507c4ef1""#), "{}", *newer);
        let hashed = answer(r#"Digest realm="r", nonce="n", qop=auth, userhash=true, algorithm=SHA-256-sess"#, "Jäsøn");
        assert!(hashed.contains("userhash=true") && !hashed.contains("Jäs"), "{}", *hashed);
        let plain = answer(r#"Digest realm="r", nonce="n", qop=auth-int"#, "Jäsøn");
        assert!(plain.contains("username*=UTF-8''J%C3%A4s%C3%B8n") && plain.contains("qop=auth-int"), "{}", *plain);
    }

    #[test]
    fn challenges_are_told_apart() {
        let found = challenges(r#"Basic realm="a, b=\"c\"", Digest nonce="n" , qop=auth, Negotiate"#);
        let names: Vec<&str> = found.iter().map(|(scheme, _)| scheme.as_str()).collect();
        assert_eq!(names, ["Basic", "Digest", "Negotiate"]);
        assert_eq!(found[0].1, [("realm".to_owned(), "a, b=\"c\"".to_owned())]);
        assert_eq!(found[1].1.len(), 2);
        for refused in [
            "Basic realm=\"x\"",
            "Digest realm=\"r\"",
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256",
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth-conf\"",
        ] {
            assert_eq!(challenge(&headers(&[refused])), None, "{refused}");
        }
    }

    #[tokio::test]
    async fn a_nonce_that_is_given_again_is_counted_on() {
        use std::{sync::Arc, time::Duration};

        use crate::{
            backend::{Backend, Limits},
            credential::{Credential, send},
        };
        // The same nonce for all, as of services that make it of the time; no count is taken twice.
        let counts = Arc::new(Mutex::new(Vec::<String>::new()));
        let seen = counts.clone();
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| async move {
            let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
            let count = shown.split("nc=").nth(1).and_then(|rest| rest.get(..8)).map(str::to_owned);
            // The others may be refused meanwhile.
            tokio::task::yield_now().await;
            let mut counts = seen.lock().expect("no panic");
            match count.filter(|count| !counts.contains(count)) {
                Some(count) => {
                    counts.push(count);
                    (StatusCode::OK, HeaderMap::new())
                }
                None => (StatusCode::UNAUTHORIZED, headers(&[MD5])),
            }
        });
        let (backend, credential) =
            (Backend::Embedded(router), Credential::Digest(Arc::new(Digest::new(user("Mufasa", "Circle of Life")))));
        let limits = Limits { timeout: Duration::from_secs(30), max_answer_bytes: 1_000 };
        let calls = (0..20).map(|_| {
            let request = Request::builder().uri("https://api.test/x").body(Bytes::new()).expect("a request");
            send(request, &credential, &backend, &limits)
        });
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
        }
    }

    #[test]
    fn a_realm_may_be_written_in_utf_8() {
        let value = http::HeaderValue::from_bytes("Digest realm=\"Überwachung\", nonce=\"n\"".as_bytes());
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, value.expect("a value"))]);
        assert_eq!(challenge(&headers).map(|challenge| challenge.realm).as_deref(), Some("Überwachung"));
    }

    proptest! {
        #[test]
        fn no_challenge_breaks_the_reading(text in "[ -~]{0,80}|(Digest |realm=|nonce=|\"|,|=|\\\\|a| ){0,20}") {
            let found = challenges(&text);
            prop_assert!(found.len() <= text.len());
        }
    }
}
