//! Plays a history: honest devices, thieves, and a network that loses and repeats. After each step every invariant is
//! checked against what the test knows by itself.

use std::sync::Arc;

use serde_json::{Map, json};
use sidegate::domain::refresh_token::{Ratchet, RefreshToken};
use sidegate::domain::rotation::RotationPolicy;
use sidegate::domain::session::{Origin, Subject};
use sidegate::domain::user::{User, UserName};

use super::history::{Ask, DEVICES, Fate, Key, Meanwhile, Point, Span, Step, StolenKey, Turn, USERS, Which};
use super::invariants;
use super::ledger::{Dump, Ended, Ledger, Line};
use super::system::{ACCESS, Answer, PASSWORDS, System, secret};
use super::tap::Tap;
use crate::store::bench::{Bench, ManualClock, START};

mod finish;
mod forge;
mod present;
mod sessions;

pub use self::finish::{Counts, Played};

pub struct World<'a, S> {
    system: Arc<S>,
    tap: Arc<Tap>,
    time: Time<'a>,
    realm: String,
    ratchet: Ratchet,
    ledger: Ledger,
    devices: [Device; DEVICES],
    /// Which of the two passwords each user has.
    passwords: [usize; USERS],
    /// Every request an honest device has sent.
    network: Vec<Sent>,
    keys: usize,
    ends: usize,
    /// A request is stopped: no time may pass.
    stopped: bool,
    /// Nothing has changed since everything was read.
    fresh: bool,
    /// How many ends each replica has read.
    loaded: [usize; 2],
    played: Played,
}

/// Whose hand moves the clock.
pub enum Time<'a> {
    Alone(Arc<ManualClock>),
    Bench(&'a Bench),
}

#[derive(Clone, Default)]
struct Device {
    line: usize,
    newest: Option<RefreshToken>,
    /// The newest token was sent, and no answer has come.
    unanswered: Option<Unanswered>,
    network: u8,
}

#[derive(Clone)]
struct Unanswered {
    key: Option<String>,
}

#[derive(Clone)]
struct Sent {
    line: usize,
    token: RefreshToken,
    key: Option<String>,
    from: Origin,
    who: Who,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Device(usize),
    Network,
    Thief,
}

const USER_OF: [usize; DEVICES] = [0, 0, 1];
const NAMES: [&str; USERS] = ["ann", "bob"];

impl<'a, S: System> World<'a, S> {
    pub async fn new(system: S, tap: Arc<Tap>, time: Time<'a>, realm: &str, policy: &RotationPolicy) -> Self {
        tap.inner.join(ACCESS).await.unwrap();
        for name in NAMES {
            assert!(tap.inner.add_user(&user(name)).await.unwrap());
        }
        let ledger = Ledger { policy: policy.clone(), lines: Vec::new(), dump: Dump::default(), now: START };
        let mut world = Self {
            system: Arc::new(system),
            tap,
            time,
            realm: realm.to_owned(),
            ratchet: Ratchet::new(realm, &secret(), &[]),
            ledger,
            devices: Default::default(),
            passwords: [0; USERS],
            network: Vec::new(),
            keys: 0,
            ends: 0,
            stopped: false,
            fresh: false,
            loaded: [0; 2],
            played: Played::default(),
        };
        world.set_time(START).await;
        world.observe().await;
        world
    }

    pub async fn play(mut self, turns: &[Turn]) -> Played {
        for turn in turns {
            self.tell(&format!("{:?}", turn.step));
            self.fresh = false;
            match turn.step {
                Step::Pass(span) => self.pass(span).await,
                Step::Move(device) => self.devices[device].network += 1,
                Step::Login(device) => self.login(turn.replica, device).await,
                Step::Ask(ask) => self.ask(turn.replica, ask, None).await,
                Step::During { ask, at, meanwhile } => self.ask(turn.replica, ask, Some((at, meanwhile))).await,
                Step::Meanwhile(meanwhile) => self.meanwhile(turn.replica, meanwhile).await,
                Step::Follow => {
                    self.system.follow(turn.replica).await;
                    self.loaded[turn.replica] = self.ends;
                }
            }
            self.settle().await;
        }
        self.finish().await
    }

