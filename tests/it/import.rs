//! `sidegate users import`, from the file to the second login.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use sidegate::clock::SystemClock;
use sidegate::domain::session::Subject;
use sidegate::domain::user::{PasswordHash, User, UserName};
use sidegate::store;

use crate::support::client::{Pair, call, login, oauth_error};
use crate::support::deployment::{Deployment, StoreKind};
use crate::support::process::{Finished, Process};

/// Made by other implementations; the script beside it says how.
const KNOWN_HASHES: &str = include_str!("../fixtures/users/known_hashes.jsonl");

#[derive(Deserialize)]
struct Row {
    scheme: String,
    password: String,
    hash: String,
}

fn known_hashes() -> Vec<Row> {
    KNOWN_HASHES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn known_hash(scheme: &str) -> Row {
    known_hashes().into_iter().find(|row| row.scheme == scheme).unwrap()
}

/// Imports a file of this content, and insists that no hash of it was shown.
async fn import(deployment: &Deployment, name: &str, content: &str, options: &[&str]) -> Finished {
    deployment.home.write(name, content);
    let finished = deployment.command(&[&["users", "import", name], options].concat()).await;
    shows_no_secret(&finished);
    finished
}

fn shows_no_secret(finished: &Finished) {
    let output = format!("{}{}", finished.stdout, finished.stderr);
    for Row { hash, password, .. } in known_hashes() {
        let end = hash.rsplit('$').next().unwrap();
        assert!(!output.contains(end), "{output}");
        assert!(password == "x" || !output.contains(&password), "{output}");
    }
    assert!(!output.contains("hunter2"), "{output}");
}

fn done(finished: &Finished) -> &str {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    &finished.stdout
}

fn refused(finished: &Finished) -> &str {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    &finished.stderr
}

/// The lines of `users list` below its head, spaces folded.
async fn listed(deployment: &Deployment) -> Vec<String> {
    let finished = deployment.command(&["users", "list"]).await;
    shows_no_secret(&finished);
    let fold = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    done(&finished).lines().skip(1).map(fold).collect()
}

async fn nobody_was_added(deployment: &Deployment) {
    assert_eq!(listed(deployment).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_kind_of_hash_lets_its_user_in_and_is_argon2id_afterwards() {
    let all = known_hashes();
    let mut seen = HashSet::new();
    let one_each: Vec<Row> = known_hashes().into_iter().filter(|row| seen.insert(row.scheme.clone())).collect();
    for (kind, rows) in [(StoreKind::Sqlite, all), (StoreKind::Postgres, one_each)] {
        let deployment = Deployment::without_user(kind, "").await;
        let line = |(n, row): (usize, &Row)| json!({ "name": format!("user{n:02}"), "hash": row.hash }).to_string();
        let file: Vec<String> = rows.iter().enumerate().map(line).collect();
        let imported = import(&deployment, "legacy.jsonl", &file.join("\n"), &[]).await;
        assert_eq!(imported.code, Some(0), "{imported:?}");
        assert!(imported.stdout.starts_with(&format!("imported {} users: ", rows.len())), "{imported:?}");

        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let before = listed(&deployment).await;
        for (n, row) in rows.iter().enumerate() {
            let name = format!("user{n:02}");
            assert_eq!(before[n], format!("{name} {name} enabled {} {{}}", row.scheme));
            let wrong = format!("!{}", row.password);
            assert_eq!(oauth_error(&login(gate, &name, &wrong).await, 400), "invalid_grant", "{}", row.hash);
            let first = Pair::read(&login(gate, &name, &row.password).await);
            assert_eq!(call(gate, "/", &first.access).await.status, 200, "the login ends nothing");
        }
        for (n, line) in listed(&deployment).await.iter().enumerate() {
            assert_eq!(*line, format!("user{n:02} user{n:02} enabled argon2id {{}}"));
        }
        for (n, row) in rows.iter().enumerate() {
            let name = format!("user{n:02}");
            Pair::read(&login(gate, &name, &row.password).await);
            let wrong = format!("!{}", row.password);
            assert_eq!(oauth_error(&login(gate, &name, &wrong).await, 400), "invalid_grant", "{}", row.hash);
        }
    }
}

/// bcrypt read 72 bytes; who logs in first with more decides what the rest is.
#[tokio::test]
async fn a_password_that_bcrypt_cut_off_counts_in_full_from_the_first_login_on() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, "").await;
    let Row { password, hash, .. } =
        known_hashes().into_iter().find(|row| row.scheme == "bcrypt" && row.password.len() > 72).unwrap();
    done(&import(&deployment, "legacy", &format!("ann:{hash}"), &[]).await);
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    assert_eq!(oauth_error(&login(gate, "ann", &format!("{}\0", &password[..71])).await, 400), "invalid_grant");
    Pair::read(&login(gate, "ann", &password).await);
    for other in [&password[..72], &format!("{password}x")] {
        assert_eq!(oauth_error(&login(gate, "ann", other).await, 400), "invalid_grant");
    }
    Pair::read(&login(gate, "ann", &password).await);
}

#[tokio::test]
async fn an_htpasswd_file_is_read_as_apache_and_nginx_read_it() {
    let [bcrypt, apr1, sha1] = ["bcrypt", "apr1", "sha1"].map(known_hash);
    let file = format!(
        "\u{feff}# made by hand\r\n\r\nann:{}\r\nbob:{}:a remark\r\n  Zoë Müller:{}  ",
        bcrypt.hash, apr1.hash, sha1.hash
    );
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "").await;
        let checked = import(&deployment, ".htpasswd", &file, &["--dry-run"]).await;
        assert_eq!(
            (checked.code, checked.stdout.as_str()),
            (Some(0), "would import 3 users: 1 apr1, 1 bcrypt, 1 sha1\n")
        );
        nobody_was_added(&deployment).await;

        let imported = import(&deployment, ".htpasswd", &file, &[]).await;
        assert_eq!(
            (imported.code, imported.stdout.as_str()),
            (Some(0), "imported 3 users: 1 apr1, 1 bcrypt, 1 sha1\n")
        );
        let warning = "warning: weak hashes: 2 (1 apr1, 1 sha1): whoever has a copy can try very many \
                       passwords; hint: each is replaced when its user logs in, and `sidegate users list` shows who has \
                       not\n";
        assert_eq!([checked.stderr, imported.stderr], [warning, warning]);
        assert_eq!(
            listed(&deployment).await,
            ["Zoë Müller Zoë Müller enabled sha1 {}", "ann ann enabled bcrypt {}", "bob bob enabled apr1 {}"]
        );
        let running = deployment.in_process().await;
        Pair::read(&login(running.listen[0], "Zoë Müller", &sha1.password).await);
    }
}

