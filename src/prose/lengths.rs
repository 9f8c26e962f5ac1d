//! How long texts are that models are given, and how a longer one is cut.

/// The longest description of a tool, a resource or a prompt, in characters: some clients cut longer ones themselves.
pub const MAX_DESCRIPTION: usize = 2_000;
/// The longest description in a schema, that of an argument, in characters: a model reads all of them before its first call,
/// and some providers refuse longer ones.
pub const MAX_ARGUMENT: usize = 200;
/// The longest title, in characters.
pub const MAX_TITLE: usize = 120;

/// A text that is too long, cut at the end of a sentence where one ends in its last half, else of a word; `None` where it
/// is not too long. The limit is in characters.
pub fn cut(text: &str, limit: usize) -> Option<String> {
    let (end, _) = text.char_indices().nth(limit.saturating_sub(1))?;
    text.char_indices().nth(limit)?;
    let start = text.get(..end)?;
    let half = text.char_indices().nth(limit / 2).map_or(0, |(half, _)| half);
    let ends = start.match_indices(['.', '!', '?']).map(|(at, mark)| at + mark.len());
    let is_end = |end: &usize| start.get(*end..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    if let Some(end) = ends.filter(is_end).rfind(|end| *end > half) {
        return start.get(..end).map(str::to_owned);
    }
    let follows_word = text.get(end..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    let end = if follows_word { end } else { start.rfind(char::is_whitespace).unwrap_or(end) };
    Some(format!("{}…", start.get(..end)?.trim_end()))
}
