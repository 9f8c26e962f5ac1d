//! A short guide to each group of tools, as a prompt: what they are for, what each does, how to begin, what to do about
//! errors. Written for the caller who asks: it names no tool that this caller may not use. Must not know MCP.

use std::{collections::BTreeSet, sync::Arc};

use indexmap::IndexMap;
use serde_json::Value;

use crate::{
    access::{Access, GateId},
    catalog::{
        Catalog, CompiledTool,
        gate::gate_of,
        group::Groups,
        names::{readable, snake_case},
        risk::Risk,
    },
    diagnostic::SourceMap,
    policy::Policy,
    prose::{clauses, tidy},
    spec::Workspace,
};

/// The longest guide, in characters: it is read whole before the first call.
const MAX_GUIDE: usize = 1_600;
/// The longest text on what a group is for, in characters.
const MAX_ABOUT: usize = 300;
/// The longest text on a tool, in characters.
const MAX_LINE: usize = 90;

/// What to do when a call fails.
const ON_ERRORS: &str = "If a call fails, read the whole message: it names what to correct and says whether the same call \
                         may help. If a setting or a credential is missing, tell me what the message asks for and stop. \
                         If a call that changes something gives no answer, look at the current state before you repeat it.";

/// How a secret is given.
const ON_SECRETS: &str =
    "Give a secret as a handle, `secret://…`, from a result, or as `secret://ask`: then I am asked for it.";

/// The guides, in the order of the groups.
#[derive(Debug, Default)]
pub struct Guides(Vec<Guide>);

/// A guide to one group.
#[derive(Debug)]
pub struct Guide {
    /// The name of the prompt. No other prompt has it.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// What it is for.
    pub description: String,
    group: Arc<str>,
    /// What the servers of the group say of themselves, with the gate before each.
    about: Vec<(Option<GateId>, String)>,
    /// Whether a tool of the group takes handles of secrets.
    takes_secrets: bool,
}

impl Guides {
    /// A guide to each group that has tools.
    pub fn new((workspace, sources): (&Workspace, &SourceMap), catalog: &Catalog, policy: &Policy) -> Self {
        let mut about: IndexMap<Arc<str>, Vec<(Option<GateId>, String)>> = IndexMap::new();
        for tool in catalog.tools() {
            about.entry(Arc::clone(&tool.group)).or_default();
        }
        for document in &workspace.documents {
            let groups = Groups::of(document, sources);
            for (place, server) in document.servers.iter().enumerate() {
                let described = server.description.as_ref().or(document.info.description.as_ref());
                let texts = about.get_mut(&groups.of_server(place));
                let Some((description, texts)) = described.zip(texts) else { continue };
                let text = tidy(description.value.trim());
                let text = clauses::without(&text, |word| catalog.is_gone(word));
                let text = first_sentence(&text, MAX_ABOUT);
                if !text.is_empty() && texts.iter().all(|(_, known)| *known != text) {
                    texts.push((gate_of(document, place, sources), text));
                }
            }
        }
        let mut guides: Vec<Guide> = Vec::new();
        for (group, about) in about {
            let is_taken = |name: &str| catalog.prompt(name).is_some() || guides.iter().any(|guide| guide.name == name);
            let plain = format!("guide_{}", snake_case(&group)).trim_end_matches('_').to_owned();
            let numbered = (1_usize..).map(|number| match number {
                1 => plain.clone(),
                number => format!("{plain}_{number}"),
            });
            let Some(name) = numbered.into_iter().find(|name| !is_taken(name)) else { continue };
            let title = format!("Guide: {}", readable(&group));
            let description =
                format!("How to work with the `{group}` tools: what each does, how to begin, what to do about errors.");
            let takes_secrets = catalog.tools().any(|tool| tool.group == group && policy.may_want_values(tool));
            guides.push(Guide { name, title, description, group, about, takes_secrets });
        }
        Self(guides)
    }

    /// Those that a caller has a use for.
    pub fn open_to<'a>(&'a self, catalog: &'a Catalog, access: &'a Access) -> impl Iterator<Item = &'a Guide> {
        self.0.iter().filter(|guide| guide.tools(catalog, access).next().is_some())
    }

    /// The guide of this name, where the caller has a use for it.
    pub fn find(&self, name: &str, catalog: &Catalog, access: &Access) -> Option<&Guide> {
        let guide = self.0.iter().find(|guide| guide.name == name)?;
        guide.tools(catalog, access).next()?;
        Some(guide)
    }
}

