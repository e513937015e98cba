//! Signing keys and operator secrets that change while sessions live.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sidegate::boot::{self, Running};
use sidegate::clock::{Entropy, SystemClock};
use sidegate::config::checked::Config;

use crate::support::client::{Pair, call, logged_in, oauth_error, refresh, until_refused};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::process::Finished;
use crate::support::raw::{exchange, request};
use crate::support::wait::until;

/// Some of these tests log in again and again until something is so.
const FAST: &str = "revocation.poll_interval = \"20ms\"\nsession.per_subject = 10000";
const NEW_SECRET: &str = "0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5a6b7c82f1d7a9c5be8403\n";

fn header(access: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(access.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

fn kid(access: &str) -> String {
    header(access)["kid"].as_str().unwrap().to_owned()
}

fn done(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    &finished.stdout
}

/// A replica hears of keys a little later.
const PATIENCE: Duration = Duration::from_mins(1);

async fn published(gate: SocketAddr) -> Vec<String> {
    let keys = exchange(gate, request("GET", "/.well-known/jwks.json").bytes()).await.json();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn refreshed(gate: SocketAddr, pair: &Pair) -> Pair {
    Pair::read(&refresh(gate, &pair.refresh, None).await)
}

/// JOSE-22: published ahead, then signing; what the old one signed goes on being accepted, and no request fails meanwhile.
#[tokio::test]
async fn a_new_key_takes_over_without_a_failed_request() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, FAST).await;
        let replicas = [deployment.in_process().await, deployment.in_process().await];
        let gates = [replicas[0].listen[0], replicas[1].listen[0]];
        let first = logged_in(gates[0]).await;
        let old = kid(&first.access);

        let added = deployment.command(&["keys", "generate"]).await;
        let new = done(&added).split_whitespace().nth(1).unwrap().to_owned();
        assert!(added.stdout.contains("(ES256), published"), "{added:?}");
        for gate in gates {
            until(PATIENCE, "the new key is published", async || published(gate).await.contains(&new)).await;
            assert_eq!(published(gate).await.len(), 2);
        }
        let mut pair = refreshed(gates[0], &first).await;
        assert_eq!(kid(&pair.access), old, "it waits to be told");
        let listed = deployment.command(&["keys", "list"]).await;
        for (key, state) in [(&old, "signs"), (&new, "published, waits for `keys rotate`")] {
            let line = done(&listed).lines().find(|line| line.starts_with(key.as_str())).unwrap().to_owned();
            assert!(line.ends_with(state), "{listed:?}");
        }

        let rotated = deployment.command(&["keys", "rotate", "--now"]).await;
        assert!(done(&rotated).starts_with(&format!("{new} signs from ")), "{rotated:?}");
        let mut turn = 0;
        while kid(&pair.access) == old {
            turn += 1;
            pair = refreshed(gates[turn % 2], &pair).await;
            for gate in gates {
                assert_eq!(call(gate, "/", &pair.access).await.status, 200, "turn {turn}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for gate in gates {
            assert_eq!(kid(&logged_in(gate).await.access), new);
            assert_eq!(call(gate, "/", &first.access).await.status, 200);
            assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        }
        let listed = deployment.command(&["keys", "list"]).await;
        let line = done(&listed).lines().find(|line| line.starts_with(old.as_str())).unwrap().to_owned();
        assert!(line.contains("verifies until "), "{listed:?}");
    }
}

/// Without `--now` it is published for as long as the configuration says, first.
#[tokio::test]
async fn a_key_that_nobody_knows_yet_is_published_before_it_signs() {
    let deployment = Deployment::new(StoreKind::Sqlite, FAST).await;
    let running = deployment.in_process().await;
    let before = logged_in(running.listen[0]).await;
    let rotated = deployment.command(&["keys", "rotate"]).await;
    let new = done(&rotated).split_whitespace().next().unwrap().to_owned();
    until(PATIENCE, "the new key is published", async || published(running.listen[0]).await.contains(&new)).await;
    assert_eq!(kid(&logged_in(running.listen[0]).await.access), kid(&before.access));
    let listed = deployment.command(&["keys", "list"]).await;
    let line = done(&listed).lines().find(|line| line.starts_with(&new)).unwrap().to_owned();
    let day = &rotated.stdout.trim_end()[rotated.stdout.trim_end().len() - 20..];
    assert!(line.ends_with(&format!("published, signs from {day}")), "{line}");
}

/// A leaked key: everything it signed is refused on every replica, for good; nobody loses a session.
#[tokio::test]
async fn a_retired_key_is_refused_everywhere_and_sessions_live_on() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, FAST).await;
        let replicas = [deployment.in_process().await, deployment.in_process().await];
        let gates = [replicas[0].listen[0], replicas[1].listen[0]];
        let pair = logged_in(gates[0]).await;
        let leaked = kid(&pair.access);
        for gate in gates {
            assert_eq!(call(gate, "/", &pair.access).await.status, 200, "it is in both caches");
        }
        let retired = deployment.command(&["keys", "retire", &leaked]).await;
        assert!(done(&retired).contains(&format!("retired {leaked}: ")), "{retired:?}");
        for gate in gates {
            until_refused(gate, &pair.access).await;
            assert!(!published(gate).await.contains(&leaked));
        }
        let pair = refreshed(gates[1], &pair).await;
        assert_ne!(kid(&pair.access), leaked);
        for gate in gates {
            until(PATIENCE, "the new key has arrived", async || call(gate, "/", &pair.access).await.status == 200)
                .await;
        }
        let again = deployment.command(&["keys", "retire", &leaked]).await;
        assert_eq!(done(&again), format!("{leaked} is retired already\n"));
        let listed = deployment.command(&["keys", "list"]).await;
        assert!(done(&listed).contains("retired 20"), "{listed:?}");
        let unknown = deployment.command(&["keys", "retire", "nobody"]).await;
        assert_eq!(unknown.code, Some(1));
        assert!(unknown.stderr.contains("there is no key nobody\n  hint: see `sidegate keys list`"), "{unknown:?}");

        // A replica that starts now refuses it, too.
        let late = deployment.in_process().await;
        assert_eq!(call(late.listen[0], "/", &pair.access).await.status, 200);
        assert!(!published(late.listen[0]).await.contains(&leaked));
    }
}

