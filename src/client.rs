//! The only place that opens sockets.

pub mod address;
pub mod answer;
pub mod challenge;
pub mod retry_after;
pub mod token;
