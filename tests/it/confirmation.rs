//! Nothing irreversible without a person: on every client, by every way that it leaves, whatever it says of itself.

mod bound;
mod clients;
mod grants;
mod policies;
mod rounds;
mod slips;
mod yard;
