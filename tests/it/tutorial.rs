//! The tutorial of the language and the test documents of its engine, carried out against services that check every
//! request: what each tool sends, and what it makes of the answer.
//!
//! The documents are no part of this repository. They are looked for in `../shared/corpus/ikanos` beside it; where that
//! folder is absent these tests say so and pass. `language.rs` tests the same features on documents of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use keyglass::{
    decode::{Decoded, Format, decode},
    diagnostic::SourceMap,
    gateway::Gateway,
    openapi::Document,
    setup::{Purpose, Setup},
    spec::yaml,
};
use serde_json::{Value, json};

use crate::{
    corpus,
    shipyard::{self, Answer, Secrets, Seen, Service, call, errors, load, load_sound, output, tools},
};

fn folder() -> Option<PathBuf> {
    let folder = corpus::folder()?.join("ikanos");
    assert!(folder.join("tutorial").is_dir(), "the corpus has the tutorial");
    Some(folder)
}

/// The secrets that the tutorial binds, from its own file.
fn secrets(folder: &Path) -> Secrets {
    let path = folder.join("tutorial/shared/secrets.yaml");
    let mut sources = SourceMap::default();
    let file = sources.add("secrets", fs::read_to_string(path).expect("the secrets"));
    let root = yaml::parse(file, &sources).expect("YAML").to_json();
    let secret = |name: &str| root[name].as_str().expect("a text").to_owned();
    Secrets {
        token: secret("registry-bearer-token"),
        version: secret("registry-api-version"),
        key: secret("dockyard-api-key"),
    }
}

/// One step of the tutorial with the shipyard it calls.
struct Step {
    set_up: Setup,
    service: Service,
}

impl Step {
    async fn load(folder: &Path, file: &str, secrets: Option<Secrets>) -> Self {
        let service = Service::start(shipyard::shipyard(secrets)).await;
        let spec = folder.join("tutorial").join(file);
        let (registry, dockyard) = (format!("{}/registry/v1", service.url), format!("{}/dockyard", service.url));
        let set_up = load_sound(&spec, &[("registry", &registry), ("legacy", &dockyard)]);
        Self { set_up, service }
    }

    fn gateway(&self) -> &Gateway {
        &self.set_up.gateway
    }

    async fn check(&self, tool: &str, arguments: Value, requests: &[&str], result: Value) {
        let got = call(self.gateway(), tool, arguments.clone()).await;
        assert_eq!(got, result, "{tool} {arguments}");
        assert_eq!(self.service.lines(), requests, "{tool} {arguments}");
    }

    async fn list_ships(&self) {
        let short = |index: usize| {
            let ship = &shipyard::ships()[index];
            json!({"imo": ship["imo_number"], "name": ship["vessel_name"], "type": ship["vessel_type"],
                "flag": ship["flag_code"], "status": ship["operational_status"]})
        };
        let all = json!({"items": [short(0), short(1), short(2)]});
        self.check("list-ships", json!({}), &["GET /registry/v1/ships"], all).await;
        let line = "GET /registry/v1/ships?status=maintenance";
        self.check("list-ships", json!({"status": "maintenance"}), &[line], json!({"items": [short(1)]})).await;
        let line = "GET /registry/v1/ships?status=at%20sea%26x%3D1";
        self.check("list-ships", json!({"status": "at sea&x=1"}), &[line], json!({"items": []})).await;
    }

    /// `specs`: the members of the inner object, where the step has one and the registry knows them.
    async fn get_ship(&self, specs: Option<Value>) {
        let mut expected = json!({"imo": "IMO-1000019", "name": "Kittiwake", "type": "container", "flag": "IE",
            "status": "active"});
        if let Some(specs) = &specs {
            expected["specs"] = specs.clone();
        }
        let line = "GET /registry/v1/ships/IMO-1000019";
        self.check("get-ship", json!({"imo": "IMO-1000019"}), &[line], expected).await;
        // What the registry does not know of a ship is absent, not null.
        let expected = json!({"imo": "IMO-1000033", "name": "Sandpiper", "type": "passenger", "flag": "IS",
            "status": "decommissioned"});
        let line = "GET /registry/v1/ships/IMO-1000033";
        self.check("get-ship", json!({"imo": "IMO-1000033"}), &[line], expected).await;
        let error = output(self.gateway(), "get-ship", json!({"imo": "a/b?c"})).await.expect_err("none such");
        assert!(error.to_string().contains("404 Not Found; in its own words: \"nothing of this name\""), "{error}");
        assert_eq!(self.service.lines(), ["GET /registry/v1/ships/a%2Fb%3Fc"], "one segment");
        let error = output(self.gateway(), "get-ship", json!({})).await.expect_err("it is required");
        assert!(error.to_string().contains("`imo` is required"), "{error}");
        assert!(self.service.take().is_empty());
    }

