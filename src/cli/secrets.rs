//! `keyglass secrets`: the secrets of the embedded backend, for the person who runs it.
//!
//! A value comes from a prompt, from standard input or from a file, never from the command line: other users see that in
//! the list of processes, and shells keep it.

use std::{
    collections::HashMap,
    fs::File,
    io::{IsTerminal as _, Read, stdin},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Usage,
    data::DataOptions,
    operator::{Operator, cell, print_json, segment},
    print,
    table::{plain, table},
    time,
};
use crate::clock::Clock;

/// The largest value that is read at all, in bytes: the most that the backend can be set to take.
const MAX_VALUE_BYTES: usize = 64 * 1024 * 1024;
/// How many secrets are asked for: as many as a list can hold.
const ALL: usize = 5_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// List secrets, without their values
    List {
        #[command(flatten)]
        shown: Shown,
    },
    /// Show one secret, without its value
    Get {
        /// The secret
        name: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Make a secret
    Create {
        /// What it is called
        name: String,
        #[command(flatten)]
        given: Given,
        #[command(flatten)]
        shown: Shown,
    },
    /// Replace a secret's value
    Update {
        /// The secret
        name: String,
        #[command(flatten)]
        given: Given,
        #[command(flatten)]
        shown: Shown,
    },
    /// Delete a secret
    Delete {
        /// The secret
        #[arg(required_unless_present = "id", conflicts_with = "id")]
        name: Option<String>,
        /// The secret, by its id
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Note when a secret's value should be replaced; it works on after that
    Expire {
        /// The secret
        name: String,
        /// `90d`, `12h`, `30m`, `2030-01-31`, `2030-01-31T12:00:00Z` or `never`
        when: String,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, Args)]
struct Shown {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataOptions,
}

/// Where a value comes from. Without any of it a prompt asks.
#[derive(Args)]
struct Given {
    /// `-` reads the value from standard input, without the line end after it; a prompt asks where neither this nor
    /// `--value-file` is given
    #[arg(long, value_name = "-", conflicts_with = "file")]
    value: Option<String>,
    /// Read the value from a file, to the byte
    #[arg(long = "value-file", value_name = "PATH")]
    file: Option<PathBuf>,
    /// What was taken for a value; refused.
    #[arg(hide = true)]
    surplus: Vec<String>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Given").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Given {
    /// The value. Error: there is nothing in it, as where a command before a pipe failed.
    fn read(self, name: &str) -> anyhow::Result<SecretString> {
        let value = self.read_any(name)?;
        if value.expose_secret().is_empty() {
            return Err(Usage("the value is empty; nothing was changed, give one".to_owned()).into());
        }
        Ok(value)
    }

    fn read_any(self, name: &str) -> anyhow::Result<SecretString> {
        let Self { value, file, surplus } = self;
        if name.contains('=') || !surplus.is_empty() || value.as_deref().is_some_and(|value| value != "-") {
            let problem = "a value is not taken from the command line, where other users and the shell's history see it; \
                           leave it out to be asked for it, or give `--value -` or `--value-file PATH`";
            return Err(Usage(problem.to_owned()).into());
        }
        if let Some(path) = file {
            let failed = || format!("`{}` cannot be read", path.display());
            return text(File::open(&path).with_context(failed)?).with_context(failed);
        }
        if stdin().is_terminal() {
            let value = Zeroizing::new(rpassword::prompt_password(format!("value of {name}: "))?);
            return Ok(SecretString::from(value.as_str()));
        }
        if value.is_none() {
            let problem = "there is no terminal to ask for the value at; give `--value -` or `--value-file PATH`";
            return Err(Usage(problem.to_owned()).into());
        }
        let value = text(stdin().lock()).context("standard input cannot be read")?;
        let text = value.expose_secret();
        let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        Ok(line.map(SecretString::from).unwrap_or(value))
    }
}

/// The errors do not show what was read.
fn text(source: impl Read) -> anyhow::Result<SecretString> {
    let mut bytes = Zeroizing::new(Vec::new());
    source.take(MAX_VALUE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() <= MAX_VALUE_BYTES, "it is longer than {MAX_VALUE_BYTES} bytes");
    let text = std::str::from_utf8(&bytes).map_err(|_| anyhow::anyhow!("it is not text in UTF-8"))?;
    Ok(SecretString::from(text))
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.work {
        Work::List { shown: Shown { json, data } } => {
            let secrets = secrets(&Operator::open_existing(data)?).await?;
            if json {
                print_json(&json!({ "secrets": secrets }))
            } else if secrets.is_empty() {
                print("There are no secrets; `keyglass secrets create NAME` makes one.\n")
            } else {
                show(&secrets)
            }
        }
        Work::Get { name, shown: Shown { json, data } } => {
            let operator = Operator::open_existing(data)?;
            let mut secret = operator.get(&format!("/v1/secrets/{}", segment(&name))).await?;
            let expiries = expiries(&operator).await?;
            expire(&mut secret, &expiries);
            if json { print_json(&secret) } else { show(&[secret]) }
        }
        Work::Create { name, given, shown } => {
            let value = given.read(&name)?;
            let body = json!({ "name": name, "value": value.expose_secret() });
            report(&Operator::open(shown.data)?.post("/v1/secrets", &body).await?, shown.json, "made")
        }
        Work::Update { name, given, shown } => {
            let value = given.read(&name)?;
            let body = json!({ "value": value.expose_secret() });
            change(&format!("/v1/secrets/{}", segment(&name)), &body, shown, "has a new value").await
        }
        Work::Delete { name, id, shown } => {
            let which = match (name, id) {
                (_, Some(id)) => format!("id/{}", segment(&id)),
                (name, None) => segment(&name.unwrap_or_default()),
            };
            change(&format!("/v1/secrets/{which}/delete"), &json!({}), shown, "deleted").await
        }
        Work::Expire { name, when, shown } => {
            let ms = match when.as_str() {
                "never" => None,
                when => Some(time::parse(when, Clock::System.now_ms()).map_err(|_| {
                    // Not what was given: it may be a value in the wrong place.
                    Usage("the time must be one such as `90d`, `12h`, `30m`, `2030-01-31` or `2030-01-31T12:00:00Z`, or `never`".to_owned())
                })?),
            };
            let done = ms.map_or("expires never".to_owned(), |ms| format!("expires {}", time::shown(ms)));
            let path = format!("/keyglass/v1/secrets/{}/expiry", segment(&name));
            change(&path, &json!({ "expires_at_ms": ms }), shown, &done).await
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn change(path: &str, body: &Value, shown: Shown, done: &str) -> anyhow::Result<()> {
    report(&Operator::open_existing(shown.data)?.post(path, body).await?, shown.json, done)
}

fn report(secret: &Value, json: bool, done: &str) -> anyhow::Result<()> {
    if json { print_json(secret) } else { print(&format!("{}: {done}\n", plain(&cell(secret, "name")))) }
}

/// All secrets with their expiries.
async fn secrets(operator: &Operator) -> anyhow::Result<Vec<Value>> {
    let mut list = operator.get(&format!("/v1/secrets?limit={ALL}")).await?;
    if list.get("has_more") == Some(&Value::Bool(true)) {
        tracing::warn!("there are more than the {ALL} secrets that a list can hold; the others are not shown");
    }
    let mut secrets = list.get_mut("secrets").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let expiries = expiries(operator).await?;
    secrets.iter_mut().for_each(|secret| expire(secret, &expiries));
    Ok(secrets)
}

/// The expiries of those secrets that have one, by id.
async fn expiries(operator: &Operator) -> anyhow::Result<HashMap<String, Value>> {
    let list = operator.get(&format!("/keyglass/v1/secrets?limit={ALL}")).await?;
    let secrets = list.get("secrets").and_then(Value::as_array).into_iter().flatten();
    Ok(secrets.filter_map(|secret| Some((cell(secret, "id"), secret.get("expires_at_ms")?.clone()))).collect())
}

fn expire(secret: &mut Value, expiries: &HashMap<String, Value>) {
    let expiry = expiries.get(&cell(secret, "id")).cloned().unwrap_or_default();
    if let Value::Object(members) = secret {
        members.insert("expires_at_ms".to_owned(), expiry);
    }
}

fn show(secrets: &[Value]) -> anyhow::Result<()> {
    let members = ["name", "id", "create_time_ms", "update_time_ms", "expires_at_ms"];
    let rows = secrets.iter().map(|secret| members.map(|member| cell(secret, member)));
    print(&table(["NAME", "ID", "CREATED", "UPDATED", "EXPIRES"], rows))
}
