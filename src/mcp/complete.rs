//! Values for what a person is filling in: which there are, which of them fit what was typed, and those that were listed a
//! moment ago.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rmcp::{
    ErrorData, RoleServer,
    model::{CompleteRequestParams, CompletionInfo, Reference},
    service::RequestContext,
};
use serde_json::Value;

use super::{
    McpServer,
    lists::{self, PromptEntry, TemplateEntry},
    request_id,
};
use crate::{
    access::Access,
    call::{CallContext, Content, Read},
    caller::{Caller, Principal},
    catalog::{
        JsonObject,
        complete::{Choices, Listing},
    },
    error::CallError,
    gateway::Gateway,
    nearest::nearest,
};

/// How long a person waits for a list while typing.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a list is good for: every key that is typed asks for it again.
const FRESH: Duration = Duration::from_secs(10);
/// How many lists are kept.
const KEPT_LISTS: usize = 32;
/// The largest list that is kept, in values.
const KEPT_VALUES: usize = 2_000;
/// How many other arguments may come with a request, and how many bytes each has at most.
const MAX_KNOWN: (usize, usize) = (100, 4_096);

/// The lists of a moment ago.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    key: Key,
    since: Instant,
    values: Arc<Vec<String>>,
}

/// For whom what was completed, and what was known of the other arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(Principal, String, String);

impl Recent {
    fn get(&self, key: &Key) -> Option<Arc<Vec<String>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|kept| kept.key == *key && kept.since.elapsed() < FRESH)?;
        Some(Arc::clone(&found.values))
    }

    fn keep(&self, key: Key, values: Arc<Vec<String>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|known| known.key != key && known.since.elapsed() < FRESH);
        kept.truncate(KEPT_LISTS - 1);
        if values.len() <= KEPT_VALUES {
            kept.push_front(Kept { key, since: Instant::now(), values });
        }
    }

    /// Forgets all: other specs are served.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl McpServer {
    /// The values that fit what a client has so far.
    pub(super) async fn values(
        &self,
        request: &CompleteRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CompletionInfo, ErrorData> {
        let (caller, gateway) = (self.caller(context), self.served());
        let origin = self.origin(&gateway, &caller, (context.client_info().as_ref(), "completion/complete"));
        let Caller { principal, access, backend_key } = caller;
        let CompleteRequestParams { r#ref: reference, argument, context: known, .. } = request;
        let known = known.iter().filter_map(|known| known.arguments.as_ref()).flatten();
        let asked = asked(&gateway, (&principal, &access), (reference, &argument.name), known)?;
        // What a key of the caller's own opens is nobody else's.
        let is_own = backend_key.is_some();
        let kept = self.shared.recent.get(&asked.key).filter(|_| !is_own);
        let listed = match (&asked.choices.listing, kept) {
            (None, _) => Arc::default(),
            (Some(_), Some(kept)) => kept,
            (Some(listing), None) => {
                let request_id = request_id()?;
                let call_context =
                    CallContext { caller_key: backend_key, principal, access, origin, ..CallContext::new(&request_id) };
                let listing = listed(&gateway, listing, &asked.known, &call_context);
                match self.awaited_for(listing, None, ("completion", &request_id), context).await? {
                    Ok(values) => {
                        let values = Arc::new(values);
                        if !is_own {
                            self.shared.recent.keep(asked.key.clone(), Arc::clone(&values));
                        }
                        values
                    }
                    // Whoever types goes on without.
                    Err(error) => {
                        tracing::warn!(request_id, %error, "no values could be listed for what is completed");
                        Arc::default()
                    }
                }
            }
        };
        let stated = asked.choices.fixed.iter();
        let more = listed.iter().filter(|value| !asked.choices.fixed.contains(value));
        Ok(fitting(stated.chain(more).map(String::as_str), &argument.value))
    }
}

/// What a request for values is about.
struct Asked {
    choices: Choices,
    key: Key,
    known: JsonObject,
}

/// What may be chosen from for what a client refers to. Error: it refers to nothing that this caller knows.
fn asked<'a>(
    gateway: &Gateway,
    (principal, access): (&Principal, &Access),
    (reference, argument): (&Reference, &str),
    known: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<Asked, ErrorData> {
    let (of, choices) = match reference {
        Reference::Prompt(prompt) => (&prompt.name, of_prompt(gateway, access, &prompt.name, argument)?),
        Reference::Resource(resource) => (&resource.uri, of_template(gateway, access, &resource.uri, argument)?),
        _ => {
            return Err(ErrorData::invalid_params(
                "unknown kind of `ref`; expected `ref/prompt` or `ref/resource`",
                None,
            ));
        }
    };
    let (count, bytes) = MAX_KNOWN;
    let known = known.into_iter().filter(|(name, value)| *name != argument && value.len() <= bytes).take(count);
    let mut known: Vec<(String, Value)> =
        known.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    known.sort_by(|(one, _), (other, _)| one.cmp(other)); // a client may send them in any order
    let known = JsonObject::from_iter(known);
    let key = Key(principal.clone(), format!("{of}\0{argument}"), Value::Object(known.clone()).to_string());
    Ok(Asked { choices, key, known })
}

fn of_prompt(gateway: &Gateway, access: &Access, name: &str, argument: &str) -> Result<Choices, ErrorData> {
    let own = gateway.catalog.prompt(name).filter(|prompt| access.allows(*prompt));
    let Some(prompt) = own else {
        if gateway.guides.find(name, &gateway.catalog, access).is_some() {
            return Err(unknown("argument", argument, " of this prompt", std::iter::empty()));
        }
        let names = lists::prompts(gateway, access).map(PromptEntry::name);
        return Err(unknown("prompt", name, "; `prompts/list` has all names", names));
    };
    let found = prompt.arguments.iter().find(|known| known.name == argument);
    found.map(|argument| argument.choices.clone()).ok_or_else(|| {
        let names = prompt.arguments.iter().map(|argument| argument.name.as_str());
        unknown("argument", argument, " of this prompt", names)
    })
}

fn of_template(gateway: &Gateway, access: &Access, uri: &str, argument: &str) -> Result<Choices, ErrorData> {
    let found = lists::templates(gateway, access).find(|entry| entry.uri() == uri);
    let (choices, names) = match found {
        Some(TemplateEntry::Own(resource)) => (resource.choices(argument), resource.uri.placeholders().collect()),
        Some(TemplateEntry::Originals(kind)) => {
            let of_kind = gateway.originals.open_to(access).filter(|original| original.kind == kind);
            let fixed = of_kind.map(|original| original.name.clone()).collect();
            ((argument == "name").then_some(Choices { fixed, listing: None }), vec!["name"])
        }
        // A URI without placeholders has nothing to fill in.
        None if !uri.contains('{') && lists::is_readable(gateway, uri, access) => (None, Vec::new()),
        None => {
            let templates: Vec<String> = lists::templates(gateway, access).map(TemplateEntry::uri).collect();
            let names = templates.iter().map(String::as_str);
            return Err(unknown("resource template", uri, "; `resources/templates/list` has all", names));
        }
    };
    choices.ok_or_else(|| unknown("placeholder", argument, " of this URI", names.into_iter()))
}

/// That there is nothing of a name. The name is not repeated: a client may have mixed up its fields.
fn unknown<'a>(what: &str, given: &str, of: &str, known: impl Iterator<Item = &'a str>) -> ErrorData {
    let (of, more) = if of.starts_with(';') { ("", of) } else { (of, "") };
    let message = match nearest(given, known) {
        Some(near) => format!("unknown {what}{of}; did you mean `{near}`?{}", more.trim_start_matches(';')),
        None => format!("unknown {what}{of}{more}"),
    };
    ErrorData::invalid_params(message, None)
}

