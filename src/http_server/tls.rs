//! TLS of a port: a certificate with its chain, and its key, both in PEM. ALPN offers HTTP/2 and HTTP/1.1.

use std::{fmt, io, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
    server::TlsStream,
};

/// How long a client may take to agree on keys.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// What speaks TLS. Clones share everything.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Why a certificate and a key are of no use. The texts never hold the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text of the certificate holds none, or a broken one.
    #[error("the certificate is not one in PEM (`-----BEGIN CERTIFICATE-----`)")]
    Certificate,
    /// The text of the key holds none, or a broken one.
    #[error("the key is not one in PEM (`-----BEGIN PRIVATE KEY-----`), without a passphrase")]
    Key,
    /// The two do not belong together.
    #[error("the key does not belong to the certificate; name the two of one pair, the server's certificate first")]
    Mismatch,
    /// The library takes neither.
    #[error("the certificate and its key cannot be used ({0})")]
    Unusable(String),
}

impl Tls {
    /// Of a chain of certificates, the server's own first, and its key.
    pub fn from_pem(certificates: &str, key: &SecretString) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| TlsError::Key)?;
        let unusable = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch,
            other => TlsError::Unusable(other.to_string()),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Agrees on keys with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(HANDSHAKE_TIME, self.0.accept(stream)).await?
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}
