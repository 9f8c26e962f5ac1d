//! Paths into JSON as specs write them: the dialect of Jayway JsonPath, brought to that of RFC 9535, which
//! `serde_json_path` evaluates. The only folder that names that crate. Must not know what a path is for.
//!
//! What differs: `$.` is the root, the leading `$` may be left out, names in dot notation hold any character but `.`,
//! `[` and what looks like a function, filters know `=~`, `in`, `nin`, `size` and `empty`, a path may end in a function,
//! and a path that can only mean one place gives the value itself, not a list with one value in it.

mod filter;
mod normal;
mod regex;

use std::fmt;

use serde_json::{Number, Value};

use self::normal::Normalizer;

/// Longest path that is read, in bytes. Longer ones are no paths that a person wrote.
const MAX_BYTES: usize = 4_096;

/// How many values, those inside others included, a path may give. What it finds may lie inside one another, and each is
/// copied whole.
const MAX_FOUND: usize = 1_000_000;
/// How many values a path that descends twice may go through: all that are below each of those it comes to at first.
const MAX_PASSED: usize = 10_000_000;

/// A path. Equal to another one of the same text.
#[derive(Clone)]
pub struct JsonPath {
    text: String,
    path: serde_json_path::JsonPath,
    /// Whether it can only mean one place.
    definite: bool,
    /// How often it descends to any depth.
    descents: usize,
    function: Option<Function>,
    /// For paths that end in `.length`: what that may be the length of.
    length_of: Option<serde_json_path::JsonPath>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no JSONPath: {reason}")]
pub struct JsonPathError {
    /// The text, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A path that finds too much in a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path `{path}` finds too many values")]
pub struct TooMuch {
    /// The path, shortened.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Length,
    Min,
    Max,
    Avg,
    Sum,
    Keys,
    First,
    Last,
}

impl JsonPath {
    /// Reads a path. Errors: not a path of the dialect; a function or an operator that is not run.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let fail = |reason: String| JsonPathError { text: text.chars().take(80).collect(), reason };
        if text.len() > MAX_BYTES {
            return Err(fail(format!("it is longer than {MAX_BYTES} bytes")));
        }
        let normal = Normalizer::new(text.trim()).read().map_err(fail)?;
        let strict =
            |path: &str| serde_json_path::JsonPath::parse(path).map_err(|error| fail(error.message().to_owned()));
        Ok(Self {
            text: text.to_owned(),
            path: strict(&normal.path)?,
            definite: normal.definite,
            descents: normal.descents,
            function: normal.function,
            length_of: normal.length_of.as_deref().map(strict).transpose()?,
        })
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the path is that of the whole value: `$` or `$.`.
    pub fn is_root(&self) -> bool {
        matches!(self.text.trim(), "$" | "$.")
    }

    /// What is at the path. A path that can only mean one place gives the value there, `None` where nothing is; any other
    /// gives an array of what it finds, which may be empty. A function gives `None` where it has no meaning.
    ///
    /// Error: a path that finds more than a million values, or goes through more than ten million of them.
    pub fn select(&self, value: &Value) -> Result<Option<Value>, TooMuch> {
        let too_much = || TooMuch { path: self.text.chars().take(80).collect() };
        if self.descents > 1 {
            let mut left = MAX_PASSED;
            pass(value, 1, &mut left).ok_or_else(too_much)?;
        }
        let nodes = self.path.query(value);
        let found = match (self.definite, self.function) {
            (false, None) => return copied(nodes).map(Some).ok_or_else(too_much),
            (false, Some(function)) => function.apply(&copied(nodes).ok_or_else(too_much)?),
            (true, Some(function)) => nodes.first().and_then(|node| function.apply(node)),
            (true, None) => nodes.first().cloned().or_else(|| self.length(value)),
        };
        Ok(found)
    }

    /// The length of the list that stands before `.length`.
    fn length(&self, value: &Value) -> Option<Value> {
        let parent = self.length_of.as_ref()?.query(value).first()?;
        parent.is_array().then(|| Function::Length.apply(parent))?
    }
}

/// The values as an array, unless they are too many.
fn copied<'a>(nodes: impl IntoIterator<Item = &'a Value>) -> Option<Value> {
    let mut left = MAX_FOUND;
    let each = nodes.into_iter().map(|node| {
        take(node, &mut left)?;
        Some(node.clone())
    });
    each.collect::<Option<Vec<_>>>().map(Value::Array)
}

/// Takes a value with all that is in it from what is left.
fn take(value: &Value, left: &mut usize) -> Option<()> {
    *left = left.checked_sub(1)?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| take(item, left)),
        Value::Object(members) => members.values().try_for_each(|member| take(member, left)),
        _ => Some(()),
    }
}

