//! The sections `tokens` and `oauth` of the configuration file: who may call over HTTP.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use http::HeaderName;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, CredentialReference};
use crate::{
    access::{ScopePolicy, Scopes, restrictions},
    base_url::{base_url, is_loopback},
    catalog::{names, risk::Risk},
    credential::CredentialHeader,
    nearest::nearest,
};

/// The algorithms that tokens may be signed with (RFC 7518, RFC 8037): those whose key to verify with cannot sign.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// The longest name of a token, in characters.
const MAX_NAME: usize = 48;

/// A bearer token of the operator's for one kind of caller.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct TokenEntry {
    /// Names the caller in logs: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The token by reference: `env:NAME` or `file:PATH`.
    pub token: String,
    /// The groups whose tools, resources and prompts the caller may use: a shipped group, the namespace of an exposed
    /// server, or the name of a spec's file without its ending [default: all].
    pub groups: Option<Vec<String>>,
    /// The worst that the caller's tools may do: `read`, `write`, `destructive`, `exec` or `grant` [default: anything].
    pub ceiling: Option<String>,
}

/// The authorization server whose tokens are taken.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct OAuthEntry {
    /// The issuer of tokens, as they name it in `iss`. Its metadata names its keys.
    pub issuer: String,
    /// Where its keys are, where its metadata is not to be asked.
    pub jwks_uri: Option<String>,
    /// The URL by which clients know this server, such as `https://tools.example.com/mcp`.
    pub resource: String,
    /// What tokens name in `aud`, any of these [default: `resource`].
    #[serde(default)]
    pub audience: Vec<String>,
    /// The algorithms that tokens may be signed with, such as `RS256`; never `none` nor `HS256` [default: all with public
    /// keys].
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// The scopes that are needed.
    #[serde(default)]
    pub scopes: ScopesEntry,
}

/// The scopes that tokens need. A call needs those of all entries that fit it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(deny_unknown_fields)]
pub struct ScopesEntry {
    /// For anything at all.
    pub required: Vec<String>,
    /// For what may do at worst `read`, `write`, `destructive`, `exec` or `grant`. A class that is not named asks for what
    /// the next one below it asks for.
    pub risks: BTreeMap<String, Vec<String>>,
    /// For groups: a shipped group, the namespace of an exposed server, or the name of a spec's file without its ending.
    pub groups: BTreeMap<String, Vec<String>>,
    /// For single tools.
    pub tools: BTreeMap<String, Vec<String>>,
    /// What a scope stands for besides itself.
    pub implied: BTreeMap<String, Vec<String>>,
}

/// A header in which callers bring keys of their own for the services behind this server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct CallerBackendKeyEntry {
    /// The header's name [default: `X-Keyglass-Backend-Key`].
    pub header: Option<String>,
    /// The namespaces of the services that are sent such a key in the place of the configured credential; no others are.
    pub namespaces: Vec<String>,
}

/// Where callers may bring keys of their own, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerBackendKey {
    /// The header.
    pub header: HeaderName,
    /// The services that are sent the key; never empty.
    pub namespaces: Arc<BTreeSet<String>>,
}

/// Who may call over HTTP, checked.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    /// Bearer tokens.
    pub tokens: Vec<NamedToken>,
    /// Tokens of an authorization server.
    pub oauth: Option<OAuthSettings>,
    /// Where callers may bring keys for the backends.
    pub backend_key: Option<CallerBackendKey>,
}

/// A bearer token of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedToken {
    /// The caller's name.
    pub name: String,
    /// Where the token is.
    pub reference: CredentialReference,
    /// The groups, where it is not all of them.
    pub groups: Option<Arc<BTreeSet<String>>>,
    /// The worst class of risk.
    pub ceiling: Option<Risk>,
}

/// A bearer token of the operator's with its value.
#[derive(Clone, Debug)]
pub struct HeldToken {
    /// What is known of it.
    pub token: NamedToken,
    /// Its value.
    pub value: SecretString,
}

