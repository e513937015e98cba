use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::revocation::ALLOWANCE;
use sidegate::domain::session::SessionId;
use sidegate::domain::vault::SealedJar;
use sidegate::store::{ChangedVault, Cursor, NewSession, VAULT_PAGE, VaultChange, VaultPage};

use super::super::bench::Bench;
use super::super::samples::{LONGEST, new_session, sealed_jar, session_id, stored, swap};

const TTL: Duration = Duration::from_mins(10);

fn change(session: SessionId, expected: u64, content: u8) -> VaultChange {
    VaultChange { session, expected, jar: sealed_jar(expected + 1, content), wakes: content.is_multiple_of(2) }
}

async fn jar(bench: &Bench, session: SessionId) -> Option<SealedJar> {
    bench.store.session(session).await.unwrap().unwrap().session.vault
}

pub async fn a_changed_jar_comes_with_its_session_and_is_told(bench: &Bench) {
    let with = stored(&*bench.store, &new_session(1, "ann")).await;
    let without = stored(&*bench.store, &new_session(2, "ann")).await;
    let before = bench.store.vault_changes(None).await.unwrap();
    assert_eq!(before.changes, [], "what a login brings is in its tokens");
    for (session, expected) in [(&with, 1), (&without, 0)] {
        assert!(bench.store.change_vault(&change(session.id, expected, 9)).await.unwrap());
        let state = bench.store.session(session.id).await.unwrap().unwrap();
        assert_eq!(state.session.vault, Some(sealed_jar(expected + 1, 9)));
        let advanced = bench.store.swap(&swap(session)).await.unwrap().unwrap();
        assert_eq!(advanced.session.vault, state.session.vault, "a rotation keeps it");
    }
    let page = bench.store.vault_changes(Some(&before.cursor)).await.unwrap();
    let told = |page: &VaultPage| page.changes.iter().map(|change| (change.session, change.jar.clone())).collect();
    let expected: Vec<_> = vec![(with.id, sealed_jar(2, 9)), (without.id, sealed_jar(1, 9))];
    assert_eq!((told(&page), page.more), (expected, false));
    assert_eq!(bench.store.vault_changes(Some(&page.cursor)).await.unwrap().changes, []);
}

pub async fn of_many_who_change_one_version_one_succeeds(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    let other = bench.open("default").await;
    for version in 1..4 {
        let changes: Vec<_> = (0..20).map(|content| change(session.id, version, content)).collect();
        let tried = join_all(changes.iter().enumerate().map(|(n, change)| {
            let store = if n % 2 == 0 { &bench.store } else { &other };
            store.change_vault(change)
        }));
        let outcomes: Vec<bool> = tried.await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|done| **done).count(), 1);
        let winner = outcomes.iter().position(|done| *done).unwrap();
        assert_eq!(jar(bench, session.id).await.as_ref(), Some(&changes[winner].jar));
    }
}

pub async fn a_jar_of_no_session_is_not_changed(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    for wrong in [change(session_id(2), 0, 1), change(session.id, 0, 1), change(session.id, 2, 1)] {
        assert!(!bench.store.change_vault(&wrong).await.unwrap(), "{wrong:?}");
    }
    let stranger = bench.open("another realm").await;
    assert!(!stranger.change_vault(&change(session.id, 1, 1)).await.unwrap());
    assert_eq!(jar(bench, session.id).await, session.vault);
    bench.store.end_session(session.id).await.unwrap();
    assert!(!bench.store.change_vault(&change(session.id, 1, 1)).await.unwrap());
    assert_eq!(bench.store.vault_changes(None).await.unwrap().changes, []);
}

