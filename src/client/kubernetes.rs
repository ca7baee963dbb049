//! What the API server says when it refuses, in its own words.

use crate::error::chain;

/// What the API server said, without the debug output that the library appends. Errors that hold a [`kube::Error`] print
/// this, and do not name it as their source: whoever prints a chain would print that output too.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_api_server_alone() {
        let refused = Status::failure("secrets is forbidden", "Forbidden").with_code(403);
        assert_eq!(said(&kube::Error::Api(refused.boxed())), "secrets is forbidden");
    }
}
