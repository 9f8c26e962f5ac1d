//! From settings to a gateway, in one straight line: read specs, choose backends, open them, compile.

use std::{collections::BTreeSet, sync::Arc};

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    audit::{Audit, AuditError, Clear},
    backend::{Backend, Backends, Lookup, Remote, embedded},
    base_url,
    catalog::{
        self, Catalog,
        compile::{Parts, Services},
        gate::gate_of,
        group::group_of,
        join::Joiner,
        service::Route,
    },
    clock::Clock,
    config::{ConfigError, Settings},
    diagnostic::{Code, Diagnostic, FileId, SourceMap},
    egress::Egress,
    gateway::{self, Description, Gateway, Known},
    guides::Guides,
    live::Live,
    originals::{self, Originals},
    policy::{Desk, Policy, glass::Mode, vault::Vault},
    prose::{clauses, tidy},
    schema::SchemaStore,
    services::{Choices, Resolution, choice::Choice, inbound, reached},
    shipped,
    spec::{self, Workspace, hidden::in_text},
    variables::{Secrets, Variables},
};

/// Secrets with fewer characters occur in texts by chance.
const SHORT_CREDENTIAL: usize = 8;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To carry calls out: backends are opened.
    Call,
    /// To show what a call would send: nothing is opened, created or connected, and no secret is read.
    Show,
    /// To look at tools and diagnostics: nothing is opened, created or connected, and no variable is read.
    Inspect,
}

/// What was set up.
#[derive(Debug)]
pub struct Setup {
    /// The gateway.
    pub gateway: Gateway,
    /// The embedded backend, where it is in use and open.
    pub embedded: Option<embedded::Embedded>,
    /// What was found in specs and schemas.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that the diagnostics refer to.
    pub sources: SourceMap,
    /// Where calls go, a line for each backend in use.
    pub routes: Vec<String>,
    /// What is odd about the settings, a sentence each.
    pub remarks: Vec<String>,
    /// What was compiled, where it was to look at it.
    pub inspected: Option<Inspected>,
}

/// What a catalog was compiled from.
#[derive(Debug)]
pub struct Inspected {
    /// The documents.
    pub workspace: Workspace,
    /// Where their types came from.
    pub joiner: Joiner,
}

/// What is open already and stays so when everything else is set up anew.
#[derive(Clone, Debug, Default)]
pub struct Open {
    /// The embedded backend.
    pub embedded: Option<embedded::Embedded>,
    /// The HTTP client.
    pub remote: Option<Backend>,
    /// The way to the store of handles and questions.
    pub vault: Option<Arc<Vault>>,
    /// Where persons answer.
    pub desk: Option<Arc<dyn Desk>>,
    /// What persons watch calls by.
    pub live: Option<Arc<Live>>,
    /// The audit log.
    pub audit: Audit,
}

/// Why nothing could be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded backend cannot be opened.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// The platform has no data folder.
    #[error("no data folder is known on this platform; name one by `--data-dir`")]
    NoDataDir,
    /// There has to be an audit log, and it cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The HTTP client cannot be started.
    #[error("the HTTP client cannot be started: {0}")]
    Client(String),
}

/// Sets everything up. What is odd about the settings is logged.
pub fn setup(settings: &Settings, purpose: Purpose, clock: Clock) -> Result<Setup, SetupError> {
    let set_up = setup_with(settings, purpose, clock, &Open::default())?;
    for remark in &set_up.remarks {
        tracing::warn!("{remark}");
    }
    Ok(set_up)
}

/// Sets everything up to carry calls out, with what is open already. The settings were looked at before, so nothing is
/// logged of them again.
pub fn setup_again(settings: &Settings, clock: Clock, open: &Open) -> Result<Setup, SetupError> {
    setup_with(settings, Purpose::Call, clock, open)
}