    async fn list_legacy_vessels(&self) {
        let gannet = json!({"vesselCode": "DOCK-1", "name": "Gannet & Sons", "type": "cargo", "flag": "GB",
            "status": "active"});
        let cap = json!({"vesselCode": "DOCK-2", "name": "Čáp", "type": "bulk_carrier", "flag": "HR",
            "status": "laid_up"});
        let tool = "list-legacy-vessels";
        self.check(tool, json!({}), &["GET /dockyard/vessels"], json!({"items": [gannet, cap]})).await;
        // A list of one, which XML does not tell from a single element, and a list of none.
        let line = "GET /dockyard/vessels?status=laid_up";
        self.check(tool, json!({"status": "laid_up"}), &[line], json!({"items": [cap]})).await;
        let line = "GET /dockyard/vessels?status=scrapped";
        self.check(tool, json!({"status": "scrapped"}), &[line], json!({})).await;
    }

    async fn create_voyage(&self) {
        let mut arguments = json!({"shipImo": "IMO-1000019", "departurePort": "Cork \"North\"", "arrivalPort": "Porto\n\\",
            "departureDate": "2027-01-02", "arrivalDate": "2027-01-09", "crewIds": ["CREW-11", "CREW-12"],
            "cargoIds": ["CARGO-7"]});
        for with_cargo in [true, false] {
            if !with_cargo {
                arguments.as_object_mut().expect("an object").remove("cargoIds");
            }
            let mut expected = json!({"voyageId": "VOY-9", "shipImo": "IMO-1000019",
                "route": {"from": "Cork \"North\"", "to": "Porto\n\\"},
                "dates": {"departure": "2027-01-02", "arrival": "2027-01-09"}, "crewIds": ["CREW-11", "CREW-12"],
                "status": "planned"});
            if with_cargo {
                expected["cargoIds"] = json!(["CARGO-7"]);
            }
            assert_eq!(call(self.gateway(), "create-voyage", arguments.clone()).await, expected);
            let requests = self.service.take();
            let [request] = requests.as_slice() else { panic!("{requests:?}") };
            assert_eq!(request.line, "POST /registry/v1/voyages");
            assert_eq!(request.header("content-type"), "application/json");
            assert_eq!(request.json(), arguments, "every argument in its place, the absent one left out");
        }
    }

    async fn get_ship_with_crew(&self) {
        let tool = "get-ship-with-crew";
        let requests = |number: &str| [format!("GET /registry/v1/ships/{number}"), "GET /registry/v1/crew".to_owned()];
        for (number, expected) in [
            (
                "IMO-1000019",
                json!({"imo": "IMO-1000019", "name": "Kittiwake", "type": "container", "flag": "IE", "status": "active",
                    "yearBuilt": 2009, "tonnage": 31250, "length": 187.5,
                    "crew": [{"fullName": "Pádraig Byrne", "role": "captain"}, {"fullName": "Inês Rocha", "role": "navigator"}]}),
            ),
            (
                "IMO-1000021",
                json!({"imo": "IMO-1000021", "name": "Grey Heron", "type": "tanker", "flag": "PT", "status": "maintenance",
                    "yearBuilt": 1997, "tonnage": 8000, "length": 120,
                    "crew": [{"fullName": "Óskar Jónsson", "role": "engineer"}]}),
            ),
            (
                "IMO-1000033",
                json!({"imo": "IMO-1000033", "name": "Sandpiper", "type": "passenger", "flag": "IS",
                    "status": "decommissioned"}),
            ),
        ] {
            let requests = requests(number);
            let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
            self.check(tool, json!({"imo": number}), &requests, expected).await;
        }
        let error = output(self.gateway(), tool, json!({"imo": "IMO-0"})).await.expect_err("none such");
        assert!(error.to_string().starts_with("the step `get-ship` failed: the backend answered 404"), "{error}");
        assert_eq!(self.service.lines(), ["GET /registry/v1/ships/IMO-0"], "nothing after what failed");
    }
}

const LENGTHS: fn() -> Value = || json!({"yearBuilt": 2009, "tonnage": 31250, "length": 187.5});

#[tokio::test]
async fn step_1_answers_with_what_it_says_itself() {
    let Some(folder) = folder() else { return };
    let step = Step::load(&folder, "step-1-shipyard-mock.yml", None).await;
    assert_eq!(tools(step.gateway()), ["get-ship"]);
    // The fixed values are those of the document; what is tested is that all are there and one is the argument.
    let answer = call(step.gateway(), "get-ship", json!({"imo_number": "IMO-1"})).await;
    let members: Vec<&str> = answer.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["imo", "name", "type", "flag", "status"]);
    assert_eq!(answer["imo"], "IMO-1");
    assert!(
        answer
            .as_object()
            .expect("an object")
            .values()
            .all(|value| value.as_str().is_some_and(|text| !text.is_empty()))
    );
    output(step.gateway(), "get-ship", json!({})).await.expect_err("it is required");
    assert!(step.service.take().is_empty(), "nothing is called");
}

#[tokio::test]
async fn step_2_calls_without_any_credential() {
    let Some(folder) = folder() else { return };
    let step = Step::load(&folder, "step-2-shipyard-wiring.yml", None).await;
    assert_eq!(tools(step.gateway()), ["list-ships", "get-ship"]);
    step.list_ships().await;
    step.get_ship(None).await;
}

