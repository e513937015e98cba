//! Password hashing: argon2id (RFC 9106), on threads of its own behind everything else, a bounded number at a time.
//!
//! One hash takes the configured memory, so the slots bound what a flood of logins can cost the sidecar. Who finds no
//! slot in time is told to come back, and no request that carries a token ever waits here.

use std::sync::Arc;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::clock::Entropy;
use crate::config::checked;
use crate::domain::user::{Password, PasswordHash};

use self::known_hash::KnownHash;

pub mod known_hash;

/// Hashes and verifies passwords with one set of parameters.
pub struct Passwords {
    hasher: Argon2<'static>,
    slots: Arc<Semaphore>,
    min_length: usize,
    entropy: Entropy,
}

/// Whether a password is the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Wrong,
    Right,
    /// Right, and its hash was made with other parameters, or by another system: replace it by this one.
    RightWithOldParameters(PasswordHash),
}

/// Why no password was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordsError {
    #[error("every password slot is taken")]
    Busy,
    #[error("the hash function refused its parameters")]
    Parameters,
}

/// A tenth of the weight of a thread that serves requests (`sched(7)`). On Linux it is the calling thread's alone.
const NICE: i32 = 10;
/// How long a login waits for a slot.
const SLOT_WAIT: Duration = Duration::from_secs(2);
/// Passes over the memory, and lanes: with 19 MiB the OWASP minimum.
const PASSES: u32 = 2;
const LANES: u32 = 1;

impl Passwords {
    /// # Errors
    /// [`PasswordsError::Parameters`] if argon2 does not accept them.
    pub fn new(parameters: checked::Argon2, min_length: usize, entropy: Entropy) -> Result<Self, PasswordsError> {
        let params = Params::new(parameters.memory_kib, PASSES, LANES, None).map_err(|_| PasswordsError::Parameters)?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { hasher, slots: Arc::new(Semaphore::new(parameters.slots)), min_length, entropy })
    }

    /// Fewest characters of a new password.
    #[must_use]
    pub const fn min_length(&self) -> usize {
        self.min_length
    }

    /// A turn to hash or check one password, waited for.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`].
    pub async fn slot(&self) -> Result<Slot, PasswordsError> {
        let slot = tokio::time::timeout(SLOT_WAIT, Arc::clone(&self.slots).acquire_owned());
        Ok(Slot(slot.await.map_err(|_| PasswordsError::Busy)?.map_err(|_| PasswordsError::Busy)?))
    }

    /// A new hash, for a password that is being set.
    ///
    /// # Errors
    /// [`PasswordsError`].
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, PasswordsError> {
        let (hasher, entropy) = (self.hasher.clone(), self.entropy);
        self.slot().await?.run(move || hash(&hasher, password.expose().as_bytes(), entropy)).await?
    }

    /// Checks a password. Without a stored hash, or with one that cannot be checked, it is wrong, after as much work.
    ///
    /// # Errors
    /// [`PasswordsError`].
    pub async fn check(
        &self,
        slot: Slot,
        password: Password,
        stored: Option<PasswordHash>,
    ) -> Result<Check, PasswordsError> {
        let (hasher, entropy) = (self.hasher.clone(), self.entropy);
        slot.run(move || {
            let password = password.expose().as_bytes();
            let stored = stored.and_then(|stored| KnownHash::parse(&stored.0).ok());
            if let Some(own) = stored.as_ref().filter(|stored| stored.is_made_with(hasher.params())) {
                return Ok(if own.matches(password) { Check::Right } else { Check::Wrong });
            }
            let right = stored.is_some_and(|stored| stored.matches(password));
            // Made for a wrong password too, which then takes as long as a right one.
            let new = hash(&hasher, password, entropy)?;
            Ok(if right { Check::RightWithOldParameters(new) } else { Check::Wrong })
        })
        .await?
    }
}

/// The right to use the memory of one hash.
pub struct Slot(OwnedSemaphorePermit);

impl Slot {
    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordsError> {
        let (done, worked) = oneshot::channel();
        let thread = std::thread::Builder::new().name("password".into()).spawn(move || {
            // Behind everything else: a flood of logins gets what requests leave. Where that is not allowed, a hash is as
            // urgent as a request, and no worse.
            let _ = rustix::process::setpriority_process(None, NICE);
            let result = work();
            // The slot goes with the work: a client that hangs up does not free it early.
            drop(self.0);
            let _ = done.send(result);
        });
        thread.map_err(|_| PasswordsError::Busy)?;
        worked.await.map_err(|_| PasswordsError::Busy)
    }
}

fn hash(hasher: &Argon2<'_>, password: &[u8], entropy: Entropy) -> Result<PasswordHash, PasswordsError> {
    let salt = entropy.bytes::<16>();
    let phc = hasher.hash_password_with_salt(password, &salt).map_err(|_| PasswordsError::Parameters)?;
    Ok(PasswordHash(phc.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(memory_kib: u32) -> Passwords {
        Passwords::new(checked::Argon2 { memory_kib, slots: 2 }, 12, Entropy).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text.into())
    }

    #[tokio::test]
    async fn a_password_is_checked_in_full_and_salted() {
        let passwords = passwords(64);
        let long = "x".repeat(1000);
        let stored = passwords.hash(password(&long)).await.unwrap();
        assert_ne!(passwords.hash(password(&long)).await.unwrap(), stored);
        assert_eq!(
            passwords.check(passwords.slot().await.unwrap(), password(&long), Some(stored.clone())).await,
            Ok(Check::Right)
        );
        assert_eq!(
            passwords.check(passwords.slot().await.unwrap(), password(&long[1..]), Some(stored)).await,
            Ok(Check::Wrong)
        );
        assert_eq!(passwords.check(passwords.slot().await.unwrap(), password(&long), None).await, Ok(Check::Wrong));
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_replaced() {
        let old = passwords(64).hash(password("correct horse")).await.unwrap();
        let now = passwords(128);
        let Ok(Check::RightWithOldParameters(new)) =
            now.check(now.slot().await.unwrap(), password("correct horse"), Some(old)).await
        else {
            panic!("not upgraded");
        };
        assert_eq!(now.check(now.slot().await.unwrap(), password("correct horse"), Some(new)).await, Ok(Check::Right));
    }

    #[tokio::test]
    async fn a_malformed_or_absurd_hash_is_a_wrong_password() {
        let passwords = passwords(64);
        let absurd = "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
        for bad in ["", "x", "$argon2id$", "$argon2id$v=19$m=64,t=2,p=1$é$é", "$1$abc$def", absurd] {
            let check =
                passwords.check(passwords.slot().await.unwrap(), password("x"), Some(PasswordHash(bad.into()))).await;
            assert_eq!(check, Ok(Check::Wrong), "{bad}");
        }
    }
}
