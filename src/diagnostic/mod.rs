//! Diagnostics: everything that can be wrong with a spec or a schema, as values with a place, and their rendering.
//!
//! A diagnostic is data first: a code, a severity, spans into a [`SourceMap`], help. It must not know how specs are
//! read nor who looks at it. The kinds of problems, with the manual's page on each, are in `codes`; a file each turns
//! diagnostics into text, JSON and SARIF.

mod codes;
mod json;
mod log;
mod page;
mod render;
mod sarif;

use std::sync::Arc;

use serde::Serialize;

pub use self::{
    codes::Code,
    json::{JsonDiagnostic, JsonPlace, to_json},
    log::log,
    page::Page,
    render::{Style, render_text},
    sarif::to_sarif,
};
use crate::nearest::nearest;

/// A file known to a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A range of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte; equal to `start` where only a position is known.
    pub end: usize,
}

impl Span {
    /// The start of a file, for problems with the file as a whole.
    pub fn start_of(file: FileId) -> Self {
        Self { file, start: 0, end: 0 }
    }
}

/// The files that were read, for turning spans into lines and columns.
#[derive(Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

#[derive(Debug)]
struct SourceFile {
    name: String,
    text: Arc<str>,
    /// The offset at which each line starts.
    lines: Vec<usize>,
}

impl SourceMap {
    /// Adds a file under the name that messages show.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        self.files.push(SourceFile { name: name.into(), text, lines });
        id
    }

    /// The name of a file.
    pub fn name(&self, file: FileId) -> &str {
        self.file(file).map_or("<unknown>", |file| &file.name)
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> Arc<str> {
        self.file(file).map_or_else(|| Arc::from(""), |file| Arc::clone(&file.text))
    }

    /// Every file: its name and its text, in the order in which they were added.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|file| (file.name.as_str(), &*file.text))
    }

    /// Every file, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = FileId> {
        (0..self.files.len()).filter_map(|place| u32::try_from(place).ok()).map(FileId)
    }

    /// Line and column (in characters) of an offset, both counted from 1.
    pub fn position(&self, file: FileId, offset: usize) -> (usize, usize) {
        let Some(file) = self.file(file) else { return (1, 1) };
        let offset = floor_char_boundary(&file.text, offset);
        let line = file.lines.partition_point(|start| *start <= offset).max(1);
        let start = file.lines.get(line - 1).copied().unwrap_or(0);
        let column = file.text.get(start..offset).unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// The offset of a line and a column (in characters), both counted from 1; the nearest one inside the file.
    pub fn offset(&self, file: FileId, line: usize, column: usize) -> usize {
        let Some(file) = self.file(file) else { return 0 };
        let start = file.lines.get(line.saturating_sub(1)).copied().unwrap_or(file.text.len());
        let rest = file.text.get(start..).unwrap_or_default();
        let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(offset, _)| offset);
        (start + within).min(file.text.len())
    }

    /// The lines around a span, cut out of the file: their text, the number of the first, its offset.
    fn excerpt(&self, span: Span) -> (&str, usize, usize) {
        let Some(file) = self.file(span.file) else { return ("", 1, 0) };
        let (first, _) = self.position(span.file, span.start);
        let (last, _) = self.position(span.file, span.end.max(span.start));
        let start = file.lines.get(first - 1).copied().unwrap_or(0);
        let end = file.lines.get(last.min(first + 3)).copied().unwrap_or(file.text.len());
        (file.text.get(start..end).unwrap_or_default(), first, start)
    }

    fn file(&self, file: FileId) -> Option<&SourceFile> {
        self.files.get(file.0 as usize)
    }
}

/// How grave a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Note,
    /// Probably not what was meant; the tool is served all the same.
    Warning,
    /// What the diagnostic is about is left out.
    Error,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of problem.
    pub code: Code,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong: lower case, the offending text in backticks, what was expected.
    pub message: String,
    /// Where.
    pub primary: Span,
    /// Other places that explain it, each with a label.
    pub secondary: Vec<(Span, String)>,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether the source line may be shown; not where it holds a secret.
    pub source: Source,
    /// The variable that has no value, where that is the problem.
    pub variable: Option<String>,
}

