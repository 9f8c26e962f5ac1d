//! The request that a call would send, as text: nothing is sent, opened or created, and no credential is read.
//!
//! Credentials and secret arguments never get here: the request is bound with stand-ins in their place, which the text
//! shows as `[masked]` or, for a shell, as a reference to a variable. Must not know how requests are sent.

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
        service::{Credential, Endpoint, Route},
    },
    error::CallError,
    mask::MASKED,
    random::random_hex,
};

/// Where `keyglass backend` listens in examples: the embedded backend has no address of its own.
const BACKEND_EXAMPLE: &str = "http://127.0.0.1:8080";
/// The shell variable for a credential that comes from none.
const PLACEHOLDER: &str = "CREDENTIAL";

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
    /// Holds stand-ins where it would hold a secret.
    request: Request<Bytes>,
    stand_ins: StandIns,
    route: Route,
}

/// What a request is bound with in the place of secrets. Random, so that no other text looks like it.
#[derive(Debug)]
struct StandIns {
    /// For secret arguments.
    argument: String,
    /// For the credential.
    credential: String,
    /// The environment variable the credential comes from.
    variable: Option<String>,
    /// The query parameter that holds the credential, as it stands in the URL.
    query: Option<String>,
}

/// Binds a call without carrying it out.
///
/// # Errors
///
/// What a real call fails with before it sends anything: arguments that do not fit, a service without an address.
pub fn dry_run(tool: &CompiledTool, arguments: JsonObject) -> Result<DryRun, CallError> {
    let arguments = Value::Object(arguments);
    tool.input.check(&arguments)?;
    let no_arguments = JsonObject::new();
    let arguments = arguments.as_object().unwrap_or(&no_arguments);
    let endpoint = tool.service.endpoint()?;
    // What is wrong with the real values has to be said of them.
    tool.request.bind(arguments, endpoint)?;

    let random = || random_hex::<8>().map_err(|error| CallError::Internal(format!("no randomness: {error}")));
    let mut stand_ins = StandIns {
        argument: format!("argument{}", random()?),
        credential: format!("credential{}", random()?),
        variable: tool.service.credential_variable.clone(),
        query: None,
    };
    let secret = SecretString::from(stand_ins.credential.as_str());
    let endpoint = match tool.service.route {
        Route::Embedded => {
            stand_ins.variable = None;
            Endpoint { base: base_url(BACKEND_EXAMPLE).map_err(internal)?, credential: Credential::Bearer(secret) }
        }
        Route::Remote => {
            let credential = match &endpoint.credential {
                Credential::None => Credential::None,
                Credential::Bearer(_) => Credential::Bearer(secret),
                Credential::Header(name, _) => Credential::Header(name.clone(), secret),
                Credential::Query(name, _) => Credential::Query(name.clone(), secret),
            };
            Endpoint { base: endpoint.base.clone(), credential }
        }
    };
    let masked = tool.input.replace_secrets(arguments, &stand_ins.argument);
    let mut request = tool.request.bind(&masked, &endpoint)?;
    if tool.service.route == Route::Remote {
        request.headers_mut().insert(header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT));
    }
    let last = request.uri().query().and_then(|query| query.rsplit('&').next()).and_then(|pair| pair.split_once('='));
    stand_ins.query = last.filter(|(_, value)| *value == stand_ins.credential).map(|(name, _)| name.to_owned());
    if stand_ins.variable.as_deref().is_some_and(|name| !is_shell_name(name)) {
        stand_ins.variable = None;
    }
    Ok(DryRun { request, stand_ins, route: tool.service.route })
}

