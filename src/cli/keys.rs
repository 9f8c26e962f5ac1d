//! `keyglass keys`: the API keys of the embedded backend, for the person who runs it.

use std::{
    fs,
    io::{IsTerminal as _, Write as _, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::{
    Usage,
    data::DataOptions,
    operator::{Operator, cell, print_json, segment},
    print,
    table::{lines, plain, table},
    time,
};
use crate::{backend::embedded::private_options, clock::Clock, nearest::nearest};

/// How many keys are asked for at a time.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// List keys, the newest first; when each was used last is exact to a minute
    List {
        /// Which of them
        #[arg(long, value_enum, default_value = "active")]
        state: State,
        /// Only those of one API: `runloop`, `runtools` or `runtype`
        #[arg(long)]
        provider: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show one key, without the key itself
    Get {
        /// The key's id, as `keys list` shows it
        id: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Make a key
    Create(Create),
    /// End a key at once
    Revoke {
        /// The key's id, as `keys list` shows it
        id: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Make a key that takes the place of another, with the same name and rights
    Rotate {
        /// The old key's id, as `keys list` shows it
        id: String,
        /// How long the old key still works, in seconds [default: 86400, a day]
        #[arg(long, value_name = "SECONDS")]
        grace: Option<u64>,
        /// When the new key ends [default: it lives as long as the old one was meant to]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        #[command(flatten)]
        new: New,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// What the key is called
    #[arg(long)]
    name: Option<String>,
    /// Whose API it is for; for RunTools' call the tool `runtools_create_api_key`
    #[arg(long, value_enum, default_value = "runloop")]
    provider: Provider,
    /// What the key may do, as RESOURCE_TYPE=LEVEL with commas between, such as `RESOURCE_TYPE_ACCOUNT=READ`; types are
    /// RESOURCE_TYPE_ with DEVBOXES, BLUEPRINTS, SNAPSHOTS, BENCHMARKS, SCENARIOS, REPO_CONNECTIONS, AGENTS, OBJECTS or
    /// ACCOUNT (secrets and keys) behind it, levels NONE, READ and WRITE. For Runtype permissions, such as
    /// `FLOWS:READ,RECORDS:READ`
    #[arg(long, value_name = "SCOPES", conflicts_with = "full", value_delimiter = ',')]
    scopes: Vec<String>,
    /// What a key of Runtype may do, as a group of permissions with a name, such as `flows`; several with commas between
    #[arg(long, value_name = "GROUP", conflicts_with = "full", value_delimiter = ',')]
    template: Vec<String>,
    /// Make a key that may do everything
    #[arg(long)]
    full: bool,
    /// When it ends: `90d`, `12h`, `30m`, `2030-01-31` or `2030-01-31T12:00:00Z` [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    new: New,
}

#[derive(Debug, Args)]
struct Shown {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataOptions,
}

/// Where a new key goes.
#[derive(Debug, Args)]
struct New {
    /// Write the key to this new file, for you alone to read, and not to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Provider {
    Runloop,
    Runtype,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Active,
    Expired,
    Revoked,
    All,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::All => "all",
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.work {
        Work::List { state, provider, shown } => list(state, provider.as_deref(), shown).await,
        Work::Get { id, shown } => {
            let key = Operator::open_existing(shown.data)?.get(&format!("/keyglass/v1/keys/{}", segment(&id))).await?;
            show(&key, shown.json)
        }
        Work::Create(create) => make(create).await,
        Work::Revoke { id, shown } => {
            let path = format!("/keyglass/v1/keys/{}/revoke", segment(&id));
            let key = Operator::open_existing(shown.data)?.post(&path, &json!({})).await?;
            show(&key, shown.json)
        }
        Work::Rotate { id, grace, expires, new } => {
            let mut body = Map::new();
            body.extend(grace.map(|grace| ("grace_period_seconds".to_owned(), grace.into())));
            body.extend(expiry(expires.as_deref())?.map(|ms| ("expires_at_ms".to_owned(), ms.into())));
            let New { output, shown: Shown { json, data } } = new;
            let path = format!("/keyglass/v1/keys/{}/rotate", segment(&id));
            mint(&Operator::open_existing(data)?, &path, body, Target { output, json }).await
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn list(state: State, provider: Option<&str>, shown: Shown) -> anyhow::Result<()> {
    let Shown { json, data } = shown;
    let operator = Operator::open_existing(data)?;
    let given = provider;
    let provider = provider.map(|provider| format!("&provider={}", segment(provider))).unwrap_or_default();
    let mut keys: Vec<Value> = Vec::new();
    loop {
        let after = keys.last().map(|last| format!("&starting_after={}", segment(&cell(last, "id"))));
        let after = after.unwrap_or_default();
        let path = format!("/keyglass/v1/keys?limit={PAGE}&state={}{provider}{after}", state.name());
        let mut page = operator.get(&path).await?;
        let found = page.get_mut("keys").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        let more = page.get("has_more") == Some(&Value::Bool(true)) && !found.is_empty();
        keys.extend(found);
        if !more {
            break;
        }
    }
    if json {
        return print_json(&json!({ "keys": keys }));
    }
    if keys.is_empty() {
        let (kind, all) = match state {
            State::All => (String::new(), ""),
            state => (format!("{} ", state.name()), ", and `--state all` lists those of other states"),
        };
        let of = given.map(|name| format!(" for `{name}`")).unwrap_or_default();
        let text = plain(&format!("There are no {kind}keys{of}; `keyglass keys create` makes one{all}."));
        return print(&format!("{text}\n"));
    }
    let head = ["ID", "NAME", "API", "KIND", "STATE", "SCOPES", "CREATED", "EXPIRES", "LAST USED"];
    let rows = keys.iter().map(|key| {
        let [id, name, provider, kind, state] = ["id", "name", "provider", "kind", "state"].map(|it| cell(key, it));
        let times = ["create_time_ms", "expires_at_ms", "last_used_at_ms"].map(|it| cell(key, it));
        let [created, expires, used] = times;
        [id, name, provider, kind, state, scopes_of(key), created, expires, used]
    });
    print(&table(head, rows))
}

/// What is shown of a key, always all of it: the name of the line and the member.
const SHOWN_MEMBERS: [(&str, &str); 11] = [
    ("id", "id"),
    ("name", "name"),
    ("api", "provider"),
    ("kind", "kind"),
    ("state", "state"),
    ("scopes", "scopes"),
    ("created", "create_time_ms"),
    ("expires", "expires_at_ms"),
    ("revoked", "revoked_at_ms"),
    ("last used", "last_used_at_ms"),
    ("replaced by", "replaced_by"),
];

fn show(key: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(key);
    }
    let rows = SHOWN_MEMBERS.map(|(name, member)| {
        let shown = if member == "scopes" { scopes_of(key) } else { cell(key, member) };
        [name.to_owned(), if shown.is_empty() { "-".to_owned() } else { shown }]
    });
    print(&lines(rows.into_iter()))
}

/// Scopes as they are given to `keys create`.
fn scopes_of(key: &Value) -> String {
    let Some(scopes) = key.get("scopes").and_then(Value::as_array) else { return "everything".to_owned() };
    let scopes = scopes.iter().map(|scope| match scope {
        Value::String(scope) => scope.clone(),
        scope => {
            let level = cell(scope, "access_level");
            format!("{}={}", cell(scope, "resource_type"), level.trim_start_matches("ACCESS_LEVEL_"))
        }
    });
    let scopes: Vec<String> = scopes.collect();
    if scopes.is_empty() { "nothing".to_owned() } else { scopes.join(",") }
}

async fn make(create: Create) -> anyhow::Result<()> {
    let Create { name, provider, scopes, template, full, expires, new } = create;
    let New { output, shown: Shown { json, data } } = new;
    let target = Target { output, json };
    let expires = expiry(expires.as_deref())?;
    if scopes.is_empty() && template.is_empty() && !full {
        let problem = match provider {
            Provider::Runloop => "`--scopes RESOURCE_TYPE_ACCOUNT=READ`, or `--full` for everything",
            Provider::Runtype => "`--template flows`, `--scopes FLOWS:READ`, or `--full` for everything",
        };
        return Err(Usage(format!("say what the key may do: {problem}")).into());
    }
    let mut body = Map::new();
    if provider == Provider::Runtype {
        let name = name.ok_or_else(|| Usage("a key of Runtype has a name: give `--name NAME`".to_owned()))?;
        body.insert("name".to_owned(), name.into());
        let expires = expires.map(time::written).transpose();
        let expires = expires.map_err(|problem| Usage(format!("--expires: {problem}")))?;
        body.extend(expires.map(|time| ("expiresAt".to_owned(), time.into())));
        let operator = Operator::open(data)?;
        let mut permissions: Vec<Value> = scopes.iter().map(|scope| scope.trim().into()).collect();
        if full {
            permissions.push("*".into());
        }
        if !template.is_empty() {
            let options = operator.get("/runtype/v1/api-keys/options").await?;
            for name in &template {
                permissions.extend(permissions_of(&options, name.trim())?);
            }
        }
        body.insert("permissions".to_owned(), permissions.into());
        return mint(&operator, "/runtype/v1/api-keys", body, target).await;
    }
    if !template.is_empty() {
        return Err(Usage("`--template` is for keys of Runtype: add `--provider runtype`".to_owned()).into());
    }
    body.extend(name.map(|name| ("name".to_owned(), name.into())));
    body.extend(expires.map(|ms| ("expires_at_ms".to_owned(), ms.into())));
    let path = if full {
        "/v1/apikeys"
    } else {
        body.insert("scopes".to_owned(), scopes.iter().map(|text| scope(text)).collect::<Result<Value, _>>()?);
        "/v1/restricted_keys"
    };
    mint(&Operator::open(data)?, path, body, target).await
}

/// The permissions of a group that Runtype's options name.
fn permissions_of(options: &Value, name: &str) -> Result<Vec<Value>, Usage> {
    let groups: Vec<&Value> = options.get("permissionGroups").and_then(Value::as_array).into_iter().flatten().collect();
    let key = |group: &&Value| group.get("key").and_then(Value::as_str).map(str::to_owned);
    if let Some(group) = groups.iter().find(|group| key(group).as_deref() == Some(name)) {
        return Ok(group.get("permissions").and_then(Value::as_array).cloned().unwrap_or_default());
    }
    let known: Vec<String> = groups.iter().filter_map(key).collect();
    let near = nearest(name, known.iter().map(String::as_str));
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    Err(Usage(format!("there is no template `{name}`; expected one of {}{near}", known.join(", "))))
}

/// One scope as the API writes it. The prefixes that all names share may be left out.
fn scope(text: &str) -> Result<Value, Usage> {
    let wrong = || Usage(format!("`{text}` is no scope; expected one such as `RESOURCE_TYPE_ACCOUNT=READ`"));
    let (kind, level) = text.trim().split_once('=').ok_or_else(wrong)?;
    let named = |prefix: &str, name: &str| {
        if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
    };
    Ok(json!({
        "resource_type": named("RESOURCE_TYPE_", kind.trim()),
        "access_level": named("ACCESS_LEVEL_", level.trim()),
    }))
}

/// A time as Unix milliseconds.
fn expiry(text: Option<&str>) -> Result<Option<i64>, Usage> {
    let parse = |text| time::parse(text, Clock::System.now_ms());
    text.map(parse).transpose().map_err(|problem| Usage(format!("--expires: {problem}")))
}

/// Where a new key goes, and whether what is told of it is JSON.
struct Target {
    output: Option<PathBuf>,
    json: bool,
}

/// The members that hold a new key itself: in answers of Runloop's form, and of Runtype's.
const SECRET_MEMBERS: [&str; 2] = ["key_secret", "plainKey"];

/// Asks for a key and brings it to where it shall be.
async fn mint(operator: &Operator, path: &str, body: Map<String, Value>, target: Target) -> anyhow::Result<()> {
    let Target { output, json } = target;
    // Before there is a key: one that could not be written down would be lost.
    let file = match output {
        Some(path) => {
            let file = private_options().create_new(true).open(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    anyhow::Error::from(Usage(format!("`{}` is there already; name another file", path.display())))
                }
                _ => anyhow::Error::from(error).context(format!("`{}` cannot be made", path.display())),
            })?;
            Some((path, file))
        }
        None => None,
    };
    let answer = operator.post(path, &Value::Object(body)).await;
    if let (Err(_), Some((path, _))) = (&answer, &file) {
        // The reason why there is no key matters more.
        drop(fs::remove_file(path));
    }
    let mut answer = answer?;
    let id = cell(answer.get("key").or_else(|| answer.get("apiKey")).unwrap_or(&answer), "id");
    let secret = SECRET_MEMBERS.iter().find_map(|member| answer.get(member));
    let secret = secret.and_then(Value::as_str).map(SecretString::from);
    let secret = secret.context("the backend answered without a key")?;
    if let Some((path, mut file)) = file {
        if let Value::Object(members) = &mut answer {
            SECRET_MEMBERS.iter().for_each(|member| drop(members.remove(*member)));
        }
        let written = writeln!(file, "{}", secret.expose_secret()).and_then(|()| file.sync_all());
        written.with_context(|| {
            let path = path.display();
            format!("`{path}` cannot be written, so the key `{id}` is lost; end it: `keyglass keys revoke {id}`")
        })?;
        return if json { print_json(&answer) } else { print(&format!("{}: the key `{id}`\n", path.display())) };
    }
    if json {
        return print_json(&answer);
    }
    if stdout().is_terminal() {
        let warning =
            format!("keyglass: the key `{id}`, shown this once and stored nowhere; keep it like a password:\n");
        // The key itself matters more.
        drop(std::io::stderr().write_all(warning.as_bytes()));
    }
    print(&format!("{}\n", secret.expose_secret()))
}
