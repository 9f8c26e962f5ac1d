//! Behaviour through the public API and the program itself.

// `cfg(test)` always holds here; it tells clippy that helpers are test code too.
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod specs;
#[cfg(test)]
mod support;
