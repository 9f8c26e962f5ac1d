//! What each known client takes, by a dated table of their rules: every shipped tool suits all of them.
//!
//! The rules are in `tests/fixtures/client-profiles.json`, apart from the code because clients change often.

use keyglass::{
    clock::Clock,
    config::Options,
    mcp,
    setup::{Purpose, Setup, setup},
    shipped::Group,
};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clients::inner_schemas;

const PROFILES: &str = include_str!("../fixtures/client-profiles.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The day on which the rules were gathered.
    as_of: String,
    /// What a user calls the server in a client's settings.
    server_name: String,
    clients: Vec<Profile>,
}

/// The rules of one client. What it has no rule for is left out.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Profile {
    client: String,
    /// What the client puts before a tool's name, `{server}` being the server's.
    prefix: String,
    /// Matches the name with its prefix.
    tool_name: Option<String>,
    /// Matches the name of every property of the input.
    property_name: Option<String>,
    /// Keywords that the root of the input may not have.
    root_without: Vec<String>,
    /// Keywords that no part of the input may have.
    input_without: Vec<String>,
    /// Keywords that the client drops, which loses little where they are at the root of the input alone.
    input_only_at_the_root: Vec<String>,
    /// Whether `type` may not be a list in the input.
    single_types: bool,
    arrays_have_items: bool,
    /// Whether the output's root has to be `type: object`.
    output_is_an_object: bool,
    /// All formats that are known.
    formats: Option<Vec<String>>,
    /// Members of the tool or its annotations that have to be there.
    needs: Vec<String>,
    /// How many tools there may be.
    tools: Option<usize>,
    /// Characters.
    tool_description: Option<usize>,
    /// Characters.
    property_description: Option<usize>,
    /// Characters.
    instructions: Option<usize>,
    /// Of the list of tools as compact JSON.
    list_bytes: Option<usize>,
}

impl Profile {
    /// What of this server the client would refuse, cut or drop.
    fn faults(&self, server_name: &str, tools: &[Value], instructions: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.tools.is_some_and(|most| tools.len() > most) {
            found.push(format!("{} tools", tools.len()));
        }
        let bytes = tools.iter().map(|tool| tool.to_string().len()).sum::<usize>();
        if self.list_bytes.is_some_and(|most| bytes > most) {
            found.push(format!("{bytes} bytes of tools"));
        }
        if is_longer(&json!(instructions), self.instructions) {
            found.push("the instructions' length".to_owned());
        }
        for tool in tools {
            let name = tool["name"].as_str().unwrap_or_default();
            self.tool(&self.prefix.replace("{server}", server_name), tool, &mut |fault| {
                found.push(format!("{name}: {fault}"));
            });
        }
        found
    }

    fn tool(&self, prefix: &str, tool: &Value, fault: &mut dyn FnMut(String)) {
        let name = tool["name"].as_str().unwrap_or_default();
        if !suits(&format!("{prefix}{name}"), self.tool_name.as_deref()) {
            fault("the name".to_owned());
        }
        if is_longer(&tool["description"], self.tool_description) {
            fault("the description's length".to_owned());
        }
        for member in &self.needs {
            let there = if member.ends_with("Hint") {
                tool["annotations"][member].is_boolean()
            } else {
                tool[member].as_str().is_some_and(|text| !text.is_empty())
            };
            if !there {
                fault(format!("no `{member}`"));
            }
        }
        if tool["inputSchema"]["type"] != "object" {
            fault("the input is no object".to_owned());
        }
        for keyword in self.root_without.iter().filter(|keyword| tool["inputSchema"].get(keyword).is_some()) {
            fault(format!("`{keyword}` at the input's root"));
        }
        self.input(&tool["inputSchema"], "input", fault);
        if let Some(output) = tool.get("outputSchema") {
            if self.output_is_an_object && output["type"] != "object" {
                fault("the output is no object".to_owned());
            }
            self.any(output, "output", fault);
        }
    }

    fn input(&self, schema: &Value, place: &str, fault: &mut dyn FnMut(String)) {
        self.schema(schema, place, fault);
        for keyword in self.input_without.iter().filter(|keyword| schema.get(keyword).is_some()) {
            fault(format!("{place}: `{keyword}`"));
        }
        for keyword in self.input_only_at_the_root.iter().filter(|keyword| schema.get(keyword).is_some()) {
            if place != "input" {
                fault(format!("{place}: `{keyword}`"));
            }
        }
        if self.single_types && schema["type"].is_array() {
            fault(format!("{place}: a list of types"));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if !suits(name, self.property_name.as_deref()) {
                fault(format!("{place}: the property `{name}`"));
            }
            if is_longer(&property["description"], self.property_description) {
                fault(format!("{place}: the description of `{name}`"));
            }
        }
        for (place, inner) in inner_schemas(schema, place) {
            self.input(inner, &place, fault);
        }
    }

