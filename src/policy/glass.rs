//! The glass: what a client sees of secrets in answers. Where it would see one it sees a handle, or that something is masked.
//!
//! A secret is known by the mark of a schema, the name of its member, its form, or because it was one before: a value that
//! stands for a handle is hidden wherever it comes back. Later steps of a call work with the values themselves, so what
//! they are is noted when an answer comes in, and hidden when the result goes out.

mod seen;

use std::{borrow::Cow, collections::BTreeSet, fmt, str::FromStr, sync::Arc, time::Duration};

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::Value;

pub(crate) use self::seen::Seen;
use super::{
    store::{HandleId, Kept, Origin, StoreError},
    vault::{Known, MIN_INSIDE, Vault},
};
use crate::{
    caller::Principal,
    mask::MASKED,
    members::renamed,
    nearest::nearest,
    sensitive::{Marks, secrets_in},
    work::work_on,
};

/// How many secrets one answer may hold that get handles. The rest is masked.
const MOST: usize = 2_000;
/// The least number whose text is long enough to be looked for: of as many digits as [`MIN_INSIDE`].
const LEAST_NUMBER: u64 = 10_000_000;
/// How long a handle lives where nothing is said.
pub const HANDLE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What becomes of secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Answers have handles in their place, arguments take handles.
    #[default]
    Handles,
    /// Answers have `[masked]` in their place. Arguments take values.
    Masked,
    /// Answers have the values, but for the credentials that keyglass itself uses. Arguments take values.
    Clear,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Handles, Self::Masked, Self::Clear];

    /// Its name, as in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handles => "handles",
            Self::Masked => "masked",
            Self::Clear => "clear",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(mode) = Self::ALL.into_iter().find(|mode| mode.name() == text) {
            return Ok(mode);
        }
        let near = nearest(text, Self::ALL.map(Self::name)).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("`{text}` is none of `handles`, `masked` and `clear`{}", near.unwrap_or_default()))
    }
}

/// Hides secrets in what goes to clients.
pub struct Glass {
    mode: Mode,
    life: Duration,
    vault: Option<Arc<Vault>>,
}

impl Glass {
    /// In this mode, with a place to keep values in; without one handles become `[masked]`.
    pub fn new(mode: Mode, life: Duration, vault: Option<Arc<Vault>>) -> Self {
        Self { mode, life, vault }
    }

    /// What becomes of secrets.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The vault behind it.
    pub fn vault(&self) -> Option<&Arc<Vault>> {
        self.vault.as_ref()
    }

