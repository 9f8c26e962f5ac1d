//! A text that was taken apart, written as Markdown.

use std::borrow::Cow;

use super::{
    Kind,
    characters::characters,
    page::{Page, Part, Tag},
};

/// The most lists or marks around a text that are written; no person nests deeper.
const MAX_DEPTH: usize = 8;

/// Writes a page as Markdown.
pub(super) struct Writer<'a> {
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
    pub(super) fn new(page: &'a Page<'a>) -> Self {
        let (out, gap, prefix) = (String::new(), String::new(), String::new());
        let (marks, lists) = (Vec::new(), Vec::new());
        Self { page, out, gap, lines: 0, prefix, marks, lists, collapsing: 0, cells: 0 }
    }

    pub(super) fn written(mut self) -> String {
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
