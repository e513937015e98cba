//! On every request: is this access token good, right now?

use std::sync::Arc;

use crate::domain::access_token::{self, TokenFault};
use crate::domain::identity::Identity;
use crate::domain::secret::sha256;

use super::Authority;

impl Authority {
    /// Verifies an access token, from memory only. A token verified before skips the signature, never the clock and
    /// never the revocations.
    ///
    /// # Errors
    /// Why it is refused; for logs, not for the client.
    pub fn authenticate(&self, text: &str) -> Result<Arc<Identity>, TokenFault> {
        if text.len() > access_token::MAX_BYTES {
            return Err(TokenFault::TooLong);
        }
        let now = self.clock.now();
        let digest = sha256(text.as_bytes());
        let verified = if let Some(verified) = self.verified.get(&digest) {
            access_token::check_times(&verified.identity, &self.rules, now)?;
            verified
        } else {
            let identity = Arc::new(access_token::verify(text, self.keys.keyring().verifying(), &self.rules, now)?);
            self.open_vault(&identity)?;
            self.verified.insert(digest, identity, text.len())
        };
        if verified.is_good(&self.revocations) { Ok(Arc::clone(&verified.identity)) } else { Err(TokenFault::Revoked) }
    }

    /// Whether something has ended what was verified before its time.
    #[must_use]
    pub fn has_ended(&self, identity: &Identity) -> bool {
        self.revocations.void(identity)
    }
}
