//! Texts that give nothing, and write nothing.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sidegate::domain::refresh_token::{PREFIX, Ratchet};
use sidegate::domain::secret::OperatorSecret;
use sidegate::domain::session::Salt;

use super::World;
use crate::properties::history::{Forgery, Which};
use crate::properties::system::{Answer, Presented, System, secret};

impl<S: System> World<'_, S> {
    /// I10: what is not genuine, is another client's, or is ahead of the row, is refused and changes nothing.
    pub(super) async fn forge(&mut self, replica: usize, session: usize, forgery: Forgery) {
        let Some((number, token)) = self.token(Which { session, token: 0 }) else { return };
        let line = &self.ledger.lines[number];
        let text = token.expose().to_string();
        let made_by = |ratchet: Ratchet| ratchet.first(line.id, [7; 32]).expose().to_string();
        let (text, word) = match forgery {
            Forgery::Changed => {
                let changed = if text.ends_with('A') { 'Q' } else { 'A' };
                (format!("{}{changed}", &text[..text.len() - 1]), "not_a_token")
            }
            Forgery::OtherSecret => {
                let other = OperatorSecret::new((2..=33).collect()).unwrap();
                (made_by(Ratchet::new(&self.realm, &other, &[])), "not_a_token")
            }
            Forgery::OtherRealm => (made_by(Ratchet::new("another realm", &secret(), &[])), "not_a_token"),
            Forgery::StoredHash => {
                let hash = line.live().0;
                let body = [&[0; 40][..], &hash[..]].concat();
                (format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body)), "not_a_token")
            }
            Forgery::OtherClient => (text, "other_client"),
            Forgery::Ahead => {
                let ahead = self.ratchet.successor(&token, Salt([9; 32])).unwrap();
                (ahead.expose().to_string(), if line.is_alive(self.ledger.now) { "ahead" } else { "ended" })
            }
        };
        self.observe().await;
        let client = (forgery == Forgery::OtherClient).then_some("somebody-else");
        let from = self.origin(self.ledger.lines[number].device);
        let request = Presented { token: text.clone(), key: None, from, client };
        let answer = Arc::clone(&self.system).refresh(replica, &request).await;
        let mut logged_out = true;
        if !matches!(forgery, Forgery::OtherClient | Forgery::Ahead) {
            logged_out = self.system.logout(replica, &text).await;
        }
        let before = self.observe().await;
        self.answer(format!("{answer:?}"));
        self.count("forged, foreign or ahead");
        if answer != Answer::Refused(word) || !logged_out {
            self.violated("I10", format!("{forgery:?}: {answer:?}, logout {logged_out}"));
        }
        if format!("{before:?}") != format!("{:?}", self.ledger.dump) {
            self.violated("I10", format!("{forgery:?} changed something"));
        }
    }
}
