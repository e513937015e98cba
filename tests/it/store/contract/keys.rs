use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::keys::Algorithm;
use sidegate::store::{KeyChange, Replica, ReplicaId, SealedKey, Store, StoredKey};

use super::super::bench::Bench;
use super::super::samples::{fingerprint, sealed_key};

const HOUR: Duration = Duration::from_hours(1);

/// Makes a change that must come in its turn.
async fn change(store: &dyn Store, change: KeyChange) {
    let version = store.signing_keys().await.unwrap().version;
    assert!(store.change_keys(version, &change).await.unwrap());
    assert_eq!(store.signing_keys().await.unwrap().version, version + 1);
}

async fn kids(store: &dyn Store) -> Vec<String> {
    store.signing_keys().await.unwrap().list.into_iter().map(|stored| stored.key.kid).collect()
}

pub async fn signing_keys_are_kept_in_the_order_they_came(bench: &Bench) {
    let store = &*bench.store;
    let (first, second) = (sealed_key("z", Algorithm::Es256), sealed_key("a", Algorithm::Hs256));
    change(store, KeyChange::Add(first.clone(), Some(HOUR))).await;
    change(store, KeyChange::Add(second.clone(), None)).await;
    let keys = store.signing_keys().await.unwrap();
    let (now, signs_from) = (bench.now(), Some(bench.now().plus(HOUR)));
    assert_eq!((keys.now, keys.longest_access_ttl), (now, Duration::from_mins(10)));
    let expected = [
        StoredKey { key: first.clone(), added: now, signs_from, banned: None },
        StoredKey { key: second, added: now, signs_from: None, banned: None },
    ];
    assert_eq!(keys.list, expected);
    let twin = SealedKey { sealed: vec![9], ..first };
    change(store, KeyChange::Add(twin, None)).await;
    assert_eq!(store.signing_keys().await.unwrap().list, expected, "a kid is there once");
}

pub async fn a_change_of_the_keys_comes_in_its_turn_or_not_at_all(bench: &Bench) {
    let other = bench.open("default").await;
    let stores = [&bench.store, &other];
    let changes: Vec<_> =
        (0..20).map(|n| KeyChange::Add(sealed_key(&format!("kid-{n}"), Algorithm::Es256), None)).collect();
    let version = bench.store.signing_keys().await.unwrap().version;
    let turns = join_all((0..20).map(|n| stores[n % 2].change_keys(version, &changes[n]))).await;
    assert_eq!(turns.into_iter().filter(|turn| *turn.as_ref().unwrap()).count(), 1);
    assert_eq!(kids(&*bench.store).await.len(), 1);
    let page = bench.store.revocations(None).await.unwrap();
    assert_eq!(page.keys_version, version + 1, "whoever follows the revocations sees that the keys have changed");
    assert_eq!(bench.store.revocations(Some(&page.cursor)).await.unwrap().keys_version, version + 1);
}

pub async fn a_waiting_key_is_told_to_sign_once(bench: &Bench) {
    let store = &*bench.store;
    change(store, KeyChange::Add(sealed_key("a", Algorithm::Es256), None)).await;
    let first = bench.now().plus(HOUR);
    change(store, KeyChange::Sign("a".into(), HOUR)).await;
    bench.advance(Duration::from_secs(1)).await;
    change(store, KeyChange::Sign("a".into(), Duration::ZERO)).await;
    change(store, KeyChange::Sign("nobody".into(), Duration::ZERO)).await;
    assert_eq!(store.signing_keys().await.unwrap().list[0].signs_from, Some(first));
}

pub async fn a_key_is_resealed_in_its_place(bench: &Bench) {
    let store = &*bench.store;
    for kid in ["z", "a"] {
        change(store, KeyChange::Add(sealed_key(kid, Algorithm::Es256), None)).await;
    }
    let before = store.signing_keys().await.unwrap().list;
    let anew = SealedKey { secret: fingerprint(9), sealed: vec![9; 40], ..before[0].key.clone() };
    change(store, KeyChange::Reseal(anew.clone())).await;
    let expected = [StoredKey { key: anew, ..before[0].clone() }, before[1].clone()];
    assert_eq!(store.signing_keys().await.unwrap().list, expected);
}

pub async fn a_banned_key_stays_without_its_private_part(bench: &Bench) {
    let store = &*bench.store;
    let key = sealed_key("a", Algorithm::Es256);
    change(store, KeyChange::Add(key.clone(), Some(Duration::ZERO))).await;
    let banned = Some(bench.now());
    change(store, KeyChange::Ban("a".into())).await;
    let after = store.signing_keys().await.unwrap().list;
    assert_eq!((after[0].banned, after[0].key.sealed.as_slice()), (banned, &[][..]));
    bench.advance(HOUR).await;
    for attempt in [
        KeyChange::Ban("a".into()),
        KeyChange::Reseal(key.clone()),
        KeyChange::Remove("a".into()),
        KeyChange::Add(key, None),
    ] {
        change(store, attempt).await;
        assert_eq!(store.signing_keys().await.unwrap().list, after);
    }
    change(store, KeyChange::Add(sealed_key("b", Algorithm::Es256), None)).await;
    change(store, KeyChange::Remove("b".into())).await;
    assert_eq!(kids(store).await, ["a"]);
}

pub async fn a_forgotten_secret_is_not_the_realms_any_more(bench: &Bench) {
    let store = &bench.store;
    for n in [1, 2] {
        store.add_secret(fingerprint(n), false).await.unwrap();
    }
    assert!(store.remove_secret(fingerprint(1)).await.unwrap());
    assert!(!store.remove_secret(fingerprint(1)).await.unwrap());
    assert_eq!(store.join(Duration::ZERO).await.unwrap().secrets, [fingerprint(2)]);
}

pub async fn a_replica_is_there_until_it_goes_or_is_silent(bench: &Bench) {
    let (store, elsewhere) = (&bench.store, bench.open("elsewhere").await);
    let replica = |n: u8, secrets: &[u8]| Replica {
        id: ReplicaId([n; 16]),
        name: format!("pod-{n}"),
        secrets: secrets.iter().copied().map(fingerprint).collect(),
        heard: n.into(),
    };
    let (first, second) = (replica(2, &[1]), replica(1, &[2, 1]));
    store.report(&first).await.unwrap();
    bench.advance(HOUR).await;
    store.report(&second).await.unwrap();
    assert_eq!(store.replicas(HOUR).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(store.replicas(HOUR / 2).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(elsewhere.replicas(HOUR).await.unwrap(), []);
    let changed = replica(2, &[3]);
    store.report(&changed).await.unwrap();
    store.leave(second.id).await.unwrap();
    assert_eq!(store.replicas(HOUR).await.unwrap(), [changed]);
    bench.advance(HOUR * 2).await;
    assert_eq!(store.purge(HOUR, 10).await.unwrap(), 1);
    assert_eq!(store.replicas(HOUR * 10).await.unwrap(), []);
}
