//! From an `authentication` as written to a credential: variables filled in, literals told, what is missing named.

use std::sync::Arc;

use http::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    base_url::shown,
    credential::{
        Credential, Digest, Key, OAuth2, Secret, Slot, User,
        oauth2::{Client, TokenEndpoint, is_safe},
        shell_quoted,
    },
    diagnostic::{Code, Diagnostic, Span},
    spec::template::{self, Piece},
    spec::{self, ApiKey, Authentication, AuthenticationKind, Placement, Spanned},
    variables::{Secrets, Variables, names_secret},
};

/// Words before a secret that are none themselves: the names of authentication schemes.
const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "apikey", "api-key", "key"];

/// What credentials are resolved with.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    /// The document, by its place in the workspace.
    pub(super) document: usize,
    /// The variables of all documents.
    pub(super) variables: &'a Variables,
    /// Whether values are read.
    pub(super) secrets: Secrets,
    /// Whose credential it is.
    pub(super) owner: Owner<'a>,
    /// What was found.
    pub(super) problems: &'a mut Vec<Diagnostic>,
}

/// Whose credential is resolved.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    /// That of calls to the service of this namespace.
    Service(&'a str),
    /// That of callers of a server.
    Server,
}

/// A credential that the operator gave beside the specs.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// It.
    pub(super) value: SecretString,
    /// How a shell writes it.
    pub(super) shell: Option<String>,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A secret, which has no place in a spec.
    Secret,
    /// Plain configuration.
    Plain,
}

/// The places of a request that a credential of this kind fills, whatever its value.
pub(super) fn slots(authentication: &Authentication) -> Vec<Slot> {
    match &authentication.kind {
        AuthenticationKind::ApiKey(keys) => keys.iter().filter_map(slot).collect(),
        _ => vec![Slot::Header(http::header::AUTHORIZATION)],
    }
}

/// The server that issues tokens, as a spec states it, with the name of its field.
pub(super) fn stated_server(kind: &AuthenticationKind) -> Option<(&'static str, &Spanned<String>)> {
    let AuthenticationKind::OAuth2(oauth2) = kind else { return None };
    let endpoint = oauth2.token_endpoint.as_ref().map(|endpoint| ("tokenEndpoint", endpoint));
    endpoint.or_else(|| Some(("authorizationServerUri", oauth2.authorization_server.as_ref()?)))
}

/// Whether it is one secret and nothing else, so that it may as well be sent elsewhere.
pub(super) fn is_one_secret(authentication: &Authentication) -> bool {
    match &authentication.kind {
        // Of one that could not be read is said elsewhere that it could not.
        AuthenticationKind::Bearer { .. } | AuthenticationKind::Unreadable => true,
        AuthenticationKind::ApiKey(keys) => keys.len() <= 1,
        AuthenticationKind::Basic(_) | AuthenticationKind::Digest(_) | AuthenticationKind::OAuth2(_) => false,
    }
}

fn slot(key: &ApiKey) -> Option<Slot> {
    let name = key.name.as_ref().map_or("X-Api-Key", |name| name.value.as_str());
    match key.placement {
        Placement::Query => Some(Slot::Query(name.to_owned())),
        Placement::Header => HeaderName::from_bytes(name.as_bytes()).ok().map(Slot::Header),
    }
}

