//! The variables of specs: which ones a document binds, where each comes from, what it holds.
//!
//! Knows nothing of what a variable is used for, except that one used to authenticate is a secret.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use crate::{
    config,
    diagnostic::{Code, Diagnostic, SourceMap},
    spec::{
        self, Bind, BindSource, Document, Spanned, Workspace,
        template::{self, Piece},
        yaml::{self, Value},
    },
};

/// The largest file that variables are read from, in bytes.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Prefixes for a variable of the configuration, whatever the document binds.
const PREFIXES: [&str; 3] = ["env.", "secrets.", "$secrets."];
/// Words in the name of a variable that make it a secret, also as a part of a longer word.
const SECRET_PARTS: [&str; 8] =
    ["token", "secret", "password", "passwd", "passphrase", "credential", "apikey", "authoriz"];
/// Words that make it one where they stand alone.
const SECRET_WORDS: [&str; 8] = ["key", "keys", "auth", "oauth", "pass", "pwd", "pat", "cookie"];

/// Whether values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are, and what is missing is reported.
    Read,
    /// Those are that are no secrets: a request is to be shown.
    Plain,
    /// They are not: tools are only looked at.
    Leave,
}

impl Secrets {
    /// Whether a value is read.
    fn reads(self, sensitive: bool) -> bool {
        match self {
            Self::Read => true,
            Self::Plain => !sensitive,
            Self::Leave => false,
        }
    }
}

/// The variables of every document.
#[derive(Debug)]
pub struct Variables {
    documents: Vec<Known>,
    secrets: Secrets,
}

/// A variable, looked up. Two are the same where they come from the same place: values are not compared.
#[derive(Clone, Debug)]
pub struct Variable {
    /// What its source calls it.
    pub name: String,
    /// Its value, or what the operator has to do so that it has one: "set the environment variable `X`". Empty where
    /// variables are not read.
    pub value: Result<SecretString, String>,
    /// Whether the value is a secret, rather than plain configuration such as the version of an API.
    pub sensitive: bool,
    /// Whether it comes from the environment.
    pub from_environment: bool,
}

impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.from_environment == other.from_environment
    }
}

/// What one document binds.
#[derive(Debug, Default)]
struct Known {
    bound: Vec<Bound>,
    /// Where each is among them, by its name with its namespace; of several with the same name the first.
    qualified: HashMap<String, usize>,
    /// The same by its name alone.
    bare: HashMap<String, usize>,
    /// Names, as they are written, that an `authentication` uses.
    authenticates: BTreeSet<String>,
}

#[derive(Debug)]
struct Bound {
    namespace: String,
    name: String,
    variable: Variable,
}

/// What a file holds: a text for each key, or why it holds none.
type Contents = Result<BTreeMap<String, Result<SecretString, &'static str>>, String>;

impl Variables {
    /// Collects the variables of all documents, and their values where they are to be read.
    pub fn new(workspace: &Workspace, sources: &SourceMap, secrets: Secrets) -> (Self, Vec<Diagnostic>) {
        let mut problems = Vec::new();
        let documents = workspace.documents.iter();
        let known = |document| Known::new(document, &workspace.folders, sources, secrets, &mut problems);
        let documents = documents.map(known).collect();
        (Self { documents, secrets }, problems)
    }

    /// No document, no variable.
    #[cfg(test)]
    pub fn none() -> Self {
        Self { documents: Vec::new(), secrets: Secrets::Leave }
    }

    /// The variable of this name: `NAMESPACE.VARIABLE` or `VARIABLE` as the document binds it, or `env.VARIABLE`, which
    /// is looked for in the environment where the document does not bind it. Any other name is none.
    pub fn find(&self, document: usize, name: &str) -> Option<Variable> {
        let known = self.documents.get(document)?;
        if let Some(bound) = known.find(name) {
            return Some(bound);
        }
        let bare = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
        known.find(bare).or_else(|| Some(self.of_environment(known, bare)))
    }

    /// The variable of this name, from the environment where the document does not bind it.
    pub fn find_anywhere(&self, document: usize, name: &str) -> Variable {
        self.find(document, name).unwrap_or_else(|| match self.documents.get(document) {
            Some(known) => self.of_environment(known, name),
            None => self.of_environment(&Known::default(), name),
        })
    }

