//! What the benchmarks need and no packaged tool gives: a pass-through without any check, a load at a fixed rate that takes
//! what it sends from a pool, and that pool. `bench/run` calls it; nothing of it is a part of sidegate.

use std::process::ExitCode;

use clap::Parser;

mod bare;
mod load;
mod sessions;
mod tokens;
mod verify;

#[derive(Debug, Parser)]
enum Command {
    /// Proxy as Pingora does it by itself: no check, no route, no log
    Bare(bare::Arguments),
    /// Request, at a fixed rate or a fixed number of times, and print what it took as JSON
    Load(load::Arguments),
    /// Write the refresh tokens of sessions, and the hashes that a store keeps of them
    Sessions(sessions::Arguments),
    /// Write access tokens, one a line
    Tokens(tokens::Arguments),
    /// Verify the signatures of access tokens, and print what one took
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Bare(arguments) => bare::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Sessions(arguments) => sessions::run(&arguments),
        Command::Tokens(arguments) => tokens::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sidegate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
