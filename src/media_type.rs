//! Media types as text (RFC 9110, section 8.3.1; suffixes by RFC 6839): what kind of content one names.

/// A media type without its parameters, in lower case.
pub fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether it names JSON.
pub fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json")
}

/// Whether it names XML.
pub fn is_xml(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence.ends_with("/xml") || essence.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_count() {
        for (media_type, json, xml) in [
            ("application/json", true, false),
            (" Text/JSON; charset=utf-8", true, false),
            ("application/merge-patch+json", true, false),
            ("application/x-ndjson", false, false),
            ("application/problem+xml;q=1", false, true),
            ("text/xml", false, true),
            ("image/png", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_json(media_type), is_xml(media_type)), (json, xml), "{media_type}");
        }
    }
}
