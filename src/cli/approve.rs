//! `keyglass approve`: the calls that wait for a person, looked at and decided on in a terminal.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{
    Usage,
    data::DataOptions,
    operator::plain_json,
    print,
    table::{lines, plain, table},
    time,
};
use crate::{
    clock::Clock,
    config::{AuditFlag, Settings},
    console::{
        acts::{self, ActError},
        trail::{Act, told},
    },
    policy::store::{Decision, DecisionError, Question, Shown, Store},
    setup::open_audit,
};

/// How a decision was made, for whoever reads of it.
pub(super) const BY_TERMINAL: &str = "terminal";
pub(super) const BY_COMMAND: &str = "command";

const HELP: &str = "\
Without a code the calls that wait are listed; with one that call is shown whole,
and you are asked. Values that it asks for are read without being shown.

--yes confirms without asking and needs no terminal: whatever runs commands as
this user can confirm by it. So can an agent that has a shell of yours; give it
one of another user.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The code of a call that waits
    code: Option<String>,
    /// Refuse it
    #[arg(long, requires = "code", conflicts_with = "yes")]
    refuse: bool,
    /// Confirm it without asking, where a click would do: not where something is to be written or entered
    #[arg(long, requires = "code")]
    yes: bool,
    #[command(flatten)]
    audit: AuditFlag,
    #[command(flatten)]
    data: DataOptions,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { code, refuse, yes, audit, data } = arguments;
    let settings = data.audited(audit)?;
    let store = store(&settings)?;
    let Some(code) = code else {
        let Some(code) = choose(store.as_ref())? else { return Ok(ExitCode::SUCCESS) };
        return decide((store, &settings), &code, None).await;
    };
    let given = match (refuse, yes) {
        (true, _) => Some(Given::Refuse),
        (_, true) => Some(Given::Confirm),
        _ => None,
    };
    decide((store, &settings), &code, given).await
}

/// What is decided by the command line already.
#[derive(Clone, Copy, Debug)]
enum Given {
    Confirm,
    Refuse,
}

/// Lists what waits, and asks for a code at a terminal.
fn choose(store: Option<&Store>) -> anyhow::Result<Option<String>> {
    let waiting = store.map(Store::waiting).transpose()?.unwrap_or_default();
    let (Some(store), false) = (store, waiting.is_empty()) else {
        print("Nothing waits.\n")?;
        return Ok(None);
    };
    let rows = waiting.iter().map(|question| {
        let Shown { code, tool, risk, principal, client, .. } = &question.shown;
        let who = if client.is_empty() { principal.clone() } else { format!("{principal}, {client}") };
        [code.clone(), tool.clone(), risk.clone(), who, about(&question.shown), left(question, store.now_ms())]
    });
    print(&table(["CODE", "TOOL", "RISK", "ASKED BY", "WHAT", "TIME LEFT"], rows))?;
    if !stdin().is_terminal() {
        return Ok(None);
    }
    let code = ask("code of the call to look at, empty for none: ")?;
    Ok(Some(code.trim().to_owned()).filter(|code| !code.is_empty()))
}

/// The call in a few words.
fn about(shown: &Shown) -> String {
    let line = shown.request.lines().find(|line| !line.trim_start().starts_with('#')).unwrap_or_default();
    let mut line: String = line.chars().take(60).collect();
    if !shown.confirms {
        line.insert_str(0, "asks for a value: ");
    }
    line
}

fn left(question: &Question, now_ms: i64) -> String {
    let seconds = question.expires_at_ms.saturating_sub(now_ms).max(0) / 1000;
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}

