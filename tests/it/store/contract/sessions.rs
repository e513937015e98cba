use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::session::{Epochs, Origin, RecentRotations, Session};
use sidegate::domain::time::Timestamp;
use sidegate::store::{Created, NewSession, StoreError};

use super::super::bench::{Bench, START};
use super::super::samples::{
    IDLE, LONGEST, claims, hash, name, new_session, origin, sealed_jar, session_id, stored, subject, swap, user,
    user_named,
};

pub async fn a_session_comes_back_as_it_was_stored(bench: &Bench) {
    let stored = stored(&*bench.store, &new_session(1, "ann")).await;
    let expected = Session {
        id: session_id(1),
        subject: subject("ann"),
        client: "app".into(),
        generation: 0,
        hash: hash(1, 0),
        salt: None,
        recent: RecentRotations::default(),
        epochs: Epochs::default(),
        created: bench.now(),
        rotated: bench.now(),
        idle_end: bench.now().plus(IDLE),
        absolute_end: bench.now().plus(LONGEST),
        login_from: origin(1),
        last_from: origin(1),
        claims: claims(),
        label: Some("phone".into()),
        vault: Some(sealed_jar(1, 1)),
    };
    assert_eq!(stored, expected);
    bench.advance(Duration::from_secs(5)).await;
    let state = bench.store.session(session_id(1)).await.unwrap().unwrap();
    assert_eq!((state.session, state.current, state.now), (expected, Epochs::default(), bench.now()));
    assert_eq!(bench.store.session(session_id(2)).await.unwrap(), None);
}

pub async fn an_unusual_text_comes_back_as_it_was_stored(bench: &Bench) {
    let long = "x".repeat(255);
    let subjects = ["Zoë 👩‍🚀", "'; DROP TABLE session; --", "$1 ?1 %s \\ \" `", "\u{202e}nna", &long, " ", "0", "NULL"];
    for (n, text) in (1..).zip(subjects) {
        let from = Origin { address: Some("2001:db8::1".parse().unwrap()), user_agent: Some(text.repeat(20)) };
        let label = Some(text.to_owned());
        let session = NewSession { client: text.into(), from, label, ..new_session(n, text) };
        let kept = stored(&*bench.store, &session).await;
        assert_eq!((kept.client.as_str(), &kept.login_from, &kept.label), (text, &session.from, &session.label));
        assert_eq!(bench.store.sessions_of(&subject(text)).await.unwrap(), std::slice::from_ref(&kept));
        assert!(bench.store.swap(&swap(&kept)).await.unwrap().is_some(), "{text}");
        assert_eq!(bench.store.end_subject(&subject(text)).await.unwrap(), 1);
    }
    let bare = NewSession { from: Origin::default(), label: None, ..new_session(100, "ann") };
    let kept = stored(&*bench.store, &bare).await;
    assert_eq!((kept.login_from, kept.label), (Origin::default(), None));
}

pub async fn a_nul_character_is_dropped(bench: &Bench) {
    let text = || "a\0b\0".to_owned();
    let from = Origin { address: None, user_agent: Some(text()) };
    let session = NewSession { client: text(), from, label: Some(text()), ..new_session(1, "ann") };
    let kept = stored(&*bench.store, &session).await;
    assert_eq!((kept.client.as_str(), kept.label.as_deref()), ("ab", Some("ab")));
    assert_eq!(kept.login_from.user_agent.as_deref(), Some("ab"));
    assert_eq!(kept.claims, claims(), "JSON has its own way to write it");
    let mut turn = swap(&kept);
    turn.from.user_agent = Some(text());
    let kept = bench.store.swap(&turn).await.unwrap().unwrap().session;
    assert_eq!(kept.last_from.user_agent.as_deref(), Some("ab"));
}

pub async fn a_login_under_a_moved_epoch_is_void(bench: &Bench) {
    let store = &bench.store;
    let old = store.epochs(&subject("ann")).await.unwrap();
    store.end_subject(&subject("ann")).await.unwrap();
    let login = |n, epochs| NewSession { epochs, ..new_session(n, "ann") };
    assert_eq!(store.create_session(&login(1, old)).await.unwrap(), Created::EpochMoved);
    let ahead = Epochs { realm: 0, subject: 2 };
    assert_eq!(store.create_session(&login(1, ahead)).await.unwrap(), Created::EpochMoved);
    let absurd = Epochs { realm: 0, subject: u64::MAX };
    assert_eq!(store.create_session(&login(1, absurd)).await.unwrap(), Created::EpochMoved);
    assert_eq!(store.session(session_id(1)).await.unwrap(), None);
    let now = store.epochs(&subject("ann")).await.unwrap();
    assert_eq!(stored(&**store, &login(1, now)).await.epochs, Epochs { realm: 0, subject: 1 });

    store.end_realm().await.unwrap();
    assert_eq!(store.create_session(&login(2, now)).await.unwrap(), Created::EpochMoved);
    let now = store.epochs(&subject("ann")).await.unwrap();
    assert_eq!(stored(&**store, &login(2, now)).await.epochs, Epochs { realm: 1, subject: 1 });
}