#[tokio::test]
async fn steps_3_and_4_show_what_their_files_bind() {
    let Some(folder) = folder() else { return };
    let secrets = secrets(&folder);
    for (file, specs) in [("step-3-shipyard-auth.yml", None), ("step-4-shipyard-output-shaping.yml", Some(LENGTHS()))] {
        let step = Step::load(&folder, file, Some(secrets.clone())).await;
        assert_eq!(tools(step.gateway()), ["list-ships", "get-ship"]);
        step.list_ships().await;
        step.get_ship(specs).await;
        call(step.gateway(), "list-ships", json!({})).await;
        let request = step.service.take().remove(0);
        assert_eq!(request.header("authorization"), format!("Bearer {}", secrets.token));
        assert_eq!(request.header("registry-version"), secrets.version);
        assert_eq!(request.header("accept"), "application/json, */*;q=0.5");
        assert_eq!(request.body, "");
    }
}

#[tokio::test]
async fn step_5_calls_two_services_that_it_imports() {
    let Some(folder) = folder() else { return };
    let secrets = secrets(&folder);
    let step = Step::load(&folder, "step-5-shipyard-multi-source.yml", Some(secrets.clone())).await;
    assert_eq!(tools(step.gateway()), ["list-ships", "get-ship", "list-legacy-vessels"]);
    step.list_ships().await;
    step.get_ship(Some(LENGTHS())).await;
    step.list_legacy_vessels().await;
    call(step.gateway(), "list-legacy-vessels", json!({})).await;
    let request = step.service.take().remove(0);
    assert_eq!(request.header("x-dock-key"), secrets.key);
    assert_eq!(request.header("authorization"), "", "the credential of the other service stays there");
    assert_eq!(request.header("registry-version"), "");
    assert!(request.header("accept").starts_with("application/xml"));
}

#[tokio::test]
async fn step_6_writes() {
    let Some(folder) = folder() else { return };
    let step = Step::load(&folder, "step-6-shipyard-write-operations.yml", Some(secrets(&folder))).await;
    assert_eq!(tools(step.gateway()), ["list-ships", "get-ship", "list-legacy-vessels", "create-voyage"]);
    step.list_ships().await;
    step.get_ship(Some(LENGTHS())).await;
    step.list_legacy_vessels().await;
    step.create_voyage().await;
    let hints = step.gateway().tool("create-voyage").expect("the tool").hints;
    assert_eq!((hints.read_only, hints.destructive, hints.idempotent, hints.open_world), (false, false, false, true));
}

#[tokio::test]
async fn steps_7_to_10_look_up_who_is_on_board() {
    let Some(folder) = folder() else { return };
    for file in [
        "step-7-shipyard-orchestrated-lookup.yml",
        "step-8-shipyard-skill-groups.yml",
        "step-9-shipyard-aggregates.yml",
        "step-10-shipyard-rest-adapter.yml",
    ] {
        let step = Step::load(&folder, file, Some(secrets(&folder))).await;
        let expected = ["list-ships", "get-ship", "list-legacy-vessels", "create-voyage", "get-ship-with-crew"];
        assert_eq!(tools(step.gateway()), expected, "{file}");
        step.list_ships().await;
        step.get_ship(Some(LENGTHS())).await;
        step.list_legacy_vessels().await;
        step.create_voyage().await;
        step.get_ship_with_crew().await;
        let hints = step.gateway().tool("get-ship-with-crew").expect("the tool").hints;
        assert!(hints.read_only && !hints.destructive && hints.idempotent, "{file}");
    }
}

/// The services of the last step name their variables without braces, and are understood.
#[tokio::test]
async fn step_11_puts_four_answers_together() {
    let Some(folder) = folder() else { return };
    let step = Step::load(&folder, "step-11-shipyard-fleet-manifest.yml", Some(secrets(&folder))).await;
    let said: Vec<&str> = step.set_up.diagnostics.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(said, ["suspicious-literal", "suspicious-literal"], "and both are warned of");
    let expected =
        ["list-ships", "get-ship", "list-legacy-vessels", "create-voyage", "get-ship-with-crew", "get-voyage-manifest"];
    assert_eq!(tools(step.gateway()), expected);
    step.list_ships().await;
    step.get_ship(Some(LENGTHS())).await;
    step.list_legacy_vessels().await;
    step.create_voyage().await;
    step.get_ship_with_crew().await;
    let lines = ["voyages/VOY-5", "ships", "crew", "cargo"].map(|path| format!("GET /registry/v1/{path}"));
    step.check(
        "get-voyage-manifest",
        json!({"voyageId": "VOY-5"}),
        &lines.each_ref().map(String::as_str),
        json!({"voyageId": "VOY-5", "status": "in_progress", "route": {"from": "Cork", "to": "Porto"},
            "ship": {"name": "Grey Heron", "type": "tanker", "flag": "PT"},
            "crew": [{"fullName": "Inês Rocha", "role": "navigator"}],
            "cargo": [{"type": "liquid", "description": "Thinner <10 l>", "weight": 3.5, "hazardous": true},
                {"type": "bulk", "description": "Road salt", "weight": 40, "hazardous": false}]}),
    )
    .await;
}

