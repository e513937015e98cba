use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::revocation::{ALLOWANCE, Revocation, Revoked};
use sidegate::domain::session::{Epochs, Session};
use sidegate::store::{Cursor, PAGE};

use super::super::bench::{Bench, START};
use super::super::samples::{IDLE, LONGEST, ended, new_session, session_id, stored, subject, swap};

const TTL: Duration = Duration::from_mins(10);

pub async fn ending_a_session_deletes_it_and_records_it(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    assert!(bench.store.end_session(session.id).await.unwrap());
    assert_eq!(bench.store.session(session.id).await.unwrap(), None);
    assert_eq!(bench.store.swap(&swap(&session)).await.unwrap(), None);
    assert_eq!(revoked(bench).await, [Revoked::Session(session.id)]);
}

pub async fn ending_a_session_twice_records_it_once(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    assert!(bench.store.end_session(session.id).await.unwrap());
    assert!(!bench.store.end_session(session.id).await.unwrap());
    assert_eq!(revoked(bench).await, [Revoked::Session(session.id)]);
}

pub async fn ending_a_subject_moves_its_counter_only(bench: &Bench) {
    let store = &bench.store;
    assert_eq!(store.end_subject(&subject("ann")).await.unwrap(), 1);
    assert_eq!(store.end_subject(&subject("ann")).await.unwrap(), 2);
    assert_eq!(store.epochs(&subject("ann")).await.unwrap(), Epochs { realm: 0, subject: 2 });
    assert_eq!(store.epochs(&subject("bob")).await.unwrap(), Epochs::default());
    assert_eq!(revoked(bench).await, [1, 2].map(|epoch| Revoked::SubjectBelow(subject("ann"), epoch)));
    let bumps = join_all((0..20).map(|_| async { store.end_subject(&subject("ann")).await.unwrap() }));
    let mut values = bumps.await;
    values.sort_unstable();
    assert_eq!(values, (3..23).collect::<Vec<_>>());
}

pub async fn ending_the_others_lets_one_session_go_on(bench: &Bench) {
    let store = &bench.store;
    let own = stored(&**store, &new_session(1, "ann")).await;
    let other = stored(&**store, &new_session(2, "ann")).await;
    assert_eq!(store.end_others(&own.subject, own.id).await.unwrap(), 1);
    let carried = Session { epochs: Epochs { subject: 1, ..own.epochs }, ..own.clone() };
    assert_eq!(store.sessions_of(&own.subject).await.unwrap(), [carried]);
    assert_eq!(store.swap(&swap(&other)).await.unwrap(), None);
    let own = store.swap(&swap(&own)).await.unwrap().expect("its refresh token is as good as before").session;
    assert_eq!(own.epochs.subject, 1);
    assert_eq!(revoked(bench).await, [Revoked::SubjectBelow(subject("ann"), 1)]);
}

pub async fn a_session_that_had_ended_does_not_go_on(bench: &Bench) {
    let store = &bench.store;
    let [ours, theirs] =
        [stored(&**store, &new_session(1, "ann")).await, stored(&**store, &new_session(2, "bob")).await];
    assert_eq!(store.end_others(&ours.subject, theirs.id).await.unwrap(), 1, "nobody else's goes on");
    assert_eq!(store.end_others(&ours.subject, ours.id).await.unwrap(), 2, "nor one that had ended");
    assert_eq!(store.end_others(&ours.subject, session_id(3)).await.unwrap(), 3, "nor one that never was");
    assert_eq!(store.sessions_of(&ours.subject).await.unwrap(), []);
    assert_eq!(store.sessions_of(&theirs.subject).await.unwrap(), std::slice::from_ref(&theirs));
    assert_eq!(store.end_realm().await.unwrap(), 1);
    assert_eq!(store.end_others(&theirs.subject, theirs.id).await.unwrap(), 1);
    assert_eq!(store.sessions_of(&theirs.subject).await.unwrap(), [], "the realm's end is not undone");
}

pub async fn a_session_that_ends_the_others_again_and_again_goes_on_through_its_swaps(bench: &Bench) {
    let (store, other) = (&bench.store, bench.open("default").await);
    let mut own = stored(&**store, &new_session(1, "ann")).await;
    let subject = own.subject.clone();
    let (mut swaps, most) = (0, 40);
    let ends = join_all((0..most).map(|n| {
        let store = if n % 2 == 0 { store } else { &other };
        let (subject, id) = (&subject, own.id);
        async move { store.end_others(subject, id).await.unwrap() }
    }));
    let turning = async {
        while swaps < 40 {
            // A swap that has met an end is asked again, as a refresh does.
            if let Some(swapped) = store.swap(&swap(&own)).await.unwrap() {
                own = swapped.session;
                swaps += 1;
            }
        }
    };
    let (mut values, ()) = futures_util::join!(ends, turning);
    values.sort_unstable();
    assert_eq!(values, (1..=most).collect::<Vec<_>>());
    let living = store.sessions_of(&subject).await.unwrap();
    assert_eq!(
        living.iter().map(|session| (session.generation, session.epochs.subject)).collect::<Vec<_>>(),
        [(40, most)]
    );
}

