use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::keys::Algorithm;
use sidegate::domain::revocation::ALLOWANCE;
use sidegate::domain::session::Epochs;
use sidegate::store::{Created, KeyChange, Store};

use super::super::bench::Bench;
use super::super::samples::{
    ended, fingerprint, name, new_session, sealed_key, stored, subject, swap, user, user_named,
};

const TTL: Duration = Duration::from_mins(10);

pub async fn a_realm_begins_at_epoch_zero_without_secrets(bench: &Bench) {
    let realm = bench.store.join(TTL).await.unwrap();
    assert_eq!((realm.epoch, realm.secrets, realm.now), (0, vec![], bench.now()));
    assert_eq!(bench.store.epochs(&subject("ann")).await.unwrap(), Epochs::default());
    assert_eq!(bench.store.now().await.unwrap(), bench.now());
}

pub async fn joining_again_keeps_the_longest_lifetime_and_the_epoch(bench: &Bench) {
    let store = &bench.store;
    store.join(Duration::from_mins(15)).await.unwrap();
    assert_eq!(store.end_realm().await.unwrap(), 1);
    assert_eq!(store.join(Duration::from_mins(1)).await.unwrap().epoch, 1);
    ended(&**store, 1).await;
    let page = store.revocations(None).await.unwrap();
    let until = bench.now().plus(Duration::from_mins(15) + ALLOWANCE);
    assert!(page.revocations.iter().all(|revocation| revocation.until == until), "{page:?}");
}

pub async fn secrets_are_kept_in_the_order_they_came(bench: &Bench) {
    let store = &bench.store;
    let order = [fingerprint(3), fingerprint(1), fingerprint(2)];
    assert_eq!(store.add_secret(order[0], true).await.unwrap(), order[..1]);
    assert_eq!(store.add_secret(order[1], true).await.unwrap(), order[..1]);
    assert_eq!(store.add_secret(order[1], false).await.unwrap(), order[..2]);
    assert_eq!(store.add_secret(order[2], false).await.unwrap(), order);
    assert_eq!(store.add_secret(order[1], false).await.unwrap(), order);
    assert_eq!(store.join(TTL).await.unwrap().secrets, order);
}

pub async fn only_the_first_of_many_concurrent_secrets_is_kept(bench: &Bench) {
    let other = bench.open("default").await;
    let stores = [&bench.store, &other];
    let answers = join_all((0..20).map(|n| stores[usize::from(n) % 2].add_secret(fingerprint(n), true))).await;
    let kept = bench.store.join(TTL).await.unwrap().secrets;
    assert_eq!(kept.len(), 1);
    for answer in answers {
        assert_eq!(answer.unwrap(), kept);
    }
}

pub async fn realms_know_nothing_of_each_other(bench: &Bench) {
    let (ours, theirs) = (&bench.store, bench.open("other").await);
    theirs.join(TTL).await.unwrap();
    let session = stored(&**ours, &new_session(1, "ann")).await;
    let twin = stored(&*theirs, &new_session(2, "ann")).await;
    ours.add_user(&user("ann")).await.unwrap();
    ours.add_secret(fingerprint(1), true).await.unwrap();
    let key = KeyChange::Add(sealed_key("a", Algorithm::Es256), None);
    assert!(ours.change_keys(0, &key).await.unwrap());

    assert_eq!(theirs.session(session.id).await.unwrap(), None);
    assert_eq!(theirs.swap(&swap(&session)).await.unwrap(), None);
    assert!(!theirs.end_session(session.id).await.unwrap());
    assert_eq!(theirs.sessions_of(&subject("ann")).await.unwrap(), std::slice::from_ref(&twin));
    assert_eq!(user_named(&theirs, &name("ann")).await, None);
    assert_eq!(theirs.users().await.unwrap(), []);
    assert!(!theirs.remove_user(&name("ann")).await.unwrap());
    assert_eq!(theirs.join(TTL).await.unwrap().secrets, []);
    assert_eq!(theirs.signing_keys().await.unwrap().list, []);
    assert!(theirs.add_user(&user("ann")).await.unwrap());
    assert!(theirs.change_keys(0, &key).await.unwrap());

    theirs.end_subject(&subject("ann")).await.unwrap();
    theirs.end_realm().await.unwrap();
    bench.advance(Duration::from_hours(24)).await;
    theirs.purge(Duration::ZERO, 100).await.unwrap();
    let state = ours.session(session.id).await.unwrap().unwrap();
    assert_eq!((state.session, state.current), (session, Epochs::default()));
    assert_eq!(theirs.session(twin.id).await.unwrap(), None);
    assert_eq!(ours.revocations(None).await.unwrap().revocations, []);
    assert_eq!(ours.join(TTL).await.unwrap().epoch, 0);
}

pub async fn everything_is_still_there_after_reopening(bench: &Bench) {
    let store = &bench.store;
    store.end_subject(&subject("ann")).await.unwrap();
    let epochs = Epochs { realm: 0, subject: 1 };
    let session = stored(&**store, &sidegate::store::NewSession { epochs, ..new_session(1, "ann") }).await;
    let session = store.swap(&swap(&session)).await.unwrap().unwrap().session;
    store.add_user(&user("ann")).await.unwrap();
    store.add_secret(fingerprint(1), true).await.unwrap();
    let before = store.revocations(None).await.unwrap();

    let again: Arc<dyn Store> = bench.open("default").await;
    assert_eq!(again.session(session.id).await.unwrap().unwrap().session, session);
    assert_eq!(again.users().await.unwrap(), [user("ann")]);
    assert_eq!(again.join(TTL).await.unwrap().secrets, [fingerprint(1)]);
    assert_eq!(again.revocations(None).await.unwrap().revocations, before.revocations);
    assert_eq!(again.revocations(Some(&before.cursor)).await.unwrap().revocations, []);
    assert_eq!(again.create_session(&new_session(2, "ann")).await.unwrap(), Created::EpochMoved);
}