fn setup_with(settings: &Settings, purpose: Purpose, clock: Clock, is_open: &Open) -> Result<Setup, SetupError> {
    let mut sources = SourceMap::default();
    let (workspace, mut diagnostics) = spec::load(&settings.specs, &mut sources);
    diagnostics.extend(workspace.documents.iter().flat_map(spec::lint));
    let (mut schemas, problems) = SchemaStore::new(&settings.schemas, &mut sources);
    diagnostics.extend(problems);
    let resolution = Resolution {
        backends: &settings.backends,
        credentials: &settings.credentials,
        headers: &settings.credential_headers,
        caller_keys: settings.callers.backend_key.as_ref().map(|setting| &*setting.namespaces),
        secrets: match purpose {
            Purpose::Call => Secrets::Read,
            Purpose::Show => Secrets::Plain,
            Purpose::Inspect => Secrets::Leave,
        },
        egress: &settings.egress,
    };
    let choices = resolution.choices(&workspace);
    let mut remarks = settings.remarks.clone();
    remarks.extend(unknown_namespaces(settings, &choices));
    remarks.extend(embedded::STAND_INS.iter().filter_map(|known| split_service(&workspace, &choices, known.base_uri)));
    let embedded = match purpose {
        Purpose::Call if choices.values().any(|choice| *choice == Choice::Embedded) => match &is_open.embedded {
            Some(embedded) => Some(embedded.clone()),
            None => Some(open(settings, clock)?),
        },
        _ => None,
    };
    let root_key = embedded.as_ref().map(embedded::Embedded::root_key);
    let (variables, problems) = Variables::new(&workspace, &sources, resolution.secrets);
    diagnostics.extend(problems);
    let (services, problems) = resolution.services(&workspace, &choices, &variables, root_key)?;
    diagnostics.extend(problems);
    if purpose == Purpose::Call {
        remarks.extend(short_credentials(settings, &services));
    }
    let (gates, problems) = inbound::gates(&workspace, &sources, &variables, resolution.secrets);
    diagnostics.extend(problems);
    let folders = settings.schemas.iter().filter_map(|source| match source {
        spec::Source::Path(path) => Some(path.clone()),
        spec::Source::Shipped { .. } => None,
    });
    let mut joiner = Joiner::new(&folders.collect::<Vec<_>>());
    let (mut catalog, problems) = catalog::compile(Parts {
        workspace: &workspace,
        services: &services,
        variables: &variables,
        schemas: &mut schemas,
        joiner: &mut joiner,
        sources: &mut sources,
        handles: settings.policy.secrets == Mode::Handles,
    });
    diagnostics.extend(joiner.take_problems());
    let specs: BTreeSet<FileId> = workspace.documents.iter().map(|document| document.file).collect();
    let told: BTreeSet<FileId> = diagnostics
        .iter()
        .filter(|problem| problem.code == Code::HiddenCharacters)
        .map(|problem| problem.primary.file)
        .collect();
    let known = |file: FileId| specs.contains(&file) || workspace.files.contains(&file) || told.contains(&file);
    diagnostics.extend(problems);
    // Of other files than specs each is told of once: hundreds of tools may use it.
    diagnostics.extend(sources.ids().filter(|file| !known(*file)).filter_map(|file| in_text(file, &sources)));
    if purpose == Purpose::Inspect {
        diagnostics.extend(sources.ids().flat_map(|file| spec::instructions(file, &sources)));
    }
    // In the order of the files: parts are read and resolved in several passes, some of them more than once.
    diagnostics.sort_by_key(|diagnostic| (diagnostic.primary.file, diagnostic.primary.start));
    diagnostics.dedup();
    remarks.extend(settings.policy.unknown_tools(&catalog));
    remarks.extend(settings.callers.unknown(&catalog.groups(), &catalog.names()));
    remarks.extend(catalog.set_risks(&settings.risks));
    remarks.extend(catalog.switch_off(&settings.restrictions));
    let needs_remote = services
        .values()
        .any(|service| service.route == Route::Remote && (service.endpoint.is_ok() || service.for_callers.is_some()));
    let remote = match purpose {
        Purpose::Call if needs_remote => {
            let egress = Egress::new(Arc::clone(&settings.egress), reached(&services));
            Some(Backend::Remote(match &is_open.remote {
                Some(Backend::Remote(remote)) => remote.within(egress),
                _ => Remote::new(egress, &Lookup::system()).map_err(SetupError::Client)?,
            }))
        }
        _ => None,
    };
    let backends = Backends {
        embedded: embedded.as_ref().map(|embedded| Backend::Embedded(embedded.router_in_process())),
        remote,
    };
    let routes = routes(&choices, &workspace, &services);
    let gates = Arc::new(gates);
    let limits = settings.limits;
    let parts =
        originals::Parts { settings, workspace: &workspace, schemas: &schemas, sources: &sources, catalog: &catalog };
    let originals = Originals::new(&parts);
    let soft_deadline = settings.soft_deadline;
    let vault = match (&is_open.vault, &settings.data_dir) {
        (Some(vault), _) => Some(Arc::clone(vault)),
        (None, Some(folder)) if purpose == Purpose::Call => {
            Some(Arc::new(Vault::new(folder.clone(), settings.master_key.clone(), clock)))
        }
        _ => None,
    };
    let policy = Arc::new(Policy::new(&settings.policy.resolved(&catalog), vault));
    let descriptions = descriptions(&workspace, &sources, &catalog);
    // A spec of fixed values calls nobody.
    let calls_go = (!routes.is_empty()).then(|| format!("Calls go to: {}.", routes.join("; ")));
    let advice = gateway::advice(catalog.tools(), &policy);
    let lines = std::iter::once(gateway::PREAMBLE).chain(advice).chain(calls_go.as_deref());
    let instructions = gateway::told(lines.chain(descriptions.iter().map(|server| server.text.as_str())));
    diagnostics.extend(untold(&workspace, &catalog, &instructions));
    // In the order of the files: parts are read and resolved in several passes, some of them more than once.
    diagnostics.sort_by_key(|diagnostic| (diagnostic.primary.file, diagnostic.primary.start));
    diagnostics.dedup();
    let guides = Guides::new((&workspace, &sources), &catalog, &policy);
    if let Some(desk) = &is_open.desk {
        policy.set_desk(Arc::clone(desk));
    }
    let gateway = Gateway {
        catalog,
        backends,
        limits,
        soft_deadline,
        clock,
        instructions,
        descriptions,
        gates,
        originals,
        guides,
        policy,
        live: is_open.live.clone(),
        key_teller: embedded.clone(),
        audit: is_open.audit.clone(),
        known: Known::default(),
    };
    let inspected = (purpose == Purpose::Inspect).then_some(Inspected { workspace, joiner });
    Ok(Setup { gateway, embedded, diagnostics, sources, routes, remarks, inspected })
}

