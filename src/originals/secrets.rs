//! What is secret in the text of a spec: what stands where credentials belong, whatever it is, and what has the name of a
//! secret elsewhere. Variables in its place stay, since they tell a reader what to set.

use secrecy::SecretString;

use crate::{
    base_url::shown,
    diagnostic::{SourceMap, Span},
    mask::{MASKED, Mask},
    spec::{
        template::{Piece, pieces},
        yaml::{self, Node, Value},
    },
    variables::names_secret,
};

/// Sections in which every value is a secret, unless its key is one of [`TELLING`].
const CREDENTIALS: [&str; 3] = ["authentication", "credentials", "credential"];
/// Keys in them whose values say how to authenticate, not with what.
const TELLING: [&str; 10] = [
    "type",
    "placement",
    "in",
    "key",
    "name",
    "scopes",
    "authorizationServerUri",
    "tokenEndpoint",
    "resource",
    "audience",
];
/// Sections whose `keys` name variables.
const BINDINGS: [&str; 2] = ["binds", "externalRefs"];
/// Keys of a parameter that hold a value of it.
const VALUES: [&str; 5] = ["value", "const", "default", "example", "examples"];
/// Words before a secret that are none themselves, and the types of parameters.
const PLAIN_WORDS: [&str; 11] =
    ["bearer", "basic", "token", "apikey", "digest", "string", "integer", "number", "boolean", "object", "array"];
/// Shorter secrets occur in texts by chance, so they are masked in their own place alone.
const MIN_ANYWHERE: usize = 8;
/// What has more words is a sentence.
const MAX_WORDS: usize = 3;

/// A spec with its secrets masked, and how many servers in it ask their callers for something. None where it is not
/// well-formed, so that places say nothing.
pub(super) fn masked_spec(text: &str, known: &Mask) -> Option<(String, usize)> {
    let mut sources = SourceMap::default();
    let file = sources.add("", text);
    let root = yaml::parse(file, &sources).ok()?;
    let mut search = Search::default();
    search.namespaces.extend(["tools", "rest"].map(str::to_owned));
    search.collect_namespaces(&root);
    search.look(&root, Place::Open);
    let Search { mut found, secrets, .. } = search;
    found.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    let (mut masked, mut end) = (String::with_capacity(text.len()), 0);
    for (span, instead) in found {
        // What an alias or `<<` stands for has the place of that, more than once.
        if span.start < end {
            continue;
        }
        let written = text.get(span.start..span.end)?;
        masked.push_str(text.get(end..span.start)?);
        masked.push_str(&format!("'{}'", instead.replace('\'', "''")));
        // A block scalar ends with its last line.
        masked.push_str(written.get(written.trim_end().len()..).unwrap_or_default());
        end = span.end;
    }
    masked.push_str(text.get(end..)?);
    let masked = without_commented(&masked);
    let masked = Mask::new(&secrets).text(&known.text(&masked));
    Some((masked, asking(&root)))
}

/// A schema with known secrets masked. None where it is not well-formed: it may be a file of another kind by now.
pub(super) fn masked_schema(text: &str, known: &Mask) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    Some(known.text(text))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Open,
    /// Right below one of [`CREDENTIALS`].
    Credentials,
    /// Where everything is secret.
    Secret,
    Bindings,
    Variables,
}

#[derive(Default)]
struct Search {
    /// What stands where, and what is to stand there instead.
    found: Vec<(Span, String)>,
    /// Secrets that are long enough to be looked for anywhere.
    secrets: Vec<SecretString>,
    /// What references to arguments begin with.
    namespaces: Vec<String>,
}

impl Search {
    fn collect_namespaces(&mut self, node: &Node) {
        match &node.value {
            Value::Sequence(items) => items.iter().for_each(|item| self.collect_namespaces(item)),
            Value::Mapping(entries) => {
                for (key, node) in entries {
                    match &node.value {
                        Value::String(text) if key.text == "namespace" => self.namespaces.push(text.clone()),
                        _ => self.collect_namespaces(node),
                    }
                }
            }
            _ => {}
        }
    }

