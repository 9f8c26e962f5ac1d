//! Where a request goes: over HTTP to a service, or to the backend built in. Knows nothing of tools.

pub mod embedded;
