//! Every command, as an operator types it: what it prints, what it changes, and its exit code.

use std::os::unix::fs::PermissionsExt;

use sidegate::boot;
use sidegate::clock::{Entropy, SystemClock};

use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh, until_refused};
use crate::support::deployment::{Deployment, PASSWORD, StoreKind, USER};
use crate::support::net::free_address;
use crate::support::process::{Finished, Home, Process};

async fn with_input(deployment: &Deployment, arguments: &[&str], input: &str) -> Finished {
    let input = std::fs::File::open(deployment.home.write("input", input)).unwrap();
    Process::start_reading(&mut deployment.home.command(arguments), input).finish().await
}

fn done(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.lines().all(is_audit_line), "{finished:?}");
    &finished.stdout
}

/// What a command has changed is said on standard error, too.
fn is_audit_line(line: &str) -> bool {
    line.starts_with("{\"time\":") && line.contains("\"by\":\"command\"")
}

fn failed<'a>(finished: &'a Finished, text: &str) -> &'a str {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains(text), "{finished:?}");
    &finished.stderr
}

#[tokio::test]
async fn users_are_added_listed_disabled_enabled_and_removed() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "revocation.poll_interval = \"20ms\"").await;
        let add = [
            "users",
            "add",
            "bob",
            "--subject",
            "42",
            "--role",
            "clerk",
            "--role",
            "admin",
            "--scope",
            "read write",
            "--claim",
            "tenant=acme",
            "--claim",
            "level=3",
        ];
        assert_eq!(done(&with_input(&deployment, &add, "a long enough password\n").await), "added bob\n");
        failed(&with_input(&deployment, &add, "a long enough password\n").await, "there is a user bob or a subject 42");
        let list = deployment.command(&["users", "list"]).await;
        let line = done(&list).lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            line,
            r#"bob 42 enabled argon2id {"level":3,"roles":["clerk","admin"],"scope":"read write","tenant":"acme"}"#
        );

        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let pair = Pair::read(&login(gate, "bob", "a long enough password").await);
        assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        assert_eq!(deployment.upstream.only_request().header("x-auth-subject").as_deref(), Some("42"));

        assert_eq!(done(&deployment.command(&["users", "disable", "bob"]).await), "disabled bob; all sessions ended\n");
        until_refused(gate, &pair.access).await;
        assert_eq!(oauth_error(&refresh(gate, &pair.refresh, None).await, 400), "invalid_grant");
        assert_eq!(oauth_error(&login(gate, "bob", "a long enough password").await, 400), "invalid_grant");
        assert_eq!(done(&deployment.command(&["users", "enable", "bob"]).await), "enabled bob\n");
        let again = Pair::read(&login(gate, "bob", "a long enough password").await);

        let changed = with_input(&deployment, &["users", "passwd", "bob"], "another long password\r\n").await;
        assert_eq!(done(&changed), "set a new password for bob; all sessions ended\n");
        until_refused(gate, &again.access).await;
        assert_eq!(oauth_error(&login(gate, "bob", "a long enough password").await, 400), "invalid_grant");
        let newest = Pair::read(&login(gate, "bob", "another long password").await);

        assert_eq!(done(&deployment.command(&["users", "remove", "bob"]).await), "removed bob; all sessions ended\n");
        until_refused(gate, &newest.access).await;
        for command in ["passwd", "disable", "enable", "remove"] {
            failed(&with_input(&deployment, &["users", command, "bob"], "x").await, "there is no user bob");
        }
    }
}

#[tokio::test]
async fn a_removed_user_who_comes_back_does_not_get_old_sessions_back() {
    let deployment = Deployment::new(StoreKind::Sqlite, "revocation.poll_interval = \"20ms\"").await;
    let running = deployment.in_process().await;
    let pair = logged_in(running.listen[0]).await;
    done(&deployment.command(&["users", "remove", USER]).await);
    deployment.add_user(USER, PASSWORD, &[]).await;
    until_refused(running.listen[0], &pair.access).await;
    assert_eq!(oauth_error(&refresh(running.listen[0], &pair.refresh, None).await, 400), "invalid_grant");
}

