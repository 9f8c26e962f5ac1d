//! The embedded backend's master key by reference: in a variable, in a file, or said by a command.
//!
//! Knows nothing of databases. No error, log or Debug shows a key, and of a command its first word alone: the others may
//! be secrets.

use std::{
    fmt,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{credential::checked, environment::environment};
use crate::{backend::embedded::MasterKeyReference, spec};

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(10);
/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(10);
/// The most that a command may say, and the largest file, in bytes.
const MAX_BYTES: usize = 4 * 1024;
/// So many hexadecimal digits on end are left out of what a command says: it may be a key, or a part of one.
const SUSPICIOUS_DIGITS: usize = 16;
/// So many in a variable's or a file's name are left out of messages: fewer are a hash or a UUID, as names often hold.
const KEY_DIGITS: usize = 48;

/// Where the master key is.
#[derive(Clone, PartialEq, Eq)]
pub enum MasterKeyLocation {
    /// In an environment variable.
    Environment(String),
    /// In a file.
    File(PathBuf),
    /// On the standard output of a command, run by `sh -c`, on Windows by `cmd /C`.
    Command(String),
}

impl MasterKeyLocation {
    /// As the backend takes it. It is read when it is needed, and anew each time.
    pub fn reference(self) -> MasterKeyReference {
        MasterKeyReference::new(self.to_string(), move || self.read())
    }

    fn read(&self) -> Result<SecretString, String> {
        match self {
            Self::Environment(name) => {
                let text = environment(name).ok_or("the environment variable is not set")?;
                Ok(checked(&Zeroizing::new(text))?)
            }
            Self::File(path) => {
                let text = spec::read_text(path, MAX_BYTES).map_err(|error| error.to_string())?;
                Ok(checked(&Zeroizing::new(text))?)
            }
            Self::Command(command) => said_by(command, COMMAND_TIME),
        }
    }
}

impl FromStr for MasterKeyLocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("cmd", command)) if !command.trim().is_empty() => Ok(Self::Command(command.trim().to_owned())),
            _ => Err(
                "the master key is given by reference, as `env:NAME`, `file:PATH` or `cmd:COMMAND`; what was given \
                      is not shown, in case it is the key itself"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for MasterKeyLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Whoever writes the key itself there must not find it in a log.
            Self::Environment(name) => write!(formatter, "env:{}", without_digits(name, KEY_DIGITS)),
            Self::File(path) => {
                write!(formatter, "file:{}", without_digits(&path.display().to_string(), KEY_DIGITS))
            }
            Self::Command(command) => {
                let (program, more) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
                let harmless = program.len() <= 60 && !program.contains(['=', '"', '\'', '$', '`']);
                let program = if harmless { program } else { "" };
                write!(formatter, "cmd:{program}{}", if harmless && more.is_empty() { "" } else { "…" })
            }
        }
    }
}

impl fmt::Debug for MasterKeyLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a command writes to its standard output. Its standard error is logged where it succeeds, and part of the error
/// where it fails. It gets no standard input: that may be a client's.
fn said_by(command: &str, time: Duration) -> Result<SecretString, String> {
    let end = Instant::now() + time;
    let mut child = shell(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the command cannot be started ({error})"))?;
    let (said, complained) = (child.stdout.take().map(taken), child.stderr.take().map(taken));
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => thread::sleep(LOOK),
            Ok(None) => {
                kill(&mut child);
                return Err(format!("the command took longer than {} s", time.as_secs()));
            }
            Err(error) => return Err(format!("the command cannot be waited for ({error})")),
        }
    };
    // What it started may hold the pipes open for longer than it lives itself.
    let left = |pipe: Option<mpsc::Receiver<Taken>>| {
        pipe.and_then(|pipe| pipe.recv_timeout(end.saturating_duration_since(Instant::now())).ok())
    };
    let Some(said) = left(said) else {
        kill(&mut child);
        return Err("the command left its standard output open".to_owned());
    };
    let complaint = left(complained).map(|complaint| shown(&complaint, &said)).unwrap_or_default();
    if !status.success() {
        let complaint = if complaint.is_empty() { complaint } else { format!(": {complaint}") };
        let ended = status.code().map_or("was ended by a signal".to_owned(), |code| format!("ended with code {code}"));
        return Err(format!("the command {ended}{complaint}"));
    }
    if !complaint.is_empty() {
        tracing::warn!("the command of the master key says: {complaint}");
    }
    if said.len() > MAX_BYTES {
        return Err(format!("the command wrote more than {MAX_BYTES} bytes"));
    }
    let text = std::str::from_utf8(&said).map_err(|_| "the command wrote something that is not text")?;
    checked(text).map_err(|problem| format!("of what the command wrote: {problem}"))
}

/// The first bytes of a pipe, one more than may be.
type Taken = Zeroizing<Vec<u8>>;

fn taken(pipe: impl Read + Send + 'static) -> mpsc::Receiver<Taken> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        let mut pipe = pipe.take(u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1));
        // What came before a fault is judged all the same.
        drop(pipe.read_to_end(&mut bytes));
        // Nobody waits any more.
        drop(sender.send(bytes));
        // To its end: a command that writes more would be stopped by a closed pipe, and say something about that.
        drop(std::io::copy(&mut pipe.into_inner(), &mut std::io::sink()));
    });
    receiver
}

