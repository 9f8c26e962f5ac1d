//! Waiting for the end of an operation that answers before it is done, compiled. Carried out in `call`.

use std::time::Duration;

use super::{
    arguments::Arguments,
    compile::{Compiler, Target},
    plan::CompiledOperation,
    resolve::Names,
    risk::{Assessed, Risk, shapes::Shapes},
    tool::verdict,
};
use crate::{
    diagnostic::{Code, Diagnostic},
    jsonpath::JsonPath,
    spec,
};

/// The name of the first answer in what feeds the operation that is asked afterwards.
pub const ANSWER: &str = "answer";

/// How the end of an operation is waited for.
#[derive(Debug)]
pub struct Poll {
    /// Statuses that mean "not yet".
    pub statuses: Vec<u16>,
    /// The member that says whether it is done, and the values it has then.
    pub until: Option<(JsonPath, Vec<serde_json::Value>)>,
    /// What is asked.
    pub next: Next,
    /// How long to wait between two requests, where an answer does not say it.
    pub interval: Duration,
    /// How long to wait in all.
    pub timeout: Duration,
}

/// What is asked for the end of an operation.
#[derive(Debug)]
pub enum Next {
    /// The same again.
    Again,
    /// What the `Location` of the answer points to (RFC 9110, section 15.3.3), on the same origin.
    Location,
    /// Another operation.
    Operation(Box<CompiledOperation>),
}

impl Compiler<'_> {
    /// The `poll` of an operation. Nothing where something in it is wrong, which is reported.
    pub(super) fn poll<'a>(
        &mut self,
        written: &'a spec::Poll,
        target: Target<'a>,
        names: &Names<'a>,
        arguments: &mut Arguments,
    ) -> Option<Poll> {
        let spec::Poll { statuses, until, call, with, location, interval, timeout, span: _ } = written;
        let until = match until {
            None => None,
            Some((path, values)) => Some((self.path(&path.value, path)?, values.clone())),
        };
        let next = match call {
            None if *location => Next::Location,
            None => Next::Again,
            Some(call) => {
                let wanted = call.value.rsplit('.').next().unwrap_or(&call.value);
                let operations = &target.consumes.operations;
                let Some(operation) = operations.iter().find(|operation| operation.name.value == wanted) else {
                    let message = format!(
                        "`poll` names the operation `{wanted}`, which `{}` does not have",
                        target.consumes.namespace.value
                    );
                    let known = operations.iter().map(|operation| operation.name.value.as_str());
                    let problem = Diagnostic::error(Code::UnknownOperation, call.span, message);
                    self.problems.push(problem.with_nearest(wanted, known));
                    return None;
                };
                let asked = Target { operation, ..target };
                let mut names = names.clone();
                names.steps.push(ANSWER);
                self.with(with, &[], &mut names, asked);
                // What is asked afterwards asks no model for anything more.
                let declared = std::mem::replace(&mut arguments.declared, true);
                let compiled = self.request(asked, names, arguments);
                arguments.declared = declared;
                let compiled = compiled?;
                let of_asked = verdict((asked, None), &compiled.request, arguments, (&Shapes::default(), ""));
                let Assessed { class, reason } = of_asked.assessed;
                if class != Risk::Read {
                    let message = format!(
                        "asking `{wanted}` for the end of `{}` would {}: {reason}",
                        target.operation.name.value,
                        class.effect()
                    );
                    let problem = Diagnostic::error(Code::UnsafePoll, call.span, message);
                    self.problems.push(problem.with_help("name an operation that only reads"));
                    return None;
                }
                Next::Operation(Box::new(compiled))
            }
        };
        Some(Poll { statuses: statuses.clone(), until, next, interval: *interval, timeout: *timeout })
    }
}
