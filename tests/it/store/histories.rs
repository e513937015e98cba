//! Random histories, played on a real store and on the model: every answer must be the same, and every row afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use sidegate::domain::history::Mark;
use sidegate::domain::keys::Algorithm;
use sidegate::domain::rate::{Bucket, Rate};
use sidegate::domain::revocation::{Revocation, Revoked};
use sidegate::domain::session::{IdempotencyMac, Salt, Session, SessionId};
use sidegate::domain::user::{PasswordHash, User};
use sidegate::store::{
    Cursor, KeyChange, Loss, NewSession, PasswordChange, Replica, ReplicaId, RevocationPage, SealedKey, Store, Swap,
    VaultChange,
};

use super::bench::{Bench, START};
use super::model::Model;
use super::samples::{
    fingerprint, hash, name, new_session, origin, sealed_jar, sealed_key, session_id, subject, swap, user,
};

#[test]
fn sqlite_answers_every_history_like_the_model() {
    play(Bench::sqlite(), 300);
}

#[test]
fn postgres_answers_every_history_like_the_model() {
    play(Bench::postgres(), 60);
}

/// One call, or time that passes. Sessions are named by the order of their creation.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Join(u64),
    AddSecret(u8, bool),
    RemoveSecret(u8),
    /// What to do to which key, and whether somebody else was faster.
    Keys(Keys, u8, bool),
    Take(u32, u32, u64),
    Refill(u32),
    Report(u8, u8),
    Leave(u8),
    Create {
        of: &'static str,
        most: u32,
        idle: u64,
        longest: u64,
        behind: u64,
    },
    Swap {
        which: u32,
        wrong: Option<Wrong>,
        key: Option<u8>,
        idle: u64,
        window: u64,
        from: u8,
        /// Turns that the row has lost.
        lost: u32,
    },
    Session(u32),
    SessionsOf(&'static str),
    EndSession(u32),
    /// After which session, and in pages of how many rows.
    Living(Option<u32>, u32),
    EndSessions(Vec<u32>),
    EndSubject(&'static str),
    /// Whose, and which session goes on.
    EndOthers(&'static str, u32),
    EndRealm,
    Follow,
    StartOver,
    Beat(u64),
    Ask,
    /// The highest beat seen, and whether the mark has changed since it was read.
    Rollback(u64, bool),
    /// Of which sessions, of whom below which counter, and the realm's.
    Restore(Vec<u32>, &'static str, u64, u64),
    /// Whose jar, and whether somebody else was faster.
    Vault(u32, bool),
    FollowVaults,
    Purge(u64, u32),
    /// Name, subject, and whether it is disabled.
    AddUsers(Vec<(&'static str, &'static str, bool)>),
    SetPassword(&'static str, u8),
    UpgradePassword(&'static str, u8, u8),
    ChangePassword {
        name: &'static str,
        which: u32,
        old: u8,
        new: u8,
        wrong: bool,
        idle: u64,
    },
    SetDisabled(&'static str, bool),
    RemoveUser(&'static str),
    Users(&'static str),
}

/// What is done to a key.
#[derive(Clone, Copy, Debug)]
enum Keys {
    Add(Algorithm, Option<u64>),
    Sign(u64),
    Reseal(u8),
    Ban,
    Remove,
}

/// What does not match in a swap.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Client,
    Generation,
    Hash,
    /// A session of this history, but not this one's token.
    Session,
}

fn step() -> impl Strategy<Value = Step> {
    let people = || select(vec!["ann", "bob", "Zoë"]);
    // Few distinct values, so that boundaries are met exactly.
    let spans = || select(vec![0_u64, 1, 10, 20, 30, 50]);
    let which = || 0..6_u32;
    let wrong = select(vec![Wrong::Client, Wrong::Generation, Wrong::Hash, Wrong::Session]);
    let keys = prop_oneof![
        (select(Algorithm::ALL.to_vec()), prop::option::of(spans()))
            .prop_map(|(algorithm, after)| Keys::Add(algorithm, after)),
        spans().prop_map(Keys::Sign),
        (0..3_u8).prop_map(Keys::Reseal),
        Just(Keys::Ban),
        Just(Keys::Remove),
    ];
    prop_oneof![
        4 => spans().prop_map(Step::Pass),
        1 => spans().prop_map(Step::Join),
        1 => (0..3_u8, any::<bool>()).prop_map(|(n, only_first)| Step::AddSecret(n, only_first)),
        1 => (0..3_u8).prop_map(Step::RemoveSecret),
        4 => (keys, 0..3_u8, prop::bool::weighted(0.1)).prop_map(|(keys, n, late)| Step::Keys(keys, n, late)),
        3 => (0..2_u32, 1..4_u32, 20..60_u64).prop_map(|(n, most, per)| Step::Take(n, most, per)),
        1 => (0..2_u32).prop_map(Step::Refill),
        1 => (0..3_u8, 0..3_u8).prop_map(|(n, secret)| Step::Report(n, secret)),
        1 => (0..3_u8).prop_map(Step::Leave),
        6 => (people(), 0..4_u32, spans(), spans(), prop_oneof![9 => Just(0), 1 => Just(1_u64)])
            .prop_map(|(of, most, idle, longest, behind)| Step::Create { of, most, idle, longest: longest * 3, behind }),
        12 => (
            which(), prop::option::weighted(0.2, wrong), prop::option::of(0..3_u8), spans(), spans(), 0..3_u8,
            prop_oneof![9 => Just(0), 1 => 1..3_u32],
        ).prop_map(|(which, wrong, key, idle, window, from, lost)| {
            Step::Swap { which, wrong, key, idle, window, from, lost }
        }),
        3 => which().prop_map(Step::Session),
        2 => people().prop_map(Step::SessionsOf),
        2 => which().prop_map(Step::EndSession),
        2 => (prop::option::of(which()), 1..200_u32).prop_map(|(after, most)| Step::Living(after, most)),
        1 => prop::collection::vec(which(), 0..4).prop_map(Step::EndSessions),
        1 => people().prop_map(Step::EndSubject),
        1 => (people(), which()).prop_map(|(of, which)| Step::EndOthers(of, which)),
        1 => Just(Step::EndRealm),
        3 => Just(Step::Follow),
        1 => Just(Step::StartOver),
        2 => spans().prop_map(Step::Beat),
        1 => Just(Step::Ask),
        1 => (0..9_u64, prop::bool::weighted(0.2)).prop_map(|(seen, late)| Step::Rollback(seen, late)),
        1 => (prop::collection::vec(which(), 0..3), people(), 0..4_u64, 0..3_u64)
            .prop_map(|(which, of, below, realm)| Step::Restore(which, of, below, realm)),
        3 => (which(), prop::bool::weighted(0.2)).prop_map(|(which, late)| Step::Vault(which, late)),
        2 => Just(Step::FollowVaults),
        2 => (spans(), 0..4_u32).prop_map(|(keep, most)| Step::Purge(keep, most)),
        2 => prop::collection::vec((people(), people(), any::<bool>()), 0..3).prop_map(Step::AddUsers),
        1 => (people(), 0..2_u8).prop_map(|(name, n)| Step::SetPassword(name, n)),
        1 => (people(), 0..2_u8, 0..2_u8).prop_map(|(name, old, new)| Step::UpgradePassword(name, old, new)),
        4 => (people(), which(), 0..2_u8, 0..2_u8, prop::bool::weighted(0.1), spans()).prop_map(
            |(name, which, old, new, wrong, idle)| Step::ChangePassword { name, which, old, new, wrong, idle }
        ),
        1 => (people(), any::<bool>()).prop_map(|(name, disabled)| Step::SetDisabled(name, disabled)),
        1 => people().prop_map(Step::RemoveUser),
        1 => people().prop_map(Step::Users),
    ]
}

fn play(bench: impl Future<Output = Bench>, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(bench);
    let realms = AtomicU32::new(0);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let played = TestRunner::new(config).run(&prop::collection::vec(step(), 1..50), |steps| {
        let realm = realms.fetch_add(1, Ordering::Relaxed);
        runtime.block_on(async {
            bench.set_time(START).await;
            let store = bench.open(&format!("realm {realm}")).await;
            let mut history = History::new(realm, store, Model::new(bench.clock()));
            for step in &steps {
                if let Step::Pass(ms) = step {
                    bench.advance(Duration::from_millis(*ms)).await;
                } else {
                    history.play(step).await?;
                }
            }
            history.compare_what_is_left().await
        })
    });
    if let Err(failure) = played {
        panic!("{failure}");
    }
}

struct History {
    store: Arc<dyn Store>,
    model: Arc<Model>,
    /// Ids are of one database, histories are not.
    first: u32,
    created: u32,
    cursors: Option<(Cursor, Cursor)>,
    vault_cursors: Option<(Cursor, Cursor)>,
}

/// The same call on both; the same answer.
macro_rules! same {
    ($history:expr, $call:ident($($argument:expr),*)) => {{
        let real = $history.store.$call($($argument),*).await;
        let model = $history.model.$call($($argument),*).await;
        prop_assert_eq!(real, model, "{}", stringify!($call));
    }};
}

impl History {
    fn new(realm: u32, store: Arc<dyn Store>, model: Arc<Model>) -> Self {
        Self { store, model, first: realm * 1000, created: 0, cursors: None, vault_cursors: None }
    }

    fn id(&self, which: u32) -> SessionId {
        // One more than there are: somebody else's.
        session_id(self.first + which % (self.created + 1))
    }

    async fn play(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let password = |n: u8| PasswordHash(format!("$hash${n}"));
        match *step {
            Step::Pass(_) => {}
            Step::Join(ttl) => same!(self, join(Duration::from_millis(ttl))),
            Step::AddSecret(n, only_first) => same!(self, add_secret(fingerprint(n), only_first)),
            Step::RemoveSecret(n) => same!(self, remove_secret(fingerprint(n))),
            Step::Keys(keys, n, late) => {
                let kid = format!("kid {n}");
                let change = match keys {
                    Keys::Add(algorithm, after) => {
                        KeyChange::Add(sealed_key(&kid, algorithm), after.map(Duration::from_millis))
                    }
                    Keys::Sign(after) => KeyChange::Sign(kid, Duration::from_millis(after)),
                    Keys::Reseal(secret) => {
                        let key = sealed_key(&kid, Algorithm::Es256);
                        KeyChange::Reseal(SealedKey { secret: fingerprint(secret), ..key })
                    }
                    Keys::Ban => KeyChange::Ban(kid),
                    Keys::Remove => KeyChange::Remove(kid),
                };
                let version = self.model.signing_keys().await.unwrap().version + u64::from(late);
                same!(self, change_keys(version, &change));
                same!(self, signing_keys());
            }
            Step::Take(n, most, per) => {
                let rate = Rate::new(most, Duration::from_millis(per)).unwrap();
                same!(self, take(Bucket::refresh_of(session_id(n)), rate));
            }
            Step::Refill(n) => same!(self, refill(Bucket::refresh_of(session_id(n)))),
            Step::Report(n, secret) => {
                let secrets = vec![fingerprint(secret), fingerprint(n)];
                let heard = u64::from(secret);
                let replica = Replica { id: ReplicaId([n; 16]), name: format!("pod {secret}"), secrets, heard };
                same!(self, report(&replica));
                same!(self, replicas(Duration::from_millis(20)));
            }
            Step::Leave(n) => {
                same!(self, leave(ReplicaId([n; 16])));
                same!(self, replicas(Duration::from_millis(50)));
            }
            Step::Create { of, most, idle, longest, behind } => {
                let mut epochs = self.model.epochs(&subject(of)).await.unwrap();
                epochs.subject = epochs.subject.wrapping_sub(behind);
                let number = self.first + self.created;
                let new = NewSession {
                    epochs,
                    most,
                    idle_ttl: Duration::from_millis(idle),
                    max_ttl: Duration::from_millis(longest),
                    ..new_session(number, of)
                };
                same!(self, create_session(&new));
                self.created += u32::from(behind == 0);
            }
            Step::Swap { which, wrong, key, idle, window, from, lost } => {
                let id = self.id(which);
                let Some(state) = self.model.session(id).await.unwrap() else {
                    return self.swap_nothing(id).await;
                };
                let mut turn = Swap {
                    key: key.map(|n| IdempotencyMac([n + 1; 16])),
                    idle_ttl: Duration::from_millis(idle),
                    longest_window: Duration::from_millis(window),
                    from: origin(from),
                    generation: state.session.generation + lost,
                    behind: lost,
                    ..swap(&state.session)
                };
                match wrong {
                    None => {}
                    Some(Wrong::Client) => turn.client.push('x'),
                    Some(Wrong::Generation) => turn.generation ^= 1,
                    Some(Wrong::Hash) => turn.row_hash = hash(u32::MAX, 0),
                    Some(Wrong::Session) => turn.session = self.id(which + 1),
                }
                same!(self, swap(&turn));
            }
            Step::Session(which) => same!(self, session(self.id(which))),
            Step::SessionsOf(of) => same!(self, sessions_of(&subject(of))),
            Step::EndSession(which) => same!(self, end_session(self.id(which))),
            Step::Living(after, most) => {
                let after = after.map(|which| self.id(which));
                let real = living(&*self.store, after, most * 100).await;
                prop_assert_eq!(real, living(&*self.model, after, most).await);
            }
            Step::EndSessions(ref which) => {
                let ids: Vec<SessionId> = which.iter().map(|which| self.id(*which)).collect();
                same!(self, end_sessions(&ids));
            }
            Step::EndSubject(of) => {
                same!(self, end_subject(&subject(of)));
                same!(self, epochs(&subject(of)));
            }
            Step::EndOthers(of, which) => {
                let id = self.id(which);
                same!(self, end_others(&subject(of), id));
                same!(self, session(id));
            }
            Step::EndRealm => same!(self, end_realm()),
            Step::Follow => self.follow().await?,
            Step::StartOver => {
                self.cursors = None;
                self.follow().await?;
            }
            Step::Beat(every) => same!(self, beat(Duration::from_millis(every))),
            Step::Ask => same!(self, ask()),
            Step::Rollback(seen, late) => {
                let real = self.store.revocations(None).await.unwrap().mark;
                let mark = Mark { beat: real.beat + u64::from(late), ..real };
                let loss = Loss { id: seen, mark, seen, live: Duration::from_millis(20) };
                same!(self, note_rollback(&loss));
                same!(self, replicas(Duration::from_millis(20)));
            }
            Step::Restore(ref which, of, below, realm) => {
                let mut sessions: Vec<SessionId> = which.iter().map(|which| self.id(*which)).collect();
                sessions.sort_unstable();
                sessions.dedup();
                let others = [Revoked::SubjectBelow(subject(of), below), Revoked::RealmBelow(realm)];
                let until = self.model.now().await.unwrap().plus(Duration::from_millis(30));
                let held = sessions.into_iter().map(Revoked::Session).chain(others);
                let held: Vec<Revocation> = held.map(|revoked| Revocation { revoked, until }).collect();
                same!(self, restore(&held));
                same!(self, epochs(&subject(of)));
            }
            Step::Vault(which, late) => {
                let session = self.id(which);
                let known = self.model.session(session).await.unwrap().and_then(|state| state.session.vault);
                let expected = known.map_or(0, |jar| jar.version) + u64::from(late);
                let jar = sealed_jar(expected + 2, 7);
                let change = VaultChange { session, expected, jar, wakes: late };
                same!(self, change_vault(&change));
                same!(self, session(session));
            }
            Step::FollowVaults => self.follow_vaults().await?,
            Step::Purge(keep, most) => same!(self, purge(Duration::from_millis(keep), most)),
            Step::AddUsers(ref called) => {
                let new = |&(called, of, disabled): &(&str, &str, bool)| User {
                    subject: subject(of),
                    password_hash: password(0),
                    disabled,
                    ..user(called)
                };
                let users: Vec<User> = called.iter().map(new).collect();
                same!(self, add_users(&users));
            }
            Step::SetPassword(of, n) => same!(self, set_password(&name(of), &password(n))),
            Step::UpgradePassword(of, old, new) => {
                same!(self, upgrade_password(&name(of), &password(old), &password(new)));
            }
            Step::ChangePassword { name: of, which, old, new, wrong, idle } => {
                let id = self.id(which);
                let state = self.model.session(id).await.unwrap();
                let (generation, live) =
                    state.map_or((0, hash(0, 0)), |state| (state.session.generation, state.session.hash));
                let change = PasswordChange {
                    name: name(of),
                    old: password(old),
                    new: password(new),
                    session: id,
                    generation,
                    live: if wrong { hash(u32::MAX, 0) } else { live },
                    next: hash(self.first + which, generation.wrapping_add(1)),
                    from: origin(1),
                    idle_ttl: Duration::from_millis(idle),
                };
                same!(self, change_password(&change));
                same!(self, account_of(&subject(of)));
            }
            Step::SetDisabled(of, disabled) => same!(self, set_disabled(&name(of), disabled)),
            Step::RemoveUser(of) => same!(self, remove_user(&name(of))),
            Step::Users(of) => {
                same!(self, account(&name(of)));
                same!(self, users());
            }
        }
        Ok(())
    }

    async fn swap_nothing(&self, session: SessionId) -> Result<(), TestCaseError> {
        let turn = Swap {
            session,
            client: "app".into(),
            generation: 0,
            row_hash: hash(self.first, 0),
            behind: 0,
            successor: hash(self.first, 1),
            salt: Salt([1; 32]),
            key: None,
            from: origin(1),
            idle_ttl: Duration::from_secs(1),
            longest_window: Duration::ZERO,
        };
        same!(self, swap(&turn));
        Ok(())
    }

    /// The next page on both; each has cursors of its own.
    async fn follow(&mut self) -> Result<(), TestCaseError> {
        let (real, model) = self.cursors.as_ref().map(|(real, model)| (real, model)).unzip();
        let (real, model) = (self.store.revocations(real).await, self.model.revocations(model).await);
        let (mut real, mut model) = (real.unwrap(), model.unwrap());
        for page in [&mut real, &mut model] {
            // What was ended in one statement has no order.
            page.revocations.sort_by_key(|revocation| format!("{revocation:?}"));
        }
        self.cursors = Some((real.cursor.clone(), model.cursor.clone()));
        let Mark { server, known, .. } = model.mark.clone();
        prop_assert!(real.mark.known.is_empty() || real.mark.known == real.mark.server);
        let mark = Mark { server, known, ..real.mark };
        prop_assert_eq!(RevocationPage { cursor: model.cursor.clone(), mark, ..real }, model);
        Ok(())
    }

    async fn follow_vaults(&mut self) -> Result<(), TestCaseError> {
        let (real, model) = self.vault_cursors.as_ref().map(|(real, model)| (real, model)).unzip();
        let real = self.store.vault_changes(real).await.unwrap();
        let model = self.model.vault_changes(model).await.unwrap();
        prop_assert_eq!(&real.changes, &model.changes);
        prop_assert!(!real.more);
        self.vault_cursors = Some((real.cursor, model.cursor));
        Ok(())
    }

    async fn compare_what_is_left(&mut self) -> Result<(), TestCaseError> {
        for which in 0..self.created {
            same!(self, session(session_id(self.first + which)));
        }
        for of in ["ann", "bob", "Zoë"] {
            same!(self, sessions_of(&subject(of)));
            same!(self, epochs(&subject(of)));
        }
        same!(self, users());
        same!(self, signing_keys());
        same!(self, join(Duration::ZERO));
        same!(self, now());
        self.follow_vaults().await?;
        self.vault_cursors = None;
        self.follow_vaults().await?;
        self.follow().await?;
        self.cursors = None;
        self.follow().await
    }
}

/// All pages: which rows are on one is the store's business.
async fn living(store: &dyn Store, mut after: Option<SessionId>, most: u32) -> Vec<Session> {
    let mut sessions = Vec::new();
    loop {
        let page = store.living_sessions(after, most).await.unwrap();
        sessions.extend(page.sessions);
        after = page.next;
        if after.is_none() {
            return sessions;
        }
    }
}
