//! From consumed services to resolved ones: which backend serves each, its base URL, its credential.
//!
//! What is missing here is no reason to leave a tool out: it is listed, and a call says what has to be set.

pub mod choice;

use std::{collections::BTreeMap, sync::Arc};

use http::HeaderName;
use secrecy::SecretString;
use url::Url;

use self::choice::{ByNamespace, Choice, default_choice};
use crate::{
    backend::embedded,
    base_url::{self, base_url, is_loopback},
    catalog::{
        compile::Services,
        service::{Credential, Endpoint, Route, Service},
        template,
    },
    config::{self, ConfigError, CredentialReference},
    diagnostic::{Code, Diagnostic},
    spec::{AuthenticationKind, Consumes, Document, Placement, Spanned, Workspace},
};

/// What services are resolved with.
#[derive(Debug)]
pub struct Resolution<'a> {
    /// The chosen backends.
    pub backends: &'a ByNamespace<Choice>,
    /// The given credentials.
    pub credentials: &'a ByNamespace<CredentialReference>,
    /// Whether credentials are needed.
    pub secrets: Secrets,
}

/// Whether credentials are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are, and what is missing is reported.
    Read,
    /// They are not: tools are only looked at.
    Leave,
}

/// The backend of each consumed service: document (its place in the workspace) and namespace → choice.
pub type Choices = BTreeMap<(usize, String), Choice>;

