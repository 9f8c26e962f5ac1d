//! Reading a file that a spec offers as a resource. Whether it still lies in its folder is looked at each time: links may
//! have changed since it was found.

use std::{fs, io, io::Read as _, path::PathBuf};

use bytes::Bytes;

use super::{Binary, Content, MAX_BINARY_BYTES};
use crate::{
    backend::Limits,
    catalog::folder::{Folder, is_text},
    error::CallError,
    prose::invisible::visible,
};

/// A file on its way to be read.
pub(super) struct Place {
    root: PathBuf,
    path: PathBuf,
    media_type: Option<String>,
}

impl Place {
    pub(super) fn new(folder: &Folder, path: &str, media_type: Option<&str>) -> Self {
        let path = folder.root.join(path);
        Self { root: folder.root.clone(), path, media_type: media_type.map(str::to_owned) }
    }

    /// Reads it, on a thread that may wait. Text where its media type says so, or says nothing, and it is UTF-8.
    pub(super) async fn read(self, limits: Limits) -> Result<Content, CallError> {
        let says_text = self.media_type.as_deref().is_none_or(is_text);
        let limit = if says_text { limits.max_answer_bytes } else { MAX_BINARY_BYTES };
        let Self { root, path, media_type } = self;
        let reading = tokio::task::spawn_blocking(move || bytes_of(&root, path, limit));
        // A file system may hang; the thread is left behind then.
        let read =
            tokio::time::timeout(limits.timeout, reading).await.map_err(|_| CallError::Timeout(limits.timeout))?;
        let read = read.map_err(|error| CallError::Internal(format!("reading a file: {error}")))?;
        let bytes = read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CallError::NoFile,
            io::ErrorKind::PermissionDenied => CallError::UnreadableFile("permission is missing".to_owned()),
            io::ErrorKind::FileTooLarge => CallError::UnreadableFile(format!("it is larger than {limit} bytes")),
            kind => CallError::UnreadableFile(kind.to_string()),
        })?;
        let binary = |bytes: Vec<u8>, media_type: Option<String>| {
            let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
            Content::Binary(Binary { media_type, bytes: Bytes::from(bytes) })
        };
        if !says_text {
            return Ok(binary(bytes, media_type));
        }
        Ok(match String::from_utf8(bytes) {
            Ok(text) => {
                let media_type = media_type.or_else(|| Some("text/plain".to_owned()));
                Content::Text { media_type, text: visible(&text).into_owned() }
            }
            Err(error) => binary(error.into_bytes(), media_type),
        })
    }
}

fn bytes_of(root: &std::path::Path, path: PathBuf, limit: usize) -> io::Result<Vec<u8>> {
    let real = path.canonicalize()?;
    // A link that leads elsewhere by now, or a pipe that would never end, is as good as gone.
    if !real.starts_with(root) || !fs::metadata(&real)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut bytes = Vec::new();
    fs::File::open(real)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    };

    use super::*;

    const LIMITS: Limits = Limits { timeout: Duration::from_secs(30), max_answer_bytes: 8 };

    async fn read(root: &std::path::Path, path: &str, media_type: Option<&str>) -> Result<Content, CallError> {
        let root = root.canonicalize().unwrap();
        let folder = Folder { root, files: BTreeMap::new(), folders: BTreeSet::new() };
        Place::new(&folder, path, media_type).read(LIMITS).await
    }

    #[tokio::test]
    async fn a_file_is_what_its_media_type_and_its_bytes_say() {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in [("text", b"hi".as_slice()), ("bytes", b"\xff\x00"), ("large", b"123456789")] {
            fs::write(folder.path().join(path), bytes).unwrap();
        }
        let text = |kind: &str| Content::Text { media_type: Some(kind.to_owned()), text: "hi".to_owned() };
        let binary = |kind: &str, bytes: &'static [u8]| {
            Content::Binary(Binary { media_type: kind.to_owned(), bytes: Bytes::from_static(bytes) })
        };
        for (path, media_type, expected) in [
            ("text", None, text("text/plain")),
            ("text", Some("text/markdown"), text("text/markdown")),
            ("text", Some("image/png"), binary("image/png", b"hi")),
            ("bytes", None, binary("application/octet-stream", b"\xff\x00")),
            ("bytes", Some("text/plain"), binary("text/plain", b"\xff\x00")),
            ("large", Some("image/png"), binary("image/png", b"123456789")),
        ] {
            assert_eq!(read(folder.path(), path, media_type).await.unwrap(), expected, "{path} {media_type:?}");
        }
        let error = read(folder.path(), "large", None).await.unwrap_err();
        assert!(error.to_string().contains("larger than 8 bytes"), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_leads_out_by_now_is_gone() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("secret"), "canary").unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("secret"), folder.path().join("link")).unwrap();
        for path in ["link", "nothing", ".", "../"] {
            assert!(matches!(read(folder.path(), path, None).await, Err(CallError::NoFile)), "{path}");
        }
    }
}
