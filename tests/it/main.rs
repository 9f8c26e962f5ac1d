//! Behaviour through the public API and the program itself.

mod call;

mod specs;
mod upstream;
