//! Diagnostics in the log.

use super::{Diagnostic, Severity, SourceMap};

/// Logs diagnostics, each at the level of its severity.
pub fn log(diagnostics: &[Diagnostic], sources: &SourceMap) {
    for diagnostic in diagnostics {
        let line = diagnostic.one_line(sources);
        match diagnostic.severity {
            Severity::Error => tracing::error!("{line}"),
            Severity::Warning => tracing::warn!("{line}"),
            Severity::Note => tracing::debug!("{line}"),
        }
    }
}
