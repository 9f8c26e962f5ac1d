//! Credentials towards services: what one is, how it goes onto a request, what must never come back in an answer.
//!
//! Must not know specs nor where a secret comes from, beyond the name that a person knows it by. Sending is in
//! [`send`](mod@send), with the two kinds that need a conversation: [`digest`] and [`oauth2`].

pub mod caller_key;
pub mod digest;
pub(crate) mod header;
pub mod oauth2;
pub mod send;

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header::AUTHORIZATION};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

pub use self::{caller_key::CallerKey, digest::Digest, header::CredentialHeader, oauth2::OAuth2, send::send};
use crate::{error::CallError, mask::MASKED};

/// All but the unreserved characters of RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A resolved credential and where it goes. Its `Debug` shows no secret. Clones share what is known of a session.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Calls are anonymous.
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// Keys of any name, all of them together.
    Keys(Vec<Key>),
    /// User and password as they are (RFC 7617).
    Basic(User),
    /// User and password, shown to be known without being sent (RFC 7616).
    Digest(Arc<Digest>),
    /// A token that an authorization server issues (RFC 6749, section 4.4).
    OAuth2(Arc<OAuth2>),
}

/// A secret and the name a person knows it by.
#[derive(Clone, Debug)]
pub struct Secret {
    value: SecretString,
    /// The shell's way to write it, as in `$TOKEN`; absent where it has none.
    shell: Option<String>,
    /// The secrets in it, where other text stands around them.
    parts: Vec<SecretString>,
}

/// A key and where it goes.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where.
    pub slot: Slot,
    /// The key.
    pub value: Secret,
}

/// A place of a request that a credential fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A header.
    Header(HeaderName),
    /// A query parameter.
    Query(String),
}

/// A user and a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The name; a secret of its own where the password is empty, since services that know callers by a key ask for it
    /// there.
    pub name: Secret,
    /// The password.
    pub password: Secret,
    /// Whether the name is to be masked as well.
    pub secret_name: bool,
}

impl Secret {
    /// A secret, and how a shell writes it between double quotes: `$TOKEN`, or `Bearer $TOKEN`.
    pub fn new(value: SecretString, shell: Option<String>) -> Self {
        Self { value, shell, parts: Vec::new() }
    }

    /// A secret that no variable holds.
    pub fn unnamed(value: impl Into<SecretString>) -> Self {
        Self::new(value.into(), None)
    }

    /// The same with the secrets in it, which may come back without the text around them.
    pub fn around(self, parts: Vec<SecretString>) -> Self {
        Self { parts, ..self }
    }

    /// What no answer may repeat.
    fn secrets(&self) -> impl Iterator<Item = SecretString> {
        [&self.value].into_iter().chain(&self.parts).cloned()
    }

    /// The secret in clear.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The secret as it is kept.
    pub fn value(&self) -> &SecretString {
        &self.value
    }

    /// How a shell writes it; masked where no variable holds it.
    pub fn shell(&self) -> &str {
        self.shell.as_deref().unwrap_or(MASKED)
    }

    fn is_same(&self, other: &Self) -> bool {
        bool::from(self.expose().as_bytes().ct_eq(other.expose().as_bytes()))
    }
}

impl User {
    /// `NAME:PASSWORD` in base64 (RFC 7617, section 2).
    fn basic(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", self.name.expose(), self.password.expose()));
        Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()))
    }

    fn shell(&self) -> String {
        let password = if self.password.expose().is_empty() { "" } else { self.password.shell() };
        format!("{}:{password}", if self.secret_name { self.name.shell() } else { self.name_shown() })
    }

    /// The name, which is no secret, unless a variable holds it.
    fn name_shown(&self) -> &str {
        self.name.shell.as_deref().unwrap_or(self.name.expose())
    }

    fn is_same(&self, other: &Self) -> bool {
        self.name.is_same(&other.name) && self.password.is_same(&other.password)
    }

    fn secrets(&self) -> impl Iterator<Item = SecretString> {
        let is_secret = self.secret_name || self.password.expose().is_empty();
        self.password.secrets().chain(self.name.secrets().filter(move |_| is_secret))
    }
}

