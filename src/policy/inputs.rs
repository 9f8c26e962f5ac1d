//! Secrets among the arguments of a call: what a handle or a reference stands for is put in its place, and what only a person
//! can give is found.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::{
    glass::Mode,
    store::{Entry, HandleError, HandleId},
    vault::Vault,
};
use crate::{
    caller::Principal,
    catalog::{CompiledTool, dotted},
    config::{Reference, ReferenceProblem, References},
    error::{ArgumentProblem, CallError},
    mask::{MASKED, Mask},
    sensitive::Marks,
};

/// What a model writes where a person is to give a value.
const ASK: &str = "secret://ask";
/// Stands where a person's value will be, while the other arguments are checked.
const TO_COME: &str = "secret-to-come";
/// The same where it is a number.
const NUMBER_TO_COME: &str = "secret-number-to-come";

/// How arguments are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) mode: Mode,
    /// Whether a value may stand there itself: whoever writes it is a person, or the operator lets models.
    pub(super) takes_values: bool,
    pub(super) references: &'a References,
    pub(super) vault: Option<&'a Arc<Vault>>,
    pub(super) principal: &'a Principal,
}

/// Arguments with values in the place of what stands for them.
#[derive(Debug, Default)]
pub(crate) struct Given<'a> {
    pub(crate) arguments: Cow<'a, Value>,
    /// The values that were put in, to be masked wherever they come back.
    pub(crate) secrets: Vec<SecretString>,
    /// Where they were put in, as JSON pointers.
    places: Vec<String>,
    /// What a person is to give.
    pub(crate) wanted: Vec<Entry>,
}

/// What stands in one place.
enum Found {
    Handle(HandleId),
    Reference(Reference, Place),
    Wanted,
    Problem(String),
    /// The text as it is.
    Plain,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A secret.
    Secret,
    /// A text that may be one, and as well may not.
    Perhaps,
}

/// Reads arguments. Errors: [`CallError::Arguments`] with what is wrong with secret ones.
pub(super) async fn given<'a>(
    tool: &CompiledTool,
    arguments: &'a Value,
    reading: Reading<'_>,
) -> Result<Given<'a>, CallError> {
    let marks = tool.input.marks();
    // Most tools take no secret, and a handle is of no use to them.
    if marks.is_none() && !mentions_handle(arguments) {
        return Ok(Given { arguments: Cow::Borrowed(arguments), ..Given::default() });
    }
    let mut search = Search { reading, found: Vec::new() };
    search.walk(arguments, marks, String::new());
    if reading.mode == Mode::Handles {
        search.missing(tool, arguments);
    }
    if search.found.is_empty() {
        return Ok(Given { arguments: Cow::Borrowed(arguments), ..Given::default() });
    }
    let mut given = Given { arguments: Cow::Owned(arguments.clone()), ..Given::default() };
    let mut problems = Vec::new();
    let takes_values = search.takes_values();
    for (pointer, found) in search.found {
        let value = match found {
            Found::Reference(reference, place) => match referred(reference, reading.references).await? {
                Ok(value) => value,
                // It may be a value that only looks like a reference: where models write values, and where most are no
                // secrets. A person who writes one means it, and enters such a value when asked.
                Err(_) if takes_values && reading.mode != Mode::Handles => continue,
                Err(ReferenceProblem::NotAllowed(_)) if place == Place::Perhaps => continue,
                Err(problem) => {
                    let message = format!(
                        "is a reference that gives nothing: {problem}; or write `{ASK}`, and a person is asked for the value"
                    );
                    problems.push(self::problem(&pointer, message));
                    continue;
                }
            },
            Found::Handle(id) => match opened(&id, reading).await {
                Ok(value) => value,
                Err(message) => {
                    problems.push(problem(&pointer, message));
                    continue;
                }
            },
            Found::Wanted => {
                let label = dotted(&pointer);
                let is_number = typed(marks, &pointer, "0").is_number();
                let to_come = if is_number { NUMBER_TO_COME } else { TO_COME };
                put(given.arguments.to_mut(), &pointer, Value::from(to_come));
                given.wanted.push(Entry { pointer, label });
                continue;
            }
            Found::Problem(message) => {
                problems.push(problem(&pointer, message));
                continue;
            }
            Found::Plain => continue,
        };
        let typed = typed(marks, &pointer, value.expose_secret());
        given.put_in(pointer, typed, value);
    }
    if problems.is_empty() { Ok(given) } else { Err(CallError::Arguments(problems)) }
}

