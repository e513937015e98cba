use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::history::{Mark, Rollback};
use sidegate::domain::revocation::{Revocation, Revoked};
use sidegate::domain::session::Epochs;

use sidegate::store::{Loss, Replica, ReplicaId};

use super::super::bench::Bench;
use super::super::samples::{new_session, session_id, stored, subject, swap};

const EVERY: Duration = Duration::from_secs(5);

pub async fn of_all_replicas_one_writes_each_beat(bench: &Bench) {
    let (store, other) = (&bench.store, bench.open("default").await);
    let before = mark(bench).await;
    assert_eq!((before.beat, before.beaten), (0, bench.now()));
    for round in 1..4 {
        assert_eq!(store.beat(EVERY).await.unwrap(), None, "it is not due");
        bench.advance(EVERY).await;
        let beats = join_all((0..8).map(|n| if n % 2 == 0 { store.beat(EVERY) } else { other.beat(EVERY) })).await;
        let written: Vec<u64> = beats.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(written, [round]);
        let mark = mark(bench).await;
        assert_eq!((mark.beat, mark.beaten, mark.rollback), (round, bench.now(), None));
    }
    // A clock that was set back must not keep everybody from it until it has caught up.
    bench.set_time(bench.now().as_millis() - 3_600_000).await;
    assert_eq!(store.beat(EVERY).await.unwrap(), Some(4));
}

pub async fn questions_are_counted(bench: &Bench) {
    assert_eq!(bench.store.revocations(None).await.unwrap().asked, 0);
    let asked = join_all((0..10).map(|_| bench.store.ask())).await;
    let mut asked: Vec<u64> = asked.into_iter().map(Result::unwrap).collect();
    asked.sort_unstable();
    assert_eq!(asked, (1..11).collect::<Vec<_>>());
    assert_eq!(bench.store.revocations(None).await.unwrap().asked, 10);
    let elsewhere = bench.open("elsewhere").await;
    assert_eq!(elsewhere.ask().await.unwrap(), 1);
}

pub async fn a_loss_is_recorded_once_and_told_with_pages_and_sessions(bench: &Bench) {
    let store = &bench.store;
    stored(&**store, &new_session(1, "ann")).await;
    let read = mark(bench).await;
    bench.advance(EVERY).await;
    let loss = |id| Loss { id, mark: read.clone(), seen: 7, live: EVERY };
    let losses: Vec<Loss> = (1..9).map(loss).collect();
    let noted = join_all(losses.iter().map(|loss| store.note_rollback(loss))).await;
    assert_eq!(noted.into_iter().filter(|noted| *noted.as_ref().unwrap()).count(), 1);
    let page = store.revocations(None).await.unwrap();
    let rollback = page.mark.rollback.unwrap();
    let expected = Rollback { id: rollback.id, since: read.beaten, noticed: bench.now(), asked: page.asked };
    assert_eq!(rollback, expected);
    assert!((1..9).contains(&rollback.id));
    assert!(page.mark.beat >= 1000 && page.asked >= 1000, "nobody who saw a few more takes them for less");
    assert!(!page.mark.has_gone_back(page.mark.beat));
    assert_eq!(store.session(session_id(1)).await.unwrap().unwrap().rollback, Some(rollback));
    assert!(!store.note_rollback(&loss(9)).await.unwrap(), "that was read before");
}

pub async fn whoever_was_there_before_a_loss_counts_as_there(bench: &Bench) {
    let store = &bench.store;
    let replica = |n: u8| Replica { id: ReplicaId([n; 16]), name: String::new(), secrets: Vec::new(), heard: 0 };
    store.report(&replica(1)).await.unwrap();
    bench.advance(EVERY * 2).await;
    store.beat(EVERY).await.unwrap();
    store.report(&replica(2)).await.unwrap();
    bench.advance(EVERY * 1000).await;
    let loss = Loss { id: 1, mark: mark(bench).await, seen: 7, live: EVERY };
    assert!(store.note_rollback(&loss).await.unwrap());
    assert_eq!(store.replicas(EVERY).await.unwrap(), [replica(2)], "the other had gone before");
}

pub async fn what_was_lost_is_ended_again_and_counted(bench: &Bench) {
    let store = &bench.store;
    let until = bench.now().plus(EVERY);
    let held = |revoked| Revocation { revoked, until };
    let lost = stored(&**store, &new_session(1, "ann")).await;
    let spared = stored(&**store, &new_session(2, "bob")).await;
    let all = [
        held(Revoked::Session(lost.id)),
        held(Revoked::Session(session_id(99))),
        held(Revoked::SubjectBelow(subject("carl"), 3)),
        held(Revoked::RealmBelow(0)),
    ];
    assert_eq!(store.restore(&all).await.unwrap(), 3);
    assert_eq!(store.session(lost.id).await.unwrap(), None);
    assert_eq!(store.epochs(&subject("carl")).await.unwrap(), Epochs { realm: 0, subject: 3 });
    assert!(store.swap(&swap(&spared)).await.unwrap().is_some());
    assert_eq!(store.revocations(None).await.unwrap().revocations, all[..3]);

    assert_eq!(store.restore(&all).await.unwrap(), 0, "nothing is missing any more");
    assert_eq!(store.revocations(None).await.unwrap().revocations, all[..3]);
    assert_eq!(store.restore(&[held(Revoked::SubjectBelow(subject("carl"), 2))]).await.unwrap(), 0);
    assert_eq!(store.epochs(&subject("carl")).await.unwrap().subject, 3, "nothing is weakened");
    assert_eq!(store.restore(&[held(Revoked::RealmBelow(4))]).await.unwrap(), 1);
    assert_eq!(store.epochs(&subject("bob")).await.unwrap().realm, 4);
    assert_eq!(store.restore(&[]).await.unwrap(), 0);
}

pub async fn many_who_restore_at_once_restore_everything(bench: &Bench) {
    let store = &bench.store;
    let held: Vec<Revocation> = (0..50)
        .map(|n| Revocation { revoked: Revoked::Session(session_id(n)), until: bench.now().plus(EVERY) })
        .collect();
    for restored in join_all((0..6).map(|_| store.restore(&held))).await {
        assert!(restored.unwrap() <= 50);
    }
    let page = store.revocations(None).await.unwrap();
    for revocation in &held {
        assert!(page.revocations.contains(revocation));
    }
}

pub async fn a_swap_can_make_up_for_lost_turns(bench: &Bench) {
    let store = &bench.store;
    let session = stored(&**store, &new_session(1, "ann")).await;
    let turn = sidegate::store::Swap { generation: 2, behind: 2, ..swap(&session) };
    assert_eq!(store.swap(&sidegate::store::Swap { behind: 1, ..turn.clone() }).await.unwrap(), None);
    let advanced = store.swap(&turn).await.unwrap().unwrap().session;
    assert_eq!((advanced.generation, advanced.hash), (3, turn.successor));
    assert!(advanced.recent.of_generation(2).is_some());
    assert_eq!(store.swap(&turn).await.unwrap(), None, "once");
}

async fn mark(bench: &Bench) -> Mark {
    bench.store.revocations(None).await.unwrap().mark
}
