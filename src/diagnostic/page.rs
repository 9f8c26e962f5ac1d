//! The manual's page on a code, taken out of the doc comment of its variant.

use super::Code;

/// What the manual says about a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What the code reports, as one sentence.
    pub title: String,
    /// What it means and why it matters, paragraphs with an empty line between.
    pub text: String,
    /// YAML that the code is reported for: a spec, or a section of one.
    pub wrong: Option<String>,
    /// The same, mended.
    pub right: Option<String>,
}

impl Code {
    /// The manual's page.
    pub fn page(self) -> Page {
        let lines: Vec<&str> =
            self.documentation().lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        let heading = |line: &&str| line.starts_with("# ");
        let prose: Vec<&str> = lines.iter().copied().take_while(|line| !heading(line)).collect();
        let mut paragraphs = prose.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
        let title = paragraphs.next().unwrap_or_default().join(" ");
        let text: Vec<String> = paragraphs.map(|lines| lines.join("\n")).collect();
        let example = |name: &str| {
            let section = lines.iter().copied().skip_while(|line| line.strip_prefix("# ") != Some(name)).skip(1);
            let block = section.take_while(|line| !heading(line)).skip_while(|line| *line != "```yaml").skip(1);
            let yaml: String = block.take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            (!yaml.is_empty()).then_some(yaml)
        };
        Page { title, text: text.join("\n\n"), wrong: example("Wrong"), right: example("Right") }
    }
}

impl Page {
    /// The page for a terminal.
    pub fn to_text(&self, code: Code) -> String {
        let mut text = format!("{code}\n\n{}\n\n{}\n", self.title, self.text);
        for (heading, example) in [("Wrong", &self.wrong), ("Right", &self.right)] {
            let Some(example) = example else { continue };
            text.push_str(&format!("\n{heading}:\n\n"));
            for line in example.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }

    /// The page as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.title, self.text);
        for (heading, example) in [("Wrong", &self.wrong), ("Right", &self.right)] {
            if let Some(example) = example {
                text.push_str(&format!("\n{heading}:\n\n```yaml\n{example}```\n"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_a_page() {
        let mut names = HashSet::new();
        for code in Code::ALL {
            let Page { title, text, wrong, right } = code.page();
            assert!(names.insert(code.as_str()), "{code} is there twice");
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
            assert_eq!(Code::named(code.as_str()), Some(*code));
            assert!(title.len() > 15 && title.ends_with('.'), "{code} has no title: {title}");
            assert!(title.len() < 120, "the title of {code} is no heading: {title}");
            assert!(text.len() > 60, "{code} has no explanation below its title: {text}");
            assert_eq!(wrong.is_some(), right.is_some(), "{code}: an example has two halves");
        }
        assert_eq!(Code::named("unknown"), None);
    }

    #[test]
    fn a_page_reads_well_in_a_terminal() {
        let text = Code::UnknownField.page().to_text(Code::UnknownField);
        assert!(
            text.starts_with("unknown-field\n\nA field that the language does not have at this place.\n\n"),
            "{text}"
        );
        assert!(text.contains("\nWrong:\n\n    operations:\n      - {"), "{text}");
        assert!(!text.contains("```") && !text.contains("# "), "{text}");
    }
}
