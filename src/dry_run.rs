//! The request that a call would send, as text: nothing is sent, opened or created, and no credential is read.
//!
//! Credentials and secret arguments never get here: the request is bound with stand-ins in their place, which the text
//! shows as `[masked]` or, for a shell, as a reference to a variable. Must not know how requests are sent.

use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use http::{Method, Request, header};
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    backend::USER_AGENT,
    base_url::base_url,
    call,
    catalog::{
        CompiledTool, JsonObject,
        fill::Scope,
        poll::{Next, Poll},
        service::Route,
    },
    credential::{Credential, Secret},
    error::CallError,
    mask::MASKED,
    random::random_hex,
};

/// Where `keyglass backend` listens in examples: the embedded backend has no address of its own.
const BACKEND_EXAMPLE: &str = "http://127.0.0.1:8080";
/// The shell variable for a credential that comes from none.
const PLACEHOLDER: &str = "CREDENTIAL";
/// The shell variable for a secret of the spec, and how those for arguments begin.
const VARIABLE: &str = "SECRET";

/// What stands before a request to the embedded backend.
const TO_EMBEDDED: &str =
    "# to the backend built into keyglass, as `keyglass backend --listen 127.0.0.1:8080` serves it\n";

/// The method and the URL of a request that is shown as text; of one to the embedded backend, which has no address of its
/// own, the path alone.
pub fn in_a_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim_start().starts_with('#')).unwrap_or_default();
    let example = if text.contains(TO_EMBEDDED) { BACKEND_EXAMPLE } else { "" };
    line.replacen(example, "", 1)
}

/// How a request is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Method, URL, headers and body, as `.http` files have them.
    Http,
    /// A command line for `curl` in a POSIX shell.
    Curl,
}

/// A request that would be sent.
#[derive(Debug)]
pub struct DryRun {
    /// Without a credential, and with stand-ins where it would hold a secret argument or variable.
    request: Request<Bytes>,
    /// What stands in for secret arguments and variables.
    secrets: Vec<StandIn>,
    credential: Credential,
    route: Route,
    /// What would be asked until the operation is done, as a sentence, where it may answer before that.
    awaited: Option<String>,
    /// What would be done after it, a line each.
    further: Vec<String>,
}

/// What stands in for one secret.
#[derive(Debug)]
struct StandIn {
    /// Its text in the request: letters and digits, which no encoding changes, and random, so that no other text looks like it.
    text: String,
    /// The variable of a shell that holds it.
    variable: String,
    /// What it is, for a person.
    what: String,
}

/// Binds a call without carrying it out. Of several steps the first request is shown; what the others send depends on
/// answers.
///
/// # Errors
///
/// What a real call fails with before it sends anything: arguments that do not fit, a service without an address.
pub fn dry_run(tool: &CompiledTool, arguments: JsonObject) -> Result<DryRun, CallError> {
    let arguments = Value::Object(arguments);
    tool.input.check(&arguments)?;
    let no_arguments = JsonObject::new();
    let arguments = arguments.as_object().unwrap_or(&no_arguments);
    let operations = tool.plan.operations();
    let Some((first, others)) = operations.split_first() else {
        return Err(CallError::Unconfigured("this tool sends no request, so there is none to show".to_owned()));
    };
    let endpoint = first.service.endpoint()?;
    let (base, credential) = match first.service.route {
        Route::Embedded => {
            // What stands before the service's paths there is in its base URL.
            let path = endpoint.base.path().trim_end_matches('/');
            let base = base_url(&format!("{BACKEND_EXAMPLE}{path}"));
            let base = base.map_err(|reason| CallError::Internal(reason.to_owned()))?;
            (base, Credential::Bearer(Secret::new(SecretString::from(""), Some(format!("${PLACEHOLDER}")))))
        }
        Route::Remote => (endpoint.base.clone(), endpoint.credential.clone()),
    };
    let random = random_hex::<8>().map_err(|error| CallError::Internal(format!("no randomness: {error}")))?;
    let masked_text = format!("secret{random}");
    let of_spec = StandIn::new(&masked_text, 0, VARIABLE.to_owned(), "a secret of the spec".to_owned());
    let stand_in = of_spec.text.clone();
    let scope = |arguments| Scope { stand_in: Some(&stand_in), ..Scope::new(arguments, &Value::Null) };
    // What is wrong with the real values has to be said of them.
    first.request.bind(&scope(arguments), &base)?;
    let mut secrets = vec![of_spec];
    let mut masked = tool.input.replace_secrets(arguments, &masked_text);
    for (name, value) in masked.iter_mut() {
        tell_apart(value, name, &masked_text, &mut secrets);
    }
    let mut request = first.request.bind(&scope(&masked), &base)?;
    if first.service.route == Route::Remote {
        request.headers_mut().insert(header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT));
    }
    let awaited = first.poll.as_deref().map(awaited);
    let further = others.iter().map(|operation| match operation.poll {
        None => operation.name.clone(),
        Some(_) => format!("{} (asked after until it is done)", operation.name),
    });
    Ok(DryRun { request, secrets, credential, route: first.service.route, awaited, further: further.collect() })
}

