//! The backend built in: Runloop's key and secret API on SQLite, in process.

/// The base URL of the service that is spoken here.
pub const RUNLOOP_BASE_URI: &str = "https://api.runloop.ai";

/// Whether an operation is served.
pub fn serves(_method: &http::Method, _path_template: &str) -> bool {
    true
}
/// x
#[derive(Debug)]
pub struct Options {
    /// x
    pub data_dir: std::path::PathBuf,
    /// x
    pub clock: crate::clock::Clock,
}
/// x
#[derive(Debug)]
pub struct Embedded(secrecy::SecretString);
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct OpenError;
/// x
pub fn open(_options: &Options) -> Result<Embedded, OpenError> {
    Err(OpenError)
}
/// x
pub async fn serve(
    _router: axum::Router,
    _listener: tokio::net::TcpListener,
    _shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    Ok(())
}
impl Embedded {
    /// x
    pub fn root_key_path(&self) -> &std::path::Path {
        std::path::Path::new("x")
    }
    /// x
    pub fn root_key(&self) -> &secrecy::SecretString {
        &self.0
    }
    /// x
    pub fn router(&self) -> axum::Router {
        axum::Router::new()
    }
}