pub async fn the_oldest_sessions_end_when_there_are_too_many(bench: &Bench) {
    for n in 1..=4 {
        stored(&*bench.store, &new_session(n, "ann")).await;
        stored(&*bench.store, &new_session(100 + n, "bob")).await;
        bench.advance(Duration::from_millis(1)).await;
    }
    let one_more = NewSession { most: 3, ..new_session(5, "ann") };
    let created = bench.store.create_session(&one_more).await.unwrap();
    let Created::Stored { ended, .. } = created else { panic!("{created:?}") };
    assert_eq!(ended, [session_id(1), session_id(2)]);
    assert_eq!(living(bench, "ann").await, [5, 4, 3].map(session_id));
    assert_eq!(living(bench, "bob").await.len(), 4);
    for gone in ended {
        assert_eq!(bench.store.session(gone).await.unwrap(), None);
    }
    let page = bench.store.revocations(None).await.unwrap();
    let revoked: Vec<_> = page.revocations.into_iter().map(|revocation| revocation.revoked).collect();
    assert_eq!(revoked, [1, 2].map(|n| sidegate::domain::revocation::Revoked::Session(session_id(n))));
}

pub async fn sessions_that_are_over_do_not_count(bench: &Bench) {
    let store = &bench.store;
    let login = |n, epochs| NewSession { most: 2, epochs, ..new_session(n, "ann") };
    stored(&**store, &login(1, Epochs::default())).await;
    let epoch = store.end_subject(&subject("ann")).await.unwrap();
    let epochs = Epochs { realm: 0, subject: epoch };
    // Idle from the start, and created after the one that lives on.
    stored(&**store, &login(2, epochs)).await;
    bench.advance(Duration::from_secs(1)).await;
    stored(&**store, &NewSession { idle_ttl: Duration::from_secs(1), ..login(3, epochs) }).await;
    bench.advance(Duration::from_secs(1)).await;
    let created = store.create_session(&login(4, epochs)).await.unwrap();
    assert!(matches!(&created, Created::Stored { ended, .. } if ended.is_empty()), "{created:?}");
    assert_eq!(living(bench, "ann").await, [4, 2].map(session_id));
}

pub async fn the_new_session_is_never_the_one_that_ends(bench: &Bench) {
    for n in [9, 5, 1] {
        let login = NewSession { most: 1, ..new_session(n, "ann") };
        stored(&*bench.store, &login).await;
        assert_eq!(living(bench, "ann").await, [session_id(n)]);
    }
    bench.set_time(START - 1000).await;
    stored(&*bench.store, &NewSession { most: 0, ..new_session(2, "ann") }).await;
    assert_eq!(living(bench, "ann").await, [session_id(2)]);
}

pub async fn parallel_logins_leave_exactly_as_many_sessions_as_allowed(bench: &Bench) {
    let other = bench.open("default").await;
    let stores = [&bench.store, &other];
    let logins: Vec<_> = (1..=30).map(|n| NewSession { most: 5, ..new_session(n, "ann") }).collect();
    let created = join_all(logins.iter().enumerate().map(|(n, login)| stores[n % 2].create_session(login))).await;
    let mut ended = Vec::new();
    for created in created {
        let Created::Stored { ended: these, .. } = created.unwrap() else { panic!() };
        ended.extend(these);
    }
    assert_eq!((living(bench, "ann").await.len(), ended.len()), (5, 25));
    assert_eq!(bench.store.revocations(None).await.unwrap().revocations.len(), 25);
}

pub async fn sessions_are_listed_newest_first_while_they_live(bench: &Bench) {
    for n in [2, 1, 3] {
        stored(&*bench.store, &new_session(n, "ann")).await;
    }
    bench.advance(Duration::from_secs(1)).await;
    stored(&*bench.store, &new_session(0, "ann")).await;
    assert_eq!(living(bench, "ann").await, [0, 3, 2, 1].map(session_id));
    assert_eq!(living(bench, "Ann").await, []);
    bench.store.end_session(session_id(3)).await.unwrap();
    assert_eq!(living(bench, "ann").await, [0, 2, 1].map(session_id));
    bench.store.end_subject(&subject("ann")).await.unwrap();
    assert_eq!(living(bench, "ann").await, []);
}