    fn any(&self, schema: &Value, place: &str, fault: &mut dyn FnMut(String)) {
        self.schema(schema, place, fault);
        for (place, inner) in inner_schemas(schema, place) {
            self.any(inner, &place, fault);
        }
    }

    /// The rules that hold for every part of input and output.
    fn schema(&self, schema: &Value, place: &str, fault: &mut dyn FnMut(String)) {
        let kinds = &schema["type"];
        let is_array = kinds == "array" || kinds.as_array().is_some_and(|kinds| kinds.contains(&json!("array")));
        if self.arrays_have_items && is_array && schema.get("items").is_none() {
            fault(format!("{place}: an array without `items`"));
        }
        if let (Some(known), Some(format)) = (&self.formats, schema["format"].as_str())
            && !known.iter().any(|known| known == format)
        {
            fault(format!("{place}: the format `{format}`"));
        }
    }
}

fn suits(name: &str, pattern: Option<&str>) -> bool {
    pattern.is_none_or(|pattern| Regex::new(pattern).expect("a pattern").is_match(name))
}

fn is_longer(text: &Value, most: Option<usize>) -> bool {
    most.is_some_and(|most| text.as_str().unwrap_or_default().chars().count() > most)
}

fn table() -> Table {
    serde_json::from_str(PROFILES).expect("profiles")
}

fn shipped(group: &str) -> Setup {
    let options = Options { group: vec![group.to_owned()], ..Options::default() };
    setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up")
}

#[test]
fn every_client_takes_every_shipped_tool() {
    let table = table();
    assert_eq!(table.as_of.len(), "2026-11-21".len());
    for group in Group::ALL.into_iter().map(Group::name).chain(["all"]) {
        let set_up = shipped(group);
        let listing = mcp::listing(&set_up.gateway);
        let tools = listing["tools"].as_array().expect("tools");
        assert!(!tools.is_empty(), "{group}");
        for profile in &table.clients {
            let faults = profile.faults(&table.server_name, tools, set_up.gateway.instructions());
            assert_eq!(faults, [""; 0], "{} with the tools of `{group}`", profile.client);
        }
    }
}

#[test]
fn each_rule_is_seen_to_be_broken() {
    let tool = || {
        json!({
            "name": "a", "title": "T", "description": "D", "annotations": {"readOnlyHint": true},
            "inputSchema": {"type": "object", "properties": {"p": {"type": "string"}}},
            "outputSchema": {"type": "object", "properties": {}},
        })
    };
    let property = |property: Value| {
        let mut tool = tool();
        tool["inputSchema"]["properties"]["p"] = property;
        tool
    };
    let without = |member: &str| {
        let mut tool = tool();
        tool.as_object_mut().expect("an object").remove(member);
        tool
    };
    let with = |member: &str, value: Value| {
        let mut tool = tool();
        tool[member] = value;
        tool
    };
    for (rule, broken, fault) in [
        (json!({"prefix": "{server}-", "tool_name": "^.{1,7}$"}), tool(), "a: the name"),
        (json!({"property_name": "^[q]$"}), tool(), "a: input: the property `p`"),
        (json!({"root_without": ["properties"]}), tool(), "a: `properties` at the input's root"),
        (json!({"input_without": ["const"]}), property(json!({"const": 1})), "a: input/p: `const`"),
        (
            json!({"input_only_at_the_root": ["additionalProperties"]}),
            property(json!({"additionalProperties": false})),
            "a: input/p: `additionalProperties`",
        ),
        (json!({"single_types": true}), property(json!({"type": ["string", "null"]})), "a: input/p: a list of types"),
        (
            json!({"arrays_have_items": true}),
            property(json!({"anyOf": [{"type": "array"}]})),
            "a: input/p/anyOf: an array without `items`",
        ),
        (json!({"output_is_an_object": true}), with("outputSchema", json!({})), "a: the output is no object"),
        (
            json!({"formats": ["uri"]}),
            with("outputSchema", json!({"items": {"format": "int64"}})),
            "a: output/items: the format `int64`",
        ),
        (json!({"needs": ["title"]}), without("title"), "a: no `title`"),
        (json!({"needs": ["readOnlyHint"]}), without("annotations"), "a: no `readOnlyHint`"),
        (json!({"tools": 0}), tool(), "1 tools"),
        (json!({"list_bytes": 9}), tool(), "bytes of tools"),
        (json!({"tool_description": 0}), tool(), "a: the description's length"),
        (
            json!({"property_description": 1}),
            property(json!({"description": "DD"})),
            "a: input: the description of `p`",
        ),
        (json!({"instructions": 2}), tool(), "the instructions' length"),
        (json!({}), without("inputSchema"), "a: the input is no object"),
    ] {
        let profile: Profile = serde_json::from_value(rule.clone()).expect("a rule");
        let faults = profile.faults("server", &[broken], "how");
        assert!(faults.len() == 1 && faults[0].ends_with(fault), "{rule}: {faults:?}");
        let lenient = Profile::default().faults("server", &[tool()], "how");
        assert_eq!(lenient, [""; 0]);
    }
}
