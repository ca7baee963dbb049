//! placeholder until the statements branch lands
#![allow(missing_docs)]
use std::collections::BTreeMap;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format { SimpleSigning, InToto }
#[derive(Debug, Clone)]
pub struct Payload { pub format: Format, pub media_type: &'static str, pub bytes: Vec<u8>, pub subjects: Vec<BTreeMap<String,String>> }