#[tokio::test]
async fn bad_users_passwords_and_claims_are_refused_with_a_reason() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, "").await;
    for (arguments, input, reason) in [
        (&["users", "add", " bob"][..], "a long enough password", "cannot be a user name"),
        (&["users", "add", "bob"], "short", "the password needs at least 12 characters"),
        (&["users", "add", "bob"], "", "the password needs at least 12 characters"),
        (&["users", "add", "bob-and-alice"], "Bob-and-Alice", "the password is the user's name"),
        (&["users", "add", "bob"], "Qwertyuiop123", "one of those that are tried first"),
        (&["users", "add", "bob"], "123456789012", "one of those that are tried first"),
        (&["users", "add", "bob", "--subject", ""], "a long enough password", "cannot be a subject"),
        (&["users", "add", "bob", "--claim", "sub=eve"], "a long enough password", "the claim sub is sidegate's own"),
        (&["users", "add", "bob", "--claim", "roles=x"], "a long enough password", "the claim roles is sidegate's own"),
        (&["users", "add", "bob", "--claim", "tenant"], "a long enough password", "write NAME=VALUE"),
        (&["users", "add", "bob", "--claim", "a=1", "--claim", "a=2"], "a long enough password", "given twice"),
        (&["revoke", "--session", "xyz"], "", "is no session id"),
        (&["revoke", "--subject", ""], "", "cannot be a subject"),
        (&["sessions", "list", "--subject", ""], "", "cannot be a subject"),
    ] {
        let stderr = failed(&with_input(&deployment, arguments, input).await, reason).to_owned();
        assert!(input.is_empty() || !stderr.contains(input), "{stderr}");
    }
    assert_eq!(done(&deployment.command(&["users", "list"]).await).lines().count(), 1);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_by_subject_and_all_at_once() {
    let deployment = Deployment::new(StoreKind::Sqlite, "revocation.poll_interval = \"20ms\"").await;
    deployment.add_user("bob", "a long enough password", &[]).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let (first, second) = (logged_in(gate).await, logged_in(gate).await);
    let bob = Pair::read(&login(gate, "bob", "a long enough password").await);

    let listed = deployment.command(&["sessions", "list", "--subject", USER]).await;
    let lines: Vec<&str> = done(&listed).lines().collect();
    assert_eq!(lines.last(), Some(&"2 sessions"));
    let newest = lines[1].split_whitespace().next().unwrap();
    assert!(lines[1].contains("127.0.0.1"), "{}", lines[1]);

    let ended = deployment.command(&["revoke", "--session", newest]).await;
    assert_eq!(done(&ended), format!("ended session {newest}\n"));
    let again = deployment.command(&["revoke", "--session", newest]).await;
    failed(&again, &format!("there is no session {newest} in realm default"));
    until_refused(gate, &second.access).await;
    assert_eq!(call(gate, "/", &first.access).await.status, 200);

    assert_eq!(done(&deployment.command(&["revoke", "--subject", USER]).await), "ended 1 sessions of ann\n");
    until_refused(gate, &first.access).await;
    assert_eq!(
        done(&deployment.command(&["sessions", "list", "--subject", USER]).await).lines().last(),
        Some("0 sessions")
    );
    assert_eq!(call(gate, "/", &bob.access).await.status, 200);

    assert_eq!(done(&deployment.command(&["revoke", "--all"]).await), "ended every session of realm default\n");
    until_refused(gate, &bob.access).await;
    assert_eq!(oauth_error(&refresh(gate, &bob.refresh, None).await, 400), "invalid_grant");
    assert_eq!(call(gate, "/", &logged_in(gate).await.access).await.status, 200);
}

/// A secret that is gone is not replaced by another one, which could open nothing.
#[tokio::test]
async fn a_missing_secret_beside_a_store_is_missing_and_not_made_again() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    std::fs::remove_file(deployment.home.path("secret")).unwrap();
    for command in ["run", "migrate"] {
        let finished = deployment.command(&[command]).await;
        assert_eq!(finished.code, Some(78), "{finished:?}");
        assert!(finished.stderr.contains("the operator secret secret is missing"), "{finished:?}");
    }
    assert!(!deployment.home.path("secret").exists());
}