pub async fn only_the_latest_change_of_a_jar_is_told(bench: &Bench) {
    let sessions = [1, 3].map(|n| new_session(n, "ann"));
    for session in &sessions {
        stored(&*bench.store, session).await;
    }
    let mut cursor = bench.store.vault_changes(None).await.unwrap().cursor;
    for version in 1..5 {
        for session in &sessions {
            assert!(bench.store.change_vault(&change(session.id, version, 1)).await.unwrap());
        }
        let page = bench.store.vault_changes(Some(&cursor)).await.unwrap();
        let versions: Vec<u64> = page.changes.iter().map(|change| change.jar.version).collect();
        assert_eq!(versions, [version + 1, version + 1], "whoever follows hears of each");
        cursor = page.cursor;
    }
    let late = bench.store.vault_changes(None).await.unwrap();
    assert_eq!(late.changes.iter().map(|change| change.jar.version).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(bench.open("another realm").await.vault_changes(None).await.unwrap().changes, []);
}

pub async fn many_changes_come_in_pieces_and_none_is_missing(bench: &Bench) {
    let many = VAULT_PAGE + 5;
    let before = bench.store.vault_changes(None).await.unwrap().cursor;
    for n in (0..many).map(|n| 2 * n + 1) {
        let session = NewSession { most: u32::MAX, ..new_session(n, &format!("owner of {n}")) };
        stored(&*bench.store, &session).await;
        assert!(bench.store.change_vault(&change(session.id, 1, 1)).await.unwrap());
    }
    for from in [None, Some(&before)] {
        let mut seen = HashSet::new();
        let mut page = bench.store.vault_changes(from).await.unwrap();
        assert!(page.more && page.changes.len() <= VAULT_PAGE as usize);
        loop {
            seen.extend(page.changes.iter().map(|change| change.session));
            if !page.more {
                break;
            }
            page = bench.store.vault_changes(Some(&page.cursor)).await.unwrap();
        }
        assert_eq!(seen.len(), many as usize);
    }
}

pub async fn concurrent_changes_are_all_told(bench: &Bench) {
    let ids: Vec<SessionId> = (0..10).map(|n| session_id(2 * n + 1)).collect();
    for n in 0..10 {
        stored(&*bench.store, &new_session(2 * n + 1, "ann")).await;
    }
    let other = bench.open("default").await;
    let changes = join_all(ids.iter().enumerate().map(|(n, id)| {
        let store = if n % 2 == 0 { &bench.store } else { &other };
        async move {
            for version in 1..=20 {
                assert!(store.change_vault(&change(*id, version, 1)).await.unwrap());
            }
        }
    }));
    let follow = async {
        let mut newest = BTreeMap::new();
        let mut cursor = None;
        while newest.len() < ids.len() || newest.values().any(|version| *version < 21) {
            let page = bench.store.vault_changes(cursor.as_ref()).await.unwrap();
            for ChangedVault { session, jar, .. } in page.changes {
                let known = newest.entry(session).or_insert(0);
                *known = jar.version.max(*known);
            }
            cursor = Some(page.cursor);
        }
    };
    let follow = tokio::time::timeout(super::super::bench::PATIENCE, follow);
    let (_, followed) = tokio::join!(changes, follow);
    followed.expect("the last version of each is told");
}

pub async fn a_change_is_kept_for_the_longest_token_and_then_purged(bench: &Bench) {
    bench.store.join(TTL).await.unwrap();
    let session = stored(&*bench.store, &NewSession { max_ttl: LONGEST * 100, ..new_session(1, "ann") }).await;
    let before = bench.store.vault_changes(None).await.unwrap();
    assert!(bench.store.change_vault(&change(session.id, 1, 1)).await.unwrap());
    let until = bench.now().plus(TTL).plus(ALLOWANCE);
    let told = ChangedVault { session: session.id, jar: sealed_jar(2, 1), until };
    assert_eq!(bench.store.vault_changes(None).await.unwrap().changes, std::slice::from_ref(&told));
    bench.set_time(until.as_millis()).await;
    assert_eq!(bench.store.vault_changes(None).await.unwrap().changes, []);
    let away = bench.store.vault_changes(Some(&before.cursor)).await.unwrap();
    assert_eq!(away.changes, [told], "a reader that was away gets what it missed");
    bench.advance(Duration::from_millis(1)).await;
    assert_eq!(bench.store.purge(Duration::ZERO, 10).await.unwrap(), 1);
    assert_eq!(bench.store.vault_changes(Some(&before.cursor)).await.unwrap().changes, []);
    assert_eq!(jar(bench, session.id).await, Some(sealed_jar(2, 1)));
    assert!(bench.store.change_vault(&change(session.id, 2, 1)).await.unwrap());
    assert_eq!(bench.store.vault_changes(Some(&away.cursor)).await.unwrap().changes.len(), 1);
}

pub async fn a_vault_cursor_that_makes_no_sense_starts_over(bench: &Bench) {
    let session = stored(&*bench.store, &new_session(1, "ann")).await;
    assert!(bench.store.change_vault(&change(session.id, 1, 1)).await.unwrap());
    for bad in ["", "x", "-1", "1/2:1:", "\0", "99999999", "9".repeat(30).as_str()] {
        let page = bench.store.vault_changes(Some(&Cursor(bad.into()))).await.unwrap();
        assert_eq!(page.changes.len(), 1, "{bad:.40}");
    }
}