    async fn meanwhile(&mut self, replica: usize, step: Meanwhile) {
        match step {
            Meanwhile::Ask(ask) => self.ask(replica, ask, None).await,
            Meanwhile::Logout(which) => self.logout(replica, which).await,
            Meanwhile::LogoutAll(device) => self.logout_all(replica, device).await,
            Meanwhile::ChangePassword(user) => {
                self.passwords[user] ^= 1;
                let hash = &PASSWORDS[self.passwords[user]].1;
                let changed = self.tap.inner.set_password(&UserName::parse(NAMES[user]).unwrap(), hash).await.unwrap();
                assert!(changed.is_some());
                self.end("a password change", None, |line| line.user == user);
            }
            Meanwhile::EndRealm => {
                self.tap.inner.end_realm().await.unwrap();
                self.end("the end of everybody", None, |_| true);
            }
            Meanwhile::Forge(session, forgery) => self.forge(replica, session, forgery).await,
        }
    }

    async fn pass(&mut self, span: Span) {
        let end = |device: usize, end: fn(&Line) -> i64| match &self.devices[device] {
            Device { newest: Some(_), line, .. } => end(&self.ledger.lines[*line]),
            _ => self.ledger.now,
        };
        let until = match span {
            Span::Seconds(seconds) => self.ledger.now + seconds * 1000,
            Span::UntilIdleEnd(device) => end(device, Line::idle_end),
            Span::UntilAbsoluteEnd(device) => end(device, Line::absolute_end),
        };
        self.set_time(until.max(self.ledger.now)).await;
    }

    async fn set_time(&mut self, now: i64) {
        self.ledger.now = now;
        match &self.time {
            Time::Alone(clock) => clock.set(now),
            Time::Bench(bench) => bench.set_time(now).await,
        }
    }

    async fn ask(&mut self, replica: usize, ask: Ask, pause: Option<(Point, Meanwhile)>) {
        match ask {
            Ask::Refresh { device, key, fate, fault } => {
                let Some(token) = self.devices[device].newest.clone() else {
                    if !self.stopped {
                        self.login(replica, device).await;
                    }
                    return;
                };
                let key = self.key(device, key);
                let (line, from) = (self.devices[device].line, self.origin(device));
                let sent = Sent { line, token, key, from, who: Who::Device(device) };
                self.network.push(sent.clone());
                if fate != Fate::RequestLost {
                    let answer = self.present(replica, &sent, fault, pause).await;
                    if fate == Fate::Answered {
                        self.receive(device, &sent.token, &answer);
                    }
                }
            }
            Ask::Duplicate(back) => {
                let Some(sent) = from_the_end(&self.network, back) else { return };
                let sent = Sent { who: Who::Network, ..sent.clone() };
                self.present(replica, &sent, None, pause).await;
            }
            Ask::Replay { which, key, away } => {
                let Some((line, token)) = self.token(which) else { return };
                let key = match key {
                    StolenKey::None => None,
                    StolenKey::Stolen => {
                        self.network.iter().rfind(|sent| sent.token == token).and_then(|sent| sent.key.clone())
                    }
                    StolenKey::Another => Some(self.new_key()),
                };
                let home = self.origin(self.ledger.lines[line].device);
                let from = if away { Origin::new(Some([192, 0, 2, 1].into()), Some("thief")) } else { home };
                self.present(replica, &Sent { line, token, key, from, who: Who::Thief }, None, pause).await;
            }
        }
    }

    /// The key of a device's next request.
    fn key(&mut self, device: usize, key: Key) -> Option<String> {
        let key = match (key, &self.devices[device].unanswered) {
            (Key::Own, Some(first)) => first.key.clone(),
            (Key::None, _) => None,
            (Key::Own, None) | (Key::Another, _) => Some(self.new_key()),
        };
        self.devices[device].unanswered.get_or_insert_with(|| Unanswered { key: key.clone() });
        key
    }