/// What is asked until an operation is done, how often, and until when.
fn awaited(poll: &Poll) -> String {
    let what = match &poll.next {
        Next::Again => "the same again".to_owned(),
        Next::Location => "`GET` of what the `Location` of the answer names".to_owned(),
        Next::Operation(operation) => format!("`{}`", operation.name),
    };
    let statuses: Vec<String> = poll.statuses.iter().map(ToString::to_string).collect();
    let mut pending = Vec::new();
    if !statuses.is_empty() {
        pending.push(format!("the status is {}", statuses.join(" or ")));
    }
    if let Some((path, values)) = &poll.until {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        pending.push(match values.as_slice() {
            [value] => format!("`{path}` is not {value}"),
            values => format!("`{path}` is neither {}", values.join(" nor ")),
        });
    }
    let (interval, timeout) = (span(poll.interval), span(poll.timeout));
    let pending = pending.join(" or ");
    format!("{what}, every {interval} unless an answer says otherwise, while {pending}; given up after {timeout}")
}

/// A span of time in the largest unit that gives a whole number: `90 s`, `5 min`.
fn span(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (seconds, 0) if seconds >= 3_600 && seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        (seconds, 0) if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        (seconds, 0) => format!("{seconds} s"),
        _ => format!("{} ms", time.as_millis()),
    }
}

impl StandIn {
    fn new(masked_text: &str, index: usize, variable: String, what: String) -> Self {
        Self { text: format!("{masked_text}i{index}e"), variable, what }
    }

    /// As a shell writes it between double quotes: a command that lacks it does not run.
    fn shell(&self) -> String {
        format!("${{{}:?}}", self.variable)
    }
}

/// Gives each secret of an argument a stand-in of its own.
fn tell_apart(value: &mut Value, path: &str, masked_text: &str, secrets: &mut Vec<StandIn>) {
    match value {
        Value::String(text) if text == masked_text => {
            // With a beginning of its own, or an argument `path` would have the value of `PATH`.
            let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
            let mut variable = format!("{VARIABLE}_{}", path.chars().take(64).map(letter).collect::<String>());
            if secrets.iter().any(|other| other.variable == variable) {
                variable.push_str(&format!("_{}", secrets.len()));
            }
            let secret = StandIn::new(masked_text, secrets.len(), variable, format!("the argument `{path}`"));
            text.clone_from(&secret.text);
            secrets.push(secret);
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                tell_apart(item, &format!("{path}.{index}"), masked_text, secrets);
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                tell_apart(member, &format!("{path}.{}", name.escape_debug()), masked_text, secrets);
            }
        }
        _ => {}
    }
}

impl DryRun {
    /// The request as text, with a line break at its end.
    pub fn to_text(&self, format: Format) -> String {
        match format {
            Format::Http => self.http(),
            Format::Curl => self.curl(),
        }
    }

    fn http(&self) -> String {
        let mut request = self.request.clone();
        self.credential.apply_masked(&mut request);
        let masked = |text: &str| self.replaced(text, |_| MASKED.to_owned());
        let mut text = self.notes();
        text.push_str(&format!("{} {}\n", request.method(), masked(&request.uri().to_string())));
        for (name, value) in headers(&request) {
            text.push_str(&format!("{name}: {}\n", masked(&value)));
        }
        text.push_str(&format!("{}: [new for each call]\n", call::REQUEST_ID));
        if !request.body().is_empty() {
            text.push_str(&format!("\n{}\n", masked(&self.body())));
        }
        text
    }

