//! The invariants on the real authority, over every store and both answers to a retry.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, LazyLock};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sidegate::authority::jose;
use sidegate::clock::SharedClock;
use sidegate::domain::rotation::{LateElsewhere, OnRetry, RotationPolicy};
use sidegate::store::Store;
use tokio::runtime::Runtime;

use super::history::{Turn, histories};
use super::system::{PASSWORDS, Real};
use super::tap::Tap;
use super::world::{Counts, Played, Time, World};
use crate::store::bench::{Bench, ManualClock, START};
use crate::store::model::Model;

#[test]
fn every_invariant_holds_over_the_model_when_retries_are_refused() {
    on_the_model(&refuse(), 750);
}

#[test]
fn every_invariant_holds_over_the_model_when_retries_are_repeated() {
    on_the_model(&repeat(), 750);
}

#[test]
fn every_invariant_holds_over_the_model_when_strangers_may_be_late() {
    let policy = RotationPolicy { late_elsewhere: LateElsewhere::Keep, ..repeat() };
    let counts = play_on_the_model(&policy, 200);
    assert_eq!(counts.get("reuse from elsewhere"), None);
}

/// I15.
#[test]
fn sqlite_behaves_like_the_model_and_breaks_no_invariant() {
    on_a_store(Bench::sqlite(), 125);
}

/// I15.
#[test]
fn postgres_behaves_like_the_model_and_breaks_no_invariant() {
    on_a_store(Bench::postgres(), 30);
}

pub fn refuse() -> RotationPolicy {
    RotationPolicy::default()
}

pub fn repeat() -> RotationPolicy {
    RotationPolicy { on_retry: OnRetry::Repeat, ..RotationPolicy::default() }
}

/// The same histories each time.
pub fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 800, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

pub fn runtime() -> Runtime {
    // Hashing needs a runtime of its own.
    LazyLock::force(&PASSWORDS);
    jose::install();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A history that violates nothing.
pub fn nothing_violated(played: &Played) -> Result<(), TestCaseError> {
    let Some(first) = played.violations.first() else { return Ok(()) };
    Err(TestCaseError::fail(format!("{}: {}\n{}", first.invariant, first.what, played.story)))
}

pub fn add(counts: &mut Counts, more: &Counts) {
    for (what, count) in more {
        *counts.entry(what).or_default() += count;
    }
}

/// Plays a history on the real authority over the model.
pub async fn real_on_the_model(policy: &RotationPolicy, turns: &[Turn]) -> Played {
    let clock = ManualClock::new(START);
    let tap = Tap::new(Model::new(clock.clone()));
    let store: Arc<dyn Store> = tap.clone();
    let shared: SharedClock = clock.clone();
    let real = Real::new("default", &store, &shared, policy);
    World::new(real, tap, Time::Alone(clock), "default", policy).await.play(turns).await
}

fn play_on_the_model(policy: &RotationPolicy, cases: u32) -> Counts {
    let runtime = runtime();
    let counts = RefCell::new(Counts::new());
    let played = runner(cases).run(&histories(), |turns| {
        let played = runtime.block_on(real_on_the_model(policy, &turns));
        add(&mut counts.borrow_mut(), &played.counts);
        nothing_violated(&played)
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
    let counts = counts.into_inner();
    println!("{counts:#?}");
    counts
}

/// Whatever is interesting must have happened, or the run shows nothing.
fn on_the_model(policy: &RotationPolicy, cases: u32) {
    let counts = play_on_the_model(policy, cases);
    for (what, least) in OFTEN {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= *least, "{what}: {count} times");
    }
}

const OFTEN: &[(&str, usize)] = &[
    ("login", 2000),
    ("rotated", 3000),
    ("repeated", 700),
    ("mine", 80),
    ("live, swapped again", 60),
    ("late", 400),
    ("reuse unconfirmed", 100),
    ("reuse confirmed", 40),
    ("reuse from elsewhere", 100),
    ("a thief was given a token", 400),
    ("ended", 1000),
    ("expired", 300),
    ("unavailable", 100),
    ("logout", 300),
    ("logout with an old token", 60),
    ("logout everywhere", 100),
    ("a password change", 100),
    ("the end of everybody", 40),
    ("a login too many", 200),
    ("forged, foreign or ahead", 300),
    ("stopped before the swap", 300),
    ("stopped after the swap", 300),
    ("stopped after the read", 200),
];

fn on_a_store(bench: impl Future<Output = Bench>, cases: u32) {
    let runtime = runtime();
    let bench = runtime.block_on(bench);
    let realms = Cell::new(0);
    for policy in [refuse(), repeat()] {
        let counts = RefCell::new(Counts::new());
        let played = runner(cases).run(&histories(), |turns| {
            realms.set(realms.get() + 1);
            let realm = format!("realm-{}", realms.get());
            let (real, model) = runtime.block_on(async {
                bench.set_time(START).await;
                let tap = Tap::new(bench.open(&realm).await);
                let store: Arc<dyn Store> = tap.clone();
                let real = Real::new(&realm, &store, &bench.clock(), &policy);
                let real = World::new(real, tap, Time::Bench(&bench), &realm, &policy).await.play(&turns).await;
                (real, real_on_the_model(&policy, &turns).await)
            });
            add(&mut counts.borrow_mut(), &real.counts);
            nothing_violated(&real)?;
            let difference = real.trace.iter().zip(&model.trace).find(|(real, model)| real != model);
            if real.trace.len() == model.trace.len() && difference.is_none() {
                return Ok(());
            }
            Err(TestCaseError::fail(format!("I15: here and on the model: {difference:#?}\n{}", real.story)))
        });
        played.unwrap_or_else(|failure| panic!("{failure}"));
        println!("{:?}: {:#?}", policy.on_retry, counts.into_inner());
    }
}