pub async fn a_session_ends_at_its_idle_end_and_not_before(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    bench.set_time(session.idle_end.as_millis() - 1).await;
    assert_eq!(living(bench, "ann").await, [session.id]);
    bench.set_time(session.idle_end.as_millis()).await;
    assert_eq!(living(bench, "ann").await, []);
    assert_eq!(bench.store.session(session.id).await.unwrap().unwrap().session, session, "the row is still read");
}

pub async fn the_idle_end_is_never_after_the_absolute_end(bench: &Bench) {
    let login = NewSession { idle_ttl: LONGEST * 2, ..new_session(1, "ann") };
    let session = stored(&*bench.store, &login).await;
    assert_eq!(session.idle_end, session.absolute_end);
    bench.advance(Duration::from_secs(950)).await;
    let session = bench.store.swap(&swap(&session)).await.unwrap().unwrap().session;
    assert_eq!(session.idle_end, session.absolute_end);
    assert_eq!(session.absolute_end, Timestamp::from_millis(START).plus(LONGEST));
}

pub async fn absurd_lifetimes_are_no_error(bench: &Bench) {
    let login = NewSession { idle_ttl: Duration::MAX, max_ttl: Duration::MAX, ..new_session(1, "ann") };
    let session = stored(&*bench.store, &login).await;
    let mut turn = swap(&session);
    (turn.idle_ttl, turn.longest_window) = (Duration::MAX, Duration::MAX);
    let session = bench.store.swap(&turn).await.unwrap().unwrap().session;
    assert_eq!(session.idle_end, session.absolute_end);
    bench.store.join(Duration::MAX).await.unwrap();
    bench.store.end_session(session.id).await.unwrap();
    assert_eq!(bench.store.purge(Duration::MAX, u32::MAX).await.unwrap(), 0);
    assert_eq!(bench.store.revocations(None).await.unwrap().revocations.len(), 1);
}

pub async fn a_damaged_row_is_an_error_and_never_a_panic(bench: &Bench) {
    let store = &bench.store;
    let damages = [
        ("hash", "substr(hash, 1, 31)"),
        ("salt", "substr(hash, 1, 31)"),
        ("recent", "substr(hash, 1, 27)"),
        ("generation", "-1"),
        ("generation", "4294967296"),
        ("realm_epoch", "-1"),
        ("claims", "'{'"),
        ("claims", "'[]'"),
        ("last_address", "'nowhere'"),
        ("subject", "''"),
    ];
    for (n, (column, damage)) in (0..).zip(damages) {
        let session = stored(&**store, &new_session(n, "ann")).await;
        bench.tamper(&format!("UPDATE {{schema}}session SET {column} = {damage}")).await;
        let error = store.session(session.id).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(why) if why.contains(column)), "{column}: {error}");
        bench.tamper("DELETE FROM {schema}session").await;
    }
    store.add_user(&user("ann")).await.unwrap();
    for damage in ["claims = '7'", "claims = '{}', name = ' '"] {
        bench.tamper(&format!("UPDATE {{schema}}users SET {damage}")).await;
        assert!(matches!(store.users().await, Err(StoreError::Corrupt(_))), "{damage}");
    }
    assert_eq!(user_named(store, &name("ann")).await, None);
    store.end_realm().await.unwrap();
    for damage in ["epoch = -1", "epoch = NULL", "kind = 'subject'", "kind = 'session'", "kind = 'else'"] {
        bench.tamper(&format!("UPDATE {{schema}}revocation SET {damage}")).await;
        assert!(matches!(store.revocations(None).await, Err(StoreError::Corrupt(_))), "{damage}");
    }
    stored(&**store, &NewSession { epochs: Epochs { realm: 1, subject: 0 }, ..new_session(100, "ann") }).await;
    for foreign in [
        "signing_key (realm, kid, algorithm, secret, sealed) SELECT 'default', 'k', 'none', hash, hash",
        "secret (realm, fingerprint) SELECT 'default', id",
    ] {
        bench.tamper(&format!("INSERT INTO {{schema}}{foreign} FROM {{schema}}session")).await;
    }
    assert!(matches!(store.signing_keys().await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.join(LONGEST).await, Err(StoreError::Corrupt(_))));
}

async fn living(bench: &Bench, of: &str) -> Vec<sidegate::domain::session::SessionId> {
    bench.store.sessions_of(&subject(of)).await.unwrap().iter().map(|session| session.id).collect()
}
