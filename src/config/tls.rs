//! The files that a port's TLS needs.

use std::path::Path;

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::ConfigError;
use crate::{http_server::Tls, spec};

/// The largest file, in bytes: a chain of certificates.
const MAX_BYTES: usize = 1024 * 1024;

/// Reads a certificate with its chain, and its key. Errors name the files and never show the key.
pub fn tls(certificate: &Path, key: &Path) -> Result<Tls, ConfigError> {
    let fault =
        |problem: String| ConfigError::Tls { certificate: certificate.to_owned(), key: key.to_owned(), problem };
    let read = |path: &Path| {
        let text = spec::read_text(path, MAX_BYTES);
        text.map_err(|error| fault(format!("`{}` cannot be read ({error})", path.display())))
    };
    let (chain, key) = (read(certificate)?, Zeroizing::new(read(key)?));
    Tls::from_pem(&chain, &SecretString::from(key.as_str())).map_err(|error| fault(error.to_string()))
}
