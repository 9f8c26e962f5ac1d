//! Which backend serves which namespace: what `--backend` says, and what holds where it says nothing.

use std::{collections::BTreeMap, fmt, str::FromStr};

use http::Method;
use url::Url;

use crate::{
    backend::embedded::{self, StandIn},
    base_url::{self, base_url},
    spec::{Consumes, Operation},
};

/// A backend to send calls to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The backend built in.
    Embedded,
    /// The base URL that the spec names.
    Remote,
    /// This base URL.
    Url(Url),
}

impl Choice {
    /// The URL that was chosen, where one was.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Url(url) => Some(url),
            Self::Embedded | Self::Remote => None,
        }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "remote" => Ok(Self::Remote),
            url if url.contains("://") => {
                base_url(url).map(Self::Url).map_err(|problem| format!("`{}` {problem}", base_url::shown(url)))
            }
            other => Err(format!("`{other}` is no backend; expected `embedded`, `remote` or a URL")),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => formatter.write_str("embedded"),
            Self::Remote => formatter.write_str("remote"),
            Self::Url(url) => formatter.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

/// A setting that holds for one namespace, or for all: `NAMESPACE=VALUE` or `VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scoped<T> {
    /// The namespace; all where absent.
    pub namespace: Option<String>,
    /// The setting.
    pub value: T,
}

impl<T: FromStr<Err = String>> FromStr for Scoped<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A URL may hold `=`, a namespace never holds what stands before it in one.
        let is_namespace = |name: &str| {
            !name.is_empty()
                && name.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
        };
        match text.split_once('=') {
            Some((namespace, value)) if is_namespace(namespace) => {
                Ok(Self { namespace: Some(namespace.to_owned()), value: value.parse()? })
            }
            _ => Ok(Self { namespace: None, value: text.parse()? }),
        }
    }
}

/// Settings by namespace, with one for the rest.
#[derive(Clone, Debug)]
pub struct ByNamespace<T> {
    named: BTreeMap<String, T>,
    rest: Option<T>,
}

impl<T> Default for ByNamespace<T> {
    fn default() -> Self {
        Self { named: BTreeMap::new(), rest: None }
    }
}

impl<T> ByNamespace<T> {
    /// Collects settings; of two for the same namespace, or two for the rest, the later one holds.
    pub fn new(settings: impl IntoIterator<Item = Scoped<T>>) -> Self {
        let mut collected = Self::default();
        for Scoped { namespace, value } in settings {
            match namespace {
                Some(namespace) => {
                    collected.named.insert(namespace, value);
                }
                None => collected.rest = Some(value),
            }
        }
        collected
    }

    /// The setting of a namespace.
    pub fn get(&self, namespace: &str) -> Option<&T> {
        self.named.get(namespace).or(self.rest.as_ref())
    }

    /// All settings.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.named.values().chain(&self.rest)
    }

    /// The namespaces that are named.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

/// The backend of a service that `--backend` says nothing about: the one built in where it serves every operation of
/// it, else the service itself. Nothing in the environment changes this.
pub fn default_choice(consumes: &Consumes) -> Choice {
    let known = stand_in(consumes).is_some();
    let served = known && !consumes.operations.is_empty() && consumes.operations.iter().all(|it| serves(consumes, it));
    if served { Choice::Embedded } else { Choice::Remote }
}

/// The service that the backend built in stands in for, where it is this one: by its base URI, to the letter.
pub(crate) fn stand_in(consumes: &Consumes) -> Option<&'static StandIn> {
    let base = consumes.base_uri.as_ref()?.value.trim_end_matches('/');
    embedded::STAND_INS.iter().find(|known| known.base_uri == base)
}

/// Whether the backend built in has a route for an operation. An unknown service is taken for one with Runloop's paths.
pub(crate) fn serves(consumes: &Consumes, operation: &Operation) -> bool {
    let prefix = stand_in(consumes).map_or("", |known| known.path_prefix);
    let path = format!("{prefix}{}", operation.path.value);
    Method::from_bytes(operation.method.value.as_bytes()).is_ok_and(|method| embedded::serves(&method, &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backend_settings_are_read() {
        let parse =
            |text: &str| text.parse::<Scoped<Choice>>().map(|scoped| (scoped.namespace, scoped.value.to_string()));
        assert_eq!(parse("embedded"), Ok((None, "embedded".to_owned())));
        assert_eq!(parse("a-b=remote"), Ok((Some("a-b".to_owned()), "remote".to_owned())));
        assert_eq!(parse("x=http://127.0.0.1:80/v1/"), Ok((Some("x".to_owned()), "http://127.0.0.1/v1".to_owned())));
        assert_eq!(parse("https://h.test"), Ok((None, "https://h.test".to_owned())));
        for bad in ["", "embeded", "x=", "https://user:pw@h.test", "https://h.test/?a=b", "=remote"] {
            parse(bad).expect_err(bad);
        }
    }

    #[test]
    fn the_more_specific_and_the_later_setting_hold() {
        let settings = ["remote", "a=embedded", "https://h.test", "a=remote"].map(|text| text.parse().expect(text));
        let choices: ByNamespace<Choice> = ByNamespace::new(settings);
        assert_eq!(choices.get("a"), Some(&Choice::Remote));
        assert_eq!(choices.get("b").map(ToString::to_string).as_deref(), Some("https://h.test"));
    }
}