    fn look(&mut self, node: &Node, place: Place) {
        match &node.value {
            Value::Sequence(items) => items.iter().for_each(|item| self.look(item, place)),
            Value::Mapping(entries) => {
                let named = ["name", "key"].iter().find_map(|key| match &node.get(key)?.value {
                    Value::String(name) => Some(name.as_str()),
                    _ => None,
                });
                let is_of_secret = named.is_some_and(names_secret);
                let has_value = node.get("value").is_some() || node.get("headers").is_some();
                for (key, node) in entries {
                    let key = key.text.as_str();
                    let inside = match place {
                        Place::Secret => Place::Secret,
                        Place::Credentials if !matches!(node.value, Value::Sequence(_) | Value::Mapping(_)) => place,
                        Place::Credentials if key == "scopes" => Place::Open,
                        // In a map of headers a name may be any of those that tell something here.
                        Place::Credentials => Place::Secret,
                        _ if CREDENTIALS.contains(&key) => Place::Credentials,
                        Place::Open if BINDINGS.contains(&key) => Place::Bindings,
                        Place::Bindings if key == "keys" => Place::Variables,
                        place => place,
                    };
                    match (&node.value, inside) {
                        (Value::Sequence(_) | Value::Mapping(_), Place::Open)
                            if is_of_secret && VALUES.contains(&key) =>
                        {
                            self.look(node, Place::Secret);
                        }
                        (Value::Sequence(_) | Value::Mapping(_), _) => self.look(node, inside),
                        (_, Place::Credentials) => {
                            let tells = TELLING.contains(&key) && (key != "key" || has_value);
                            if tells { self.clean(node) } else { self.judge(node) }
                        }
                        (_, Place::Open) if names_secret(key) || (is_of_secret && VALUES.contains(&key)) => {
                            // The name of what is meant stands under such keys as well.
                            if key == "key" || key == "keys" || self.is_reference(node) {
                                self.clean(node);
                            } else if matches!(node.value, Value::String(_)) {
                                self.judge(node);
                            }
                        }
                        (_, inside) => self.look(node, inside),
                    }
                }
            }
            _ => match place {
                Place::Credentials | Place::Secret => self.judge(node),
                Place::Variables => {
                    if let Value::String(name) | Value::Number(_, name) = &node.value
                        && !names_variable(name)
                    {
                        self.mask(node, name);
                    }
                }
                Place::Open | Place::Bindings => self.clean(node),
            },
        }
    }

    /// Masks a value, unless only variables stand in it.
    fn judge(&mut self, node: &Node) {
        if let Value::String(text) | Value::Number(_, text) = &node.value
            && is_literal(text)
        {
            self.mask(node, text);
        }
    }

    fn mask(&mut self, node: &Node, text: &str) {
        self.found.push((node.span, MASKED.to_owned()));
        self.keep(text);
        // The scheme before a secret is a word of its own; a sentence is no secret in each of its words.
        if text.split_whitespace().count() <= MAX_WORDS {
            let parts = pieces(text);
            let texts = parts.iter().filter_map(|piece| match piece {
                Piece::Text(text) => Some(*text),
                Piece::Name(_) => None,
            });
            texts.flat_map(str::split_whitespace).for_each(|word| self.keep(word));
        }
    }

    fn keep(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() >= MIN_ANYWHERE && !PLAIN_WORDS.contains(&secret.to_ascii_lowercase().as_str()) {
            self.secrets.push(SecretString::from(secret));
        }
    }

