//! What the actors share: where the replicas are, the record they write, and the words of the one who directs.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::support::client::{Pair, refresh_request};
use crate::support::deployment::PASSWORD;
use crate::support::raw::{RawClient, RawRequest, RawResponse, request};

use super::record::{Call, End, How, Outcome, Record, Refresh, Who};
use super::token::{Token, expiry};

pub(super) struct Stage {
    pub(super) gates: Vec<SocketAddr>,
    pub(super) record: Record,
    /// How long after its acknowledgement an end may be unknown to a replica that can hear.
    pub(super) bound: Duration,
    /// Refreshes that wait for their answer, by replica.
    pub(super) in_flight: watch::Sender<Vec<usize>>,
    pub(super) cue: watch::Sender<Cue>,
}

/// What honest clients are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cue {
    /// Counts the calls to refresh now, whether or not it is time.
    pub(super) hurry: u64,
    /// At which replica.
    pub(super) at: Option<usize>,
    pub(super) stop: bool,
}

/// A little longer than any answer takes that sidegate still means to give.
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

impl Stage {
    pub(super) fn new(gates: Vec<SocketAddr>, bound: Duration) -> Self {
        let in_flight = watch::Sender::new(vec![0; gates.len()]);
        Self { gates, record: Record::new(), bound, in_flight, cue: watch::Sender::default() }
    }

    /// Has honest clients refresh, at one replica or at any, and waits until so many are under way.
    ///
    /// # Panics
    /// If they do not come to it.
    pub(super) async fn crowd(&self, at: Option<usize>, least: usize) {
        self.cue.send_modify(|cue| {
            cue.hurry += 1;
            cue.at = at;
        });
        let mut in_flight = self.in_flight.subscribe();
        let crowded = in_flight.wait_for(|counts| under_way(counts, at) >= least);
        let crowded = tokio::time::timeout(Duration::from_secs(30), crowded).await;
        drop(crowded.unwrap_or_else(|_| panic!("never {least} refreshes in flight at {at:?}")));
    }

    pub(super) fn in_flight_at(&self, at: Option<usize>) -> usize {
        under_way(&self.in_flight.borrow(), at)
    }

    /// Waits until so many honest clients have logged in.
    ///
    /// # Panics
    /// If they do not.
    pub(super) async fn until_there(&self, clients: usize) {
        let arriving = async {
            while self.record.history().honest.len() < clients {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), arriving).await.expect("everybody can log in");
    }

    pub(super) fn stop(&self) {
        self.cue.send_modify(|cue| cue.stop = true);
    }

    pub(super) async fn refresh(&self, who: Who, node: usize, token: &str, key: Option<&str>) -> Outcome<Pair> {
        self.in_flight.send_modify(|counts| counts[node] += 1);
        let from = self.record.now();
        let answer = ask(self.gates[node], &refresh_request(token, key)).await;
        let span = self.record.since(from);
        self.in_flight.send_modify(|counts| counts[node] -= 1);
        let outcome = judged(answer).map(|answer| Pair::read(&answer));
        let (mut access_expires, presented) = (None, Token::read(token));
        let seen = outcome.clone().map(|pair| {
            access_expires = Some(expiry(&pair.access));
            Token::read(&pair.refresh)
        });
        let refresh = Refresh { who, span, presented, outcome: seen, access_expires };
        self.record.history().refreshes.push(refresh);
        outcome
    }

    pub(super) async fn login(&self, node: usize, user: &str, password: &str) -> Outcome<Pair> {
        let body = serde_json::json!({ "username": user, "password": password });
        let outcome = judged(ask(self.gates[node], &request("POST", "/login").json(&body)).await);
        if matches!(outcome, Outcome::Done(_)) {
            self.record.history().logins += 1;
        }
        outcome.map(|answer| Pair::read(&answer))
    }

