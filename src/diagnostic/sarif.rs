//! Diagnostics as a SARIF 2.1.0 log, for code hosts and editors.
//!
//! Source: OASIS SARIF 2.1.0. Files are named as they were found: relative to the working folder where they were given
//! so, as code hosts want it, and percent-encoded (section 3.4.3). No source text is part of the log, so that a line
//! with a secret cannot be either.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Code, Diagnostic, Severity, SourceMap, Span};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What stands as it is in the path of a URI reference (RFC 3986, section 3.3). A colon does not: it would make the first
/// segment of a relative path a scheme.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'+');

/// The log of one run.
pub fn to_sarif(diagnostics: &[Diagnostic], sources: &SourceMap) -> Value {
    let mut gravest = BTreeMap::<Code, Severity>::new();
    for Diagnostic { code, severity, .. } in diagnostics {
        let known = gravest.entry(*code).or_insert(*severity);
        *known = (*known).max(*severity);
    }
    let rules: Vec<Value> = gravest.iter().map(|(code, severity)| rule(*code, *severity)).collect();
    let index = |code: Code| gravest.keys().position(|known| *known == code);
    let results: Vec<Value> =
        diagnostics.iter().map(|diagnostic| result(diagnostic, index(diagnostic.code), sources)).collect();
    let driver = json!({
        "name": "keyglass",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    let run = json!({ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results });
    json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] })
}

fn rule(code: Code, gravest: Severity) -> Value {
    let page = code.page();
    json!({
        "id": code.as_str(),
        "shortDescription": { "text": page.title },
        "fullDescription": { "text": page.text },
        "help": { "text": page.to_text(code), "markdown": page.to_markdown() },
        "defaultConfiguration": { "level": level(gravest) },
    })
}

fn result(diagnostic: &Diagnostic, rule_index: Option<usize>, sources: &SourceMap) -> Value {
    // `source` says whether text of the file may be shown; none ever is here.
    let Diagnostic { code, severity, message, primary, secondary, help, source: _, variable: _ } = diagnostic;
    let text = match help {
        Some(help) => format!("{message} ({help})"),
        None => message.clone(),
    };
    let result = json!({
        "ruleId": code.as_str(),
        "ruleIndex": rule_index,
        "level": level(*severity),
        "message": { "text": text },
        "locations": [{ "physicalLocation": place(*primary, sources) }],
    });
    if secondary.is_empty() {
        return result;
    }
    let related = secondary.iter().enumerate().map(|(id, (span, label))| {
        json!({ "id": id, "physicalLocation": place(*span, sources), "message": { "text": label } })
    });
    let Value::Object(mut members) = result else { return result };
    members.insert("relatedLocations".to_owned(), related.collect());
    Value::Object(members)
}

/// A span as a place. Lines and columns are counted from 1, the end column is the one behind the last character.
fn place(span: Span, sources: &SourceMap) -> Value {
    let (start_line, start_column) = sources.position(span.file, span.start);
    let (end_line, end_column) = sources.position(span.file, span.end.max(span.start));
    json!({
        "artifactLocation": { "uri": uri(sources.name(span.file)) },
        "region": { "startLine": start_line, "startColumn": start_column, "endLine": end_line, "endColumn": end_column },
    })
}

/// The file's name as a URI reference: a relative path stays relative, an absolute one is a `file:` URI.
fn uri(name: &str) -> String {
    let name = if cfg!(windows) { name.replace('\\', "/") } else { name.to_owned() };
    let name = name.strip_prefix("./").unwrap_or(&name);
    let absolute = match name.as_bytes() {
        [b'/', ..] => Some(""),
        [drive, b':', b'/', ..] if cfg!(windows) && drive.is_ascii_alphabetic() => Some("/"),
        _ => None,
    };
    let path = utf8_percent_encode(name, PATH);
    absolute.map_or_else(|| path.to_string(), |root| format!("file://{root}{path}"))
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_names_rules_places_and_no_source_text() {
        let mut sources = SourceMap::default();
        let file = sources.add("specs/ä b.yaml", "naftiko: 1\ntöken: canary-7c11\nx: 1\n");
        let span = |start, end| Span { file, start, end };
        let diagnostics = [
            Diagnostic::warning(Code::LiteralSecret, span(19, 30), "a secret").with_source_hidden(),
            Diagnostic::note(Code::UnknownField, span(0, 7), "first"),
            Diagnostic::error(Code::UnknownField, span(31, 32), "second")
                .with_help("do that")
                .with_secondary(span(0, 7), "the first one"),
        ];
        let log = to_sarif(&diagnostics, &sources);
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let results = run["results"].as_array().unwrap();
        assert_eq!(rules.len(), 2);
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
        }
        assert_eq!(rules[0]["id"], "unknown-field");
        assert_eq!(rules[0]["defaultConfiguration"]["level"], "error", "the gravest of the run");
        assert_eq!(results.iter().map(|result| &result["level"]).collect::<Vec<_>>(), ["warning", "note", "error"]);
        let place = &results[0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "specs/%C3%A4%20b.yaml");
        let region = json!({ "startLine": 2, "startColumn": 8, "endLine": 2, "endColumn": 19 });
        assert_eq!(place["region"], region, "columns in characters");
        assert_eq!(results[2]["message"]["text"], "second (do that)");
        assert_eq!(results[2]["relatedLocations"][0]["message"]["text"], "the first one");
        assert!(results[0].get("relatedLocations").is_none());
        assert!(!log.to_string().contains("canary-7c11"));
    }

    #[test]
    fn files_are_named_by_uri_references() {
        for (name, expected) in [
            ("specs/a.yaml", "specs/a.yaml"),
            ("./a.yaml", "a.yaml"),
            ("../a.yaml", "../a.yaml"),
            ("/tmp/a b.yaml", "file:///tmp/a%20b.yaml"),
            ("c:a#b?c%.yaml", "c%3Aa%23b%3Fc%25.yaml"),
        ] {
            assert_eq!(uri(name), expected);
        }
    }
}