pub async fn ending_the_realm_moves_the_counter_of_all(bench: &Bench) {
    let store = &bench.store;
    assert_eq!(store.end_realm().await.unwrap(), 1);
    assert_eq!(store.end_realm().await.unwrap(), 2);
    assert_eq!(store.epochs(&subject("ann")).await.unwrap(), Epochs { realm: 2, subject: 0 });
    assert_eq!(revoked(bench).await, [1, 2].map(Revoked::RealmBelow));
    assert_eq!(store.revocations(None).await.unwrap().realm_epoch, 2);
    let nobody_joined = bench.open("never joined").await;
    assert_eq!(nobody_joined.end_realm().await.unwrap(), 1);
    assert_eq!(nobody_joined.join(TTL).await.unwrap().epoch, 1);
}

pub async fn a_revocation_is_kept_for_the_longest_token_and_the_allowance(bench: &Bench) {
    ended(&*bench.store, 1).await;
    let until = bench.now().plus(TTL).plus(ALLOWANCE);
    let page = bench.store.revocations(None).await.unwrap();
    assert_eq!(page.revocations, [Revocation { revoked: Revoked::Session(session_id(1)), until }]);
    assert_eq!((page.realm_epoch, page.now), (0, bench.now()));
}

pub async fn a_page_continues_where_the_last_one_ended(bench: &Bench) {
    let store = &bench.store;
    let empty = store.revocations(None).await.unwrap();
    assert_eq!(empty.revocations, []);
    let still_empty = store.revocations(Some(&empty.cursor)).await.unwrap();
    assert_eq!(still_empty.revocations, []);
    ended(&**store, 1).await;
    store.end_subject(&subject("ann")).await.unwrap();
    let first = store.revocations(Some(&still_empty.cursor)).await.unwrap();
    assert_eq!(first.revocations.len(), 2);
    assert_eq!(store.revocations(Some(&empty.cursor)).await.unwrap().revocations, first.revocations);
    assert_eq!(store.revocations(Some(&first.cursor)).await.unwrap().revocations, []);
    store.end_realm().await.unwrap();
    let second = store.revocations(Some(&first.cursor)).await.unwrap();
    assert_eq!(second.revocations.len(), 1);
    assert_eq!((second.revocations[0].revoked.clone(), second.realm_epoch), (Revoked::RealmBelow(1), 1));
    assert_eq!(store.revocations(None).await.unwrap().revocations.len(), 3);
    // Purging the newest rows does not make a reader miss the next one.
    bench.advance(Duration::from_hours(24)).await;
    store.purge(Duration::ZERO, 100).await.unwrap();
    ended(&**store, 2).await;
    assert_eq!(store.revocations(Some(&second.cursor)).await.unwrap().revocations.len(), 1);
}

pub async fn a_first_page_has_no_revocations_that_are_over(bench: &Bench) {
    let before = bench.store.revocations(None).await.unwrap();
    ended(&*bench.store, 1).await;
    let until = bench.now().plus(TTL).plus(ALLOWANCE).as_millis();
    bench.set_time(until - 1).await;
    assert_eq!(revoked(bench).await.len(), 1);
    bench.set_time(until).await;
    assert_eq!(revoked(bench).await, []);
    let later = bench.store.revocations(Some(&before.cursor)).await.unwrap();
    assert_eq!(later.revocations.len(), 1, "a reader that was away gets what it missed");
}

pub async fn a_cursor_that_makes_no_sense_starts_over(bench: &Bench) {
    ended(&*bench.store, 1).await;
    let long = "9".repeat(100_000);
    for bad in
        ["", "x", "-1", "9".repeat(30).as_str(), &long, "'; DROP TABLE revocation; --", "1/2:1:", "\0", "99999999"]
    {
        let page = bench.store.revocations(Some(&Cursor(bad.into()))).await.unwrap();
        assert_eq!(page.revocations.len(), 1, "{bad:.40}");
        assert_eq!(bench.store.revocations(Some(&page.cursor)).await.unwrap().revocations, []);
    }
}

