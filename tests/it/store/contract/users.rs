use futures_util::future::join_all;
use sidegate::domain::revocation::Revoked;
use sidegate::domain::user::{PasswordHash, User};

use super::super::bench::Bench;
use super::super::samples::{name, subject, user, user_named};

pub async fn a_user_comes_back_as_it_was_added(bench: &Bench) {
    let store = &bench.store;
    let disabled = User { disabled: true, ..user("bob") };
    let odd = user("Zoë O'Hara; -- 👩‍🚀");
    for user in [&odd, &user("ann"), &disabled] {
        assert!(store.add_user(user).await.unwrap());
        assert_eq!(user_named(store, &user.name).await.as_ref(), Some(user));
    }
    assert_eq!(user_named(store, &name("Ann")).await, None, "names are compared exactly");
    assert_eq!(store.users().await.unwrap(), [odd, user("ann"), disabled], "by name, byte by byte");
}

pub async fn a_name_and_a_subject_belong_to_one_user(bench: &Bench) {
    let store = &bench.store;
    assert!(store.add_user(&user("ann")).await.unwrap());
    assert!(!store.add_user(&User { subject: subject("another"), ..user("ann") }).await.unwrap());
    assert!(!store.add_user(&User { name: name("another"), ..user("ann") }).await.unwrap());
    assert!(!store.add_user(&user("ann")).await.unwrap());
    assert_eq!(store.users().await.unwrap(), [user("ann")]);
}

pub async fn one_of_many_concurrent_users_of_a_name_is_added(bench: &Bench) {
    let other = bench.open("default").await;
    let stores = [&bench.store, &other];
    let users: Vec<_> = (0..20).map(|n| User { subject: subject(&format!("s{n}")), ..user("ann") }).collect();
    let added = join_all(users.iter().enumerate().map(|(n, user)| stores[n % 2].add_user(user))).await;
    assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
    assert_eq!(bench.store.users().await.unwrap().len(), 1);
}

pub async fn a_new_password_moves_the_counter(bench: &Bench) {
    let store = &bench.store;
    store.add_user(&user("ann")).await.unwrap();
    let new = PasswordHash("$new".into());
    assert_eq!(store.set_password(&name("ann"), &new).await.unwrap(), Some(1));
    assert_eq!(store.set_password(&name("ann"), &new).await.unwrap(), Some(2));
    assert_eq!(user_named(store, &name("ann")).await.unwrap(), User { password_hash: new, ..user("ann") });
    assert_eq!(store.epochs(&subject("sub-ann")).await.unwrap().subject, 2);
    assert_eq!(revoked(bench).await, [1, 2].map(|epoch| Revoked::SubjectBelow(subject("sub-ann"), epoch)));
}

pub async fn an_upgraded_hash_moves_nothing_and_only_replaces_the_old_one(bench: &Bench) {
    let store = &bench.store;
    store.add_user(&user("ann")).await.unwrap();
    let hash = |text: &str| PasswordHash(text.into());
    store.upgrade_password(&name("ann"), &hash("$other"), &hash("$new")).await.unwrap();
    assert_eq!(user_named(store, &name("ann")).await, Some(user("ann")));
    store.upgrade_password(&name("ann"), &user("ann").password_hash, &hash("$new")).await.unwrap();
    assert_eq!(user_named(store, &name("ann")).await.unwrap().password_hash, hash("$new"));
    assert_eq!(store.epochs(&subject("sub-ann")).await.unwrap().subject, 0);
    assert_eq!(revoked(bench).await, []);
}

pub async fn disabling_moves_the_counter_and_enabling_does_not(bench: &Bench) {
    let store = &bench.store;
    store.add_user(&user("ann")).await.unwrap();
    assert!(store.set_disabled(&name("ann"), true).await.unwrap());
    assert!(user_named(store, &name("ann")).await.unwrap().disabled);
    assert_eq!(store.epochs(&subject("sub-ann")).await.unwrap().subject, 1);
    assert!(store.set_disabled(&name("ann"), false).await.unwrap());
    assert_eq!(user_named(store, &name("ann")).await, Some(user("ann")));
    assert_eq!(store.epochs(&subject("sub-ann")).await.unwrap().subject, 1);
    assert_eq!(revoked(bench).await, [Revoked::SubjectBelow(subject("sub-ann"), 1)]);
}

pub async fn a_removed_user_is_gone_and_its_counter_stays(bench: &Bench) {
    let store = &bench.store;
    store.add_user(&user("ann")).await.unwrap();
    assert!(store.remove_user(&name("ann")).await.unwrap());
    assert_eq!(user_named(store, &name("ann")).await, None);
    assert_eq!(revoked(bench).await, [Revoked::SubjectBelow(subject("sub-ann"), 1)]);
    assert!(store.add_user(&user("ann")).await.unwrap());
    assert_eq!(store.epochs(&subject("sub-ann")).await.unwrap().subject, 1);
}

pub async fn an_unknown_user_is_no_error(bench: &Bench) {
    let (store, nobody) = (&bench.store, name("nobody"));
    let hash = PasswordHash("$new".into());
    assert_eq!(user_named(store, &nobody).await, None);
    assert_eq!(store.set_password(&nobody, &hash).await.unwrap(), None);
    store.upgrade_password(&nobody, &hash, &hash).await.unwrap();
    assert!(!store.set_disabled(&nobody, true).await.unwrap());
    assert!(!store.set_disabled(&nobody, false).await.unwrap());
    assert!(!store.remove_user(&nobody).await.unwrap());
    assert_eq!(revoked(bench).await, []);
}

async fn revoked(bench: &Bench) -> Vec<Revoked> {
    let page = bench.store.revocations(None).await.unwrap();
    page.revocations.into_iter().map(|revocation| revocation.revoked).collect()
}
