//! From consumed services to resolved ones: which backend serves each, its base URL, its credential.
//!
//! What is missing here is no reason to leave a tool out: it is listed, and a call says what has to be set.

mod base;
pub mod choice;
mod credentials;
pub mod inbound;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use secrecy::SecretString;
use url::Url;

use self::{
    base::{Base, BaseResolver},
    choice::{ByNamespace, Choice, default_choice},
    credentials::{Given, Owner, Resolver, shell_variable},
};
use crate::{
    backend::embedded::{self, StandIn},
    base_url::{base_url, is_loopback},
    catalog::{
        compile::Services,
        service::{Endpoint, Route, Service},
    },
    config::{ConfigError, CredentialReference},
    credential::{Credential, CredentialHeader, Secret, Slot},
    diagnostic::{Code, Diagnostic},
    egress::Policy,
    spec::{Consumes, Workspace},
    variables::{Secrets, Variables},
};

/// What services are resolved with.
#[derive(Debug)]
pub struct Resolution<'a> {
    /// The chosen backends.
    pub backends: &'a ByNamespace<Choice>,
    /// The given credentials.
    pub credentials: &'a ByNamespace<CredentialReference>,
    /// The headers that credentials are sent in, where one was named.
    pub headers: &'a ByNamespace<CredentialHeader>,
    /// The namespaces of services that callers may bring keys for.
    pub caller_keys: Option<&'a BTreeSet<String>>,
    /// Whether credentials are needed.
    pub secrets: Secrets,
    /// What the operator says of where requests may go.
    pub egress: &'a Policy,
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
    /// open. Error: a credential that was asked for by `--credential` cannot be read, or one that cannot be sent in the
    /// header that was named for it.
    pub fn services(
        &self,
        workspace: &Workspace,
        choices: &Choices,
        variables: &Variables,
        root_key: Option<&SecretString>,
    ) -> Result<(Services, Vec<Diagnostic>), ConfigError> {
        let mut services = Services::new();
        let mut problems = Vec::new();
        let mut shared = Shared::default();
        for (index, consumes) in consumed(workspace) {
            let key = (index, consumes.namespace.value.clone());
            let Some(choice) = choices.get(&key) else { continue };
            if services.contains_key(&key) {
                continue;
            }
            if *choice == Choice::Embedded {
                warn_of_unserved(consumes, &mut problems);
            }
            let mut remote = |url| {
                let (site, endpoint) =
                    self.remote_endpoint((index, consumes), (url, None), variables, &mut problems)?;
                let for_callers = match self.takes_caller_keys(consumes)? {
                    // What is missing but a secret has been said.
                    true => self
                        .remote_endpoint((index, consumes), (url, Some(no_secret())), variables, &mut Vec::new())?
                        .1
                        .ok(),
                    false => None,
                };
                Ok::<_, ConfigError>((Route::Remote, site, endpoint, for_callers))
            };
            let (route, site, endpoint, for_callers) = match choice {
                Choice::Embedded => {
                    let for_callers = self.takes_caller_keys(consumes)?.then(|| embedded_endpoint(consumes, None));
                    let endpoint = embedded_endpoint(consumes, root_key);
                    let site = endpoint.as_ref().ok().map(|endpoint| endpoint.base.clone());
                    (Route::Embedded, site, endpoint, for_callers.and_then(Result::ok))
                }
                Choice::Remote => remote(None)?,
                Choice::Url(url) => remote(Some(url))?,
            };
            let is_runloop = choice::stand_in(consumes).is_none_or(|known| known.path_prefix.is_empty());
            let endpoint = endpoint
                .map(|Endpoint { base, credential, secrets, .. }| Endpoint::new(base, shared.of(credential), secrets));
            let slots = match self.headers.get(&consumes.namespace.value) {
                Some(header) if route == Route::Remote => vec![Slot::Header(header.name().clone())],
                _ => consumes.authentication.as_ref().map(credentials::slots).unwrap_or_default(),
            };
            let namespace = consumes.namespace.value.clone();
            services
                .insert(key, Arc::new(Service { namespace, route, slots, site, endpoint, for_callers, is_runloop }));
        }
        self.withhold(workspace, &mut services, &mut problems);
        withhold_caller_keys(workspace, &mut services, &mut problems);
        Ok((services, problems))
    }

    /// Keeps a credential that was given for a namespace to one site. Specs come from others, and one of them may take
    /// the name of another one's service to be given its key.
    fn withhold(&self, workspace: &Workspace, services: &mut Services, problems: &mut Vec<Diagnostic>) {
        let named: Vec<&str> = self.credentials.names().collect();
        let mut sites: BTreeMap<&str, Vec<url::Origin>> = BTreeMap::new();
        for (index, consumes) in consumed(workspace) {
            let namespace = &consumes.namespace;
            let Some(service) = services.get_mut(&(index, namespace.value.clone())) else { continue };
            let Ok(endpoint) = &service.endpoint else { continue };
            if !named.contains(&namespace.value.as_str()) || endpoint.credential.is_none() {
                continue;
            }
            // A client's secret goes to the authorization server.
            let server = endpoint.credential.authorization_server();
            let reached: Vec<_> = [&endpoint.base].into_iter().chain(server).map(Url::origin).collect();
            let first = sites.entry(&namespace.value).or_insert_with(|| reached.clone());
            if reached.iter().all(|site| first.contains(site)) {
                continue;
            }
            let sites: Vec<String> = first.iter().map(url::Origin::ascii_serialization).collect();
            let message = format!(
                "the credential given for `{}` goes to {}; this service of the same name is elsewhere and is not given it",
                namespace.value,
                sites.join(" and ")
            );
            problems.push(
                Diagnostic::warning(Code::DuplicateNamespace, namespace.span, message)
                    .with_help("give this service a namespace of its own; its tools are listed, but cannot be called"),
            );
            let missing = format!(
                "the service `{}` shares its name with another one, whose credential it is not given; the operator must \
                 give it a namespace of its own",
                namespace.value
            );
            if let Some(service) = Arc::get_mut(service) {
                service.endpoint = Err(missing);
            }
        }
    }

    /// The base URL, where it is known and holds no secret, and where calls go.
    fn remote_endpoint(
        &self,
        (document, consumes): (usize, &Consumes),
        (url, brought): (Option<&Url>, Option<Given>),
        variables: &Variables,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(Option<Url>, Result<Endpoint, String>), ConfigError> {
        let namespace = &consumes.namespace;
        let header = self.headers.get(&namespace.value);
        if let (Some(_), Some(authentication)) = (header, &consumes.authentication)
            && !credentials::is_one_secret(authentication)
        {
            let problem = format!(
                "the spec of `{}` asks for more than one secret, so there is nothing to send in a header of its own; only a \
                 `bearer` token or a single `apikey` can be sent so",
                namespace.value
            );
            return Err(ConfigError::Invalid { setting: "--credential-header", problem });
        }
        let given = match brought {
            Some(brought) => Some(brought),
            None => self.credentials.get(&namespace.value).map(|reference| self.given(reference)).transpose()?,
        };
        let base = match url {
            Some(url) => Ok(Base { url: url.clone(), secrets: Vec::new() }),
            None => {
                let (secrets, egress) = (self.secrets, self.egress);
                BaseResolver { document, variables, secrets, egress, problems: &mut *problems }.resolve(consumes)
            }
        };
        let owner = Owner::Service(&namespace.value);
        let mut resolver = Resolver { document, variables, secrets: self.secrets, owner, problems: &mut *problems };
        let credential = match &consumes.authentication {
            Some(authentication) => resolver.credential(authentication, given),
            None => {
                Ok(given.map_or(Credential::None, |given| Credential::Bearer(Secret::new(given.value, given.shell))))
            }
        };
        let site = base.as_ref().ok().filter(|base| base.secrets.is_empty()).map(|base| base.url.clone());
        let (base, credential) = match (base, credential) {
            (Ok(base), Ok(credential)) => (base, credential),
            (Err(missing), Ok(_)) | (Ok(_), Err(missing)) => return Ok((site, Err(missing))),
            (Err(base), Err(credential)) => return Ok((site, Err(format!("{base}; and {credential}")))),
        };
        let credential = match header {
            Some(header) => credential.in_header(header),
            None => credential,
        };
        // A client's secret goes to the authorization server, wherever calls go.
        let refused = credential.authorization_server().and_then(|server| self.egress.stated(server).err());
        if let Some(refusal) = refused {
            let kind = consumes.authentication.as_ref().map(|authentication| &authentication.kind);
            problems.extend(kind.and_then(credentials::stated_server).map(|place| base::refused(refusal, place, None)));
            let problem = format!(
                "the authorization server of `{}` may not be called where the spec says: {refusal}; the operator can allow it \
                 under `egress.allow` in the configuration, a retry will not help",
                namespace.value
            );
            return Ok((site, Err(problem)));
        }
        let Base { url: base, secrets } = base;
        if url.is_some() && base.scheme() == "http" && !is_loopback(&base) && !credential.is_none() {
            let message = format!("`{base}` is not encrypted: the credential travels in clear text");
            problems.push(Diagnostic::warning(Code::InsecureBaseUri, namespace.span, message));
        }
        Ok((site, Ok(Endpoint::new(base, credential, secrets))))
    }

    /// Whether callers may bring a key for this service. Error: they may, but it asks for more than a key.
    fn takes_caller_keys(&self, consumes: &Consumes) -> Result<bool, ConfigError> {
        let namespace = &consumes.namespace.value;
        if !self.caller_keys.is_some_and(|namespaces| namespaces.contains(namespace)) {
            return Ok(false);
        }
        if consumes.authentication.as_ref().is_none_or(credentials::is_one_secret) {
            return Ok(true);
        }
        let problem = format!(
            "the spec of `{namespace}` asks for more than one secret, which no single key of a caller can be; only a \
             `bearer` token or a single `apikey` can"
        );
        Err(ConfigError::Invalid { setting: "caller_backend_key", problem })
    }

    fn given(&self, reference: &CredentialReference) -> Result<Given, ConfigError> {
        let value = match self.secrets {
            Secrets::Read => reference.read()?,
            // Looked at without their values, two are the same where they come from the same place.
            Secrets::Plain | Secrets::Leave => SecretString::from(reference.to_string()),
        };
        let shell = match reference {
            CredentialReference::Environment(name) => shell_variable(name),
            CredentialReference::File(_) => None,
        };
        Ok(Given { value, shell })
    }
}

