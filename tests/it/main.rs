//! Behaviour through the public API and the program itself.

mod specs;
