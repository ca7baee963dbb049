//! What a completed run built.

pub mod digest;
pub mod image;