    /// An answer reaches the device; it counts if it is about the newest token.
    fn receive(&mut self, device: usize, presented: &RefreshToken, answer: &Answer) {
        let device = &mut self.devices[device];
        if device.newest.as_ref() != Some(presented) {
            return;
        }
        match answer {
            Answer::Given(given) => {
                device.newest = self.ratchet.open(&given.refresh).ok();
                device.unanswered = None;
            }
            Answer::Refused(_) | Answer::Late => device.newest = None,
            Answer::Unavailable | Answer::Broken(_) => {}
        }
    }

    /// Reads everything again, and gives what was known before.
    async fn observe(&mut self) -> Dump {
        let store = &self.tap.inner;
        let mut dump = Dump { users: store.users().await.unwrap(), ..Dump::default() };
        for line in &self.ledger.lines {
            dump.sessions.push(store.session(line.id).await.unwrap());
        }
        for name in NAMES {
            dump.epochs.push(store.epochs(&Subject::parse(name).unwrap()).await.unwrap());
        }
        dump.revocations = store.revocations(None).await.unwrap().revocations;
        std::mem::replace(&mut self.ledger.dump, dump)
    }

    /// Checks what must hold between any two steps.
    async fn settle(&mut self) {
        if !self.fresh {
            self.observe().await;
        }
        for violation in invariants::of_a_state(&self.ledger, &self.system.hidden()) {
            self.violated(violation.invariant, violation.what);
        }
        self.check_access_tokens();
    }

    /// I5: a replica that knows of an end accepts no access token of the session. I10: all others are accepted.
    fn check_access_tokens(&mut self) {
        let mut found = Vec::new();
        for (number, line) in self.ledger.lines.iter().enumerate() {
            for (replica, loaded) in self.loaded.into_iter().enumerate() {
                let knows = |ended: &Ended| ended.by == Some(replica) || ended.number < loaded;
                let knows = line.ended.as_ref().is_some_and(knows);
                let tokens = line.access.iter().take(1).chain(line.access.iter().skip(1).rev().take(2));
                for access in tokens {
                    let accepted = self.system.accepts(replica, &access.text);
                    let unexpired = access.expires > self.ledger.now;
                    if knows && accepted == Some(true) {
                        found.push(("I5", format!("replica {replica} accepts an access token of session {number}")));
                    }
                    if line.ended.is_none() && !line.suspected && unexpired && accepted == Some(false) {
                        found.push(("I10", format!("replica {replica} refuses an access token of session {number}")));
                    }
                }
            }
        }
        for (invariant, what) in found {
            self.violated(invariant, what);
        }
    }

    fn token(&self, which: Which) -> Option<(usize, RefreshToken)> {
        let number = (self.ledger.lines.len()).checked_sub(1 + which.session % self.ledger.lines.len().max(1))?;
        let token = from_the_end(&self.ledger.lines[number].issued, which.token)?;
        Some((number, token.clone()))
    }

    fn origin(&self, device: usize) -> Origin {
        let address = [10, 0, u8::try_from(device).unwrap(), self.devices[device].network];
        Origin::new(Some(address.into()), Some(&format!("device {device}")))
    }

    fn new_key(&mut self) -> String {
        self.keys += 1;
        format!("idempotency-key-{}", self.keys)
    }
}

fn from_the_end<T>(all: &[T], back: usize) -> Option<&T> {
    all.get(all.len().checked_sub(1 + back % all.len().max(1))?)
}

fn user(name: &str) -> User {
    let mut claims = Map::new();
    claims.insert("roles".into(), json!(["clerk"]));
    claims.insert("scope".into(), json!("notes:read"));
    User {
        name: UserName::parse(name).unwrap(),
        subject: Subject::parse(name).unwrap(),
        password_hash: PASSWORDS[0].1.clone(),
        disabled: false,
        claims,
    }
}