    /// Logs in, at this replica first, however long it takes.
    ///
    /// # Panics
    /// If the user may not.
    pub(super) async fn logged_in(&self, mut node: usize, user: &str) -> Pair {
        loop {
            match self.login(node, user, PASSWORD).await {
                Outcome::Done(pair) => return pair,
                Outcome::Refused(answer) => panic!("{user} cannot log in: {answer}"),
                Outcome::Unknown(_) => tokio::time::sleep(PAUSE).await,
            }
            node = (node + 1) % self.gates.len();
        }
    }

    /// Nobody will end this session.
    pub(super) fn is_honest(&self, pair: &Pair) {
        let now = self.record.now();
        self.record.history().honest.insert(Token::read(&pair.refresh).session, now);
    }

    /// Shows an access token to a replica, on a connection of its own.
    pub(super) async fn call(&self, node: usize, pair: &Pair) -> Outcome<()> {
        let from = self.record.now();
        let answer = ask(self.gates[node], &request("GET", PROBED).bearer(&pair.access)).await;
        self.called(node, pair, from, answer)
    }

    /// Records what came of showing an access token.
    pub(super) fn called(
        &self,
        node: usize,
        pair: &Pair,
        from: Duration,
        answer: Result<RawResponse, String>,
    ) -> Outcome<()> {
        let outcome = judged(answer).map(drop);
        self.record.history().calls.push(Call {
            session: Token::read(&pair.refresh).session,
            node,
            span: self.record.since(from),
            outcome: outcome.clone(),
            expires_at: self.record.moment(expiry(&pair.access)),
        });
        outcome
    }

    pub(super) fn ended(&self, how: How, pair: &Pair, from: Duration) {
        let end = End { how, session: Token::read(&pair.refresh).session, span: self.record.since(from) };
        self.record.history().ends.push(end);
    }

    pub(super) async fn logout(&self, node: usize, token: &str) -> Outcome<()> {
        let body = serde_json::json!({ "refresh_token": token });
        judged(ask(self.gates[node], &request("POST", "/logout").json(&body)).await).map(drop)
    }

    pub(super) async fn logout_all(&self, node: usize, access: &str) -> Outcome<()> {
        judged(ask(self.gates[node], &request("POST", "/auth/logout-all").bearer(access)).await).map(drop)
    }
}

fn under_way(counts: &[usize], at: Option<usize>) -> usize {
    at.map_or_else(|| counts.iter().sum(), |node| counts[node])
}

/// A small answer of the application, behind a token.
pub(super) const PROBED: &str = "/status?code=200";

/// One request on a connection of its own.
pub(super) async fn ask(address: SocketAddr, request: &RawRequest) -> Result<RawResponse, String> {
    let asked = async {
        let client = RawClient::try_connect(address).await;
        let mut client = client.map_err(|error| error.to_string())?.with_deadline(DEADLINE);
        client.try_send(request.bytes()).await.map_err(|error| error.to_string())?;
        client.try_response().await.map_err(|missing| missing.to_string())
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_| Err("no connection in time".to_owned()))
}

/// What an answer means to one who wants to know where they are.
pub(super) fn judged(answer: Result<RawResponse, String>) -> Outcome<RawResponse> {
    match answer {
        Err(why) => Outcome::Unknown(why),
        Ok(answer) if answer.status < 400 => Outcome::Done(answer),
        Ok(answer) if matches!(answer.status, 400 | 401 | 403) => Outcome::Refused(code(&answer)),
        Ok(answer) => Outcome::Unknown(answer.status.to_string()),
    }
}

fn code(answer: &RawResponse) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["error"].as_str().map_or_else(|| answer.status.to_string(), |code| format!("{} {code}", answer.status))
}

/// Numbers that look random and are the same in each run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: usize) -> Self {
        Self(seed as u64)
    }

    /// Below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    /// Up to twice as long, at least half as long.
    pub(super) fn about(&mut self, time: Duration) -> Duration {
        time / 2 + time * u32::try_from(self.roll(150)).unwrap() / 100
    }
}
