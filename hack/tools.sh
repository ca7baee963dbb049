# Rust tools that checks need, built once into the cache of the servers. Sourced by hack/test and hack/audit.

cache=$(dirname "$(hack/install --print-bin)")
cargo_deny_version=0.20.2

# Builds cargo-deny unless this version is there (about two minutes on two cores).
cargo_deny() {
    local tool=$cache/bin/cargo-deny
    if [ "$("$tool" --version 2>/dev/null)" != "cargo-deny $cargo_deny_version" ]; then
        echo "building cargo-deny $cargo_deny_version into $cache (about two minutes) ..." >&2
        # Beside the project's own target folder, whatever that is set to.
        env -u CARGO_TARGET_DIR cargo install --quiet --locked --force --root "$cache" \
            "cargo-deny@$cargo_deny_version" >&2
    fi
    "$tool" --locked --config .deny.toml "$@"
}
