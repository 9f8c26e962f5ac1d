//! XML → JSON. The root element is dropped; repeated elements become arrays, attributes members; text beside them stands
//! under `""`; an element with text alone is a string. Prefixes of namespaces are dropped.
//!
//! Entities other than the five predefined ones and characters by number are errors: a document type is never read, so
//! none can be defined.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesRef, BytesStart, Event, attributes::Attribute},
};
use serde_json::{Map, Value};

use super::{DecodeError, MAX_DEPTH, budget::Budget};

const EXPECTED: &str = "well-formed XML";

/// An element that is not closed yet.
struct Open {
    name: String,
    members: Map<String, Value>,
    text: String,
    has_elements: bool,
    is_nil: bool,
}

/// Reads one document.
pub(super) fn decode(text: &str) -> Result<Value, DecodeError> {
    let mut reader = Reader::from_str(text);
    let broken = |what: &str, offset: u64| {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        DecodeError::at(EXPECTED, what, super::position(text, offset))
    };
    let mut budget = Budget::new(EXPECTED);
    let mut stack = Vec::<Open>::new();
    let mut root = None;
    loop {
        let start = reader.buffer_position();
        let event = reader.read_event().map_err(|_| broken("it broke", reader.error_position()))?;
        match event {
            Event::Start(element) | Event::Empty(element) if root.is_some() => {
                drop(element);
                return Err(broken("a second root element", start));
            }
            Event::Start(element) => {
                if stack.len() >= MAX_DEPTH {
                    return Err(broken(&format!("more than {MAX_DEPTH} levels"), start));
                }
                stack.push(open(&element, &mut budget)?.ok_or_else(|| broken("it broke", start))?);
            }
            Event::Empty(element) => {
                let element = open(&element, &mut budget)?.ok_or_else(|| broken("it broke", start))?;
                close(element, &mut stack, &mut root);
            }
            Event::End(_) => {
                if let Some(element) = stack.pop() {
                    close(element, &mut stack, &mut root);
                }
            }
            Event::Text(part) => match stack.last_mut() {
                Some(element) => element.text.push_str(&part.xml10_content()),
                None if part.trim().is_empty() => {}
                None => return Err(broken("text outside of the root element", start)),
            },
            Event::CData(part) => match stack.last_mut() {
                Some(element) => element.text.push_str(&part.xml10_content()),
                None => return Err(broken("text outside of the root element", start)),
            },
            Event::GeneralRef(reference) => match (stack.last_mut(), character(&reference)) {
                (Some(element), Some(character)) => element.text.push(character),
                _ => return Err(broken("an entity that is not predefined", start)),
            },
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
            Event::Eof if stack.is_empty() => break,
            Event::Eof => return Err(broken("an element that is not closed", start)),
        }
    }
    root.ok_or_else(|| DecodeError::new(EXPECTED, "it has no element"))
}

/// An element with its attributes. `None`: an attribute is broken.
fn open(element: &BytesStart<'_>, budget: &mut Budget) -> Result<Option<Open>, DecodeError> {
    let name = element.local_name().as_ref().to_owned();
    budget.spend(name.len())?;
    let mut open = Open { name, members: Map::new(), text: String::new(), has_elements: false, is_nil: false };
    // Looking for repeated attributes would take time with the square of their number; they become an array.
    for attribute in element.attributes().with_checks(false) {
        let Some((attribute, value)) = attribute.ok().and_then(value_of) else { return Ok(None) };
        let (name, prefix) = attribute.key.decompose();
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        if prefix.is_some() && name.as_ref() == "nil" {
            open.is_nil = value == "true" || value == "1";
            continue;
        }
        budget.spend(name.as_ref().len())?;
        add(&mut open.members, name.as_ref(), Value::String(value));
    }
    Ok(Some(open))
}

fn value_of(attribute: Attribute<'_>) -> Option<(Attribute<'_>, String)> {
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned();
    Some((attribute, value))
}

fn close(element: Open, stack: &mut [Open], root: &mut Option<Value>) {
    let Open { name, mut members, text, has_elements, is_nil } = element;
    let value = if is_nil {
        Value::Null
    } else if members.is_empty() {
        Value::String(if text.trim().is_empty() { String::new() } else { text })
    } else {
        if !text.trim().is_empty() {
            let text = if has_elements { text.trim().to_owned() } else { text };
            members.insert(String::new(), Value::String(text));
        }
        Value::Object(members)
    };
    match stack.last_mut() {
        Some(parent) => {
            parent.has_elements = true;
            add(&mut parent.members, &name, value);
        }
        None => *root = Some(value),
    }
}

/// Adds a member; one that is there already becomes an array. No value of XML is an array otherwise.
fn add(members: &mut Map<String, Value>, name: &str, value: Value) {
    match members.get_mut(name) {
        None => {
            members.insert(name.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

fn character(reference: &BytesRef<'_>) -> Option<char> {
    match reference.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok()?,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_become_members() {
        for (text, expected) in [
            (
                "<?xml version='1.0'?><root><user><id>1</id></user><user><id>2</id></user></root>",
                json!({"user": [{"id": "1"}, {"id": "2"}]}),
            ),
            ("<r><a>1</a><b/><a>2</a><a x='3'/></r>", json!({"a": ["1", "2", {"x": "3"}], "b": ""})),
            ("<r a='1 &amp; 2'>text</r>", json!({"a": "1 & 2", "": "text"})),
            ("<r>just text</r>", json!("just text")),
            ("<r/>", json!("")),
            ("<r> <a> x </a> </r>", json!({"a": " x "})),
            ("<r>one <b>two</b> three</r>", json!({"b": "two", "": "one  three"})),
            ("<n:r xmlns:n='u' xmlns='v'><n:a n:x='1'>t</n:a></n:r>", json!({"a": {"x": "1", "": "t"}})),
            ("<r><a>&lt;&#65;&#x42;<![CDATA[<&>]]></a><!-- no --></r>", json!({"a": "<AB<&>"})),
            ("<r xmlns:xsi='i'><a xsi:nil='true'/><b nil='x'/></r>", json!({"a": null, "b": {"nil": "x"}})),
            ("<!DOCTYPE r SYSTEM 'x'>\n<r><a>1\r\n2</a></r>\n", json!({"a": "1\n2"})),
        ] {
            assert_eq!(decode(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused_at_its_place() {
        for (text, reason) in [
            ("<a><b></a>", "it broke at line 1, column 7"),
            ("<a>\n<b>", "an element that is not closed at line 2, column 4"),
            ("<a/><b/>", "a second root element at line 1, column 5"),
            ("<a/>x", "text outside of the root element at line 1, column 5"),
            ("<a b=1/>", "it broke at line 1, column 1"),
            ("<a>&x;</a>", "an entity that is not predefined at line 1, column 4"),
            ("<!-- -->", "it has no element"),
        ] {
            assert_eq!(decode(text).map_err(|error| error.reason), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let laughs = "<!DOCTYPE r [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><r>&b;</r>";
        assert!(decode(laughs).is_err());
        let in_attribute = "<!DOCTYPE r [<!ENTITY a \"ha\">]><r x=\"&a;\"/>";
        assert!(decode(in_attribute).is_err());
        assert!(decode(&"<a>".repeat(100_000)).is_err());
        let deep = format!("{}{}", "<a>".repeat(MAX_DEPTH), "</a>".repeat(MAX_DEPTH));
        assert!(decode(&deep).is_ok());
    }
}
