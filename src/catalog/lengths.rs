//! How long the texts are that models are given of a spec: whoever writes one could fill a model's memory with it. What is
//! cut is told. Names have limits of their own (`names`), and so have the descriptions in schemas (`listed`).

use crate::{
    diagnostic::{Code, Diagnostic},
    prose::lengths::{MAX_DESCRIPTION, MAX_TITLE, cut},
    spec::Spanned,
};

/// A description that is not too long. What it is of is named in the note.
pub(super) fn description(text: String, of: (&str, &Spanned<String>), problems: &mut Vec<Diagnostic>) -> String {
    within(text, MAX_DESCRIPTION, ("description", of), problems)
}

/// A title that is not too long.
pub(super) fn title(text: String, of: (&str, &Spanned<String>), problems: &mut Vec<Diagnostic>) -> String {
    within(text, MAX_TITLE, ("title", of), problems)
}

fn within(
    text: String,
    limit: usize,
    (part, (what, name)): (&str, (&str, &Spanned<String>)),
    problems: &mut Vec<Diagnostic>,
) -> String {
    let Some(cut) = cut(&text, limit) else { return text };
    let length = text.chars().count();
    let message = format!("the {part} of the {what} `{}` has {length} characters; it is cut to {limit}", name.value);
    problems.push(
        Diagnostic::note(Code::LongText, name.span, message).with_help("say the most important first, in few words"),
    );
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{SourceMap, Span};

    #[test]
    fn long_texts_are_cut_at_the_end_of_a_character_and_told() {
        let mut sources = SourceMap::default();
        let name = Spanned::new("it".to_owned(), Span::start_of(sources.add("a", "it")));
        for (text, is_cut) in [("é".repeat(120), false), ("é".repeat(121), true), ("wörd ".repeat(500), true)] {
            let mut problems = Vec::new();
            let title = title(text.clone(), ("tool", &name), &mut problems);
            assert_eq!((title != text, problems.len()), (is_cut, usize::from(is_cut)), "{text}");
            assert!(title.chars().count() <= 120 && (!is_cut || title.ends_with('…')), "{title}");
        }
    }
}
