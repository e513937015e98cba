//! Refreshes that race the end of their session: once the end is acknowledged nothing turns any more, and nothing that
//! was minted on the way is worth anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::support::client::{
    Pair, call, login, logout, logout_all, oauth_error, refresh, refresh_request, until_refused,
};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::raw;

use super::hooked_store::{Holding, Side};
use super::show;

const SETTINGS: &str = "revocation.poll_interval = \"10ms\"";

/// Per store and kind of end.
const INTERLEAVINGS: u32 = 25;

/// How sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Logout,
    LogoutAll,
    RevokeSubject,
    NewPassword,
}

const ENDS: [End; 4] = [End::Logout, End::LogoutAll, End::RevokeSubject, End::NewPassword];

/// The user, whose password changes.
struct Person {
    password: String,
}

impl End {
    /// Ends the session, and returns when that is acknowledged.
    async fn carry_out(self, deployment: &Deployment, gate: SocketAddr, pair: &Pair, person: &mut Person) {
        match self {
            Self::Logout => assert_eq!(logout(gate, &pair.refresh).await.status, 200),
            Self::LogoutAll => assert_eq!(logout_all(gate, &pair.access).await.status, 200),
            Self::RevokeSubject => {
                let revoked = deployment.command(&["revoke", "--subject", USER]).await;
                assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
            }
            Self::NewPassword => {
                person.password.push_str(" again");
                if person.password.len() > 200 {
                    PASSWORD.clone_into(&mut person.password);
                }
                deployment.set_password(USER, &person.password).await;
            }
        }
    }

    /// Insists that a token is refused: at once where the end was acknowledged, soon elsewhere. A command is heard of
    /// through the store.
    async fn refuses(self, gate: SocketAddr, acknowledged_here: bool, pair: &Pair) {
        if acknowledged_here && matches!(self, Self::Logout | Self::LogoutAll) {
            assert_eq!(call(gate, "/", &pair.access).await.status, 401, "{self:?}");
        }
        until_refused(gate, &pair.access).await;
        assert_eq!(oauth_error(&refresh(gate, &pair.refresh, None).await, 400), "invalid_grant", "{self:?}");
    }
}

async fn an_end_in_the_middle_of_a_refresh(kind: StoreKind, side: Side) {
    let deployment = Deployment::new(kind, SETTINGS).await;
    let holding = Box::pin(Holding::start(&deployment, side)).await;
    let gate = holding.running.listen[0];
    let mut person = Person { password: PASSWORD.to_owned() };
    for end in ENDS {
        let pair = Pair::read(&login(gate, USER, &person.password).await);
        holding.hold_next();
        let request = refresh_request(&pair.refresh, None).bytes();
        let refreshing = tokio::spawn(async move { raw::exchange(gate, request).await });
        holding.held().await;

        Box::pin(end.carry_out(&deployment, gate, &pair, &mut person)).await;
        holding.let_go();

        let answer = refreshing.await.unwrap();
        end.refuses(gate, true, &pair).await;
        if side == Side::AfterTheStatement && answer.status == 200 {
            // It was first, and is worth nothing.
            end.refuses(gate, true, &Pair::read(&answer)).await;
        } else {
            assert_eq!(oauth_error(&answer, 400), "invalid_grant", "{end:?}");
        }
    }
}

#[tokio::test]
async fn an_end_acknowledged_before_the_swap_stops_it_on_sqlite() {
    an_end_in_the_middle_of_a_refresh(StoreKind::Sqlite, Side::BeforeTheStatement).await;
}

#[tokio::test]
async fn an_end_acknowledged_before_the_swap_stops_it_on_postgres() {
    an_end_in_the_middle_of_a_refresh(StoreKind::Postgres, Side::BeforeTheStatement).await;
}

#[tokio::test]
async fn an_end_acknowledged_after_the_swap_voids_what_it_minted_on_sqlite() {
    an_end_in_the_middle_of_a_refresh(StoreKind::Sqlite, Side::AfterTheStatement).await;
}

#[tokio::test]
async fn an_end_acknowledged_after_the_swap_voids_what_it_minted_on_postgres() {
    an_end_in_the_middle_of_a_refresh(StoreKind::Postgres, Side::AfterTheStatement).await;
}

