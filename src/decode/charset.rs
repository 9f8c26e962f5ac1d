//! Bytes → text: byte order mark, the charset of `Content-Type`, what XML and HTML say of themselves, else UTF-8.
//!
//! Encodings and their labels are those of the WHATWG Encoding Standard. Must not know what the text means.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::{DecodeError, Format};

/// How many bytes of a page are searched for its encoding, as browsers do.
const PRESCAN_BYTES: usize = 1024;

/// What becomes of bytes that are not valid in their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnInvalid {
    /// An error.
    Refuse,
    /// U+FFFD.
    Replace,
    /// Read as windows-1252, which holds ISO-8859-1, unless an encoding was stated.
    Windows1252,
}

/// The text of an answer, without a byte order mark. Error: bytes that are not valid, in formats that refuse them.
pub(super) fn to_text<'a>(
    format: &Format,
    content_type: Option<&str>,
    body: &'a [u8],
) -> Result<Cow<'a, str>, DecodeError> {
    let marked = Encoding::for_bom(body);
    let body = body.get(marked.map_or(0, |(_, length)| length)..).unwrap_or_default();
    let stated = marked
        .map(|(encoding, _)| encoding)
        .or_else(|| content_type.and_then(charset_of).and_then(|label| Encoding::for_label(label.as_bytes())))
        .or_else(|| stated_inside(format, body));
    let (text, invalid) = stated.unwrap_or(UTF_8).decode_without_bom_handling(body);
    match (invalid, format.on_invalid()) {
        (false, _) | (true, OnInvalid::Replace) => Ok(text),
        (true, OnInvalid::Windows1252) if stated.is_none() => Ok(WINDOWS_1252.decode_without_bom_handling(body).0),
        (true, OnInvalid::Windows1252) => Ok(text),
        (true, OnInvalid::Refuse) => {
            let encoding = stated.unwrap_or(UTF_8);
            let what = format!("its bytes are not valid {}", encoding.name());
            Err(match std::str::from_utf8(body) {
                Err(error) if encoding == UTF_8 => {
                    let valid = body.get(..error.valid_up_to()).unwrap_or_default();
                    let valid = String::from_utf8_lossy(valid);
                    DecodeError::at(format.expected(), &what, super::position(&valid, valid.len()))
                }
                _ => DecodeError::new(format.expected(), what),
            })
        }
    }
}

/// The `charset` of a `Content-Type`, as written.
fn charset_of(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

/// What a document says of its own encoding: the declaration of XML, the `meta` element of HTML. One that was read as
/// ASCII cannot be UTF-16, whatever it says.
fn stated_inside(format: &Format, body: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(body.get(..PRESCAN_BYTES).unwrap_or(body)).to_ascii_lowercase();
    let after = match format {
        Format::Xml => head.strip_prefix("<?xml")?.split("?>").next()?.split_once("encoding")?.1,
        Format::Html { .. } => head.split_once("<meta")?.1.split_once("charset")?.1,
        _ => return None,
    };
    let value = after.trim_start().strip_prefix('=')?.trim_start_matches([' ', '\t', '\n', '"', '\'']);
    let label =
        value.split(|character: char| !character.is_ascii_alphanumeric() && !"-_:.".contains(character)).next()?;
    let encoding = Encoding::for_label(label.as_bytes())?;
    Some(if encoding.is_ascii_compatible() { encoding } else { UTF_8 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(format: &str, content_type: &str, body: &[u8]) -> Result<String, String> {
        let format = Format::parse(format, None).expect("known");
        to_text(&format, Some(content_type), body).map(Cow::into_owned).map_err(|error| error.to_string())
    }

    #[test]
    fn the_encoding_is_the_one_that_is_stated() {
        for (format, content_type, body, expected) in [
            ("json", "application/json", &b"\xef\xbb\xbf\"\xc3\xa9\""[..], "\"é\""),
            ("json", "application/json; charset=UTF-16LE", b"\"\0\xe9\0\"\0", "\"é\""),
            ("json", "application/json; charset=utf-8", b"\xff\xfe\"\0\xe9\0\"\0", "\"é\""),
            ("json", "application/json", b"\xfe\xff\0\"\0\xe9\0\"", "\"é\""),
            ("json", "application/json; Charset=\"ISO-8859-1\"", b"\"\xe9\"", "\"é\""),
            ("json", "application/json; charset=nonsense", b"\"\xc3\xa9\"", "\"é\""),
            ("csv", "text/csv; charset=windows-1252", b"\x80", "€"),
            ("csv", "text/csv", b"\xe9", "é"),
            ("csv", "text/csv", "é".as_bytes(), "é"),
            ("text", "text/plain", b"a\xe9", "a\u{fffd}"),
            ("csv", "text/csv; charset=utf-8", b"a\xe9", "a\u{fffd}"),
            (
                "xml",
                "text/xml",
                b"<?xml version='1.0' encoding='latin1'?><a>\xe9</a>",
                "<?xml version='1.0' encoding='latin1'?><a>é</a>",
            ),
            (
                "xml",
                "text/xml",
                b"<?xml version=\"1.0\" encoding = \"UTF-16\"?><a/>",
                "<?xml version=\"1.0\" encoding = \"UTF-16\"?><a/>",
            ),
            ("html", "text/html", b"<META charset=koi8-r>\xc1", "<META charset=koi8-r>а"),
        ] {
            assert_eq!(text(format, content_type, body).as_deref(), Ok(expected), "{content_type} {body:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_valid_are_an_error_where_a_guess_would_be_wrong() {
        let error = text("json", "application/json", b"[\n \"\xe9\"]").expect_err("no UTF-8");
        assert_eq!(error, "not valid JSON: its bytes are not valid UTF-8 at line 2, column 3");
        let error = text("xml", "application/xml; charset=utf-16le", b"<\0a\0\x00").expect_err("half a unit");
        assert_eq!(error, "not well-formed XML: its bytes are not valid UTF-16LE");
    }
}
