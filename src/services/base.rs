//! From a `baseUri` as written to a base URL: `{{VARIABLE}}` and `{server-variable}` filled in, or what has to be set.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    base_url::{base_url, is_loopback, shown},
    diagnostic::{Code, Diagnostic},
    egress::{Policy, Refusal},
    spec::template::{Piece, pieces},
    spec::{Consumes, Spanned},
    variables::{Secrets, Variables},
};

/// A base URL and the secrets that went into it.
#[derive(Debug)]
pub(super) struct Base {
    /// It.
    pub(super) url: Url,
    /// The values of the variables in it that are secret.
    pub(super) secrets: Vec<SecretString>,
}

/// What a base URL is resolved with.
#[derive(Debug)]
pub(super) struct BaseResolver<'a> {
    /// The document, by its place in the workspace.
    pub(super) document: usize,
    /// The variables of all documents.
    pub(super) variables: &'a Variables,
    /// Whether values are read.
    pub(super) secrets: Secrets,
    /// What the operator says of where requests may go.
    pub(super) egress: &'a Policy,
    /// What was found.
    pub(super) problems: &'a mut Vec<Diagnostic>,
}

impl BaseResolver<'_> {
    /// The base URL that the spec names, or what the operator has to set.
    pub(super) fn resolve(&mut self, consumes: &Consumes) -> Result<Base, String> {
        let namespace = &consumes.namespace;
        let setting = format!("--backend {}=URL", namespace.value);
        let Some(written) = consumes.base_uri.as_ref().filter(|base| !base.value.trim().is_empty()) else {
            let span = consumes.base_uri.as_ref().map_or(namespace.span, |base| base.span);
            let message = format!("`{}` names no `baseUri`", namespace.value);
            self.problems.push(unusable(Diagnostic::warning(Code::UnusableBaseUri, span, message), &setting));
            return Err(no_base(&namespace.value, &setting));
        };
        let mut secrets = Vec::new();
        let filled = match self.fill(written, &mut secrets) {
            Ok(filled) => filled,
            Err(missing) => {
                let set = missing.iter().map(|missing| format!("{missing}, or ")).collect::<String>();
                return Err(format!(
                    "the service `{}` has no usable base URL; the operator must {set}start keyglass with `{setting}`",
                    namespace.value
                ));
            }
        };
        if self.secrets == Secrets::Leave && filled != written.value {
            return Err("the variables of its base URL are not read".to_owned());
        }
        match base_url(&filled) {
            Ok(url) => {
                self.remark(written, &url, &setting);
                match self.egress.stated(&url) {
                    Ok(_) => Ok(Base { url, secrets }),
                    Err(refusal) => {
                        self.problems.push(refused(refusal, ("baseUri", written), Some(&setting)));
                        Err(format!(
                            "the service `{}` may not be called where its spec says: {refusal}; the operator can allow it by \
                             `{setting}` or under `egress.allow` in the configuration, a retry will not help",
                            namespace.value
                        ))
                    }
                }
            }
            Err(problem) => {
                let message = format!("`baseUri: {}` {problem}", shown(&written.value));
                let problem = unusable(Diagnostic::warning(Code::UnusableBaseUri, written.span, message), &setting);
                self.problems.push(if written.value.contains('@') { problem.with_source_hidden() } else { problem });
                Err(no_base(&namespace.value, &setting))
            }
        }
    }

    /// The text with its variables. The error names what has to be done for those without a value; it is empty where
    /// values are left alone.
    fn fill(&mut self, written: &Spanned<String>, secrets: &mut Vec<SecretString>) -> Result<String, Vec<String>> {
        let mut filled = String::new();
        let mut missing = Vec::new();
        for piece in pieces(&written.value) {
            match piece {
                Piece::Name(name) => {
                    if !self.variables.is_bound(self.document, name) {
                        let source = self.variables.find_anywhere(self.document, name).name;
                        let message = format!(
                            "`{source}` is not among the `binds` of this spec; it is read from the environment"
                        );
                        let problem = Diagnostic::warning(Code::UnboundVariable, written.span, message);
                        self.problems.push(problem.with_nearest(&source, self.variables.names(self.document)));
                    }
                    self.push(name, written, &mut filled, (secrets, &mut missing));
                }
                Piece::Text(text) => self.server_variables(text, written, &mut filled, (secrets, &mut missing)),
            }
        }
        if missing.is_empty() { Ok(filled) } else { Err(missing) }
    }

    /// `{name}` as OpenAPI writes it. One that the spec does not bind is left as it is, which is no URL.
    fn server_variables(
        &mut self,
        text: &str,
        written: &Spanned<String>,
        filled: &mut String,
        (secrets, missing): (&mut Vec<SecretString>, &mut Vec<String>),
    ) {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, tail)) = after.split_once('}') else { break };
            filled.push_str(before);
            let constant = name.to_ascii_uppercase().replace('-', "_");
            match [name, &constant].into_iter().find(|name| self.variables.is_bound(self.document, name)) {
                Some(name) => self.push(name, written, filled, (secrets, missing)),
                None => {
                    filled.push('{');
                    filled.push_str(name);
                    filled.push('}');
                }
            }
            rest = tail;
        }
        filled.push_str(rest);
    }

    fn push(
        &mut self,
        name: &str,
        written: &Spanned<String>,
        filled: &mut String,
        (secrets, missing): (&mut Vec<SecretString>, &mut Vec<String>),
    ) {
        let variable = self.variables.find_anywhere(self.document, name);
        match variable.value {
            Ok(value) => {
                filled.push_str(value.expose_secret());
                if variable.sensitive {
                    secrets.push(value);
                }
            }
            Err(problem) => {
                let message = format!("the variable `{}` has no value; {problem}", variable.name);
                let help = "the tools of the service are listed, and can be called once it has one";
                let warning = Diagnostic::warning(Code::MissingVariable, written.span, message).with_help(help);
                self.problems.push(warning.with_variable(variable.name));
                missing.push(problem);
            }
        }
    }

    /// What is worth knowing of a URL that can be used.
    fn remark(&mut self, written: &Spanned<String>, url: &Url, setting: &str) {
        if written.value.trim().ends_with('/') && url.path() != "/" {
            let message = "the `/` at the end of `baseUri` is left out, since every path starts with one";
            self.problems.push(Diagnostic::note(Code::TrailingSlash, written.span, message));
        }
        let host = url.host_str().unwrap_or_default();
        let is_example = ["example.com", "example.org", "example.net", "example", "invalid"]
            .iter()
            .any(|example| host.strip_suffix(example).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
        if is_example {
            let message = format!("`{host}` is reserved for examples and serves nobody");
            let problem = Diagnostic::warning(Code::ExampleBaseUri, written.span, message);
            self.problems.push(problem.with_help(format!("give the real one by `{setting}`")));
        }
        let is_named = || self.egress.stated(url).is_ok(); // else that is said
        if url.scheme() == "http" && !is_loopback(url) && is_named() {
            let message = format!(
                "`{}` is not encrypted: the credential, arguments and answers travel in clear text",
                shown(&written.value)
            );
            self.problems.push(Diagnostic::warning(Code::InsecureBaseUri, written.span, message));
        }
    }
}

