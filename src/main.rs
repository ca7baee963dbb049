//! Arguments, crypto provider, runtime, exit code. Everything else is a library.

use std::process::ExitCode;

use hallmark::cli::Cli;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::of_process();
    // One provider for TLS and signatures; a second installation is impossible this early.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(cli.run()))
}