/// An authorization server and what its tokens need.
#[derive(Clone, Debug)]
pub struct OAuthSettings {
    /// As tokens name it.
    pub issuer: String,
    /// The same as an address.
    pub issuer_url: Url,
    /// Where its keys are; its metadata tells where nothing is said.
    pub jwks_uri: Option<Url>,
    /// This server, without a slash at its end.
    pub resource: Url,
    /// What tokens name in `aud`, any of these; never empty.
    pub audience: Vec<String>,
    /// Of [`ALGORITHMS`]; never empty.
    pub algorithms: Vec<&'static str>,
    /// The scopes that are needed.
    pub scopes: Arc<ScopePolicy>,
}

impl Callers {
    /// Checks what the file says. Error: the setting and what is wrong with it.
    pub(super) fn checked(
        tokens: Vec<TokenEntry>,
        oauth: Option<OAuthEntry>,
        backend_key: Option<CallerBackendKeyEntry>,
    ) -> Result<Self, ConfigError> {
        let invalid = |setting| move |problem| ConfigError::Invalid { setting, problem };
        let mut checked: Vec<NamedToken> = Vec::new();
        for entry in tokens {
            let token = entry.checked().map_err(invalid("tokens"))?;
            if checked.iter().any(|known| known.name == token.name) {
                return Err(invalid("tokens")(format!(
                    "two tokens are named `{}`; give each a name of its own",
                    token.name
                )));
            }
            checked.push(token);
        }
        let oauth = oauth.map(OAuthEntry::checked).transpose().map_err(invalid("oauth"))?;
        let backend_key = backend_key.map(CallerBackendKeyEntry::checked).transpose();
        Ok(Self { tokens: checked, oauth, backend_key: backend_key.map_err(invalid("caller_backend_key"))? })
    }

    /// Where the issuer of tokens is asked for its keys.
    pub(super) fn issuer(&self) -> impl Iterator<Item = &Url> {
        self.oauth.iter().flat_map(|oauth| [&oauth.issuer_url].into_iter().chain(&oauth.jwks_uri))
    }

    /// Reads the values of the tokens. Error: one that is not there.
    pub fn held(&self) -> Result<Vec<HeldToken>, ConfigError> {
        let hold = |token: &NamedToken| Ok(HeldToken { token: token.clone(), value: token.reference.read()? });
        self.tokens.iter().map(hold).collect()
    }

    /// A remark on each group and each tool that is named and is not among these.
    pub fn unknown(&self, groups: &BTreeSet<&str>, tools: &BTreeSet<&str>) -> Vec<String> {
        let of_tokens = self.tokens.iter().flat_map(|token| token.groups.iter().flat_map(|groups| groups.iter()));
        let scopes = self.oauth.as_ref().map(|oauth| &oauth.scopes);
        let of_oauth = scopes.iter().flat_map(|scopes| scopes.groups.keys());
        let remark = restrictions::unknown;
        let groups_of = |setting, names: &mut dyn Iterator<Item = &String>| -> Vec<String> {
            let unknown: BTreeSet<&String> = names.filter(|name| !groups.contains(name.as_str())).collect();
            unknown.into_iter().map(|name| remark(setting, "group", name, groups)).collect()
        };
        let mut remarks = groups_of("tokens", &mut of_tokens.into_iter());
        remarks.extend(groups_of("oauth.scopes", &mut of_oauth.into_iter()));
        let of_tools =
            scopes.iter().flat_map(|scopes| scopes.tools.keys()).filter(|name| !tools.contains(name.as_str()));
        remarks.extend(of_tools.map(|name| remark("oauth.scopes", "tool", name, tools)));
        remarks
    }
}