impl Guide {
    /// What it says to a caller.
    pub fn text(&self, catalog: &Catalog, access: &Access) -> String {
        let tools: Vec<&CompiledTool> = self.tools(catalog, access).collect();
        let about =
            self.about.iter().filter(|(gate, _)| access.hears_of(*gate, &self.group)).map(|(_, text)| text.as_str());
        let mut intro = format!("Please help me with the `{}` tools.", self.group);
        for text in about {
            if intro.chars().count() + text.chars().count() > MAX_ABOUT + 60 {
                break;
            }
            intro.push(' ');
            intro.push_str(text);
            intro.push_str(if text.ends_with(['.', '!', '?', '…']) { "" } else { "." });
        }
        let takes_secrets = self.takes_secrets && tools.iter().any(|tool| tool.input.marks().is_some());
        let on_secrets = takes_secrets.then(|| ON_SECRETS.to_owned());
        let rest = [Some(beginning(&tools)), caution(&tools), on_secrets, Some(ON_ERRORS.to_owned())];
        let rest = rest.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
        let room = MAX_GUIDE.saturating_sub(intro.chars().count() + rest.chars().count() + "\n\n\n\n".len());
        format!("{intro}\n\n{}\n\n{rest}", lines(&tools, room))
    }

    fn tools<'a>(&self, catalog: &'a Catalog, access: &'a Access) -> impl Iterator<Item = &'a CompiledTool> {
        let group = Arc::clone(&self.group);
        catalog.tools().filter(move |tool| tool.group == group && access.allows(*tool))
    }
}

/// A line for each tool, in so many characters: without what they do where that is too much, and at last without all of
/// them.
fn lines(tools: &[&CompiledTool], room: usize) -> String {
    let full = tools.iter().map(|tool| {
        let what = first_sentence(&tool.description, MAX_LINE);
        format!("- `{}` ({}): {what}", tool.name, tool.risk.class)
    });
    let full = full.collect::<Vec<_>>().join("\n");
    if full.chars().count() <= room {
        return full;
    }
    let (mut text, mut left) = (String::new(), tools.len());
    for tool in tools {
        let line = format!("- `{}` ({})\n", tool.name, tool.risk.class);
        if text.chars().count() + line.chars().count() + "- and 10000 more that `tools/list` has".len() > room {
            break;
        }
        text.push_str(&line);
        left -= 1;
    }
    if left > 0 {
        text.push_str(&format!("- and {left} more that `tools/list` has"));
    }
    text.trim_end().to_owned()
}

/// What to call first.
fn beginning(tools: &[&CompiledTool]) -> String {
    let asks_for_nothing = |tool: &&&CompiledTool| {
        let schema = tool.input.listed();
        schema.get("required").and_then(Value::as_array).is_none_or(|required| required.is_empty())
    };
    let mut reading = tools.iter().filter(|tool| tool.risk.class == Risk::Read);
    match reading.clone().find(asks_for_nothing).or_else(|| reading.next()) {
        Some(tool) => format!(
            "Begin with `{}`: it changes nothing and shows the names and ids that other tools ask for. Leave out what a \
             tool does not require, unless I ask for it.",
            tool.name
        ),
        None => "None of them only reads, so ask me for the names and ids that they need, and guess none.".to_owned(),
    }
}

/// What to ask before.
fn caution(tools: &[&CompiledTool]) -> Option<String> {
    let is_grave = |tool: &&&CompiledTool| tool.risk.class.is_grave();
    let grave: Vec<String> = tools.iter().filter(is_grave).map(|tool| format!("`{}`", tool.name)).collect();
    let named = match grave.as_slice() {
        [] => return None,
        [one] => one.clone(),
        [one, two] => format!("{one} or {two}"),
        _ => {
            let classes: BTreeSet<Risk> = tools.iter().filter(is_grave).map(|tool| tool.risk.class).collect();
            let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
            format!("a tool marked {}", classes.join(" or "))
        }
    };
    Some(format!(
        "Before you call {named}, tell me what it takes away or overwrites, runs or grants, and wait for my answer."
    ))
}

/// The first sentence of a text, in one line and no longer than this many characters.
fn first_sentence(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.match_indices(['.', '!', '?']).map(|(at, mark)| at + mark.len());
    let end = end.into_iter().find(|end| line.get(*end..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')));
    let sentence = end.and_then(|end| line.get(..end)).unwrap_or(&line);
    match sentence.char_indices().nth(limit) {
        None => sentence.to_owned(),
        Some(_) => {
            let cut: String = sentence.chars().take(limit - 1).collect();
            let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
            format!("{}…", whole.trim_end_matches([',', ';', ':']))
        }
    }
}