    /// A text that goes to a client or a log while the call is under way, or instead of its result: secrets in it are
    /// masked.
    pub(crate) fn text<'a>(&self, text: &'a str, principal: &Principal, seen: &Seen) -> Cow<'a, str> {
        self.masking(principal, seen)(text)
    }

    /// Masks one text after another: what is looked for is put together once.
    fn masking(&self, principal: &Principal, seen: &Seen) -> impl Fn(&str) -> Cow<'_, str> + use<> {
        let is_clear = self.mode == Mode::Clear;
        let known = self.known(principal).filter(|_| !is_clear);
        let seen = if is_clear { None } else { seen.search() };
        move |text| {
            if is_clear {
                return Cow::Borrowed(text);
            }
            let mut text = masked_forms(text);
            for search in known.iter().map(|known| &known.search).chain(&seen) {
                if search.is_match(&*text) {
                    text = Cow::Owned(replaced(search, &text, |_| MASKED.to_owned()));
                }
            }
            text
        }
    }

    /// The same for all of a value, whose secrets are known by their places as well.
    pub(crate) fn value(&self, value: &mut Value, principal: &Principal, seen: &Seen) {
        if self.mode == Mode::Clear {
            return;
        }
        let found = seen::taken_out(value, None, seen.all());
        if !found.is_empty() {
            found.put_back(value, |_| MASKED.to_owned());
        }
        let masking = self.masking(principal, seen);
        each_text(value, &mut |text| match masking(text) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        });
    }

    /// The same for bytes: those that are text, and the texts among those that are none.
    pub(crate) fn bytes(&self, bytes: Bytes, principal: &Principal, seen: &Seen) -> Bytes {
        if self.mode == Mode::Clear {
            return bytes;
        }
        let masking = self.masking(principal, seen);
        let mut masked = Vec::new();
        let mut is_changed = false;
        for chunk in bytes.utf8_chunks() {
            let text = match chunk.valid() {
                // There is no room for a secret.
                short if short.len() < MIN_INSIDE => Cow::Borrowed(short),
                text => masking(text),
            };
            is_changed |= matches!(text, Cow::Owned(_));
            masked.extend_from_slice(text.as_bytes());
            masked.extend_from_slice(chunk.invalid());
        }
        if is_changed { Bytes::from(masked) } else { bytes }
    }

    /// Hides the secrets of a result: each has a handle in its place, or is masked.
    pub(crate) async fn hide(&self, result: &mut Value, result_of: ResultOf<'_>, seen: &Seen) {
        if self.mode == Mode::Clear {
            return;
        }
        let ResultOf { tool, marks, arguments, principal, .. } = result_of;
        let (before, bytes) = (seen.take(), text_bytes(result));
        let found = work_on(bytes, || seen::taken_out(result, marks, before));
        if !found.is_empty() {
            // It may be shown this once: where a model sees no handle of it, a person still can have it.
            let is_kept = self.mode == Mode::Handles || result_of.changes;
            let mut handles = Vec::new();
            if is_kept {
                handles = self.kept(&found.secrets, (tool, &about(arguments)), principal).await;
            }
            if self.mode == Mode::Masked {
                handles.clear();
            }
            let stand_in = |index| handles.get(index).map_or_else(|| MASKED.to_owned(), ToString::to_string);
            work_on(bytes, || found.put_back(result, stand_in));
            // A result has parts that are hidden one by one, and say the same.
            seen.add(found.secrets);
        }
        if let Some(known) = self.known(principal) {
            let mut found = BTreeSet::new();
            let mut look = |text: &str| {
                found.extend(known.search.find_iter(text).map(|found| found.pattern().as_usize()));
                None
            };
            work_on(bytes, || each_text(result, &mut look));
            if found.is_empty() {
                return;
            }
            let ids: BTreeSet<&HandleId> = found.iter().filter_map(|index| known.ids.get(*index)).collect();
            let good = self.renewed(ids.into_iter().cloned().collect(), principal).await;
            let handle = |index: usize| match known.ids.get(index) {
                Some(id) if good.contains(id) => id.to_string(),
                _ => MASKED.to_owned(),
            };
            let mut replace = |text: &str| known.search.is_match(text).then(|| replaced(&known.search, text, handle));
            work_on(bytes, || each_text(result, &mut replace));
        }
    }

    /// Those of these handles that are good, which they are for the whole time again: a client is shown them.
    async fn renewed(&self, ids: Vec<HandleId>, principal: &Principal) -> BTreeSet<HandleId> {
        let (Mode::Handles, Some(vault)) = (self.mode, &self.vault) else { return BTreeSet::new() };
        let (owner, life) = (principal.binding(), self.life);
        vault.work(move |store| store.renew(&owner, ids, life)).await.unwrap_or_else(|error: StoreError| {
            tracing::warn!(%error, "handles cannot be looked up, so secrets are masked");
            BTreeSet::new()
        })
    }

    /// The handles of these values; fewer where they cannot be had.
    async fn kept(
        &self,
        secrets: &[(SecretString, String)],
        (tool, about): (&str, &str),
        principal: &Principal,
    ) -> Vec<HandleId> {
        let Some(vault) = &self.vault else { return Vec::new() };
        let origin = |place: &str| Origin { tool: tool.to_owned(), place: place.to_owned(), about: about.to_owned() };
        let values: Vec<(SecretString, Origin)> =
            secrets.iter().take(MOST).map(|(value, place)| (value.clone(), origin(place))).collect();
        let (owner, life) = (principal.binding(), self.life);
        let kept = vault.work(move |store| {
            let values: Vec<Kept<'_>> =
                values.iter().map(|(value, origin)| Kept { value, origin: origin.clone() }).collect();
            store.keep(&owner, &values, life)
        });
        match kept.await {
            Ok(ids) => {
                vault.remember_these(principal, &ids).await;
                ids
            }
            Err(error) => {
                tracing::warn!(%error, "no handle can be made, so a secret is masked");
                Vec::new()
            }
        }
    }

    fn known(&self, principal: &Principal) -> Option<Arc<Known>> {
        self.vault.as_ref()?.known(principal).filter(|known| !known.ids.is_empty())
    }
}

impl fmt::Debug for Glass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Glass").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Whose result is hidden, and from whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResultOf<'a> {
    /// The tool.
    pub(crate) tool: &'a str,
    /// Whether it changes anything: what it answers may not be had again.
    pub(crate) changes: bool,
    /// Where its schema marks secrets.
    pub(crate) marks: Option<&'a Marks>,
    /// What the tool was called with.
    pub(crate) arguments: &'a Value,
    /// Who sees it.
    pub(crate) principal: &'a Principal,
}

/// What a call is about, for a person: the name or the id among its arguments.
fn about(arguments: &Value) -> String {
    const MOST: usize = 80;
    let named = ["name", "id"].into_iter().find_map(|name| arguments.get(name)?.as_str());
    named.unwrap_or_default().chars().take(MOST).collect()
}

/// A text with what has the form of a secret masked.
fn masked_forms(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut end = 0;
    for range in secrets_in(text) {
        masked.push_str(text.get(end..range.start).unwrap_or_default());
        masked.push_str(MASKED);
        end = range.end;
    }
    if end == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(text.get(end..).unwrap_or_default());
    Cow::Owned(masked)
}

/// A text with something in the place of all that is found in it, by the number of its pattern.
fn replaced(search: &AhoCorasick, text: &str, stand_in: impl Fn(usize) -> String) -> String {
    let mut replaced = String::with_capacity(text.len());
    search.replace_all_with(text, &mut replaced, |found, _, replaced| {
        replaced.push_str(&stand_in(found.pattern().as_usize()));
        true
    });
    replaced
}

/// How long the texts of a value are together, in bytes.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(members) => members.iter().map(|(name, member)| name.len() + text_bytes(member)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => size_of::<u64>(),
    }
}

/// Changes texts of a value, names of members among them, to what is given for each. A number counts as its text, where all
/// of that is changed.
fn each_text(value: &mut Value, change: &mut impl FnMut(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(changed) = change(text) {
                *text = changed;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| each_text(member, change));
            if members.keys().any(|name| change(name).is_some()) {
                *members = renamed(std::mem::take(members), &mut *change);
            }
        }
        Value::Number(number) => {
            // Most are too short for what is looked for.
            if number.as_u64().is_none_or(|number| number >= LEAST_NUMBER)
                && let Some(changed) = change(&number.to_string())
                && (changed == MASKED || changed.parse::<HandleId>().is_ok())
            {
                *value = Value::String(changed);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
