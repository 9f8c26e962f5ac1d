//! The console of a server, made when a call first waits for a person.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::{
    console::Console,
    gateway::Gateway,
    mcp::McpServer,
    policy::{self, store::Store, vault::Vault},
};

/// Makes a console over a store that shows what is served.
type Make = Box<dyn Fn(Arc<Store>, Box<dyn Fn() -> Arc<Gateway> + Send + Sync>) -> Console + Send + Sync>;

/// Where the persons of a server answer.
pub(super) struct Desk {
    vault: Arc<Vault>,
    make: Make,
    server: OnceLock<McpServer>,
    console: OnceCell<Option<Console>>,
}

impl Desk {
    /// One that is made by this, over the store of the server.
    pub(super) fn new(vault: Arc<Vault>, make: Make) -> Self {
        Self { vault, make, server: OnceLock::new(), console: OnceCell::new() }
    }

    /// Shows what this server serves. Nothing is needed of it before.
    pub(super) fn serve(&self, server: McpServer) {
        self.server.set(server).ok(); // a process has one
    }

    /// The console; none where it cannot be had.
    pub(super) async fn console(&self) -> Option<Console> {
        let made = self.console.get_or_init(async || {
            let server = self.server.get()?.clone();
            let store = opened(&self.vault).await;
            let store = store.inspect_err(|error| tracing::warn!("there is no console: {error:#}")).ok()?;
            Some((self.make)(store, Box::new(move || server.served())))
        });
        made.await.clone()
    }
}

/// The store of a vault, opened on a thread that may wait for the disk.
pub(super) async fn opened(vault: &Arc<Vault>) -> anyhow::Result<Arc<Store>> {
    let vault = Arc::clone(vault);
    Ok(tokio::task::spawn_blocking(move || vault.store()).await??)
}

impl policy::Desk for Desk {
    fn needed(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            let link = self.console().await?.needed().await;
            link.inspect_err(|error| tracing::warn!(%error, "there is no console")).ok().map(|link| link.page())
        })
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Desk").finish_non_exhaustive()
    }
}
