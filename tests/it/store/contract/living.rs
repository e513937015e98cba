use std::time::Duration;

use sidegate::domain::revocation::Revoked;
use sidegate::domain::session::SessionId;
use sidegate::store::{NewSession, SessionPage, Store};

use super::super::bench::Bench;
use super::super::samples::{IDLE, LONGEST, new_session, session_id, stored, subject};

pub async fn the_living_sessions_of_everybody_come_in_pages(bench: &Bench) {
    let store = &*bench.store;
    let other = bench.open("other").await;
    for (n, of) in [(3, "ann"), (1, "bob"), (4, "ann"), (2, "Zoë"), (0, "ann")] {
        stored(store, &new_session(n, of)).await;
        stored(&*other, &new_session(100 + n, of)).await;
    }
    let whole = store.living_sessions(None, 100).await.unwrap();
    assert_eq!(whole.next, None);
    assert_eq!(whole.sessions[3], store.session(session_id(3)).await.unwrap().unwrap().session);
    for most in 1..12 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.living_sessions(after, most).await.unwrap();
            assert!(page.sessions.len() <= most as usize);
            assert!(page.next.is_none_or(|next| Some(next) > after), "it goes on");
            seen.extend(page.sessions.iter().map(|session| session.id));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4].map(session_id), "in pages of {most}");
    }
    // It need not be there any more.
    store.end_session(session_id(2)).await.unwrap();
    assert_eq!(ids(store, Some(session_id(2))).await, [3, 4].map(session_id));
    assert_eq!(store.living_sessions(None, 0).await.unwrap(), SessionPage { sessions: Vec::new(), next: None });
    assert_eq!(ids(store, Some(SessionId::from_bytes([0xff; 16]))).await, []);
}

pub async fn sessions_that_are_over_are_on_no_page(bench: &Bench) {
    let store = &*bench.store;
    let brief = stored(store, &NewSession { idle_ttl: IDLE / 2, ..new_session(0, "ann") }).await;
    for (n, of) in [(1, "ann"), (2, "bob"), (3, "Zoë")] {
        stored(store, &new_session(n, of)).await;
    }
    bench.set_time(brief.idle_end.as_millis() - 1).await;
    assert_eq!(ids(store, None).await.len(), 4);
    bench.set_time(brief.idle_end.as_millis()).await;
    assert_eq!(ids(store, None).await, [1, 2, 3].map(session_id));
    store.end_session(session_id(2)).await.unwrap();
    store.end_subject(&subject("ann")).await.unwrap();
    assert_eq!(ids(store, None).await, [session_id(3)]);
    store.end_realm().await.unwrap();
    assert_eq!(ids(store, None).await, []);
    let page = store.living_sessions(None, 2).await.unwrap();
    assert_eq!((page.sessions.len(), page.next), (0, Some(session_id(1))), "a page without any is not the last");
}

pub async fn many_sessions_end_at_once_with_a_revocation_each(bench: &Bench) {
    let store = &*bench.store;
    for n in 0..300 {
        stored(store, &NewSession { most: 1000, ..new_session(n, "ann") }).await;
    }
    let chosen: Vec<SessionId> = (0..300).filter(|n| n % 3 != 0).map(session_id).collect();
    // One is gone already, one has never been, and one is named twice.
    store.end_session(session_id(1)).await.unwrap();
    let named = [chosen.as_slice(), &[session_id(999), session_id(2)]].concat();
    assert_eq!(store.end_sessions(&named).await.unwrap(), 199);
    assert_eq!(store.end_sessions(&named).await.unwrap(), 0);
    assert_eq!(store.end_sessions(&[]).await.unwrap(), 0);
    assert_eq!(ids(store, None).await, (0..100).map(|n| session_id(n * 3)).collect::<Vec<_>>());
    let page = store.revocations(None).await.unwrap();
    let mut revoked: Vec<_> = page.revocations.iter().map(|revocation| revocation.revoked.clone()).collect();
    assert_eq!(revoked.len(), 200);
    revoked.retain(|revoked| chosen.iter().any(|id| *revoked == Revoked::Session(*id)));
    assert_eq!(revoked.len(), 200);
    bench.advance(LONGEST + Duration::from_hours(2)).await;
    assert_eq!(store.revocations(None).await.unwrap().revocations, [], "they end like every other");
}

pub async fn nobody_elses_sessions_are_seen_or_ended(bench: &Bench) {
    let theirs = bench.open("other").await;
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    assert_eq!(ids(&*theirs, None).await, []);
    assert_eq!(theirs.end_sessions(&[session.id]).await.unwrap(), 0);
    assert_eq!(ids(&*bench.store, None).await, [session.id]);
    assert_eq!(theirs.revocations(None).await.unwrap().revocations, []);
}

async fn ids(store: &dyn Store, after: Option<SessionId>) -> Vec<SessionId> {
    store.living_sessions(after, 1000).await.unwrap().sessions.iter().map(|session| session.id).collect()
}
