//! Diagnostics as text for a person: message, place, the source line, labels, help.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};

use super::{Diagnostic, Severity, Source, SourceMap, Span, floor_char_boundary};

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

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let Diagnostic { code, severity, message, primary, secondary, help, source, variable: _ } = diagnostic;
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
