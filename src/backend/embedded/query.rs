//! The query of a request's URL, and the limits and cursors that lists take from it.

use http::Uri;
use percent_encoding::percent_decode_str;

use super::error::ApiError;

/// The parameters of a query, percent-decoded. Of several with one name the last counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// The query of this URL.
    pub(super) fn of(uri: &Uri) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    /// The value of a parameter; nothing where it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == name)?;
        Some(found.1.as_str()).filter(|text| !text.is_empty())
    }

    /// The limit a query asks for. An empty one means the default, a higher one than the highest means the highest.
    pub(super) fn limit(&self, default: u32, highest: u32) -> Result<u32, ApiError> {
        match self.text("limit") {
            None => Ok(default),
            Some(digits)
                if digits.bytes().all(|digit| digit.is_ascii_digit()) && digits.bytes().any(|digit| digit != b'0') =>
            {
                Ok(digits.parse().unwrap_or(highest).min(highest))
            }
            Some(_) => Err(ApiError::invalid("`limit` must be a whole number above 0")),
        }
    }

    /// A whole number that may be left out.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let number = self.text(name).map(str::parse).transpose();
        number.map_err(|_| ApiError::invalid(format!("`{name}` must be an integer of 64 bits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/?{text}").parse().unwrap())
    }

    #[test]
    fn a_limit_is_defaulted_clamped_or_refused() {
        let cases = [
            ("", Some(20)),
            ("other=1&flag", Some(20)),
            ("limit", Some(20)),
            ("limit=", Some(20)),
            ("limit=1", Some(1)),
            ("x=2&limit=007", Some(7)),
            ("%6cimit=%33", Some(3)),
            ("limit=5000", Some(5000)),
            ("limit=5001", Some(5000)),
            ("limit=99999999999999999999999", Some(5000)),
            ("limit=0", None),
            ("limit=00", None),
            ("limit=-1", None),
            ("limit=1.5", None),
            ("limit=+1", None),
            ("limit=%201", None),
            ("limit=ten", None),
            ("limit=%ff", None),
            ("limit=%D9%A1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(query(text).limit(20, 5000).ok(), expected, "{text}");
        }
    }
}