impl Credential {
    /// The same as it is in a header of this name, where it is one secret; else as it was.
    pub fn in_header(self, header: &CredentialHeader) -> Self {
        let slot = Slot::Header(header.name().clone());
        match self {
            Self::Bearer(value) => Self::Keys(vec![Key { slot, value }]),
            Self::Keys(keys) if keys.len() == 1 => {
                Self::Keys(keys.into_iter().map(|key| Key { slot: slot.clone(), value: key.value }).collect())
            }
            other => other,
        }
    }

    /// Whether calls are anonymous.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The server that is shown the secret to issue tokens, where there is one.
    pub fn authorization_server(&self) -> Option<&Url> {
        match self {
            Self::OAuth2(oauth) => Some(oauth.client().endpoint.url()),
            _ => None,
        }
    }

    /// Whether both are the same secret in the same place.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bearer(own), Self::Bearer(other)) => own.is_same(other),
            (Self::Keys(own), Self::Keys(other)) => {
                own.len() == other.len()
                    && own
                        .iter()
                        .zip(other)
                        .all(|(own, other)| own.slot == other.slot && own.value.is_same(&other.value))
            }
            (Self::Basic(own), Self::Basic(other)) => own.is_same(other),
            (Self::Digest(own), Self::Digest(other)) => own.user().is_same(other.user()),
            (Self::OAuth2(own), Self::OAuth2(other)) => own.client().is_same(other.client()),
            _ => false,
        }
    }

    /// Everything that no answer may repeat, at this moment: tokens that were issued are among it.
    pub fn secrets(&self) -> Vec<SecretString> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer(secret) => secret.secrets().collect(),
            Self::Keys(keys) => keys.iter().flat_map(|key| with_bare_token(&key.value)).collect(),
            Self::Basic(user) => user.secrets().chain([SecretString::from(user.basic().as_str())]).collect(),
            Self::Digest(digest) => digest.user().secrets().collect(),
            Self::OAuth2(oauth) => oauth.secrets(),
        }
    }

    /// Whether tokens are issued to it, which change.
    pub fn is_issued_tokens(&self) -> bool {
        match self {
            Self::OAuth2(_) => true,
            Self::None | Self::Bearer(_) | Self::Keys(_) | Self::Basic(_) | Self::Digest(_) => false,
        }
    }

    /// The tokens that were issued to it and may still be good.
    pub fn issued_tokens(&self) -> Vec<SecretString> {
        match self {
            Self::OAuth2(oauth) => oauth.issued_tokens(),
            _ => Vec::new(),
        }
    }

    /// Puts it onto a request as it stands; a digest or an OAuth 2 token is none without a conversation.
    ///
    /// Errors: [`CallError::Unconfigured`] for a secret that cannot stand in its place.
    fn apply(&self, request: &mut Request<Bytes>) -> Result<(), CallError> {
        match self {
            Self::None | Self::Digest(_) | Self::OAuth2(_) => Ok(()),
            Self::Bearer(secret) => authorize(request.headers_mut(), "Bearer ", secret.expose()),
            Self::Basic(user) => authorize(request.headers_mut(), "Basic ", &user.basic()),
            Self::Keys(keys) => keys.iter().try_for_each(|key| match &key.slot {
                Slot::Header(name) => set_header(request.headers_mut(), name.clone(), key.value.expose()),
                Slot::Query(name) => add_query(request, name, key.value.expose()),
            }),
        }
    }

    /// Puts it onto a request that is shown instead of sent: where it goes, masked.
    pub fn apply_masked(&self, request: &mut Request<Bytes>) {
        for (slot, text) in self.places(Secret::masked) {
            match slot {
                Slot::Header(name) => {
                    if let Ok(value) = HeaderValue::from_str(&text) {
                        request.headers_mut().insert(name, value);
                    }
                }
                Slot::Query(name) => {
                    let pair = format!("{}={text}", utf8_percent_encode(&name, ENCODED));
                    append_query(request, &pair).ok();
                }
            }
        }
    }

    /// Where it goes, a line for each place, masked: `Authorization: Bearer [masked]`, `?api_key=[masked]`.
    pub fn describe(&self) -> Vec<String> {
        let line = |(slot, text): (Slot, String)| match slot {
            Slot::Header(name) => format!("{name}: {text}"),
            Slot::Query(name) => format!("?{}={text}", utf8_percent_encode(&name, ENCODED)),
        };
        self.places(Secret::masked).into_iter().map(line).collect()
    }

    /// The options of `curl` that add it, ready for a shell, with the variables it came from in the place of secrets.
    pub fn curl(&self) -> Vec<String> {
        match self {
            Self::Basic(user) => vec![format!("--user \"{}\"", user.shell())],
            Self::Digest(digest) => vec!["--digest".to_owned(), format!("--user \"{}\"", digest.user().shell())],
            _ => {
                let option = |(slot, text): (Slot, String)| match slot {
                    Slot::Header(name) => format!("--header \"{name}: {text}\""),
                    Slot::Query(name) => format!("--url-query \"{}={text}\"", shell_quoted(&name)),
                };
                self.places(|secret| secret.shell().to_owned()).into_iter().map(option).collect()
            }
        }
    }

    /// The places it goes to, with a stand-in for each secret.
    fn places(&self, stand_in: fn(&Secret) -> String) -> Vec<(Slot, String)> {
        let authorization = |text: String| vec![(Slot::Header(AUTHORIZATION), text)];
        match self {
            Self::None => Vec::new(),
            Self::Bearer(secret) => authorization(format!("Bearer {}", stand_in(secret))),
            Self::Keys(keys) => keys.iter().map(|key| (key.slot.clone(), stand_in(&key.value))).collect(),
            Self::Basic(_) => authorization(format!("Basic {MASKED}")),
            Self::Digest(_) => authorization(format!("Digest {MASKED}")),
            Self::OAuth2(oauth) => authorization(format!("Bearer {}", stand_in(&oauth.stand_in()))),
        }
    }
}

