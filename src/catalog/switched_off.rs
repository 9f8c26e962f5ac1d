//! What a catalog has and the operator does not offer: taken out of every list, and known by name, so that whoever asks for
//! it hears why.
//!
//! What is taken out cannot be called by any way there is, and a call costs nothing for it.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::{
    Catalog, CompiledResource, CompiledTool,
    resource::ResourceSource,
    risk::{Assessed, Risk},
};
use crate::access::{Offer, Restrictions, restrictions};

/// What is not offered.
#[derive(Debug, Default)]
pub(super) struct SwitchedOff {
    /// By name, with the setting that says so.
    tools: IndexMap<String, (CompiledTool, String)>,
    resources: Vec<CompiledResource>,
}

impl Catalog {
    /// Gives tools the classes that the operator states. Returns a sentence on each name that no tool has.
    pub fn set_risks(&mut self, stated: &BTreeMap<String, Risk>) -> Vec<String> {
        let mut remarks = Vec::new();
        for (name, class) in stated {
            let offered = self.offered_name(name).to_owned();
            let Some(tool) = self.tools.get_mut(&offered) else {
                let known = self.names();
                remarks.push(restrictions::unknown("risks", "tool", name, &known));
                continue;
            };
            tool.risk = Assessed::new(*class, "set by the operator");
            tool.hints.read_only = *class == Risk::Read;
            tool.hints = tool.hints.of_class(*class);
        }
        remarks
    }

    /// Takes out what the operator does not offer. Returns a sentence on each name in the settings that nothing has.
    pub fn switch_off(&mut self, restrictions: &Restrictions) -> Vec<String> {
        if restrictions.is_empty() {
            return Vec::new();
        }
        let remarks = restrictions.unknown(&self.groups(), &self.names());
        let off = &mut self.switched_off;
        let (mut kept, mut aliases) = (IndexMap::new(), std::mem::take(&mut self.aliases));
        let mut own: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, offered) in &aliases {
            own.entry(offered).or_default().push(name);
        }
        for (name, tool) in std::mem::take(&mut self.tools) {
            let own = own.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            match restrictions.refusal(&Offer::from(&tool), own) {
                Some(by) => drop(off.tools.insert(name, (tool, by))),
                None => drop(kept.insert(name, tool)),
            }
        }
        aliases.retain(|_, name| kept.contains_key(name) || off.tools.contains_key(name));
        (self.tools, self.aliases) = (kept, aliases);
        off.resources = self.resources.take_out(|resource| restrictions.refusal(&Offer::from(resource), &[]).is_some());
        self.prompts.retain(|_, prompt| restrictions.refusal(&Offer::from(&*prompt), &[]).is_none());
        remarks
    }

    /// The names of all tools that are offered: those they are offered under, and those of specs that cannot be.
    pub fn names(&self) -> BTreeSet<&str> {
        self.tools.keys().chain(self.aliases.keys()).map(String::as_str).collect()
    }

    /// The tool of this name that the operator does not offer, and by which setting.
    pub fn switched_off(&self, name: &str) -> Option<(&CompiledTool, &str)> {
        let tools = &self.switched_off.tools;
        let (tool, by) = tools.get(name).or_else(|| tools.get(self.aliases.get(name)?))?;
        Some((tool, by))
    }

    /// Whether a word of a text surely names a tool that the operator does not offer. A single word, as `search`, is as likely
    /// meant as such.
    pub fn is_gone(&self, word: &str) -> bool {
        word.contains(['_', '-']) && self.switched_off(word).is_some()
    }

    /// All that could be done if nothing were switched off: what is read for resources too.
    pub fn everything(&self) -> impl Iterator<Item = &CompiledTool> {
        let resources = self.resources.iter().chain(&self.switched_off.resources);
        let read = resources.filter_map(|resource| match &resource.source {
            ResourceSource::Answer(tool) => Some(&**tool),
            ResourceSource::Folder(_) => None,
        });
        self.tools.values().chain(self.switched_off.tools.values().map(|(tool, _)| tool)).chain(read)
    }
}