#[tokio::test]
async fn a_line_of_json_says_all_that_a_user_can_have() {
    let Row { password, hash, .. } = known_hash("pbkdf2_sha256");
    let ann = json!({
        "name": "ann", "hash": hash, "subject": "42", "roles": ["clerk", "admin"], "scope": "read write",
        "claims": { "tenant": "acme" }, "disabled": null,
    });
    let bob = json!({ "name": "bob", "hash": hash, "subject": null, "disabled": true });
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "").await;
        let stdin = std::fs::File::open(deployment.home.write("input", format!("\n  {ann}\n\n{bob}\n"))).unwrap();
        let mut command = deployment.home.command(&["users", "import", "-"]);
        let imported = Process::start_reading(&mut command, stdin).finish().await;
        assert_eq!(done(&imported), "imported 2 users: 2 pbkdf2_sha256\n");
        assert_eq!(
            listed(&deployment).await,
            [
                r#"ann 42 enabled pbkdf2_sha256 {"roles":["clerk","admin"],"scope":"read write","tenant":"acme"}"#,
                "bob bob disabled pbkdf2_sha256 {}"
            ]
        );
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let pair = Pair::read(&login(gate, "ann", &password).await);
        assert_eq!(call(gate, "/", &pair.access).await.status, 200);
        let seen = deployment.upstream.only_request();
        assert_eq!(seen.header("x-auth-subject").as_deref(), Some("42"));
        assert_eq!(seen.header("x-auth-roles").as_deref(), Some("clerk,admin"));
        assert_eq!(oauth_error(&login(gate, "bob", &password).await, 400), "invalid_grant");
    }
}

