//! Texts that people wrote for people: HTML in them as Markdown, which models and clients read. Must not know what a text
//! describes.
//!
//! Descriptions are CommonMark by the standards they come from, with HTML in it, whole or cut off. A tag counts only
//! where it is surely one: a name of HTML that is closed again, or that begins the text. `<id>`, `List<b>` and `a < b`
//! stay, and so does all that stands in code or in XML.

use std::{borrow::Cow, collections::HashMap};

/// What an element does to the text in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Stands in paragraphs of its own.
    Block,
    /// A block in which line breaks say nothing.
    Paragraph,
    /// A heading of a level.
    Heading(usize),
    List,
    NumberedList,
    Item,
    Row,
    Cell,
    /// A line break.
    Break,
    Image,
    Link,
    Strong,
    Emphasis,
    Code,
    /// Code in lines of its own.
    CodeBlock,
    /// Says nothing that Markdown can say.
    Plain,
}

/// The elements of HTML that descriptions have. A name that is as well an ordinary word of placeholders (`title`, `data`,
/// `object`) is none of them.
const ELEMENTS: [(&str, Kind); 50] = [
    ("a", Kind::Link),
    ("b", Kind::Strong),
    ("big", Kind::Plain),
    ("blockquote", Kind::Block),
    ("br", Kind::Break),
    ("center", Kind::Block),
    ("code", Kind::Code),
    ("dd", Kind::Paragraph),
    ("del", Kind::Plain),
    ("details", Kind::Block),
    ("div", Kind::Block),
    ("dl", Kind::Block),
    ("dt", Kind::Paragraph),
    ("em", Kind::Emphasis),
    ("font", Kind::Plain),
    ("h1", Kind::Heading(1)),
    ("h2", Kind::Heading(2)),
    ("h3", Kind::Heading(3)),
    ("h4", Kind::Heading(4)),
    ("h5", Kind::Heading(5)),
    ("h6", Kind::Heading(6)),
    ("hr", Kind::Block),
    ("i", Kind::Emphasis),
    ("img", Kind::Image),
    ("ins", Kind::Plain),
    ("kbd", Kind::Code),
    ("li", Kind::Item),
    ("ol", Kind::NumberedList),
    ("p", Kind::Paragraph),
    ("pre", Kind::CodeBlock),
    ("s", Kind::Plain),
    ("samp", Kind::Code),
    ("section", Kind::Block),
    ("small", Kind::Plain),
    ("span", Kind::Plain),
    ("strike", Kind::Plain),
    ("strong", Kind::Strong),
    ("sub", Kind::Plain),
    ("summary", Kind::Paragraph),
    ("sup", Kind::Plain),
    ("table", Kind::Block),
    ("tbody", Kind::Block),
    ("td", Kind::Cell),
    ("tfoot", Kind::Block),
    ("th", Kind::Cell),
    ("thead", Kind::Block),
    ("tr", Kind::Row),
    ("tt", Kind::Code),
    ("u", Kind::Plain),
    ("ul", Kind::List),
];

/// The characters that descriptions name rather than write.
const CHARACTERS: [(&str, char); 26] = [
    ("amp", '&'),
    ("apos", '\''),
    ("bull", '•'),
    ("copy", '©'),
    ("deg", '°'),
    ("euro", '€'),
    ("ge", '≥'),
    ("gt", '>'),
    ("hellip", '…'),
    ("laquo", '«'),
    ("larr", '←'),
    ("ldquo", '“'),
    ("le", '≤'),
    ("lsquo", '‘'),
    ("lt", '<'),
    ("mdash", '—'),
    ("middot", '·'),
    ("nbsp", ' '),
    ("ndash", '–'),
    ("quot", '"'),
    ("raquo", '»'),
    ("rarr", '→'),
    ("rdquo", '”'),
    ("reg", '®'),
    ("rsquo", '’'),
    ("times", '×'),
];

/// Elements that have no end.
const VOID: [&str; 3] = ["br", "hr", "img"];
/// The most bytes of a tag or a comment.
const MAX_TAG: usize = 4_000;
/// The most lists or marks around a text that are written; no person nests deeper.
const MAX_DEPTH: usize = 8;

impl Kind {
    fn of(name: &str) -> Option<Self> {
        let index = ELEMENTS.binary_search_by(|(known, _)| known.cmp(&name)).ok()?;
        ELEMENTS.get(index).map(|(_, kind)| *kind)
    }

