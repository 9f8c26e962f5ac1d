//! What each part of the language does when it runs: specs written here, against a service that repeats what it got or
//! answers with what it is told.

use std::{fs, path::Path};

use keyglass::{
    diagnostic::{Severity, Style, render_text},
    setup::{Purpose, Setup},
};
use serde_json::{Value, json};

use crate::shipyard::{Answer, Seen, Service, call, errors, load, output, tools};

/// A loaded spec and the service behind its namespaces `api` and `other`.
struct Run {
    set_up: Setup,
    service: Service,
    _folder: tempfile::TempDir,
}

/// Everything in flow style after this: services of one operation each, and the tools.
const HEAD: &str = "ikanos: 1.0.0-beta5\ninfo: {display: T, description: T}\n";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, text).expect("written");
    }
}

impl Run {
    async fn new(spec: &str, answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> Self {
        Self::of(&[("main.yaml", &format!("{HEAD}{spec}"))], answer).await
    }

    /// Loads the first of the files.
    async fn of(files: &[(&str, &str)], answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), files);
        let service = Service::start(answer).await;
        let base = format!("{}/v1", service.url);
        let set_up = load(&folder.path().join(files[0].0), &[("api", &base), ("other", &base)], Purpose::Call);
        Self { set_up, service, _folder: folder }
    }

    fn sound(self) -> Self {
        let text = render_text(&self.set_up.diagnostics, &self.set_up.sources, Style::Plain);
        assert!(self.set_up.diagnostics.iter().all(|found| found.severity < Severity::Error), "{text}");
        self
    }

    /// Codes of warnings and errors.
    fn said(&self) -> Vec<&'static str> {
        let said = self.set_up.diagnostics.iter().filter(|found| found.severity > Severity::Note);
        said.map(|found| found.code.as_str()).collect()
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        call(&self.set_up.gateway, tool, arguments).await
    }

    /// The first lines of the requests of a call.
    async fn sends(&self, tool: &str, arguments: Value) -> Vec<String> {
        self.call(tool, arguments).await;
        self.service.lines()
    }

    /// The body of the only request of a call.
    async fn body(&self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).await;
        let requests = self.service.take();
        assert_eq!(requests.len(), 1);
        requests[0].json()
    }

    /// The arguments that a tool offers, the required ones with a star.
    fn arguments(&self, tool: &str) -> Vec<String> {
        let schema = self.set_up.gateway.tool(tool).expect("the tool").input.listed();
        let required = schema.get("required").cloned().unwrap_or_default();
        let is_required = |name: &str| required.as_array().is_some_and(|names| names.contains(&json!(name)));
        let names = schema["properties"].as_object().expect("properties").keys();
        names.map(|name| format!("{name}{}", if is_required(name) { "*" } else { "" })).collect()
    }
}

fn empty(_: &Seen) -> Answer {
    Answer::json(&json!({}))
}

/// Answers `GET /v1/NAME` with the member of that name.
fn of_members(members: Value) -> impl Fn(&Seen) -> Answer + Clone {
    move |seen| {
        let name = seen.line.rsplit('/').next().unwrap_or_default();
        let name = name.split('?').next().unwrap_or_default();
        match members.get(name) {
            Some(answer) => Answer::json(answer),
            None => Answer::json(&json!({"message": "no such member"})).with_status(404),
        }
    }
}

