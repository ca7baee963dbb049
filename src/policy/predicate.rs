//! The short names of predicate types, as cosign and policies write them.

/// Short name and URI.
const NAMES: &[(&str, &str)] = &[
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
];

/// The URI of a short name; anything else is taken as it is.
pub fn uri(name: &str) -> &str {
    NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, uri)| uri)
}

/// The short name of a URI, where it has one.
pub fn short(uri: &str) -> &str {
    NAMES.iter().find(|(_, long)| *long == uri).map_or(uri, |(short, _)| short)
}

/// Whether it is provenance of SLSA, of any version.
pub fn is_provenance(uri: &str) -> bool {
    uri.starts_with("https://slsa.dev/provenance/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_expanded_and_others_are_kept() {
        assert_eq!(uri("slsaprovenance"), "https://slsa.dev/provenance/v0.2");
        assert_eq!(uri("https://example.com/x"), "https://example.com/x");
        assert_eq!(short("https://slsa.dev/provenance/v1"), "slsaprovenance1");
        assert_eq!(short(uri("slsaprovenance02")), "slsaprovenance");
        assert_eq!(short("https://example.com/x"), "https://example.com/x");
        assert!(is_provenance(uri("slsaprovenance1")) && !is_provenance(uri("spdx")));
    }
}