/// What the shipyard answers is what its OpenAPI documents say, and what is sent to it is what they take.
#[tokio::test]
async fn the_shipyard_answers_as_its_documents_say() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("engine-cases/openapi");
    let mut sources = SourceMap::default();
    let mut check = |file: &str, answers: &[(&str, Value)]| {
        let path = folder.join(file);
        let id = sources.add(path.display().to_string(), fs::read_to_string(&path).expect("the document"));
        let document = Document::read(id, &folder, &mut sources).expect("sound").expect("an OpenAPI document");
        for (operation, answer) in answers {
            let outline = document.operations.iter().find(|outline| outline.id.as_deref() == Some(*operation));
            let operation = document.operation(outline.expect(operation));
            let schema = operation.answer.and_then(|answer| answer.schema).expect("a schema");
            let schema = jsonschema::draft202012::new(&schema).expect("a schema");
            let deviations: Vec<String> = schema.iter_errors(answer).map(|error| error.to_string()).collect();
            assert_eq!(deviations, Vec::<String>::new(), "{answer}");
        }
    };
    let ships = shipyard::ships();
    let registry = [
        ("list-ships", Value::from(ships.clone())),
        ("get-ship", ships[0].clone()),
        ("get-ship", ships[2].clone()),
        ("list-crew", shipyard::crew()),
        ("list-cargo", shipyard::cargo()),
        ("get-voyage", shipyard::voyage()),
    ];
    check("naftiko-shipyard-maritime-registry-api.yaml", &registry);
    let xml = Bytes::from(shipyard::vessels(&["active", "laid_up"]));
    let Ok(Decoded::Json(vessels)) = decode(&Format::Xml, Some("application/xml"), &xml) else { panic!("XML") };
    check("naftiko-shipyard-legacy-dockyard-api.yaml", &[("list-vessels", vessels["vessel"].clone())]);
}

/// A document of the engine's tests, with one service behind all of its namespaces.
struct Case {
    set_up: Setup,
    service: Service,
}

impl Case {
    async fn load(
        file: &str,
        namespaces: &[&str],
        answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static,
    ) -> Option<Self> {
        let spec = folder()?.join(file);
        let service = Service::start(answer).await;
        let base = format!("{}/v1", service.url);
        let backends: Vec<(&str, &str)> = namespaces.iter().map(|namespace| (*namespace, base.as_str())).collect();
        Some(Self { set_up: load_sound(&spec, &backends), service })
    }

    async fn call(&self, tool: &str, arguments: Value) -> (Value, Vec<Seen>) {
        let answer = call(&self.set_up.gateway, tool, arguments).await;
        (answer, self.service.take())
    }
}

fn lines(requests: &[Seen]) -> Vec<&str> {
    requests.iter().map(|seen| seen.line.as_str()).collect()
}

/// The errors of a document that is not to run, by code and line.
fn errors_of(file: &str) -> Option<Vec<(&'static str, usize)>> {
    Some(errors(&load(&folder()?.join(file), &[], Purpose::Inspect)))
}

fn hints(set_up: &Setup, tool: &str) -> (bool, bool, bool, bool) {
    let hints = set_up.gateway.tool(tool).expect("the tool").hints;
    (hints.read_only, hints.destructive, hints.idempotent, hints.open_world)
}

#[tokio::test]
async fn tools_share_a_flow() {
    let file = "engine-cases/aggregates/aggregate-basic.yaml";
    let answer = |_: &Seen| Answer::json(&json!({"forecast": "sleet", "more": 1}));
    let Some(case) = Case::load(file, &["weather-api"], answer).await else { return };
    assert_eq!(tools(&case.set_up.gateway), ["get-forecast", "get-forecast-inherited"]);
    for tool in tools(&case.set_up.gateway) {
        let (answer, requests) = case.call(tool, json!({})).await;
        assert_eq!(answer, json!({"result": "sleet"}));
        // The operation has no parameter, so the flow's argument is not asked for; the missing slash is put in.
        assert_eq!(lines(&requests), ["GET /v1/forecast"]);
        assert_eq!(hints(&case.set_up, tool), (true, false, true, true));
        let tool = case.set_up.gateway.tool(tool).expect("the tool");
        assert!(tool.input.is_empty(), "what feeds nothing is not offered");
        assert!(!tool.description.is_empty());
    }
    let described = |tool| &case.set_up.gateway.tool(tool).expect("the tool").description;
    assert_ne!(described("get-forecast"), described("get-forecast-inherited"), "its own, and that of the flow");
}

