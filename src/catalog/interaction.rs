//! Steps that call nothing, compiled: everything in them that may hold a placeholder is a [`Fill`]. Carried out in `call`.

use serde_json::json;

use super::{
    arguments::Arguments,
    compile::{Compiler, Use},
    content,
    fill::Fill,
    input::Argument,
    resolve::Names,
};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    spec::{self, Capability, LogLevel, QuestionKind, TaskTerms, yaml::Node},
};

/// What a step does that calls nothing.
#[derive(Debug)]
pub enum Interaction {
    /// Tells how far the call is.
    Progress {
        /// How far.
        progress: Fill,
        /// Of how much.
        total: Option<Fill>,
        /// In words.
        message: Option<Fill>,
    },
    /// Waits.
    Delay(Fill),
    /// Sends a log message.
    Log {
        /// How bad it is.
        level: LogLevel,
        /// Who says it.
        logger: Option<String>,
        /// What is said.
        data: Fill,
    },
    /// Tells all clients that something changed.
    Notify(Notice),
    /// Goes on only with a client that can do this.
    Require(Capability),
    /// Asks the client, or the person behind it.
    Input(Input),
    /// Ends the call with this.
    Return(Returned),
    /// Ends the call with an error of the protocol.
    Fail {
        /// What went wrong.
        message: Fill,
        /// The JSON-RPC code.
        code: i32,
    },
    /// Carries out what follows as a task.
    Task(TaskTerms),
}

/// What changed.
#[derive(Debug)]
pub enum Notice {
    /// The list of tools.
    Tools,
    /// The list of resources.
    Resources,
    /// The list of prompts.
    Prompts,
    /// What the resource of this URI holds.
    Resource(Fill),
}

/// Questions that are asked at once.
#[derive(Debug)]
pub struct Input {
    /// The questions.
    pub questions: Vec<Question>,
    /// Whether answers count only together with the state that went out with the questions.
    pub sealed: bool,
}

/// A question.
#[derive(Debug)]
pub struct Question {
    /// The name of its answer, unique among those of the tool.
    pub key: String,
    /// Who answers.
    pub kind: QuestionKind,
    /// The members of the request.
    pub params: Fill,
    /// Whether the call goes on without an answer.
    pub optional: bool,
}

/// What a call gives back.
#[derive(Debug)]
pub enum Returned {
    /// The result of a tool.
    Result {
        /// Content blocks.
        content: Option<Fill>,
        /// The structured content.
        structured: Option<Fill>,
        /// Whether it tells of a failure.
        is_error: bool,
    },
    /// The messages of a prompt.
    Messages(Fill),
    /// The contents of a resource.
    Contents(Fill),
}

impl Interaction {
    /// What it is filled from.
    pub fn fills(&self) -> Vec<&Fill> {
        match self {
            Self::Progress { progress, total, message } => {
                [Some(progress), total.as_ref(), message.as_ref()].into_iter().flatten().collect()
            }
            Self::Delay(fill) | Self::Log { data: fill, .. } => vec![fill],
            Self::Notify(Notice::Resource(uri)) => vec![uri],
            Self::Input(input) => input.questions.iter().map(|question| &question.params).collect(),
            Self::Return(Returned::Result { content, structured, is_error: _ }) => {
                [content, structured].into_iter().flatten().collect()
            }
            Self::Return(Returned::Messages(fill) | Returned::Contents(fill)) => vec![fill],
            Self::Fail { message, .. } => vec![message],
            Self::Notify(_) | Self::Require(_) | Self::Task(_) => Vec::new(),
        }
    }
}

/// Where a step is.
#[derive(Clone, Copy)]
pub(super) struct At<'a, 'n> {
    /// Where it is written.
    pub(super) place: Span,
    /// What names mean there.
    pub(super) names: &'a Names<'n>,
    /// What the steps are for.
    pub(super) used_as: Use,
}

