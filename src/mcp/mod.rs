//! The Model Context Protocol on top of a [`Gateway`](crate::gateway::Gateway).
