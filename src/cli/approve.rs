//! `keyglass approve`: the calls that wait for a person, looked at and decided on in a terminal.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{
    Usage,
    data::DataOptions,
    operator::plain_json,
    person::{MOST_TRIES, yes_or_no},
    print,
    table::{lines, plain, table},
    time,
};
use crate::{
    backend::embedded::maintenance,
    clock::Clock,
    config::{AuditFlag, Settings},
    console::{
        acts::{self, ActError},
        trail::{Act, told},
    },
    dry_run,
    policy::store::{Decision, DecisionError, Question, Shown, State, Store, are_the_words},
    setup::{self, open_audit},
};

/// How a decision was made, for whoever reads of it.
pub(super) const BY_TERMINAL: &str = "terminal";
pub(super) const BY_COMMAND: &str = "command";

/// The longest text of what a call does in a list, in characters.
const MAX_ABOUT: usize = 60;
/// How often it is looked whether the call goes on, and how long between: it looks every quarter of a second.
const LOOKS: (u32, Duration) = (8, Duration::from_millis(200));

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
    // As `reveal` does: the newest first.
    let rows = waiting.iter().rev().map(|question| {
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
    let line = dry_run::in_a_line(&shown.request);
    let text = if shown.entries.is_empty() { line } else { format!("asks for a value: {line}") };
    match text.char_indices().nth(MAX_ABOUT) {
        None => text,
        Some(_) => format!("{}…", text.chars().take(MAX_ABOUT - 1).collect::<String>()),
    }
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
    let store = Arc::new(store);
    let question = acts::decide(&store, question.id, decision, &tell).await.map_err(|error| match error {
        ActError::Refused(DecisionError::Store(error)) => anyhow::Error::from(error),
        ActError::Refused(error) => Usage(error.to_string()).into(),
        unwritten @ ActError::Unwritten(_) => unwritten.into(),
    })?;
    print(match (confirmed, confirmed && goes_on(&store, &question)) {
        (false, _) => "Refused.\n",
        (true, true) => "Confirmed; the call goes on.\n",
        (true, false) => {
            "Confirmed. The call does not wait any more: it goes through when it is called again with exactly the same \
             arguments.\n"
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the call that was confirmed still waits, and so takes its answer.
fn goes_on(store: &Store, question: &Question) -> bool {
    let (looks, between) = LOOKS;
    for _ in 0..looks {
        // Gone or used: somebody has it.
        if !matches!(store.state(&question.id), Ok(Some(State::Confirmed))) {
            return true;
        }
        thread::sleep(between);
    }
    false
}

/// Asks the person. None where they did not decide.
fn asked(shown: &Shown) -> anyhow::Result<Option<Decision>> {
    let by = BY_TERMINAL.to_owned();
    let words = match word(shown, ask)? {
        None => return Ok(None),
        Some(Given::Refuse) => return Ok(Some(Decision::Refuse { by })),
        Some(Given::Confirm) => shown.words.clone(),
    };
    let mut entered = BTreeMap::new();
    for entry in &shown.entries {
        let Some(value) = value_of(&entry.label)? else { return Ok(None) };
        entered.insert(entry.pointer.clone(), value);
    }
    Ok(Some(Decision::Confirm { by, words, entered }))
}

/// The word of the person: as long as it fits nowhere they are asked again, a few times. None where they leave it.
fn word(shown: &Shown, ask: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<Option<Given>> {
    let question = match &shown.words {
        Some(words) => format!("to confirm, write `{}`; `no` refuses, nothing leaves it waiting: ", plain(words)),
        None => "`yes` confirms, `no` refuses, nothing leaves it waiting: ".to_owned(),
    };
    let mut wrong = String::new();
    for _ in 0..MOST_TRIES {
        let answer = ask(&format!("{wrong}{question}"))?;
        let answer = answer.trim();
        if answer.is_empty() {
            return Ok(None);
        }
        match (&shown.words, yes_or_no(answer)) {
            (_, Some(false)) => return Ok(Some(Given::Refuse)),
            (None, Some(true)) => return Ok(Some(Given::Confirm)),
            (Some(words), _) if are_the_words(answer, words) => return Ok(Some(Given::Confirm)),
            (Some(_), _) => wrong = "these are not the words\n".to_owned(),
            (None, None) => wrong = format!("`{}` is neither\n", plain(answer)),
        }
    }
    Ok(None)
}

/// A secret value. None where the person enters nothing.
fn value_of(label: &str) -> anyhow::Result<Option<SecretString>> {
    for _ in 0..MOST_TRIES {
        let value = Zeroizing::new(rpassword::prompt_password(format!("{} (not shown): ", plain(label)))?);
        if !value.is_empty() {
            return Ok(Some(SecretString::from(value.as_str())));
        }
        stderr().write_all(b"the value is empty; give one\n")?;
    }
    Ok(None)
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

/// The store of handles and questions, where there is one. Error: there is nothing of keyglass in the data folder.
pub(super) fn store(settings: &Settings) -> anyhow::Result<Option<Store>> {
    let Some(data_dir) = &settings.data_dir else { return Ok(None) };
    if !Store::exists(data_dir) {
        maintenance::insist_on_database(&setup::embedded_options(settings, Clock::System)?)?;
        return Ok(None);
    }
    Ok(Some(Store::open(data_dir, settings.master_key.as_ref(), Clock::System)?))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::policy::store::Entry;

    /// What came of these lines, and what was asked.
    fn typed(words: Option<&str>, lines: &[&str]) -> (Option<bool>, Vec<String>) {
        let shown = Shown { words: words.map(str::to_owned), confirms: true, ..Shown::default() };
        let (asked, mut left) = (RefCell::new(Vec::new()), lines.iter());
        let left = RefCell::new(&mut left);
        let given = word(&shown, |question| {
            asked.borrow_mut().push(question.to_owned());
            Ok(left.borrow_mut().next().map(|line| format!("{line}\n")).unwrap_or_default())
        });
        (given.unwrap().map(|given| matches!(given, Given::Confirm)), asked.into_inner())
    }

    #[test]
    fn the_same_words_decide_as_in_a_call_and_nonsense_is_asked_about_again() {
        for (lines, expected) in [
            (&["y"][..], Some(true)),
            (&["Yes"], Some(true)),
            (&["confirm"], Some(true)),
            (&["n"], Some(false)),
            (&["NO"], Some(false)),
            (&["refuse"], Some(false)),
            (&["maybe", "yes"], Some(true)),
            (&["maybe", "perhaps", "what", "yes"], None),
            (&["", "yes"], None),
        ] {
            let (given, asked) = typed(None, lines);
            assert_eq!(given, expected, "{lines:?}");
            assert_eq!(asked.len(), lines.iter().position(|line| *line == "maybe").map_or(1, |_| lines.len().min(3)));
            assert_eq!(asked.iter().any(|asked| asked.starts_with("`maybe` is neither\n")), asked.len() > 1);
        }
        let words = Some("all rights");
        assert_eq!(typed(words, &["ALL rights "]).0, Some(true));
        assert_eq!(typed(words, &["n"]).0, Some(false));
        let (given, asked) = typed(words, &["yes", "all", "all  rights", "all rights"]);
        assert_eq!((given, asked.len()), (None, 3));
        assert!(asked[1].starts_with("these are not the words\nto confirm, write `all rights`"), "{asked:?}");
    }

    #[test]
    fn a_list_says_what_is_left_out_and_what_is_asked_for() {
        let of = |request: &str, entries: Vec<Entry>| {
            about(&Shown { request: request.to_owned(), entries, confirms: true, ..Shown::default() })
        };
        assert_eq!(of("# a note\nDELETE /a\nx: y", Vec::new()), "DELETE /a");
        let long = of(&format!("DELETE /{}", "a".repeat(80)), Vec::new());
        assert!(long.chars().count() == 60 && long.ends_with("a…"), "{long}");
        let entry = Entry { pointer: "/value".into(), label: "value".into() };
        assert_eq!(of("PUT /a", vec![entry]), "asks for a value: PUT /a", "of one that has to be confirmed as well");
    }
}
