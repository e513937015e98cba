//! The first refresh tokens of sessions that a store is filled with, made as sidegate makes them.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use sidegate::clock::Entropy;
use sidegate::domain::refresh_token::Ratchet;
use sidegate::domain::secret::{OperatorSecret, hex};
use sidegate::domain::session::SessionId;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The operator secret's file
    #[arg(long)]
    secret: PathBuf,
    #[arg(long, default_value = "default")]
    realm: String,
    /// The sessions: one id of sixteen characters a line
    #[arg(long)]
    ids: PathBuf,
    /// Where the tokens go, one a line in the same order
    #[arg(long)]
    tokens: PathBuf,
    /// Where their hashes go, as the store keeps them: id, tab, hash in hexadecimal
    #[arg(long)]
    hashes: PathBuf,
}

/// Writes tokens and hashes.
///
/// # Errors
/// If a file cannot be read or written, or an id has another length.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let secret = OperatorSecret::new(std::fs::read(&arguments.secret)?.trim_ascii_end().to_vec());
    let ratchet = Ratchet::new(&arguments.realm, &secret.map_err(io::Error::other)?, &[]);
    let mut tokens = BufWriter::new(std::fs::File::create(&arguments.tokens)?);
    let mut hashes = BufWriter::new(std::fs::File::create(&arguments.hashes)?);
    for id in std::fs::read_to_string(&arguments.ids)?.lines() {
        let bytes = id.as_bytes().try_into().map_err(io::Error::other)?;
        let token = ratchet.first(SessionId::from_bytes(bytes), Entropy.bytes());
        writeln!(tokens, "{}", token.expose().as_str())?;
        writeln!(hashes, "{id}\t{}", hex(&token.hash().0))?;
    }
    tokens.flush()?;
    hashes.flush()
}
