//! From the name of a host to the addresses that may be connected to: what the HTTP client is handed was checked, so a name
//! that leads elsewhere by now leads nowhere.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::egress::{Policy, Reach};

/// The addresses of a name.
type Found = BoxFuture<'static, io::Result<Vec<IpAddr>>>;

/// How names are looked up. Cheap to clone.
#[derive(Clone)]
pub struct Lookup(Arc<dyn Fn(String) -> Found + Send + Sync>);

impl Lookup {
    /// As this machine does it.
    pub fn system() -> Self {
        Self::by(|name| async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    /// By this.
    pub fn by<F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static>(
        find: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |name| Box::pin(find(name))))
    }
}

impl Default for Lookup {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lookup")
    }
}

/// Looks names up for one client, whose requests may lead so far.
pub(super) struct Vetted {
    pub(super) lookup: Lookup,
    pub(super) policy: Arc<Policy>,
    pub(super) reach: Reach,
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, reach) = (Arc::clone(&self.policy), self.reach);
        if reach == Reach::Loopback {
            // `localhost` and the names below it are this machine, whatever anybody says (RFC 6761, section 6.3).
            let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Box::pin(std::future::ready(Ok(sockets(own.to_vec()))));
        }
        let found = (self.lookup.0)(name.as_str().to_owned());
        Box::pin(async move { Ok(sockets(policy.reachable(reach, found.await?)?)) })
    }
}

/// The port is that of the URL.
fn sockets(addresses: Vec<IpAddr>) -> Addrs {
    Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)))
}