fn internal(reason: &str) -> CallError {
    CallError::Internal(reason.to_owned())
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
        let masked =
            |text: &str| text.replace(&self.stand_ins.argument, MASKED).replace(&self.stand_ins.credential, MASKED);
        let mut text = self.notes();
        text.push_str(&format!("{} {}\n", self.request.method(), masked(&self.request.uri().to_string())));
        for (name, value) in self.headers() {
            text.push_str(&format!("{name}: {}\n", masked(&value)));
        }
        text.push_str(&format!("{}: [new for each call]\n", call::REQUEST_ID));
        if !self.request.body().is_empty() {
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
        let mut url = self.request.uri().to_string();
        let mut credential = None;
        if let Some(name) = &self.stand_ins.query {
            let pair = format!("{name}={}", self.stand_ins.credential);
            url.truncate(url.len().saturating_sub(pair.len() + 1)); // with its `?` or `&`
            notes.push_str("# --url-query encodes the credential; it needs curl 7.87\n");
            credential = Some(format!("--url-query {}", self.word(&pair)));
        }
        if url.contains(['[', ']', '{', '}']) || url.contains(&self.stand_ins.argument) {
            words.push("--globoff".to_owned());
        }
        words.push(self.word(&url));
        words.extend(credential);
        for (name, value) in self.headers() {
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
        format!("{notes}{command}\n")
    }

    /// Comments that go before the request.
    fn notes(&self) -> String {
        match self.route {
            Route::Embedded => {
                "# to the backend built into keyglass, as `keyglass backend --listen 127.0.0.1:8080` serves it\n"
                    .to_owned()
            }
            Route::Remote => String::new(),
        }
    }

    /// One word of a POSIX shell (IEEE 1003.1, section 2.2): in single quotes, the credential as a variable in double
    /// ones.
    fn word(&self, text: &str) -> String {
        let text = text.replace(&self.stand_ins.argument, MASKED);
        let variable = self.stand_ins.variable.as_deref().unwrap_or(PLACEHOLDER);
        let pieces: Vec<&str> = text.split(self.stand_ins.credential.as_str()).collect();
        let plain = |piece: &&str| !piece.contains(['"', '$', '`', '\\', '!']);
        if pieces.len() > 1 && pieces.iter().all(plain) && pieces.iter().skip(1).all(|piece| ends_name(piece)) {
            return format!("\"{}\"", pieces.join(&format!("${variable}")));
        }
        let quoted = pieces.iter().map(|piece| match *piece {
            "" if pieces.len() > 1 => String::new(),
            piece => format!("'{}'", piece.replace('\'', r"'\''")),
        });
        quoted.collect::<Vec<_>>().join(&format!("\"${variable}\""))
    }

    fn headers(&self) -> impl Iterator<Item = (&str, String)> {
        let headers = self.request.headers().iter();
        headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    }

    fn body(&self) -> String {
        String::from_utf8_lossy(self.request.body()).into_owned()
    }
}

/// Whether a text behind `$NAME` leaves the name as it is.
fn ends_name(text: &str) -> bool {
    !text.starts_with(|character: char| character == '_' || character.is_ascii_alphanumeric())
}

/// Whether a shell can refer to a variable of this name.
fn is_shell_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.contains(|character: char| ends_name(character.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use http::HeaderValue;
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    const CANARY: &str = "canary$(id)`id`\"'\\ !-9c1e";

    fn dry_run_of(request: Request<Bytes>, query: Option<&str>) -> DryRun {
        let stand_ins = StandIns {
            argument: "argument0123456789abcdef".to_owned(),
            credential: "credential0123456789abcdef".to_owned(),
            variable: Some("PETS_TOKEN".to_owned()),
            query: query.map(str::to_owned),
        };
        DryRun { request, stand_ins, route: Route::Remote }
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
            prefix in "|Bearer |[ -~]{1,6}",
            method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "HEAD"]),
        ) {
            let url = Url::parse("https://host.test/v1/").expect("a URL").join(&format!("./{path}")).expect("a URL");
            let header = header.trim();
            let request = Request::builder().method(method).uri(url.as_str()).header("x-pet", header);
            let credential = HeaderValue::from_str(&format!("{prefix}credential0123456789abcdef")).expect("a value");
            let Ok(request) = request.header("authorization", credential).body(Bytes::from(body.clone())) else {
                return Ok(()); // not every URL is one to the HTTP library
            };
            let uri = request.uri().to_string();
            let line = dry_run_of(request, None).to_text(Format::Curl);
            prop_assert!(!line.contains("credential0123456789abcdef"));
            let words = words(&line);
            let behind = |option: &str| {
                let found = words.iter().enumerate().filter(|(_, word)| *word == option);
                found.filter_map(|(index, _)| words.get(index + 1).cloned()).collect::<Vec<_>>()
            };
            prop_assert!(words.contains(&uri), "{:?} lacks {}", words, uri);
            let expected = if header.is_empty() { "x-pet;".to_owned() } else { format!("x-pet: {header}") };
            prop_assert!(behind("--header").contains(&expected), "{:?}", words);
            prop_assert!(behind("--header").contains(&format!("authorization: {prefix}{CANARY}")), "{:?}", words);
            prop_assert_eq!(behind("--data-raw"), if body.is_empty() { vec![] } else { vec![body] });
        }
    }

    #[test]
    fn a_credential_in_the_query_is_encoded_by_curl() {
        for (url, rest) in [
            ("https://host.test/pets?key=credential0123456789abcdef", "https://host.test/pets"),
            ("https://host.test/pets?a=b&key=credential0123456789abcdef", "https://host.test/pets?a=b"),
        ] {
            let request = Request::get(url).body(Bytes::new()).expect("a request");
            let run = dry_run_of(request, Some("key"));
            assert_eq!(words(&run.to_text(Format::Curl)), [rest, "--url-query", &format!("key={CANARY}")]);
            let text = run.to_text(Format::Http);
            assert!(text.contains("key=[masked]\n") && !text.contains("0123456789abcdef"), "{text}");
        }
    }

    #[test]
    fn names_that_a_shell_cannot_refer_to_are_known() {
        for (name, is_name) in [("A", true), ("_a1", true), ("", false), ("1A", false), ("A-B", false), ("Ä", false)] {
            assert_eq!(is_shell_name(name), is_name, "{name}");
        }
    }
}