    /// Takes out of a URL the user and the password, and of its query what is named as a secret.
    fn clean(&mut self, node: &Node) {
        let Value::String(text) = &node.value else { return };
        let mut cleaned = text.clone();
        if let Some((_, rest)) = text.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if let Some((user, _)) = authority.rsplit_once('@').filter(|(user, _)| is_literal(user)) {
                user.split(':').for_each(|part| self.keep(part));
                cleaned = shown(text);
            }
        }
        if let Some((before, query)) = cleaned.split_once('?').map(|(before, query)| (before.to_owned(), query)) {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, value)) if names_secret(name) && is_literal(value) => {
                    self.keep(value);
                    format!("{name}={MASKED}")
                }
                _ => pair.to_owned(),
            });
            let query = pairs.collect::<Vec<_>>().join("&");
            cleaned = format!("{before}?{query}");
        }
        if cleaned != *text {
            self.found.push((node.span, cleaned));
        }
    }

    /// Whether a value is an argument or a place in an answer.
    fn is_reference(&self, node: &Node) -> bool {
        let Value::String(text) = &node.value else { return false };
        let namespace = text.split('.').next().filter(|first| *first != text.as_str());
        text.starts_with("$.") || namespace.is_some_and(|first| self.namespaces.iter().any(|known| known == first))
    }
}

/// Whether a text holds more than variables and the name of a scheme.
fn is_literal(text: &str) -> bool {
    if text.trim().starts_with("$secrets.") {
        return false;
    }
    pieces(text).iter().any(|piece| match piece {
        Piece::Name(_) => false,
        Piece::Text(text) => {
            let mut words = text.split(|character: char| character.is_whitespace() || character == ':');
            words.any(|word| {
                let is_placeholder = word.starts_with('{') && word.ends_with('}');
                !word.is_empty() && !is_placeholder && !PLAIN_WORDS.contains(&word.to_ascii_lowercase().as_str())
            })
        }
    })
}

/// Whether this is a name that a variable may have, rather than the value of one.
fn names_variable(text: &str) -> bool {
    let is_word = text.chars().all(|character| character.is_ascii_alphanumeric() || "_-./".contains(character));
    let is_upper = text.contains('_') && !text.contains(|character: char| character.is_ascii_lowercase());
    is_word && text.len() <= 64 && (is_upper || !text.contains(|character: char| character.is_ascii_digit()))
}