    /// Whether the document binds this name, with or without a prefix.
    pub fn is_bound(&self, document: usize, name: &str) -> bool {
        let Some(known) = self.documents.get(document) else { return false };
        let bare = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
        known.find(name).is_some() || bare.is_some_and(|bare| known.find(bare).is_some())
    }

    /// Whether the document binds this name, written without its namespace.
    pub fn binds_bare(&self, document: usize, name: &str) -> bool {
        self.documents.get(document).is_some_and(|known| known.bare.contains_key(name))
    }

    /// The names that the document binds, without their namespaces.
    pub fn names(&self, document: usize) -> impl Iterator<Item = &str> {
        self.documents.get(document).into_iter().flat_map(|known| &known.bound).map(|bound| bound.name.as_str())
    }

    fn of_environment(&self, known: &Known, name: &str) -> Variable {
        let sensitive = known.authenticates.contains(name) || names_secret(name);
        let value = if self.secrets.reads(sensitive) { from_environment(name) } else { Ok(SecretString::from("")) };
        Variable { name: name.to_owned(), value, sensitive, from_environment: true }
    }
}

impl Known {
    fn new(
        document: &Document,
        folders: &[PathBuf],
        sources: &SourceMap,
        secrets: Secrets,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let authenticates = authenticating(document);
        let mut bound = Vec::new();
        for bind in &document.binds {
            let path = match &bind.source {
                BindSource::File(location) => Some((location, path_of(location, folders, sources))),
                BindSource::Environment | BindSource::Unsupported => None,
            };
            if let Some((location, Err(OutOfReach))) = &path {
                problems.push(out_of_reach(location, bind));
            }
            let file = match (path, secrets) {
                (Some((_, Err(OutOfReach))), _) => Some(Err(OUT_OF_REACH.to_owned())),
                (Some((location, Ok(path))), Secrets::Read | Secrets::Plain) => {
                    let contents = path.and_then(|path| contents_of(&path));
                    if let Err(problem) = &contents {
                        let message = format!("the variables of `{}` cannot be read: {problem}", bind.namespace.value);
                        problems.push(Diagnostic::warning(Code::MissingVariable, location.span, message));
                    }
                    Some(contents)
                }
                _ => None,
            };
            for (name, source) in &bind.keys {
                let namespace = &bind.namespace.value;
                let (name, source) = (&name.value, &source.value);
                let used = [name, source, &format!("{namespace}.{name}")].map(|name| authenticates.contains(name));
                let sensitive = used.contains(&true) || names_secret(name) || names_secret(source);
                let value = match (&bind.source, &file) {
                    _ if !secrets.reads(sensitive) => Ok(SecretString::from("")),
                    (BindSource::Environment, _) => from_environment(source),
                    (BindSource::File(location), Some(Err(problem))) if problem == OUT_OF_REACH => Err(format!(
                        "move the file `{}` into the spec's folder, or leave its `location` out and set the \
                             environment variable `{source}`",
                        location.value
                    )),
                    (BindSource::File(location), Some(contents)) => from_file(source, location, contents),
                    (BindSource::File(_) | BindSource::Unsupported, _) => {
                        Err(format!("give `{name}` a `location` that keyglass reads, or none"))
                    }
                };
                let from_environment = bind.source == BindSource::Environment;
                let variable = Variable { name: source.clone(), value, sensitive, from_environment };
                bound.push(Bound { namespace: namespace.clone(), name: name.clone(), variable });
            }
        }
        let (mut qualified, mut bare) = (HashMap::new(), HashMap::new());
        for (index, Bound { namespace, name, .. }) in bound.iter().enumerate() {
            qualified.entry(format!("{namespace}.{name}")).or_insert(index);
            bare.entry(name.clone()).or_insert(index);
        }
        Self { bound, qualified, bare, authenticates }
    }

    /// The variable of a qualified or bare name; of several with the same bare name the first.
    fn find(&self, name: &str) -> Option<Variable> {
        let index = self.qualified.get(name).or_else(|| self.bare.get(name))?;
        self.bound.get(*index).map(|bound| bound.variable.clone())
    }
}

