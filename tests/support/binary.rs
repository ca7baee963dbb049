//! Where the binaries of `hack/install` are.

use std::path::PathBuf;

/// The folder that `hack/install` fills: `$HALLMARK_CACHE`, else `hallmark` in the user's cache folder.
pub(super) fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("HALLMARK_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("hallmark")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/hallmark")))
        .expect("none of HALLMARK_CACHE, XDG_CACHE_HOME and HOME is set")
}

/// A server or tool by name.
pub fn binary(name: &str) -> PathBuf {
    installed(&format!("bin/{name}"))
}

/// The API server: of the minor version that `HALLMARK_KUBERNETES` names (`hack/test --kubernetes`), else of the one that
/// kubectl has.
pub fn apiserver() -> PathBuf {
    match kubernetes() {
        Some(minor) => binary(&format!("kube-apiserver-{minor}")),
        None => binary("kube-apiserver"),
    }
}

/// The minor version of Kubernetes that was asked for, as `1.35`.
pub fn kubernetes() -> Option<String> {
    std::env::var_os("HALLMARK_KUBERNETES")?.into_string().ok().filter(|minor| !minor.is_empty())
}

/// A file or folder of the cache that not every machine can have; without it a test says so and is passed over.
#[allow(clippy::print_stderr, reason = "a test that is passed over says so")]
pub fn installed_if(name: &str) -> Option<PathBuf> {
    let path = cache().join(name);
    if !path.exists() {
        eprintln!("{} is missing: run hack/install {name}", path.display());
        return None;
    }
    Some(path)
}

/// A file or folder of the cache.
pub fn installed(name: &str) -> PathBuf {
    let path = cache().join(name);
    assert!(path.exists(), "{} is missing: run hack/install", path.display());
    path
}
