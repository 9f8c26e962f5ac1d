//! What a tool does when it is called: one request, several steps, or nothing but fixed values. Data alone; carried out in
//! `call`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::poll::{Next, Poll};
use super::{
    Service,
    fill::Fill,
    interaction::{Input, Interaction, Returned},
    request::RequestTemplate,
    shape::Shape,
};
use crate::{decode::Format, jsonpath::JsonPath, sensitive::Marks, spec::Capability};

/// What a tool does.
#[derive(Debug)]
pub enum Plan {
    /// One request.
    Call(Box<CompiledOperation>),
    /// Steps, in order.
    Steps(Steps),
    /// Nothing: these values are the answer.
    Mock(Fill),
}

/// An operation, ready to be called.
#[derive(Debug)]
pub struct CompiledOperation {
    /// As the spec writes it, without a query: `METHOD /path/{placeholder}`.
    pub name: String,
    /// The request.
    pub request: RequestTemplate,
    /// The service it goes to.
    pub service: Arc<Service>,
    /// The format of its answers.
    pub format: Format,
    /// The media type of binary answers, where the spec names one.
    pub media_type: Option<String>,
    /// The largest binary answer, in bytes.
    pub max_binary_size: Option<usize>,
    /// Where its answers have secrets, by their schema.
    pub marks: Option<Box<Marks>>,
    /// What later steps see of its answer: members and where they are found. All of it where nothing is named.
    pub projection: Vec<(String, JsonPath)>,
    /// How its end is waited for, where it answers before it is done.
    pub poll: Option<Box<Poll>>,
}

/// Several steps and what is made of their answers.
#[derive(Debug)]
pub struct Steps {
    /// The steps, in order, by name.
    pub steps: IndexMap<String, Step>,
    /// The members of the answer, each a path through objects, and where they are found in the answers of the steps. The
    /// last answer as it is where there are none.
    pub mappings: Vec<(Vec<String>, Fill)>,
}

/// A step.
#[derive(Debug)]
pub enum Step {
    /// Calls an operation.
    Call(Box<CompiledOperation>),
    /// Finds entries in the answer of an earlier step.
    Lookup(Box<Lookup>),
    /// Calls nothing.
    Interaction(Box<Interaction>),
}

/// A look-up in a list.
#[derive(Debug)]
pub struct Lookup {
    /// The list, in the answers of earlier steps.
    pub index: Fill,
    /// The member of each entry that is compared.
    pub matched: JsonPath,
    /// What it is compared with; a list finds an entry for each of its items.
    pub value: Fill,
    /// The members of an entry that are given back; all where none is named.
    pub outputs: Vec<String>,
}

/// How an answer becomes the result of a tool.
#[derive(Debug, Default, PartialEq)]
pub struct Shaping {
    /// The shapes, of which the first that gives something counts. The answer as it is where there are none.
    pub shapes: Vec<Shape>,
}

impl Plan {
    /// The operations it calls, in order, without those that wait for their end.
    pub fn operations(&self) -> Vec<&CompiledOperation> {
        match self {
            Self::Call(operation) => vec![operation],
            Self::Steps(steps) => steps.steps.values().filter_map(Step::operation).collect(),
            Self::Mock(_) => Vec::new(),
        }
    }

    /// Every operation that it may call, those that wait for the end of others among them.
    pub fn every_operation(&self) -> impl Iterator<Item = &CompiledOperation> {
        self.operations().into_iter().flat_map(CompiledOperation::with_asked)
    }

    /// Whether a step of it sends log messages.
    pub fn logs(&self) -> bool {
        let Self::Steps(steps) = self else { return false };
        steps.interactions().any(|one| matches!(one, Interaction::Log { .. }))
    }

    /// All that its steps do, where a call can stop between them and go on later; empty otherwise. It changes with
    /// everything that a person may have agreed to. Holds no secret.
    pub fn course(&self) -> String {
        match self {
            Self::Steps(steps)
                if steps.interactions().any(|one| matches!(one, Interaction::Input(_) | Interaction::Task(_))) =>
            {
                self.all_it_does()
            }
            _ => String::new(),
        }
    }

