//! How much JSON an answer may become. Must not know any format.
//!
//! An answer's bytes are limited before it comes here; what needs a limit is what a few bytes turn into: the name of a
//! column is written again in every row, a row that is too short is filled up.

use super::DecodeError;

const MAX_VALUES: usize = 1_000_000;
const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// What is left for one answer.
pub(super) struct Budget {
    expected: &'static str,
    values: usize,
    bytes: usize,
}

impl Budget {
    /// For an answer that should have been `expected`.
    pub(super) fn new(expected: &'static str) -> Self {
        Self { expected, values: MAX_VALUES, bytes: MAX_TEXT_BYTES }
    }

    /// Takes one value with so many bytes of text, names included. Error: there is not so much left.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match (self.values.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(values), Some(bytes)) => {
                (self.values, self.bytes) = (values, bytes);
                Ok(())
            }
            _ => {
                let reason = format!("it holds more than {MAX_VALUES} values or {MAX_TEXT_BYTES} bytes of text");
                Err(DecodeError::new(self.expected, reason))
            }
        }
    }
}