pub async fn concurrent_revocations_are_all_delivered(bench: &Bench) {
    let (store, other) = (&bench.store, bench.open("default").await);
    let ends = join_all((0..200).map(|n| {
        let store = if n % 2 == 0 { store } else { &other };
        async move { ended(&**store, n).await }
    }));
    let follow = async {
        let mut page = store.revocations(None).await.unwrap();
        let mut seen = page.revocations;
        while seen.len() < 200 {
            page = store.revocations(Some(&page.cursor)).await.unwrap();
            seen.extend(page.revocations);
            tokio::task::yield_now().await;
        }
        (seen, page.cursor)
    };
    let (_, (seen, cursor)) = tokio::join!(ends, follow);
    for n in 0..200 {
        let revoked = Revoked::Session(session_id(n));
        assert_eq!(seen.iter().filter(|revocation| revocation.revoked == revoked).count(), 1, "{n}");
    }
    assert_eq!(store.revocations(Some(&cursor)).await.unwrap().revocations, []);
}

pub async fn many_revocations_come_in_pieces_and_none_is_missing(bench: &Bench) {
    let store = &bench.store;
    ended(&**store, 1).await;
    let begun = store.revocations(None).await.unwrap();
    let many = u64::from(PAGE) * 2 + 1;
    let until = bench.now().plus(TTL).as_millis();
    bench
        .tamper(&format!(
            "INSERT INTO {{schema}}revocation (realm, kind, subject, epoch, until)
            WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {many})
            SELECT 'default', 'subject', 's' || i, 1, {until} FROM n"
        ))
        .await;
    for (cursor, expected) in [(None, many + 1), (Some(begun.cursor), many)] {
        let (mut cursor, mut seen, mut pages) = (cursor, Vec::new(), 0);
        loop {
            let page = store.revocations(cursor.as_ref()).await.unwrap();
            pages += 1;
            assert!(page.revocations.len() <= PAGE as usize);
            assert_eq!(page.more, pages < 3);
            seen.extend(page.revocations);
            cursor = Some(page.cursor);
            if !page.more {
                break;
            }
            // What comes while somebody reads is read as well, now or later.
            ended(&**store, 100 + pages + u32::try_from(expected % 2).unwrap() * 10).await;
        }
        seen.extend(store.revocations(cursor.as_ref()).await.unwrap().revocations);
        let different: HashSet<String> = seen.iter().map(|revocation| format!("{:?}", revocation.revoked)).collect();
        assert!(different.len() as u64 >= expected + 2, "{} of {expected}", different.len());
        assert!(different.contains(&format!("{:?}", Revoked::SubjectBelow(subject(&format!("s{many}")), 1))));
    }
}

pub async fn purging_deletes_what_is_long_over_and_nothing_else(bench: &Bench) {
    let store = &bench.store;
    let session = stored(&**store, &new_session(1, "ann")).await;
    ended(&**store, 9).await;
    let keep = Duration::from_hours(1);
    // Over, but not for long enough.
    bench.set_time(session.absolute_end.as_millis() + 3_600_000).await;
    assert_eq!(store.purge(keep, 100).await.unwrap(), 1, "the revocation, which ended earlier");
    assert!(store.session(session.id).await.unwrap().is_some());
    bench.advance(Duration::from_millis(1)).await;
    assert_eq!(store.purge(keep, 100).await.unwrap(), 1);
    assert_eq!(store.session(session.id).await.unwrap(), None);
    assert_eq!(store.purge(keep, 100).await.unwrap(), 0);

    // A session that is idle or whose epoch is over stays until its absolute end: a late token is still recognised.
    let epochs = store.epochs(&subject("ann")).await.unwrap();
    let session = stored(&**store, &sidegate::store::NewSession { epochs, ..new_session(2, "ann") }).await;
    store.end_subject(&subject("ann")).await.unwrap();
    bench.advance(IDLE * 2).await;
    assert_eq!(store.purge(Duration::ZERO, 100).await.unwrap(), 0);
    assert!(store.session(session.id).await.unwrap().is_some());
}

pub async fn purging_takes_small_bites(bench: &Bench) {
    let store = &bench.store;
    for n in 0..5 {
        bench.set_time(START + i64::from(n)).await;
        stored(&**store, &new_session(10 - n, "ann")).await;
        ended(&**store, 100 + n).await;
    }
    bench.advance(LONGEST * 10).await;
    assert_eq!(store.purge(Duration::ZERO, 2).await.unwrap(), 4);
    assert_eq!(store.session(session_id(10)).await.unwrap(), None, "the one that ended first");
    assert!(store.session(session_id(6)).await.unwrap().is_some());
    assert_eq!(store.purge(Duration::ZERO, 2).await.unwrap(), 4);
    assert_eq!(store.purge(Duration::ZERO, 2).await.unwrap(), 2);
    assert_eq!(store.purge(Duration::ZERO, 2).await.unwrap(), 0);
    assert_eq!(store.purge(Duration::ZERO, 0).await.unwrap(), 0);
}

async fn revoked(bench: &Bench) -> Vec<Revoked> {
    let page = bench.store.revocations(None).await.unwrap();
    page.revocations.into_iter().map(|revocation| revocation.revoked).collect()
}