    /// Whether a text that begins with it is HTML.
    fn begins_page(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::Paragraph
                | Self::Heading(_)
                | Self::List
                | Self::NumberedList
                | Self::Item
                | Self::CodeBlock
        )
    }

    /// Whether line breaks in it say nothing.
    fn collapses(self) -> bool {
        matches!(self, Self::Paragraph | Self::Heading(_) | Self::Item | Self::Cell)
    }
}

/// A text without HTML: Markdown in its place. A text without tags of HTML is the same afterwards, to the letter.
pub fn without_html(text: &str) -> Cow<'_, str> {
    if !text.contains('<') {
        return Cow::Borrowed(text);
    }
    match Page::read(text) {
        Some(page) => Cow::Owned(Writer::new(&page).written()),
        None => Cow::Borrowed(text),
    }
}

/// A piece of a text.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Text(&'a str),
    /// Markdown code, with its marks; also what else stays as it is.
    Verbatim(&'a str),
    Comment(&'a str),
    Start(Tag<'a>),
    End(Tag<'a>),
}

/// A tag as it is written.
#[derive(Clone, Copy, Debug)]
struct Tag<'a> {
    source: &'a str,
    name: &'a str,
    attributes: &'a str,
    is_closed: bool,
}

/// A text that has HTML in it.
struct Page<'a> {
    parts: Vec<Part<'a>>,
    /// What each part is, where it is a tag that counts: the element, and for a start where that ends.
    elements: Vec<Option<(Kind, Option<usize>)>>,
}

impl<'a> Page<'a> {
    /// `None` where no tag counts.
    fn read(text: &'a str) -> Option<Self> {
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
    fn source(&self) -> &'a str {
        match self {
            Self::Text(source) | Self::Verbatim(source) | Self::Comment(source) => source,
            Self::Start(tag) | Self::End(tag) => tag.source,
        }
    }
}

/// The parts of a text, tags of whatever name among them.
fn split(text: &str) -> Vec<Part<'_>> {
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
    fn attribute(&self, wanted: &str) -> Option<String> {
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

/// A text with characters in the place of their names: `&lt;` → `<`.
fn characters(text: &str) -> Cow<'_, str> {
    /// As long as the longest of the names that are known.
    const MAX_NAME: usize = 8;
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut read = String::with_capacity(text.len());
    let mut pieces = text.split('&');
    read.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let named = piece.split_once(';').filter(|(name, _)| name.len() <= MAX_NAME);
        match named.and_then(|(name, rest)| Some((character(name)?, rest))) {
            Some((letter, rest)) => {
                read.push(letter);
                read.push_str(rest);
            }
            None => {
                read.push('&');
                read.push_str(piece);
            }
        }
    }
    Cow::Owned(read)
}

fn character(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return CHARACTERS.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter);
    };
    let number = match number.strip_prefix(['x', 'X']) {
        Some(number) => u32::from_str_radix(number, 16).ok()?,
        None => number.parse().ok()?,
    };
    let letter = char::from_u32(number)?;
    Some(if letter == '\u{a0}' { ' ' } else { letter }).filter(|letter| !letter.is_control() || letter.is_whitespace())
}

/// Writes a page as Markdown.
struct Writer<'a> {
    page: &'a Page<'a>,
    out: String,
    /// White space that stands before the next word, if there is one.
    gap: String,
    /// How many lines the next word begins below the last one.
    lines: usize,
    /// What the next word has before it: the mark of an item or a heading.
    prefix: String,
    /// Marks around text, until their end.
    marks: Vec<Mark>,
    lists: Vec<List>,
    /// How many elements there are around in which line breaks say nothing.
    collapsing: usize,
    /// How many cells the row has so far.
    cells: usize,
}

/// A list around items.
struct List {
    is_numbered: bool,
    /// How many items it has so far.
    items: usize,
}

/// A mark around text.
struct Mark {
    /// The part that ends it.
    end: usize,
    before: &'static str,
    after: String,
    /// Where the text in it begins, once there is some.
    start: Option<usize>,
}

impl<'a> Writer<'a> {
    fn new(page: &'a Page<'a>) -> Self {
        let (out, gap, prefix) = (String::new(), String::new(), String::new());
        let (marks, lists) = (Vec::new(), Vec::new());
        Self { page, out, gap, lines: 0, prefix, marks, lists, collapsing: 0, cells: 0 }
    }

