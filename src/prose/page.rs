//! A text taken apart: which of its tags count, and where each element ends. Must not know Markdown but for its code.

use std::collections::HashMap;

use super::{ELEMENTS, Kind, characters::characters};

/// Elements that have no end.
pub(super) const VOID: [&str; 3] = ["br", "hr", "img"];
/// The most bytes of a tag or a comment.
const MAX_TAG: usize = 4_000;

/// A piece of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// Markdown code, with its marks; also what else stays as it is.
    Verbatim(&'a str),
    Comment(&'a str),
    Start(Tag<'a>),
    End(Tag<'a>),
}

/// A tag as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    source: &'a str,
    pub(super) name: &'a str,
    attributes: &'a str,
    is_closed: bool,
}

/// A text that has HTML in it.
pub(super) struct Page<'a> {
    pub(super) parts: Vec<Part<'a>>,
    /// What each part is, where it is a tag that counts: the element, and for a start where that ends.
    pub(super) elements: Vec<Option<(Kind, Option<usize>)>>,
}

impl<'a> Page<'a> {
    /// `None` where no tag counts.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut parts = split(text);
        let kinds = parts.iter().map(|part| match part {
            Part::Start(tag) | Part::End(tag) => Kind::of(&tag.name.to_ascii_lowercase()),
            _ => None,
        });
        let kinds: Vec<Option<Kind>> = kinds.collect();
        let first = parts.iter().position(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
        let whole = first.and_then(|first| *kinds.get(first)?).is_some_and(Kind::begins_page)
            && first.is_some_and(|first| matches!(parts.get(first), Some(Part::Start(_))));
        let pairs = pairs(&parts);
        let in_xml = in_xml(&pairs, &kinds);
        let mut elements = Vec::with_capacity(parts.len());
        let mut before = "";
        for (index, part) in parts.iter().enumerate() {
            let kind = kinds.get(index).copied().flatten().filter(|_| in_xml.get(index) != Some(&true));
            let pair = pairs.get(index).copied().flatten();
            let element = kind.and_then(|kind| match part {
                Part::Start(tag) => {
                    let is_void = VOID.iter().any(|name| tag.name.eq_ignore_ascii_case(name));
                    let unclosed = matches!(kind, Kind::Paragraph | Kind::Item)
                        && !before.ends_with(|last: char| last.is_alphanumeric() || "/<\"'`{=".contains(last));
                    let counts = is_void || pair.is_some() || whole || unclosed || tag.attributes.contains('=');
                    let cut_off = (whole && !kind.begins_page() && !is_void).then_some(parts.len());
                    counts.then_some((kind, pair.or(cut_off)))
                }
                Part::End(_) => (pair.is_some() || whole || kind.begins_page()).then_some((kind, pair)),
                _ => None,
            });
            elements.push(element);
            before = part.source();
        }
        let is_html = elements.iter().any(Option::is_some) || parts.iter().any(|part| matches!(part, Part::Comment(_)));
        if let (true, Some(Part::Text(last))) = (whole, parts.last_mut()) {
            *last = without_stump(last);
        }
        is_html.then_some(Self { parts, elements })
    }
}

impl<'a> Part<'a> {
    pub(super) fn source(&self) -> &'a str {
        match self {
            Self::Text(source) | Self::Verbatim(source) | Self::Comment(source) => source,
            Self::Start(tag) | Self::End(tag) => tag.source,
        }
    }
}