/// Whether a name says that what it names is a secret.
pub fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|character: char| !character.is_ascii_alphanumeric());
    words.any(|word| SECRET_WORDS.contains(&word) || SECRET_PARTS.iter().any(|part| word.contains(part)))
}

/// Every name that stands in an `authentication` of a document, with and without its prefix.
fn authenticating(document: &Document) -> BTreeSet<String> {
    let outbound = document.consumes.iter().filter_map(|consumes| consumes.authentication.as_ref());
    let inbound = document.servers.iter().filter_map(|server| server.authentication.as_ref());
    let mut names = BTreeSet::new();
    for template in outbound.chain(inbound).flat_map(|authentication| authentication.templates()) {
        let text = template.value.trim();
        let whole = template::variable(text).unwrap_or(text);
        let pieces = template::pieces(text).into_iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name),
            Piece::Text(_) => None,
        });
        for name in pieces.chain([whole]) {
            names.insert(name.to_owned());
            names.extend(PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix)).map(str::to_owned));
        }
    }
    names
}

fn from_environment(name: &str) -> Result<SecretString, String> {
    match config::secret_variable(name) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(format!("set the environment variable `{name}`")),
        Err(problem) => Err(format!("set the environment variable `{name}` to another value ({problem})")),
    }
}

fn from_file(key: &str, location: &Spanned<String>, contents: &Contents) -> Result<SecretString, String> {
    let place = format!("the file `{}`", location.value);
    match contents {
        Ok(values) => match values.get(key) {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(problem)) => Err(format!("give `{key}` in {place} another value ({problem})")),
            None => Err(format!("put `{key}` into {place}")),
        },
        Err(_) => Err(format!("make {place} readable, with a value for `{key}`")),
    }
}

/// A file that a spec has no business with.
struct OutOfReach;

/// What is said of such a file where its contents are asked for.
const OUT_OF_REACH: &str = "it is out of reach";

/// The file that a location names, or why it names none. Out of reach is what a spec may not refer to: whoever runs one
/// that comes from somewhere did not mean to send their own files to the services it names. Whether such a file is there
/// is not told.
fn path_of(
    location: &Spanned<String>,
    folders: &[PathBuf],
    sources: &SourceMap,
) -> Result<Result<PathBuf, String>, OutOfReach> {
    let spec = Path::new(sources.name(location.span.file));
    let written = match spec::path_of(&location.value) {
        Ok(written) => written,
        Err(problem) => return Ok(Err(problem)),
    };
    let own = spec::folder_of(spec).canonicalize().unwrap_or_default();
    let path = spec::normalize(&own.join(written));
    let (real, found) = match path.canonicalize() {
        Ok(real) => (real.clone(), Ok(real)),
        Err(error) => (path, Err(error.to_string())),
    };
    let is_own = real.starts_with(&own) && own.parent().is_some();
    let is_within = spec::is_within(&real, spec, folders) && (is_own || !spec::is_hidden(&real, &own, folders));
    if is_within { Ok(found) } else { Err(OutOfReach) }
}

fn out_of_reach(location: &Spanned<String>, bind: &Bind) -> Diagnostic {
    let message = format!(
        "the variables of `{}` have no value: `{}` is out of reach, and must lie in the spec's own folder, in one beside \
         that, or in one given by `--capabilities`",
        bind.namespace.value, location.value
    );
    let help = "put the file there, or leave `location` out and give the values as environment variables";
    Diagnostic::warning(Code::UnusableLocation, location.span, message).with_help(help)
}

/// The top-level texts of a file: YAML by its ending, else JSON. What stands in it is not repeated in the error.
fn contents_of(path: &Path) -> Contents {
    let text = zeroize::Zeroizing::new(spec::read_text(path, MAX_FILE_BYTES).map_err(|error| error.to_string())?);
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    if is_yaml { yaml_texts(&text) } else { json_texts(&text) }
}

fn yaml_texts(text: &str) -> Contents {
    let mut sources = SourceMap::default();
    let file = sources.add("variables", text);
    let root = yaml::parse(file, &sources).map_err(|problem| {
        let (line, column) = sources.position(file, problem.primary.start);
        format!("it is not YAML; it breaks at line {line}, column {column}")
    })?;
    match root.value {
        Value::Mapping(entries) => {
            let entry = |(key, node): (yaml::Key, yaml::Node)| {
                let value = match node.value {
                    Value::String(text) | Value::Number(_, text) => config::checked(&text),
                    Value::Bool(flag) => config::checked(&flag.to_string()),
                    _ => Err("it is no text"),
                };
                (key.text, value)
            };
            Ok(entries.into_iter().map(entry).collect())
        }
        Value::Null => Ok(BTreeMap::new()),
        _ => Err("it must hold a map".to_owned()),
    }
}