/// What an operation lists.
async fn listed(
    gateway: &Gateway,
    listing: &Listing,
    known: &JsonObject,
    context: &CallContext,
) -> Result<Vec<String>, CallError> {
    let Some((resource, target)) = listing.target(known) else { return Ok(Vec::new()) };
    let reading = tokio::time::timeout(DEADLINE, Box::pin(gateway.read(resource, target, context)));
    match reading.await.map_err(|_| CallError::Timeout(DEADLINE))?? {
        Read::Content(Content::Text { text, .. }) => Ok(listing.values(&text).unwrap_or_else(|problem| {
            tracing::warn!(problem, "no values could be taken out of an answer");
            Vec::new()
        })),
        // Bytes are no names, and nobody is asked anything for a completion.
        Read::Content(Content::Binary(_)) | Read::Returned(_) | Read::Paused(_) => Ok(Vec::new()),
    }
}

/// The values that fit what was typed, however it is capitalised: those that begin with it first.
fn fitting<'a>(values: impl IntoIterator<Item = &'a str>, typed: &str) -> CompletionInfo {
    let typed = typed.to_lowercase();
    let (mut beginning, mut within) = (Vec::new(), Vec::new());
    for value in values {
        match value.to_lowercase().find(&typed) {
            Some(0) => beginning.push(value),
            Some(_) => within.push(value),
            None => {}
        }
    }
    let total = beginning.len() + within.len();
    let shown = beginning.into_iter().chain(within).take(CompletionInfo::MAX_VALUES).map(str::to_owned);
    let mut info = CompletionInfo::default();
    info.values = shown.collect();
    info.total = Some(u32::try_from(total).unwrap_or(u32::MAX));
    info.has_more = Some(total > info.values.len());
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_begin_so_come_first() {
        let info = fitting(["Berlin", "Bonn", "Lübeck", "BERN", "Oberbergen"], "be");
        assert_eq!(info.values, ["Berlin", "BERN", "Lübeck", "Oberbergen"]);
        assert_eq!((info.total, info.has_more), (Some(4), Some(false)));
        assert_eq!(fitting(["a", "B"], "").values, ["a", "B"]);
        assert_eq!(fitting(["Straße"], "STRASSE").total, Some(0));
    }

    #[test]
    fn no_more_than_a_hundred_are_shown() {
        let values: Vec<String> = (0..250).map(|number| format!("x{number}")).collect();
        let info = fitting(values.iter().map(String::as_str), "x");
        assert_eq!((info.values.len(), info.total, info.has_more), (100, Some(250), Some(true)));
    }

    #[test]
    fn few_lists_are_kept_and_none_that_is_very_long() {
        let recent = Recent::default();
        let key = |number: usize| Key(Caller::local().principal, number.to_string(), String::new());
        for number in 0..KEPT_LISTS + 5 {
            recent.keep(key(number), Arc::new(vec![number.to_string()]));
        }
        assert_eq!(recent.get(&key(4)), None, "the oldest go first");
        assert_eq!(recent.get(&key(KEPT_LISTS)).map(|values| values.len()), Some(1));
        recent.keep(key(99), Arc::new(vec![String::new(); KEPT_VALUES + 1]));
        assert_eq!(recent.get(&key(99)), None);
        recent.clear();
        assert_eq!(recent.get(&key(KEPT_LISTS)), None);
    }
}
