//! Texts that people wrote for people: HTML in them as Markdown, which models and clients read. Must not know what a text
//! describes.
//!
//! Descriptions are CommonMark by the standards they come from, with HTML in it, whole or cut off. A tag counts only
//! where it is surely one: a name of HTML that is closed again, or that begins the text. `<id>`, `List<b>` and `a < b`
//! stay, and so does all that stands in code or in XML.

mod characters;
pub mod clauses;
pub mod invisible;
pub mod lengths;
mod links;
mod markdown;
mod page;

use std::borrow::Cow;

use self::{
    invisible::{one_line, visible},
    markdown::Writer,
    page::Page,
};

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

/// A text as it is shown: without HTML, without runs of spaces, without links that lead nowhere from here, and without
/// characters that nobody sees, however they are written.
pub fn tidy(text: &str) -> Cow<'_, str> {
    let tidy = match without_html(text) {
        Cow::Borrowed(text) => links::tidy(text),
        Cow::Owned(text) => Cow::Owned(links::tidy(&text).into_owned()),
    };
    match tidy {
        Cow::Borrowed(text) => visible(text),
        Cow::Owned(text) => Cow::Owned(visible(&text).into_owned()),
    }
}

/// A text without HTML in one line, cut behind a sentence, else behind a word.
pub fn shortened(text: &str, limit: usize) -> String {
    let text = one_line(&without_html(text));
    if text.chars().count() <= limit {
        return text;
    }
    let start: String = text.chars().take(limit).collect();
    if let Some((sentences, _)) = start.rsplit_once(". ") {
        return format!("{sentences}.");
    }
    let start: String = text.chars().take(limit - 1).collect();
    let words = start.rsplit_once(' ').map_or(start.as_str(), |(words, _)| words);
    format!("{words}…")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        page::{Part, VOID, split},
        *,
    };

    #[test]
    fn long_texts_end_with_a_sentence_or_a_word() {
        assert_eq!(shortened(" a\n  b ", 10), "a b");
        assert_eq!(shortened("One two. Three four five", 15), "One two.");
        assert_eq!(shortened("onetwo threefour", 10), "onetwo…");
    }

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