/// Takes what is left for every value as often as there are values that hold it.
fn pass(value: &Value, depth: usize, left: &mut usize) -> Option<()> {
    *left = left.checked_sub(depth)?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| pass(item, depth + 1, left)),
        Value::Object(members) => members.values().try_for_each(|member| pass(member, depth + 1, left)),
        _ => Some(()),
    }
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JsonPath {}

impl fmt::Debug for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "JsonPath({:?})", self.text)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::str::FromStr for JsonPath {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "length" | "size" | "count" => Self::Length,
            "min" => Self::Min,
            "max" => Self::Max,
            "avg" => Self::Avg,
            "sum" => Self::Sum,
            "keys" => Self::Keys,
            "first" => Self::First,
            "last" => Self::Last,
            _ => return None,
        })
    }

    fn apply(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Length, Value::Array(items)) => Some(items.len().into()),
            (Self::Length, Value::Object(members)) => Some(members.len().into()),
            (Self::Length, Value::String(text)) => Some(text.chars().count().into()),
            (Self::Keys, Value::Object(members)) => Some(members.keys().cloned().collect()),
            (Self::First, Value::Array(items)) => items.first().cloned(),
            (Self::Last, Value::Array(items)) => items.last().cloned(),
            (Self::Min | Self::Max | Self::Avg | Self::Sum, Value::Array(items)) => {
                let numbers = items.iter().filter_map(Value::as_number).collect::<Vec<_>>();
                self.reduce(&numbers).map(Value::Number)
            }
            _ => None,
        }
    }

    /// One number of many; whole where all are, except for the average.
    fn reduce(self, numbers: &[&Number]) -> Option<Number> {
        let floats = || numbers.iter().filter_map(|number| number.as_f64());
        let order = |one: &&&Number, other: &&&Number| {
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            one.total_cmp(&other)
        };
        match self {
            Self::Min => numbers.iter().min_by(order).map(|number| (*number).clone()),
            Self::Max => numbers.iter().max_by(order).map(|number| (*number).clone()),
            Self::Avg => {
                let count = u32::try_from(numbers.len()).ok().filter(|count| *count > 0)?;
                Number::from_f64(floats().sum::<f64>() / f64::from(count))
            }
            Self::Sum => {
                let whole = numbers.iter().try_fold(0_i64, |sum, number| sum.checked_add(number.as_i64()?));
                whole.map(Number::from).or_else(|| Number::from_f64(floats().sum()))
            }
            Self::Length | Self::Keys | Self::First | Self::Last => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{normal::quoted, *};

    fn sample() -> Value {
        json!({
            "get-ship": {"x": 1},
            "first name": "Ann",
            "price (usd)": 3,
            "@id": "i",
            "$ref": "r",
            "it's": 5,
            "null": null,
            "items": [
                {"id": "a", "n": 3, "tags": ["x", "y"], "in-stock": true, "first name": "A"},
                {"id": "b", "n": 1, "tags": [], "in-stock": false},
                {"id": "c", "n": 2.5, "tags": ["z"], "deep": {"id": "d"}}],
            "numbers": [3, 1, 2],
            "length": 7,
            "size": {"length": "own"},
        })
    }

    #[test]
    fn a_path_that_descends_twice_goes_through_so_many_values() {
        let nested = |depth: usize| (0..depth).fold(json!(vec![0; 100_000]), |inner, _| json!([inner]));
        for (path, depth, expected) in [
            ("$..x..y", 50, Ok(Some(json!([])))),
            ("$..x", 120, Ok(Some(json!([])))),
            ("$..x..y", 120, Err(TooMuch { path: "$..x..y".to_owned() })),
            ("$..*..x", 120, Err(TooMuch { path: "$..*..x".to_owned() })),
        ] {
            assert_eq!(JsonPath::parse(path).expect(path).select(&nested(depth)), expected, "{path} {depth}");
        }
    }

    #[test]
    fn a_path_that_means_one_place_gives_what_is_there() {
        for (path, expected) in [
            ("$.get-ship.x", Some(json!(1))),
            ("$.first name", Some(json!("Ann"))),
            ("$.items[0].first name", Some(json!("A"))),
            ("$.price (usd)", Some(json!(3))),
            ("$.@id", Some(json!("i"))),
            ("$.$ref", Some(json!("r"))),
            ("$.it's", Some(json!(5))),
            ("$['it\\'s']", Some(json!(5))),
            ("$[\"first name\"]", Some(json!("Ann"))),
            ("$.['get-ship'].['x']", Some(json!(1))),
            ("$['get\\u002dship']", Some(json!({"x": 1}))),
            ("get-ship.x", Some(json!(1))),
            (" $.numbers[-1] ", Some(json!(2))),
            ("$.items[ 1 ].tags", Some(json!([]))),
            ("$.null", Some(Value::Null)),
            ("$.absent", None),
            ("$.absent.more", None),
            ("$.numbers[3]", None),
            ("$.numbers.0", None),
        ] {
            assert_eq!(JsonPath::parse(path).expect(path).select(&sample()), Ok(expected), "{path}");
        }
        for root in ["$", "$.", " $. "] {
            let path = JsonPath::parse(root).expect(root);
            assert!(path.is_root());
            assert_eq!(path.select(&json!([1])), Ok(Some(json!([1]))));
        }
        assert!(!JsonPath::parse("$.a").expect("a path").is_root());
    }

    #[test]
    fn what_a_path_finds_is_bounded() {
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(JsonPath::parse(&format!("${}", "[*,*]".repeat(9))).is_ok());
        for brackets in ["[*,*]", "[0,0]", "[0:1,0:1]"] {
            let error = JsonPath::parse(&format!("${}", brackets.repeat(40))).expect_err(brackets);
            assert!(error.reason.contains("ways"), "{error}");
        }
        let all = JsonPath::parse("$..*..*").expect("a path");
        assert!(all.select(&deep(20)).is_ok());
        let too_many = all.select(&Value::Array(vec![deep(100); 50]));
        assert!(too_many.is_err(), "50 × C(100, 2) values with up to 100 in each");
    }

    #[test]
    fn any_other_path_gives_an_array() {
        for (path, expected) in [
            ("$.numbers[*]", json!([3, 1, 2])),
            ("$.numbers.*", json!([3, 1, 2])),
            ("$.items[*].id", json!(["a", "b", "c"])),
            ("$..id", json!(["a", "b", "c", "d"])),
            ("$.items..id", json!(["a", "b", "c", "d"])),
            ("$..['in-stock']", json!([true, false])),
            ("$.numbers[0,2]", json!([3, 2])),
            ("$.items[0]['id', 'n']", json!(["a", 3])),
            ("$.numbers[1:]", json!([1, 2])),
            ("$.numbers[-2:]", json!([1, 2])),
            ("$.numbers[:1]", json!([3])),
            ("$.numbers[?(@ > 1)]", json!([3, 2])),
            ("$.items[?(@.n >= 2.5)].id", json!(["a", "c"])),
            ("$.items[?@.id == 'b'].n", json!([1])),
            ("$.items[?(@.id != \"b\" && @.n < 3 || @.id=='a')].id", json!(["a", "c"])),
            ("$.items[?(@.deep)].id", json!(["c"])),
            ("$.items[?(!@.deep)].id", json!(["a", "b"])),
            ("$.items[?(!(@.deep || @.id == 'a'))].id", json!(["b"])),
            ("$.items[?(@.in-stock == true)].id", json!(["a"])),
            ("$.items[?(@['first name'] == 'A')].id", json!(["a"])),
            ("$.items[?(@.deep.id == 'd')].id", json!(["c"])),
            ("$.items[?(@.tags[0] == 'x')].id", json!(["a"])),
            ("$.items[?(@.id in ['a', 'c'])].id", json!(["a", "c"])),
            ("$.items[?(@.id nin ['a', 'c'])].id", json!(["b"])),
            ("$.items[?(@.id in [])].id", json!([])),
            ("$.items[?(@.id =~ /[AB]/i)].id", json!(["a", "b"])),
            ("$.items[?(@.id =~ /a|x\\/y/)].id", json!(["a"])),
            ("$.items[?(@.tags size 2)].id", json!(["a"])),
            ("$.items[?(@.tags.length() == 1)].id", json!(["c"])),
            ("$.items[?(@.tags empty true)].id", json!(["b"])),
            ("$.items[?(@.tags empty false)].id", json!(["a", "c"])),
            ("$.items[?(@.n == $.numbers[1])].id", json!(["b"])),
            ("$.absent[*]", json!([])),
        ] {
            let parsed = JsonPath::parse(path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed.select(&sample()), Ok(Some(expected)), "{path}");
        }
    }

    #[test]
    fn a_path_may_end_in_a_function() {
        for (path, expected) in [
            ("$.numbers.length()", Some(json!(3))),
            ("$.numbers.size()", Some(json!(3))),
            ("$.get-ship.length()", Some(json!(1))),
            ("$.first name.length()", Some(json!(3))),
            ("$.items[*].tags[*].length()", Some(json!(3))),
            ("$.items[?(@.n > 1)].length()", Some(json!(2))),
            ("$.numbers.sum()", Some(json!(6))),
            ("$.items[*].n.sum()", Some(json!(6.5))),
            ("$..n.max()", Some(json!(3))),
            ("$.numbers.min()", Some(json!(1))),
            ("$.numbers.avg()", Some(json!(2.0))),
            ("$.absent[*].avg()", None),
            ("$.absent[*].sum()", Some(json!(0))),
            ("$.numbers.first()", Some(json!(3))),
            ("$.numbers.last()", Some(json!(2))),
            ("$.get-ship.keys()", Some(json!(["x"]))),
            ("$.absent.length()", None),
            ("$.null.length()", None),
            ("$.first name.sum()", None),
        ] {
            assert_eq!(JsonPath::parse(path).expect(path).select(&sample()), Ok(expected), "{path}");
        }
        assert_eq!(JsonPath::parse("length()").expect("a path").select(&json!([1])), Ok(Some(json!(1))));
    }

    #[test]
    fn length_is_a_member_and_else_that_of_an_array() {
        for (path, value, expected) in [
            ("$.length", json!([1, 2]), Some(json!(2))),
            ("$.a.length", json!({"a": []}), Some(json!(0))),
            ("$.length", sample(), Some(json!(7))),
            ("$.size.length", sample(), Some(json!("own"))),
            ("$.length", json!({}), None),
            ("$.length", json!("text"), None),
            ("$.length.x", json!([1]), None),
        ] {
            assert_eq!(JsonPath::parse(path).expect(path).select(&value), Ok(expected), "{path} {value}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_a_reason() {
        let long = format!("$.{}", "a".repeat(MAX_BYTES));
        let deep = format!("$[?{}@.a{}]", "(".repeat(1_000), ")".repeat(1_000));
        for (path, reason) in [
            ("", "empty"),
            ("$..", "a name after"),
            ("$.a.", "a name after"),
            ("$.a..length()", "after `..`"),
            ("$a", "before `a`"),
            ("$.a[", "not closed"),
            ("$.a[']", "not closed"),
            ("$.a[b]", "`b` must be a number"),
            ("$.a[(@.length-1)]", "must be a number"),
            ("$.a['b'c]", "before `c`"),
            ("$[1]x", "before `x`"),
            ("$[?(@.a =~ /(\\w{20}){5}/)]", "too large"),
            ("$[?(@.a =~ /(/)]", "is not a regular expression"),
            ("$[?(@.a =~ /a)(b/)]", "is not a regular expression"),
            ("$..a..b..c..d..e", "more than 2 times"),
            ("$.a.index(1)", "unknown function `index`"),
            ("$.a.sum().b", "at the end"),
            ("$.a[?(@.b ~ 1)]", "`~"),
            ("$.a[?(@.b subsetof ['x'])]", "subsetof"),
            ("$.a[?(@.b == )]", ""),
            ("$.a[?]", ""),
            (&long, "longer than"),
            (&deep, "nested"),
        ] {
            let error = JsonPath::parse(path).expect_err(path);
            assert!(error.reason.contains(reason), "{path}: {error}");
            assert!(error.to_string().len() < 300);
        }
    }

    #[test]
    fn a_path_is_known_by_its_text() {
        let path = JsonPath::parse("$..id").expect("a path");
        assert_eq!(path.to_string(), "$..id");
        assert_eq!(format!("{path:?}"), "JsonPath(\"$..id\")");
        assert_eq!(path, "$..id".parse().expect("a path"));
        assert_ne!(JsonPath::parse("$"), JsonPath::parse("$."));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            if let Ok(path) = JsonPath::parse(&text) {
                let _outcome = path.select(&sample());
            }
        }

        #[test]
        fn nothing_that_looks_like_a_path_panics(
            text in prop::collection::vec(prop::sample::select(vec![
                "$", ".", "..", "[", "]", "*", "?", "(", ")", "@", "'", "\"", "items", "id", "length()", "sum()", ",", ":",
                "0", "-1", "9007199254740993", "-9223372036854775808", "1e9", "==", "<", "=~", "/", "/i", "in", "size", "&&",
                "||", "!", " ", "\\", "\\u00", "true", "null", "é", "$.items", "[?(@.n", "empty", "(?", "+", ")]", "[*]",
            ]), 0..16).prop_map(|parts| parts.concat())
        ) {
            if let Ok(path) = JsonPath::parse(&text) {
                let _outcome = path.select(&sample());
            }
        }

        #[test]
        fn any_name_is_found_in_brackets(name in "\\PC{0,20}") {
            let value = json!({ name.clone(): 1 });
            let path = JsonPath::parse(&format!("$[{}]", quoted(&name))).expect("a path");
            prop_assert_eq!(path.select(&value), Ok(Some(json!(1))));
        }
    }
}