#[tokio::test]
async fn every_problem_of_an_htpasswd_file_is_named_with_its_line_and_nothing_is_imported() {
    let Row { hash, .. } = known_hash("bcrypt");
    let absurd = hash.replacen("$05$", "$31$", 1);
    let cut = &hash[..hash.len() - 1];
    let file = format!(
        "ann:{hash}\nbob:hunter2\ncid:rqXexS6ZhobKA\nno colon at all, hunter2\n dan :{hash}\n:{hash}\neve:{absurd}\n\
         fay:{cut}\nann:{hash}\ngil:!\n"
    );
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "").await;
        let finished = import(&deployment, "users.htpasswd", &file, &[]).await;
        assert_eq!(
            refused(&finished),
            "sidegate: users.htpasswd: 9 problems, nothing was imported\n\
             users.htpasswd:2: bob: plain text, or no hash that sidegate knows; hint: docs/users.md lists the formats\n\
             users.htpasswd:3: cid: DES crypt, or plain text: only eight characters of a password count in it, and all can \
             be tried; hint: give this user a new password, with `sidegate users add`\n\
             users.htpasswd:4: no colon; hint: a line is NAME:HASH\n\
             users.htpasswd:5: \"dan \" cannot be a user name: 1 to 128 bytes, no control characters, no space at the ends\n\
             users.htpasswd:6: \"\" cannot be a user name: 1 to 128 bytes, no control characters, no space at the ends\n\
             users.htpasswd:7: eve: bcrypt at cost 31 costs more than a login may, which is 15; hint: give this user a new \
             password, with `sidegate users add`\n\
             users.htpasswd:8: fay: this is no whole bcrypt hash; hint: the export may have cut it off or changed it\n\
             users.htpasswd:9: ann: the name stands on line 1 already; hint: leave one of them out\n\
             users.htpasswd:10: gil: the account has no password, so nobody can log in with it; hint: leave it out\n"
        );
        nobody_was_added(&deployment).await;
    }
}

