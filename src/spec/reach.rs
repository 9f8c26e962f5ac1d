//! Files and folders that specs name: what a `location` means, and how far it may reach. Specs come from others, and what
//! they name is read by whoever runs them.
//!
//! Must not know what is done with a file.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

/// The path of a `file:` URI, relative where it starts with a dot: `file:///./name`, `file://./name`, `./name`.
pub(crate) fn path_of(location: &str) -> Result<PathBuf, String> {
    let scheme = location.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("file:"));
    let Some(rest) = scheme.and_then(|_| location.get(5..)) else { return Ok(PathBuf::from(location)) };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let rest = rest.strip_prefix("localhost/").map_or(rest, |_| rest.trim_start_matches("localhost"));
    let rest = if rest.starts_with("/./") || rest.starts_with("/../") { rest.trim_start_matches('/') } else { rest };
    let path = percent_decode_str(rest).decode_utf8().map_err(|_| "its name is not UTF-8".to_owned())?;
    if path.is_empty() || path.contains('\0') { Err("it names no file".to_owned()) } else { Ok(PathBuf::from(&*path)) }
}

/// The folder of a spec's file.
pub(crate) fn folder_of(spec: &Path) -> &Path {
    match spec.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a spec may name this file or folder, a path without links: in its own folder or deeper, below the folder that
/// holds that one, or in a folder that the operator named. The root of the file system is everybody's.
pub(crate) fn is_within(real: &Path, spec: &Path, named: &[PathBuf]) -> bool {
    let own = folder_of(spec).canonicalize().ok();
    let beside = own.as_deref().and_then(Path::parent).filter(|beside| *beside != real).map(Path::to_owned);
    let named = named.iter().filter_map(|folder| folder.canonicalize().ok());
    let mut reach = named.chain(own.clone()).chain(beside).filter(|folder| folder.parent().is_some());
    reach.any(|folder| real.starts_with(folder))
}

/// Whether a path goes through a name with a dot before it that neither the spec's own folder nor one that the operator
/// named goes through: keys and settings of programs lie there. All of them are paths without links.
pub(crate) fn is_hidden(real: &Path, own: &Path, named: &[PathBuf]) -> bool {
    let named = named.iter().filter_map(|folder| folder.canonicalize().ok());
    let trusted = named.filter(|folder| real.starts_with(folder)).map(|folder| folder.components().count());
    let shared = real.components().zip(own.components()).take_while(|(one, other)| one == other).count();
    let trusted = trusted.chain([shared]).max().unwrap_or_default();
    real.components().skip(trusted).any(|component| component.as_os_str().as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_spec_reaches_what_lies_beside_it() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("it is there");
        for folder in ["specs/deeper", "beside", "other"] {
            fs::create_dir_all(root.join("near").join(folder)).expect("made");
        }
        fs::create_dir_all(root.join("far")).expect("made");
        let spec = root.join("near/specs/a.yaml");
        for (path, expected) in [
            ("near/specs", true),
            ("near/specs/deeper", true),
            ("near/beside", true),
            ("near", false),
            ("far", false),
            ("", false),
        ] {
            assert_eq!(is_within(&root.join(path), &spec, &[]), expected, "{path}");
        }
        assert!(is_within(&root.join("far"), &spec, &[root.join("far")]));
        assert!(!is_within(Path::new("/etc"), Path::new("/nowhere.yaml"), &[PathBuf::from("/")]));
    }
}
