//! The commands of the binary, one file each. The only layer that talks to a person: it may print, every
//! layer below may not.

pub mod demo;
