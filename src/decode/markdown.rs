//! Markdown → `{"frontMatter": {}, "tables": [[{COLUMN: TEXT}]], "sections": [{"heading", "level", "content"}]}`.
//!
//! Sections go from one heading to the next of any level; their content is text without mark-up, tables left out, as
//! those stand under `tables`. The only file that names the Markdown crate.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::{Value, json};

use super::{DecodeError, budget::Budget, table::Header, yaml};

/// Reads a text. Sections are those whose heading begins with `heading`; tables are all.
pub(super) fn decode(text: &str, heading: Option<&str>) -> Result<Value, DecodeError> {
    let text = text.replace("\r\n", "\n");
    let (front_matter, body) = front_matter(&text).unwrap_or_else(|| (json!({}), &text));
    let mut outline = Outline { budget: Budget::new("a Markdown text"), tables: Vec::new(), sections: Vec::new() };
    let mut block = Block::default();
    let mut depth = 0_usize;
    for event in Parser::new_ext(body, Options::ENABLE_TABLES) {
        match &event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        block.take(&event);
        if depth == 0 {
            outline.add(std::mem::take(&mut block), &event)?;
        }
    }
    let begins = |section: &Section| heading.is_none_or(|heading| section.heading.starts_with(heading));
    let sections = outline
        .sections
        .into_iter()
        .filter(begins)
        .map(|section| json!({"heading": section.heading, "level": section.level, "content": section.content}));
    let sections = sections.collect::<Value>();
    Ok(json!({ "frontMatter": front_matter, "tables": outline.tables, "sections": sections }))
}

/// The YAML map between two lines `---` at the beginning, and what comes after it.
fn front_matter(text: &str) -> Option<(Value, &str)> {
    let rest = text.strip_prefix("---\n")?;
    let (yaml, body) = match rest.strip_prefix("---\n") {
        Some(body) => ("", body),
        None => rest.split_once("\n---\n").or_else(|| Some((rest.strip_suffix("\n---")?, "")))?,
    };
    // Two rules around a line of text look the same.
    let value = if yaml.trim().is_empty() { json!({}) } else { yaml::decode(yaml).ok()? };
    value.is_object().then_some((value, body))
}

struct Outline {
    budget: Budget,
    tables: Vec<Value>,
    sections: Vec<Section>,
}

struct Section {
    heading: String,
    level: u8,
    content: String,
}

/// One block of the top level while it is read.
#[derive(Default)]
struct Block {
    text: String,
    /// The rows of a table, the first of them its header.
    rows: Vec<Vec<String>>,
    cell_start: usize,
}

impl Block {
    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.text.push_str(text);
            }
            Event::SoftBreak => self.text.push(' '),
            Event::HardBreak => self.text.push('\n'),
            Event::Start(Tag::TableHead | Tag::TableRow) => self.rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => self.cell_start = self.text.len(),
            Event::End(TagEnd::TableCell) => {
                let cell = self.text.get(self.cell_start..).unwrap_or_default().trim().to_owned();
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
                self.text.push(' ');
            }
            Event::Start(Tag::Item | Tag::Paragraph | Tag::CodeBlock(_) | Tag::List(_))
            | Event::End(
                TagEnd::Item
                | TagEnd::Paragraph
                | TagEnd::CodeBlock
                | TagEnd::Heading(_)
                | TagEnd::TableHead
                | TagEnd::TableRow,
            ) => self.new_line(),
            _ => {}
        }
    }

    fn new_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

impl Outline {
    /// Adds a block that is complete, by the event that completed it.
    fn add(&mut self, block: Block, event: &Event<'_>) -> Result<(), DecodeError> {
        let text = block.text.trim();
        match event {
            Event::End(TagEnd::Heading(level)) => {
                self.budget.spend(text.len())?;
                self.sections.push(Section { heading: text.to_owned(), level: *level as u8, content: String::new() });
            }
            Event::End(TagEnd::Table) => {
                let mut rows = block.rows.into_iter();
                let names = rows.next().unwrap_or_default();
                if names.iter().all(String::is_empty) {
                    return Ok(());
                }
                let header = Header::new(names);
                let mut objects = Vec::new();
                for cells in rows {
                    self.budget.spend(0)?;
                    objects.push(header.row(cells, &mut self.budget)?);
                }
                self.tables.push(Value::Array(objects));
            }
            _ => {
                if let Some(section) = self.sections.last_mut()
                    && !text.is_empty()
                {
                    if !section.content.is_empty() {
                        section.content.push('\n');
                    }
                    section.content.push_str(text);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "---\ntitle: Readme\ntags: [a, 1]\n---\nlead\n\n# One *two*\n\nSome **bold** `code`\nhere.\n\n- x\n- y\n  1. z\n\
        \n```sh\nls -l\n```\n\n| A | B |\n|---|:-:|\n| 1 | `2` |\n| 3 |\n\n## Usage\n\n> quoted\n\nUsage over\n===\nend\n";

    #[test]
    fn front_matter_tables_and_sections_are_found() {
        let expected = json!({
            "frontMatter": {"title": "Readme", "tags": ["a", 1]},
            "tables": [[{"A": "1", "B": "2"}, {"A": "3", "B": ""}]],
            "sections": [
                {"heading": "One two", "level": 1, "content": "Some bold code here.\nx\ny\nz\nls -l"},
                {"heading": "Usage", "level": 2, "content": "quoted"},
                {"heading": "Usage over", "level": 1, "content": "end"}]});
        assert_eq!(decode(TEXT, None), Ok(expected.clone()));
        assert_eq!(decode(&TEXT.replace('\n', "\r\n"), None), Ok(expected));
    }

    #[test]
    fn sections_are_chosen_by_how_their_heading_begins() {
        for (heading, count) in [("Usage", 2), ("One", 1), ("usage", 0)] {
            let value = decode(TEXT, Some(heading)).expect("a text");
            assert_eq!(value["sections"].as_array().map(Vec::len), Some(count), "{heading}");
            assert_eq!(value["tables"].as_array().map(Vec::len), Some(1));
        }
    }

    #[test]
    fn front_matter_is_a_map_between_two_rules_at_the_beginning() {
        for (text, front_matter, sections) in [
            ("---\n---\n# A\n", json!({}), 1),
            ("---\na: 1\n---", json!({"a": 1}), 0),
            ("---\njust text\n---\n# A\n", json!({}), 2),
            ("# A\n---\na: 1\n---\n", json!({}), 2),
        ] {
            let value = decode(text, None).expect("a text");
            assert_eq!(value["frontMatter"], front_matter, "{text}");
            assert_eq!(value["sections"].as_array().map(Vec::len), Some(sections), "{text}");
        }
    }
}
