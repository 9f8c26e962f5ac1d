//! What the exposed servers of specs ask their callers to show, resolved.
//!
//! Fails closed: a server whose credential cannot be resolved lets nobody in over HTTP.

use super::credentials::{Owner, Resolver};
use crate::{
    access::Gates,
    catalog::gate::gate_of,
    credential::Credential,
    diagnostic::{Code, Diagnostic, SourceMap},
    spec::{AuthenticationKind, Workspace},
    variables::{Secrets, Variables},
};

/// The gates of all servers that ask for something. Values are read only where `secrets` says so; else every gate stays
/// closed.
pub fn gates(
    workspace: &Workspace,
    sources: &SourceMap,
    variables: &Variables,
    secrets: Secrets,
) -> (Gates, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let mut gates = Vec::new();
    for (document, spec) in workspace.documents.iter().enumerate() {
        for (server, exposed) in spec.servers.iter().enumerate() {
            let Some(authentication) = &exposed.authentication else { continue };
            if let AuthenticationKind::Digest(_) | AuthenticationKind::OAuth2(_) = &authentication.kind {
                let message = "callers cannot be asked for `digest` or `oauth2` by this version";
                let problem = Diagnostic::warning(Code::UnsupportedFeature, authentication.span, message);
                problems
                    .push(problem.with_help(
                        "over HTTP the tools of this server stay closed; use `bearer`, `apikey` or `basic`",
                    ));
                continue;
            }
            let mut resolver = Resolver { document, variables, secrets, owner: Owner::Server, problems: &mut problems };
            // What is missing has been reported; the gate stays closed.
            let Ok(credential) = resolver.credential(authentication, None) else { continue };
            if secrets == Secrets::Read && !matches!(credential, Credential::None) {
                let namespace = exposed.namespace.as_ref().map_or(String::new(), |namespace| namespace.value.clone());
                gates.extend(gate_of(spec, server, sources).map(|gate| (gate, namespace, credential)));
            }
        }
    }
    (Gates::new(gates), problems)
}
