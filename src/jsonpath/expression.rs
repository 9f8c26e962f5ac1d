//! Regular expressions in filters: the function `match` (RFC 9535, section 2.4.6), which `=~` becomes, in the place of the
//! JSONPath crate's own, which compiles the expression anew for every value it is tried on.

use std::{cell::RefCell, collections::VecDeque};

use regex::Regex;
use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

/// How many expressions each thread remembers: enough for the filters of one path.
const REMEMBERED: usize = 16;

thread_local! {
    /// The last one used stands first; `None` where it is no expression.
    static KNOWN: RefCell<VecDeque<(String, Option<Regex>)>> = const { RefCell::new(VecDeque::new()) };
}

#[serde_json_path_macros::function(name = "match")]
fn match_whole(value: ValueType, expression: ValueType) -> LogicalType {
    let (Some(Value::String(text)), Some(Value::String(expression))) = (value.as_value(), expression.as_value()) else {
        return LogicalType::False;
    };
    KNOWN.with_borrow_mut(|known| {
        match known.iter().position(|(own, _)| own == expression) {
            Some(place) => known.swap(0, place),
            None => {
                known.truncate(REMEMBERED - 1);
                let compiled = Regex::new(&format!("(?R)^({expression})$")).ok();
                known.push_front((expression.clone(), compiled));
            }
        }
        let compiled = known.front().and_then(|(_, compiled)| compiled.as_ref());
        compiled.is_some_and(|compiled| compiled.is_match(text)).into()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::JsonPath, *};

    /// How many are found, and how many expressions are remembered then.
    fn find(path: &str) -> (Option<usize>, usize) {
        let values: Value = (0..100).map(|number| json!({"name": format!("a{number}"), "count": number})).collect();
        KNOWN.with_borrow_mut(VecDeque::clear);
        let found = JsonPath::parse(path).expect("a path").select(&values);
        (found.as_ref().and_then(Value::as_array).map(Vec::len), KNOWN.with_borrow(VecDeque::len))
    }

    #[test]
    fn an_expression_is_compiled_once_for_all_values() {
        for (path, expected) in [
            ("$[?(@.name =~ /A.*9/i)]", (10, 1)),
            ("$[?(@.name =~ /a1./ || @.name =~ /a2./)]", (20, 2)),
            ("$[?(@.name =~ /1/)]", (0, 1)),
            ("$[?(@.name =~ /(/)]", (0, 1)),
            ("$[?(@.count =~ /.*/)]", (0, 0)),
        ] {
            assert_eq!(find(path), (Some(expected.0), expected.1), "{path}");
        }
    }

    #[test]
    fn so_many_expressions_are_remembered() {
        let filters: Vec<String> = (0..REMEMBERED + 5).map(|number| format!("@.name =~ /a{number}/")).collect();
        assert_eq!(find(&format!("$[?({})]", filters.join(" || "))), (Some(REMEMBERED + 5), REMEMBERED));
    }
}
