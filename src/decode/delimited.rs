//! Comma-, tab- and pipe-separated values → an array of objects of strings, named by the first row.

use serde_json::Value;

use super::{DecodeError, budget::Budget, table::Header};

const EXPECTED: &str = "a table of delimited values";

/// Reads a table. Values may be quoted with `"` whatever the delimiter is (RFC 4180); rows may differ in length.
pub(super) fn decode(text: &str, delimiter: u8) -> Result<Value, DecodeError> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut budget = Budget::new(EXPECTED);
    let mut records = reader.records();
    let mut next = || {
        records.next().transpose().map_err(|error| {
            let line = error.position().map_or(1, |position| usize::try_from(position.line()).unwrap_or(usize::MAX));
            DecodeError::at(EXPECTED, "it broke", (line, 1))
        })
    };
    let Some(first) = next()? else { return Ok(Value::Array(Vec::new())) };
    let header = Header::new(first.iter().map(str::to_owned));
    let mut rows = Vec::new();
    while let Some(record) = next()? {
        budget.spend(0)?;
        rows.push(header.row(record.iter().map(str::to_owned), &mut budget)?);
    }
    Ok(Value::Array(rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_objects_of_strings() {
        for (text, delimiter, expected) in [
            (
                "id,name\n1,Ann\n2,\"Bo, the \"\"2nd\"\"\"\n",
                b',',
                json!([{"id": "1", "name": "Ann"},
                {"id": "2", "name": "Bo, the \"2nd\""}]),
            ),
            ("id\tname\r\n1\tA|nn\r\n", b'\t', json!([{"id": "1", "name": "A|nn"}])),
            ("id|name\n1|\"A\nB\"\n\n2|", b'|', json!([{"id": "1", "name": "A\nB"}, {"id": "2", "name": ""}])),
            ("id,name\n", b',', json!([])),
            ("id,name\n1\n1,2,3\n", b',', json!([{"id": "1"}, {"id": "1", "name": "2", "3": "3"}])),
        ] {
            assert_eq!(decode(text, delimiter), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_long_header_over_many_rows_is_refused() {
        let text = format!("{}\n{}", "x".repeat(100_000), "1\n".repeat(1_000));
        let error = decode(&text, b',').expect_err("100 MB of names");
        assert!(error.reason.contains("more than"), "{error}");
    }
}