#[tokio::test]
async fn keys_follow_each_other_by_themselves_and_go_when_they_are_over() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, FAST).await;
        let mut config = deployment.config();
        config.key.rotate_every = Duration::from_millis(1);
        config.key.publish_ahead = Duration::ZERO;
        let replicas = [start(&config).await, start(&config).await];
        let (first, second) = (&replicas[0], &replicas[1]);
        let old = kid(&logged_in(first.listen[0]).await.access);
        let (one, other) = tokio::join!(first.authority.tend_keys(), second.authority.tend_keys());
        one.unwrap();
        other.unwrap();
        let listed = deployment.command(&["keys", "list"]).await;
        assert_eq!(
            done(&listed).matches("published, signs from ").count(),
            1,
            "one of the two has added it: {listed:?}"
        );
        until(PATIENCE, "the next one signs", async || kid(&logged_in(first.listen[0]).await.access) != old).await;
    }
}

async fn start(config: &Config) -> Running {
    boot::start(config, Arc::new(SystemClock), Entropy).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Starts a replica that cannot open the keys as they are sealed: at its second start it can.
async fn start_beside(other: &Running, config: &Config) -> Running {
    let refused = boot::start(config, Arc::new(SystemClock), Entropy).await.err().expect("the keys do not open");
    assert!(refused.to_string().contains("which is not configured\n  hint: "), "{refused}");
    other.authority.tend_keys().await.unwrap();
    start(config).await
}

fn with_secrets(deployment: &Deployment, files: &[&str]) -> Config {
    let mut config = deployment.config();
    config.key.secret_files = files.iter().map(|file| deployment.home.path(file)).collect();
    config
}

fn key_id(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(&token["sgr1_".len()..]).unwrap()[..4].to_vec()
}

/// A new secret verifies at once, and signs when nobody is left who could not open what it makes.
#[tokio::test]
async fn a_new_operator_secret_signs_once_every_replica_has_it() {
    let deployment = Deployment::new(StoreKind::Postgres, FAST).await;
    deployment.home.write("new-secret", NEW_SECRET);
    let only_old = start(&with_secrets(&deployment, &["secret"])).await;
    let has_both = start(&with_secrets(&deployment, &["new-secret", "secret"])).await;
    let pair = logged_in(has_both.listen[0]).await;
    let old = key_id(&pair.refresh);
    let pair = refreshed(only_old.listen[0], &pair).await;
    assert_eq!(key_id(&pair.refresh), old);
    let listed = deployment.command(&["keys", "list"]).await;
    assert!(done(&listed).contains("signs; on 2 of 2 running replicas"), "{listed:?}");
    assert!(listed.stdout.contains("on 1 of 2 running replicas; not on "), "{listed:?}");

    assert!(only_old.stop().await);
    let replaced = start(&with_secrets(&deployment, &["new-secret", "secret"])).await;
    let pair = refreshed(replaced.listen[0], &pair).await;
    assert_ne!(key_id(&pair.refresh), old, "everybody who is there has the new one");
    has_both.authority.tend_keys().await.unwrap();
    let other = logged_in(has_both.listen[0]).await;
    assert_eq!(key_id(&other.refresh), key_id(&pair.refresh));
    for gate in [has_both.listen[0], replaced.listen[0]] {
        assert_eq!(call(gate, "/", &pair.access).await.status, 200);
    }

    // Nothing in the store needs the old one any more; clients may, until their sessions are over.
    let only_new = start(&with_secrets(&deployment, &["new-secret"])).await;
    Pair::read(&refresh(only_new.listen[0], &pair.refresh, None).await);
}

/// Configured in different orders they agree, and nobody seals the keys again and again.
#[tokio::test]
async fn replicas_that_prefer_different_secrets_agree_on_one() {
    let deployment = Deployment::new(StoreKind::Postgres, FAST).await;
    deployment.home.write("new-secret", NEW_SECRET);
    let one = start(&with_secrets(&deployment, &["new-secret", "secret"])).await;
    let other = start(&with_secrets(&deployment, &["secret", "new-secret"])).await;
    let version = async || deployment.command(&["keys", "list"]).await.stdout;
    for running in [&one, &other] {
        running.authority.tend_keys().await.unwrap();
    }
    let settled = version().await;
    for running in [&one, &other, &one, &other] {
        running.authority.tend_keys().await.unwrap();
    }
    assert_eq!(version().await, settled);
    let made = [logged_in(one.listen[0]).await, logged_in(other.listen[0]).await];
    assert_eq!(key_id(&made[0].refresh), key_id(&made[1].refresh));
}

/// What a replica cannot open yet is 503: the client keeps its session. What nobody can open any more is 400.
#[tokio::test]
async fn a_token_of_a_secret_that_is_not_here_is_not_refused_until_the_secret_is_forgotten() {
    let deployment = Deployment::new(StoreKind::Postgres, FAST).await;
    deployment.home.write("new-secret", NEW_SECRET);
    let both = start(&with_secrets(&deployment, &["new-secret", "secret"])).await;
    let gate = both.listen[0];
    let pair = logged_in(gate).await;
    let old = start_beside(&both, &with_secrets(&deployment, &["secret"])).await;
    let answer = refresh(old.listen[0], &pair.refresh, None).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{}", answer.text());
    let listed = deployment.command(&["keys", "list"]).await;
    let fingerprint = |state: &str| {
        let line = done(&listed).lines().find(|line| line.contains(state)).unwrap().to_owned();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let new = fingerprint("not configured here");
    let in_use = deployment.command(&["keys", "forget-secret", &new]).await;
    assert_eq!(in_use.code, Some(1));
    assert!(in_use.stderr.contains(": in use on "), "{in_use:?}");

    assert!(both.stop().await);
    let unknown = deployment.command(&["keys", "forget-secret", "0000"]).await;
    assert!(unknown.stderr.contains("the realm knows no operator secret 0000"), "{unknown:?}");
    assert_eq!(done(&deployment.command(&["keys", "forget-secret", &new]).await).lines().count(), 1);
    until(PATIENCE, "the secret is forgotten", async || {
        refresh(old.listen[0], &pair.refresh, None).await.status == 400
    })
    .await;
    assert_eq!(oauth_error(&refresh(old.listen[0], &pair.refresh, None).await, 400), "invalid_grant");
    let last = deployment.command(&["keys", "forget-secret", &fingerprint("signs; ")]).await;
    assert!(last.stderr.contains(": in use on "), "{last:?}");
}

/// A repeat needs the secret that the successor was made with; where that is missing, the client asks another replica.
#[tokio::test]
async fn a_keyed_retry_where_the_secret_is_missing_is_no_late_duplicate() {
    let deployment = Deployment::new(StoreKind::Postgres, FAST).await;
    deployment.home.write("new-secret", NEW_SECRET);
    let old = start(&with_secrets(&deployment, &["secret"])).await;
    let parent = logged_in(old.listen[0]).await;
    assert!(old.stop().await);
    let both = start(&with_secrets(&deployment, &["new-secret", "secret"])).await;
    let key = Some("the-key-of-one-refresh");
    let child = Pair::read(&refresh(both.listen[0], &parent.refresh, key).await);
    assert_ne!(key_id(&child.refresh), key_id(&parent.refresh));

    let late_comer = start_beside(&both, &with_secrets(&deployment, &["secret"])).await;
    assert_eq!(refresh(late_comer.listen[0], &parent.refresh, key).await.status, 503);
    let repeated = Pair::read(&refresh(both.listen[0], &parent.refresh, key).await);
    assert_eq!(repeated.refresh, child.refresh);
}

/// A roll-out that is taken back: the others see who has come, and seal the keys so that it can open them.
#[tokio::test]
async fn a_replica_that_lacks_the_new_secret_gets_in_at_its_second_start() {
    let deployment = Deployment::new(StoreKind::Postgres, FAST).await;
    deployment.home.write("new-secret", NEW_SECRET);
    let both = start(&with_secrets(&deployment, &["new-secret", "secret"])).await;
    let pair = logged_in(both.listen[0]).await;
    let old = start_beside(&both, &with_secrets(&deployment, &["secret"])).await;
    assert_eq!(call(old.listen[0], "/", &pair.access).await.status, 200);
    let fresh = logged_in(both.listen[0]).await;
    Pair::read(&refresh(old.listen[0], &fresh.refresh, None).await);
}

/// RSA keys come from elsewhere: `openssl` makes them here, as an operator would.
#[tokio::test]
async fn an_rsa_key_is_imported_signs_and_is_published() {
    let deployment = Deployment::new(StoreKind::Sqlite, FAST).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let before = logged_in(gate).await;
    for (algorithm, bits) in [("RS256", "2048"), ("PS256", "3072")] {
        let file = format!("{algorithm}.pem");
        openssl(
            &deployment,
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}"), "-out", &file],
        );
        let imported = deployment.command(&["keys", "import", &file, "--algorithm", algorithm]).await;
        let key = done(&imported).split_whitespace().nth(1).unwrap().to_owned();
        assert!(imported.stdout.ends_with("published; `sidegate keys rotate` lets it sign\n"), "{imported:?}");
        done(&deployment.command(&["keys", "rotate", "--now"]).await);
        until(PATIENCE, "the RSA key signs", async || kid(&logged_in(gate).await.access) == key).await;
        let pair = logged_in(gate).await;
        assert_eq!(header(&pair.access)["alg"], algorithm);
        assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        assert_eq!(call(gate, "/", &before.access).await.status, 200);

        let keys = exchange(gate, request("GET", "/.well-known/jwks.json").bytes()).await.json();
        let jwk = keys["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == key.as_str()).unwrap();
        assert_eq!((&jwk["kty"], &jwk["alg"], &jwk["e"]), (&"RSA".into(), &algorithm.into(), &"AQAB".into()));
        let names: Vec<&String> = jwk.as_object().unwrap().keys().collect();
        assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"], "and nothing private");

        let (signed, _) = pair.access.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([7; 256]));
        assert_eq!(call(gate, "/", &forged).await.status, 401);
        let again = deployment.command(&["keys", "import", &file, "--algorithm", algorithm]).await;
        assert!(again.stderr.contains(&format!("the key {key} is there already")), "{again:?}");
        // One key, one algorithm: the same key under another one is the same key.
        let other = if algorithm == "RS256" { "PS256" } else { "RS256" };
        let twin = deployment.command(&["keys", "import", &file, "--algorithm", other]).await;
        assert!(twin.stderr.contains(&format!("the key {key} is there already")), "{twin:?}");
    }
}

/// A leaked RSA key goes at once, whether or not another one is at hand.
#[tokio::test]
async fn a_leaked_rsa_key_is_retired_with_and_without_another_one() {
    let deployment = Deployment::new(StoreKind::Sqlite, &format!("{FAST}\nkey.algorithm = \"ES256\"")).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let config = deployment.home.path("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let import = async |file: &str| {
        openssl(&deployment, &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file]);
        let imported = deployment.command(&["keys", "import", file, "--algorithm", "RS256"]).await;
        done(&imported).split_whitespace().nth(1).unwrap().to_owned()
    };
    let first = import("first.pem").await;
    done(&deployment.command(&["keys", "rotate", "--now"]).await);
    std::fs::write(&config, text.replace("ES256", "RS256")).unwrap();
    until(PATIENCE, "the RSA key signs", async || kid(&logged_in(gate).await.access) == first).await;

    let second = import("second.pem").await;
    for (leaked, next) in [(&first, Some(&second)), (&second, None)] {
        let pair = logged_in(gate).await;
        assert_eq!(kid(&pair.access), **leaked);
        let retired = deployment.command(&["keys", "retire", leaked]).await;
        assert!(done(&retired).contains(&format!("retired {leaked}: ")), "{retired:?}");
        until_refused(gate, &pair.access).await;
        until(PATIENCE, "another one signs", async || kid(&logged_in(gate).await.access) != **leaked).await;
        let header = header(&refreshed(gate, &pair).await.access);
        let expected = next.map_or("ES256", |_| "RS256");
        assert_eq!((header["alg"].as_str(), next.is_none_or(|next| header["kid"] == **next)), (Some(expected), true));
    }
    assert!(running.stop().await);
    // It starts with what there is, and says what is missing.
    done(&deployment.command(&["migrate"]).await);
    let again = deployment.home.start(&["--config", "config.toml", "run"]);
    again.wait_for("no RS256 key signs, or is about to").await;
    again.wait_for("health on").await;
}

