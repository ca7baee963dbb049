//! The cause of a given type behind an error of the HTTP library, however deep it lies.

use std::error::Error;
use std::io;

/// The first cause that is an `E`. An I/O error gives the source of what it wraps as its own and so passes over
/// what it wraps; here it is looked at too.
pub fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
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

    #[test]
    fn a_cause_inside_wrapped_io_errors_is_found() {
        let inner = io::Error::other(rustls::Error::DecryptError);
        let error = Outer(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert_eq!(cause::<rustls::Error>(&error), Some(&rustls::Error::DecryptError));
        assert!(cause::<std::fmt::Error>(&error).is_none());
    }
}
