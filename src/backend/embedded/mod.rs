//! The backend built in: Runloop's key and secret API on SQLite, in process.
