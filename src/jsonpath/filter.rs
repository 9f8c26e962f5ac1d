//! Filters of Jayway JsonPath → those of RFC 9535.
//!
//! Only what differs is understood: paths with other names, strings, regular expressions, lists and the operators in
//! words. All else is handed on for the strict parser to judge.

use super::{
    normal::{Selector, bracketed, quoted, shown, split_selectors, string},
    regex,
};

/// How deep parentheses may be nested: the strict parser recurses.
const MAX_DEPTH: usize = 16;
/// Operators of the dialect that are not run.
const NOT_RUN: [&str; 6] = ["subsetof", "anyof", "noneof", "contains", "all", "type"];

/// The filter in the form of RFC 9535, without its `?`.
pub(super) fn normalize(expression: &str) -> Result<String, String> {
    let mut tokens = tokens(expression)?.into_iter().peekable();
    let mut normal = String::new();
    let mut depth = 0_usize;
    while let Some(token) = tokens.next() {
        let left = match token {
            Token::Symbol("(") => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("parentheses are nested more than {MAX_DEPTH} levels"));
                }
                normal.push('(');
                continue;
            }
            Token::Symbol(symbol) => {
                depth = depth.saturating_sub(usize::from(symbol == ")"));
                normal.push_str(symbol);
                normal.push(' ');
                continue;
            }
            Token::Value(text) => text,
            Token::Word(word) => return Err(format!("`{}` is not expected there", shown(word))),
            Token::Regex { .. } | Token::List(_) => return Err("a path or a value must stand left".to_owned()),
        };
        let operator = match tokens.peek() {
            Some(Token::Word(word)) => Some(*word),
            Some(Token::Symbol("=~")) => Some("=~"),
            _ => None,
        };
        let Some(operator) = operator else {
            normal.push_str(&left);
            normal.push(' ');
            continue;
        };
        tokens.next();
        normal.push_str(&in_words(&left, operator, tokens.next())?);
        normal.push(' ');
    }
    Ok(normal)
}

/// A comparison by an operator that RFC 9535 lacks.
fn in_words(left: &str, operator: &str, right: Option<Token<'_>>) -> Result<String, String> {
    match (operator.to_ascii_lowercase().as_str(), right) {
        ("=~", Some(Token::Regex { pattern, ignore_case })) => {
            let flags = if ignore_case { "(?i)" } else { "" };
            Ok(format!("{}({left}, {})", regex::MATCHES, quoted(&format!("{flags}{pattern}"))))
        }
        ("in", Some(Token::List(values))) => Ok(one_of(left, &values, "==", " || ", "1 == 0")),
        ("nin", Some(Token::List(values))) => Ok(one_of(left, &values, "!=", " && ", "1 == 1")),
        ("size", Some(Token::Value(count))) => Ok(format!("length({left}) == {count}")),
        ("empty", Some(Token::Value(flag))) if flag == "true" => Ok(format!("length({left}) == 0")),
        ("empty", Some(Token::Value(flag))) if flag == "false" => Ok(format!("length({left}) > 0")),
        ("=~", _) => Err("`=~` expects a regular expression like `/x.*/i`".to_owned()),
        ("in" | "nin", _) => Err(format!("`{operator}` expects a list like `['a', 'b']`")),
        ("size", _) => Err("`size` expects a number".to_owned()),
        ("empty", _) => Err("`empty` expects `true` or `false`".to_owned()),
        (other, _) if NOT_RUN.contains(&other) => Err(format!("the operator `{operator}` is not run by this version")),
        _ => Err(format!("unknown operator `{}`", shown(operator))),
    }
}

fn one_of(left: &str, values: &[String], comparison: &str, joint: &str, none: &str) -> String {
    let comparisons = values.iter().map(|value| format!("{left} {comparison} {value}")).collect::<Vec<_>>();
    if comparisons.is_empty() { format!("({none})") } else { format!("({})", comparisons.join(joint)) }
}

