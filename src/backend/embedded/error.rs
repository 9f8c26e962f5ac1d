//! What can go wrong: at the start ([`OpenError`]), and in one request ([`ApiError`]).
//!
//! Knows nothing of routes and tables. No text here ever holds a key or a secret's value.

use std::{io, path::PathBuf, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::{answer::json_answer, crypto::CryptoError, store::StoreError};
use crate::http_server::SlowBody;

/// The code of what another program is in the way of.
const BUSY: &str = "busy";
/// After how many seconds that can be tried again.
const BUSY_SECONDS: u64 = 1;
/// The code of what is stored otherwise than this program wrote it.
const DAMAGED: &str = "damaged";

/// Why the embedded backend cannot start. Each text is one line that names the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data folder cannot be made.
    #[error("the data folder `{}` cannot be used ({source}); name another one or mend its permissions", path.display())]
    Folder {
        /// The data folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file in the data folder cannot be read, written or closed to others.
    #[error("`{}` cannot be {action} ({source}); mend its permissions or name another data folder", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried, as in "read".
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is a database, but the key it was made with is gone. No other key is made: it could not open anything.
    #[error(
        "`{}` is missing, but `{}` cannot be read without it; put it back, or give the reference it was sealed with by \
         `--master-key`, or move the database away to start empty",
        path.display(), database.display()
    )]
    MasterKeyMissing {
        /// Where the key should be.
        path: PathBuf,
        /// The database.
        database: PathBuf,
    },
    /// A key file that holds something else.
    #[error("`{}` does not hold {expected}; {remedy}", path.display())]
    KeyFileInvalid {
        /// The key file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The master key cannot be had from where it is said to be.
    #[error("the master key `{reference}` cannot be used: {reason}")]
    MasterKeyUnusable {
        /// Where it is said to be.
        reference: String,
        /// What is wrong.
        reason: String,
    },
    /// The database was made with another master key.
    #[error(
        "`{source_name}` is not the key that `{}` was made with; put the right one back, or give the reference it was \
         sealed with by `--master-key`, or move the database away to start empty",
        database.display()
    )]
    MasterKeyMismatch {
        /// The key file, or the reference.
        source_name: String,
        /// The database.
        database: PathBuf,
    },
    /// The key in the root key file is not the database's.
    #[error(
        "`{}` does not belong to `{}`; restore the right one, or delete it to have a new root key made",
        path.display(), database.display()
    )]
    RootKeyMismatch {
        /// The root key file.
        path: PathBuf,
        /// The database.
        database: PathBuf,
    },
    /// Somebody else holds the database for too long.
    #[error(
        "`{}` has been locked by another program for more than {} s; stop that program, or name another data folder",
        database.display(), waited.as_secs_f32()
    )]
    Locked {
        /// The database.
        database: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The file is no SQLite database, or one of another program.
    #[error("`{}` is not a keyglass database; move it away, or name another data folder", database.display())]
    Foreign {
        /// The file.
        database: PathBuf,
    },
    /// A later keyglass has written the database.
    #[error(
        "`{}` has schema version {found}, this keyglass knows up to {known}; use a newer keyglass, or name another data \
         folder",
        database.display()
    )]
    Newer {
        /// The database.
        database: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version known here.
        known: usize,
    },
    /// What the database holds would change what this program's statements do.
    #[error(
        "`{}` is not as keyglass made it: {what}; `keyglass backend verify` tells everything, undo that or restore a backup",
        database.display()
    )]
    Altered {
        /// The database.
        database: PathBuf,
        /// What is other, for a person.
        what: String,
    },
    /// What the start needs of the database is damaged.
    #[error("`{}`: {reason}", database.display())]
    Damaged {
        /// The database.
        database: PathBuf,
        /// What is damaged, and what to do.
        reason: String,
    },
    /// The database can only be read, or nothing can be put beside it.
    #[error(
        "`{}` cannot be written, or no file can be made beside it ({reason}); let this user write the database and the \
         folder, or name another data folder",
        database.display()
    )]
    Unwritable {
        /// The database.
        database: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// SQLite cannot work with the file.
    #[error("`{}` cannot be used ({reason}); check the disk", database.display())]
    Database {
        /// The database.
        database: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The machine gives no random bytes or no thread. The text says which.
    #[error("the embedded backend cannot start: {0}; try again, or look at the limits of the system")]
    System(String),
}

/// A refused or failed request: what the client is told, and what only the log is told.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    external: String,
    internal: Option<String>,
    /// After how many seconds it can be tried again.
    retry_after: Option<u64>,
    /// Whether the connection ends with the answer.
    close: bool,
}

/// What a refused request was told, for those APIs that put it in another form.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The stable code.
    pub(super) code: &'static str,
    /// The message.
    pub(super) message: String,
}

impl ApiError {
    /// 400: the request is wrong in itself. The text names the member and says what was expected.
    pub(super) fn invalid(external: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", external)
    }

