//! Specs made from other descriptions of an API. Made once and then kept by hand; must not know running servers.

mod body;
mod names;
pub mod openapi;
mod yaml;

pub use self::openapi::{Imported, Options, import};