enum Token<'a> {
    /// A path, a number, a string, `true`, `false` or `null`, in the form of RFC 9535.
    Value(String),
    Symbol(&'a str),
    Word(&'a str),
    Regex {
        pattern: String,
        ignore_case: bool,
    },
    List(Vec<String>),
}

fn tokens(expression: &str) -> Result<Vec<Token<'_>>, String> {
    const SYMBOLS: [&str; 12] = ["&&", "||", "==", "!=", "<=", ">=", "=~", "<", ">", "!", "(", ")"];
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while !rest.is_empty() {
        if rest.starts_with(['@', '$']) {
            let (path, after) = path(rest)?;
            tokens.push(Token::Value(path));
            rest = after;
        } else if let Some((text, after)) = string(rest)? {
            tokens.push(Token::Value(quoted(&text)));
            rest = after;
        } else if rest.starts_with('[') {
            let (inner, after) = bracketed(rest)?;
            tokens.push(Token::List(list(inner)?));
            rest = after;
        } else if rest.starts_with('/') {
            let (token, after) = regular_expression(rest)?;
            tokens.push(token);
            rest = after;
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Token::Symbol(symbol));
            rest = rest.get(symbol.len()..).unwrap_or_default();
        } else {
            let end = rest.find(|character: char| !character.is_alphanumeric() && !"_-+.".contains(character));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            if word.is_empty() {
                return Err(format!("`{}` is not expected there", shown(rest)));
            }
            tokens.push(if is_literal(word) { Token::Value(word.to_owned()) } else { Token::Word(word) });
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

fn is_literal(word: &str) -> bool {
    matches!(word, "true" | "false" | "null") || serde_json::from_str::<serde_json::Number>(word).is_ok()
}

fn list(inner: &str) -> Result<Vec<String>, String> {
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let values = split_selectors(inner)?.into_iter().map(|selector| match selector {
        Selector::Name(text) => Ok(quoted(&text)),
        Selector::Other(word) if is_literal(word) => Ok(word.to_owned()),
        Selector::Other(word) => Err(format!("`{}` is not a value", shown(word))),
    });
    values.collect()
}

/// A regular expression between slashes, with its flags.
fn regular_expression(text: &str) -> Result<(Token<'_>, &str), String> {
    let mut pattern = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((offset, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, '/')) => pattern.push('/'),
                Some((_, escaped)) => pattern.extend(['\\', escaped]),
                None => break,
            },
            '/' => {
                let after = text.get(offset + 1..).unwrap_or_default();
                let end = after.find(|flag: char| !flag.is_ascii_alphabetic()).unwrap_or(after.len());
                let (flags, after) = after.split_at(end);
                if !matches!(flags, "" | "i") {
                    return Err(format!("unknown flags `{}`", shown(flags)));
                }
                regex::check(&pattern)?;
                return Ok((Token::Regex { pattern, ignore_case: flags == "i" }, after));
            }
            character => pattern.push(character),
        }
    }
    Err("a regular expression is not closed".to_owned())
}

/// A path within a filter, which means at most one place, and what follows.
fn path(text: &str) -> Result<(String, &str), String> {
    let (root, mut rest) = text.split_at(1);
    let mut path = root.to_owned();
    loop {
        if rest.starts_with('[') {
            let (inner, after) = bracketed(rest)?;
            let inner = inner.trim();
            let name = match string(inner)? {
                Some((name, "")) => quoted(&name),
                None if inner.parse::<i64>().is_ok() => inner.to_owned(),
                _ => return Err(format!("`[{}]` means more than one place", shown(inner))),
            };
            path.extend(["[", &name, "]"]);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            if after.starts_with('[') {
                rest = after;
                continue;
            }
            let end = after.find(|character: char| !character.is_alphanumeric() && !"_-$@".contains(character));
            let (name, after) = after.split_at(end.unwrap_or(after.len()));
            if let Some(after) = after.strip_prefix("()") {
                return match name {
                    "length" | "size" => Ok((format!("length({path})"), after)),
                    _ => Err(format!("the function `{}` is not run in filters", shown(name))),
                };
            }
            if name.is_empty() {
                return Err("expected a name after `.`".to_owned());
            }
            path.extend(["[", &quoted(name), "]"]);
            rest = after;
        } else {
            return Ok((path, rest));
        }
    }
}