impl Secret {
    fn masked(&self) -> String {
        MASKED.to_owned()
    }
}

/// A text between double quotes of a shell, without anything that the shell would read.
pub fn shell_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // A backslash before it would stay, and interactive shells read it even here.
            '!' => quoted.push_str("\"'!'\""),
            '\\' | '"' | '$' | '`' => quoted.extend(['\\', character]),
            other => quoted.push(other),
        }
    }
    quoted
}

/// A key such as `Bearer abc` comes back as `abc` as well.
fn with_bare_token(secret: &Secret) -> Vec<SecretString> {
    let bare = secret.expose().rsplit_once(' ').map(|(_, token)| SecretString::from(token));
    secret.secrets().chain(bare).collect()
}

/// Sets `Authorization` to a scheme and what follows it.
fn authorize(headers: &mut HeaderMap, scheme: &str, secret: &str) -> Result<(), CallError> {
    set_header(headers, AUTHORIZATION, &Zeroizing::new(format!("{scheme}{secret}")))
}

fn set_header(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), CallError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        CallError::Unconfigured(
            "the configured credential holds characters that no HTTP header may have; the operator must set it again"
                .to_owned(),
        )
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn add_query(request: &mut Request<Bytes>, name: &str, value: &str) -> Result<(), CallError> {
    let pair = format!("{}={}", utf8_percent_encode(name, ENCODED), utf8_percent_encode(value, ENCODED));
    append_query(request, &Zeroizing::new(pair))
}

