//! Access tokens as sidegate mints them, each of a session of its own, signed with a key that sidegate was given.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use sidegate::clock::{Clock, Entropy, SystemClock, signing_randomness};
use sidegate::domain::session::SessionId;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The ES256 key: PKCS #8 in PEM
    #[arg(long)]
    key: PathBuf,
    /// What sidegate calls it
    #[arg(long)]
    kid: String,
    #[arg(long)]
    issuer: String,
    #[arg(long)]
    audience: String,
    #[arg(long)]
    count: usize,
    /// How long they live
    #[arg(long, default_value_t = 43_200)]
    seconds: i64,
    #[arg(long)]
    out: PathBuf,
}

/// Writes the tokens.
///
/// # Errors
/// If the key cannot be read or used, or the file not written.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let key = signing_key(&arguments.key)?;
    let randomness = signing_randomness();
    let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": arguments.kid });
    let now = SystemClock.now().as_secs();
    let mut out = BufWriter::new(std::fs::File::create(&arguments.out)?);
    for number in 0..arguments.count {
        let signed = format!("{}.{}", part(&header), part(&claims(arguments, number, now)));
        let signature =
            key.sign(&randomness, signed.as_bytes()).map_err(|error| io::Error::other(error.to_string()))?;
        writeln!(out, "{signed}.{}", URL_SAFE_NO_PAD.encode(signature))?;
    }
    out.flush()
}

/// The ES256 key of a PEM file.
///
/// # Errors
/// If it cannot be read or used.
pub(crate) fn signing_key(file: &Path) -> io::Result<EcdsaKeyPair> {
    let pem = std::fs::read(file)?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|error| io::Error::other(error.to_string()))?;
    let (der, randomness) = (der.secret_pkcs8_der(), signing_randomness());
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &randomness);
    key.map_err(|error| io::Error::other(error.to_string()))
}

fn claims(arguments: &Arguments, number: usize, now: i64) -> Value {
    json!({
        "iss": arguments.issuer,
        "sub": format!("user-{number:06}"),
        "aud": arguments.audience,
        "client_id": "first-party",
        "exp": now + arguments.seconds,
        "iat": now,
        "jti": URL_SAFE_NO_PAD.encode(Entropy.bytes::<16>()),
        "sid": SessionId::from_bytes(Entropy.bytes()).to_string(),
        "ep": [0, 0],
        "roles": ["reader", "writer"],
        "scope": "notes:read notes:write",
    })
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
