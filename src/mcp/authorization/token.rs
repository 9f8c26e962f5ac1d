//! Checking a token: its signature, its issuer, its audience, its time (RFC 7519, RFC 8725, RFC 9068).

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

use super::keys::{Keys, Unavailable};
use crate::config::callers::OAuthSettings;

/// By how much the clocks of issuer and server may differ, in seconds.
const LEEWAY: u64 = 30;
/// The longest token, in bytes: a whole request's head has no more.
const MAX_BYTES: usize = 8 * 1024;

/// What a token says that was found good.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Invalid {
    /// It is not good: the reason, for the log.
    Token(&'static str),
    /// It cannot be told.
    KeysUnavailable,
}

#[derive(Deserialize)]
struct Payload {
    // As text: a list of issuers is none.
    iss: String,
    sub: String,
    #[serde(default, deserialize_with = "names")]
    scope: Vec<String>,
    #[serde(default, deserialize_with = "names")]
    scp: Vec<String>,
}

pub(super) async fn verify(token: &SecretString, settings: &OAuthSettings, keys: &Keys) -> Result<Claims, Invalid> {
    let token = token.expose_secret();
    if token.len() > MAX_BYTES {
        return Err(Invalid::Token("it is too long"));
    }
    // `none` is no algorithm that could be read.
    let header = decode_header(token).map_err(|_| Invalid::Token("it is no signed JWT of a known algorithm"))?;
    let algorithm = allowed(header.alg, settings).ok_or(Invalid::Token("its algorithm is not allowed"))?;
    if header.crit.is_some() {
        return Err(Invalid::Token("it asks for extensions that are not known"));
    }
    // Others are for other ends, a DPoP proof or a logout among them.
    let kind = header.typ.as_deref().map(str::to_ascii_lowercase);
    let kind = kind.as_deref().map(|kind| kind.strip_prefix("application/").unwrap_or(kind));
    if !matches!(kind, None | Some("jwt" | "at+jwt")) {
        return Err(Invalid::Token("its `typ` is that of no access token"));
    }
    let validation = validation(algorithm, settings);
    let check = |key: &DecodingKey| decode::<Payload>(token, key, &validation).map(|decoded| decoded.claims);
    let outcomes = keys.with(header.kid.as_deref(), algorithm, check).await;
    let outcomes = outcomes.map_err(|Unavailable| Invalid::KeysUnavailable)?;
    let mut problem = "no key of the issuer fits it";
    for outcome in outcomes {
        match outcome {
            Ok(payload) if payload.iss == settings.issuer && !payload.sub.is_empty() => {
                let scopes = payload.scope.into_iter().chain(payload.scp).collect();
                return Ok(Claims { subject: payload.sub, scopes });
            }
            Ok(_) => problem = "its issuer or its subject is not one",
            Err(error) => problem = reason(&error),
        }
    }
    Err(Invalid::Token(problem))
}

fn allowed(algorithm: Algorithm, settings: &OAuthSettings) -> Option<Algorithm> {
    settings.algorithms.iter().any(|name| name.parse() == Ok(algorithm)).then_some(algorithm)
}

fn validation(algorithm: Algorithm, settings: &OAuthSettings) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_audience(&settings.audience);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

/// The library's own texts may repeat what the token says.
fn reason(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "its issuer is another",
        ErrorKind::InvalidAudience => "its audience is another",
        ErrorKind::MissingRequiredClaim(_) => "it lacks one of `exp`, `iss`, `aud` and `sub`",
        _ => "it cannot be read",
    }
}

/// Names in one text with spaces between (RFC 8693, section 4.2), or in a list, as some issuers write them.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        Text(String),
        List(Vec<String>),
    }
    Ok(match Option::<Names>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Names::Text(text)) => text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Some(Names::List(list)) => list,
    })
}