impl TokenEntry {
    /// Lets a relative file start at this folder.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(path) = self.token.strip_prefix("file:").filter(|path| !path.is_empty()) {
            self.token = format!("file:{}", folder.join(path).display());
        }
    }

    fn checked(self) -> Result<NamedToken, String> {
        let Self { name, token, groups, ceiling } = self;
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_letter) {
            // What stands there may be the token.
            return Err(format!(
                "each token needs a `name` of 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`; one has another"
            ));
        }
        let reference = token.parse().map_err(|problem: String| format!("`{name}`: {problem}"))?;
        let ceiling = ceiling.map(|text| text.parse::<Risk>()).transpose();
        let ceiling = ceiling.map_err(|problem| format!("the `ceiling` of `{name}`: {problem}"))?;
        Ok(NamedToken { name, reference, groups: groups.map(|groups| Arc::new(groups.into_iter().collect())), ceiling })
    }
}

impl CallerBackendKeyEntry {
    fn checked(self) -> Result<CallerBackendKey, String> {
        let header: CredentialHeader = self.header.as_deref().unwrap_or("X-Keyglass-Backend-Key").parse()?;
        let name = header.name().as_str();
        if ["mcp-", "x-forwarded-", "sec-"].iter().any(|start| name.starts_with(start)) || name == "origin" {
            return Err(format!("`{name}` is a header that is needed for something else; choose another name"));
        }
        if self.namespaces.is_empty() || self.namespaces.iter().any(String::is_empty) {
            return Err("name the services that are sent the keys of callers in `namespaces`".to_owned());
        }
        Ok(CallerBackendKey {
            header: header.name().clone(),
            namespaces: Arc::new(self.namespaces.into_iter().collect()),
        })
    }
}

impl OAuthEntry {
    fn checked(self) -> Result<OAuthSettings, String> {
        let Self { issuer, jwks_uri, resource, audience, algorithms, scopes } = self;
        let safe = |name: &str, text: &str| {
            let url = base_url(text).map_err(|problem| format!("`{name}` {problem}"))?;
            if url.scheme() != "https" && !is_loopback(&url) {
                return Err(format!("`{name}` must start with `https://`, unless it is on this machine"));
            }
            Ok(url)
        };
        let issuer_url = safe("issuer", &issuer)?;
        let resource = safe("resource", &resource)?;
        // Unlike the others it may have a query.
        let jwks_uri = jwks_uri.map(|text| {
            let url = Url::parse(&text).ok().filter(|url| url.scheme() == "https" || is_loopback(url));
            url.filter(|url| matches!(url.scheme(), "https" | "http") && url.password().is_none()).ok_or_else(|| {
                "`jwks_uri` must be a URL that starts with `https://`, unless it is on this machine".to_owned()
            })
        });
        let jwks_uri = jwks_uri.transpose()?;
        let named = algorithms.iter().map(|name| algorithm(name)).collect::<Result<Vec<_>, _>>()?;
        let algorithms = if named.is_empty() { ALGORITHMS.to_vec() } else { named };
        if audience.iter().any(String::is_empty) {
            return Err("`audience` holds an empty text; leave it out to ask for `resource`".to_owned());
        }
        let audience = if audience.is_empty() { vec![canonical(&resource).to_owned()] } else { audience };
        Ok(OAuthSettings {
            issuer,
            issuer_url,
            jwks_uri,
            resource,
            audience,
            algorithms,
            scopes: Arc::new(scopes.checked()?),
        })
    }
}

/// A URL as others write it: without a slash at its end.
pub fn canonical(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn algorithm(name: &str) -> Result<&'static str, String> {
    if let Some(known) = ALGORITHMS.into_iter().find(|known| *known == name) {
        return Ok(known);
    }
    if name.eq_ignore_ascii_case("none") || name.to_ascii_uppercase().starts_with("HS") {
        return Err(format!("`algorithms`: whoever reads a token signed with `{name}` can make one; leave it out"));
    }
    let near = nearest(name, ALGORITHMS).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("`algorithms`: `{name}` is not known; known: {}{near}", ALGORITHMS.join(", ")))
}