#[tokio::test]
async fn hints_of_a_tool_win_over_those_of_its_flow() {
    let file = "engine-cases/aggregates/aggregate-hints-override.yaml";
    let answer = |_: &Seen| Answer::json(&json!({"items": "none"}));
    let Some(case) = Case::load(file, &["mock-api"], answer).await else { return };
    assert_eq!(tools(&case.set_up.gateway), ["read-items", "read-items-open", "delete-item", "plain-tool"]);
    assert_eq!(hints(&case.set_up, "read-items"), (true, false, true, true));
    assert_eq!(hints(&case.set_up, "read-items-open"), (true, false, true, true));
    assert_eq!(hints(&case.set_up, "delete-item"), (false, true, true, false));
    assert_eq!(hints(&case.set_up, "plain-tool"), (true, false, true, true));
    for (tool, line, expected) in [
        ("read-items", "GET /v1/items", json!({"result": "none"})),
        ("read-items-open", "GET /v1/items", json!({"result": "none"})),
        ("plain-tool", "GET /v1/items", json!({"items": "none"})),
        ("delete-item", "DELETE /v1/items", json!({"items": "none"})),
    ] {
        let (answer, requests) = case.call(tool, json!({})).await;
        assert_eq!((answer, lines(&requests)), (expected, vec![line]), "{tool}");
    }
}

#[tokio::test]
async fn a_flow_of_fixed_values_and_one_of_steps() {
    let file = "engine-cases/aggregates/aggregate-shared-mock.yaml";
    let Some(case) = Case::load(file, &[], |_| not_found()).await else { return };
    let (answer, requests) = case.call("hello", json!({"name": "Ada \"L\""})).await;
    assert_eq!(answer, json!({"message": "Hello, Ada \"L\"!", "source": "aggregate-mock"}));
    assert!(requests.is_empty());
    let file = "engine-cases/aggregates/aggregate-step-with-namespace.yaml";
    let answer = |_: &Seen| Answer::json(&json!({"voyageId": "V/2", "x": 1}));
    let Some(case) = Case::load(file, &["registry"], answer).await else { return };
    let (answer, requests) = case.call("get-voyage-manifest", json!({"voyage-id": "V/2"})).await;
    assert_eq!(answer, json!({"voyage-id": "V/2"}));
    assert_eq!(lines(&requests), ["GET /v1/voyages/V%2F2"]);
}

fn not_found() -> Answer {
    Answer::json(&json!({"message": "no"})).with_status(404)
}

#[tokio::test]
async fn answers_of_every_format_are_read() {
    let Some(folder) = folder() else { return };
    let samples = folder.join("engine-cases/schemas");
    let read = |name: &str| fs::read(samples.join(name)).expect(name);
    let users = [("1", "Alice Smith", "alice"), ("2", "Bob Johnson", "bob"), ("3", "Carol White", "carol")];
    let users: Value = users
        .iter()
        .map(|(id, name, user)| json!({"id": id, "name": name, "email": format!("{user}@example.com")}))
        .collect();
    let page = b"---\ntitle: T\n---\n# One\n\nPlain.\n\n| Feature | Status |\n|---|---|\n| Sails | up |\n".to_vec();
    for (file, namespace, tool, media_type, body, line, expected) in [
        ("csv", "mock-csv", "get_users", "text/csv", read("sample-users.csv"), "users", json!({"items": users})),
        ("xml", "mock-xml", "get_users", "application/xml", read("sample-users.xml"), "users", json!({"user": users})),
        ("yaml", "mock-yaml", "get_users", "text/plain", read("sample-users.yaml"), "users", json!({"users": users})),
        (
            "html",
            "mock-html",
            "get_products",
            "text/html",
            read("sample-products.html"),
            "products",
            json!({"tables": [[{"Name": "Widget", "Price": "$42", "Stock": "150"},
                {"Name": "Gadget", "Price": "$99", "Stock": "30"}]]}),
        ),
        (
            "markdown",
            "mock-markdown",
            "get_readme",
            "text/markdown",
            page,
            "readme",
            json!({"frontMatter": {"title": "T"}, "tables": [[{"Feature": "Sails", "Status": "up"}]],
                "sections": [{"heading": "One", "level": 1, "content": "Plain."}]}),
        ),
    ] {
        let file = format!("engine-cases/formats/{file}-capability.yaml");
        let answer = move |_: &Seen| Answer::of(media_type, body.clone());
        let case = Case::load(&file, &[namespace], answer).await.expect("the corpus");
        let (answer, requests) = case.call(tool, json!({})).await;
        assert_eq!(answer, expected, "{file}");
        assert_eq!(lines(&requests), [format!("GET /v1/api/{line}")], "{file}");
        if file.contains("csv") {
            assert!(requests[0].header("user-agent").starts_with("Naftiko/"), "a header of the service: {requests:?}");
        }
    }
}

