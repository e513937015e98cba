//! Argon2 alone, with the parameters of a hash that sidegate made: what no login can do without.

use std::io;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use clap::Args;
use serde_json::json;
use sidegate::clock::Stopwatch;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The hash as the store keeps it
    #[arg(long)]
    hash: String,
    #[arg(long)]
    password: String,
    #[arg(long)]
    count: u32,
}

/// Checks the password so often, one after the other, and prints how long that took.
///
/// # Errors
/// If it is no hash of that password.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let hash = PasswordHash::new(&arguments.hash).map_err(|_| io::Error::other("this is no password hash"))?;
    let watch = Stopwatch::start();
    for _ in 0..arguments.count {
        if Argon2::default().verify_password(arguments.password.as_bytes(), &hash).is_err() {
            return Err(io::Error::other("the hash is of another password"));
        }
    }
    println!("{}", json!({ "count": arguments.count, "seconds": watch.elapsed().as_secs_f64() }));
    Ok(())
}
