//! Classes of risk: those that are worked out of Runloop's whole API, against what a person read from its descriptions.

use std::{collections::BTreeMap, fmt::Write as _};

use keyglass::{
    catalog::risk::Risk,
    clock::Clock,
    config::Options,
    setup::{Purpose, setup},
};

use crate::corpus::{folder, show};

/// The label of each operation, by its method and path.
fn labels() -> BTreeMap<&'static str, Risk> {
    let lines = include_str!("../fixtures/runloop-risks.txt").lines().filter(|line| !line.starts_with('#'));
    let label = |line: &'static str| {
        let line = line.split("  # ").next().unwrap_or(line);
        let (class, request) = line.split_once(' ').expect("a class and a request");
        (request.trim(), class.parse::<Risk>().expect(line))
    };
    lines.map(label).collect()
}

/// How often each class that was meant was taken for which.
#[derive(Default)]
struct Confusion(BTreeMap<(Risk, Risk), usize>);

impl Confusion {
    fn of<'a>(labels: &BTreeMap<&'a str, Risk>, found: &BTreeMap<&'a str, Risk>) -> Self {
        let mut confusion = Self::default();
        for (request, label) in labels {
            *confusion.0.entry((*label, found[request])).or_default() += 1;
        }
        confusion
    }

    fn count(&self, is_meant: impl Fn(Risk, Risk) -> bool) -> usize {
        self.0.iter().filter(|((label, found), _)| is_meant(*label, *found)).map(|(_, count)| count).sum()
    }

    /// Of what is of a class the part that was found to be, in percent.
    fn recall(&self, class: Risk) -> usize {
        self.count(|label, found| label == class && found == class) * 100 / self.count(|label, _| label == class)
    }

    fn overall(&self) -> usize {
        self.count(|label, found| label == found) * 100 / self.count(|_, _| true)
    }

    fn table(&self, title: &str) -> String {
        let mut text = format!("{title}: {} % right\n{:<14}", self.overall(), "meant \\ found");
        Risk::ALL.iter().for_each(|found| write!(text, "{:>12}", found.name()).expect("a string"));
        text.push_str("      recall\n");
        for label in Risk::ALL {
            write!(text, "{:<14}", label.name()).expect("a string");
            for found in Risk::ALL {
                write!(text, "{:>12}", self.count(|one, other| one == label && other == found)).expect("a string");
            }
            writeln!(text, "{:>10} %", self.recall(label)).expect("a string");
        }
        text
    }
}

#[test]
fn every_operation_of_runloop_is_of_the_class_that_a_person_gave_it() {
    let labels = labels();
    assert_eq!(labels.len(), 150, "as many as the corpus has");
    let Some(corpus) = folder() else { return };
    let corpus = corpus.join("runloop-ai");
    let options = Options {
        capabilities: vec![corpus.join("capabilities")],
        schemas: vec![corpus.join("openapi"), corpus.join("json-schema")],
        backend: vec!["remote".to_owned()],
        ..Options::default()
    };
    let set_up = setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up");
    let (mut found, mut published, mut wrong) = (BTreeMap::new(), BTreeMap::new(), String::new());
    let workspace = set_up.inspected.expect("looked at").workspace;
    let stated = workspace.documents.iter().flat_map(|document| &document.servers).flat_map(|server| &server.tools);
    for stated in stated {
        let tool = set_up.gateway.tool(&stated.name.value).expect("offered");
        let request = tool.plan.operations().first().expect("a call").name.as_str();
        let (request, label) = labels.get_key_value(request).unwrap_or_else(|| panic!("no label for {request}"));
        found.insert(*request, tool.risk.class);
        let is = |flag: &Option<keyglass::spec::Spanned<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        let said = match (is(&stated.hints.destructive), is(&stated.hints.read_only)) {
            (true, _) => Risk::Destructive,
            (false, true) => Risk::Read,
            (false, false) => Risk::Write,
        };
        published.insert(*request, said);
        assert!(!tool.risk.reason.is_empty(), "{request}");
        if tool.risk.class != *label {
            writeln!(wrong, "{request} is {label}, found {} ({})", tool.risk.class, tool.risk.reason)
                .expect("a string");
        }
    }
    let (ours, theirs) = (Confusion::of(&labels, &found), Confusion::of(&labels, &published));
    show(&format!("{}\n{}\n{wrong}", ours.table("worked out"), theirs.table("the published hints")));
    for class in [Risk::Destructive, Risk::Exec, Risk::Grant] {
        assert_eq!(ours.recall(class), 100, "{class}:\n{wrong}");
    }
    assert!(ours.overall() >= 98, "{wrong}");
}
