//! What a model is told of a call that was not confirmed, and how a person can still do so.

use super::{BY_CLIENT, Case, questions::look};
use crate::{
    audit::Decision,
    error::CallError,
    policy::{rules::Rule, store::AskError},
};

impl Case<'_> {
    /// A person refused it where the client asked them. The question is over: the same call asks anew.
    pub(super) async fn refused(&self) -> CallError {
        self.environment.recording.decided(Decision::Declined, Some(BY_CLIENT.to_owned()));
        self.settle().await;
        CallError::NotConfirmed(format!("a person refused it ({BY_CLIENT}); leave it unless they ask for it again"))
    }

    /// The client says that it is declined, and may do so of itself.
    pub(super) async fn declined(&self) -> CallError {
        self.environment.recording.decided(Decision::Declined, Some(BY_CLIENT.to_owned()));
        self.pass_on().await;
        let page = self.hint().await;
        CallError::NotConfirmed(format!(
            "the client answered that it is declined. If a person did that, leave it. If nobody was asked, {page}, and call \
             again with exactly the same arguments"
        ))
    }

    /// The answers of the client did not fit, as often as it was asked.
    pub(super) async fn unfit(&self, wrong: &str) -> CallError {
        self.pass_on().await;
        match self.waits().await {
            CallError::Waits { what, how } => CallError::Waits {
                what,
                how: format!("what was answered in the client's form did not fit ({wrong}); {how}"),
            },
            error => error,
        }
    }

    pub(super) async fn waits(&self) -> CallError {
        self.waits_by(self.hint().await)
    }

    /// The same where the client's form could not have shown all of it.
    pub(super) async fn too_long(&self) -> CallError {
        let how = if self.policy().vault().is_none() {
            "it is too long for a form of the client, and there is no data folder to keep a question in, so make the request \
             shorter, or tell the operator to give `--data-dir`"
                .to_owned()
        } else {
            format!("it is too long for a form of the client, so {}", self.hint().await)
        };
        self.waits_by(how)
    }

    fn waits_by(&self, how: String) -> CallError {
        self.environment.recording.decided(Decision::Asked, None);
        let what = match (self.given.wanted.as_slice(), self.rule) {
            ([], _) => format!(
                "decides whether `{}` may be carried out (risk: {}, {})",
                self.tool.name, self.tool.risk.class, self.tool.risk.reason
            ),
            (wanted, rule) => {
                let labels: Vec<String> = wanted.iter().map(|entry| format!("`{}`", entry.label)).collect();
                let confirm = if rule == Rule::Ask { ", and decides whether the call may be carried out" } else { "" };
                format!("gives the secret value of {}{confirm}", labels.join(" and "))
            }
        };
        CallError::Waits { what, how }
    }

    /// Why nobody can be asked anywhere.
    pub(super) fn nowhere(&self, error: &AskError) -> CallError {
        self.environment.recording.decided(Decision::Denied, None);
        CallError::NotConfirmed(match error {
            AskError::TooMany => format!(
                "and nobody was asked: {error}; ask the person to decide on some of them by `keyglass approve` or in \
                 keyglass's console, then call again"
            ),
            AskError::Store(_) => {
                "and nobody was asked: keyglass cannot keep the question; tell the operator to look at its log"
                    .to_owned()
            }
        })
    }

    /// How a person answers, for the model to tell them. Nothing in it lets anybody in.
    async fn hint(&self) -> String {
        if self.policy().vault().is_none() {
            return "there is no data folder to keep a question in, so use a client that can ask its user, or tell the operator \
                    to give `--data-dir`"
                .to_owned();
        }
        let approve = self.approve().await;
        let page = match self.policy().desk() {
            Some(desk) => desk.needed().await,
            None => None,
        };
        match page {
            Some(page) => format!(
                "ask the person to answer in keyglass's console at {page} (its log has the link that lets them in) or by \
                 `{approve}` in a terminal"
            ),
            None => format!("ask the person to answer by `{approve}` in a terminal"),
        }
    }

    /// The command that answers, for a model, which is not told the code. The log has it.
    async fn approve(&self) -> String {
        let Some(vault) = self.policy().vault() else { return "keyglass approve".to_owned() };
        let command = vault.command("approve");
        // Whoever called by a command is told there.
        if !self.context.is_person
            && let Ok(Some(question)) = look(vault, self.owner, self.binding).await
        {
            let code = &question.shown.code;
            tracing::info!(tool = self.tool.name, "a call waits for a person: `{command} {code}` decides on it");
        }
        command
    }
}
