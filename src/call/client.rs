//! The client that a call is carried out for, as far as steps speak with it, and what is kept of a call that waits for it.
//! Knows no protocol.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Stage;
use crate::{
    error::CallError,
    spec::{Capability, LogLevel, QuestionKind, TaskTerms},
};

/// Who asked for a call.
pub trait Client: Send + Sync {
    /// Whether it said that it can do this, and is reached by a way that allows it.
    fn has(&self, capability: Capability) -> bool;

    /// What it calls itself, for a person.
    fn name(&self) -> Option<String> {
        None
    }

    /// Whether it follows the call as a task already.
    fn follows(&self) -> bool {
        false
    }

    /// Tells it something. That it does not arrive is no failure of the call.
    fn tell(&self, event: Event) -> BoxFuture<'_, ()>;

    /// Asks it, all at once. Errors: [`CallError::Unanswered`].
    fn ask(&self, questions: Vec<Asked>) -> BoxFuture<'_, Result<Reply, CallError>>;
}

/// What a client is told while a call is under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// How far it is.
    Progress {
        /// How far.
        progress: f64,
        /// Of how much.
        total: Option<f64>,
        /// In words.
        message: Option<String>,
    },
    /// A log message.
    Log {
        /// How bad it is.
        level: LogLevel,
        /// Who says it.
        logger: Option<String>,
        /// What is said.
        data: Value,
    },
    /// Something changed, for all clients.
    Changed(Changed),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The list of tools.
    Tools,
    /// The list of resources.
    Resources,
    /// The list of prompts.
    Prompts,
    /// What the resource of this URI holds.
    Resource(String),
}

/// A question as it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The name of its answer.
    pub key: String,
    /// Who answers.
    pub kind: QuestionKind,
    /// The members of the request.
    pub params: Map<String, Value>,
}

/// What a client does with questions.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Answers them, as MCP has the results of such requests.
    Answers(BTreeMap<String, Value>),
    /// Repeats the call later, with the answers.
    Later,
}

/// A call that stopped on the way, and how it goes on.
#[derive(Debug)]
pub struct Paused {
    /// Where it goes on.
    pub at: Resume,
    /// What it stopped for.
    pub wants: Wants,
}

/// What a call stopped for.
#[derive(Debug)]
pub enum Wants {
    /// Answers.
    Answers {
        /// The questions.
        questions: Vec<Asked>,
        /// Whether the call can only go on from where it stopped; otherwise it may as well begin anew.
        needs_state: bool,
    },
    /// To go on as a task.
    Task(TaskTerms),
}

/// Where a call goes on, with what earlier steps gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// The step, from 0.
    #[serde(rename = "s")]
    pub step: usize,
    /// The answers of the steps before, by name.
    #[serde(rename = "a")]
    pub answers: Map<String, Value>,
    /// The answer of the last call.
    #[serde(rename = "l", default, skip_serializing_if = "Value::is_null")]
    pub last: Value,
    /// The calls that were carried out.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// Answers that the client gave already to the questions of this step.
    #[serde(rename = "g", default, skip_serializing_if = "Map::is_empty")]
    pub given: Map<String, Value>,
    /// How far a person was asked whether the call may be carried out.
    #[serde(rename = "c", default, skip_serializing_if = "Stage::is_none")]
    pub consent: Stage,
}

/// How a call begins, or goes on.
#[derive(Clone, Debug, Default)]
pub struct Continuation {
    /// Where, if not at the beginning. Only what this program sealed itself belongs here.
    pub resume: Option<Resume>,
    /// Answers that came with the call.
    pub answers: BTreeMap<String, Value>,
}

/// A client that hears nothing and answers nothing: a command, or a test.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoClient;

impl Client for NoClient {
    fn has(&self, _: Capability) -> bool {
        false
    }

    fn tell(&self, _: Event) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn ask(&self, _: Vec<Asked>) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(std::future::ready(Err(CallError::Unanswered("nobody is there to answer".to_owned()))))
    }
}
