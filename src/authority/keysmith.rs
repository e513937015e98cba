//! Changes the signing keys as an operator asks: the same for a command and for a replica that serves.

use std::time::Duration;

use crate::clock::Entropy;
use crate::domain::key_life::{Phase, phases};
use crate::domain::keys::Algorithm;
use crate::domain::secret::OperatorSecret;
use crate::store::{KeyChange, SigningKeys, Store, StoredKey};
use crate::telemetry::Audit;

use super::keyring::{Keyring, kept_after, times};
use super::keys::{KeysError, LIVE, change_keys, record, signing};

/// What keys are changed with.
pub struct Keysmith<'a> {
    pub realm: &'a str,
    pub store: &'a dyn Store,
    pub audit: &'a Audit,
    /// As configured; what is made is sealed under the one that every replica has.
    pub secrets: &'a [OperatorSecret],
    /// Of new keys.
    pub algorithm: Algorithm,
    pub entropy: Entropy,
}

/// What became of a key that was to be retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retired {
    /// Nobody knows it.
    Unknown,
    /// It was before.
    Already,
    /// Another one signs in its place, if it was the one that did.
    Now { successor: Option<String> },
}

impl Keysmith<'_> {
    /// Adds a key of our own making, and answers with its name.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn generate(&self, algorithm: Algorithm, signs_after: Option<Duration>) -> Result<String, KeysError> {
        let live = self.store.replicas(LIVE).await?;
        let key = Keyring::generate(self.realm, algorithm, signing(self.secrets, &live), self.entropy)?;
        self.change(|_| Some(KeyChange::Add(key.clone(), signs_after))).await?;
        Ok(key.kid)
    }

    /// Lets the newest waiting key sign, or a new one, when it has been published for so long. Answers with its name.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn let_next_sign(&self, algorithm: Algorithm, ahead: Duration) -> Result<String, KeysError> {
        let mut chosen = None;
        let scheduled = self.change(|keys| {
            let newest = all_phases(keys).rfind(|(_, phase)| *phase == Phase::Waiting);
            chosen =
                newest.map(|(stored, _)| (stored.key.kid.clone(), ahead.saturating_sub(keys.now.since(stored.added))));
            chosen.clone().map(|(kid, after)| KeyChange::Sign(kid, after))
        });
        scheduled.await?;
        match chosen {
            Some((kid, _)) => Ok(kid),
            None => self.generate(algorithm, Some(ahead)).await,
        }
    }

    /// Bans a key for good. If it is the one that signs, another one signs at once: somebody must sign what the banned key's
    /// clients come back for.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn retire(&self, kid: &str) -> Result<Retired, KeysError> {
        let keys = self.store.signing_keys().await?;
        let successor = match all_phases(&keys).find(|(stored, _)| stored.key.kid == kid) {
            None => return Ok(Retired::Unknown),
            Some((_, Phase::Banned)) => return Ok(Retired::Already),
            Some((_, Phase::Signs)) => {
                // No time to look for another RSA key: what leaked goes first.
                let algorithm = if self.algorithm.is_rsa() { Algorithm::Es256 } else { self.algorithm };
                Some(self.let_next_sign(algorithm, Duration::ZERO).await?)
            }
            Some(_) => None,
        };
        self.change(|_| Some(KeyChange::Ban(kid.to_owned()))).await?;
        Ok(Retired::Now { successor })
    }

    /// Changes the keys and says so in the audit lines.
    async fn change(&self, mut decide: impl FnMut(&SigningKeys) -> Option<KeyChange> + Send) -> Result<(), KeysError> {
        if let Some(change) = change_keys(self.store, |keys| Ok::<_, KeysError>(decide(keys))).await? {
            record(self.audit, &change);
        }
        Ok(())
    }
}

/// Every key, and where it is in its life.
pub fn all_phases(keys: &SigningKeys) -> impl DoubleEndedIterator<Item = (&StoredKey, Phase)> {
    let phases = phases(&keys.list.iter().map(times).collect::<Vec<_>>(), kept_after(keys), keys.now);
    keys.list.iter().zip(phases)
}