/// The names of the variables that have no value, each once.
pub fn missing_variables(diagnostics: &[Diagnostic]) -> BTreeSet<&str> {
    diagnostics.iter().filter_map(|diagnostic| diagnostic.variable.as_deref()).collect()
}

/// Opens the audit log, as the settings say. One that cannot be opened and need not be there is warned of. Error: it has to
/// be there, and cannot be opened.
pub fn open_audit(settings: &Settings, clock: Clock) -> Result<Audit, SetupError> {
    let own = settings.specs.iter().any(|source| source.shipped_name().is_none());
    let shipped = if own { Clear::default() } else { Clear::new(shipped::AUDIT_CLEAR).unwrap_or_default() };
    let open = || -> Result<Audit, SetupError> {
        match settings.audit.options(settings.data_dir.as_deref(), shipped)? {
            Some(options) => Ok(Audit::open(options, clock)?),
            None => Ok(Audit::off()),
        }
    };
    match open() {
        Err(error) if !settings.audit.is_required() => {
            tracing::warn!("{error}; calls are not written down");
            Ok(Audit::off())
        }
        opened => opened,
    }
}

/// Opens the embedded backend in the data folder.
pub fn open(settings: &Settings, clock: Clock) -> Result<embedded::Embedded, SetupError> {
    Ok(embedded::open(&embedded_options(settings, clock)?)?)
}

/// Where the embedded backend keeps its data, as the settings say. Error: where the platform has no data folder and none
/// is named.
pub fn embedded_options(settings: &Settings, clock: Clock) -> Result<embedded::Options, SetupError> {
    let data_dir = settings.data_dir.clone().ok_or(SetupError::NoDataDir)?;
    let restricted_keys_make_wider_keys = settings.restricted_keys_make_wider_keys;
    let (master_key, limits) = (settings.master_key.clone(), settings.backend_limits);
    let default = embedded::Options::new(data_dir);
    Ok(embedded::Options { clock, master_key, limits, restricted_keys_make_wider_keys, ..default })
}

fn unknown_namespaces(settings: &Settings, choices: &Choices) -> Vec<String> {
    let known = || choices.keys().map(|(_, namespace)| namespace.as_str());
    let caller_keys =
        settings.callers.backend_key.iter().flat_map(|setting| setting.namespaces.iter().map(String::as_str));
    let named = settings.backends.names().chain(settings.credentials.names());
    let named = named.chain(settings.credential_headers.names()).chain(caller_keys);
    let unknown = named.filter(|name| !known().any(|namespace| namespace == *name));
    let remark = |name| {
        let near = crate::nearest::nearest(name, known());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("a setting names the namespace `{name}`, which no loaded spec consumes{near}")
    };
    unknown.map(remark).collect()
}