    fn written(mut self) -> String {
        let page = self.page;
        let mut index = 0;
        while let Some(part) = page.parts.get(index) {
            let element = page.elements.get(index).copied().flatten();
            let mut next = index + 1;
            match (part, element) {
                (Part::Text(text), _) => self.text(text),
                (Part::Start(_), Some((kind @ (Kind::Code | Kind::CodeBlock), end))) => {
                    let end = end.unwrap_or(index);
                    self.code(page.parts.get(index + 1..end).unwrap_or_default(), kind == Kind::CodeBlock);
                    next = next.max(end + 1);
                }
                (Part::Start(tag), Some((kind, end))) => self.start(tag, kind, end),
                (Part::End(_), Some((kind, start))) => self.end(index, kind, start.is_some()),
                (Part::Comment(_), _) => {}
                (part, _) => self.word(part.source()),
            }
            index = next;
        }
        while let Some(mark) = self.marks.pop() {
            self.close(mark);
        }
        self.out
    }

    fn start(&mut self, tag: &Tag<'_>, kind: Kind, end: Option<usize>) {
        if kind.collapses() && end.is_some() {
            self.collapsing += 1;
        }
        match kind {
            Kind::Block | Kind::Paragraph => self.begin_line(2),
            Kind::Heading(level) => {
                self.begin_line(2);
                self.prefix = format!("{} ", "#".repeat(level));
            }
            Kind::List | Kind::NumberedList => {
                self.begin_line(if self.lists.is_empty() { 2 } else { 1 });
                self.lists.push(List { is_numbered: kind == Kind::NumberedList, items: 0 });
            }
            Kind::Item => {
                self.prefix.clear();
                self.begin_line(1);
                let indent = "  ".repeat(self.depth().saturating_sub(1));
                let is_nested = self.lists.len() > 1;
                let mut mark = "- ".to_owned();
                if let Some(list) = self.lists.last_mut() {
                    list.items += 1;
                    if is_nested || list.items > 1 {
                        self.lines = 1; // no paragraph of the item before makes the list a loose one
                    }
                    if list.is_numbered {
                        mark = format!("{}. ", list.items);
                    }
                }
                self.prefix = indent + &mark;
            }
            Kind::Row => {
                self.begin_line(1);
                self.cells = 0;
            }
            Kind::Cell => {
                if self.cells > 0 {
                    self.gap = format!("{} | ", self.gap.trim_end());
                }
                self.cells += 1;
            }
            Kind::Break => self.begin_line(1),
            Kind::Image => self.text(&tag.attribute("alt").unwrap_or_default()),
            Kind::Link => {
                // What is relative leads nowhere from here.
                let target = tag.attribute("href").filter(|target| {
                    ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
                        && !target.contains(|letter: char| letter.is_whitespace() || letter == ')')
                });
                if let Some(target) = target {
                    self.mark(end, "[", format!("]({target})"));
                }
            }
            Kind::Strong => self.mark(end, "**", "**".to_owned()),
            Kind::Emphasis => self.mark(end, "*", "*".to_owned()),
            Kind::Code | Kind::CodeBlock | Kind::Plain => {}
        }
    }

    fn end(&mut self, index: usize, kind: Kind, is_begun: bool) {
        if let Some(position) = self.marks.iter().rposition(|mark| mark.end == index) {
            let mark = self.marks.remove(position);
            self.close(mark);
        }
        if kind.collapses() && is_begun {
            self.collapsing = self.collapsing.saturating_sub(1);
        }
        match kind {
            Kind::Heading(_) => {
                self.prefix.clear();
                self.begin_line(2);
            }
            Kind::Item => {
                self.prefix.clear();
                self.begin_line(1);
            }
            Kind::List | Kind::NumberedList => {
                self.lists.pop();
                self.begin_line(if self.lists.is_empty() { 2 } else { 1 });
            }
            Kind::Block | Kind::Paragraph => self.begin_line(2),
            Kind::Row => self.begin_line(1),
            _ => {}
        }
    }

    fn mark(&mut self, end: Option<usize>, before: &'static str, after: String) {
        if let Some(end) = end.filter(|_| self.marks.len() < MAX_DEPTH) {
            self.marks.push(Mark { end, before, after, start: None });
        }
    }

    /// How many lists there are around, as far as indentation goes.
    fn depth(&self) -> usize {
        self.lists.len().min(MAX_DEPTH)
    }

    /// Writes the end of a mark, unless there is no text in it.
    fn close(&mut self, mark: Mark) {
        let Some(start) = mark.start else { return };
        let text = self.out.get(start..).unwrap_or_default();
        let is_bare_link = mark.after.strip_prefix("](").and_then(|rest| rest.strip_suffix(')')) == Some(text);
        if is_bare_link {
            self.out.replace_range(start - mark.before.len()..start, "");
        } else {
            self.out.push_str(&mark.after);
        }
    }