/// One state for each client and user, so that services of several specs share tokens and nonces.
#[derive(Default)]
struct Shared(Vec<Credential>);

impl Shared {
    fn of(&mut self, credential: Credential) -> Credential {
        if !matches!(credential, Credential::Digest(_) | Credential::OAuth2(_)) {
            return credential;
        }
        match self.0.iter().find(|known| known.is_same(&credential)) {
            Some(known) => known.clone(),
            None => {
                self.0.push(credential.clone());
                credential
            }
        }
    }
}

/// All URLs that calls go to.
pub fn reached(services: &Services) -> impl Iterator<Item = &Url> {
    let remote = services.values().filter(|service| service.route == Route::Remote);
    let endpoints = remote.flat_map(|service| service.endpoint.iter().chain(&service.for_callers));
    endpoints.flat_map(|endpoint| [&endpoint.base].into_iter().chain(endpoint.credential.authorization_server()))
}

/// In the place of a secret that each caller brings.
fn no_secret() -> Given {
    Given { value: SecretString::default(), shell: None }
}

/// Keeps the keys of callers for a namespace to one site, as a credential that was given for it: another spec may take the
/// name of a service to be given them.
fn withhold_caller_keys(workspace: &Workspace, services: &mut Services, problems: &mut Vec<Diagnostic>) {
    let mut sites: BTreeMap<&str, (Route, url::Origin)> = BTreeMap::new();
    for (index, consumes) in consumed(workspace) {
        let namespace = &consumes.namespace;
        let Some(service) = services.get_mut(&(index, namespace.value.clone())) else { continue };
        let Some(endpoint) = &service.for_callers else { continue };
        let site = (service.route, endpoint.base.origin());
        let first = sites.entry(&namespace.value).or_insert_with(|| site.clone());
        if *first == site {
            continue;
        }
        let message = format!(
            "the keys of callers for `{}` go to {}; this service of the same name is elsewhere and is not given them",
            namespace.value,
            first.1.ascii_serialization()
        );
        let problem = Diagnostic::warning(Code::DuplicateNamespace, namespace.span, message);
        problems.push(problem.with_help("give this service a namespace of its own"));
        if let Some(service) = Arc::get_mut(service) {
            service.for_callers = None;
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
        if !choice::serves(consumes, operation) {
            let message = format!("the embedded backend does not serve `{method} {path}`; every call will fail");
            let help = format!("give `--backend {}=remote` or a URL", consumes.namespace.value);
            problems.push(Diagnostic::warning(Code::UnservedOperation, operation.name.span, message).with_help(help));
        }
    }
}

fn embedded_endpoint(consumes: &Consumes, root_key: Option<&SecretString>) -> Result<Endpoint, String> {
    let StandIn { base_uri, path_prefix } = choice::stand_in(consumes).unwrap_or(&embedded::RUNLOOP);
    let base = base_url(&format!("{base_uri}{path_prefix}")).map_err(str::to_owned)?;
    let credential = root_key.map_or(Credential::None, |key| Credential::Bearer(Secret::unnamed(key.clone())));
    Ok(Endpoint::new(base, credential, Vec::new()))
}