impl Resolver<'_> {
    /// The credential, or what the operator has to set.
    pub(super) fn credential(
        &mut self,
        authentication: &Authentication,
        given: Option<Given>,
    ) -> Result<Credential, String> {
        match &authentication.kind {
            // An empty token is how published specs say that there is none (language schema, authentication).
            AuthenticationKind::Bearer { token: Some(token) }
                if given.is_none() && token.value.trim().is_empty() && matches!(self.owner, Owner::Service(_)) =>
            {
                let message = "the token is empty; calls are made without a credential";
                let problem = Diagnostic::warning(Code::InvalidValue, token.span, message);
                self.problems.push(match self.owner {
                    Owner::Service(namespace) => problem.with_help(format!(
                        "leave `authentication` out where none is needed, or give one by `--credential {namespace}=env:NAME`"
                    )),
                    Owner::Server => problem,
                });
                Ok(Credential::None)
            }
            AuthenticationKind::Bearer { token } => {
                let secret = match given {
                    Some(given) => given.whole(),
                    None => self.required(token.as_ref(), authentication.span)?,
                };
                Ok(Credential::Bearer(secret))
            }
            AuthenticationKind::ApiKey(keys) => self.keys(keys, authentication.span, given),
            AuthenticationKind::Basic(user) => Ok(Credential::Basic(self.user(user, authentication.span, given)?)),
            AuthenticationKind::Digest(user) => {
                let user = self.user(user, authentication.span, given)?;
                Ok(Credential::Digest(Arc::new(Digest::new(user))))
            }
            AuthenticationKind::OAuth2(oauth) => self.oauth2(oauth, authentication.span, given),
            AuthenticationKind::Unreadable => Err("its `authentication` could not be read".to_owned()),
        }
    }

    fn keys(&mut self, keys: &[ApiKey], span: Span, given: Option<Given>) -> Result<Credential, String> {
        let given = match keys {
            [_] => given,
            _ => {
                if given.is_some() {
                    let message = "one credential cannot stand for several keys; each is taken from its variable";
                    self.problems.push(Diagnostic::warning(Code::InvalidValue, span, message));
                }
                None
            }
        };
        let mut resolved = Vec::new();
        let mut missing = None;
        for key in keys {
            let Some(slot) = slot(key) else {
                let name = key.name.as_ref().map_or("", |name| name.value.as_str());
                let span = key.name.as_ref().map_or(span, |name| name.span);
                let message = format!("`{name}` is not a name that an HTTP header can have");
                self.problems.push(Diagnostic::warning(Code::InvalidValue, span, message));
                return Err("the spec names no valid header for its key".to_owned());
            };
            let value = match &given {
                Some(given) => Ok(given.clone().whole()),
                None => self.required(key.value.as_ref(), span),
            };
            match value {
                Ok(value) => resolved.push(Key { slot, value }),
                Err(problem) => missing = missing.or(Some(problem)), // and look at the others, to name them all
            }
        }
        match missing {
            Some(missing) => Err(missing),
            None if resolved.is_empty() => self.required(None, span).map(Credential::Bearer),
            None => Ok(Credential::Keys(resolved)),
        }
    }

    /// A user from the spec, or `NAME:PASSWORD` as given. A given text without a colon is what the spec keeps secret:
    /// the password, or the name where the spec says that the password is empty.
    fn user(&mut self, user: &spec::User, span: Span, given: Option<Given>) -> Result<User, String> {
        let spec::User { username, password } = user;
        let is_empty = |text: &Option<Spanned<String>>| text.as_ref().is_some_and(|text| text.value.trim().is_empty());
        let keyed = is_empty(password);
        let (mut given_name, mut given_password) = (None, None);
        if let Some(given) = given {
            match given.pair() {
                Some((name, secret)) => (given_name, given_password) = (Some(name), Some(secret)),
                None if keyed => given_name = Some(given.whole()),
                None => given_password = Some(given.whole()),
            }
        }
        let sort = if keyed { Sort::Secret } else { Sort::Plain };
        let name = match given_name {
            Some(name) => Ok(name),
            None => self.text(username.as_ref(), sort, span),
        };
        let password = match given_password {
            Some(password) => Ok(password),
            None if keyed => Ok(Secret::unnamed("")),
            None => self.required(password.as_ref(), span),
        };
        let (name, password) = (name?, password?);
        if name.expose().contains(':') {
            return Err(
                "the user name of its credential holds a colon, which no service could tell from its end".into()
            );
        }
        let variable = username.as_ref().and_then(|username| template::variable(&username.value));
        let secret_name = keyed || variable.is_some_and(names_secret);
        Ok(User { name, password, secret_name })
    }

    fn oauth2(&mut self, oauth: &spec::OAuth2, span: Span, given: Option<Given>) -> Result<Credential, String> {
        let spec::OAuth2 { authorization_server, token_endpoint, resource, audience, scopes, client_id, client_secret } =
            oauth;
        let endpoint = match (token_endpoint, authorization_server) {
            (Some(endpoint), _) => TokenEndpoint::At(self.address("tokenEndpoint", endpoint)?),
            (None, Some(issuer)) => TokenEndpoint::Of(self.address("authorizationServerUri", issuer)?),
            (None, None) => {
                let message = "`authentication` needs `tokenEndpoint` or `authorizationServerUri`";
                self.problems.push(Diagnostic::warning(Code::MissingField, span, message));
                return Err("its spec names no authorization server".to_owned());
            }
        };
        let (mut given_id, mut given_secret) = (None, None);
        if let Some(given) = given {
            match given.pair() {
                Some((id, secret)) => (given_id, given_secret) = (Some(id), Some(secret)),
                None => given_secret = Some(given.whole()),
            }
        }
        let id = match given_id {
            Some(id) => Ok(id),
            None => self.text(client_id.as_ref(), Sort::Plain, span),
        };
        let secret = match given_secret {
            Some(secret) => Ok(secret),
            None => self.required(client_secret.as_ref(), span),
        };
        let plain = |resolver: &mut Self, text: &Option<Spanned<String>>| {
            let text = text.as_ref().map(|text| resolver.text(Some(text), Sort::Plain, text.span));
            text.map(|text| text.map(|text| text.expose().to_owned())).transpose()
        };
        let (resource, audience) = (plain(self, resource)?, plain(self, audience)?);
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.value.as_str()).collect();
        let scope = scopes.join(" ");
        Ok(Credential::OAuth2(Arc::new(OAuth2::new(Client {
            endpoint,
            id: id?,
            secret: secret?,
            scope,
            audience,
            resource,
        }))))
    }

    /// An address that a client's secret may go to.
    fn address(&mut self, field: &str, text: &Spanned<String>) -> Result<Url, String> {
        let address = self.text(Some(text), Sort::Plain, text.span)?;
        match Url::parse(address.expose()).ok().filter(is_safe) {
            Some(url) => Ok(url),
            None if self.secrets != Secrets::Read && text.value.contains("{{") => {
                Err("its variables are not read".into())
            }
            None => {
                let message = format!("`{field}: {}` must start with `https://`", shown(&text.value));
                let problem = Diagnostic::warning(Code::InsecureBaseUri, text.span, message);
                self.problems.push(if text.value.contains('@') { problem.with_source_hidden() } else { problem });
                Err(format!("the `{field}` of its spec is not encrypted, so no client secret is sent there"))
            }
        }
    }

    /// A secret that must be there.
    fn required(&mut self, template: Option<&Spanned<String>>, span: Span) -> Result<Secret, String> {
        self.text(template.filter(|template| !template.value.trim().is_empty()), Sort::Secret, span)
    }

    /// A text with its variables filled in.
    pub(super) fn text(
        &mut self,
        template: Option<&Spanned<String>>,
        sort: Sort,
        span: Span,
    ) -> Result<Secret, String> {
        let Some(template) = template else {
            let message = "`authentication` names no credential";
            let problem = Diagnostic::warning(Code::MissingField, span, message);
            self.problems.push(match self.owner {
                Owner::Service(namespace) => {
                    problem.with_help(format!("give one by `--credential {namespace}=env:NAME`"))
                }
                Owner::Server => problem.with_help("name one, as in `token: '{{TOKEN}}'`"),
            });
            return Err(self.missing(&[]));
        };
        let text = template.value.trim();
        if let Some(name) = template::variable(text) {
            return self.variable(name, template).map_err(|missing| self.missing(&[missing]));
        }
        let pieces = template::pieces(text);
        if pieces.iter().any(|piece| matches!(piece, Piece::Name(_))) {
            return self.mixed(&pieces, template);
        }
        if sort == Sort::Secret && is_constant(text) && self.variables.is_bound(self.document, text) {
            let message = format!("`{text}` is a variable of this spec, and is taken as one");
            let help = format!("write `{{{{{text}}}}}`");
            self.problems.push(Diagnostic::warning(Code::SuspiciousLiteral, template.span, message).with_help(help));
            return self.variable(text, template).map_err(|missing| self.missing(&[missing]));
        }
        if sort == Sort::Secret {
            let message = "the credential stands in the spec itself; put it into a variable: `{{env.NAME}}`";
            self.problems.push(Diagnostic::warning(Code::LiteralSecret, template.span, message).with_source_hidden());
            return Ok(Secret::unnamed(text));
        }
        Ok(Secret::new(SecretString::from(text), Some(shell_quoted(text))))
    }

    /// A text around variables.
    fn mixed(&mut self, pieces: &[Piece<'_>], template: &Spanned<String>) -> Result<Secret, String> {
        let mut value = zeroize::Zeroizing::new(String::new());
        let mut shell = Some(String::new());
        let mut parts = Vec::new();
        let mut missing = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    value.push_str(text);
                    // What is not known to be harmless might be a part of the secret.
                    shell = shell.filter(|_| is_harmless(text)).map(|shell| shell + &shell_quoted(text));
                }
                Piece::Name(name) => match self.variable(name, template) {
                    Ok(secret) => {
                        value.push_str(secret.expose());
                        shell = shell.map(|shell| shell + secret.shell());
                        parts.push((names_secret(name), secret.value().clone()));
                    }
                    Err(problem) => missing.push(problem),
                },
            }
        }
        if missing.is_empty() {
            // Of several variables, those that are no secrets by their names may be words that answers are full of.
            let named = parts.iter().any(|(is_named, _)| *is_named);
            let parts = parts.into_iter().filter(|(is_named, _)| *is_named || !named).map(|(_, part)| part);
            Ok(Secret::new(SecretString::from(value.as_str()), shell).around(parts.collect()))
        } else {
            Err(self.missing(&missing))
        }
    }

    /// A variable, or what has to be done so that it has a value.
    fn variable(&mut self, name: &str, template: &Spanned<String>) -> Result<Secret, String> {
        let variable = self.variables.find_anywhere(self.document, name);
        if !self.variables.is_bound(self.document, name) {
            let source = &variable.name;
            let message = format!("`{source}` is not among the `binds` of this spec; it is read from the environment");
            let problem = Diagnostic::warning(Code::UnboundVariable, template.span, message);
            self.problems.push(
                problem.with_nearest(source, self.variables.names(self.document)).with_source_hidden_if_mixed(template),
            );
        }
        let shell = if variable.from_environment { shell_variable(&variable.name) } else { None };
        match variable.value {
            // Looked at without their values, two are the same where they are written the same.
            Ok(_) if self.secrets != Secrets::Read => {
                Ok(Secret::new(SecretString::from(template.value.as_str()), shell))
            }
            Ok(value) => Ok(Secret::new(value, shell)),
            Err(missing) => {
                let message = format!("the variable `{}` has no value; {missing}", variable.name);
                let help = match self.owner {
                    Owner::Service(_) => "its tools are listed, and can be called once it has one",
                    Owner::Server => "over HTTP the tools of this server stay closed until it has one",
                };
                let problem = Diagnostic::warning(Code::MissingVariable, template.span, message).with_help(help);
                let problem = problem.with_variable(variable.name);
                self.problems.push(problem.with_source_hidden_if_mixed(template));
                Err(missing)
            }
        }
    }

    /// What the operator has to do so that there is a credential.
    fn missing(&self, missing: &[String]) -> String {
        match self.owner {
            Owner::Service(namespace) => {
                let set: String = missing.iter().map(|missing| format!("{missing}, or ")).collect();
                format!(
                    "the service `{namespace}` needs a credential that is not set; the operator must {set}start \
                     keyglass with `--credential {namespace}=env:NAME` or `=file:PATH`"
                )
            }
            Owner::Server => "the credential that its callers have to show is not set".to_owned(),
        }
    }
}

