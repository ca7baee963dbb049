//! The check, on what should not pass.
