//! The `sidegate` binary: reads the command line, runs it, exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    sidegate::cli::main()
}
