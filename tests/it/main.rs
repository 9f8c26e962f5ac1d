//! Behaviour through the public API and the program itself, in one binary.

#[cfg(test)]
mod call;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod specs;
#[cfg(test)]
mod upstream;
