//! The crypto library by itself: what it takes to verify the signature of a token, and nothing else.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::tokens;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The ES256 key that signed them: PKCS #8 in PEM
    #[arg(long)]
    key: PathBuf,
    /// One token a line
    #[arg(long)]
    tokens: PathBuf,
}

/// Verifies each token once and prints the CPU time for one, in µs, as JSON.
///
/// # Errors
/// If something cannot be read, or a signature is not the key's.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let key = tokens::signing_key(&arguments.key)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref());
    let text = std::fs::read_to_string(&arguments.tokens)?;
    let signed: Option<Vec<_>> = text.lines().map(parts).collect();
    let signed = signed.ok_or_else(|| io::Error::other("a line is no token"))?;
    let before = cpu_time()?;
    for (message, signature) in &signed {
        key.verify(message, signature).map_err(|_| io::Error::other("a signature is not the key's"))?;
    }
    let each = cpu_time()?.saturating_sub(before) / u32::try_from(signed.len()).map_err(io::Error::other)?;
    println!("{}", json!({ "cpu_us": each.as_secs_f64() * 1e6 }));
    Ok(())
}

/// Of this thread.
fn cpu_time() -> io::Result<Duration> {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).map_err(io::Error::other)
}

/// What is signed, and the signature.
fn parts(token: &str) -> Option<(&[u8], Vec<u8>)> {
    let (message, signature) = token.rsplit_once('.')?;
    Some((message.as_bytes(), URL_SAFE_NO_PAD.decode(signature).ok()?))
}
