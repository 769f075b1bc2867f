//! The binary `weft`: reads the command line, runs the command, and leaves with its exit code.

use std::process::ExitCode;

use clap::Parser;

/// Rows are many small pieces, made by one thread and dropped by another: what the system's allocator is worst at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = weft::command::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(weft::command::run(cli)),
        Err(error) => {
            tracing::error!(%error, "the system gives no threads");
            ExitCode::from(1)
        }
    }
}
