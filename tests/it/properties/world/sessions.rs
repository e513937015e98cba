//! How sessions begin and end.

use std::collections::HashMap;

use sidegate::domain::session::Subject;

use super::{Device, NAMES, USER_OF, World};
use crate::properties::history::{Span, Which};
use crate::properties::invariants;
use crate::properties::ledger::{Access, Ended, Line, ms};
use crate::properties::system::{ACCESS, Given, MOST, PASSWORDS, System};

impl<S: System> World<'_, S> {
    pub(super) async fn login(&mut self, replica: usize, device: usize) {
        // Of two sessions that begin at the same moment either may count as the older.
        self.pass(Span::Seconds(5)).await;
        let (user, now) = (USER_OF[device], self.ledger.now);
        let password = PASSWORDS[self.passwords[user]].0;
        let given = self.system.login(replica, NAMES[user], password, &self.origin(device)).await;
        let Some(Given { refresh, access, expires_in }) = given else {
            return self.violated("login", format!("{} was refused", NAMES[user]));
        };
        let alive = |line: &&Line| line.user == user && line.is_alive(now);
        let living: Vec<i64> = self.ledger.lines.iter().filter(alive).map(|line| line.created).collect();
        if living.len() >= usize::try_from(MOST).unwrap() {
            let oldest = living[0];
            self.end("a login too many", Some(replica), |line| line.user == user && line.created == oldest);
        }
        let token = self.ratchet.open(&refresh).unwrap();
        let mut line = Line {
            id: token.session(),
            user,
            device,
            created: now,
            first: token.hash(),
            turns: Vec::new(),
            issued: vec![token.clone()],
            successors: HashMap::new(),
            access: Vec::new(),
            claims: access.as_deref().map(invariants::claims).unwrap_or_default(),
            trouble: None,
            ended: None,
            suspected: false,
            minted: now,
        };
        let fault = access.as_ref().and_then(|access| invariants::access_token_fault(&line, access, expires_in, now));
        line.access.extend(access.map(Access::new));
        self.ledger.lines.push(line);
        if let Some(fault) = fault {
            self.violated("I11", fault);
        }
        let line = self.ledger.lines.len() - 1;
        let network = self.devices[device].network;
        self.devices[device] = Device { line, newest: Some(token), unanswered: None, network };
        self.count("login");
        self.answer(format!("session {line}"));
    }

    pub(super) async fn logout(&mut self, replica: usize, which: Which) {
        let Some((number, token)) = self.token(which) else { return };
        let ended = self.system.logout(replica, &token.expose()).await;
        self.answer(format!("session {number}: {ended}"));
        self.count(if token.hash() == self.ledger.lines[number].live() {
            "logout"
        } else {
            "logout with an old token"
        });
        let id = self.ledger.lines[number].id;
        self.end("logout", Some(replica), |line| line.id == id);
    }

    pub(super) async fn logout_all(&mut self, replica: usize, device: usize) {
        let now = self.ledger.now;
        let Device { line, newest: Some(_), .. } = self.devices[device] else { return };
        let line = &self.ledger.lines[line];
        let expires = (line.minted + ms(ACCESS)).min(line.absolute_end());
        if !line.is_alive(now) || line.suspected || now >= expires {
            return;
        }
        let user = USER_OF[device];
        let subject = Subject::parse(NAMES[user]).unwrap();
        let access = line.access.last().map(|access| access.text.clone());
        let ended = self.system.logout_all(replica, &subject, access.as_deref()).await;
        self.answer(format!("{ended}"));
        if !ended {
            return self.violated("I5", "log out everywhere was refused".into());
        }
        self.count("logout everywhere");
        self.end("logout everywhere", Some(replica), |line| line.user == user);
    }

    /// Notes that these sessions are over, and who knows it.
    pub(super) fn end(&mut self, why: &'static str, by: Option<usize>, which: impl Fn(&Line) -> bool) {
        let (index, number) = (self.tap.len(), self.ends);
        for line in self.ledger.lines.iter_mut().filter(|line| line.ended.is_none() && which(line)) {
            line.ended = Some(Ended { why, index, number, by });
        }
        self.ends += 1;
        self.count(why);
    }
}