impl Given<'_> {
    /// Puts in what a person gave.
    pub(crate) fn enter(&mut self, entered: BTreeMap<String, SecretString>) {
        for (pointer, value) in entered {
            let is_number = self.arguments.pointer(&pointer).is_some_and(|there| there == NUMBER_TO_COME);
            let number = value.expose_secret().trim().parse().ok().filter(|_| is_number).map(Value::Number);
            let typed = number.unwrap_or_else(|| Value::from(value.expose_secret()));
            self.put_in(pointer, typed, value);
        }
        self.wanted.clear();
    }

    /// The same with what a person gave put in.
    pub(crate) fn with(&self, entered: BTreeMap<String, SecretString>) -> Self {
        let (secrets, places) = (self.secrets.clone(), self.places.clone());
        let mut whole = Self { arguments: self.arguments.clone(), secrets, places, wanted: Vec::new() };
        whole.enter(entered);
        whole
    }

    fn put_in(&mut self, pointer: String, typed: Value, value: SecretString) {
        put(self.arguments.to_mut(), &pointer, typed);
        self.secrets.push(value);
        self.places.push(pointer);
    }

    /// The arguments as others may see them: nothing that was put in stands there.
    pub(crate) fn shown(&self) -> Cow<'_, Value> {
        let mut shown = Cow::Borrowed(&*self.arguments);
        for pointer in &self.places {
            put(shown.to_mut(), pointer, Value::from(MASKED));
        }
        shown
    }

    /// An error about the arguments that repeats nothing of what was put in.
    pub(crate) fn told(&self, error: CallError) -> CallError {
        let mask = Mask::new(&self.secrets);
        error.masked(&|text| mask.text(text))
    }

    /// Whether the arguments fit, as far as they are there: nothing is said of those that a person is to give.
    pub(crate) fn check(&self, tool: &CompiledTool) -> Result<(), CallError> {
        let Err(error) = tool.input.check(&self.arguments) else { return Ok(()) };
        let mut problems = match self.told(error) {
            CallError::Arguments(problems) => problems,
            other => return Err(other),
        };
        let to_come: Vec<String> = self.wanted.iter().map(|entry| dotted(&entry.pointer)).collect();
        problems.retain(|problem| !to_come.contains(&problem.argument));
        if problems.is_empty() { Ok(()) } else { Err(CallError::Arguments(problems)) }
    }
}

struct Search<'a> {
    reading: Reading<'a>,
    found: Vec<(String, Found)>,
}

