//! Why a start failed: one line with a hint, and an exit code (BSD `sysexits`).

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::admin::door::DoorError;
use crate::authority::keyring::KeyringError;
use crate::authority::passwords::PasswordsError;
use crate::authority::upstream_login::UpstreamLoginError;
use crate::domain::secret::Fingerprint;
use crate::store::{OpenError, StoreError};

use super::secrets::SecretError;

/// What kept sidegate from starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    #[error("cannot listen on {address}: {}\n  hint: {}", io::Error::from(*.kind), bind_hint(*.kind))]
    Bind { address: SocketAddr, kind: io::ErrorKind },
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("the sample API cannot listen on {place}: {}\n  hint: is a demo running already? see upstream.default.url", io::Error::from(*.kind))]
    SampleApi { place: String, kind: io::ErrorKind },
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(
        "the realm does not know any of the configured operator secrets (fingerprints: {})\n  hint: mount the secret \
         that the other replicas use, or restore the one this store was made with", list(.0)
    )]
    ForeignSecrets(Vec<Fingerprint>),
    #[error("the realm has no operator secret yet\n  hint: run `sidegate migrate` once, with the secret mounted")]
    NotMigrated,
    #[error("{}\n  hint: {}", .0, keyring_hint(.0))]
    Keyring(#[from] KeyringError),
    #[error("cannot use the store {}: {}", .0.place, .0.error)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file of audit.output cannot be written: {}\n  hint: its folder must exist and be writable", io::Error::from(*.0))]
    Audit(io::ErrorKind),
    #[error("login.users.argon2_memory: {0}")]
    Passwords(PasswordsError),
    #[error("login.upstream: {0}")]
    UpstreamLogin(UpstreamLoginError),
}

impl BootError {
    /// 78: the configuration is wrong; 69: the store is not available; 65: it holds
    /// something else; 71: the system refused the listener.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Bind { .. } | Self::SampleApi { .. } => 71,
            Self::Door(error) if !matches!(error, DoorError::Token(_)) => 71,
            Self::Store(error) | Self::Open(OpenError { error, .. }) => match error {
                StoreError::Unavailable(_) => 69,
                StoreError::Corrupt(_) => 65,
                StoreError::Schema(_) => 78,
            },
            _ => 78,
        })
    }
}

const fn keyring_hint(error: &KeyringError) -> &'static str {
    match error {
        KeyringError::NoKey(_) => "run `sidegate migrate` once: it makes a key",
        KeyringError::NoSecret { .. } => "put that secret's file back at the end of key.secret_files: the key needs it",
        KeyringError::Damaged(_) => "restore the store from a backup",
        KeyringError::Imported(_) => "import one: `sidegate keys import FILE.pem`, then run this again",
        KeyringError::Unfit(_) => {
            "PKCS #8 in PEM, as `openssl genpkey` writes it; RSA with 2048 to 4096 bits; see --algorithm"
        }
        KeyringError::Generate => "the system's source of randomness does not answer",
    }
}

const fn bind_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "another process listens there; stop it, or change server.listen or health.listen",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; listen on a higher one",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        _ => "see server.listen and health.listen",
    }
}

fn list(fingerprints: &[Fingerprint]) -> String {
    fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