/// A remark on each credential that is so short that masking it hides ordinary text.
fn short_credentials(settings: &Settings, services: &Services) -> Vec<String> {
    let is_short = |secret: &SecretString| (1..SHORT_CREDENTIAL).contains(&secret.expose_secret().chars().count());
    let short = services.values().filter(|service| {
        let endpoint = service.endpoint.as_ref().ok();
        endpoint.is_some_and(|endpoint| endpoint.credential.secrets().iter().any(is_short))
    });
    let namespaces: BTreeSet<&str> = short.map(|service| service.namespace.as_str()).collect();
    let remark = |namespace: &str| {
        let given = settings.credentials.get(namespace).map(|reference| format!(", `{reference}`,"));
        format!(
            "the credential of `{namespace}`{} has fewer than {SHORT_CREDENTIAL} characters: what looks like it in answers is \
             masked as well; look whether it is the right one",
            given.unwrap_or_default()
        )
    };
    namespaces.into_iter().map(remark).collect()
}

/// A remark where one part of an API stays on this machine while another goes to the service itself: a secret that is
/// stored here is unknown there.
fn split_service(workspace: &Workspace, choices: &Choices, base_uri: &str) -> Option<String> {
    let on = |wanted: Choice| {
        choices.iter().filter(move |(_, choice)| **choice == wanted).filter(|((index, namespace), _)| {
            let document = workspace.documents.get(*index);
            let mut services = document.into_iter().flat_map(|document| &document.consumes);
            services.any(|consumes| {
                consumes.namespace.value == *namespace
                    && consumes.base_uri.as_ref().is_some_and(|base| base.value == base_uri)
            })
        })
    };
    let ((_, here), _) = on(Choice::Embedded).next()?;
    let ((_, there), _) = on(Choice::Remote).next()?;
    Some(format!(
        "`{here}` is served on this machine, while `{there}` of the same API goes to {base_uri}; to have both in one \
         place, give `--backend remote` or `--backend embedded`"
    ))
}

/// A line for each backend in use, with the namespaces it serves.
fn routes(choices: &Choices, workspace: &Workspace, services: &Services) -> Vec<String> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for ((index, namespace), choice) in choices {
        let target = match choice {
            Choice::Embedded => "the backend built into keyglass on this machine".to_owned(),
            Choice::Url(_) => choice.to_string(),
            Choice::Remote => {
                let document = workspace.documents.get(*index);
                let mut consumes = document.iter().flat_map(|document| &document.consumes);
                let consumed = consumes.find(|consumes| consumes.namespace.value == *namespace);
                let base = consumed.and_then(|consumes| consumes.base_uri.as_ref());
                // What cannot be filled in is no address; what can is shown as it is written, for it may hold a secret.
                let service = services.get(&(*index, namespace.clone()));
                let is_usable = service.is_some_and(|service| service.endpoint.is_ok());
                let base = base.filter(|base| !base.value.is_empty() && (is_usable || !base.value.contains('{')));
                base.map_or("no address yet".to_owned(), |base| base_url::shown(&base.value))
            }
        };
        match lines.iter_mut().find(|(known, _)| *known == target) {
            Some((_, namespaces)) => namespaces.push(namespace),
            None => lines.push((target, vec![namespace])),
        }
    }
    lines.into_iter().map(|(target, namespaces)| format!("{} -> {target}", namespaces.join(", "))).collect()
}

/// A note on each server whose words about itself are more than clients are told.
fn untold(workspace: &Workspace, catalog: &Catalog, instructions: &str) -> Vec<Diagnostic> {
    let servers = workspace.documents.iter().flat_map(|document| &document.servers);
    let described = servers.filter_map(|server| server.description.as_ref());
    let untold = described.filter(|text| !instructions.contains(&offered_part(text, catalog)));
    let note = |text: &spec::Spanned<String>| {
        let message = "clients are not told this description of a server: there is no room for it beside the others";
        Diagnostic::note(Code::LongText, text.span, message).with_help("say what it is for, in few words")
    };
    untold.map(note).collect()
}

/// What a description says of what is offered.
fn offered_part(description: &spec::Spanned<String>, catalog: &Catalog) -> String {
    let text = tidy(description.value.trim());
    clauses::without(&text, |word| catalog.is_gone(word)).into_owned()
}

/// What the servers say about themselves.
fn descriptions(workspace: &Workspace, sources: &SourceMap, catalog: &Catalog) -> Vec<Description> {
    let servers = workspace
        .documents
        .iter()
        .flat_map(|document| document.servers.iter().enumerate().map(move |(place, server)| (document, place, server)));
    servers
        .filter_map(|(document, place, server)| {
            let text = offered_part(server.description.as_ref()?, catalog);
            (!text.is_empty()).then(|| Description {
                gate: gate_of(document, place, sources),
                group: group_of(document, place, sources),
                text,
            })
        })
        .collect()
}