    /// Without the request id: backends take a repeated one for a retry, and a command may be run twice.
    fn curl(&self) -> String {
        let mut notes = self.notes();
        let mut words = vec!["curl".to_owned()];
        let body = self.request.body();
        match *self.request.method() {
            Method::GET if body.is_empty() => {}
            Method::HEAD if body.is_empty() => words.push("--head".to_owned()),
            ref method => words.push(format!("--request {method}")),
        }
        let url = self.request.uri().to_string();
        if url.contains(['[', ']', '{', '}']) || self.secrets.iter().any(|secret| url.contains(&secret.text)) {
            words.push("--globoff".to_owned());
        }
        words.push(self.word(&url));
        let credential = self.credential.curl();
        if credential.iter().any(|option| option.starts_with("--url-query")) {
            notes.push_str("# --url-query encodes the credential; it needs curl 7.87\n");
        }
        words.extend(credential);
        for (name, value) in headers(&self.request) {
            // A header without a value ends in a semicolon, or curl would take it for one to leave out.
            let line = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
            words.push(format!("--header {}", self.word(&line)));
        }
        if !body.is_empty() {
            words.push(format!("--data-raw {}", self.word(&self.body())));
        } else if matches!(*self.request.method(), Method::POST | Method::PUT | Method::PATCH) {
            words.push("--header 'content-length: 0'".to_owned());
        }
        let command = words.join(" \\\n  ");
        if command.contains(&format!("${PLACEHOLDER}")) {
            let what = match self.route {
                Route::Embedded => "a key of the backend, such as the one in `root.key` of its data folder",
                Route::Remote => "the credential of the service",
            };
            notes.push_str(&format!("# ${PLACEHOLDER} is {what}\n"));
        }
        for secret in self.secrets.iter().filter(|secret| command.contains(&secret.shell())) {
            let mut places = Vec::new();
            if url.contains(&secret.text) {
                places.push(", percent-encoded in the URL");
            }
            if self.body().contains(&secret.text) {
                places.push(
                    match self.request.headers().get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes) {
                        Some(b"application/x-www-form-urlencoded") => ", percent-encoded in the body",
                        _ if self.body().starts_with(['{', '[', '"']) => ", in the body as JSON has it between quotes",
                        _ => "",
                    },
                );
            }
            notes.push_str(&format!("# ${} is {}{}\n", secret.variable, secret.what, places.concat()));
        }
        format!("{notes}{command}\n")
    }

    /// Comments that go before the request.
    fn notes(&self) -> String {
        let mut notes = match self.route {
            Route::Embedded => TO_EMBEDDED.to_owned(),
            Route::Remote => String::new(),
        };
        if let Some(awaited) = &self.awaited {
            notes.push_str(&format!("# then {awaited}\n"));
        }
        if !self.further.is_empty() {
            notes.push_str(&format!(
                "# the first of several; then, depending on its answer: {}\n",
                self.further.join(", ")
            ));
        }
        notes
    }

    /// One word of a POSIX shell (IEEE 1003.1, section 2.2), in single quotes but for its secrets.
    fn word(&self, text: &str) -> String {
        let quoted = text.replace('\'', r"'\''");
        format!("'{}'", self.replaced(&quoted, |secret| format!("'\"{}\"'", secret.shell())))
    }

    /// A text with something else in the place of each stand-in.
    fn replaced(&self, text: &str, with: impl Fn(&StandIn) -> String) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(&secret.text, &with(secret)))
    }

    fn body(&self) -> String {
        String::from_utf8_lossy(self.request.body()).into_owned()
    }
}

