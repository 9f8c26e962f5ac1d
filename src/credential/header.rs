//! The header that a credential is sent in where the operator names one, and the headers that are taken for other things.

use std::str::FromStr;

use http::HeaderName;

/// Headers that the program sets itself, or that a client and its server use between the two of them (RFC 9110, section
/// 7.6.1).
pub(crate) const OWN_HEADERS: [&str; 17] = [
    "authorization",
    "accept",
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
    "cookie",
    "x-request-id",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "proxy-connection",
    "keep-alive",
    "user-agent",
];

/// The longest name that is taken for one, in bytes.
const LONGEST_NAME: usize = 64;

/// The header that a credential is sent in, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialHeader(HeaderName);

impl CredentialHeader {
    /// Its name.
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl FromStr for CredentialHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|name| name.as_str().len() <= LONGEST_NAME);
        let name = name.ok_or(
            "expected the name of a header, such as `X-API-Key`; what was given is not shown, in case it is the credential",
        )?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(format!(
                "`{text}` is a header that is needed for something else; expected one such as `X-API-Key`"
            ));
        }
        Ok(Self(name))
    }
}
