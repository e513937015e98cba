//! The `sidegate` binary: reads the command line, runs it, exits with its code.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Each request allocates some hundred times.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    sidegate::cli::main()
}
