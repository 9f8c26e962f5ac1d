//! Several processes that write one log.