/// Back to an algorithm that still verifies is a change, too.
#[tokio::test]
async fn an_algorithm_that_comes_back_signs_again() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, &format!("{FAST}\nkey.algorithm = \"ES256\"")).await;
        let config = deployment.home.path("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        for (algorithm, keys) in [("EdDSA", 2), ("EdDSA", 2), ("ES256", 3)] {
            std::fs::write(&config, text.replace("ES256", algorithm)).unwrap();
            done(&deployment.command(&["migrate"]).await);
            let listed = deployment.command(&["keys", "list"]).await;
            let lines: Vec<&str> = done(&listed).lines().skip(1).take_while(|line| !line.is_empty()).collect();
            assert_eq!(lines.len(), keys, "{listed:?}");
            assert!(lines[keys - 1].contains(algorithm) && lines[keys - 1].contains("signs from "), "{listed:?}");
        }
    }
}

/// JOSE-8, B1-22: at load, not when the first token is signed.
#[tokio::test]
async fn a_weak_or_wrong_key_is_refused_at_import() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let make = |name: &str, arguments: &[&str]| {
        openssl(&deployment, &[&["genpkey", "-out", name], arguments].concat());
    };
    make("weak.pem", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    make("large.pem", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:5120"]);
    make("exponent.pem", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"]);
    make("p256.pem", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    make("p384.pem", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    make("ed25519.pem", &["-algorithm", "ED25519"]);
    deployment.home.write("text.pem", "no key at all");
    for (file, algorithm, why) in [
        ("weak.pem", "RS256", "the file holds no RS256 key that can be used"),
        ("large.pem", "PS256", "the file holds no PS256 key that can be used"),
        ("exponent.pem", "RS256", "the file holds no RS256 key that can be used"),
        ("p256.pem", "ES384", "the file holds no ES384 key that can be used"),
        ("p256.pem", "RS256", "the file holds no RS256 key that can be used"),
        ("p256.pem", "HS256", "the file holds no HS256 key that can be used"),
        ("ed25519.pem", "ES256", "the file holds no ES256 key that can be used"),
        ("text.pem", "RS256", "text.pem cannot be read: no `BEGIN PRIVATE KEY`"),
        ("missing.pem", "RS256", "missing.pem cannot be read: No such file"),
    ] {
        let refused = deployment.command(&["keys", "import", file, "--algorithm", algorithm]).await;
        assert_ne!(refused.code, Some(0), "{file} as {algorithm}");
        assert!(refused.stderr.contains(why), "{file} as {algorithm}: {}", refused.stderr);
    }
    for (file, algorithm) in [("p256.pem", "ES256"), ("p384.pem", "ES384"), ("ed25519.pem", "EdDSA")] {
        done(&deployment.command(&["keys", "import", file, "--algorithm", algorithm]).await);
    }
    let unmade = deployment.command(&["keys", "generate", "--algorithm", "RS256"]).await;
    assert!(unmade.stderr.contains("RS256 keys are not made here\n  hint: import one"), "{unmade:?}");
}

fn openssl(deployment: &Deployment, arguments: &[&str]) {
    let made = std::process::Command::new("openssl").args(arguments).current_dir(deployment.home.path("")).output();
    let made = made.expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
