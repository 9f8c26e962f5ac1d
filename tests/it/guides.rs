//! What a person sees of the server besides its tools: groups and guides.

use std::{collections::BTreeSet, fs, path::Path};

use keyglass::{
    catalog::Catalog,
    clock::Clock,
    config::Options,
    setup::{Purpose, setup},
};

fn catalog(capabilities: &[&Path], tools: &[&str]) -> Catalog {
    let options = Options {
        capabilities: capabilities.iter().map(|path| path.to_path_buf()).collect(),
        group: tools.iter().map(|group| group.parse().expect("a group")).collect(),
        ..Options::default()
    };
    let settings = options.settings().expect("settings");
    setup(&settings, Purpose::Inspect, Clock::Fixed(0)).expect("set up").gateway.catalog
}

#[test]
fn shipped_tools_are_of_the_groups_that_settings_name() {
    let all = catalog(&[], &["all"]);
    let groups: BTreeSet<&str> = all.tools().map(|tool| &*tool.group).collect();
    assert_eq!(Vec::from_iter(groups), ["management", "runloop", "runtools", "runtype"]);
}

#[test]
fn what_a_server_offers_is_of_its_namespace_and_the_rest_of_its_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let operation = |name: &str| format!("{{ path: /{name}, operations: [{{ name: {name}, method: GET }}] }}");
    let text = format!(
        "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - {{ type: http, namespace: pets, baseUri: \
         'https://p.test', resources: [{}, {}] }}\n    - {{ type: http, namespace: cars, baseUri: 'https://c.test', \
         resources: [{}] }}\n  exposes:\n    - type: mcp\n      namespace: shop\n      tools: [{{ name: one, call: \
         pets.one }}]\n      resources: [{{ name: r, uri: 'shop://r', call: pets.one }}]\n      prompts: [{{ name: p, \
         description: P., template: [{{ role: user, content: Hi. }}] }}]\n    - {{ type: mcp, tools: [{{ name: nameless, \
         description: N., outputParameters: [{{ name: a, type: string, value: b }}] }}] }}\n",
        operation("one"),
        operation("two"),
        operation("three"),
    );
    fs::write(folder.path().join("spec.yaml"), text).expect("written");
    let catalog = catalog(&[folder.path()], &[]);
    let groups: Vec<(&str, &str)> = catalog.tools().map(|tool| (tool.name.as_str(), &*tool.group)).collect();
    assert_eq!(groups, [("one", "shop"), ("nameless", "spec"), ("two", "pets"), ("three", "cars")]);
    assert!(catalog.resources().iter().all(|resource| &*resource.group == "shop"));
    assert_eq!(catalog.prompts().map(|prompt| &*prompt.group).collect::<Vec<_>>(), ["shop"]);
}