    /// All that it does. It changes with everything that a person may have agreed to. Holds no secret.
    pub fn all_it_does(&self) -> String {
        let sent = |operation: &CompiledOperation| {
            let CompiledOperation { request, service, projection, .. } = operation;
            let base = service.endpoint.as_ref().map(|endpoint| endpoint.base.to_string());
            format!("{request:?} of {base:?}, {projection:?}")
        };
        let called = |operation: &CompiledOperation| {
            let Some(poll) = &operation.poll else { return sent(operation) };
            let Poll { statuses, until, next, interval, timeout } = &**poll;
            let asked = match next {
                Next::Again => "the same".to_owned(),
                Next::Location => "its location".to_owned(),
                Next::Operation(asked) => sent(asked),
            };
            format!("{}, then {asked} {statuses:?} {until:?} {interval:?} {timeout:?}", sent(operation))
        };
        let steps = match self {
            Self::Call(operation) => return called(operation),
            Self::Mock(fill) => return format!("{fill:?}"),
            Self::Steps(steps) => steps,
        };
        let step = |(name, step): (&String, &Step)| match step {
            Step::Call(operation) => format!("{name:?}: {}", called(operation)),
            Step::Lookup(lookup) => format!("{name:?}: {lookup:?}"),
            Step::Interaction(interaction) => format!("{name:?}: {interaction:?}"),
        };
        let all: Vec<String> = steps.steps.iter().map(step).collect();
        format!("{all:?} {:?}", steps.mappings)
    }

    /// What it does in one line: `METHOD /path`, several of them joined by commas.
    pub fn summary(&self) -> String {
        let names: Vec<&str> = self.operations().iter().map(|operation| operation.name.as_str()).collect();
        if names.is_empty() { "fixed values".to_owned() } else { names.join(", ") }
    }
}

impl CompiledOperation {
    /// This one and the one that is asked for its end.
    pub fn with_asked(&self) -> impl Iterator<Item = &Self> {
        let asked = self.poll.as_ref().and_then(|poll| match &poll.next {
            Next::Operation(asked) => Some(&**asked),
            Next::Again | Next::Location => None,
        });
        std::iter::once(self).chain(asked)
    }

    /// Method and path of its requests, whatever fills them.
    pub(super) fn shape(&self) -> (String, String) {
        (self.request.method.to_string(), self.request.path.shape())
    }
}

impl Steps {
    /// What the steps give back by themselves, where the last of them says so.
    pub fn returned(&self) -> Option<&Returned> {
        match self.steps.last()? {
            (_, Step::Interaction(interaction)) => match &**interaction {
                Interaction::Return(returned) => Some(returned),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether they end with an error, whatever happens.
    pub fn always_fail(&self) -> bool {
        matches!(self.steps.last(), Some((_, Step::Interaction(one))) if matches!(**one, Interaction::Fail { .. }))
    }

    /// What a client has to be capable of for steps that are never left out: known before the first is carried out.
    pub fn required(&self) -> impl Iterator<Item = Capability> {
        self.interactions().flat_map(|interaction| match interaction {
            Interaction::Require(capability) => vec![*capability],
            Interaction::Task(terms) if terms.required => vec![Capability::Tasks],
            Interaction::Input(Input { questions, .. }) => {
                let needed = questions.iter().filter(|question| !question.optional);
                needed.map(|question| question.kind.capability()).collect()
            }
            _ => Vec::new(),
        })
    }

    /// The steps that call nothing.
    pub fn interactions(&self) -> impl Iterator<Item = &Interaction> {
        self.steps.values().filter_map(|step| match step {
            Step::Interaction(interaction) => Some(&**interaction),
            Step::Call(_) | Step::Lookup(_) => None,
        })
    }

    /// What look-ups, mappings and steps that call nothing are filled from.
    pub fn fills(&self) -> Vec<&Fill> {
        let fills = self.steps.values().flat_map(|step| match step {
            Step::Lookup(lookup) => vec![&lookup.index, &lookup.value],
            Step::Interaction(interaction) => interaction.fills(),
            Step::Call(_) => Vec::new(),
        });
        fills.chain(self.mappings.iter().map(|(_, fill)| fill)).collect()
    }
}

impl Step {
    fn operation(&self) -> Option<&CompiledOperation> {
        match self {
            Self::Call(operation) => Some(operation),
            Self::Lookup(_) | Self::Interaction(_) => None,
        }
    }
}
