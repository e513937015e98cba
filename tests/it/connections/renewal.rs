//! Passwords and URLs that change while sidegate runs, as a Kubernetes secret does.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use sidegate::clock::Stopwatch;
use tempfile::TempDir;

use crate::support::client::{Pair, call, logged_in, login, oauth_error, refresh};
use crate::support::deployment::{Deployment, PASSWORD, USER};
use crate::support::postgres;
use crate::support::wait::until;

use super::{PATIENCE, as_role, end_connections, role, set_password};

const SETTINGS: &str = "revocation.poll_interval = \"50ms\"\nstore.timeout = \"2s\"";

/// A mounted secret: files are links into a folder that is a link itself, which is replaced as a whole.
struct Mounted {
    folder: TempDir,
    swaps: usize,
}

impl Mounted {
    fn new(name: &str, content: &str) -> Self {
        let mut mounted = Self { folder: tempfile::tempdir().unwrap(), swaps: 0 };
        mounted.swap(name, content);
        symlink(format!("..data/{name}"), mounted.path(name)).unwrap();
        mounted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn swap(&mut self, name: &str, content: &str) {
        self.swaps += 1;
        let version = format!("..version-{}", self.swaps);
        std::fs::create_dir(self.path(&version)).unwrap();
        std::fs::write(self.path(&version).join(name), content).unwrap();
        symlink(&version, self.path("..data_tmp")).unwrap();
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }
}

async fn until_refreshed(gate: SocketAddr, pair: &Pair) -> Pair {
    let mut answer = None;
    until(PATIENCE, "refreshes are served again", async || {
        let refreshed = refresh(gate, &pair.refresh, Some("one-key-for-all-tries")).await;
        let served = refreshed.status == 200;
        answer = Some(refreshed);
        served
    })
    .await;
    Pair::read(&answer.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_of_the_store_is_taken_from_its_file() {
    let database = postgres::database().await;
    let role = role(&database, "the-first").await;
    let mut mounted = Mounted::new("password", "the-first\n");
    let settings = format!("{SETTINGS}\nstore.password_file = \"{}\"", mounted.path("password").display());
    let deployment = Deployment::on(as_role(&database, &role), &settings).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    let pair = logged_in(gate).await;

    set_password(&database, &role, "the-second").await;
    let pair = Pair::read(&refresh(gate, &pair.refresh, None).await);
    end_connections(&database).await;

    for _ in 0..3 {
        let watch = Stopwatch::start();
        let answer = refresh(gate, &pair.refresh, Some("one-key-for-all-tries")).await;
        assert_eq!(oauth_error(&answer, 503), "temporarily_unavailable");
        assert_eq!(oauth_error(&login(gate, USER, PASSWORD).await, 503), "temporarily_unavailable");
        assert!(watch.elapsed() < PATIENCE / 2, "{:?}", watch.elapsed());
    }
    assert_eq!(call(gate, "/", &pair.access).await.status, 200);

    mounted.swap("password", "the-second");

    let pair = until_refreshed(gate, &pair).await;
    assert_eq!(call(gate, "/", &pair.access).await.status, 200);
    logged_in(gate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_says_nothing_of_use_changes_nothing_and_is_named_once() {
    let database = postgres::database().await;
    let role = role(&database, "the-first").await;
    let mut mounted = Mounted::new("password", "the-first\n");
    let settings = format!("{SETTINGS}\nstore.password_file = \"{}\"", mounted.path("password").display());
    let deployment = Deployment::on(as_role(&database, &role), &settings).await;
    let replica = deployment.replica().await;
    let gate = replica.gate;
    logged_in(gate).await;

    for (content, complaint) in
        [("hunter2", "password authentication failed"), ("", "the file is empty"), ("hunter2\nx", "more than one line")]
    {
        mounted.swap("password", content);
        until(PATIENCE, "it is named", async || {
            logged_in(gate).await;
            replica.process.output().contains(complaint)
        })
        .await;
    }
    std::fs::remove_file(mounted.path("password")).unwrap();
    until(PATIENCE, "it is named", async || {
        logged_in(gate).await;
        replica.process.output().contains("no such file")
    })
    .await;

    let output = replica.process.output();
    assert_eq!(output.matches("cannot be used: the last one is kept").count(), 4, "{output}");
    assert!(!output.contains("hunter2") && !output.contains("the-first"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_url_of_the_store_leads_to_another_database() {
    let (old, new) = (postgres::database().await, postgres::database().await);
    let mut mounted = Mounted::new("url", &old.url);
    let settings = format!("{SETTINGS}\nstore.url_file = \"{}\"", mounted.path("url").display());
    let (deployment, other) = (Deployment::on(old.clone(), &settings).await, Deployment::on(new.clone(), "").await);
    other.add_user("bob", "bobs own password", &[]).await;
    let running = deployment.in_process().await;
    let gate = running.listen[0];
    logged_in(gate).await;
    assert_eq!(oauth_error(&login(gate, "bob", "bobs own password").await, 400), "invalid_grant");

    // Neither is a place: an unsafe one, and one where there is nobody.
    for bad in ["postgres://sidegate:x@db.example/x", "postgres://sidegate:x@127.0.0.1:1/x"] {
        mounted.swap("url", bad);
        logged_in(gate).await;
    }
    mounted.swap("url", &format!("  {}\n", new.url));

    until(PATIENCE, "the users of the new one can log in", async || {
        login(gate, "bob", "bobs own password").await.status == 200
    })
    .await;
    logged_in(gate).await;
    until(PATIENCE, "the old one has no connection any more", async || super::connections(&old).await.0 == 0).await;
}