fn headers(request: &Request<Bytes>) -> impl Iterator<Item = (&str, String)> {
    let headers = request.headers().iter();
    headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use serde_json::json;
    use url::Url;

    use super::*;
    use crate::credential::{Key, Slot};

    const CANARY: &str = "canary$(id)`id`\"'\\ !-9c1e";

    fn dry_run_of(request: Request<Bytes>, slot: Slot) -> DryRun {
        let value = Secret::new("canary-value".into(), Some("$PETS_TOKEN".to_owned()));
        let credential = Credential::Keys(vec![Key { slot, value }]);
        let mut secrets = Vec::new();
        let mut arguments = json!({ "value": "hidden", "list": [{ "pin": "hidden" }, { "pin": "hidden" }] });
        tell_apart(&mut arguments, "x", "hidden", &mut secrets);
        DryRun { request, secrets, credential, route: Route::Remote, awaited: None, further: Vec::new() }
    }

    /// What a POSIX shell makes of the words behind `curl`.
    fn words(line: &str) -> Vec<String> {
        let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{line}");
        let output = Command::new("sh").args(["-c", &script]).env("PETS_TOKEN", CANARY).output().expect("a shell");
        assert!(output.status.success() && output.stderr.is_empty(), "{line}\n{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.strip_suffix('\0').unwrap_or_default().split('\0').map(str::to_owned).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn a_shell_reads_back_the_very_request(
            path in "[^\\p{C}\\p{Z}]{0,20}|[!'()*$\\[\\]&;{}~]{1,12}",
            header in "[ -~]{0,20}",
            body in "[^\\x00]{0,40}|[\"'$`\\\\\n@!]{1,20}",
            method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD"]),
        ) {
            let url = Url::parse("https://host.test/v1/").expect("a URL").join(&format!("./{path}")).expect("a URL");
            let header = header.trim();
            let request = Request::builder().method(method).uri(url.as_str()).header("x-pet", header);
            let Ok(request) = request.body(Bytes::from(body.clone())) else {
                return Ok(()); // not every URL is one to the HTTP library
            };
            let uri = request.uri().to_string();
            let slot = Slot::Header(http::HeaderName::from_static("x-key"));
            let line = dry_run_of(request, slot).to_text(Format::Curl);
            prop_assert!(!line.contains("canary-value"));
            let words = words(&line);
            let behind = |option: &str| {
                let found = words.iter().enumerate().filter(|(_, word)| *word == option);
                found.filter_map(|(index, _)| words.get(index + 1).cloned()).collect::<Vec<_>>()
            };
            prop_assert!(words.contains(&uri), "{:?} lacks {}", words, uri);
            let expected = if header.is_empty() { "x-pet;".to_owned() } else { format!("x-pet: {header}") };
            prop_assert!(behind("--header").contains(&expected), "{:?}", words);
            prop_assert!(behind("--header").contains(&format!("x-key: {CANARY}")), "{:?}", words);
            prop_assert_eq!(behind("--data-raw"), if body.is_empty() { vec![] } else { vec![body] });
        }
    }

    #[test]
    fn a_credential_in_the_query_is_encoded_by_curl() {
        for url in ["https://host.test/pets", "https://host.test/pets?a=b"] {
            let request = Request::get(url).body(Bytes::new()).expect("a request");
            let run = dry_run_of(request, Slot::Query("key".to_owned()));
            assert_eq!(words(&run.to_text(Format::Curl)), [url, "--url-query", &format!("key={CANARY}")]);
            let text = run.to_text(Format::Http);
            assert!(text.contains("key=[masked]\n") && !text.contains("canary-value"), "{text}");
        }
    }

    #[test]
    fn a_shell_puts_each_secret_in_its_place_and_refuses_to_run_without_it() {
        let body = r#"{"a":"it's hiddeni0e","b":"hiddeni2e"}"#;
        let request = Request::post("https://host.test/hiddeni1e").body(Bytes::from(body)).expect("a request");
        let line = dry_run_of(request, Slot::Query("key".to_owned())).to_text(Format::Curl);
        let variables = ["SECRET_X_VALUE", "SECRET_X_LIST_0_PIN", "SECRET_X_LIST_1_PIN"];
        assert!(line.contains("# $SECRET_X_VALUE is the argument `x.value`, in the body as JSON has it"), "{line}");
        assert!(line.contains("# $SECRET_X_LIST_0_PIN is the argument `x.list.0.pin`, percent-encoded"), "{line}");
        assert!(!line.contains(MASKED), "{line}");
        let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{line}");
        let run = |unset: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]).env("PETS_TOKEN", CANARY).env_clear();
            for variable in variables.into_iter().filter(|variable| *variable != unset) {
                shell.env(variable, format!("{CANARY}{variable}"));
            }
            shell.output().expect("a shell")
        };
        let text = String::from_utf8(run("").stdout).expect("text");
        let [value, first, second] = variables.map(|variable| format!("{CANARY}{variable}"));
        let body = format!("{{\"a\":\"it's {value}\",\"b\":\"{second}\"}}");
        let words: Vec<&str> = text.split('\0').collect();
        assert!(words.contains(&format!("https://host.test/{first}").as_str()), "{words:?}");
        assert!(words.contains(&body.as_str()), "{words:?}");
        for unset in variables {
            let output = run(unset);
            assert!(!output.status.success() && output.stdout.is_empty(), "{unset}: {output:?}");
        }
    }
}
