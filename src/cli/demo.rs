//! `hallmark demo`: the whole way from a completed run to a verified signature, on this machine alone.

pub mod registry;
