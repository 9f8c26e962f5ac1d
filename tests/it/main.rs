//! Tests through the public API, in one binary.

#[cfg(test)]
mod embedded;
