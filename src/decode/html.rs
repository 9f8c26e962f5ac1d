//! Pages → the tables in them: `{"tables": [[{COLUMN: TEXT}]]}`. The only file that names the HTML crates.
//!
//! A table without a header row is left out, as there would be no names for its cells. A page is never refused for how
//! it is written, only for its size and depth.

use std::collections::HashSet;

use html5ever::tendril::TendrilSink as _;
use scraper::{ElementRef, Html, HtmlTreeSink, Selector};
use serde_json::{Value, json};

use super::{DecodeError, FormatError, budget::Budget, table::Header};

const EXPECTED: &str = "a page of HTML";
/// As in browsers.
const MAX_DEPTH: usize = 512;
const MAX_NODES: usize = 500_000;
/// The most columns a cell is spread over; as the HTML standard has it.
const MAX_COLUMNS: usize = 1_000;

/// A list of CSS selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CssSelector {
    text: String,
    selector: Selector,
}

impl CssSelector {
    /// Reads selectors. Error: [`FormatError::Selector`].
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let text = text.trim();
        let selector = Selector::parse(text).map_err(|_| FormatError::Selector(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), selector })
    }

    /// The selectors as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The tables of a page, in its order: those that are, or are within, what the selector names.
pub(super) fn decode(text: &str, selector: Option<&CssSelector>) -> Result<Value, DecodeError> {
    let page = parse(text)?;
    let mut budget = Budget::new(EXPECTED);
    let selected =
        selector.map(|selector| page.select(&selector.selector).map(|element| element.id()).collect::<HashSet<_>>());
    let mut tables = Vec::new();
    for table in page.tree.nodes().filter_map(ElementRef::wrap).filter(|element| is(*element, "table")) {
        let within = |selected: &HashSet<_>| {
            selected.contains(&table.id()) || table.ancestors().any(|ancestor| selected.contains(&ancestor.id()))
        };
        if selected.as_ref().is_none_or(within)
            && let Some(rows) = read_table(table, &mut budget)?
        {
            tables.push(rows);
        }
    }
    Ok(json!({ "tables": tables }))
}

/// Parses a page, tag by tag, so that its size and depth are known before they cost much: elements that are not closed
/// make the parser repeat them without end.
fn parse(text: &str) -> Result<Html, DecodeError> {
    let sink = HtmlTreeSink::new(Html::new_document());
    let mut parser = html5ever::driver::parse_document(sink, html5ever::ParseOpts::default());
    let mut seen = 0;
    for part in text.split_inclusive('>') {
        parser.process(part.into());
        let page = parser.tokenizer.sink.sink.0.borrow();
        let mut nodes = page.tree.nodes();
        let count = nodes.len();
        if count > MAX_NODES {
            return Err(DecodeError::new(EXPECTED, format!("it has more than {MAX_NODES} elements")));
        }
        let deepest =
            if count > seen { nodes.next_back().map_or(0, |node| node.ancestors().take(MAX_DEPTH).count()) } else { 0 };
        if deepest >= MAX_DEPTH {
            return Err(DecodeError::new(EXPECTED, format!("its elements are more than {MAX_DEPTH} levels deep")));
        }
        seen = count;
    }
    Ok(parser.finish())
}

/// The rows of a table; `None` where it has no header.
fn read_table(table: ElementRef<'_>, budget: &mut Budget) -> Result<Option<Value>, DecodeError> {
    let sections = || table.child_elements().filter(|element| !is(*element, "tr"));
    let rows = sections().chain([table]).flat_map(|section| section.child_elements().filter(|row| is(*row, "tr")));
    let rows = rows.collect::<Vec<_>>();
    let head = sections().find(|section| is(*section, "thead"));
    let head = head.and_then(|head| head.child_elements().find(|row| is(*row, "tr")));
    let Some(head) = head.or_else(|| rows.first().copied().filter(|row| is_header(*row))) else { return Ok(None) };
    let names = read_row(head, budget)?;
    if names.iter().all(String::is_empty) {
        return Ok(None);
    }
    let header = Header::new(names);
    let mut values = Vec::new();
    for row in rows {
        if row.id() == head.id() || is_header(row) {
            continue;
        }
        let mut cells = read_row(row, budget)?;
        if !cells.is_empty() {
            cells.resize(cells.len().max(header.len()), String::new());
            budget.spend(0)?;
            values.push(header.row(cells, budget)?);
        }
    }
    Ok(Some(Value::Array(values)))
}

/// Whether a row has names of columns alone; the corner above names of rows may be empty.
fn is_header(row: ElementRef<'_>) -> bool {
    let mut has_name = false;
    let only_names = cells(row).all(|cell| {
        let is_name = is(cell, "th");
        has_name |= is_name;
        is_name || cell.text().all(|text| text.trim().is_empty())
    });
    only_names && has_name
}