/// Why a URL that a spec states is not called.
pub(super) fn refused(
    refusal: Refusal,
    (field, written): (&str, &Spanned<String>),
    setting: Option<&str>,
) -> Diagnostic {
    let url = shown(&written.value);
    let (code, message) = match refusal {
        Refusal::Unencrypted => (
            Code::InsecureBaseUri,
            format!(
                "`{field}: {url}` is not encrypted: the credential, arguments and answers would travel in clear text, so it \
                 is not called"
            ),
        ),
        refusal => (Code::RefusedHost, format!("`{field}: {url}` is not called: {refusal}")),
    };
    let problem = Diagnostic::warning(code, written.span, message);
    let problem = if written.value.contains('@') { problem.with_source_hidden() } else { problem };
    let setting = setting.map(|setting| format!("is named by `{setting}`, or ")).unwrap_or_default();
    problem.with_help(format!(
        "its tools are listed, and can be called once it {setting}is listed under `egress.allow` in the configuration"
    ))
}

fn unusable(problem: Diagnostic, setting: &str) -> Diagnostic {
    problem.with_help(format!("its tools are listed, and can be called once `{setting}` is given"))
}

fn no_base(namespace: &str, setting: &str) -> String {
    format!("the service `{namespace}` has no usable base URL; the operator must start keyglass with `{setting}`")
}