fn json_texts(text: &str) -> Contents {
    let root: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| format!("it is not JSON; it breaks at line {}, column {}", error.line(), error.column()))?;
    let serde_json::Value::Object(members) = root else { return Err("it must hold a JSON object".to_owned()) };
    let member = |(key, value): (String, serde_json::Value)| {
        let value = match value {
            serde_json::Value::String(text) => config::checked(&text),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => config::checked(&value.to_string()),
            _ => Err("it is no text"),
        };
        (key, value)
    };
    Ok(members.into_iter().map(member).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::spec::Source;

    fn variables(folder: &Path, binds: &str, secrets: Secrets) -> (Variables, Vec<String>) {
        let path = folder.join("spec.yaml");
        fs::write(&path, format!("ikanos: 1.0.0-beta5\n{binds}\ncapability: {{}}\n")).expect("written");
        let mut sources = SourceMap::default();
        let (workspace, problems) = spec::load(&[Source::Path(path)], &mut sources);
        assert_eq!(problems, []);
        let (variables, problems) = Variables::new(&workspace, &sources, secrets);
        (variables, problems.iter().map(|problem| problem.one_line(&sources)).collect())
    }

    fn value(variables: &Variables, name: &str) -> String {
        match variables.find(0, name).expect(name).value {
            Ok(value) => value.expose_secret().to_owned(),
            Err(missing) => format!("missing: {missing}"),
        }
    }

    #[test]
    fn files_are_read_beside_their_spec() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.json"), r#"{"one": "1st", "two": 2, "deep": {"x": 1}, "empty": ""}"#)
            .expect("written");
        fs::create_dir(folder.path().join("sub")).expect("a folder");
        fs::write(folder.path().join("sub/b.yml"), "one: first\nversion: 1.10\nflag: true\n").expect("written");
        let absolute = folder.path().join("a.json");
        let binds = format!(
            "binds:\n\
             - {{namespace: a, location: 'file:///./a.json', keys: {{ONE: one, TWO: two, DEEP: deep, EMPTY: empty, GONE: gone}}}}\n\
             - {{namespace: b, location: './sub/b.yml', keys: {{ONE: one, VERSION: version, FLAG: flag}}}}\n\
             - {{namespace: c, location: 'file://{}', keys: {{THREE: one}}}}\n",
            absolute.display()
        );
        let (variables, problems) = variables(folder.path(), &binds, Secrets::Read);
        assert_eq!(problems, Vec::<String>::new());
        for (name, expected) in [
            ("ONE", "1st"),
            ("a.ONE", "1st"),
            ("b.ONE", "first"),
            ("env.ONE", "1st"),
            ("TWO", "2"),
            ("VERSION", "1.10"),
            ("b.FLAG", "true"),
            ("c.THREE", "1st"),
            ("DEEP", "missing: give `deep` in the file `file:///./a.json` another value (it is no text)"),
            ("EMPTY", "missing: give `empty` in the file `file:///./a.json` another value (it is empty)"),
            ("GONE", "missing: put `gone` into the file `file:///./a.json`"),
        ] {
            assert_eq!(value(&variables, name), expected, "{name}");
        }
        for none in ["FOUR", "c.ONE", "a", "", "tools.ONE"] {
            assert!(variables.find(0, none).is_none(), "{none}");
        }
        assert!(variables.find(1, "ONE").is_none(), "another document");
        assert!(!format!("{variables:?}").contains("1st"));
    }

    #[test]
    fn what_cannot_be_read_is_said_without_its_contents() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("bad.json"), "{\"canary\": canary").expect("written");
        fs::write(folder.path().join("bad.yaml"), "canary: [canary\n").expect("written");
        fs::write(folder.path().join("list.json"), "[\"canary\"]").expect("written");
        fs::write(folder.path().join("large.json"), "x".repeat(MAX_FILE_BYTES + 1)).expect("written");
        fs::create_dir(folder.path().join("sub")).expect("a folder");
        for (location, expected) in [
            ("file:///./bad.json", "not JSON; it breaks at line 1"),
            ("file:///./bad.yaml", "not YAML; it breaks at line"),
            ("file:///./list.json", "must hold a JSON object"),
            ("file:///./large.json", "larger than"),
            ("file:///./absent.json", "No such file"),
            ("file:///./sub", "no regular file"),
            ("file://", "names no file"),
        ] {
            let binds = format!("binds: [{{namespace: a, location: '{location}', keys: {{X: x}}}}]");
            let (variables, problems) = variables(folder.path(), &binds, Secrets::Read);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{location}: {problems:?}");
            assert!(!problems[0].contains("canary"), "{problems:?}");
            assert!(value(&variables, "X").starts_with("missing: make the file"), "{location}");
        }
    }

    #[test]
    fn files_out_of_reach_are_not_read_whatever_is_to_be_read() {
        let root = tempfile::tempdir().expect("a folder");
        let own = root.path().join("near/specs");
        for folder in ["near/specs", "near/beside", "near/.hidden", "far"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
            fs::write(root.path().join(folder).join("x.json"), r#"{"x": "canary"}"#).expect("written");
        }
        fs::write(own.join(".x.json"), r#"{"x": "own"}"#).expect("written");
        let absolute = format!("file://{}", root.path().join("far/x.json").display());
        let mut outside =
            vec!["file:///./../../far/x.json", "file:///./../.hidden/x.json", "file:///dev/zero", "/etc/absent.json"];
        outside.push(&absolute);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.path().join("far/x.json"), own.join("link.json")).expect("made");
            outside.push("link.json");
        }
        for location in outside {
            for secrets in [Secrets::Read, Secrets::Plain, Secrets::Leave] {
                let binds = format!("binds: [{{namespace: a, location: '{location}', keys: {{X: x}}}}]");
                let (variables, problems) = variables(&own, &binds, secrets);
                assert!(
                    problems.len() == 1
                        && problems[0].contains("spec.yaml:2:")
                        && problems[0].contains("out of reach")
                        && problems[0].contains("environment variables"),
                    "{location}: {problems:?}"
                );
                assert!(!value(&variables, "X").contains("canary"), "{location}");
            }
        }
        for (location, expected) in [("file:///./../beside/x.json", "canary"), ("./.x.json", "own")] {
            let binds = format!("binds: [{{namespace: a, location: '{location}', keys: {{X: x}}}}]");
            let (variables, problems) = variables(&own, &binds, Secrets::Read);
            assert_eq!((problems, value(&variables, "X").as_str()), (Vec::new(), expected), "{location}");
        }
    }

    #[test]
    fn nothing_is_read_unless_it_is_to_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let binds = "binds: [{namespace: a, location: 'file:///./absent.json', keys: {X: x}}]";
        let (variables, problems) = variables(folder.path(), binds, Secrets::Leave);
        assert_eq!((problems, value(&variables, "X")), (Vec::new(), String::new()));
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in ["GITHUB_TOKEN", "api-key", "X_KEY", "APIKEY", "DB_PASSWORD", "client_secret", "AUTH", "Cookie"] {
            assert!(names_secret(secret), "{secret}");
        }
        for plain in ["API_VERSION", "REGION", "KEYBOARD", "AUTHOR", "MONKEY", "COMPASS", ""] {
            assert!(!names_secret(plain), "{plain}");
        }
    }

    #[test]
    fn early_versions_say_it_in_other_words() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.json"), r#"{"one": "1st"}"#).expect("written");
        let binds = "externalRefs:\n\
                     - {name: files, type: variables, resolution: file, uri: 'file:///./a.json', keys: {ONE: one}}\n\
                     - {name: vars, type: environment, resolution: runtime, keys: {TWO: KEYGLASS_TEST_NEVER_SET}}\n";
        let (variables, problems) = variables(folder.path(), binds, Secrets::Read);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(value(&variables, "files.ONE"), "1st");
        assert_eq!(value(&variables, "vars.TWO"), "missing: set the environment variable `KEYGLASS_TEST_NEVER_SET`");
    }
}
