//! The ways by which calls come in, and everything that comes back by them.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::process::{ChildStdin, ChildStdout};

use crate::{
    mcp::{SseClient, initialize, initialized, modern, request, session},
    support::{Client, Events, Keyglass, Lined, finished, keyglass, within},
};

/// A way by which calls come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Stdio,
    Modern,
    Session,
    Sse,
    Command,
}

/// The program, reached by one way.
pub(super) struct Side {
    link: Link,
    server: Option<Keyglass>,
    /// All that came from the program, but for its log.
    pub(super) said: String,
    number: u64,
}

enum Link {
    Stdio(Lined<ChildStdout, ChildStdin>),
    Modern(Client),
    Session(Client, String),
    Sse(Box<SseClient>, Client),
    Command(Command),
}

/// How the program is started.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) backend: String,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) data: PathBuf,
}

impl Side {
    pub(super) async fn start(way: Way, command: &Command) -> Self {
        let arguments: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
        let (url, more) = (&command.backend, &command.variables);
        let mut said = String::new();
        let (link, server) = match way {
            Way::Stdio => {
                let (server, mut client) = Keyglass::over_pipes_in(url, &arguments, more);
                said += &client.ask(&initialize(1)).await.to_string();
                client.send(&initialized()).await;
                (Link::Stdio(client), Some(server))
            }
            Way::Command => (Link::Command(command.clone()), None),
            _ => {
                let (server, client) = Keyglass::over_http_in(url, &arguments, more).await;
                let link = match way {
                    Way::Modern => Link::Modern(client),
                    Way::Session => {
                        let id = session(&client).await;
                        Link::Session(client, id)
                    }
                    _ => Link::Sse(Box::new(SseClient::connect(&client).await), client),
                };
                (link, Some(server))
            }
        };
        Self { link, server, said, number: 1 }
    }

    /// Calls a tool: everything that comes back until the answer.
    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> String {
        self.calls(vec![(tool, arguments)]).await.concat()
    }

    /// Calls tools at once.
    pub(super) async fn calls(&mut self, calls: Vec<(&str, Value)>) -> Vec<String> {
        let calls = calls
            .into_iter()
            .map(|(tool, arguments)| ("tools/call", tool, json!({"name": tool, "arguments": arguments})));
        self.ask(calls.collect()).await
    }

    /// Reads a resource.
    pub(super) async fn read(&mut self, uri: &str) -> String {
        self.ask(vec![("resources/read", uri, json!({ "uri": uri }))]).await.concat()
    }

    /// Sends requests at once: everything that comes back until all are answered, one text for each where they can be told
    /// apart.
    async fn ask(&mut self, requests: Vec<(&str, &str, Value)>) -> Vec<String> {
        let mut asked = Vec::new();
        for (method, name, mut params) in requests {
            self.number += 1;
            params["_meta"] = json!({"progressToken": self.number});
            asked.push((self.number, method, name, params));
        }
        let answers = match &mut self.link {
            Link::Stdio(client) => {
                for (id, method, _, params) in &asked {
                    client.send(&request(*id, method, params)).await;
                }
                let mut text = String::new();
                for _ in &asked {
                    loop {
                        let message = client.receive().await.expect("an answer");
                        text += &message.to_string();
                        if message.get("id").is_some() {
                            break;
                        }
                    }
                }
                vec![text]
            }
            Link::Sse(client, _) => {
                for (id, method, _, params) in &asked {
                    client.send(&request(*id, method, params)).await;
                }
                let mut text = String::new();
                for _ in &asked {
                    loop {
                        let message = client.events.message().await;
                        text += &message.to_string();
                        if message.get("id").is_some() {
                            break;
                        }
                    }
                }
                vec![text]
            }
            Link::Session(client, session) => {
                let sent = asked.iter().map(async |(id, method, _, params)| {
                    let headers = [("mcp-session-id", session.as_str())];
                    let response = within(client.post("/mcp", request(*id, method, params), &headers).send()).await;
                    let response = response.unwrap();
                    let mut text = format!("{:?}", response.headers());
                    let mut events = Events::of(response);
                    loop {
                        let message = events.message().await;
                        text += &message.to_string();
                        if message["id"] == *id {
                            break text;
                        }
                    }
                });
                join_all(sent).await
            }
            Link::Modern(client) => {
                let sent = asked.iter().map(async |(id, method, name, params)| {
                    let meta = params["_meta"].clone();
                    let mut message = modern(*id, method, params);
                    message["params"]["_meta"]["progressToken"] = meta["progressToken"].clone();
                    message["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
                    let headers =
                        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", *method), ("mcp-name", *name)];
                    let response = within(client.post("/mcp", message, &headers).send()).await.unwrap();
                    let headers = format!("{:?}", response.headers());
                    headers + &within(response.text()).await.unwrap()
                });
                join_all(sent).await
            }
            Link::Command(command) => {
                let runs = asked.iter().map(|(_, method, name, params)| {
                    assert_eq!(*method, "tools/call");
                    let (command, tool, arguments) = (command.clone(), (*name).to_owned(), params["arguments"].clone());
                    tokio::task::spawn_blocking(move || command.called(&tool, &arguments))
                });
                join_all(runs).await.into_iter().map(|run| run.unwrap()).collect()
            }
        };
        self.said.extend(answers.iter().map(String::as_str));
        answers
    }

    /// Whether it has the program at hand all the time.
    pub(super) fn is_command(&self) -> bool {
        matches!(self.link, Link::Command(_))
    }

    /// The data folder.
    pub(super) fn data(&self) -> PathBuf {
        match (&self.link, &self.server) {
            (Link::Command(command), _) => command.data.clone(),
            (_, server) => server.as_ref().unwrap().audit().parent().unwrap().to_owned(),
        }
    }

    /// What the port says besides, what the program lists, its log to the end. It is over then.
    pub(super) async fn ended(mut self) -> (Self, String) {
        let client = match &self.link {
            Link::Modern(client) | Link::Session(client, _) | Link::Sse(_, client) => Some(client.clone()),
            _ => None,
        };
        if let Some(client) = client {
            for path in ["/metrics", "/healthz", "/readyz"] {
                let response = within(client.get(path).send()).await.unwrap();
                self.said += &within(response.text()).await.unwrap();
            }
            assert!(self.said.contains("keyglass_requests_in_flight"), "there are numbers");
        }
        let mut log = String::new();
        if let Some(server) = &mut self.server {
            match &mut self.link {
                Link::Stdio(client) => client.close(),
                _ => server.terminate().await,
            }
            if let Link::Sse(client, _) = self.link {
                drop(client);
                self.link = Link::Modern(Client { http: reqwest::Client::new(), base: String::new() });
            }
            server.ended().await;
            log = server.log();
        }
        (self, log)
    }
}

impl Command {
    /// The program run once.
    fn called(&self, tool: &str, arguments: &Value) -> String {
        let mut command = keyglass(&self.data, &["call", tool, "--json", "-", "--backend", &self.backend]);
        command.args(["--credential", "env:STUB_KEY"]).args(&self.arguments).env("KEYGLASS_LOG", "trace");
        command.envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(arguments.to_string().as_bytes()).unwrap();
        let (code, out, error) = finished(child.wait_with_output().unwrap());
        assert!(code < 100, "{error}");
        out + &error
    }
}

/// A path as text.
pub(super) fn path_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
