//! A page on its way into the parser, in parts so small that a tag with very many attributes is noticed while it is read:
//! the parser compares every attribute of a tag with all before it.
//!
//! Where a tag begins the parser alone knows, as the same text may stand in a script or a comment. What tells is that it
//! gives nothing back from the beginning of a tag to its end.

use std::cell::Cell;

use html5ever::{
    interface::TokenizerResult,
    tendril::StrTendril,
    tokenizer::{BufferQueue, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts},
    tree_builder::{TreeBuilder, TreeBuilderOpts},
};

use super::page::{Handle, Page, Sink};

/// The largest part, in bytes.
const MAX_PART: usize = 4 * 1024;

/// A page that is being parsed.
pub(super) struct Feed {
    tokenizer: Tokenizer<Watched>,
    input: BufferQueue,
    open: Open,
    /// Whether the last part ended with `<`.
    after_bracket: bool,
}

/// What has begun and is not complete.
enum Open {
    /// Nothing, as far as is known.
    Nothing,
    /// A comment or the like.
    Other,
    Tag {
        place: Place,
        attributes: usize,
    },
}

/// A place in a tag (HTML standard, sections 13.2.5.8 and 13.2.5.32 to 39).
#[derive(Clone, Copy)]
enum Place {
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value(Option<char>),
}

/// The builder of the page, and whether anything came to it.
struct Watched {
    builder: TreeBuilder<Handle, Sink>,
    any: Cell<bool>,
}

impl Feed {
    /// A page of which nothing was read.
    pub(super) fn new(sink: Sink) -> Self {
        let builder = TreeBuilder::new(sink, TreeBuilderOpts::default());
        Self {
            tokenizer: Tokenizer::new(Watched { builder, any: Cell::default() }, TokenizerOpts::default()),
            input: BufferQueue::default(),
            open: Open::Nothing,
            after_bracket: false,
        }
    }

    /// Parses the beginning of a text; what is left of it comes back.
    pub(super) fn next<'a>(&mut self, text: &'a str) -> &'a str {
        let (part, rest) = text.split_at(end_of_part(text));
        self.tokenizer.sink.any.set(false);
        self.push(part);
        if self.tokenizer.sink.any.get() {
            self.open = Open::Nothing;
        } else if matches!(self.open, Open::Nothing) && (self.after_bracket || part.starts_with("<!")) {
            let name = part.strip_prefix('/').unwrap_or(part);
            let is_tag = name.starts_with(|first: char| first.is_ascii_alphabetic());
            self.open = if is_tag { Open::Tag { place: Place::TagName, attributes: 0 } } else { Open::Other };
        }
        if let Open::Tag { place, attributes } = &mut self.open {
            for character in part.chars() {
                let next = place.after(character);
                let begins = matches!(next, Place::Name) && !matches!(place, Place::Name);
                *attributes += usize::from(begins);
                *place = next;
            }
        }
        self.after_bracket = part.ends_with('<');
        rest
    }

    /// How many attributes the tag has that is not closed yet.
    pub(super) fn attributes(&self) -> usize {
        match self.open {
            Open::Tag { attributes, .. } => attributes,
            Open::Nothing | Open::Other => 0,
        }
    }

    /// What was written so far.
    pub(super) fn sink(&self) -> &Sink {
        &self.tokenizer.sink.builder.sink
    }

    /// The page.
    pub(super) fn finish(self) -> Page {
        use html5ever::interface::TreeSink as _;
        self.tokenizer.end();
        self.tokenizer.sink.builder.sink.finish()
    }

    fn push(&self, part: &str) {
        self.input.push_back(StrTendril::from(part));
        // Scripts are not run and encodings are known, so every stop is passed over.
        while !matches!(self.tokenizer.feed(&self.input), TokenizerResult::Done) {}
    }
}

/// A part ends with `>`, before `<`, or after the `<` of what may be a tag.
fn end_of_part(text: &str) -> usize {
    let is_name = |next: Option<char>| next.is_some_and(|next| next == '/' || next.is_ascii_alphabetic());
    let mut characters = text.char_indices().peekable();
    while let Some((start, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let end = start + character.len_utf8();
        let splits = match character {
            '>' => true,
            '<' => is_name(next),
            _ => next == Some('<'),
        };
        if splits || end >= MAX_PART {
            return end;
        }
    }
    text.len()
}

impl Place {
    fn after(self, character: char) -> Self {
        let is_space = character.is_ascii_whitespace();
        match (self, character) {
            (Self::Value(Some(quote)), character) if character == quote => Self::BeforeName,
            (Self::Value(Some(_)), _) => self,
            (Self::Value(None), _) if is_space => Self::BeforeName,
            (Self::Value(None), _) => self,
            (Self::BeforeValue, '"' | '\'') => Self::Value(Some(character)),
            (Self::BeforeValue, _) if is_space => self,
            (Self::BeforeValue, _) => Self::Value(None),
            (_, '/') => Self::BeforeName,
            (Self::TagName | Self::BeforeName, _) if is_space => Self::BeforeName,
            (Self::TagName, _) => self,
            (Self::Name | Self::AfterName, '=') => Self::BeforeValue,
            (Self::Name | Self::AfterName, _) if is_space => Self::AfterName,
            (Self::BeforeName | Self::Name | Self::AfterName, _) => Self::Name,
        }
    }
}

impl TokenSink for Watched {
    type Handle = Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Handle> {
        // Errors are told in the middle of a tag as well.
        if !matches!(token, Token::ParseError(_)) {
            self.any.set(true);
        }
        self.builder.process_token(token, line)
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}