fn append_query(request: &mut Request<Bytes>, pair: &str) -> Result<(), CallError> {
    let own = request.uri().to_string();
    let separator = if request.uri().query().is_some() { '&' } else { '?' };
    // The error of the parser would repeat the secret.
    let uri: Uri = format!("{own}{separator}{pair}")
        .parse()
        .map_err(|_| CallError::Unconfigured("the request is too long together with its credential".to_owned()))?;
    *request.uri_mut() = uri;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(value: &str) -> Secret {
        Secret::new(value.into(), Some("$NAME".to_owned()))
    }

    fn user(name: &str, password: &str) -> User {
        User { name: Secret::unnamed(name), password: named(password), secret_name: false }
    }

    fn all() -> Vec<Credential> {
        let header = Key { slot: Slot::Header(HeaderName::from_static("x-key")), value: named("canary-header") };
        let query = Key { slot: Slot::Query("api key".to_owned()), value: named("canary-q&=") };
        vec![
            Credential::Bearer(named("canary-bearer")),
            Credential::Keys(vec![header, query]),
            Credential::Basic(user("alice", "canary-basic")),
            Credential::Digest(Arc::new(Digest::new(user("alice", "canary-digest")))),
        ]
    }

    fn request() -> Request<Bytes> {
        Request::builder().uri("https://host.test/v1?a=b").body(Bytes::new()).expect("a request")
    }

    #[test]
    fn nothing_that_is_shown_holds_a_secret() {
        for credential in all() {
            let mut shown = request();
            credential.apply_masked(&mut shown);
            let text = format!("{credential:?} {shown:?} {:?} {:?}", credential.describe(), credential.curl());
            assert!(!text.contains("canary"), "{text}");
            assert!(format!("{shown:?}").contains("masked"), "{shown:?}");
        }
    }

    #[test]
    fn a_shell_is_given_the_variables() {
        let lines: Vec<Vec<String>> = all().iter().map(Credential::curl).collect();
        assert_eq!(lines[0], [r#"--header "authorization: Bearer $NAME""#]);
        assert_eq!(lines[1], [r#"--header "x-key: $NAME""#, r#"--url-query "api key=$NAME""#]);
        assert_eq!(lines[2], [r#"--user "alice:$NAME""#]);
        assert_eq!(lines[3], ["--digest", r#"--user "alice:$NAME""#]);
        assert_eq!(shell_quoted(r#"a"$(b)`\"#), r#"a\"\$(b)\`\\"#);
        assert_eq!(shell_quoted("a!b"), "a\"'!'\"b");
        assert_eq!(
            Credential::Bearer(Secret::unnamed("canary")).curl(),
            [r#"--header "authorization: Bearer [masked]""#]
        );
    }

    #[test]
    fn each_kind_goes_to_its_place() {
        let applied = |credential: &Credential| {
            let mut request = request();
            credential.apply(&mut request).expect("applied");
            request
        };
        let all = all();
        assert_eq!(applied(&all[0]).headers()["authorization"], "Bearer canary-bearer");
        let keys = applied(&all[1]);
        assert_eq!(keys.headers()["x-key"], "canary-header");
        assert_eq!(keys.uri(), "https://host.test/v1?a=b&api%20key=canary-q%26%3D");
        // RFC 7617, section 2
        let basic = Credential::Basic(user("Aladdin", "open sesame"));
        assert_eq!(applied(&basic).headers()["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        for credential in &all {
            assert!(applied(credential).headers().values().all(HeaderValue::is_sensitive));
        }
        let broken = Credential::Bearer(named("canary\nbroken"));
        let error = broken.apply(&mut request()).expect_err("refused").to_string();
        assert!(error.contains("no HTTP header") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn what_must_not_come_back_is_known() {
        let secrets = |credential: &Credential| -> Vec<String> {
            credential.secrets().iter().map(|secret| secret.expose_secret().to_owned()).collect()
        };
        let key = Key { slot: Slot::Header(AUTHORIZATION), value: named("Bearer canary") };
        assert_eq!(secrets(&Credential::Keys(vec![key])), ["Bearer canary", "canary"]);
        assert_eq!(secrets(&Credential::Basic(user("alice", "pw"))), ["pw", "YWxpY2U6cHc="]);
        assert_eq!(secrets(&Credential::Basic(user("key", ""))), ["", "key", "a2V5Og=="]);
    }

    #[test]
    fn the_same_credential_is_known_again() {
        for (index, own) in all().iter().enumerate() {
            for (other_index, other) in all().iter().enumerate() {
                assert_eq!(own.is_same(other), index == other_index, "{own:?} {other:?}");
            }
        }
        assert!(!Credential::Bearer(named("a")).is_same(&Credential::Bearer(named("b"))));
    }
}
