//! Calls as the log tells of them.