#[tokio::test]
async fn every_problem_of_a_line_of_json_is_named() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, "").await;
    let Row { hash, .. } = known_hash("bcrypt");
    let file = [
        json!({ "name": "ann", "hash": hash, "subject": "7" }).to_string(),
        json!({ "name": "bob", "hash": hash, "subject": "7" }).to_string(),
        json!({ "name": "cid", "hash": hash, "subject": 8 }).to_string(),
        json!({ "name": 1, "roles": "clerk", "disabled": 0, "claims": [], "email": hash }).to_string(),
        json!({ "name": "dan", "hash": "hunter2", "subject": "", "claims": { "sub": "eve" } }).to_string(),
        format!(r#"{{ "name": "eve", "hash": "{hash}", "name": "eva" }}"#),
        format!(r#"{{ "name": "fay", "hash": "{hash}" }},"#),
        "[".to_owned(),
        json!({}).to_string(),
    ];
    let finished = import(&deployment, "users.jsonl", &file.join("\n"), &[]).await;
    let object = "no JSON object, or one that repeats a member";
    let hint = "hint: each line is one object, without commas between them";
    let text = refused(&finished);
    let lines: Vec<&str> = text.lines().map(|line| line.trim_start_matches("users.jsonl:")).collect();
    assert_eq!(
        lines[..13],
        [
            "sidegate: users.jsonl: 16 problems, nothing was imported",
            "2: bob: the subject 7 stands on line 1 already; hint: leave one of them out",
            "3: \"cid\": subject must be a text, in quotes",
            "4: name must be a text, in quotes",
            "4: roles must be a list of texts",
            "4: disabled must be true or false",
            "4: claims must be an object",
            "4: \"email\" is not known; hint: name, hash, subject, roles, scope, claims and disabled are, the rest belongs \
             into claims",
            "4: hash is missing",
            "5: dan: \"\" cannot be a subject",
            "5: dan: plain text, or no hash that sidegate knows; hint: docs/users.md lists the formats",
            "5: dan: the claim sub is sidegate's own; hint: subject, roles and scope stand beside claims",
            &format!("6: {object} (column 104); {hint}"),
        ]
    );
    for (line, start) in
        lines[13..].iter().zip(["7: no JSON", "8: no JSON", "9: name is missing", "9: hash is missing"])
    {
        assert!(line.starts_with(start), "{line}");
    }
    nobody_was_added(&deployment).await;
}

#[tokio::test]
async fn who_is_there_already_is_named_or_left_out() {
    let Row { hash, .. } = known_hash("bcrypt");
    let one = json!({ "name": "ann", "hash": hash, "subject": "1" }).to_string();
    let file = [
        json!({ "name": "ann", "hash": hash, "subject": "2" }).to_string(),
        json!({ "name": "bob", "hash": hash, "subject": "1" }).to_string(),
        json!({ "name": "cid", "hash": hash }).to_string(),
    ]
    .join("\n");
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "").await;
        done(&import(&deployment, "one.jsonl", &one, &[]).await);
        for options in [&[][..], &["--dry-run"]] {
            assert_eq!(
                refused(&import(&deployment, "all.jsonl", &file, options).await),
                "sidegate: all.jsonl: 2 problems, nothing was imported\n\
                 all.jsonl:1: ann: there is a user ann already; hint: --skip-existing leaves out who is there\n\
                 all.jsonl:2: bob: the subject 1 is that of the user ann already; hint: --skip-existing leaves out who is \
                 there\n"
            );
        }
        assert_eq!(listed(&deployment).await, ["ann 1 enabled bcrypt {}"]);
        let imported = import(&deployment, "all.jsonl", &file, &["--skip-existing"]).await;
        assert_eq!(imported.stdout, "imported 1 user: 1 bcrypt; 2 skipped\n");
        assert_eq!(
            imported.stderr,
            "warning: all.jsonl:2: bob is left out: the subject 1 is that of the user ann already\n"
        );
        assert_eq!(listed(&deployment).await, ["ann 1 enabled bcrypt {}", "cid cid enabled bcrypt {}"]);
        let again = import(&deployment, "one.jsonl", &one, &["--skip-existing"]).await;
        assert_eq!(done(&again), "imported 0 users; 1 skipped\n");
    }
}

#[tokio::test]
async fn hashes_that_take_more_memory_than_our_own_are_announced() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, "").await;
    let large = known_hashes().into_iter().find(|row| row.hash.contains("m=102400")).unwrap();
    let imported = import(&deployment, "users", &format!("ann:{}", large.hash), &[]).await;
    assert_eq!(
        imported.stderr,
        "warning: large hashes: 1, which take up to 100 MiB to check, more than login.users.argon2_memory; hint: until \
         their users have logged in, the memory limit of each replica must allow 2 × that (login.users.argon2_slots)\n"
    );
    assert_eq!((imported.code, imported.stdout.as_str()), (Some(0), "imported 1 user: 1 argon2id\n"));
}