impl Search<'_> {
    fn walk(&mut self, value: &Value, marks: Option<&Marks>, pointer: String) {
        let is_secret = marks.is_some_and(Marks::is_secret);
        match value {
            Value::String(text) => {
                let found = match (is_secret, marks.is_some_and(Marks::accepts)) {
                    (true, _) => self.secret(text),
                    (false, true) => self.read(text, Place::Perhaps),
                    (false, false) => misplaced(text),
                };
                if !matches!(found, Found::Plain) {
                    self.found.push((pointer, found));
                }
            }
            Value::Array(items) => {
                let inside = if is_secret { marks } else { marks.and_then(Marks::item) };
                for (index, item) in items.iter().enumerate() {
                    self.walk(item, inside, format!("{pointer}/{index}"));
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let inside = if is_secret { marks } else { marks.and_then(|marks| marks.member(name)) };
                    self.walk(member, inside, format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")));
                }
            }
            Value::Number(_) if is_secret && !self.takes_values() => {
                self.found.push((pointer, Found::Problem(refusal(self.reading.references))));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn takes_values(&self) -> bool {
        self.reading.takes_values || self.reading.mode != Mode::Handles
    }

    fn secret(&self, text: &str) -> Found {
        match self.read(text, Place::Secret) {
            Found::Plain if self.takes_values() => Found::Plain,
            Found::Plain => Found::Problem(refusal(self.reading.references)),
            found => found,
        }
    }

    fn read(&self, text: &str, place: Place) -> Found {
        if text == ASK {
            return Found::Wanted;
        }
        if HandleId::is_meant(text) {
            return match text.parse() {
                Ok(id) => Found::Handle(id),
                Err(_) => Found::Problem(unknown_handle(HandleError::Unknown)),
            };
        }
        Reference::of(text).map_or(Found::Plain, |reference| Found::Reference(reference, place))
    }

    /// Secret arguments that are not there and have to be.
    fn missing(&mut self, tool: &CompiledTool, arguments: &Value) {
        let Some(marks) = tool.input.marks() else { return };
        for name in tool.input.required() {
            if arguments.get(name).is_none() && marks.member(name).is_some_and(Marks::is_secret) {
                self.found.push((format!("/{}", name.replace('~', "~0").replace('/', "~1")), Found::Wanted));
            }
        }
    }
}

async fn opened(id: &HandleId, reading: Reading<'_>) -> Result<SecretString, String> {
    let vault = reading.vault.ok_or_else(|| unknown_handle(HandleError::Unknown))?;
    let (owner, id) = (reading.principal.binding(), id.clone());
    vault.work(move |store| store.value(&owner, &id)).await.map_err(unknown_handle)
}

/// The value that a reference stands for, read where files may take their time.
async fn referred(
    reference: Reference,
    references: &References,
) -> Result<Result<SecretString, ReferenceProblem>, CallError> {
    let references = references.clone();
    let read = tokio::task::spawn_blocking(move || references.value(&reference)).await;
    read.map_err(|_| CallError::Internal("a reference could not be read".to_owned()))
}

fn unknown_handle(error: HandleError) -> String {
    match error {
        HandleError::Store(error) => format!("is a handle whose value cannot be had ({error}); tell the operator"),
        _ => format!(
            "is no handle that is known here: it never was, is somebody else's, or has expired; take one from a result of \
             yours, or write `{ASK}`, and a person is asked for the value"
        ),
    }
}

fn refusal(references: &References) -> String {
    let reference = if references.is_empty() { "" } else { ", a reference that the operator has allowed" };
    format!(
        "is secret, and is not taken as a value, which would stand in the transcript: give a handle `secret://…` from an \
         earlier result{reference}, or `{ASK}`, and a person is asked for it"
    )
}

/// A handle where no secret belongs would be stored there as a text.
fn misplaced(text: &str) -> Found {
    if text != ASK && text.parse::<HandleId>().is_err() || !HandleId::is_meant(text) {
        return Found::Plain;
    }
    Found::Problem("takes no secret, so a handle has no place in it; leave it out, or give a plain value".to_owned())
}

fn mentions_handle(value: &Value) -> bool {
    match value {
        Value::String(text) => HandleId::is_meant(text),
        Value::Array(items) => items.iter().any(mentions_handle),
        Value::Object(members) => members.values().any(mentions_handle),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn problem(pointer: &str, message: String) -> ArgumentProblem {
    ArgumentProblem { argument: dotted(pointer), message }
}

/// A value as the schema has it at this place.
fn typed(marks: Option<&Marks>, pointer: &str, text: &str) -> Value {
    marks.map_or_else(|| Value::from(text), |marks| marks.typed(pointer, text))
}

/// Sets what a pointer leads to; a member that is not there is added.
fn put(root: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = root.pointer_mut(pointer) {
        *place = value;
        return;
    }
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let parent = if parent.is_empty() { Some(root) } else { root.pointer_mut(parent) };
    if let Some(parent) = parent {
        if parent.is_null() {
            *parent = Value::Object(Map::new());
        }
        if let Value::Object(members) = parent {
            members.insert(name.replace("~1", "/").replace("~0", "~"), value);
        }
    }
}