impl Given {
    fn whole(self) -> Secret {
        Secret::new(self.value, self.shell)
    }

    /// A name and a secret, parted by the first colon.
    fn pair(&self) -> Option<(Secret, Secret)> {
        let (name, secret) = self.value.expose_secret().split_once(':')?;
        Some((Secret::unnamed(name), Secret::unnamed(secret)))
    }
}

impl Diagnostic {
    /// Hides the source line of a template with text around its variables, which may be a part of the secret.
    fn with_source_hidden_if_mixed(self, template: &Spanned<String>) -> Self {
        if template::variable(&template.value).is_some() { self } else { self.with_source_hidden() }
    }
}

/// Whether a text is written as variables are.
fn is_constant(text: &str) -> bool {
    let name = text.rsplit('.').next().unwrap_or(text);
    !name.is_empty()
        && name
            .chars()
            .all(|character| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_')
}

/// How a shell writes a variable; one whose name it cannot write has no such way.
pub(super) fn shell_variable(name: &str) -> Option<String> {
    let fits = name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
        && name.chars().next().is_some_and(|first| !first.is_ascii_digit());
    fits.then(|| format!("${name}"))
}

/// Whether a text beside a variable is surely no part of a secret: the name of a scheme, or signs alone.
fn is_harmless(text: &str) -> bool {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '-');
    words.filter(|word| !word.is_empty()).all(|word| SCHEMES.contains(&word.to_ascii_lowercase().as_str()))
}