    /// Lets the next word begin so many lines below. In an item or a heading that has no text yet, it begins there.
    fn begin_line(&mut self, lines: usize) {
        if self.prefix.is_empty() {
            self.lines = self.lines.max(lines).max(self.gap.matches('\n').count().min(2));
            self.gap.clear();
        }
    }

    fn text(&mut self, text: &str) {
        let text = characters(text);
        let mut rest = &*text;
        while !rest.is_empty() {
            let words = rest.trim_start();
            let space = rest.get(..rest.len() - words.len()).unwrap_or_default();
            if self.collapsing == 0 {
                self.gap.push_str(space);
            } else if !space.is_empty() && self.gap.is_empty() {
                self.gap.push(' ');
            }
            let end = words.find(char::is_whitespace).unwrap_or(words.len());
            let (word, behind) = words.split_at_checked(end).unwrap_or((words, ""));
            if !word.is_empty() {
                self.word(&escaped(word));
            }
            rest = behind;
        }
    }

    fn code(&mut self, parts: &[Part<'_>], is_block: bool) {
        let sources = parts.iter().filter(|part| matches!(part, Part::Text(_) | Part::Verbatim(_)));
        let code: String = sources.map(|part| characters(part.source())).collect();
        let longest = code.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
        if code.trim().is_empty() {
            return;
        }
        if is_block {
            let fence = "`".repeat((longest + 1).max(3));
            self.begin_line(2);
            self.word(&format!("{fence}\n{}\n{fence}", code.trim_matches('\n').trim_end()));
            self.begin_line(2);
            return;
        }
        let fence = "`".repeat(longest + 1);
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
        let space = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
        self.word(&format!("{fence}{space}{code}{space}{fence}"));
    }

    /// Writes a word, after all that is to stand before it.
    fn word(&mut self, word: &str) {
        let lines = std::mem::take(&mut self.lines);
        let gap = std::mem::take(&mut self.gap);
        if self.out.is_empty() {
            // Nothing stands above the first word.
        } else if lines > 0 {
            let lines = lines.max(gap.matches('\n').count().min(2));
            self.out.extend(std::iter::repeat_n('\n', lines));
            match gap.rsplit_once('\n') {
                Some((_, indent)) if self.collapsing == 0 => self.out.push_str(indent),
                _ if self.prefix.is_empty() => self.out.push_str(&"  ".repeat(self.depth())),
                _ => {}
            }
        } else {
            self.out.push_str(&gap);
        }
        self.out.push_str(&std::mem::take(&mut self.prefix));
        for mark in self.marks.iter_mut().filter(|mark| mark.start.is_none()) {
            self.out.push_str(mark.before);
            mark.start = Some(self.out.len());
        }
        self.out.push_str(word);
    }
}

/// A word with `\<` for what would else be a tag of HTML.
fn escaped(word: &str) -> Cow<'_, str> {
    let is_tag = |start: usize| {
        let rest = word.get(start + 1..).unwrap_or_default();
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let name = rest.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
        rest.starts_with("!--") || Kind::of(&name.to_ascii_lowercase()).is_some()
    };
    if !word.contains('<') {
        return Cow::Borrowed(word);
    }
    let mut escaped = String::with_capacity(word.len() + 1);
    for (start, letter) in word.char_indices() {
        if letter == '<' && is_tag(start) && !escaped.ends_with('\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found() {
        assert!(ELEMENTS.is_sorted_by_key(|(name, _)| *name));
        assert!(VOID.iter().all(|name| Kind::of(name).is_some()));
    }

    #[test]
    fn html_becomes_markdown() {
        for (text, expected) in [
            ("<p>Lists all <code>Country Spec</code> objects.</p>", "Lists all `Country Spec` objects."),
            ("<P>One</P>\n\n<P CLASS=x>Two\n  lines</P>", "One\n\nTwo lines"),
            ("First.<p>Second.<p>Third.", "First.\n\nSecond.\n\nThird."),
            ("one<br>two<br/>three<br />", "one\ntwo\nthree"),
            ("Your <a href=\"#balance\">balance</a>.", "Your balance."),
            (
                "See <a href='https://a.example/b?c=d&amp;e'>the guide</a>.",
                "See [the guide](https://a.example/b?c=d&e).",
            ),
            ("<a target=_blank href=https://a.example>https://a.example</a>", "https://a.example"),
            ("a<strong> b </strong>c <em></em><i>d</i>", "a **b** c *d*"),
            ("<p><b>Bold: <code>x</code></b></p>", "**Bold: `x`**"),
            (
                "Either:<ul>\n <li>one</li>\n <li><p>two</p><ol><li>a<li>b</ol></li>\n</ul>or not",
                "Either:\n\n- one\n- two\n  1. a\n  2. b\n\nor not",
            ),
            ("<h2>Head</h2><div>text</div>", "## Head\n\ntext"),
            ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td></td></tr></table>", "A | B\n1"),
            ("<pre><code class=\"sh\">ls &lt;dir&gt;\n  -l</code></pre>", "```\nls <dir>\n  -l\n```"),
            ("<code>a `b`</code>", "`` a `b` ``"),
            (
                "<p>a &lt;id&gt; &amp;amp; &nbsp;&#39;&#x41;&lt;b&gt; &unknown; &</p>",
                "a <id> &amp; 'A\\<b> &unknown; &",
            ),
            ("<p><span class=\"x\">a</span>\n<!-- note -->b <img src=x alt=\"logo\"></p>", "a b logo"),
            ("# Head\n\n* one\n  * <b>two</b>\n\n      code", "# Head\n\n* one\n  * **two**\n\n      code"),
            ("- a<br>\n  b", "- a\n  b"),
            ("<p>a `<b>` \\<i></p>", "a `<b>` \\<i>"),
        ] {
            assert_eq!(without_html(text), expected, "{text}");
            assert_eq!(without_html(expected), expected, "again");
        }
    }

    #[test]
    fn what_was_cut_off_ends_where_it_does() {
        for (text, expected) in [
            ("<p>Use the <cod", "Use the"),
            ("<p>Use <code>limit</code> and the <code>starting_af", "Use `limit` and the `starting_af`"),
            ("<p>It must be <a href=\"#void", "It must be"),
            ("<p>Refer to <a href", "Refer to"),
            ("<p>or <a href=\"https://a.example\">send</a", "or [send](https://a.example)"),
            ("<p>a <strong>b", "a **b**"),
            ("<p>a <", "a"),
            ("<p>a <id", "a <id"),
            ("<p>a < b", "a < b"),
        ] {
            assert_eq!(without_html(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_html_stays() {
        for text in [
            "Basic <base64(user:pass)>",
            "`<p>code</p>` and ``<b>`</b>``",
            "```xml\n<p>text</p>\n```",
            "a < b and b > c",
            "List<string>, Map<a, b>, Vec<b>, List<p>, Box<i>",
            "from <a> to <b>",
            "<https://a.example/?a=b> <me@a.example>",
            "/files/<p>/x and \"<p>\"",
            "<error><code>not_found</code><p>x</p></error>",
            "\\<b>x\\</b>",
            "1 <2> <b <i",
            "&lt;p&gt; &amp; \u{a0} ",
            "<name/>",
            "<p",
        ] {
            assert_eq!(without_html(text), text);
        }
    }

    #[test]
    fn texts_made_to_be_slow_are_not() {
        for piece in ["<p>", "<a href='", "<!--", "`", "<b><i>", "<x>", "</x>", "<ul><li>", "<strong>", "&amp;<br>"] {
            let text = piece.repeat(20_000);
            assert!(without_html(&text).len() <= 2 * text.len() + 20_000 * 8, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn text_without_tags_of_html_is_unchanged(
            text in "([a-z &;.`\\\\\n]|<|>|/|=|\"|<id>|</id>|<name:x y=\"z\">|<https://a\\.example>|List<string>|a < b){0,30}",
        ) {
            let tags: Vec<_> = split(&text).into_iter().filter(|part| matches!(part, Part::Start(_) | Part::End(_))).collect();
            let known = |part: &Part<'_>| matches!(part, Part::Start(tag) | Part::End(tag) if Kind::of(tag.name).is_some());
            prop_assume!(!tags.iter().any(known));
            prop_assert_eq!(without_html(&text), text.as_str());
        }

        #[test]
        fn nothing_is_lost_but_tags(
            text in "(<p>|</p>|<b>|</b>|<ul>|<li>|</ul>|<code>|</code>|<a href=\"https://a\\.example\">|</a>|<br>|x|y| |\n){0,30}",
        ) {
            let letters = |text: &str| text.replace("(https://a.example)", "").matches(['x', 'y']).count();
            let before = text.replace("https://a.example", "");
            prop_assert_eq!(letters(&without_html(&text).replace("<a href=\"https://a.example\">", "")), letters(&before), "{}", text);
        }
    }
}
