//! Diagnostics as the JSON of `check --json`.

use serde::Serialize;

use super::{Diagnostic, Severity, SourceMap};

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
            let Diagnostic { code, severity, message, primary, secondary, help, source: _, variable: _ } = diagnostic;
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