#[test]
fn what_is_not_run_is_an_error_at_its_line() {
    for (file, expected) in [
        ("engine-cases/formats/avro-capability.yaml", vec![("unsupported-feature", 56)]),
        ("engine-cases/formats/proto-capability.yaml", vec![("unsupported-feature", 56)]),
        ("engine-cases/aggregates/aggregate-invalid-ref.yaml", vec![("unknown-flow", 29)]),
        ("engine-cases/imports/invalid/malformed.yml", vec![("invalid-syntax", 2)]),
        ("engine-cases/imports/invalid/empty-section.consumes.yml", vec![]),
        ("schema/examples/reverse-tunnel-ziti.yml", vec![("unsupported-feature", 34)]),
        ("spec-cases/imports/aggregate-duplicate-function-name.yaml", vec![("duplicate-operation", 16)]),
        ("spec-cases/imports/aggregates-namespace-missing.yaml", vec![("missing-field", 6)]),
        ("spec-cases/imports/capability-aggregates-namespace-missing.yaml", vec![("missing-field", 8)]),
        ("spec-cases/imports/import-duplicate-alias.yaml", vec![("invalid-import", 11), ("invalid-import", 13)]),
        ("spec-cases/imports/import-from-self.yaml", vec![("invalid-import", 7)]),
        ("spec-cases/imports/import-missing-fields.yaml", vec![("invalid-import", 10), ("missing-field", 12)]),
        ("spec-cases/imports/standalone-with-imports.yaml", vec![("invalid-import", 7)]),
    ] {
        let Some(found) = errors_of(file) else { return };
        assert_eq!(found, expected, "{file}");
    }
}

#[tokio::test]
async fn operations_without_tools_are_offered_with_what_they_need() {
    let file = "engine-cases/http/http-body-capability.yaml";
    let Some(case) = Case::load(file, &["testns"], |_| Answer::json(&json!({"ok": true}))).await else { return };
    let (answer, requests) = case.call("create", json!({"userId": "7", "userName": "A \"B\"\n"})).await;
    assert_eq!(answer, json!({"ok": true}));
    assert_eq!(lines(&requests), ["POST /v1/create"]);
    assert_eq!(requests[0].json(), json!({"id": "7", "name": "A \"B\"\n"}));
    let file = "engine-cases/http/http-header-query-capability.yaml";
    let Some(case) = Case::load(file, &["testns"], |_| Answer::json(&json!([]))).await else { return };
    let (answer, requests) = case.call("search", json!({"userId": "a&b"})).await;
    assert_eq!(answer, json!({"items": []}));
    assert_eq!(lines(&requests), ["POST /v1/items?q=a%26b"]);
    assert_eq!(requests[0].header("x-api-key"), "ABC123");
    let (_, requests) = case.call("search", json!({})).await;
    assert_eq!(lines(&requests), ["POST /v1/items"]);
    // What is forwarded has no operation, so nothing is offered; both documents load.
    for file in
        ["engine-cases/http/http-forward-value-capability.yaml", "engine-cases/baseuri-trailing-slash-capability.yaml"]
    {
        let Some(case) = Case::load(file, &[], |_| not_found()).await else { return };
        assert!(tools(&case.set_up.gateway).is_empty(), "{file}");
    }
    for file in ["engine-cases/skill-capability.yaml", "spec-cases/skill-capability.yaml"] {
        let Some(case) = Case::load(file, &["mock-orders"], |_| Answer::json(&json!([{"id": 1}]))).await else {
            return;
        };
        let (answer, requests) = case.call("list", json!({})).await;
        assert_eq!((answer, lines(&requests)), (json!({"items": [{"id": 1}]}), vec!["GET /v1/orders"]));
    }
    let Some(case) =
        Case::load("engine-cases/register.capability.yml", &["notion"], |_| Answer::json(&json!({"id": "u"}))).await
    else {
        return;
    };
    let (answer, requests) = case.call("get_my_user", json!({})).await;
    assert_eq!((answer, lines(&requests)), (json!({"id": "u"}), vec!["GET /v1/users/me"]));
    assert!(requests[0].header("authorization").starts_with("Basic "));
}