impl Resolution<'_> {
    /// Chooses the backend of every consumed service.
    pub fn choices(&self, workspace: &Workspace) -> Choices {
        let mut choices = Choices::new();
        for (index, consumes) in consumed(workspace) {
            let namespace = &consumes.namespace.value;
            let choice = self.backends.get(namespace).cloned().unwrap_or_else(|| default_choice(consumes));
            choices.entry((index, namespace.clone())).or_insert(choice);
        }
        choices
    }

    /// Resolves every consumed service. `root_key` is the credential of the embedded backend, absent where it is not
    /// open. Error: a credential that was asked for by `--credential` cannot be read.
    pub fn services(
        &self,
        workspace: &Workspace,
        choices: &Choices,
        root_key: Option<&SecretString>,
    ) -> Result<(Services, Vec<Diagnostic>), ConfigError> {
        let mut services = Services::new();
        let mut problems = Vec::new();
        for (index, consumes) in consumed(workspace) {
            let key = (index, consumes.namespace.value.clone());
            let Some(choice) = choices.get(&key) else { continue };
            if services.contains_key(&key) {
                continue;
            }
            if *choice == Choice::Embedded {
                warn_of_unserved(consumes, &mut problems);
            }
            let Some(document) = workspace.documents.get(index) else { continue };
            let (route, endpoint) = match choice {
                Choice::Embedded => (Route::Embedded, embedded_endpoint(root_key)),
                Choice::Remote => (Route::Remote, self.remote_endpoint(document, consumes, None, &mut problems)?),
                Choice::Url(url) => {
                    (Route::Remote, self.remote_endpoint(document, consumes, Some(url), &mut problems)?)
                }
            };
            let namespace = consumes.namespace.value.clone();
            let credential_variable = self.credential_variable(document, consumes);
            services.insert(key, Arc::new(Service { namespace, route, credential_variable, endpoint }));
        }
        Ok((services, problems))
    }

    fn remote_endpoint(
        &self,
        document: &Document,
        consumes: &Consumes,
        url: Option<&Url>,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<Result<Endpoint, String>, ConfigError> {
        let namespace = &consumes.namespace;
        let given = match self.secrets {
            Secrets::Read => self.credentials.get(&namespace.value).map(CredentialReference::read).transpose()?,
            Secrets::Leave => self.credentials.get(&namespace.value).map(|_| SecretString::from("")),
        };
        let base = match (url, &consumes.base_uri) {
            (Some(url), _) => url.clone(),
            (None, base) => {
                let text = base.as_ref().map_or("", |base| base.value.as_str());
                match base_url(text) {
                    Ok(base) => base,
                    Err(problem) => {
                        let span = base.as_ref().map_or(namespace.span, |base| base.span);
                        let setting = format!("--backend {}=URL", namespace.value);
                        let message = match text.trim() {
                            "" => format!("`{}` names no `baseUri`", namespace.value),
                            text => format!("`baseUri: {}` {problem}", base_url::shown(text)),
                        };
                        let problem = Diagnostic::warning(Code::UnusableBaseUri, span, message)
                            .with_help(format!("its tools are listed, and can be called once `{setting}` is given"));
                        problems.push(if text.contains('@') { problem.with_source_hidden() } else { problem });
                        return Ok(Err(format!(
                            "the service `{}` has no usable base URL; the operator must start keyglass with `{setting}`",
                            namespace.value
                        )));
                    }
                }
            }
        };
        let credential = match self.credential(document, consumes, given, problems) {
            Ok(credential) => credential,
            Err(missing) => return Ok(Err(missing)),
        };
        if base.scheme() == "http" && !is_loopback(&base) && credential.secret().is_some() {
            let message = format!("`{base}` is not encrypted: the credential travels in clear text");
            problems.push(Diagnostic::warning(Code::InsecureBaseUri, namespace.span, message));
        }
        Ok(Ok(Endpoint { base, credential }))
    }

    /// The credential of a service, or what the operator has to set.
    fn credential(
        &self,
        document: &Document,
        consumes: &Consumes,
        given: Option<SecretString>,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<Credential, String> {
        let Some(authentication) = &consumes.authentication else {
            return Ok(given.map_or(Credential::None, Credential::Bearer));
        };
        let template = match &authentication.kind {
            AuthenticationKind::Bearer { token } => token,
            AuthenticationKind::ApiKey { value, .. } => value,
        };
        let secret = match (given, template) {
            (Some(secret), _) => secret,
            (None, Some(template)) => self.variable(document, consumes, template, problems)?,
            (None, None) => {
                let message = "`authentication` names no credential; give one by `--credential`";
                problems.push(Diagnostic::warning(Code::MissingField, authentication.span, message));
                return Err(missing_credential(&consumes.namespace.value, None));
            }
        };
        match &authentication.kind {
            AuthenticationKind::Bearer { .. } => Ok(Credential::Bearer(secret)),
            AuthenticationKind::ApiKey { key, placement, .. } => {
                let name = key.as_ref().map_or("X-Api-Key", |key| key.value.as_str());
                match placement {
                    Placement::Query => Ok(Credential::Query(name.to_owned(), secret)),
                    Placement::Header => match HeaderName::from_bytes(name.as_bytes()) {
                        Ok(header) => Ok(Credential::Header(header, secret)),
                        Err(_) => {
                            let span = key.as_ref().map_or(authentication.span, |key| key.span);
                            let message = format!("`{name}` is not a name that an HTTP header can have");
                            problems.push(Diagnostic::warning(Code::InvalidValue, span, message));
                            Err(format!("the spec of `{}` names no valid header for its key", consumes.namespace.value))
                        }
                    },
                }
            }
        }
    }

    /// The environment variable that the credential of a service comes from.
    fn credential_variable(&self, document: &Document, consumes: &Consumes) -> Option<String> {
        match self.credentials.get(&consumes.namespace.value) {
            Some(CredentialReference::Environment(name)) => return Some(name.clone()),
            Some(CredentialReference::File(_)) => return None,
            None => {}
        }
        let template = match &consumes.authentication.as_ref()?.kind {
            AuthenticationKind::Bearer { token } => token,
            AuthenticationKind::ApiKey { value, .. } => value,
        };
        let name = template::variable(&template.as_ref()?.value)?;
        Some(source_of(document, name).unwrap_or_else(|| name.strip_prefix("env.").unwrap_or(name)).to_owned())
    }

    fn variable(
        &self,
        document: &Document,
        consumes: &Consumes,
        template: &Spanned<String>,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<SecretString, String> {
        let namespace = &consumes.namespace.value;
        let Some(name) = template::variable(&template.value) else {
            if template.value.contains("{{") {
                let message = "a credential must be one variable: `{{NAMESPACE.VARIABLE}}`";
                // the text around the variable may be a part of the secret
                problems
                    .push(Diagnostic::warning(Code::UnsupportedFeature, template.span, message).with_source_hidden());
                return Err(missing_credential(namespace, None));
            }
            let message = "the credential stands in the spec itself; put it into a variable: `{{env.NAME}}`";
            problems.push(Diagnostic::warning(Code::LiteralSecret, template.span, message).with_source_hidden());
            return Ok(SecretString::from(template.value.trim()));
        };
        let source = match source_of(document, name) {
            Some(source) => source,
            None => {
                let source = name.strip_prefix("env.").unwrap_or(name);
                let known = document.binds.iter().flat_map(|bind| &bind.keys).map(|(key, _)| key.value.as_str());
                let message =
                    format!("`{source}` is not among the `binds` of this spec; it is read from the environment");
                let problem = Diagnostic::warning(Code::UnboundVariable, template.span, message);
                problems.push(problem.with_nearest(source, known));
                source
            }
        };
        if self.secrets == Secrets::Leave {
            return Ok(SecretString::from(""));
        }
        match config::secret_variable(source) {
            Ok(Some(secret)) => Ok(secret),
            other => {
                let problem = other.err().unwrap_or("it is not set");
                let message = format!("the variable `{source}` of `{namespace}` cannot be used: {problem}");
                problems.push(
                    Diagnostic::warning(Code::MissingVariable, template.span, message)
                        .with_help("its tools are listed, and can be called once it is set"),
                );
                Err(missing_credential(namespace, Some(source)))
            }
        }
    }
}

fn consumed(workspace: &Workspace) -> impl Iterator<Item = (usize, &Consumes)> {
    let documents = workspace.documents.iter().enumerate();
    documents.flat_map(|(index, document)| document.consumes.iter().map(move |consumes| (index, consumes)))
}

/// The embedded backend can be chosen for any service, but serves only what it knows.
fn warn_of_unserved(consumes: &Consumes, problems: &mut Vec<Diagnostic>) {
    for operation in &consumes.operations {
        let (method, path) = (&operation.method.value, &operation.path.value);
        let served = http::Method::from_bytes(method.as_bytes()).is_ok_and(|method| embedded::serves(&method, path));
        if !served {
            let message = format!("the embedded backend does not serve `{method} {path}`; every call will fail");
            let help = format!("give `--backend {}=remote` or a URL", consumes.namespace.value);
            problems.push(Diagnostic::warning(Code::UnservedOperation, operation.name.span, message).with_help(help));
        }
    }
}

fn embedded_endpoint(root_key: Option<&SecretString>) -> Result<Endpoint, String> {
    let base = base_url(embedded::RUNLOOP_BASE_URI).map_err(str::to_owned)?;
    let credential = root_key.map_or(Credential::None, |key| Credential::Bearer(key.clone()));
    Ok(Endpoint { base, credential })
}

/// The name under which the source of a bind knows a variable: `NAMESPACE.VARIABLE`, or `VARIABLE` of any namespace.
fn source_of<'a>(document: &'a Document, variable: &str) -> Option<&'a str> {
    for bind in &document.binds {
        let own = variable.strip_prefix(bind.namespace.value.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let name = own.unwrap_or(variable);
        if let Some((_, source)) = bind.keys.iter().find(|(key, _)| key.value == name) {
            return Some(&source.value);
        }
    }
    None
}

fn missing_credential(namespace: &str, variable: Option<&str>) -> String {
    let set = match variable {
        Some(variable) => format!("set the environment variable `{variable}`, or "),
        None => String::new(),
    };
    format!(
        "the service `{namespace}` needs a credential that is not set; the operator must {set}start keyglass with \
         `--credential {namespace}=env:NAME` or `=file:PATH`"
    )
}
