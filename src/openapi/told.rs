//! What an operation does, in the words of its document.

use super::Operation;
use crate::prose::shortened;

/// The longest text on an operation, in characters.
const MAX_TEXT: usize = 400;

impl Operation {
    /// What the operation does, in at most 400 characters and a word on whether it is still to be used: its description
    /// where that is short, else its summary. `None` where the document says neither.
    pub fn told(&self) -> Option<String> {
        let Self { summary, description, deprecated, .. } = self;
        let short = |text: &Option<String>| text.as_deref().map(|text| shortened(text, MAX_TEXT)).unwrap_or_default();
        let (summary, long) = (short(summary), short(description));
        let text = match (summary.as_str(), long.as_str()) {
            ("", "") => return None,
            ("", long) => long.to_owned(),
            (summary, "") => summary.to_owned(),
            (summary, long) if long.starts_with(summary.trim_end_matches('.')) => long.to_owned(),
            (summary, long) if summary.chars().count() + long.chars().count() <= MAX_TEXT - 2 => {
                format!("{}. {long}", summary.trim_end_matches('.'))
            }
            (summary, _) => summary.to_owned(),
        };
        Some(if *deprecated { as_deprecated(text) } else { text })
    }
}

/// A text on something that is not to be used any more, which it may say already.
pub(crate) fn as_deprecated(text: String) -> String {
    let words = text.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
    if words.starts_with("deprecated") || words.ends_with("deprecated") { text } else { format!("Deprecated. {text}") }
}