    /// 400 for a name that is taken. Not 409, which Runloop's clients repeat five times; and they look for the words
    /// "already exists" to turn to an update instead.
    pub(super) fn already_exists(external: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "already_exists", external)
    }

    /// 401. The text says what is wrong with the credential, never which credential.
    pub(super) fn unauthorized(external: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", external)
    }

    /// 401 for a key that is not, or no longer, one.
    pub(super) fn invalid_token(external: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", external)
    }

    /// 401 for a key whose time is over.
    pub(super) fn token_expired(external: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token_expired", external)
    }

    /// 403: the key is good, but not for this.
    pub(super) fn forbidden(external: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", external)
    }

    /// 404.
    pub(super) fn not_found(external: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", external)
    }

    /// 405. The router adds `Allow`; a handler that answers so adds it itself.
    pub(super) fn method_not_allowed(external: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", external)
    }

    /// 413.
    pub(super) fn too_large(external: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", external)
    }

    /// 400 for a body that did not arrive in time. Not 408, which clients repeat at once and with the same result.
    pub(super) fn slow_body(slow: &SlowBody) -> Self {
        Self { close: true, ..Self::new(StatusCode::BAD_REQUEST, "body_timeout", format!("{slow}; send it at once")) }
    }

    /// 503 for a request that was at work for too long. Clients repeat it, as they should.
    pub(super) fn overdue(time: Duration) -> Self {
        let external = format!(
            "the backend did not get done with this within {} s; a change may still be carried out, so repeat it with the \
             same `x-request-id`, or look first",
            time.as_secs_f32()
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overdue", external)
    }

    /// 429, with the time after which it can be tried again.
    pub(super) fn rate_limited(external: &str, seconds: u64) -> Self {
        let external = format!("{external}; try again in {seconds} s");
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", external) }
    }

    /// Whether it says that the key is not good.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Whether it says that what was asked for cannot be had, rather than that something failed.
    pub(super) fn is_refusal(&self) -> bool {
        self.status.is_client_error()
    }

    /// Whether it says that another program is in the way.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.code == BUSY
    }

    /// Whether it says that what is stored is damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.code == DAMAGED
    }

    /// The same with these words before its message.
    pub(super) fn after(self, words: &str) -> Self {
        Self { external: format!("{words} {}", self.external), ..self }
    }

    /// 500: a fault of our own or of the machine. The cause goes to the log alone.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        Self {
            internal: Some(cause.to_string()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the backend ran into a fault of its own")
        }
    }

    fn new(status: StatusCode, code: &'static str, external: impl Into<String>) -> Self {
        Self { status, code, external: external.into(), internal: None, retry_after: None, close: false }
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&rusqlite::Error> for ApiError {
    fn from(error: &rusqlite::Error) -> Self {
        // All of these are repeated by clients, and rightly: they are the machine's, and may pass.
        let (status, code, external) = match error.sqlite_error_code() {
            _ if is_busy(error) => (
                StatusCode::SERVICE_UNAVAILABLE,
                BUSY,
                "the database has been in use for too long, perhaps by another program; nothing was changed, repeat the \
                 request",
            ),
            Some(rusqlite::ErrorCode::DiskFull) => (
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "the disk of the backend is full; nothing was changed, make room and repeat the request",
            ),
            Some(rusqlite::ErrorCode::SystemIoFailure) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "disk_failed",
                "the disk of the backend failed; nothing was changed, the log has the reason",
            ),
            Some(rusqlite::ErrorCode::ReadOnly) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "read_only",
                "the backend may not write to its folder; nothing was changed, mend the folder's permissions",
            ),
            _ => return Self::internal(error),
        };
        let retry_after = (code == BUSY).then_some(BUSY_SECONDS);
        Self { internal: Some(error.to_string()), retry_after, ..Self::new(status, code, external) }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Sqlite(error) => error.into(),
            StoreError::Damaged(_) | StoreError::DamagedRow { .. } | StoreError::Unchanged(_) => {
                let text = match &error {
                    StoreError::Damaged(_) => {
                        "what is stored here was changed by someone else, or is damaged; restore a backup".to_owned()
                    }
                    named => named.to_string(),
                };
                Self {
                    internal: Some(error.to_string()),
                    ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, DAMAGED, text)
                }
            }
            StoreError::Closed => {
                let text = error.to_string();
                Self { external: text.clone(), ..Self::internal(text) }
            }
            other => Self::internal(other),
        }
    }
}

impl From<CryptoError> for ApiError {
    fn from(error: CryptoError) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, external, internal, retry_after, close } = self;
        if let Some(cause) = internal {
            tracing::error!(%cause, status = status.as_u16(), "embedded backend failed");
        }
        let body = serde_json::json!({ "message": external, "code": code }).to_string();
        let mut response = json_answer(status, body);
        response.extensions_mut().insert(Refusal { code, message: external });
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if close {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Whether another connection held the database.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}