/// As `key.secret_files` says: both files, the new one first, then only the new one. Sessions live through it.
#[tokio::test]
async fn an_operator_secret_is_changed_without_losing_a_session() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::new(kind, "").await;
        let with = |files: &[&str]| {
            let mut config = deployment.config();
            config.key.secret_files = files.iter().map(|file| deployment.home.path(file)).collect();
            config
        };
        deployment.home.write("new-secret", "0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5a6b7c82f1d7a9c5be8403\n");
        let start = |config| {
            Box::pin(async move {
                let started = boot::start(&config, std::sync::Arc::new(SystemClock), Entropy).await;
                started.unwrap_or_else(|error| panic!("{error}"))
            })
        };
        let before = start(with(&["secret"])).await;
        let pair = logged_in(before.listen[0]).await;
        assert!(before.stop().await);

        let both = with(&["new-secret", "secret"]);
        let during = start(both).await;
        during.authority.tend_keys().await.unwrap();
        assert_eq!(call(during.listen[0], "/", &pair.access).await.status, 200);
        let pair = Pair::read(&refresh(during.listen[0], &pair.refresh, None).await);
        assert!(during.stop().await);

        let after = start(with(&["new-secret"])).await;
        assert_eq!(call(after.listen[0], "/", &pair.access).await.status, 200);
        Pair::read(&refresh(after.listen[0], &pair.refresh, None).await);
    }
}

/// A command that made an empty store would report success and change nothing.
#[tokio::test]
async fn a_command_in_the_wrong_folder_makes_nothing_and_says_so() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    std::fs::create_dir(deployment.home.path("elsewhere")).unwrap();
    for arguments in [&["revoke", "--all"][..], &["users", "list"], &["sessions", "list", "--subject", USER]] {
        let mut command = deployment.home.command(&[&["--config", "../config.toml"], arguments].concat());
        let finished = Process::start(command.current_dir(deployment.home.path("elsewhere"))).finish().await;
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(78), ""), "{finished:?}");
        assert!(finished.stderr.contains("sidegate migrate"), "{finished:?}");
    }
    assert_eq!(std::fs::read_dir(deployment.home.path("elsewhere")).unwrap().count(), 0);
}

#[tokio::test]
async fn output_that_nobody_reads_or_nothing_takes_is_no_panic() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let binary = env!("CARGO_BIN_EXE_sidegate");
    for (line, code) in [("users list | true", 0), ("check >/dev/full", 1), ("users list >/dev/full", 1)] {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-o", "pipefail", "-c", &format!("{binary} {line}")]).current_dir(deployment.home.path(""));
        let finished = Process::start(&mut bash).finish().await;
        assert_eq!(finished.code, Some(code), "{line}: {finished:?}");
        assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_code_2_and_names_what_is_missing() {
    let home = Home::new();
    for (arguments, part) in [
        (&["revoke"][..], "--session"),
        (&["revoke", "--all", "--subject", "ann"], "cannot be used with"),
        (&["users", "add"], "<NAME>"),
        (&["users", "add", "bob", "--password", "x"], "--password"),
        (&["sessions", "list"], "--subject"),
        (&["serve"], "unrecognized subcommand"),
        (&[], "Usage: sidegate"),
    ] {
        let finished = home.run(arguments).await;
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains(part), "{finished:?}");
    }
    for command in ["run", "check", "demo", "init", "migrate", "users", "sessions", "token", "revoke"] {
        assert!(home.run(&["--help"]).await.stdout.contains(command), "{command}");
        assert_eq!(home.run(&[command, "--help"]).await.code, Some(0));
    }
}

#[tokio::test]
async fn init_makes_everything_a_first_start_needs_and_nothing_twice() {
    let home = Home::new();
    let first = home.run(&["init"]).await;
    assert!(done(&first).starts_with("wrote config.toml"), "{first:?}");
    let mode = |name: &str| std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/secret"), mode("data/sidegate.db")), (0o700, 0o600, 0o600));
    let before = ["config.toml", "data/secret"].map(|name| std::fs::read(home.path(name)).unwrap());
    let second = home.run(&["init"]).await;
    assert!(done(&second).starts_with("config.toml is there already"), "{second:?}");
    assert_eq!(["config.toml", "data/secret"].map(|name| std::fs::read(home.path(name)).unwrap()), before);
}

