//! Paths of the dialect of Jayway JsonPath → those of RFC 9535.
//!
//! Knows nothing of values; filters are brought over by [`super::filter`].

use serde_json::Value;

use super::{Function, filter};

/// How often a path may descend to any depth: each time multiplies what it may find by the depth of the value.
const MAX_DESCENTS: usize = 2;
/// How many ways through its brackets a path may have: `[*,*]` twice is four. A value nested as deep as that would be
/// found as often.
const MAX_WAYS: usize = 1_000;

/// A path in the form of RFC 9535.
pub(super) struct Normal {
    /// The path itself.
    pub(super) path: String,
    /// Whether it can only mean one place.
    pub(super) definite: bool,
    /// How often it descends to any depth.
    pub(super) descents: usize,
    /// The function at its end.
    pub(super) function: Option<Function>,
    /// Of a path that ends in `.length`, what stands before that.
    pub(super) length_of: Option<String>,
}

/// Reads a path of the dialect, piece by piece.
pub(super) struct Normalizer<'a> {
    rest: &'a str,
    path: String,
    definite: bool,
    descents: usize,
    ways: usize,
}

impl<'a> Normalizer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, path: "$".to_owned(), definite: true, descents: 0, ways: 1 }
    }

    pub(super) fn read(mut self) -> Result<Normal, String> {
        if self.rest.is_empty() {
            return Err("it is empty".to_owned());
        }
        match self.rest.strip_prefix('$') {
            Some(".") => self.rest = "",
            Some(rest) => self.rest = rest,
            None if self.rest.starts_with(['.', '[']) => {}
            None => {
                if let Some(function) = self.name_or_function()? {
                    return self.finish(Some(function), None);
                }
            }
        }
        let mut length_of = None;
        while !self.rest.is_empty() {
            length_of = None;
            let before = self.path.len();
            if let Some(rest) = self.rest.strip_prefix("..") {
                self.rest = rest;
                self.definite = false;
                self.descents += 1;
                if self.descents > MAX_DESCENTS {
                    return Err(format!("`..` stands in it more than {MAX_DESCENTS} times"));
                }
                self.path.push_str("..");
                if self.rest.starts_with('[') {
                    self.bracket()?;
                } else if self.name_or_function()?.is_some() {
                    return Err("a function cannot stand after `..`".to_owned());
                }
            } else if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                if self.rest.starts_with('[') {
                    self.bracket()?;
                } else if let Some(function) = self.name_or_function()? {
                    return self.finish(Some(function), None);
                } else if self.definite && self.path.get(before..) == Some("[\"length\"]") {
                    length_of = self.path.get(..before).map(str::to_owned);
                }
            } else if self.rest.starts_with('[') {
                self.bracket()?;
            } else {
                return Err(format!("expected `.` or `[` before `{}`", shown(self.rest)));
            }
        }
        self.finish(None, length_of)
    }

    fn finish(self, function: Option<Function>, length_of: Option<String>) -> Result<Normal, String> {
        Ok(Normal { path: self.path, definite: self.definite, descents: self.descents, function, length_of })
    }

    /// Reads a name in dot notation into the path, or the function at the end of it.
    fn name_or_function(&mut self) -> Result<Option<Function>, String> {
        let end = self.rest.find(['.', '[']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        let name = name.trim();
        if name.is_empty() {
            return Err("expected a name after `.`".to_owned());
        }
        if let Some((called, arguments)) = name.split_once('(')
            && !called.is_empty()
            && called.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            let function = Function::named(called).ok_or_else(|| format!("unknown function `{}`", shown(called)))?;
            if arguments.trim() != ")" || !rest.is_empty() {
                return Err(format!("`{called}()` takes nothing and stands at the end"));
            }
            return Ok(Some(function));
        }
        self.rest = rest;
        if name == "*" {
            self.definite = false;
            self.path.push_str("[*]");
        } else {
            self.path.push('[');
            self.path.push_str(&quoted(name));
            self.path.push(']');
        }
        Ok(None)
    }

    /// Reads `[…]` into the path.
    fn bracket(&mut self) -> Result<(), String> {
        let (inner, rest) = bracketed(self.rest)?;
        self.rest = rest;
        let inner = inner.trim();
        let selectors = match inner.strip_prefix('?') {
            Some(expression) => {
                self.definite = false;
                format!("?{}", filter::normalize(expression)?)
            }
            None => {
                let mut selectors = Vec::new();
                for selector in split_selectors(inner)? {
                    selectors.push(match selector {
                        Selector::Name(name) => quoted(&name),
                        Selector::Other(text) => {
                            if text.contains([':', '*']) {
                                self.definite = false;
                            } else if text.parse::<i64>().is_err() {
                                return Err(format!(
                                    "`{}` must be a number, a name in quotes, `*`, a slice or a filter",
                                    shown(text)
                                ));
                            }
                            text.to_owned()
                        }
                    });
                }
                self.definite &= selectors.len() == 1;
                self.ways = self.ways.saturating_mul(selectors.len());
                if self.ways > MAX_WAYS {
                    return Err(format!("its brackets together name more than {MAX_WAYS} ways"));
                }
                selectors.join(",")
            }
        };
        self.path.push('[');
        self.path.push_str(&selectors);
        self.path.push(']');
        Ok(())
    }
}

pub(super) enum Selector<'a> {
    Name(String),
    Other(&'a str),
}

/// The selectors between brackets, which commas separate.
pub(super) fn split_selectors(inner: &str) -> Result<Vec<Selector<'_>>, String> {
    let mut selectors = Vec::new();
    let mut rest = inner.trim_start();
    loop {
        if let Some((name, after)) = string(rest)? {
            selectors.push(Selector::Name(name));
            rest = after.trim_start();
        } else {
            let (text, _) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            selectors.push(Selector::Other(text.trim()));
            rest = rest.get(text.len()..).unwrap_or_default();
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => return Ok(selectors),
            None => return Err(format!("expected `,` or `]` before `{}`", shown(rest))),
        }
    }
}

/// What stands between the bracket at the beginning and the one that closes it, and what follows.
pub(super) fn bracketed(text: &str) -> Result<(&str, &str), String> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (offset, character) in text.char_indices() {
        match (quote, character) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), character) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    let inner = text.get(1..offset).unwrap_or_default();
                    return Ok((inner, text.get(offset + 1..).unwrap_or_default()));
                }
            }
            (None, _) => {}
        }
    }
    Err("a `[` is not closed".to_owned())
}

/// The string in quotes at the beginning of a text, and what follows; `None` where there is no quote.
pub(super) fn string(text: &str) -> Result<Option<(String, &str)>, String> {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '\'' | '"')) else { return Ok(None) };
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((offset, character)) = characters.next() {
        match character {
            '\\' => {
                let (_, escaped) = characters.next().ok_or("a string is not closed")?;
                value.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'u' => {
                        let digits = characters.by_ref().take(4).map(|(_, digit)| digit).collect::<String>();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        code.ok_or_else(|| format!("`\\u{}` is not a character", shown(&digits)))?
                    }
                    other => other,
                });
            }
            character if character == quote => {
                return Ok(Some((value, text.get(offset + 1..).unwrap_or_default())));
            }
            character => value.push(character),
        }
    }
    Err("a string is not closed".to_owned())
}

/// A string of RFC 9535; those in double quotes are strings of JSON.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
