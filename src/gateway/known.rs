//! What calls authenticate with, and callers, as it is looked for in every text that the audit log would tell: in all its
//! forms, which take long to make, and made anew once a token was issued.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use secrecy::{ExposeSecret, SecretString};

use super::Gateway;
use crate::{catalog::Service, mask::Mask};

/// The secrets of a gateway, once they were asked for.
#[derive(Default)]
pub struct Known {
    /// The services that are issued tokens, which change.
    issued_tokens: OnceLock<Vec<Arc<Service>>>,
    made: RwLock<Option<Arc<Made>>>,
}

/// What is looked for, while these are the tokens.
struct Made {
    tokens: Vec<SecretString>,
    mask: Arc<Mask>,
}

impl Gateway {
    /// Finds all that calls authenticate with, and callers, at this moment.
    pub(super) fn known(&self) -> Arc<Mask> {
        let services = self.known.issued_tokens.get_or_init(|| {
            let services = self.services();
            services.into_iter().filter(|service| service.is_issued_tokens()).cloned().collect()
        });
        // Before the secrets are gathered: what is issued in between has it made anew the next time.
        let tokens: Vec<SecretString> = services.iter().flat_map(|service| service.issued_tokens()).collect();
        let is_same = |made: &&Arc<Made>| exposed(&made.tokens).eq(exposed(&tokens));
        let made = self.known.made.read().unwrap_or_else(PoisonError::into_inner).as_ref().filter(is_same).cloned();
        if let Some(made) = made {
            return Arc::clone(&made.mask);
        }
        let mask = Arc::new(Mask::new(&self.secrets()));
        let made = Arc::new(Made { tokens, mask: Arc::clone(&mask) });
        *self.known.made.write().unwrap_or_else(PoisonError::into_inner) = Some(made);
        mask
    }

    /// All that calls authenticate with, and callers, at this moment: each once.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        let operations = self.catalog.everything().flat_map(|tool| tool.plan.every_operation());
        let mut secrets: Vec<SecretString> = Vec::new();
        for operation in operations {
            secrets.extend(operation.request.fills().into_iter().flat_map(|fill| fill.secrets()).cloned());
        }
        secrets.extend(
            self.services()
                .into_iter()
                .filter_map(|service| service.endpoint.as_ref().ok())
                .flat_map(|endpoint| endpoint.secrets()),
        );
        secrets.extend(self.gates.secrets());
        secrets.sort_by(|one, other| one.expose_secret().cmp(other.expose_secret()));
        secrets.dedup_by(|one, other| one.expose_secret() == other.expose_secret());
        secrets
    }

    /// The services of all tools, each once.
    fn services(&self) -> Vec<&Arc<Service>> {
        let mut seen = HashSet::new();
        let all = self.catalog.everything().flat_map(|tool| tool.plan.every_operation());
        all.map(|operation| &operation.service).filter(|service| seen.insert(Arc::as_ptr(service))).collect()
    }
}

fn exposed(secrets: &[SecretString]) -> impl Iterator<Item = &str> {
    secrets.iter().map(ExposeSecret::expose_secret)
}

impl fmt::Debug for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Known").finish_non_exhaustive()
    }
}
