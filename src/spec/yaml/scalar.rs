//! What a scalar stands for: the core schema of YAML 1.2.2 (section 10.3). Must not know where scalars stand.

use std::borrow::Cow;

use granit_parser::{ScalarStyle, Tag};
use serde_json::Number;

use super::Value;

/// The value of a scalar. Error: a number that JSON does not have, or a text that is not what its tag says.
pub(super) fn value(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => plain(text),
            _ => Ok(Value::String(text.into_owned())),
        };
    };
    let stands_for = match tag.core_suffix() {
        Some("str") => return Ok(Value::String(text.into_owned())),
        Some("null") => return Ok(Value::Null),
        Some(kind @ ("bool" | "int" | "float")) => kind,
        // `!` alone says that it is a text.
        _ if style != ScalarStyle::Plain || tag.parts() == ("", "!") => return Ok(Value::String(text.into_owned())),
        _ => return plain(text),
    };
    match (stands_for, plain(Cow::Borrowed(text.trim()))?) {
        ("bool", value @ Value::Bool(_)) => Ok(value),
        ("int", Value::Number(number, source)) if !number.is_f64() => Ok(Value::Number(number, source)),
        ("float", value @ Value::Number(..)) => Ok(value),
        _ => Err(format!("`{text}` is not what the tag `{}` says", tag.original())),
    }
}

/// The value of a scalar without quotes.
fn plain(text: Cow<'_, str>) -> Result<Value, String> {
    let value = match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if number.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.')) => {
            match self::number(number)? {
                Some(number) => Value::Number(number, text.into_owned()),
                None => Value::String(text.into_owned()),
            }
        }
        _ => Value::String(text.into_owned()),
    };
    Ok(value)
}

/// A number, where a text is one. Error: it is one that JSON does not have.
fn number(text: &str) -> Result<Option<Number>, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix: &str, radix: u32| u64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Ok(Some(number.into()));
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from));
        if let Ok(number) = number {
            return Ok(Some(number));
        }
    }
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err("a number must be finite".to_owned());
    }
    if !is_float(digits) {
        return Ok(None);
    }
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map(Some).ok_or_else(|| "a number must be finite".to_owned())
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    is_digits(whole)
        && is_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && is_digits(exponent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Node, *};
    use crate::diagnostic::{SourceMap, Span};

    #[test]
    fn scalars_are_read_by_the_core_schema() {
        for (text, expected) in [
            ("0", json!(0)),
            ("-19", json!(-19)),
            ("+12", json!(12)),
            ("012", json!(12)),
            ("0o14", json!(12)),
            ("0xFF", json!(255)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!(18446744073709551616.0)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-1.5e+3", json!(-1500.0)),
            ("1e3", json!(1000.0)),
            ("1e", json!("1e")),
            (".", json!(".")),
            ("-", json!("-")),
            ("1.2.3", json!("1.2.3")),
            ("1_000", json!("1_000")),
            ("0b1", json!("0b1")),
            ("-0xF", json!("-0xF")),
            ("12:30", json!("12:30")),
            ("2026-05-25", json!("2026-05-25")),
            ("inf", json!("inf")),
            ("nan", json!("nan")),
            ("infinity", json!("infinity")),
            ("yes", json!("yes")),
            ("TRUE", json!(true)),
            ("False", json!(false)),
            ("Null", json!(null)),
            ("", json!(null)),
        ] {
            let value = plain(Cow::Borrowed(text)).expect("a value");
            if let Value::Number(_, source) = &value {
                assert_eq!(source, text);
            }
            let span = Span::start_of(SourceMap::default().add("", ""));
            assert_eq!(Node { span, value }.to_json(), expected, "{text}");
        }
        for text in [".nan", "-.inf", "1e999"] {
            plain(Cow::Borrowed(text)).expect_err(text);
        }
    }
}