#[tokio::test]
async fn tools_of_mcp_servers_run() {
    let results = json!({"results": [
        {"properties": {"Name": {"title": [{"text": {"content": "Ada"}}]}, "Status": {"select": {"name": "in"}}}},
        {"properties": {"Name": {"title": []}, "Status": {"select": null}}}]});
    for file in ["mcp-capability", "mcp-stdio-capability"] {
        let results = results.clone();
        let answer = move |_: &Seen| Answer::json(&results);
        let file = format!("engine-cases/mcp/{file}.yaml");
        let Some(case) = Case::load(&file, &["mock-api"], answer).await else { return };
        let (answer, requests) = case.call("query-database", json!({})).await;
        assert_eq!(answer, json!({"items": [{"name": "Ada", "status": "in"}, {}]}), "{file}");
        assert_eq!(lines(&requests), ["POST /v1/databases/test-db-id-123/query"]);
        let filter = json!({"filter": {"property": "Status", "select": {"equals": "Committed"}}});
        assert_eq!(requests[0].json(), filter);
        assert_eq!(requests[0].header("content-type"), "application/json");
    }
    let file = "engine-cases/mcp/mcp-resources-prompts-capability.yaml";
    let answer = |_: &Seen| Answer::json(&json!({"results": [{"id": "a"}, {"id": 2}]}));
    let Some(case) = Case::load(file, &["mock-api"], answer).await else { return };
    let (answer, requests) = case.call("query-database", json!({})).await;
    assert_eq!(answer, json!({"items": [{"id": "a"}, {"id": "2"}]}));
    assert_eq!(lines(&requests), ["POST /v1/databases/test-db-id-123/query"]);
    let file = "engine-cases/mcp/mcp-hints-capability.yaml";
    let answer = |_: &Seen| Answer::json(&json!({"result": "text", "x": 1}));
    let Some(case) = Case::load(file, &["mock-api"], answer).await else { return };
    assert_eq!(hints(&case.set_up, "read-data"), (true, false, true, true));
    assert_eq!(hints(&case.set_up, "delete-record"), (false, true, true, false));
    assert_eq!(hints(&case.set_up, "no-hints-tool"), (true, false, true, true));
    assert_eq!(case.set_up.gateway.tool("read-data").expect("the tool").title, "Read Data");
    for (tool, arguments, line, expected) in [
        ("read-data", json!({}), "GET /v1/data", json!({"result": "text"})),
        ("delete-record", json!({}), "DELETE /v1/data", json!({"result": "text", "x": 1})),
        ("no-hints-tool", json!({}), "GET /v1/data", json!({"result": "text", "x": 1})),
    ] {
        let (answer, requests) = case.call(tool, arguments).await;
        assert_eq!((answer, lines(&requests)), (expected, vec![line]), "{tool}");
    }
}

#[tokio::test]
async fn arguments_reach_operations_by_every_reference() {
    let file = "engine-cases/mcp/mcp-step-with-namespace-capability.yaml";
    let answer = |_: &Seen| Answer::json(&json!({"voyageId": 5, "x": 1}));
    let Some(case) = Case::load(file, &["registry"], answer).await else { return };
    let (answer, requests) = case.call("get-voyage-manifest", json!({"voyageId": "5"})).await;
    assert_eq!(answer, json!({"voyageId": "5"}), "of the declared type");
    assert_eq!(lines(&requests), ["GET /v1/voyages/5"]);
    let file = "engine-cases/mcp/mcp-tool-handler-with-mustache-capability.yaml";
    let answer = |_: &Seen| Answer::json(&json!({"name": "K"}));
    let Some(case) = Case::load(file, &["registry"], answer).await else { return };
    let (answer, requests) = case.call("get-ship", json!({"imo": "IMO-1"})).await;
    assert_eq!((answer, lines(&requests)), (json!({"name": "K"}), vec!["GET /v1/ships/IMO-1"]));
    let file = "engine-cases/nested-object-output-capability.yaml";
    let Some(case) = Case::load(file, &["registry"], |_| Answer::json(&shipyard::ships()[0])).await else { return };
    let (answer, requests) = case.call("get-ship", json!({"imo": "IMO-1000019"})).await;
    let expected = json!({"imo": "IMO-1000019", "name": "Kittiwake", "status": "active", "specs": LENGTHS()});
    assert_eq!((answer, lines(&requests)), (expected, vec!["GET /v1/ships/IMO-1000019"]));
    let file = "engine-cases/embedding/embedding-capability.yaml";
    let answer = |seen: &Seen| match seen.line.as_str() {
        "POST /v1/greet" => Answer::json(&json!({"message": "hi"})),
        _ => Answer::json(&json!({"result": "7"})),
    };
    let Some(case) = Case::load(file, &["placeholder"], answer).await else { return };
    let (answer, requests) = case.call("greet", json!({})).await;
    assert_eq!((answer, lines(&requests)), (json!({"message": "hi"}), vec!["POST /v1/greet"]));
    let (answer, requests) = case.call("compute", json!({})).await;
    assert_eq!((answer, lines(&requests)), (json!({"result": 7}), vec!["POST /v1/add"]));
    for file in ["spectral-semantics-consistent", "spectral-semantics-inconsistent"] {
        let file = format!("spec-cases/rules/{file}.yaml");
        let answer = |_: &Seen| Answer::json(&json!({"forecast": "sleet"}));
        let Some(case) = Case::load(&file, &["weather-api"], answer).await else { return };
        let (answer, requests) = case.call("get-forecast", json!({"city": "Oban"})).await;
        assert_eq!((answer, lines(&requests)), (json!({"result": "sleet"}), vec!["GET /v1/forecast?city=Oban"]));
    }
}

#[tokio::test]
async fn the_documents_of_the_specification_run() {
    let Some(folder) = folder() else { return };
    for file in ["capability-valid.yml", "capability-spurious-name.yml"] {
        // The secrets that they bind are not beside them: the tools are there, and a call says what is missing.
        let set_up = load(&folder.join("spec-cases/capabilities").join(file), &[], Purpose::Call);
        assert_eq!(tools(&set_up.gateway), ["list-ships", "get-ship"], "{file}");
        let error = output(&set_up.gateway, "list-ships", json!({})).await.expect_err("no secrets");
        assert_eq!(error.kind(), "unconfigured");
        assert!(error.to_string().contains("registry-bearer-token"), "{error}");
    }
}

