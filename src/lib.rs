//! keyglass turns capability specs into typed, safe tools of the Model Context Protocol, and carries every call to a
//! backend: a service over HTTP, or the one built in.
//!
//! # The map
//!
//! ```text
//! capabilities/*.yaml ─────── spec::load ──▶ Workspace ──┬── variables ──▶ Variables ──┐
//! flags, KEYGLASS_*, file ─── config ──▶ Settings ───────┴── services ──▶ Services ─────┤
//! schemas/*.json ──────────── SchemaStore ──────────────────────────────────────────────┤
//! OpenAPI documents ───────── openapi ──▶ catalog::join ────────────────────────────────┤
//!                                                                                       │
//!                              Catalog + diagnostics ◀────────────── catalog::compile ◀─┘
//!                                        │
//!            mcp (stdio, http, sse) ──▶ gateway ──▶ call ──▶ credential ──▶ backend::{Remote, Embedded}
//! ```
//!
//! | module | holds | must not know |
//! |---|---|---|
//! | [`diagnostic`] | problems of specs as values with places, the manual on them; text, JSON and SARIF | how specs are read |
//! | [`spec`] | the documents as written; [`spec::yaml`] alone names the YAML crate | what anything refers to |
//! | [`schema`] | JSON Schemas, found, inlined, cleaned up | what a schema is used for |
//! | [`openapi`] | OpenAPI and Swagger documents as operations with plain schemas | capability specs |
//! | [`config`] | settings, checked; alone reads the environment, and files and commands that hold secrets | what specs say |
//! | [`variables`] | what specs bind, and its values, from the environment by `config` or from files | what they are used for |
//! | [`services`] | which backend serves a namespace, base URL, credential; what callers have to show | arguments, requests |
//! | [`catalog`] | tools, resources and prompts, compiled: arguments, request template, steps, result | the network, the MCP library |
//! | [`credential`] | putting a credential onto a request; digest, OAuth 2 | specs, where secrets come from |
//! | [`access`] | who may use which tools, resources and prompts: gates, groups, classes of risk, scopes; what the operator switches off | MCP, specs |
//! | [`catalog::risk`] | what a tool may do at worst, by words and shapes, and why | single APIs, callers |
//! | [`caller`] | who makes a call, and what they may use | MCP, specs, how a caller is recognized |
//! | [`audit`] | one chained line for each call and decision; looking whether they are all there | MCP, specs, how calls are carried out |
//! | [`import`] | capability specs made from OpenAPI documents; names and hints are those that `catalog` makes | running servers |
//! | [`sensitive`] | what is secret: by the mark of a schema, by a name, also one within a text, by the form of a text | what is done with it |
//! | [`policy`] | what a model sees of secrets, and what a person is asked: handles, questions, rules, grants | MCP, how calls are carried out |
//! | [`mask`] | replacing secrets in text | where secrets come from |
//! | [`egress`] | where requests may go: kinds of addresses, what the operator names, what specs state | specs, tools, how names are looked up |
//! | [`error`] | everything that can fail after load, in words for a model | MCP |
//! | [`decode`] | bodies of answers as JSON: XML, HTML, CSV, YAML and the like | which operation answered |
//! | [`jsonpath`] | JSONPath as specs write it, parsed and applied | what the values are |
//! | [`call`] | one call: check, bind, send, wait for the end, judge, decode, mask, check; its steps, and what they need of a client ([`call::client`]); reading a resource | transports |
//! | [`dry_run`] | the request a call would send, as text, without any secret | how requests are sent |
//! | [`backend`] | where requests go; [`backend::embedded`] is a whole API on SQLite | tools |
//! | [`originals`] | the specs and schemas themselves, as resources; what is secret in them | MCP |
//! | [`guides`] | a guide to each group of tools, as a prompt | MCP |
//! | [`gateway`] | what one running server shares: catalog, backends, limits | MCP |
//! | [`setup`] | from settings to a gateway, in one straight line | MCP |
//! | [`lock`] | the tool contract as a file, and what a changed one differs in | MCP |
//! | [`reload`] | looking at the files and setting up anew when they change | who uses the gateway |
//! | [`mcp`] | the protocol, both eras of it, and its transports; sealed states and tasks of calls that wait, limits, callers; alone names the MCP library | specs |
//! | [`console`] | a local page for a person: what waits for them, secrets, tools, calls; who may use it | MCP |
//! | [`cli`] | a file for each command; alone prints to standard output | |
//! | [`metrics`], [`live`], [`telemetry`] | what the process counts; the calls of a moment ago; logs and traces | arguments, answers, secrets |
//! | [`shipped`], [`clock`], [`random`], [`nearest`], `members`, `wildcard`, `work`, [`base_url`], [`media_type`], [`prose`], [`http_server`], [`core_dump`] | leaves: compiled-in files, time, identifiers, slips, members under other names, patterns with `*`, work on much data, URLs, kinds of content, HTML in texts, serving a port, no core files | |
//!
//! # Rules of direction
//!
//! `diagnostic ← spec ← catalog ← call → credential → backend`, with `error` below the last four, `policy` and `audit` beside
//! `call`, which asks them, and `mcp`, `console` and `cli` on top. All that can be wrong with a spec is found left of the catalog, with file, line and column; right of it only
//! arguments, the network and the backend can fail. A catalog never changes once it stands.
//!
//! # Adding a feature of the language
//!
//! Read the field in `spec/<section>.rs`; lower it in `catalog/<concept>.rs`. Tools, operations and parameters are taken
//! apart without `..` there, so a new field of theirs does not compile until it is handled. A pair in `tests/specs` shows
//! that it works, a `.bad` twin what is said when it is wrong.
//!
//! `docs/steps.md` tells authors about steps and `poll`, `docs/security.md` everybody what is defended, the README about the rest.
//!
//! What can be wrong with it gets an entry in `diagnostic/codes.rs`: the doc comment is the manual's page, and a test runs
//! its examples. Advice that stops nothing is given in `spec/lint.rs`.

pub mod access;
pub mod audit;
pub mod backend;
pub mod base_url;
pub mod call;
pub mod caller;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod core_dump;
pub mod credential;
pub mod decode;
pub mod diagnostic;
pub mod dry_run;
pub mod egress;
pub mod error;
pub mod gateway;
pub mod guides;
pub mod http_server;
pub mod import;
pub mod jsonpath;
pub mod live;
pub mod lock;
pub mod mask;
pub mod mcp;
pub mod media_type;
mod members;
pub mod metrics;
pub mod nearest;
pub mod openapi;
pub mod originals;
pub mod policy;
pub mod prose;
pub mod random;
pub mod reload;
pub mod schema;
pub mod sensitive;
pub mod services;
pub mod setup;
pub mod shipped;
pub mod spec;
pub mod telemetry;
pub mod variables;
mod wildcard;
mod work;
