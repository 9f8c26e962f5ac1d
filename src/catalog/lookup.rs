//! What `call` and `ref` name: services without duplicates, operations, flows. A continuation of `compile.rs`.

use std::collections::{BTreeMap, HashMap};

use super::compile::{Compiler, Scene, Target, list, place};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    spec::{Aggregate, Consumes, Flow, Operation, Spanned},
};

/// What a document has, by name: of several of one name the first, of operations all in order.
#[derive(Default)]
pub(super) struct Index<'a> {
    services: HashMap<&'a str, &'a Consumes>,
    operations: HashMap<(&'a str, &'a str), Vec<&'a Operation>>,
    aggregates: HashMap<&'a str, &'a Aggregate>,
    flows: HashMap<(&'a str, &'a str), &'a Flow>,
}

impl<'a> Index<'a> {
    /// Of services whose namespaces differ, and of aggregates.
    pub(super) fn new(consumes: &[&'a Consumes], aggregates: &'a [Aggregate]) -> Self {
        let mut index = Self::default();
        for consumed in consumes.iter().copied() {
            let namespace = consumed.namespace.value.as_str();
            index.services.entry(namespace).or_insert(consumed);
            for operation in consumed.operations.iter() {
                index.operations.entry((namespace, operation.name.value.as_str())).or_default().push(operation);
            }
        }
        for aggregate in aggregates {
            let namespace = aggregate.namespace.value.as_str();
            if index.aggregates.contains_key(namespace) {
                continue; // references go to the first one
            }
            index.aggregates.insert(namespace, aggregate);
            for flow in aggregate.flows.iter() {
                index.flows.entry((namespace, flow.name.value.as_str())).or_insert(flow);
            }
        }
        index
    }
}

impl Compiler<'_> {
    /// The services of a document without those whose namespace is taken: their operations would go to another host.
    pub(super) fn unique<'a>(&mut self, consumes: &'a [Consumes]) -> Vec<&'a Consumes> {
        let mut unique: Vec<&Consumes> = Vec::new();
        let mut known: BTreeMap<&str, &Consumes> = BTreeMap::new();
        for consumed in consumes {
            let Spanned { value, span } = &consumed.namespace;
            if let Some(first) = known.get(value.as_str()) {
                let message = format!("the namespace `{value}` is consumed twice; this service is left out");
                let problem = Diagnostic::error(Code::DuplicateNamespace, *span, message);
                self.problems.push(problem.with_secondary(first.namespace.span, "the first one"));
                continue;
            }
            unique.push(consumed);
            known.insert(value, consumed);
            let mut operations: BTreeMap<&str, Span> = BTreeMap::new();
            for operation in &consumed.operations {
                let Spanned { value, span } = &operation.name;
                if let Some(first) = operations.get(value.as_str()) {
                    let message = format!(
                        "the operation `{value}` is there already; tools that call it take these in order, one each"
                    );
                    let problem = Diagnostic::warning(Code::DuplicateOperation, *span, message);
                    self.problems.push(problem.with_secondary(*first, "the first one"));
                }
                operations.entry(value).or_insert(*span);
            }
        }
        unique
    }

    pub(super) fn check_aggregates(&mut self, aggregates: &[Aggregate]) {
        let mut known: BTreeMap<&str, Span> = BTreeMap::new();
        for aggregate in aggregates {
            let Spanned { value, span } = &aggregate.namespace;
            if let Some(first) = known.get(value.as_str()) {
                let message = format!("the namespace `{value}` has flows already; references go to the first one");
                let problem = Diagnostic::error(Code::DuplicateNamespace, *span, message);
                self.problems.push(problem.with_secondary(*first, "the first one"));
            }
            known.entry(value).or_insert(*span);
        }
    }

    /// The operation that a `call` names.
    pub(super) fn target<'a>(&mut self, scene: &mut Scene<'a>, call: &Spanned<String>) -> Option<Target<'a>> {
        let Spanned { value, span } = call;
        if !value.contains('.') {
            let message = format!("`call` must be `NAMESPACE.OPERATION`, found `{value}`");
            self.problems.push(Diagnostic::error(Code::InvalidValue, *span, message));
            return None;
        }
        // Both halves may hold dots: the longest namespace that fits is meant.
        let found =
            value.rmatch_indices('.').find_map(|(dot, _)| scene.index_of.services.get(value.get(..dot)?)).copied();
        let Some(consumed) = found else {
            let namespace = value.split_once('.').map_or(value.as_str(), |(namespace, _)| namespace);
            if let Some(left_out) = scene.left_out.iter().find(|left_out| left_out.value == namespace) {
                let message = format!("the service `{namespace}` was left out for an error of its own");
                let problem = Diagnostic::error(Code::UnknownNamespace, *span, message);
                self.problems.push(problem.with_secondary(left_out.span, "the service"));
                return None;
            }
            if let Some(import) = scene.missing.iter().find(|missing| missing.value == namespace) {
                let message = format!("the namespace `{namespace}` could not be imported");
                let problem = Diagnostic::error(Code::UnknownNamespace, *span, message);
                self.problems.push(problem.with_secondary(import.span, "the import"));
                return None;
            }
            let known: Vec<&str> = scene.consumes.iter().map(|consumed| consumed.namespace.value.as_str()).collect();
            let message =
                format!("unknown namespace `{namespace}`; this spec consumes {}", list(known.iter().copied()));
            self.problems
                .push(Diagnostic::error(Code::UnknownNamespace, *span, message).with_nearest(namespace, known));
            return None;
        };
        let namespace = consumed.namespace.value.as_str();
        let operation = value.get(namespace.len() + 1..).unwrap_or_default();
        // `NAMESPACE.RESOURCE.OPERATION`, as some documents write it.
        let last = operation.rsplit('.').next().unwrap_or(operation);
        let named = |name| scene.index_of.operations.get(&(namespace, name)).map(Vec::as_slice);
        let candidates = named(operation).or_else(|| named(last)).unwrap_or_default();
        let count = scene.calls.entry(value.clone()).or_default();
        let nth = candidates.get(*count).or(candidates.first()).copied();
        *count += 1;
        let Some(found) = nth else {
            if let Some(left_out) = consumed.left_out.iter().find(|left_out| left_out.value == operation) {
                let message = format!("the operation `{operation}` was left out for an error of its own");
                let problem = Diagnostic::error(Code::UnknownOperation, *span, message);
                self.problems.push(problem.with_secondary(left_out.span, "the operation"));
                return None;
            }
            let known = consumed.operations.iter().map(|operation| operation.name.value.as_str());
            let message = format!("unknown operation `{operation}`; `{namespace}` has {}", list(known.clone()));
            self.problems
                .push(Diagnostic::error(Code::UnknownOperation, *span, message).with_nearest(operation, known));
            return None;
        };
        self.called.insert(place(found.span));
        Some(Target { index: scene.index, consumes: consumed, operation: found })
    }

    /// The flow that a `ref` names, and the namespaces by which it refers to its own arguments.
    pub(super) fn flow<'a>(
        &mut self,
        scene: &Scene<'a>,
        reference: &Spanned<String>,
    ) -> Option<([Option<&'a str>; 2], &'a Flow)> {
        let Spanned { value, span } = reference;
        let split = value.rsplit_once('.');
        let aggregate = split.and_then(|(namespace, _)| scene.index_of.aggregates.get(namespace).copied());
        let Some((aggregate, (_, name))) = aggregate.zip(split) else {
            let wanted = split.map(|(namespace, _)| namespace);
            if let Some(import) = scene.missing.iter().find(|missing| Some(missing.value.as_str()) == wanted) {
                let message = format!("the namespace `{}` could not be imported", import.value);
                let problem = Diagnostic::error(Code::UnknownFlow, *span, message);
                self.problems.push(problem.with_secondary(import.span, "the import"));
                return None;
            }
            let known = scene.aggregates.iter().map(|aggregate| aggregate.namespace.value.as_str());
            let message = format!(
                "unknown flow `{value}`; `ref` is `NAMESPACE.FLOW`, and there are flows in {}",
                list(known.clone())
            );
            let given = split.map_or(value.as_str(), |(namespace, _)| namespace);
            self.problems.push(Diagnostic::error(Code::UnknownFlow, *span, message).with_nearest(given, known));
            return None;
        };
        let Some(flow) = scene.index_of.flows.get(&(aggregate.namespace.value.as_str(), name)).copied() else {
            let known = aggregate.flows.iter().map(|flow| flow.name.value.as_str());
            let message = if aggregate.left_out.iter().any(|left_out| left_out == name) {
                format!("the flow `{name}` was left out for an error of its own")
            } else {
                format!("unknown flow `{name}`; `{}` has {}", aggregate.namespace.value, list(known.clone()))
            };
            self.problems.push(Diagnostic::error(Code::UnknownFlow, *span, message).with_nearest(name, known));
            return None;
        };
        let namespaces = [Some(aggregate.namespace.value.as_str()), aggregate.imported_as.as_deref()];
        Some((namespaces, flow))
    }
}