impl Compiler<'_> {
    /// A step that calls nothing.
    pub(super) fn interaction(
        &mut self,
        written: &spec::Interaction,
        at: At<'_, '_>,
        arguments: &mut Arguments,
    ) -> Option<Interaction> {
        let At { place, names, used_as } = at;
        let mut fill = |node: &Node| self.filled(node, names, arguments);
        Some(match written {
            spec::Interaction::Progress { progress, total, message } => Interaction::Progress {
                progress: fill(progress),
                total: total.as_ref().map(&mut fill),
                message: message.as_ref().map(&mut fill),
            },
            spec::Interaction::Delay(duration) => Interaction::Delay(fill(duration)),
            spec::Interaction::Log { level, logger, data } => {
                Interaction::Log { level: *level, logger: logger.clone(), data: fill(data) }
            }
            spec::Interaction::Notify(notice) => Interaction::Notify(match notice {
                spec::Notice::Tools => Notice::Tools,
                spec::Notice::Resources => Notice::Resources,
                spec::Notice::Prompts => Notice::Prompts,
                spec::Notice::Resource(uri) => Notice::Resource(fill(uri)),
            }),
            spec::Interaction::Require(capability) => Interaction::Require(*capability),
            spec::Interaction::Input { questions, sealed } => {
                let mut unusable = Vec::new();
                let lowered = questions.iter().map(|spec::Question { key, kind, params, optional }| {
                    let params = params.iter().map(|(name, node)| {
                        let filled = fill(node);
                        if let ("requestedSchema", Fill::Literal(schema)) = (name.value.as_str(), &filled)
                            && let Err(error) = crate::schema::validator_options().build(schema)
                        {
                            unusable.push((node.span, error.masked().to_string()));
                        }
                        (name.value.clone(), if name.value == "url" { filled.for_a_url() } else { filled })
                    });
                    let params = Fill::Object(params.collect());
                    Question { key: key.value.clone(), kind: *kind, params, optional: *optional }
                });
                let questions = lowered.collect();
                if let Some((place, reason)) = unusable.pop() {
                    let message = format!("the form's schema is not valid: {reason}");
                    self.problems.push(Diagnostic::error(Code::InvalidSchema, place, message));
                    return None;
                }
                Interaction::Input(Input { questions, sealed: *sealed })
            }
            spec::Interaction::Fail { message, code } => Interaction::Fail { message: fill(message), code: *code },
            spec::Interaction::Return(returned) => Interaction::Return(self.returned(returned, at, arguments)?),
            spec::Interaction::Task(terms) => {
                if used_as != Use::Tool {
                    let message = format!("only tools can become tasks, this is a {}", used_as.noun());
                    self.problems.push(Diagnostic::error(Code::InvalidValue, place, message));
                    return None;
                }
                Interaction::Task(*terms)
            }
        })
    }

    fn returned(&mut self, returned: &spec::Returned, at: At<'_, '_>, arguments: &mut Arguments) -> Option<Returned> {
        let At { place, names, used_as } = at;
        let spec::Returned { content, structured, is_error, messages, contents } = returned;
        let (own, foreign) = match used_as {
            Use::Tool => ("`text`, `content` or `structuredContent`", messages.as_ref().or(contents.as_ref())),
            Use::Prompt => ("`messages`", content.as_ref().or(structured.as_ref()).or(contents.as_ref())),
            Use::Resource => ("`contents`", content.as_ref().or(structured.as_ref()).or(messages.as_ref())),
        };
        if let Some(foreign) = foreign {
            let message = format!("a {} returns {own}, and nothing else", used_as.noun());
            self.problems.push(Diagnostic::error(Code::InvalidValue, foreign.span, message));
            return None;
        }
        let before = self.problems.len();
        content.iter().for_each(|blocks| content::check_blocks(blocks, &mut self.problems));
        messages.iter().for_each(|messages| content::check_messages(messages, &mut self.problems));
        contents.iter().for_each(|contents| content::check_contents(contents, &mut self.problems));
        if self.problems.len() > before {
            return None;
        }
        let mut fill = |node: &Node| self.filled(node, names, arguments);
        let (content, structured) = (content.as_ref().map(&mut fill), structured.as_ref().map(&mut fill));
        let (messages, contents) = (messages.as_ref().map(&mut fill), contents.as_ref().map(fill));
        match used_as {
            Use::Tool => Some(Returned::Result { content, structured, is_error: *is_error }),
            Use::Prompt => messages.map(Returned::Messages),
            Use::Resource => contents.map(Returned::Contents),
        }
        .or_else(|| {
            let message = format!("a {} returns {own}", used_as.noun());
            self.problems.push(Diagnostic::error(Code::MissingField, place, message));
            None
        })
    }

    /// A value whose texts may hold placeholders, or be a path to an earlier answer as a whole. Arguments in it are added
    /// where the tool declares none itself.
    fn filled(&mut self, node: &Node, names: &Names<'_>, arguments: &mut Arguments) -> Fill {
        let fill = names.node(node, &|names, text| names.value(text)).for_a_person();
        for name in fill.arguments() {
            self.fed(name, node.span, arguments);
        }
        fill
    }

    /// Sees to it that there is an argument that something is fed from.
    pub(super) fn fed(&mut self, name: &str, place: Span, arguments: &mut Arguments) {
        if arguments.has(name) {
            return;
        }
        if arguments.declared {
            let message = format!("this is fed from `{name}`, which is not declared");
            let problem = Diagnostic::warning(Code::UnusedArgument, place, message);
            self.problems.push(problem.with_nearest(name, arguments.names()));
        } else {
            let schema = json!({"type": "string"});
            arguments.add(Argument { name: name.to_owned(), schema, required: true });
        }
    }
}