async fn decide(
    (store, settings): (Option<Store>, &Settings),
    code: &str,
    given: Option<Given>,
) -> anyhow::Result<ExitCode> {
    let waiting = store.as_ref().map(|store| store.waiting_as(code)).transpose()?.flatten();
    let (Some(store), Some(question)) = (store, waiting) else {
        let problem = format!(
            "no call waits under `{}`: it never did, was decided on already, or its time is over; `keyglass approve` lists \
             what waits",
            plain(code)
        );
        return Err(Usage(problem).into());
    };
    print(&whole(&question, store.now_ms()))?;
    let shown = &question.shown;
    let decision = match given {
        Some(Given::Refuse) => Decision::Refuse { by: BY_COMMAND.to_owned() },
        Some(Given::Confirm) if shown.words.is_some() || !shown.entries.is_empty() => {
            let problem = "this call asks for words or a value, which `--yes` cannot give; leave it out, at a terminal";
            return Err(Usage(problem.to_owned()).into());
        }
        Some(Given::Confirm) => Decision::Confirm { by: BY_COMMAND.to_owned(), words: None, entered: BTreeMap::new() },
        None if !stdin().is_terminal() => {
            let problem = "there is no terminal to ask you at; give `--yes` or `--refuse`, or use `keyglass console`";
            return Err(Usage(problem.to_owned()).into());
        }
        None => match asked(shown)? {
            Some(decision) => decision,
            None => {
                print("Nothing was decided; it waits on.\n")?;
                return Ok(ExitCode::SUCCESS);
            }
        },
    };
    let confirmed = matches!(decision, Decision::Confirm { .. });
    let by = match &decision {
        Decision::Confirm { by, .. } | Decision::Refuse { by } => by.clone(),
    };
    let audit = open_audit(settings, Clock::System)?;
    let _closing = audit.closing();
    let tell = |act: Act<'_>| told(&audit, act, &by);
    acts::decide(&Arc::new(store), question.id, decision, &tell).await.map_err(|error| match error {
        ActError::Refused(DecisionError::Store(error)) => anyhow::Error::from(error),
        ActError::Refused(error) => Usage(error.to_string()).into(),
        unwritten @ ActError::Unwritten(_) => unwritten.into(),
    })?;
    print(if confirmed { "Confirmed; the call goes on.\n" } else { "Refused.\n" })?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the person. None where they did not decide.
fn asked(shown: &Shown) -> anyhow::Result<Option<Decision>> {
    let by = BY_TERMINAL.to_owned();
    let words = match &shown.words {
        Some(words) => {
            let answer = ask(&format!("to confirm, write `{}`; `no` refuses: ", plain(words)))?;
            match answer.trim() {
                "no" => return Ok(Some(Decision::Refuse { by })),
                answer if answer == words => Some(answer.to_owned()),
                _ => return Ok(None),
            }
        }
        None => {
            match ask("`yes` confirms, `no` refuses, anything else leaves it waiting: ")?.trim() {
                "yes" => {}
                "no" => return Ok(Some(Decision::Refuse { by })),
                _ => return Ok(None),
            }
            None
        }
    };
    let mut entered = BTreeMap::new();
    for entry in &shown.entries {
        let value = Zeroizing::new(rpassword::prompt_password(format!("{}: ", plain(&entry.label)))?);
        entered.insert(entry.pointer.clone(), SecretString::from(value.as_str()));
    }
    Ok(Some(Decision::Confirm { by, words, entered }))
}

/// Asks for a line at the terminal. Standard output may go elsewhere.
fn ask(question: &str) -> anyhow::Result<String> {
    let mut terminal = stderr();
    terminal.write_all(question.as_bytes())?;
    terminal.flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

/// All of a question as text. What a terminal would obey is escaped.
fn whole(question: &Question, now_ms: i64) -> String {
    let shown = &question.shown;
    let risk = if shown.reason.is_empty() { shown.risk.clone() } else { format!("{}: {}", shown.risk, shown.reason) };
    let rows = [
        ("call", shown.title.clone()),
        ("tool", shown.tool.clone()),
        ("risk", risk),
        ("asked by", shown.principal.clone()),
        ("program", shown.client.clone()),
        ("asked", time::shown(question.create_time_ms)),
        ("time left", left(question, now_ms)),
    ];
    let rows = rows.into_iter().filter(|(_, what)| !what.is_empty()).map(|(name, what)| [name.to_owned(), what]);
    let mut text = lines(rows);
    for note in &shown.notes {
        text.push_str(&format!("note: {}\n", plain(note)));
    }
    if let Some(subject) = &shown.subject {
        let value = plain_json(&subject.value);
        text.push_str(&format!("\nwhat it is about, as `{}` reads it now:\n{value}\n", plain(&subject.tool)));
    }
    if !shown.request.is_empty() {
        let request = shown.request.lines().map(|line| format!("{}\n", plain(line))).collect::<String>();
        text.push_str(&format!("\nthe exact request:\n{request}"));
    }
    for entry in &shown.entries {
        text.push_str(&format!("\nit asks for a secret value: {}\n", plain(&entry.label)));
    }
    text.push('\n');
    text
}

/// The store of handles and questions, where there is one.
pub(super) fn store(settings: &Settings) -> anyhow::Result<Option<Store>> {
    let Some(data_dir) = settings.data_dir.as_ref().filter(|data_dir| Store::exists(data_dir)) else { return Ok(None) };
    Ok(Some(Store::open(data_dir, settings.master_key.as_ref(), Clock::System)?))
}