#[tokio::test]
async fn a_file_that_cannot_be_what_was_meant_is_refused() {
    let deployment = Deployment::without_user(StoreKind::Sqlite, "").await;
    let Row { hash, .. } = known_hash("bcrypt");
    for content in ["", "\n\n", "# ann:hunter2\n"] {
        let finished = import(&deployment, "empty", content, &[]).await;
        assert_eq!(refused(&finished), "sidegate: empty: there is no user in it\n");
    }
    let latin = [b"ann:".as_slice(), b"\xfc\n"].concat();
    deployment.home.write("latin", latin);
    let finished = deployment.command(&["users", "import", "latin"]).await;
    assert_eq!(refused(&finished), "sidegate: latin: 1 problem, nothing was imported\nlatin:1: this is not UTF-8\n");
    let finished = import(&deployment, "file", &format!("ann:{hash}"), &["--format", "jsonl"]).await;
    assert!(refused(&finished).contains("file:1: no JSON object"), "{finished:?}");
    let finished = deployment.command(&["users", "import", "missing"]).await;
    assert!(refused(&finished).starts_with("sidegate: missing cannot be read: "), "{finished:?}");
    nobody_was_added(&deployment).await;

    let without_users = Deployment::without_user(StoreKind::Sqlite, "").await;
    let text = std::fs::read_to_string(without_users.home.path("config.toml")).unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    config.insert("login".into(), toml::Value::Table(toml::toml! { provider = "none" }));
    without_users.home.write("config.toml", config.to_string());
    let finished = import(&without_users, "file", &format!("ann:{hash}"), &[]).await;
    assert_eq!(refused(&finished), "sidegate: login.provider is \"none\": there are no built-in users\n");
}

/// The page names every format, and its example of an export is one: of a user with this password.
#[tokio::test]
async fn the_page_about_users_speaks_the_truth() {
    let page = include_str!("../../docs/users.md");
    for Row { scheme, .. } in known_hashes() {
        assert!(page.contains(&format!("`{scheme}`")), "{scheme}");
    }
    let export = page.lines().find(|line| line.contains("\"pbkdf2_sha256$1000000$")).unwrap();
    let deployment = Deployment::without_user(StoreKind::Sqlite, "").await;
    done(&import(&deployment, "users.jsonl", export, &[]).await);
    let running = deployment.in_process().await;
    Pair::read(&login(running.listen[0], "ann", "correct horse battery").await);
    let about = deployment.command(&["users", "import", "--help"]).await;
    for option in ["--format", "--skip-existing", "--dry-run"] {
        assert!(page.contains(option) && done(&about).contains(option), "{option}");
    }
}

/// Put there by hand: nobody can tell it from a wrong password, and no cost of it is paid.
#[tokio::test]
async fn a_hash_that_no_import_accepts_is_a_wrong_password() {
    let Row { hash, password, .. } = known_hash("bcrypt");
    let bad = [
        String::new(),
        "hunter2".into(),
        password.clone(),
        "$2y$".into(),
        hash.replacen("$05$", "$31$", 1),
        format!("{}é", &hash[..hash.len() - 2]),
        "pbkdf2_sha256$1000000000$seasalt$dRrWdVq0mMT0hmsOiHlEViRRO04uq+XlRBajW34TEus=".into(),
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA".into(),
        "$argon2id$v=19$m=8,t=4294967295,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA".into(),
        format!("$6$rounds=999999999$salt${}", "a".repeat(86)),
        format!("${}", "a$".repeat(5000)),
    ];
    for kind in [StoreKind::Sqlite, StoreKind::Postgres] {
        let deployment = Deployment::without_user(kind, "").await;
        let config = deployment.config();
        let store = store::open(&config.store, &config.realm, Arc::new(SystemClock)).await.unwrap();
        let user = |(n, hash): (usize, &String)| User {
            name: UserName::parse(&format!("user{n:02}")).unwrap(),
            subject: Subject::parse(&format!("user{n:02}")).unwrap(),
            password_hash: PasswordHash(hash.clone()),
            disabled: false,
            claims: serde_json::Map::new(),
        };
        let users: Vec<User> = bad.iter().enumerate().map(user).collect();
        assert!(store.add_users(&users).await.unwrap());
        let running = deployment.in_process().await;
        let gate = running.listen[0];
        let unknown = login(gate, "nobody", &password).await;
        for (n, hash) in bad.iter().enumerate() {
            let answer = login(gate, &format!("user{n:02}"), &password).await;
            assert_eq!(oauth_error(&answer, 400), "invalid_grant", "{hash}");
            assert_eq!(answer.text(), unknown.text(), "{hash}");
        }
        for line in listed(&deployment).await {
            assert!(line.contains("enabled unusable"), "{line}");
        }
    }
}