/// A command's standard error in one line, without what it wrote to its standard output and without what may be a key.
fn shown(complaint: &[u8], said: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let said = String::from_utf8_lossy(said);
    let mut text = text.into_owned();
    for secret in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        text = text.replace(secret, "[hidden]");
    }
    let clean = without_digits(&text, SUSPICIOUS_DIGITS).replace(char::is_control, " ");
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text with so many hexadecimal digits on end, or more, hidden.
fn without_digits(text: &str, suspicious: usize) -> String {
    let (mut clean, mut digits) = (String::new(), String::new());
    let end = |clean: &mut String, digits: &mut String| {
        clean.push_str(if digits.len() < suspicious { digits } else { "[hidden]" });
        digits.clear();
    };
    for character in text.chars() {
        if character.is_ascii_hexdigit() {
            digits.push(character);
        } else {
            end(&mut clean, &mut digits);
            clean.push(character);
        }
    }
    end(&mut clean, &mut digits);
    clean
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    // A group of its own, so that all it starts can be ended with it.
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    // The interpreter takes the rest of its line as it is; quoting it would change it.
    std::os::windows::process::CommandExt::raw_arg(shell.arg("/C"), command);
    shell
}

/// Ends a command and, where the system knows such a thing, all that it started.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    let group = Command::new("sh")
        .args(["-c", "kill -s KILL -- \"-$1\"", "sh", &child.id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    #[cfg(unix)]
    drop(group);
    // It may have ended by itself.
    drop(child.kill());
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const KEY: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

    #[test]
    fn a_literal_key_is_refused_and_not_repeated() {
        for literal in [KEY, "cmd:", "cmd:  ", "env:", "file:", "hex:c0ffee00"] {
            let error = literal.parse::<MasterKeyLocation>().expect_err(literal);
            assert!(error.contains("cmd:COMMAND") && !error.contains("c0ffee"), "{error}");
        }
    }

    #[test]
    fn of_a_command_only_the_program_is_shown() {
        for (command, shown) in [
            ("cmd:pass", "cmd:pass"),
            ("cmd:pass show c0ffee", "cmd:pass…"),
            ("cmd:KEY=c0ffee printenv KEY", "cmd:…"),
            ("cmd:'c0ffee' x", "cmd:…"),
        ] {
            let location: MasterKeyLocation = command.parse().expect(command);
            assert_eq!(location.to_string(), shown);
            assert!(!format!("{location:?} {:?}", location.clone().reference()).contains("c0ffee"));
        }
    }

    #[test]
    fn a_key_in_the_place_of_a_name_is_not_repeated() {
        for (reference, shown) in [
            (format!("env:{KEY}"), "env:[hidden]"),
            (format!("file:{KEY}"), "file:[hidden]"),
            (format!("file:/x/{}.key", KEY.to_uppercase()), "file:/x/[hidden].key"),
            ("env:KEYGLASS_MASTER".to_owned(), "env:KEYGLASS_MASTER"),
            (
                "file:/run/0123456789abcdef0123456789abcdef/key".to_owned(),
                "file:/run/0123456789abcdef0123456789abcdef/key",
            ),
        ] {
            let location: MasterKeyLocation = reference.parse().expect(shown);
            assert_eq!(location.to_string(), shown);
            let told = format!("{location:?} {:?} {:?}", location.clone().reference(), location.read());
            assert!(!told.to_lowercase().contains("c0ffee"), "{told}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_command_is_believed_or_its_fault_is_told_without_the_value() {
        let said = |command: &str| said_by(command, Duration::from_secs(60));
        assert_eq!(said(&format!("echo {KEY}")).expect("a key").expose_secret(), KEY);
        assert_eq!(said(&format!("echo {KEY}; echo careful >&2")).expect("a key").expose_secret(), KEY);
        for (command, words) in [
            ("exit 3".to_owned(), "ended with code 3"),
            (format!("echo {KEY}; echo no vault {KEY} here >&2; exit 1"), "no vault [hidden] here"),
            (format!("echo no vault {KEY} here >&2; exit 1"), "no vault [hidden] here"),
            ("echo canary-word; echo no canary-word here >&2; exit 1".to_owned(), "no [hidden] here"),
            ("kill -KILL $$".to_owned(), "signal"),
            ("true".to_owned(), "it is empty"),
            (format!("echo {KEY}; echo {KEY}"), "line break"),
            (format!("while true; do echo {KEY} || exit 0; done | head -c 100000"), "more than 4096 bytes"),
            ("printf '\\377'".to_owned(), "not text"),
        ] {
            let error = said(&command).expect_err(&command);
            assert!(error.contains(words) && !error.contains("c0ffee") && !error.contains("canary"), "{error}");
        }
        let error = said_by("sleep 1000", Duration::ZERO).expect_err("too slow");
        assert!(error.contains("longer than"), "{error}");
        let error = said_by("sleep 1000 & echo x", Duration::from_secs(1)).expect_err("left open");
        assert!(error.contains("left its standard output open"), "{error}");
    }
}