/// The parts of a text, tags of whatever name among them.
pub(super) fn split(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = rest.get(from..).and_then(|unread| unread.find(['<', '`', '\\'])).map(|at| from + at) {
        let (Some(before), Some(here)) = (rest.get(..at), rest.get(at..)) else { break };
        match special(here) {
            Ok(part) => {
                if !before.is_empty() {
                    parts.push(Part::Text(before));
                }
                parts.push(part);
                rest = here.get(part.source().len()..).unwrap_or_default();
                from = 0;
            }
            Err(plain) => from = at + plain,
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// What begins a text, be it a tag, a comment or code; else how many bytes of it are plain text for certain.
fn special(text: &str) -> Result<Part<'_>, usize> {
    if let Some(escaped) = text.strip_prefix('\\') {
        return Err(1 + usize::from(escaped.starts_with(['<', '`'])));
    }
    if text.starts_with('`') {
        let fence = text.len() - text.trim_start_matches('`').len();
        let code = closed_code(text, fence).and_then(|length| text.get(..length));
        return code.map(Part::Verbatim).ok_or(fence);
    }
    let near = (MAX_TAG - 3..=MAX_TAG).rev().find_map(|end| text.get(..end)).unwrap_or(text);
    if near.starts_with("<!--") {
        let end = near.find("-->").map(|start| start + "-->".len());
        return end.and_then(|end| near.get(..end)).map(Part::Comment).ok_or(1);
    }
    tag(near).ok_or(1)
}

/// How long code is that begins with so many backticks: to the next run of as many.
fn closed_code(text: &str, fence: usize) -> Option<usize> {
    let mut at = fence;
    loop {
        let rest = text.get(at..)?;
        let start = at + rest.find('`')?;
        let run = text.get(start..)?;
        let length = run.len() - run.trim_start_matches('`').len();
        at = start + length;
        if length == fence {
            return Some(at);
        }
    }
}

/// The tag that a text begins with.
fn tag(text: &str) -> Option<Part<'_>> {
    let inner = text.strip_prefix('<')?;
    let (inner, ends) = inner.strip_prefix('/').map_or((inner, false), |inner| (inner, true));
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_:.".contains(letter);
    let length = inner.find(|letter| !is_name(letter))?;
    let (name, attributes) = inner.split_at_checked(length)?;
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let mut rest = attributes;
    while let Some((_, _, behind)) = attribute(rest).filter(|_| !ends) {
        rest = behind;
    }
    let end = rest.trim_start();
    let (end, is_closed) = end.strip_prefix('/').map_or((end, false), |end| (end, true));
    let behind = end.strip_prefix('>')?;
    let source = text.get(..text.len() - behind.len())?;
    let attributes = attributes.get(..attributes.len() - rest.len())?;
    let tag = Tag { source, name, attributes, is_closed };
    Some(if ends { Part::End(tag) } else { Part::Start(tag) })
}

/// The attribute that a text begins with: its name, its value and what comes behind.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.strip_prefix(char::is_whitespace)?.trim_start();
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_:.@".contains(letter);
    let length = text.find(|letter| !is_name(letter)).filter(|length| *length > 0)?;
    let (name, rest) = text.split_at_checked(length)?;
    let Some(value) = rest.trim_start().strip_prefix('=').map(str::trim_start) else { return Some((name, "", rest)) };
    for quote in ['"', '\''] {
        if let Some(value) = value.strip_prefix(quote) {
            let (value, rest) = value.split_once(quote)?;
            return Some((name, value, rest));
        }
    }
    let length = value.find(|letter: char| letter.is_whitespace() || "\"'<>=`".contains(letter))?;
    let (value, rest) = value.split_at_checked(length).filter(|(value, _)| !value.is_empty())?;
    Some((name, value, rest))
}

impl Tag<'_> {
    pub(super) fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some((name, value, behind)) = attribute(rest) {
            if name.eq_ignore_ascii_case(wanted) {
                return Some(characters(value).trim().to_owned());
            }
            rest = behind;
        }
        None
    }
}

/// For each start of an element its end, and for each end its start.
fn pairs(parts: &[Part<'_>]) -> Vec<Option<usize>> {
    let mut pairs = vec![None; parts.len()];
    let mut open: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Start(tag) if !tag.is_closed => open.entry(tag.name.to_ascii_lowercase()).or_default().push(index),
            Part::End(tag) => {
                let Some(start) = open.get_mut(&tag.name.to_ascii_lowercase()).and_then(Vec::pop) else { continue };
                for (one, other) in [(start, index), (index, start)] {
                    if let Some(pair) = pairs.get_mut(one) {
                        *pair = Some(other);
                    }
                }
            }
            _ => {}
        }
    }
    pairs
}

/// Which parts lie in an element that is none of HTML.
fn in_xml(pairs: &[Option<usize>], kinds: &[Option<Kind>]) -> Vec<bool> {
    let mut end = 0;
    let within = pairs.iter().zip(kinds).enumerate().map(|(index, (pair, kind))| {
        if let (Some(pair), None) = (pair, kind) {
            end = end.max(*pair);
        }
        index < end
    });
    within.collect()
}

/// A text without the tag at its end that was cut off in the middle.
fn without_stump(text: &str) -> &str {
    let Some((before, stump)) = text.rsplit_once('<') else { return text };
    let stump = stump.strip_prefix('/').unwrap_or(stump);
    let name = stump.split(char::is_whitespace).next().unwrap_or_default().to_ascii_lowercase();
    let is_cut_name = name.len() == stump.len() && ELEMENTS.iter().any(|(known, _)| known.starts_with(&name));
    let is_cut_attribute = stump.contains('=') || stump.split_whitespace().count() <= 2;
    let is_stump = is_cut_name || (Kind::of(&name).is_some() && is_cut_attribute);
    if is_stump && !stump.contains('>') { before } else { text }
}
