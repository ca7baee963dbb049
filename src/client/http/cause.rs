//! What lies beneath a failed exchange: the HTTP library reports it several layers up, and what to do depends on
//! the bottom.

use std::error::Error;
use std::io;

/// The first cause of type `E`.
pub fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error gives the source of what it wraps as its own, and so passes over what it wraps.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn a_cause_is_found_beneath_errors_of_the_standard_library() {
        let error = Outer(io::Error::other(io::Error::other(Inner)));
        assert!(cause::<Inner>(&error).is_some());
        assert!(cause::<std::fmt::Error>(&error).is_none());
    }
}