/// All four sections imported into one document, two of them under another name.
#[tokio::test]
async fn every_section_is_imported() {
    let Some(folder) = folder() else { return };
    let imports = folder.join("engine-cases/imports");
    let own = tempfile::tempdir().expect("a folder");
    for entry in ["consumes", "aggregates", "exposes", "binds"] {
        fs::create_dir(own.path().join(entry)).expect("created");
        for file in fs::read_dir(imports.join(entry)).expect("the folder") {
            let file = file.expect("an entry").path();
            fs::copy(&file, own.path().join(entry).join(file.file_name().expect("a name"))).expect("copied");
        }
    }
    fs::write(own.path().join("binds/secrets.env"), r#"{"weather-api-key": "canary-5e1d"}"#).expect("written");
    fs::write(
        own.path().join("main.yaml"),
        "ikanos: 1.0.0-beta5\nbinds:\n- {from: binds/shared.binds.yml, import: weather-secrets, as: weather}\n\
         capability:\n  consumes:\n  - {from: consumes/shared.consumes.yml, import: weather-api}\n  \
         - {from: consumes/shared-clients.yml, import: geo-http, as: geo-api}\n  \
         - {namespace: own, type: http, baseUri: 'https://own.test', authentication: {type: bearer, token: '{{weather.WEATHER_API_KEY}}'},\n     \
         resources: {a: {path: /a, operations: {get-a: {method: GET}}}}}\n  \
         aggregates:\n  - {from: aggregates/shared.aggregates.yml, import: geo, as: places}\n  \
         exposes:\n  - {from: exposes/shared-servers.yml, import: weather-mcp, as: sky}\n  \
         - {type: mcp, namespace: main, port: 1, tools: {where: {description: W, ref: places.reverse-geocode}, a: {description: A, call: own.get-a}}}\n",
    )
    .expect("written");
    let service = Service::start(|seen: &Seen| Answer::json(&json!({"path": seen.line}))).await;
    let backends = [("weather-api", service.url.as_str()), ("geo-api", &service.url), ("own", &service.url)];
    let set_up = load_sound(&own.path().join("main.yaml"), &backends);
    assert_eq!(tools(&set_up.gateway), ["where", "a", "get-weather"]);
    for (tool, line) in [("get-weather", "GET /forecasts"), ("where", "GET /geocode"), ("a", "GET /a")] {
        assert_eq!(call(&set_up.gateway, tool, json!({})).await, json!({"path": line}));
    }
    let seen = service.take();
    assert_eq!(seen[2].header("authorization"), "Bearer canary-5e1d");
    // A call by `NAMESPACE.RESOURCE.OPERATION`, as the other file of servers has it.
    let text =
        fs::read_to_string(own.path().join("main.yaml")).expect("written").replace("shared-servers", "shared.exposes");
    fs::write(own.path().join("main.yaml"), text).expect("written");
    let set_up = load_sound(&own.path().join("main.yaml"), &backends);
    assert_eq!(call(&set_up.gateway, "get-weather", json!({})).await, json!({"path": "GET /forecasts"}));
}

#[tokio::test]
async fn bytes_come_as_they_are() {
    let file = "schema/examples/capability-binary-content.yml";
    let answer = |seen: &Seen| match seen.line.as_str() {
        "GET /v1/photos/a%20b/binary" => Answer::of("image/jpeg", vec![0xff, 0xd8, 0, 1]),
        "GET /v1/photos/untyped/binary" => Answer::of("application/octet-stream", vec![1]),
        "GET /v1/photos/large/binary" => Answer::of("image/jpeg", vec![0; 5 * 1024 * 1024 + 1]),
        "GET /v1/photos/full/binary" => Answer::of("image/jpeg", vec![0; 5 * 1024 * 1024]),
        _ => not_found(),
    };
    let Some(case) = Case::load(file, &["photo-library"], answer).await else { return };
    let get = async |id: &str| output(&case.set_up.gateway, "get-photo", json!({ "id": id })).await;
    let photo = get("a b").await.expect("a photo");
    assert_eq!(photo.structured().unwrap(), json!({"media_type": "image/jpeg", "size": 4}));
    let binary = photo.into_binary().expect("bytes");
    assert_eq!((binary.media_type.as_str(), &binary.bytes[..]), ("image/jpeg", &[0xff, 0xd8, 0, 1][..]));
    assert_eq!(
        get("untyped").await.expect("a photo").into_binary().expect("bytes").media_type,
        "image/jpeg",
        "as the spec says"
    );
    assert_eq!(get("full").await.expect("just fits").into_binary().expect("bytes").bytes.len(), 5 * 1024 * 1024);
    assert_eq!(get("large").await.expect_err("too large").kind(), "oversized");
    assert_eq!(get("none").await.expect_err("none such").status().map(|status| status.as_u16()), Some(404));
}
