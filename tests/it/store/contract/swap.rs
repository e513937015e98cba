use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::session::{IdempotencyMac, RecentRotation, RecentRotations, Session, TokenHash};
use sidegate::store::Swap;

use super::super::bench::Bench;
use super::super::samples::{IDLE, WINDOW, hash, new_session, origin, session_id, stored, subject, swap};

pub async fn a_swap_turns_the_ratchet_once(bench: &Bench) {
    let before = stored(&*bench.store, &new_session(1, "ann")).await;
    bench.advance(Duration::from_secs(7)).await;
    let turn = Swap { key: Some(IdempotencyMac([7; 16])), ..swap(&before) };
    let advanced = bench.store.swap(&turn).await.unwrap().unwrap();
    let entry = RecentRotation { generation: 0, at: bench.now(), key: turn.key };
    let expected = Session {
        generation: 1,
        hash: hash(1, 1),
        salt: Some(turn.salt),
        recent: RecentRotations::default().after(entry, before.rotated, bench.now().minus(WINDOW)),
        rotated: bench.now(),
        idle_end: bench.now().plus(IDLE),
        last_from: origin(2),
        ..before
    };
    assert_eq!((&advanced.session, advanced.now), (&expected, bench.now()));
    assert_eq!(bench.store.session(before.id).await.unwrap().unwrap().session, expected);
    assert_eq!(bench.store.swap(&turn).await.unwrap(), None, "the presented token is not the live one any more");
}

pub async fn a_swap_that_matches_no_row_changes_nothing(bench: &Bench) {
    let first = stored(&*bench.store, &new_session(1, "ann")).await;
    let session = bench.store.swap(&swap(&first)).await.unwrap().unwrap().session;
    let right = swap(&session);
    let mut almost = session.hash;
    almost.0[31] ^= 1;
    let wrong = [
        Swap { session: session_id(2), ..right.clone() },
        Swap { client: "App".into(), ..right.clone() },
        Swap { client: String::new(), ..right.clone() },
        Swap { generation: 0, ..right.clone() },
        Swap { generation: 2, ..right.clone() },
        Swap { generation: u32::MAX, ..right.clone() },
        Swap { row_hash: first.hash, ..right.clone() },
        Swap { row_hash: almost, ..right.clone() },
        Swap { row_hash: TokenHash([0; 32]), ..right.clone() },
    ];
    for wrong in wrong {
        assert_eq!(bench.store.swap(&wrong).await.unwrap(), None, "{wrong:?}");
    }
    assert_eq!(bench.store.session(session.id).await.unwrap().unwrap().session, session);
    assert!(bench.store.swap(&right).await.unwrap().is_some());
}

pub async fn a_swap_is_refused_from_the_very_moment_of_an_end(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    bench.set_time(session.idle_end.as_millis()).await;
    assert_eq!(bench.store.swap(&swap(&session)).await.unwrap(), None);
    bench.set_time(session.idle_end.as_millis() - 1).await;
    let long = Swap { idle_ttl: Duration::from_secs(5000), ..swap(&session) };
    let session = bench.store.swap(&long).await.unwrap().unwrap().session;
    bench.set_time(session.absolute_end.as_millis()).await;
    assert_eq!(bench.store.swap(&swap(&session)).await.unwrap(), None);
    bench.set_time(session.absolute_end.as_millis() - 1).await;
    assert!(bench.store.swap(&swap(&session)).await.unwrap().is_some());
}

pub async fn a_swap_is_refused_once_a_counter_has_moved(bench: &Bench) {
    let store = &bench.store;
    let ann = stored(&**store, &new_session(1, "ann")).await;
    let bob = stored(&**store, &new_session(2, "bob")).await;
    store.end_subject(&subject("ann")).await.unwrap();
    assert_eq!(store.swap(&swap(&ann)).await.unwrap(), None);
    let state = store.session(ann.id).await.unwrap().unwrap();
    assert_eq!((&state.session, state.current.subject), (&ann, 1));
    let bob = store.swap(&swap(&bob)).await.unwrap().unwrap().session;
    store.end_realm().await.unwrap();
    assert_eq!(store.swap(&swap(&bob)).await.unwrap(), None);
    assert_eq!(store.session(bob.id).await.unwrap().unwrap().current.realm, 1);
}

pub async fn of_a_hundred_concurrent_swaps_one_succeeds(bench: &Bench) {
    let other = bench.open("default").await;
    let stores = [&bench.store, &other];
    let mut session = stored(&*bench.store, &new_session(1, "ann")).await;
    for round in 1..=3 {
        let turns: Vec<_> = (0..100).map(|n| Swap { successor: hash(n, round), ..swap(&session) }).collect();
        let swaps = join_all(turns.iter().enumerate().map(|(n, turn)| stores[n % 2].swap(turn))).await;
        let mut winners: Vec<_> = swaps.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(winners.len(), 1);
        session = winners.remove(0).session;
        assert_eq!(session.generation, round);
        assert_eq!(bench.store.session(session.id).await.unwrap().unwrap().session, session);
    }
}

pub async fn recent_rotations_are_exactly_the_domains(bench: &Bench) {
    let mut session = stored(&*bench.store, &new_session(1, "ann")).await;
    // Around the window's edge, in one millisecond, backwards, and often enough to fill the column twice.
    let steps = [0, 1, 59_999, 60_000, 60_001, 0, -5000, 60_001, 120_000].into_iter().chain([10; 40]);
    for (n, step) in (0_u8..).zip(steps) {
        bench.set_time(bench.now().as_millis() + step).await;
        let key = (n % 3 > 0).then(|| IdempotencyMac([n % 3 - 1, n, 0, 0, n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]));
        let turn = Swap { key, idle_ttl: Duration::from_hours(1), ..swap(&session) };
        let entry = RecentRotation { generation: session.generation, at: bench.now(), key };
        let expected = session.recent.after(entry, session.rotated, bench.now().minus(WINDOW));
        session = bench.store.swap(&turn).await.unwrap().unwrap().session;
        assert_eq!(session.recent, expected, "after step {n} of {step} ms");
        let read = bench.store.session(session.id).await.unwrap().unwrap().session;
        assert_eq!(read.recent.encode(), expected.encode());
    }
    assert_eq!(session.recent.iter().count(), RecentRotations::MOST);
}

pub async fn generations_beyond_two_to_the_thirty_one_are_kept_right(bench: &Bench) {
    let mut session = stored(&*bench.store, &new_session(1, "ann")).await;
    for generation in [0x7fff_ffff, 0x8000_0000, 0xffff_fffe] {
        bench.tamper(&format!("UPDATE {{schema}}session SET generation = {generation}")).await;
        session.generation = generation;
        session = bench.store.swap(&swap(&session)).await.unwrap().unwrap().session;
        assert_eq!(session.generation, generation + 1);
        assert!(session.recent.of_generation(generation).is_some());
    }
    assert_eq!(session.generation, u32::MAX);
    assert_eq!(bench.store.swap(&swap(&session)).await.unwrap(), None, "there is no generation after the last");
    assert_eq!(bench.store.session(session.id).await.unwrap().unwrap().session, session);
}

pub async fn a_client_that_could_not_be_stored_matches_nothing(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    let turn = Swap { client: "app\0".into(), ..swap(&session) };
    assert_eq!(bench.store.swap(&turn).await.unwrap(), None);
}