impl ScopesEntry {
    fn checked(self) -> Result<ScopePolicy, String> {
        let Self { required, risks, groups, tools, implied } = self;
        let maps = |map: BTreeMap<String, Vec<String>>| {
            map.into_iter().map(|(name, named)| Ok((name, scopes(named)?))).collect::<Result<BTreeMap<_, _>, String>>()
        };
        let risk = |(name, named): (String, Vec<String>)| {
            let risk: Risk = name.parse().map_err(|problem| format!("`scopes.risks`: {problem}"))?;
            Ok((risk, scopes(named)?))
        };
        // A name that no tool can be offered under is the one that a spec gives it.
        let mut of_tools: BTreeMap<String, Scopes> = BTreeMap::new();
        for (name, named) in maps(tools)? {
            of_tools.entry(names::offered(&name)).or_default().extend(named);
        }
        Ok(ScopePolicy {
            required: scopes(required)?,
            risks: risks.into_iter().map(risk).collect::<Result<_, String>>()?,
            groups: maps(groups)?,
            tools: of_tools,
            implied: maps(implied)?,
        })
    }
}

/// Names of scopes, which go into a header between quotes (RFC 6749, section 3.3).
fn scopes(names: Vec<String>) -> Result<Scopes, String> {
    let is_fit = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if names.iter().any(|name| name.is_empty() || !name.bytes().all(is_fit)) {
        return Err("`scopes`: a name of a scope is visible ASCII without spaces, quotes and backslashes".to_owned());
    }
    if names.iter().any(|name| name == "offline_access") {
        return Err("`scopes`: `offline_access` is between clients and their issuer; leave it out".to_owned());
    }
    Ok(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(config: &str) -> Result<Callers, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyglass.yaml");
        std::fs::write(&path, config).expect("written");
        let file = crate::config::ConfigFile::read(&path).map_err(|error| error.to_string())?;
        Callers::checked(file.tokens, file.oauth, file.caller_backend_key).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_with_callers_is_said_and_no_token_shown() {
        let oauth =
            |more: &str| format!("oauth: {{ issuer: 'https://a.test', resource: 'https://b.test/mcp', {more} }}");
        for (config, words) in [
            ("tokens: [{ name: a, token: canary }]".to_owned(), "`a`: a credential is given by reference"),
            ("tokens: [{ name: 'a b', token: 'env:A' }]".to_owned(), "needs a `name` of 1 to 48 letters"),
            ("tokens: [{ token: 'env:A' }]".to_owned(), "name"),
            (
                "tokens: [{ name: a, token: 'env:A' }, { name: a, token: 'env:B' }]".to_owned(),
                "two tokens are named `a`",
            ),
            ("tokens: [{ name: a, token: 'env:A', ceiling: wriet }]".to_owned(), "did you mean `write`?"),
            ("tokens: [{ name: a, token: 'env:A', group: [b] }]".to_owned(), "did you mean `groups`?"),
            ("oauth: { issuer: 'https://a.test' }".to_owned(), "resource"),
            ("oauth: { issuer: 'http://a.test', resource: 'https://b.test' }".to_owned(), "`issuer` must start with"),
            ("oauth: { issuer: 'https://a.test', resource: 'http://b.test' }".to_owned(), "`resource` must start with"),
            ("oauth: { issuer: 'https://a.test', resource: 'https://b.test#x' }".to_owned(), "a fragment"),
            (oauth("jwks_uri: 'http://a.test/keys'"), "`jwks_uri` must be a URL that starts with `https://`"),
            (oauth("jwks_uri: 'ftp://localhost/keys'"), "`jwks_uri` must be a URL that starts with `https://`"),
            (oauth("algorithms: [none]"), "whoever reads a token signed with `none` can make one"),
            (oauth("algorithms: [RS256, HS256]"), "whoever reads a token signed with `HS256` can make one"),
            (oauth("algorithms: [RS265]"), "did you mean `RS256`?"),
            (oauth("audience: ['']"), "`audience` holds an empty text"),
            (oauth("scopes: { required: ['a b'] }"), "visible ASCII without spaces"),
            (oauth("scopes: { tools: { a: ['x\"'] } }"), "visible ASCII without spaces"),
            (oauth("scopes: { required: [offline_access] }"), "`offline_access`"),
            (oauth("scopes: { risks: { raed: [x] } }"), "did you mean `read`?"),
            ("caller_backend_key: { header: X-Key }".to_owned(), "namespaces"),
            ("caller_backend_key: { namespaces: [] }".to_owned(), "`namespaces`"),
            ("caller_backend_key: { header: Authorization, namespaces: [a] }".to_owned(), "needed for something else"),
            ("caller_backend_key: { header: Mcp-Name, namespaces: [a] }".to_owned(), "needed for something else"),
            ("caller_backend_key: { header: 'a b', namespaces: [a] }".to_owned(), "expected the name of a header"),
            (oauth("scopes: { tool: { raed: [x] } }"), "did you mean `tools`?"),
        ] {
            let problem = checked(&config).expect_err(&config);
            assert!(problem.contains(words) && !problem.contains("canary"), "{config}: {problem}");
        }
    }

    #[test]
    fn names_that_nothing_has_are_told_of() {
        let config = "oauth: { issuer: 'https://a.test', resource: 'https://b.test', scopes: { groups: { pest: [x], pets: [x] }, \
                      tools: { feed_pet: [y], fed_pet: [y] } } }\n\
                      tokens: [{ name: a, token: 'env:A', groups: [birds, pets] }, { name: b, token: 'env:B', groups: [birds] }]";
        let callers = checked(config).expect("good settings");
        assert_eq!(
            callers.unknown(&["pets"].into(), &["feed_pet"].into()),
            [
                "`tokens` names the group `birds`, which no loaded spec has",
                "`oauth.scopes` names the group `pest`, which no loaded spec has; did you mean `pets`?",
                "`oauth.scopes` names the tool `fed_pet`, which no loaded spec has; did you mean `feed_pet`?",
            ]
        );
    }

    #[test]
    fn scopes_may_call_a_tool_as_its_spec_does() {
        let config = "oauth: { issuer: 'https://a.test', resource: 'https://b.test', scopes: { tools: { pets.drop: [x], \
                      pets_drop: [y] } } }";
        let callers = checked(config).expect("good settings");
        let tools = &callers.oauth.as_ref().expect("an issuer").scopes.tools;
        let both = Scopes::from(["x".to_owned(), "y".to_owned()]);
        assert_eq!(tools.iter().collect::<Vec<_>>(), [(&"pets_drop".to_owned(), &both)]);
        assert!(callers.unknown(&["pets"].into(), &["pets_drop"].into()).is_empty());
    }

    #[test]
    fn what_is_left_out_is_the_safe_choice() {
        let config = "oauth: { issuer: 'http://localhost:1/a/', resource: 'https://b.test/mcp/' }\n\
                      tokens: [{ name: a, token: file:b, groups: [] }]";
        let Callers { tokens, oauth, backend_key: None } = checked(config).expect("good settings") else {
            panic!("nobody brings keys");
        };
        let oauth = oauth.expect("an issuer");
        assert_eq!(
            (oauth.issuer.as_str(), oauth.audience),
            ("http://localhost:1/a/", vec!["https://b.test/mcp".to_owned()])
        );
        assert!(oauth.algorithms.iter().all(|name| !name.starts_with("HS")) && !oauth.algorithms.is_empty());
        let token = tokens.first().expect("a token");
        assert_eq!(token.groups.as_ref().map(|groups| groups.len()), Some(0), "none is not all");
        let CredentialReference::File(path) = &token.reference else { panic!("a file") };
        assert!(path.is_absolute(), "beside the configuration file");
    }
}
