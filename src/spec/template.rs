//! `{{name}}` in the text of a spec: which variable a text stands for. No logic, no lookup.

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// The name between double braces, trimmed.
    Name(&'a str),
}

/// Cuts a text at its `{{name}}` placeholders. An opening without an end is text.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, tail)) = after.split_once("}}") else { break };
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        pieces.push(Piece::Name(name.trim()));
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The variable that a whole text stands for: `{{NAME}}` or `$secrets.NAME`.
pub fn variable(text: &str) -> Option<&str> {
    if let Some(name) = text.trim().strip_prefix("$secrets.") {
        return Some(name);
    }
    match pieces(text.trim()).as_slice() {
        [Piece::Name(name)] => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found() {
        assert_eq!(pieces("a {{ b }}c"), [Piece::Text("a "), Piece::Name("b"), Piece::Text("c")]);
        assert_eq!(pieces("{{open"), [Piece::Text("{{open")]);
        assert_eq!(pieces(""), []);
        assert_eq!(variable("{{env.KEY}}"), Some("env.KEY"));
        assert_eq!(variable("$secrets.KEY"), Some("KEY"));
        assert_eq!(variable("Bearer {{KEY}}"), None);
        assert_eq!(variable("KEY"), None);
    }
}
