//! What is secret: by the name of a member or an argument, by the mark of a schema, by the form of a text.
//!
//! Recognizes; what is done with a secret is not known here.

mod forms;
mod hidden;
mod marks;
mod names;
mod pairs;

pub(crate) use self::hidden::is_hidden;
pub(crate) use self::marks::{Side, X_SECRET, accepts_secret, mark, mark_named, says_secret, set_free};
pub(crate) use self::names::names_number;
pub(crate) use self::pairs::SCHEMES;
pub use self::{forms::secrets_in, marks::Marks, names::names_secret_value};
