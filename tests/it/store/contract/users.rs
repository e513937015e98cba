use std::time::Duration;

use futures_util::future::join_all;
use sidegate::domain::revocation::Revoked;
use sidegate::domain::session::{Origin, RecentRotation, Session, TokenHash};
use sidegate::domain::user::{PasswordHash, User};
use sidegate::store::PasswordChange;

use super::super::bench::Bench;
use super::super::samples::{name, new_session, session_id, stored, subject, swap, user, user_named};

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

pub async fn users_are_added_all_or_none(bench: &Bench) {
    let store = &bench.store;
    assert!(store.add_users(&[]).await.unwrap());
    assert!(store.add_users(&[user("bob"), user("ann")]).await.unwrap());
    assert_eq!(store.users().await.unwrap(), [user("ann"), user("bob")]);
    for taken in [
        User { subject: subject("another"), ..user("ann") },
        User { name: name("another"), ..user("ann") },
        User { subject: subject("another"), ..user("cid") },
        User { name: name("another"), ..user("cid") },
        user("cid"),
    ] {
        for users in [[user("cid"), taken.clone()], [taken, user("cid")]] {
            assert!(!store.add_users(&users).await.unwrap(), "{users:?}");
        }
        assert_eq!(store.users().await.unwrap(), [user("ann"), user("bob")]);
    }
    let halves = [[user("cid"), user("dan")], [user("dan"), user("cid")]];
    let added = join_all(halves.iter().map(|users| store.add_users(users))).await;
    assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
    assert_eq!(store.users().await.unwrap().len(), 4);
}

pub async fn thousands_of_users_are_added_at_once(bench: &Bench) {
    let users: Vec<User> = (0..5000).map(|n| user(&format!("user {n:04}"))).collect();
    assert!(bench.store.add_users(&users).await.unwrap());
    assert_eq!(bench.store.users().await.unwrap(), users);
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

fn change(session: &Session, next: TokenHash) -> PasswordChange {
    PasswordChange {
        name: name("ann"),
        old: user("ann").password_hash,
        new: PasswordHash("$new".into()),
        session: session.id,
        generation: session.generation,
        live: session.hash,
        next,
        from: Origin::default(),
        idle_ttl: Duration::from_mins(1),
    }
}

pub async fn a_changed_password_keeps_the_session_that_asked_and_no_other(bench: &Bench) {
    let store = &bench.store;
    store.add_user(&user("ann")).await.unwrap();
    let own = stored(&**store, &new_session(1, "sub-ann")).await;
    let other = stored(&**store, &new_session(2, "sub-ann")).await;
    let own = store.swap(&swap(&own)).await.unwrap().unwrap().session;
    let changed = store.change_password(&change(&own, TokenHash([7; 32]))).await.unwrap().unwrap().session;
    assert_eq!((changed.generation, changed.hash, changed.salt), (own.generation + 1, TokenHash([7; 32]), None));
    let replaced = RecentRotation { generation: own.generation, at: bench.now(), key: None };
    assert_eq!(changed.recent.of_generation(own.generation), Some(&replaced), "whoever comes late with it is no thief");
    assert_eq!(changed.epochs.subject, 1);
    assert_eq!(changed.absolute_end, own.absolute_end);
    let living: Vec<_> =
        store.sessions_of(&subject("sub-ann")).await.unwrap().iter().map(|session| session.id).collect();
    assert_eq!(living, [own.id]);
    assert_eq!(store.swap(&swap(&other)).await.unwrap(), None);
    assert_eq!(store.swap(&swap(&own)).await.unwrap(), None, "the token before is not live any more");
    assert!(store.swap(&swap(&changed)).await.unwrap().is_some());
    let page = store.revocations(None).await.unwrap();
    assert_eq!(page.revocations.last().unwrap().revoked, Revoked::SubjectBelow(subject("sub-ann"), 1));
    let account = store.account_of(&subject("sub-ann")).await.unwrap().unwrap();
    assert_eq!((account.user.password_hash.0.as_str(), account.epochs.subject), ("$new", 1));
}

pub async fn a_password_is_not_changed_by_halves(bench: &Bench) {
    let store = &bench.store;
    store.add_user(&user("ann")).await.unwrap();
    store.add_user(&user("bob")).await.unwrap();
    let own = stored(&**store, &new_session(1, "sub-ann")).await;
    let good = change(&own, TokenHash([7; 32]));
    for bad in [
        PasswordChange { old: PasswordHash("$other".into()), ..good.clone() },
        PasswordChange { live: TokenHash([8; 32]), ..good.clone() },
        PasswordChange { generation: 1, ..good.clone() },
        PasswordChange { session: session_id(9), ..good.clone() },
        PasswordChange { name: name("bob"), old: user("bob").password_hash, ..good.clone() },
        PasswordChange { name: name("nobody"), ..good.clone() },
    ] {
        assert_eq!(store.change_password(&bad).await.unwrap(), None, "{bad:?}");
    }
    assert_eq!(user_named(store, &name("ann")).await, Some(user("ann")));
    assert_eq!(user_named(store, &name("bob")).await, Some(user("bob")));
    assert_eq!(store.epochs(&subject("sub-ann")).await.unwrap().subject, 0);
    let parallel = join_all((0..20).map(|n| {
        let change = PasswordChange { next: TokenHash([n; 32]), ..good.clone() };
        async move { store.change_password(&change).await.unwrap() }
    }));
    assert_eq!(parallel.await.into_iter().flatten().count(), 1);
    assert_eq!(store.epochs(&subject("sub-ann")).await.unwrap().subject, 1);
}