/// What one client does until it is refused, and whether the end was acknowledged meanwhile.
#[derive(Clone)]
struct Racer {
    gates: [SocketAddr; 2],
    acknowledged: Arc<AtomicBool>,
    /// Requests sent so far.
    steps: Arc<AtomicU32>,
}

impl Racer {
    /// Whether what is sent now can still be answered with tokens.
    fn may_still_win(&self) -> bool {
        self.steps.fetch_add(1, Ordering::SeqCst);
        !self.acknowledged.load(Ordering::SeqCst)
    }

    /// Refreshes with a key, each request twice at once, one to each gate; returns every pair it got.
    async fn refresh_until_refused(self, mut live: Pair) -> Vec<Pair> {
        let mut pairs = vec![live.clone()];
        loop {
            let key = format!("a-key-for-this-step-{}", pairs.len());
            let may_win = self.may_still_win();
            let [one, other] = self.gates.map(|gate| refresh(gate, &live.refresh, Some(&key)));
            let (one, other) = tokio::join!(one, other);
            let got = pairs.len();
            for answer in [one, other] {
                if answer.status == 200 {
                    pairs.push(Pair::read(&answer));
                } else {
                    assert_eq!(oauth_error(&answer, 400), "invalid_grant");
                }
            }
            assert!(may_win || pairs.len() == got, "a refresh won after the end was acknowledged");
            match &pairs[got..] {
                [] => return pairs,
                [first, rest @ ..] => {
                    assert!(rest.iter().all(|pair| pair.refresh == first.refresh), "two successors");
                    live = first.clone();
                }
            }
        }
    }

    /// Logs in with one password until it is refused; returns every pair it got.
    async fn log_in_until_refused(self, password: String) -> Vec<Pair> {
        let mut pairs = Vec::new();
        loop {
            let may_win = self.may_still_win();
            let answer = login(self.gates[0], USER, &password).await;
            if answer.status == 400 {
                return pairs;
            }
            assert!(may_win, "a login with the old password won after the new one was acknowledged");
            pairs.push(Pair::read(&answer));
        }
    }
}

async fn free_interleavings(kind: StoreKind) {
    let deployment = Deployment::new(kind, SETTINGS).await;
    let (one, other) = (deployment.in_process().await, deployment.in_process().await);
    let gates = [one.listen[0], other.listen[0]];
    let mut person = Person { password: PASSWORD.to_owned() };
    let (mut interleavings, mut won) = (0, 0);
    for (end, n) in ENDS.into_iter().flat_map(|end| (0..INTERLEAVINGS).map(move |n| (end, n))) {
        let first = Pair::read(&login(gates[0], USER, &person.password).await);
        let racer = Racer { gates, acknowledged: Arc::default(), steps: Arc::default() };
        let mut racing = vec![tokio::spawn(racer.clone().refresh_until_refused(first.clone()))];
        if end == End::NewPassword {
            racing.push(tokio::spawn(racer.clone().log_in_until_refused(person.password.clone())));
        }
        // The end comes at another point of another step each time.
        while racer.steps.load(Ordering::SeqCst) < n % 4 {
            tokio::task::yield_now().await;
        }
        for _ in 0..n * 5 {
            tokio::task::yield_now().await;
        }
        end.carry_out(&deployment, gates[0], &first, &mut person).await;
        racer.acknowledged.store(true, Ordering::SeqCst);

        interleavings += 1;
        for racing in racing {
            for pair in racing.await.unwrap() {
                won += u32::from(pair != first);
                end.refuses(gates[0], true, &pair).await;
                end.refuses(gates[1], false, &pair).await;
            }
        }
    }
    show(&format!("races: {kind:?}, {interleavings} ends, {won} pairs won before them, all void"));
    assert!(won > interleavings, "refreshes and ends did not race");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_of_a_session_nothing_of_it_works_however_it_raced_on_sqlite() {
    Box::pin(free_interleavings(StoreKind::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_of_a_session_nothing_of_it_works_however_it_raced_on_postgres() {
    Box::pin(free_interleavings(StoreKind::Postgres)).await;
}