#[tokio::test]
async fn an_argument_is_meant_in_every_spelling() {
    let run = Run::new(
        "capability:
  consumes:
  - {namespace: api, type: http, baseUri: 'https://a.test', resources: {x: {path: 'x/{{id}}', operations: {
      get-x: {method: GET, inputParameters: {id: {in: path}, a: {in: query}, b: {in: query}, h: {in: header}}}}}}}
  exposes:
  - {type: mcp, namespace: my-tools, port: 1, tools: {
      braces: {description: D, call: api.get-x, with: {id: '{{p}}', a: '{{q}}'}, inputParameters: &in {p: {type: string}, q: {type: integer, required: false}}},
      named: {description: D, call: api.get-x, with: {id: my-tools.p, a: my-tools.q}, inputParameters: *in},
      this: {description: D, call: api.get-x, with: {id: $this.my-tools.p, a: $this.my-tools.q}, inputParameters: *in},
      tools: {description: D, call: api.get-x, with: {id: tools.p, a: tools.q}, inputParameters: *in},
      mixed: {description: D, call: api.get-x, with: {id: 'n-{{p}}/{{q}}', a: 7, b: plain, h: 'v{{q}}'}, inputParameters: *in},
      swapped: {description: D, call: api.get-x, with: {id: x, a: '{{b}}', b: '{{a}}'}, inputParameters: {a: {type: string}, b: {type: string}}},
      same: {description: D, call: api.get-x, inputParameters: {id: {type: string}, b: {type: string, required: false}}}}}
",
        empty,
    )
    .await
    .sound();
    for tool in ["braces", "named", "this", "tools"] {
        assert_eq!(run.sends(tool, json!({"p": "a b", "q": 0})).await, ["GET /v1/x/a%20b?a=0"], "{tool}");
        assert_eq!(run.sends(tool, json!({"p": "{{q}}"})).await, ["GET /v1/x/%7B%7Bq%7D%7D"], "{tool}: no second look");
        assert_eq!(run.arguments(tool), ["p*", "q"], "{tool}");
    }
    run.call("mixed", json!({"p": "P", "q": 2})).await;
    let request = run.service.take().remove(0);
    assert_eq!((request.line.as_str(), request.header("h")), ("GET /v1/x/n-P%2F2?a=7&b=plain", "v2"));
    run.call("mixed", json!({"p": "P"})).await;
    let request = run.service.take().remove(0);
    assert_eq!((request.line.as_str(), request.headers.get("h")), ("GET /v1/x/n-P%2F?a=7&b=plain", None));
    assert_eq!(run.sends("swapped", json!({"a": "1", "b": "2"})).await, ["GET /v1/x/x?a=2&b=1"]);
    assert_eq!(run.sends("same", json!({"id": "1", "b": "2"})).await, ["GET /v1/x/1?b=2"]);
    assert_eq!(run.sends("same", json!({"id": "1"})).await, ["GET /v1/x/1"]);
}

