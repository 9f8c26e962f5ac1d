//! Diagnostics: everything that can be wrong with a spec or a schema, as values with a place, and their rendering.
//!
//! A diagnostic is data first: a code, a severity, spans into a [`SourceMap`], help. It must not know how specs are
//! read nor who looks at it; rendering to text (with the source line) and to JSON is offered at the end of the file.

use std::{fmt, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

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

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// What kind of problem a diagnostic reports. The names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// The kebab-case name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// A file or folder cannot be read.
    UnreadableFile = "unreadable-file",
    /// The text is not well-formed YAML or JSON, or exceeds a limit on size, depth or aliases.
    InvalidSyntax = "invalid-syntax",
    /// The document is well-formed, but not a capability spec.
    NotACapability = "not-a-capability",
    /// The language version is not one this program knows.
    UnsupportedVersion = "unsupported-version",
    /// A field that the language does not have at this place.
    UnknownField = "unknown-field",
    /// A field that must be there is absent.
    MissingField = "missing-field",
    /// A field has a value of the wrong type or outside its set.
    InvalidValue = "invalid-value",
    /// A part of the language that this program does not run.
    UnsupportedFeature = "unsupported-feature",
    /// `call` names a namespace that its document does not consume.
    UnknownNamespace = "unknown-namespace",
    /// `call` names an operation that its namespace does not have.
    UnknownOperation = "unknown-operation",
    /// A document consumes the same namespace twice; the second service is left out.
    DuplicateNamespace = "duplicate-namespace",
    /// Two operations of one namespace have the same name; the first one is called.
    DuplicateOperation = "duplicate-operation",
    /// Two tools have the same name. Where both make the same request they are one; else the second one is offered with
    /// its namespace before its name.
    DuplicateTool = "duplicate-tool",
    /// A tool's name cannot be offered to every client; the nearest name that can is, and both can be called.
    RenamedTool = "renamed-tool",
    /// A tool has no description; one is made from method and path.
    MissingDescription = "missing-description",
    /// A placeholder of the path is not declared as a parameter; it is taken as a required string.
    UndeclaredPathParameter = "undeclared-path-parameter",
    /// A parameter declared `in: path` does not occur in the path.
    UnusedPathParameter = "unused-path-parameter",
    /// An argument of a tool feeds no parameter of its operation, or what feeds a parameter is no argument.
    UnusedArgument = "unused-argument",
    /// Two parameters have the same name and place; the more specific, else the first one counts.
    DuplicateParameter = "duplicate-parameter",
    /// One name is used for parameters in two places; the second becomes an argument of another name.
    RenamedArgument = "renamed-argument",
    /// A body parameter of another name than `body` is a member of the body, not the whole body.
    NamedBodyMember = "named-body-member",
    /// A text in `with` looks like a reference, but is sent as it stands.
    SuspiciousLiteral = "suspicious-literal",
    /// The path cannot be read as a template.
    InvalidPath = "invalid-path",
    /// A schema reference leads nowhere, or outside what may be read.
    UnknownSchema = "unknown-schema",
    /// The referenced schema is not a valid JSON Schema.
    InvalidSchema = "invalid-schema",
    /// The consumed service has no base URL that can be used.
    UnusableBaseUri = "unusable-base-uri",
    /// A base URL sends credentials in clear text to another machine.
    InsecureBaseUri = "insecure-base-uri",
    /// A base URL names a host of documentation, which serves nobody.
    ExampleBaseUri = "example-base-uri",
    /// A base URL ends in a slash, which is left out.
    TrailingSlash = "trailing-slash",
    /// The embedded backend was chosen for a service, but does not serve the operation.
    UnservedOperation = "unserved-operation",
    /// A variable is used that `binds` does not list; it is read from the environment under its own name.
    UnboundVariable = "unbound-variable",
    /// A variable that the spec needs is not set.
    MissingVariable = "missing-variable",
    /// A credential stands in the spec itself, where everyone who reads the file sees it.
    LiteralSecret = "literal-secret",
    /// A server asks its callers for a credential that stdio cannot carry.
    StdioAuthentication = "stdio-authentication",
    /// The hints of a tool contradict what its operation does.
    ContradictoryHints = "contradictory-hints",
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
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

/// Whether any of the diagnostics is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// How text is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// ASCII without colour.
    Plain,
    /// With ANSI colours.
    Coloured,
}

/// Renders diagnostics for a person: message, file:line:column, the source line, labels and help.
pub fn render_text(diagnostics: &[Diagnostic], sources: &SourceMap, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    }
    .decor_style(DecorStyle::Ascii)
    .term_width(120);
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&renderer.render(&[group(diagnostic, sources)]));
        text.push_str("\n\n");
    }
    text
}

/// One diagnostic as programs read it. Lines and columns (in characters) are counted from 1.
#[derive(Debug, Serialize)]
pub struct JsonDiagnostic<'a> {
    code: &'static str,
    severity: Severity,
    message: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<JsonPlace<'a>>,
}

/// Another place that explains a diagnostic.
#[derive(Debug, Serialize)]
pub struct JsonPlace<'a> {
    label: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
}

/// Turns diagnostics into what `check --json` prints.
pub fn to_json<'a>(diagnostics: &'a [Diagnostic], sources: &'a SourceMap) -> Vec<JsonDiagnostic<'a>> {
    diagnostics
        .iter()
        .map(|diagnostic| {
            let Diagnostic { code, severity, message, primary, secondary, help, source: _ } = diagnostic;
            let related = secondary.iter().map(|(span, label)| {
                let (line, column) = sources.position(span.file, span.start);
                JsonPlace { label, file: sources.name(span.file), line, column }
            });
            let (line, column) = sources.position(primary.file, primary.start);
            let (end_line, end_column) = sources.position(primary.file, primary.end);
            JsonDiagnostic {
                code: code.as_str(),
                severity: *severity,
                message,
                file: sources.name(primary.file),
                line,
                column,
                end_line,
                end_column,
                help: help.as_deref(),
                related: related.collect(),
            }
        })
        .collect()
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let Diagnostic { code, severity, message, primary, secondary, help, source } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut snippets = vec![snippet(sources, *primary, AnnotationKind::Primary, None)];
    snippets
        .extend(secondary.iter().map(|(span, label)| snippet(sources, *span, AnnotationKind::Context, Some(label))));
    let title = level.primary_title(message.as_str()).id(code.as_str());
    let mut group = match source {
        Source::Shown => title.elements(snippets),
        Source::Hidden => {
            let (line, column) = sources.position(primary.file, primary.start);
            title.element(Origin::path(sources.name(primary.file)).line(line).char_column(column))
        }
    };
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

fn snippet<'a>(
    sources: &'a SourceMap,
    span: Span,
    kind: AnnotationKind,
    label: Option<&'a String>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    // Only the lines that are shown: a file may hold thousands of problems.
    let (text, line, offset) = sources.excerpt(span);
    let within = Span { start: span.start.saturating_sub(offset), end: span.end.saturating_sub(offset), ..span };
    let annotation = kind.span(shown_range(text, within)).label(label.map(String::as_str));
    Snippet::source(text).line_start(line).path(sources.name(span.file)).annotation(annotation)
}

/// A span as it is underlined: never empty where there is text, never over the end, on character boundaries.
fn shown_range(text: &str, span: Span) -> std::ops::Range<usize> {
    let start = floor_char_boundary(text, span.start);
    let end = floor_char_boundary(text, span.end).max(start);
    if end > start {
        return start..end;
    }
    let rest = text.get(start..).unwrap_or_default();
    let word = rest.find(['\n', '\r']).unwrap_or(rest.len());
    start..start + word
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
