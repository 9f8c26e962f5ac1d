//! Pages → the tables in them: `{"tables": [[{COLUMN: TEXT}]]}`.
//!
//! A table without a header row is left out, as there would be no names for its cells. A page is never refused for how
//! it is written, only for its size and depth.

mod page;
mod selector;
mod tags;

use serde_json::{Value, json};

use self::page::{NodeId, Page};
pub use self::selector::CssSelector;
use super::{DecodeError, budget::Budget, table::Header};

const EXPECTED: &str = "a page of HTML";
/// The most columns a cell is spread over; as the HTML standard has it.
const MAX_COLUMNS: usize = 1_000;
/// Elements before which a new line begins.
const BREAKS: [&str; 12] = ["br", "p", "div", "li", "ul", "ol", "dt", "dd", "tr", "td", "th", "pre"];

/// The tables of a page, in its order: those that are, or are within, what the selector names.
pub(super) fn decode(text: &str, selector: Option<&CssSelector>) -> Result<Value, DecodeError> {
    let page = Page::parse(text)?;
    let mut budget = Budget::new(EXPECTED);
    let selected = selector.map(|selector| selector.select(&page));
    let mut tables = Vec::new();
    for table in page.descendants(0).filter(|id| is(&page, *id, "table")) {
        let within = |selected: &Vec<bool>| {
            std::iter::successors(Some(table), |id| page.parent(*id)).any(|id| selected.get(id) == Some(&true))
        };
        if selected.as_ref().is_none_or(within)
            && let Some(rows) = read_table(&page, table, &mut budget)?
        {
            tables.push(rows);
        }
    }
    Ok(json!({ "tables": tables }))
}

/// The rows of a table; `None` where it has no header.
fn read_table(page: &Page, table: NodeId, budget: &mut Budget) -> Result<Option<Value>, DecodeError> {
    let sections = || page.children(table).filter(|id| !is(page, *id, "tr"));
    let rows_of = |section| page.children(section).filter(|id| is(page, *id, "tr"));
    let rows = sections().chain([table]).flat_map(rows_of).collect::<Vec<_>>();
    let head = sections().find(|id| is(page, *id, "thead")).and_then(|head| rows_of(head).next());
    let Some(head) = head.or_else(|| rows.first().copied().filter(|row| is_header(page, *row))) else {
        return Ok(None);
    };
    let names = read_row(page, head, budget)?;
    if names.iter().all(String::is_empty) {
        return Ok(None);
    }
    let header = Header::new(names);
    let mut values = Vec::new();
    for row in rows {
        if row == head || is_header(page, row) {
            continue;
        }
        let mut cells = read_row(page, row, budget)?;
        if !cells.is_empty() {
            cells.resize(cells.len().max(header.len()), String::new());
            budget.spend(0)?;
            values.push(header.row(cells, budget)?);
        }
    }
    Ok(Some(Value::Array(values)))
}

/// Whether a row has names of columns alone; the corner above names of rows may be empty.
fn is_header(page: &Page, row: NodeId) -> bool {
    let mut has_name = false;
    let only_names = cells(page, row).all(|cell| {
        let is_name = is(page, cell, "th");
        has_name |= is_name;
        is_name || page.descendants(cell).filter_map(|id| page.text(id)).all(|text| text.trim().is_empty())
    });
    only_names && has_name
}

fn read_row(page: &Page, row: NodeId, budget: &mut Budget) -> Result<Vec<String>, DecodeError> {
    let mut texts = Vec::new();
    for cell in cells(page, row) {
        let text = text_of(page, cell);
        budget.spend(text.len())?;
        texts.push(text);
        let width = page.element(cell).and_then(|element| element.attribute("colspan"));
        let width = width.and_then(|width| width.trim().parse::<usize>().ok()).unwrap_or(1);
        for _ in 1..width.min(MAX_COLUMNS) {
            budget.spend(0)?;
            texts.push(String::new());
        }
    }
    Ok(texts)
}

fn cells(page: &Page, row: NodeId) -> impl Iterator<Item = NodeId> {
    page.children(row).filter(|id| is(page, *id, "td") || is(page, *id, "th"))
}

/// The text that a person sees in an element, with single spaces.
fn text_of(page: &Page, id: NodeId) -> String {
    let mut text = String::new();
    for id in page.descendants(id) {
        if let Some(part) = page.text(id) {
            let is_hidden = |parent| is(page, parent, "script") || is(page, parent, "style");
            if !page.parent(id).is_some_and(is_hidden) {
                text.push_str(part);
            }
        } else if page.element(id).is_some_and(|element| BREAKS.contains(&element.name())) {
            text.push(' ');
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is(page: &Page, id: NodeId, name: &str) -> bool {
    page.element(id).is_some_and(|element| element.name() == name)
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
            format!("<p {}>", attributes(5_000)),
            format!("<<p title='>' {}>", attributes(5_000)),
            format!("<!-- <p --><textarea><p {}</textarea {}>", attributes(5_000), attributes(5_000)),
        ] {
            assert!(decode(&text, None).is_err(), "{} bytes", text.len());
        }
    }

    fn attributes(count: usize) -> String {
        (0..count).map(|number| format!("a{number}=1 ")).collect()
    }

    #[test]
    fn what_only_looks_like_many_attributes_is_read() {
        let many = attributes(5_000);
        let table = "<table><tr><th>A<tr><td>1</table>";
        for text in [
            format!("<!-- <p {many}> -->"),
            format!("<!-- x <p\n{many} -->"),
            format!("<script>if (a <b {many}) {{}}</script>"),
            format!("<title>a <b {many}</title>"),
            format!("<p>a < b {many}</p>"),
            format!("<p data-props='{many}' title=\"{many}>\">x</p>"),
            format!("<svg><![CDATA[ <p {many} ]]></svg>"),
            format!("{}</p>", "<p a=1 b=2>x".repeat(2_000)),
        ] {
            let page = decode(&format!("{text}{table}"), None);
            assert_eq!(page, Ok(json!({"tables": [[{"A": "1"}]]})), "{}", text.get(..20).unwrap_or_default());
        }
    }

    #[test]
    fn attributes_that_are_added_later_are_so_many() {
        let added = |name: &str| (0..20_000).map(|number| format!("<{name} a{number}>")).collect::<String>();
        let text = format!("{}{}<table><tr><th>A<tr><td>1</table>", added("html"), added("body"));
        assert_eq!(tables(&text, Some("[a0] [a1] table, [a1000] table")), json!([[{"A": "1"}]]));
        assert_eq!(tables(&text, Some("[a1000] table")), json!([]));
    }
}