fn read_row(row: ElementRef<'_>, budget: &mut Budget) -> Result<Vec<String>, DecodeError> {
    let mut texts = Vec::new();
    for cell in cells(row) {
        let text = text_of(cell);
        budget.spend(text.len())?;
        texts.push(text);
        let width = cell.attr("colspan").and_then(|width| width.trim().parse::<usize>().ok()).unwrap_or(1);
        for _ in 1..width.min(MAX_COLUMNS) {
            budget.spend(0)?;
            texts.push(String::new());
        }
    }
    Ok(texts)
}

fn cells(row: ElementRef<'_>) -> impl Iterator<Item = ElementRef<'_>> {
    row.child_elements().filter(|cell| is(*cell, "td") || is(*cell, "th"))
}

/// The text that a person sees in an element, with single spaces.
fn text_of(element: ElementRef<'_>) -> String {
    let mut text = String::new();
    for node in element.descendants() {
        match node.value() {
            scraper::Node::Text(part) => {
                let hidden = node.parent().and_then(ElementRef::wrap);
                if !hidden.is_some_and(|parent| is(parent, "script") || is(parent, "style")) {
                    text.push_str(part);
                }
            }
            scraper::Node::Element(inner) if BREAKS.contains(&inner.name()) => text.push(' '),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Elements before which a new line begins.
const BREAKS: [&str; 12] = ["br", "p", "div", "li", "ul", "ol", "dt", "dd", "tr", "td", "th", "pre"];

fn is(element: ElementRef<'_>, name: &str) -> bool {
    element.value().name() == name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str, selector: Option<&str>) -> Value {
        let selector = selector.map(|text| CssSelector::parse(text).expect("a selector"));
        decode(text, selector.as_ref()).expect("a page")["tables"].take()
    }

    #[test]
    fn tables_become_rows_of_objects() {
        for (text, expected) in [
            (
                "<table><thead><tr><th>Name<th>Price</thead><tr><td>Nut<td> 4&nbsp;$\n each <tr><td>Bolt</table>",
                json!([[{"Name": "Nut", "Price": "4 $ each"}, {"Name": "Bolt", "Price": ""}]]),
            ),
            (
                "<table><tr><th>A</th><th>B</th></tr><tr><th>x</th><td>1</td></tr><tr><th>A</th><th>B</th></tr></table>",
                json!([[{"A": "x", "B": "1"}]]),
            ),
            (
                "<table><tr><td></td><th>A</th></tr><tr><th>x</th><td>1</td></tr></table>",
                json!([[{"1": "x", "A": "1"}]]),
            ),
            (
                "<table><thead><tr><td>A</td></tr></thead><tbody><tr><td>1<br>2<script>3</script></td></tr></tbody></table>",
                json!([[{"A": "1 2"}]]),
            ),
            ("<table><tr><th colspan=2>A<th>B<tr><td>1<td>2<td>3</table>", json!([[{"A": "1", "2": "2", "B": "3"}]])),
            ("<table><tr><td>no header</td></tr></table><p>text", json!([])),
            (
                "<table><tr><th>A<tr><td><table><tr><th>B<tr><td>1</table></table>",
                json!([[{"A": "B 1"}], [{"B": "1"}]]),
            ),
            ("<table><tr><th>A</table>", json!([[]])),
        ] {
            assert_eq!(tables(text, None), expected, "{text}");
        }
    }

    #[test]
    fn a_selector_names_tables_or_what_holds_them() {
        let text =
            "<div id=d><table class=t><tr><th>A<tr><td>1</table></div><table class='t u'><tr><th>B<tr><td>2</table>";
        let (first, second) = (json!([{"A": "1"}]), json!([{"B": "2"}]));
        for (selector, expected) in [
            ("#d", json!([first])),
            ("table.t", json!([first, second])),
            ("#d, .u, div > table", json!([first, second])),
            ("body", json!([first, second])),
            (".none", json!([])),
        ] {
            assert_eq!(tables(text, Some(selector)), expected, "{selector}");
        }
        for wrong in ["div[", "", "a >", "..b", "table::"] {
            assert_eq!(CssSelector::parse(wrong), Err(FormatError::Selector(wrong.to_owned())));
        }
    }

    #[test]
    fn bombs_are_refused() {
        let unclosed = (0..400).map(|size| format!("<font size={size}>")).collect::<String>();
        let unclosed = format!("<p>{unclosed}{}", "<p>x".repeat(2_000));
        for text in [
            "<div>".repeat(5_000),
            unclosed,
            format!("<table><tr>{}{}", "<th>x".repeat(3_000), "<tr><td>1".repeat(3_000)),
            format!("<table><tr><th>A{}", "<tr><td colspan=1000>".repeat(5_000)),
        ] {
            assert!(decode(&text, None).is_err(), "{} bytes", text.len());
        }
    }
}