#[tokio::test]
async fn bodies_are_filled_without_breaking() {
    let run = Run::new(
        r#"capability:
  consumes:
  - namespace: api
    type: http
    baseUri: https://a.test
    resources:
      x:
        path: /x
        operations:
          text:
            method: POST
            body: |
              {"name": "{{name}}", "tags": {{tags}}, "count": {{count}}, "note": "n: {{note}}",
               "inner": {"only": {{count}}}, "list": [1, {{count}}, "{{name}}"], "fixed": null}
          object: {method: POST, body: {type: json, data: {name: '{{name}}', tags: '{{tags}}', both: '{{name}}-{{count}}', deep: [{n: '{{count}}'}], none: {c: '{{note}}'}}}}
          whole: {method: POST, body: '{{payload}}'}
          form: {method: POST, body: {type: formUrlEncoded, data: {name: '{{name}}', tag: '{{tags}}'}}}
          xml: {method: POST, body: {type: xml, data: '<a b="{{name}}">{{note}}</a>'}}
          keyed: {method: POST, body: '{"{{name}}": 1}'}
  exposes:
  - type: mcp
    namespace: t
    port: 1
    tools:
      text: {description: D, call: api.text, inputParameters: &in {name: {type: string}, tags: {type: array, required: false}, count: {type: number, required: false}, note: {type: string, required: false}}}
      object: {description: D, call: api.object, inputParameters: *in}
      whole: {description: D, call: api.whole, inputParameters: {payload: {type: object}}}
      form: {description: D, call: api.form, inputParameters: *in}
      xml: {description: D, call: api.xml, inputParameters: *in}
"#,
        empty,
    )
    .await;
    assert_eq!(errors(&run.set_up), [("invalid-value", 21)], "a name of a member is no place for an argument");
    let all = json!({"name": "a\"},{\\\n", "tags": ["x", {"y": null}], "count": 2.5, "note": "{{name}}"});
    let name = &all["name"];
    assert_eq!(
        run.body("text", all.clone()).await,
        json!({"name": name, "tags": ["x", {"y": null}], "count": 2.5, "note": "n: {{name}}", "inner": {"only": 2.5},
            "list": [1, 2.5, name], "fixed": null})
    );
    assert_eq!(run.body("text", json!({"name": "n"})).await, json!({"name": "n", "list": [1, "n"], "fixed": null}));
    assert_eq!(
        run.body("object", all.clone()).await,
        json!({"name": name, "tags": ["x", {"y": null}], "both": format!("{}-2.5", name.as_str().expect("a text")),
            "deep": [{"n": 2.5}], "none": {"c": "{{name}}"}})
    );
    assert_eq!(run.body("object", json!({"name": "n"})).await, json!({"name": "n", "both": "n-", "deep": []}));
    assert_eq!(run.body("whole", json!({"payload": {"a": [1]}})).await, json!({"a": [1]}));
    run.call("form", json!({"name": "a&b=c", "tags": ["1", "2 3"]})).await;
    let request = run.service.take().remove(0);
    assert_eq!(request.body, "name=a%26b%3Dc&tag=1&tag=2%203");
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    run.call("xml", json!({"name": "\"<x>", "note": "&"})).await;
    let request = run.service.take().remove(0);
    assert_eq!(request.body, r#"<a b="&quot;&lt;x&gt;">&amp;</a>"#);
    assert_eq!(request.header("content-type"), "application/xml");
}

#[tokio::test]
async fn steps_feed_each_other() {
    let run = Run::new(
        "capability:
  consumes:
  - namespace: api
    type: http
    baseUri: https://a.test
    resources:
      one: {path: /one, operations: {get-one: {method: GET, outputParameters: {ref: {type: string, value: $.inner.id}, all: {type: array, value: $.ids}}}}}
      two: {path: '/two/{{id}}', operations: {get-two: {method: GET, inputParameters: {id: {in: path}, q: {in: query}}}}}
      plain: {path: /plain, operations: {get-plain: {method: GET}}}
      send: {path: /send, operations: {send: {method: POST, body: '{\"ids\": {{ids}}, \"text\": \"{{text}}\", \"own\": {{own}}}'}}}
  exposes:
  - type: mcp
    namespace: t
    port: 1
    tools:
      chain:
        description: D
        inputParameters: {own: {type: integer}}
        steps:
          first: {type: call, call: api.get-one}
          second: {type: call, call: api.get-two, with: {id: '{{first.ref}}', q: $.first.all}}
          third: {type: call, call: api.send, with: {ids: '{{first.all}}', text: 'is {{second.name}}', own: t.own}}
      last: {description: D, steps: [{name: a, type: call, call: api.get-plain}, {name: b, type: call, call: api.get-one}]}
      undeclared:
        description: D
        steps: {one: {type: call, call: api.get-plain}, find: {type: lookup, index: one, match: id, lookupValue: '{{wanted}}', outputParameters: [name]}}
        mappings: [{target: found, value: $.find}, {target: asked, value: '{{wanted}}'}]
      unmapped: {description: D, steps: {a: {type: call, call: api.get-plain}}, mappings: [{target: x, value: $.a.none}]}
",
        |seen: &Seen| match seen.line.split(['?']).next().unwrap_or_default() {
            "GET /v1/one" => Answer::json(&json!({"inner": {"id": "i/1"}, "ids": ["a", "b"], "secret": 1})),
            "GET /v1/two/i%2F1" => Answer::json(&json!({"name": "N"})),
            "GET /v1/plain" => Answer::json(&json!([{"id": 1, "name": "A"}, {"id": "x", "name": "B"}])),
            "POST /v1/send" => Answer::json(&seen.json()).with_status(201),
            line => Answer::json(&json!({"message": format!("no {line}")})).with_status(404),
        },
    )
    .await
    .sound();
    let expected = json!({"ids": ["a", "b"], "text": "is N", "own": 7});
    assert_eq!(run.call("chain", json!({"own": 7})).await, expected, "the last answer");
    assert_eq!(run.service.lines(), ["GET /v1/one", "GET /v1/two/i%2F1?q=a&q=b", "POST /v1/send"]);
    assert_eq!(
        run.call("last", json!({})).await,
        json!({"ref": "i/1", "all": ["a", "b"]}),
        "as its operation gives it"
    );
    assert_eq!(run.arguments("undeclared"), ["wanted*"]);
    assert_eq!(run.call("undeclared", json!({"wanted": "x"})).await, json!({"found": {"name": "B"}, "asked": "x"}));
    assert_eq!(run.call("undeclared", json!({"wanted": "1"})).await, json!({"found": {"name": "A"}, "asked": "1"}));
    assert_eq!(run.call("undeclared", json!({"wanted": "9"})).await, json!({"asked": "9"}));
    let plain = json!({"items": [{"id": 1, "name": "A"}, {"id": "x", "name": "B"}]});
    assert_eq!(run.call("unmapped", json!({})).await, plain, "where nothing is mapped, the last answer");
}

#[tokio::test]
async fn mappings_and_outputs_may_be_nested() {
    let run = Run::new(
        "capability:
  consumes:
  - {namespace: api, type: http, baseUri: 'https://a.test', resources: {
      ship: {path: /ship, operations: {get-ship: {method: GET}}}, crew: {path: /crew, operations: {list-crew: {method: GET}}}}}
  exposes:
  - type: mcp
    namespace: t
    port: 1
    tools:
      all: &all
        description: D
        steps: &steps
          ship: {type: call, call: api.get-ship}
          crew: {type: call, call: api.list-crew}
          found: {type: lookup, index: crew, match: id, lookupValue: $.ship.crew, outputParameters: [name]}
          captain: {type: lookup, index: $.crew.list, match: id, lookupValue: '{{ship.captain}}'}
        mappings: &mappings
        - {target: ship.name, value: $.ship.name}
        - {target: ship.size.length, value: $.ship.length}
        - {target: ship.tags, value: '$.ship.tags[*].t'}
        - {target: crew, value: $.found}
        - {target: captain, value: $.captain.name}
        - {target: none.at.all, value: $.ship.gone}
        - {target: text, value: '{{ship.name}} of {{ship.length}}'}
        - {target: ship.crew, value: '$.crew.list[1].id'}
        - {target: more, value: $.crew.total}
        outputParameters:
          ship: {type: object, properties: {name: {type: string}, size: {type: object, properties: {length: {type: string}}}, tags: {type: array}}}
          crew: {type: array, items: {name: {type: string}}}
          captain: {type: string}
          text: {type: string}
          absent: {type: number}
      bare: {description: D, steps: *steps, mappings: *mappings}
",
        of_members(json!({
            "ship": {"name": "K", "length": 12.5, "crew": [2, "1", 9], "captain": 1, "tags": [{"t": 1}, {"t": 2}]},
            "crew": {"total": 2, "list": [{"id": "1", "name": "A", "x": 1}, {"id": 2, "name": "B"}]},
        })),
    )
    .await
    .sound();
    let mut expected = json!({"ship": {"name": "K", "size": {"length": "12.5"}, "tags": [1, 2], "crew": 2},
        "crew": [{"name": "B"}, {"name": "A"}], "captain": "A", "text": "K of 12.5", "more": 2});
    assert_eq!(run.call("all", json!({})).await, expected, "of the declared types, with what no output declares");
    expected["ship"]["size"]["length"] = json!(12.5);
    assert_eq!(run.call("bare", json!({})).await, expected, "as they were");
}

#[tokio::test]
async fn fixed_values_have_the_declared_types() {
    let run = Run::new(
        "capability:
  exposes:
  - type: mcp
    namespace: t
    port: 1
    tools:
      nested:
        description: D
        inputParameters: {who: {type: string}, n: {type: integer, required: false}}
        outputParameters:
          text: {type: string, value: 'Hi {{who}}!'}
          count: {type: integer, value: '{{n}}'}
          five: {type: number, value: '5'}
          yes: {type: boolean, value: 'true'}
          inner: {type: object, properties: {who: {type: string, value: '{{t.who}}'}, more: {type: object, properties: {one: {type: number, value: 1}}}}}
          list: {type: array, items: {type: object, properties: {name: {type: string, value: '{{who}}'}, n: {type: number, value: '2'}}}}
          words: {type: array, items: {type: string, value: 'w {{who}}'}}
      list: {description: D, outputParameters: [{type: array, items: {type: object, properties: {who: {type: string, value: 'x {{who}}'}}}}]}
      one: {description: D, outputParameters: [{type: integer, value: '{{n}}'}]}
",
        empty,
    )
    .await
    .sound();
    assert_eq!(
        run.call("nested", json!({"who": "A \"b\"", "n": 3})).await,
        json!({"text": "Hi A \"b\"!", "count": 3, "five": 5, "yes": true,
            "inner": {"who": "A \"b\"", "more": {"one": 1}}, "list": [{"name": "A \"b\"", "n": 2}],
            "words": ["w A \"b\""]})
    );
    assert!(run.call("nested", json!({"who": "x"})).await.get("count").is_none());
    assert_eq!(run.arguments("list"), ["who"]);
    assert_eq!(run.call("list", json!({"who": "y"})).await, json!({"items": [{"who": "x y"}]}));
    assert_eq!(run.call("one", json!({"n": "4"})).await, json!({"result": 4}));
    assert!(run.service.take().is_empty());
}

#[tokio::test]
async fn tools_refer_to_flows() {
    let run = Run::new(
        "capability:
  consumes:
  - {namespace: api, type: http, baseUri: 'https://a.test', resources: {x: {path: '/x/{{id}}', operations: {
      get-x: {method: GET, inputParameters: {id: {in: path}, q: {in: query}, w: {in: query}}}, del-x: {method: DELETE, inputParameters: {id: {in: path}}}}}}}
  aggregates:
  - namespace: flows
    flows:
      get: {description: G, semantics: {safe: true, idempotent: true}, call: api.get-x, with: {id: flows.key, q: '{{word}}'}, inputParameters: {key: {type: string}, word: {type: string, required: false}}, outputParameters: [{type: string, mapping: $.name}]}
      twice: {description: F, inputParameters: {key: {type: string}}, steps: {a: {call: api.get-x, with: {id: flows.key}}, b: {call: api.get-x, with: {id: '{{a.next}}', q: flows.key}}}, mappings: [{target: k, value: '{{key}}'}, {target: n, value: $.b.name}]}
      wipe: {description: F, semantics: {safe: true}, call: api.del-x, with: {id: '{{key}}'}, inputParameters: {key: {type: string}}}
  exposes:
  - type: mcp
    namespace: t
    port: 1
    tools:
      plain: {ref: flows.get}
      own: {description: O, ref: flows.get, inputParameters: {name: {type: string}, word: {type: string, required: false}}, with: {key: t.name}}
      fixed: {ref: flows.get, with: {word: always}}
      passed: {ref: flows.get, with: {key: '{{key}}', word: t.word}}
      shaped: {ref: flows.get, outputParameters: [{type: object, properties: {n: {type: string, mapping: $.name}}}]}
      twice: {ref: flows.twice, inputParameters: {id: {type: string}}, with: {key: 'k-{{id}}'}}
      wipe: {ref: flows.wipe}
",
        |_: &Seen| Answer::json(&json!({"name": "N", "next": "2"})),
    )
    .await
    .sound();
    assert_eq!(run.said(), ["contradictory-hints"; 2], "a flow that deletes is not safe");
    assert_eq!(run.call("plain", json!({"key": "a", "word": "b"})).await, json!({"result": "N"}));
    assert_eq!(run.service.lines(), ["GET /v1/x/a?q=b"]);
    assert_eq!(run.set_up.gateway.tool("plain").expect("the tool").description, "G");
    assert_eq!(run.arguments("own"), ["name*", "word"]);
    assert_eq!(run.sends("own", json!({"name": "a", "word": "b"})).await, ["GET /v1/x/a?q=b"]);
    assert_eq!(run.arguments("fixed"), ["key*"]);
    assert_eq!(run.sends("fixed", json!({"key": "a"})).await, ["GET /v1/x/a?q=always"]);
    assert_eq!(run.arguments("passed"), ["key*", "word"]);
    assert_eq!(run.sends("passed", json!({"key": "a", "word": "b"})).await, ["GET /v1/x/a?q=b"]);
    assert_eq!(run.call("shaped", json!({"key": "a"})).await, json!({"n": "N"}));
    run.service.take();
    assert_eq!(run.call("twice", json!({"id": "7"})).await, json!({"k": "k-7", "n": "N"}));
    assert_eq!(run.service.lines(), ["GET /v1/x/k-7", "GET /v1/x/2?q=k-7"]);
    let hints = |tool| run.set_up.gateway.tool(tool).expect("the tool").hints;
    assert!(hints("plain").read_only && !hints("wipe").read_only && hints("wipe").destructive);
}

#[tokio::test]
async fn the_first_output_that_gives_something_is_the_answer() {
    let run = Run::new(
        "capability:
  consumes:
  - {namespace: api, type: http, baseUri: 'https://a.test', resources: {x: {path: /answer, operations: {get-x: {method: GET}}}}}
  exposes:
  - type: mcp
    namespace: t
    port: 1
    tools:
      first: {description: D, call: api.get-x, outputParameters: [{type: string, mapping: $.gone}, {type: integer, mapping: $.count}, {type: string, value: none}]}
      constant: {description: D, call: api.get-x, outputParameters: [{type: array, mapping: $.gone}, {type: number, value: '7'}]}
      whole: {description: D, call: api.get-x, outputParameters: [{type: object, mapping: $.}]}
      cut: {description: D, call: api.get-x, outputParameters: [{type: string, mapping: $.text, maxLength: 3}]}
      filtered: {description: D, call: api.get-x, outputParameters: [{type: array, mapping: '$.list[?(@.n > 1)]', items: {type: object, properties: {n: {type: number, mapping: $.n}, up: {type: object, properties: {t: {type: string, mapping: $.t}}}}}}]}
      length: {description: D, call: api.get-x, outputParameters: [{type: integer, mapping: $.list.length()}]}
      spaced: {description: D, call: api.get-x, outputParameters: [{type: string, mapping: $.two words}]}
",
        of_members(json!({"answer": {"count": "2", "text": "äöüß", "list": [{"n": 1, "t": "a"}, {"n": 2, "t": "b"}], "two words": "w"}})),
    )
    .await
    .sound();
    for (tool, expected) in [
        ("first", json!({"result": 2})),
        ("constant", json!({"result": 7})),
        ("cut", json!({"result": "äöü"})),
        ("filtered", json!({"items": [{"n": 2, "up": {"t": "b"}}]})),
        ("length", json!({"result": 2})),
        ("spaced", json!({"result": "w"})),
    ] {
        assert_eq!(run.call(tool, json!({})).await, expected, "{tool}");
    }
    assert_eq!(run.call("whole", json!({})).await["list"][1]["t"], "b");
}

#[tokio::test]
async fn tables_and_markup_become_lists() {
    let run = Run::new(
        "capability:
  consumes:
  - namespace: api
    type: http
    baseUri: https://a.test
    resources:
      csv: {path: csv, operations: {csv: {method: GET, outputRawFormat: csv}}}
      tsv: {path: tsv, operations: {tsv: {method: GET, outputRawFormat: tsv}}}
      psv: {path: psv, operations: {psv: {method: GET, outputRawFormat: psv}}}
      xml: {path: '{{name}}', operations: {xml: {method: GET, outputRawFormat: xml, inputParameters: {name: {in: path}}}}}
      yaml: {path: yaml, operations: {yaml: {method: GET, outputRawFormat: yaml}}}
      html: {path: html, operations: {html: {method: GET, outputRawFormat: html, outputSchema: table.wanted}}}
      md: {path: md, operations: {md: {method: GET, outputRawFormat: markdown}}}
  exposes:
  - type: mcp
    namespace: t
    port: 1
    tools:
      csv: {description: D, call: api.csv, outputParameters: &rows [{type: array, mapping: $, items: &row {type: object, properties: {id: {type: integer, mapping: $.id}, who: {type: string, mapping: $.name}}}}]}
      tsv: {description: D, call: api.tsv, outputParameters: *rows}
      psv: {description: D, call: api.psv, outputParameters: *rows}
      xml: {description: D, call: api.xml, inputParameters: {name: {type: string}}, outputParameters: [{type: array, mapping: $.user, items: *row}]}
      yaml: {description: D, call: api.yaml, outputParameters: [{type: array, mapping: $.users, items: *row}]}
      html: {description: D, call: api.html, outputParameters: [{type: array, mapping: '$.tables[0]', items: *row}]}
      md: {description: D, call: api.md, outputParameters: [{type: array, mapping: '$.tables[0]', items: *row}]}
      heads: {description: D, call: api.md, outputParameters: [{type: array, mapping: '$.sections[*].heading', items: {type: string}}]}
",
        |seen: &Seen| match seen.line.as_str() {
            "GET /v1/csv" => Answer::of("text/csv", "id,name\r\n1,\"A, \"\"a\"\"\"\r\n2,B\r\n"),
            "GET /v1/tsv" => Answer::of("text/plain", "id\tname\n1\tA, \"a\"\n2\tB\n"),
            "GET /v1/psv" => Answer::of("text/plain", "id|name\n1|A, \"\"\n2|B"),
            "GET /v1/many" => Answer::xml("<r><user id='1'><name>A</name></user><user><id>2</id><name>B</name></user></r>"),
            "GET /v1/one" => Answer::xml("<r xmlns='urn:x'><user><id>2</id><name>B</name></user></r>"),
            "GET /v1/none" => Answer::xml("<r/>"),
            "GET /v1/broken" => Answer::xml("<r><user></r>"),
            "GET /v1/yaml" => Answer::of("application/yaml", "users:\n- {id: '1', name: A}\n- {id: 2, name: B}\n"),
            "GET /v1/html" => Answer::of(
                "text/html; charset=utf-8",
                "<table><tr><th>x</table><table class='a wanted'><tr><th>id<th>name<tr><td>1<td>A<tr><td>2<td>B</table>",
            ),
            "GET /v1/md" => Answer::of("text/markdown", "# H1\n\n| id | name |\n|--|:-:|\n| 1 | A |\n| 2 | B |\n\n## H2\n\ntext\n"),
            line => panic!("{line}"),
        },
    )
    .await
    .sound();
    let rows = |first: &str| json!({"items": [{"id": 1, "who": first}, {"id": 2, "who": "B"}]});
    for (tool, arguments, expected) in [
        ("csv", json!({}), rows("A, \"a\"")),
        ("tsv", json!({}), rows("A, \"a\"")),
        ("psv", json!({}), rows("A, \"\"")),
        ("xml", json!({"name": "many"}), rows("A")),
        ("xml", json!({"name": "one"}), json!({"items": [{"id": 2, "who": "B"}]})),
        ("xml", json!({"name": "none"}), json!({})),
        ("yaml", json!({}), rows("A")),
        ("html", json!({}), rows("A")),
        ("md", json!({}), rows("A")),
        ("heads", json!({}), json!({"items": ["H1", "H2"]})),
    ] {
        assert_eq!(run.call(tool, arguments.clone()).await, expected, "{tool} {arguments}");
    }
    let error = output(&run.set_up.gateway, "xml", json!({"name": "broken"})).await.expect_err("broken");
    assert_eq!(error.kind(), "decode");
}

/// Every section from another file under another name; what they bind comes along.
#[tokio::test]
async fn imported_parts_keep_working_under_other_names() {
    let shared = format!(
        "{HEAD}binds: [{{namespace: keys, location: 'file:///./keys.json', keys: {{TOKEN: token, VERSION: version}}}}]
consumes:
- {{namespace: service, type: http, baseUri: 'https://a.test', authentication: {{type: bearer, token: '{{{{TOKEN}}}}'}}, inputParameters: {{X-Version: {{in: header, value: '{{{{keys.VERSION}}}}'}}}},
   resources: {{x: {{path: '/x/{{{{id}}}}', operations: {{get-x: {{method: GET, inputParameters: {{id: {{in: path}}, q: {{in: query}}}}}}}}}}}}}}
aggregates:
- {{namespace: flows, flows: {{get: {{description: F, inputParameters: {{key: {{type: string}}}}, call: api.get-x, with: {{id: flows.key, q: '{{{{VERSION}}}}'}}}}}}}}
exposes:
- {{type: mcp, namespace: server, port: 1, tools: {{there: {{description: D, call: api.get-x, with: {{id: server.id, q: '{{{{VERSION}}}}'}}, inputParameters: {{id: {{type: string}}}}}}}}}}
"
    );
    let consumes = "consumes: [{import: service, from: shared/all.yaml, as: api}]";
    let exposes = "{type: mcp, namespace: main, port: 1, tools: {here: {ref: renamed.get}, direct: {description: D, call: api.get-x, with: {id: 1}}}}";
    let main = |binds: &str| {
        format!(
            "{HEAD}{binds}capability:\n  {consumes}\n  aggregates: [{{import: flows, from: shared/all.yaml, as: renamed}}]\n  \
             exposes: [{exposes}, {{import: server, from: shared/all.yaml, as: theirs}}]\n"
        )
    };
    for binds in ["", "binds: [{import: keys, from: shared/all.yaml, as: other-keys}]\n"] {
        let files = [
            ("main.yaml", main(binds)),
            ("shared/all.yaml", shared.clone()),
            ("shared/keys.json", json!({"token": "canary-77aa", "version": "v9"}).to_string()),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let run = Run::of(&files, empty).await.sound();
        assert_eq!(tools(&run.set_up.gateway), ["here", "direct", "there"]);
        for (tool, arguments, line) in [
            ("here", json!({"key": "k"}), "GET /v1/x/k?q=v9"),
            ("there", json!({"id": "k"}), "GET /v1/x/k?q=v9"),
            ("direct", json!({}), "GET /v1/x/1"),
        ] {
            run.call(tool, arguments).await;
            let request = run.service.take().remove(0);
            assert_eq!(request.line, line, "{tool} {binds}");
            assert_eq!(request.header("authorization"), "Bearer canary-77aa");
            assert_eq!(request.header("x-version"), "v9");
        }
    }
}

/// What a file holds that is imported for its servers or flows alone, and not for its services, is bound as well.
#[tokio::test]
async fn flows_and_servers_bring_what_they_bind() {
    let shared = format!(
        "{HEAD}binds: [{{namespace: keys, location: 'keys.yaml', keys: {{WORD: word, GATE: gate}}}}]
aggregates: [{{namespace: flows, flows: {{hi: {{description: F, outputParameters: {{text: {{type: string, value: 'hi {{{{WORD}}}}'}}}}}}}}}}]
exposes: [{{type: mcp, namespace: server, port: 1, authentication: {{type: bearer, token: '{{{{GATE}}}}'}}, tools: {{there: {{description: D, outputParameters: {{text: {{type: string, value: '{{{{keys.WORD}}}}'}}}}}}}}}}]
"
    );
    for (main, tool, expected) in [
        (
            "capability: {aggregates: [{import: flows, from: b.yaml}], exposes: [{type: mcp, namespace: m, port: 1, tools: {here: {ref: flows.hi}}}]}",
            "here",
            "hi there",
        ),
        ("capability: {exposes: [{import: server, from: b.yaml, as: m}]}", "there", "there"),
    ] {
        let main = format!("{HEAD}{main}\n");
        let files = [("main.yaml", main.as_str()), ("b.yaml", &shared), ("keys.yaml", "word: there\ngate: canary-g\n")];
        let run = Run::of(&files, empty).await.sound();
        assert_eq!(run.said(), Vec::<&str>::new());
        assert_eq!(run.call(tool, json!({})).await, json!({"text": expected}));
        let is_gated = run.set_up.gateway.tool(tool).expect("the tool").gate.is_some();
        assert_eq!(is_gated, tool == "there", "what the server asks for is asked for here as well");
    }
}

#[tokio::test]
async fn variables_without_braces_are_understood() {
    let run = Run::of(
        &[
            (
                "main.yaml",
                &format!(
                    "{HEAD}binds: [{{namespace: k, location: k.yaml, keys: {{TOKEN: t, VERSION: v}}}}]
capability:
  consumes: [{{namespace: api, type: http, baseUri: 'https://a.test', authentication: {{type: bearer, token: TOKEN}},
    inputParameters: {{X-Version: {{in: header, value: VERSION}}, X-Other: {{in: header, value: VERSIONS}}}}, resources: {{x: {{path: /x, operations: {{get-x: {{method: GET, description: D}}}}}}}}}}]
"
                ),
            ),
            ("k.yaml", "t: canary-t\nv: '3'\n"),
        ],
        empty,
    )
    .await
    .sound();
    assert_eq!(run.said(), ["suspicious-literal", "suspicious-literal"]);
    run.call("get_x", json!({})).await;
    let request = run.service.take().remove(0);
    let headers = ["authorization", "x-version", "x-other"].map(|name| request.header(name));
    assert_eq!(headers, ["Bearer canary-t", "3", "VERSIONS"]);
}

#[tokio::test]
async fn bytes_have_their_type_and_size() {
    let run = Run::new(
        "capability:
  consumes:
  - namespace: api
    type: http
    baseUri: https://a.test
    resources:
      bytes: {path: '/b/{{n}}', operations: {bytes: {method: GET, outputRawFormat: binary, maxBinarySize: 1KiB, outputMediaType: audio/wav, inputParameters: {n: {in: path}}}}}
  exposes:
  - {type: mcp, namespace: t, port: 1, tools: {
      get: {description: D, call: api.bytes, inputParameters: {n: {type: integer}}},
      step: {description: D, inputParameters: {n: {type: integer}}, steps: {a: {call: api.bytes}}}}}
",
        |seen: &Seen| {
            let size = seen.line.rsplit('/').next().expect("a size").parse().expect("a number");
            Answer::of("application/octet-stream", vec![7; size])
        },
    )
    .await
    .sound();
    let fits = output(&run.set_up.gateway, "get", json!({"n": 1024})).await.expect("fits");
    assert_eq!(
        fits.into_binary().map(|binary| (binary.media_type, binary.bytes.len())),
        Some(("audio/wav".to_owned(), 1024))
    );
    let error = output(&run.set_up.gateway, "get", json!({"n": 1025})).await.expect_err("too large");
    assert!(error.kind() == "oversized" && error.to_string().contains("1024"), "{error}");
    let error = output(&run.set_up.gateway, "step", json!({"n": 1})).await.expect_err("no use");
    assert!(error.to_string().starts_with("the step `a` failed"), "{error}");
}

#[tokio::test]
async fn members_of_the_body_are_fed_by_arguments_of_other_names() {
    let run = Run::new(
        "capability:
  consumes:
  - {namespace: api, type: http, baseUri: 'https://a.test', resources: {x: {path: 'x', operations: {
      make-x: {method: POST, inputParameters: {body: {in: body, type: object}}}}}}}
  exposes:
  - {type: mcp, namespace: t, port: 1, tools: {
      make: {description: D, call: api.make-x, inputParameters: {
        called: {type: string, description: D, mapping: $.body.name},
        town: {type: string, description: D, required: false, mapping: body.owner.town},
        lost: {type: string, description: D, mapping: $.query.lost}}}}}
",
        empty,
    )
    .await
    .sound();
    assert_eq!(run.arguments("make"), ["called*", "town"], "what is not sent is not asked for");
    assert_eq!(run.body("make", json!({"called": "Rex"})).await, json!({"name": "Rex"}));
    let sent = run.body("make", json!({"called": "Rex", "town": "Oslo"})).await;
    assert_eq!(sent, json!({"name": "Rex", "owner": {"town": "Oslo"}}));
}

#[tokio::test]
async fn null_is_taken_where_a_type_has_it_and_sends_nothing() {
    let run = Run::new(
        "capability:
  consumes:
  - {namespace: api, type: http, baseUri: 'https://a.test', resources: {x: {path: 'x/{id}', operations: {
      get-x: {method: GET, inputParameters: {id: {in: path, type: [integer, 'null']}, a: {in: query, type: [integer, null]},
        h: {in: header, type: ['null', string], enum: [v, w]}, b: {in: query, type: integer}}}}}}}
",
        empty,
    )
    .await
    .sound();
    assert_eq!(run.sends("get_x", json!({"id": 1, "a": null, "h": null})).await, ["GET /v1/x/1"]);
    assert_eq!(run.sends("get_x", json!({"id": 1, "a": 2, "h": "v"})).await, ["GET /v1/x/1?a=2"]);
    for refused in [json!({"id": null}), json!({"id": 1, "b": null}), json!({"id": 1, "a": "2"})] {
        output(&run.set_up.gateway, "get_x", refused.clone()).await.expect_err("refused");
        assert_eq!(run.service.lines(), [""; 0], "{refused}");
    }
}
