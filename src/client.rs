//! The only place that opens sockets. Everything here has time-outs and a limit on what it reads, and hands
//! out values; decisions about what to do with them are made elsewhere.

pub mod address;
pub mod answer;
pub mod archivista;
pub mod bucket;
pub mod challenge;
pub mod cloud;
pub mod document;
pub mod exchange;
pub mod fulcio;
pub mod grafeas;
pub mod http;
pub mod kafka;
pub mod kubernetes;
pub mod log;
pub mod openid;
pub mod registry;
pub mod rekor;
pub mod retry_after;
pub mod store;
pub mod timestamp;
pub mod token;
pub mod tuf;
pub mod vault;