#[tokio::test]
async fn check_says_what_the_file_means_or_every_problem_of_it() {
    let home = Home::with_config("");
    let good = home.run(&["check"]).await;
    assert!(done(&good).starts_with("config.toml is valid\n  realm     default\n"), "{good:?}");
    home.write("config.toml", "realm = \"No\"\nlisten = 1\n[server]\nworkers = -1\n");
    let bad = home.run(&["check"]).await;
    assert_eq!(bad.code, Some(78));
    for key in ["realm", "listen", "server.workers"] {
        assert!(bad.stderr.contains(key), "{}", bad.stderr);
    }
    let missing = home.run(&["--config", "none.toml", "run"]).await;
    assert_eq!(missing.code, Some(78));
    assert!(missing.stderr.contains("no such file"), "{}", missing.stderr);
}

#[tokio::test]
async fn migrate_can_run_again_and_a_start_without_it_says_so() {
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "").await;
        let again = deployment.command(&["migrate"]).await;
        assert!(done(&again).ends_with("is up to date for realm default\n"), "{again:?}");
    }
}

#[tokio::test]
async fn a_token_is_explained_without_showing_its_secrets() {
    let deployment = Deployment::new(StoreKind::Sqlite, "").await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let inspect = async |token: &str| {
        let finished = with_input(&deployment, &["token", "inspect"], &format!("{token}\n")).await;
        assert_eq!(finished.stderr, "");
        let secret = token.rsplit('.').next().unwrap();
        assert!(secret.is_empty() || !finished.stdout.contains(secret), "{}", finished.stdout);
        (finished.code == Some(0), finished.stdout.lines().last().unwrap().to_owned())
    };
    let refused = |why: &str| (false, format!("refused: {why}"));
    let pair = logged_in(gate).await;
    assert_eq!(inspect(&pair.access).await, (true, "accepted: its session lives".into()));
    assert_eq!(inspect(&pair.refresh).await, (true, "accepted: the live one of its session".into()));
    let next = Pair::read(&refresh(gate, &pair.refresh, None).await);
    assert_eq!(inspect(&pair.refresh).await, refused("its session is at generation 1"));
    let forged = format!("{}AAAA", &next.refresh[..next.refresh.len() - 4]);
    assert_eq!(inspect(&forged).await, refused("the tag does not match"));
    assert_eq!(inspect("nonsense").await, refused("not three base64url parts"));
    assert_eq!(inspect("").await, refused("not three base64url parts"));
    done(&deployment.command(&["revoke", "--all"]).await);
    assert_eq!(inspect(&next.access).await, refused("its session has ended"));
    assert_eq!(inspect(&next.refresh).await, refused("its session has ended"));
}

/// The examples' configurations are ones that this version reads.
#[tokio::test]
async fn the_examples_are_valid() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let configs: Vec<_> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("config.toml"))
        .filter(|config| config.exists())
        .collect();
    assert!(!configs.is_empty());
    for config in configs {
        let text = std::fs::read_to_string(&config).unwrap().replace("/run/secrets/", "secrets/");
        let home = Home::with_config(&text);
        home.write("secrets/sidegate/database-url", "postgres://sidegate:secret@127.0.0.1:5432/sidegate\n");
        done(&home.run(&["check"]).await);
    }
}

#[tokio::test]
async fn a_second_demo_keeps_users_and_sessions() {
    let [gate, health, api] = [(); 3].map(|()| free_address());
    let home = Home::with_config(&format!(
        "server.listen = [\"http://{gate}\"]\nhealth.listen = \"http://{health}\"\n\
         upstream.default.url = \"http://{api}\"\nlogin.users.argon2_memory = \"64KiB\"\n"
    ));
    let mut first = home.start(&["demo"]);
    first.wait_for("Ctrl-C stops it").await;
    let pair = Pair::read(&login(gate, "demo", "sidegate-demo").await);
    first.signal("INT");
    assert!(first.exit().await.success());
    let second = home.start(&["demo"]);
    second.wait_for("Ctrl-C stops it").await;
    assert_eq!(call(gate, "/api/notes", &pair.access).await.status, 200);
    let next = Pair::read(&refresh(gate, &pair.refresh, None).await);
    assert_eq!(call(gate, "/api/notes", &next.access).await.json()["notes"][0], "buy milk");
    second.wait_for("the API got GET /api/notes (x-auth-subject: demo").await;
}