/// The text without values in comments whose names say that they are secret: a line that was put aside.
fn without_commented(text: &str) -> String {
    let line = |line: &str| {
        let comment = line.match_indices('#').map(|(at, _)| at).find(|at| {
            let before = line.get(..*at).unwrap_or_default();
            before.is_empty() || before.ends_with(char::is_whitespace)
        });
        let named = comment.and_then(|at| {
            let (name, value) = line.get(at..)?.split_once([':', '='])?;
            let name = name.rsplit(|character: char| !(character.is_ascii_alphanumeric() || "_-".contains(character)));
            let is_short = value.split_whitespace().count() <= MAX_WORDS;
            let is_secret = is_short && name.take(1).any(|name| names_secret(name) || VALUES.contains(&name));
            let start = line.len() - value.len();
            (is_secret && is_literal(value.trim().trim_matches(['"', '\'']))).then(|| line.get(..start))?
        });
        match named {
            Some(before) => format!("{before} {MASKED}{}", line.get(line.trim_end().len()..).unwrap_or_default()),
            None => line.to_owned(),
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

/// How many exposed servers have an `authentication`.
fn asking(root: &Node) -> usize {
    let capability = root.get("capability").into_iter().chain([root]);
    let servers = capability.filter_map(|section| section.get("exposes")).flat_map(|servers| match &servers.value {
        Value::Sequence(items) => items.iter().collect::<Vec<_>>(),
        Value::Mapping(entries) => entries.iter().map(|(_, node)| node).collect(),
        _ => Vec::new(),
    });
    servers.filter(|server| server.get("authentication").is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        masked_spec(text, &Mask::new([])).expect("well-formed").0
    }

    #[test]
    fn literals_are_masked_where_credentials_belong() {
        for (text, secret, kept) in [
            ("authentication: { type: bearer, token: canary-1 }\n", "canary-1", "type: bearer, token: '[masked]' }"),
            ("authentication:\n  type: apikey\n  key: X-Key\n  value: \"canary\\t1\"\n", "canary", "key: X-Key"),
            ("authentication:\n  token: |\n    canary\n    canary\nafter: 1\n", "canary", "'[masked]'\nafter: 1"),
            ("authentication: { type: basic, username: canary, password: 77123 }\n", "77123", "type: basic"),
            ("authentication: { headers: { X-A: canary, type: canary2 } }\n", "canary", "X-A"),
            ("x: &c canary-12345\nauthentication: { token: *c }\n", "canary-12345", "x: &c [masked]"),
            ("authentication: { token: 'Bearer canary-1 {{X}}' } # was canary-1\n", "canary-1", "# was [masked]"),
            ("baseUri: https://u:canary-1@h.test/v1\n", "canary-1", "'https://h.test/v1'"),
            ("baseUri: https://h.test/v1?api_key=canary&x=1\n", "canary", "api_key=[masked]&x=1"),
            ("inputParameters: [{ name: X-Api-Key, in: header, value: canary }]\n", "canary", "in: header"),
            ("with: { api_token: canary, id: plain }\n", "canary", "id: plain"),
            ("binds: [{ namespace: e, keys: { A: sk-canary-1, B: MY_VAR } }]\n", "canary", "B: MY_VAR"),
            ("a: 1\n  # token: canary-old\nb: 2\n".trim_start(), "canary-old", "b: 2"),
        ] {
            let masked = masked(text);
            assert!(!masked.contains(secret), "{text}: {masked}");
            assert!(masked.contains(kept), "{text}: {masked}");
        }
    }

    #[test]
    fn what_tells_a_reader_what_to_set_stays() {
        for text in [
            "authentication: { type: bearer, token: '{{TOKEN}}' }\n",
            "authentication: { type: apikey, key: Authorization, value: 'Token {{env.KEY}}', placement: header }\n",
            "authentication: { type: oauth2, tokenEndpoint: 'https://a.test/t', scopes: [read], clientSecret: $secrets.S }\n",
            "binds: [{ namespace: e, location: 'file:///./x', keys: { TOKEN: API_TOKEN_2, region: region } }]\n",
            "exposes: [{ namespace: pets-mcp, tools: { get_secret: { with: { secret_name: pets-mcp.name } } } }]\n",
            "outputParameters: [{ name: token, type: string, value: $.token }]\n",
            "inputParameters: [{ name: api_key, type: string, description: The key. }]\n",
            "uri: 'data://pets/{key}' # the key is the name\n",
            "# Pets and their API keys: names, kinds and all that belongs to them.\nwith: { api_key_id: rest.api_key_id }\n",
            "credentials: { type: bearer }\ndescription: How credentials are applied to every request.\n",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn what_is_not_well_formed_is_not_shown() {
        assert!(masked_spec("a: [", &Mask::new([])).is_none());
        assert!(masked_schema("{", &Mask::new([])).is_none());
    }

    #[test]
    fn servers_that_ask_are_counted_wherever_they_stand() {
        let count = |text: &str| masked_spec(text, &Mask::new([])).expect("well-formed").1;
        assert_eq!(count("capability: { exposes: [{ authentication: {} }, { namespace: a }] }"), 1);
        assert_eq!(count("exposes: { a: { authentication: {} }, b: { authentication: {} } }"), 2);
        assert_eq!(count("consumes: [{ authentication: {} }]"), 0);
    }

    #[test]
    fn what_is_masked_stays_well_formed() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut looked_at = 0;
        for (folder, is_changed) in [("tests/specs", None), ("capabilities", Some(false))] {
            for path in std::fs::read_dir(root.join(folder)).expect("a folder").flatten().map(|entry| entry.path()) {
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                let Some((masked, asking)) = masked_spec(&text, &Mask::new([])) else { continue };
                let again = masked_spec(&masked, &Mask::new([]));
                assert_eq!(again, Some((masked.clone(), asking)), "{}", path.display());
                assert!(is_changed.is_none() || masked == text, "{}: {masked}", path.display());
                looked_at += 1;
            }
        }
        assert!(looked_at > 50, "{looked_at}");
    }
}