/// Whether a report shows the source line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It does.
    Shown,
    /// It names the place alone.
    Hidden,
}

impl Diagnostic {
    /// A problem that keeps what it names from being served.
    pub fn error(code: Code, primary: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary,
            secondary: Vec::new(),
            help: None,
            source: Source::Shown,
            variable: None,
        }
    }

    /// A problem that is probably a mistake, but stops nothing.
    pub fn warning(code: Code, primary: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, primary, message) }
    }

    /// Something worth knowing.
    pub fn note(code: Code, primary: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, primary, message) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names the variable that has no value, for those who list them.
    #[must_use]
    pub fn with_variable(self, name: impl Into<String>) -> Self {
        Self { variable: Some(name.into()), ..self }
    }

    /// Keeps the source line out of reports: it holds a secret.
    #[must_use]
    pub fn with_source_hidden(self) -> Self {
        Self { source: Source::Hidden, ..self }
    }

    /// Adds the nearest of the known names as help, where one is near enough.
    #[must_use]
    pub fn with_nearest<'a>(self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(given, known) {
            Some(name) => self.with_help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Adds another place with a label.
    #[must_use]
    pub fn with_secondary(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }

    /// `FILE:LINE:COLUMN: MESSAGE (HELP) [CODE]` on one line, for logs, which have a level of their own.
    pub fn one_line(&self, sources: &SourceMap) -> String {
        let (line, column) = sources.position(self.primary.file, self.primary.start);
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{line}:{column}: {}{help} [{}]", sources.name(self.primary.file), self.message, self.code)
    }
}

/// Says in the last error among some problems what is left out for it. Gives what is wrong and where; `None` where none
/// of them is an error.
pub fn leave_out(problems: &mut [Diagnostic], what: &str, name: &str) -> Option<(String, Span)> {
    let problem = problems.iter_mut().rev().find(|problem| problem.severity == Severity::Error)?;
    let reason = problem.message.clone();
    // A guess that stands in the message stays at its end.
    let end = reason.find("; did you mean").unwrap_or(reason.len());
    problem.message.insert_str(end, &format!(", so the {what} `{name}` is left out"));
    Some((reason, problem.primary))
}

/// Whether any of the diagnostics is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_survive_offsets_out_of_range() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.yaml", "ä: 1\nb: 2\n");
        assert_eq!(sources.position(file, 0), (1, 1));
        assert_eq!(sources.position(file, 2), (1, 2));
        assert_eq!(sources.position(file, 1), (1, 1), "inside a character: its start");
        assert_eq!(sources.position(file, 6), (2, 1));
        assert_eq!(sources.position(file, 999), (3, 1));
        assert_eq!(sources.offset(file, 2, 1), 6);
        assert_eq!(sources.offset(file, 9, 9), 11);
    }

    #[test]
    fn text_shows_the_place_the_code_and_the_help() {
        let mut sources = SourceMap::default();
        let file = sources.add("specs/a.yaml", "naftiko: 1\ncapabilty: {}\n");
        let span = Span { file, start: 11, end: 20 };
        let diagnostic = Diagnostic::error(Code::UnknownField, span, "unknown field `capabilty`")
            .with_nearest("capabilty", ["capability", "info"]);
        let text = render_text(std::slice::from_ref(&diagnostic), &sources, Style::Plain);
        assert!(text.starts_with("error[unknown-field]: unknown field `capabilty`"), "{text}");
        assert!(text.contains("specs/a.yaml:2:1"), "{text}");
        assert!(text.contains("did you mean `capability`?"), "{text}");
        assert_eq!(
            diagnostic.one_line(&sources),
            "specs/a.yaml:2:1: unknown field `capabilty` (did you mean `capability`?) [unknown-field]"
        );
    }

    #[test]
    fn an_empty_file_and_a_span_beyond_its_end_render() {
        let mut sources = SourceMap::default();
        let file = sources.add("empty.yaml", "");
        let diagnostic = Diagnostic::error(Code::NotACapability, Span { file, start: 7, end: 99 }, "no document");
        assert!(render_text(&[diagnostic], &sources, Style::Plain).contains("empty.yaml"));
    }
}
