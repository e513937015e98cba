//! A real Postgres, started by the tests and gone with them.
//!
//! [`database`] gives each test its own empty database on a server that the whole test process shares; a test that wants
//! to stop or break a server starts its own with [`Server::start`]. Postgres refuses to run as root, so root starts it as
//! `postgres` or `nobody`. A machine without Postgres fails these tests: they are never skipped.

#![expect(unreachable_pub, reason = "a test binary exports nothing")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Mutex;

use super::net::free_address;
use super::watchdog;

mod crash;
mod disk;
mod standby;

pub use crash::Crash;

/// An empty database on the server that all tests of this process share.
pub async fn database() -> Database {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(Durability::Off));
    SHARED.database().await
}

/// Whether the server waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Faster; for tests that don't kill it.
    Off,
    On,
}

/// A running server. It is killed and its files are removed when the last copy is dropped, or when this process ends.
#[derive(Clone, Debug)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    binaries: Option<PathBuf>,
    user: Option<(u32, u32)>,
    folder: PathBuf,
    port: u16,
    durability: Durability,
    /// More settings, as the server's command line takes them.
    settings: String,
    databases: AtomicU32,
    /// A shell that reads a pipe of ours and cleans up when the pipe breaks, however this process ends.
    watchdog: Child,
}

impl Server {
    pub fn start(durability: Durability) -> Self {
        Self::start_with(durability, "")
    }

    /// As [`Self::start`], with more settings: `-c max_connections=10`.
    pub fn start_with(durability: Durability, settings: &str) -> Self {
        let server = Self::prepared(durability, settings);
        // Over TCP it asks for the password in clear text: a build without optimisation takes long over SCRAM.
        let options = ["--username=postgres", "--auth-local=trust", "--auth-host=password", "--no-sync", "-D"];
        let data = server.data();
        server.run(server.command("initdb").args(options).arg(&data).args(["--encoding=UTF8", "--no-locale"]));
        server.start_again();
        server.execute(&format!("CREATE ROLE sidegate LOGIN PASSWORD '{PASSWORD}'"));
        server
    }

    /// A folder and a port, and nothing in them.
    fn prepared(durability: Durability, settings: &str) -> Self {
        let user = unprivileged_user();
        let folder = tempfile::Builder::new().prefix("sidegate-postgres-").tempdir().unwrap().keep();
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        // Not one that an outgoing connection may take while the server is down.
        let port = free_address().port();
        let watchdog = watchdog(&folder);
        let databases = AtomicU32::new(0);
        let binaries = binaries();
        let settings = settings.to_owned();
        Self(Arc::new(Inner { binaries, user, folder, port, durability, settings, databases, watchdog }))
    }

    /// Starts it again after [`Self::stop`], on the same port, and waits until it answers.
    pub fn start_again(&self) {
        let fsync = if self.0.durability == Durability::On { "on" } else { "off" };
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync={fsync} -c max_connections=400 -c shared_buffers=64MB {}",
            self.0.port,
            self.0.folder.display(),
            self.0.settings
        );
        let log = self.0.folder.join("log");
        self.run(
            self.command("pg_ctl").arg("-D").arg(self.data()).arg("-l").arg(log).args(["-w", "-o", &options, "start"]),
        );
    }

    /// Stops it, breaking every connection, and waits until it is gone.
    pub fn stop(&self) {
        self.run(self.command("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-m", "fast", "stop"]));
    }

    /// A new empty database, which the role `sidegate` owns.
    pub async fn database(&self) -> Database {
        self.database_in("").await
    }

    /// As [`Self::database`], with more to say about it: `TABLESPACE other`.
    pub async fn database_in(&self, place: &str) -> Database {
        let name = format!("test_{}", self.0.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = self.admin("postgres").await;
        let create = format!("CREATE DATABASE {name} OWNER sidegate TEMPLATE template0 {place}");
        admin.execute(AssertSqlSafe(create)).await.unwrap();
        let port = self.0.port;
        let url = format!("postgres://sidegate:{PASSWORD}@127.0.0.1:{port}/{name}");
        Database { url, name, server: self.clone() }
    }

    /// A connection of the superuser.
    pub async fn admin(&self, database: &str) -> PgConnection {
        let (folder, port) = (self.0.folder.display(), self.0.port);
        let url = format!("postgres://postgres@localhost/{database}?host={folder}&port={port}");
        PgConnection::connect(&url).await.unwrap()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.0.port))
    }

    /// A statement of the superuser, without a runtime.
    fn execute(&self, statement: &str) {
        let (folder, port) = (self.0.folder.to_str().unwrap(), self.0.port.to_string());
        self.run(self.command("psql").args(["-h", folder, "-p", &port, "-U", "postgres", "-qc", statement]));
    }

    /// The folder of its files.
    pub fn data(&self) -> PathBuf {
        self.0.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let path = self.0.binaries.as_ref().map_or_else(|| program.into(), |folder| folder.join(program));
        let mut command = Command::new(path);
        if let Some((uid, gid)) = self.0.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.0.folder).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn run(&self, command: &mut Command) {
        let log = self.0.folder.join("output");
        let output = fs::File::create(&log).unwrap();
        // Files and not pipes: the server inherits them, and a pipe would stay open for as long as it lives.
        let done = command.stdout(output.try_clone().unwrap()).stderr(output).status();
        let hint = "these tests need a Postgres server, in /usr/lib/postgresql/*/bin or on the PATH";
        let done = done.unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
        let said = ["output", "log"].map(|file| fs::read_to_string(self.0.folder.join(file)).unwrap_or_default());
        assert!(done.success(), "{command:?}: {}; {hint}", said.join("\n"));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// One test's database.
#[derive(Clone, Debug)]
pub struct Database {
    /// How the role `sidegate` reaches it, with its password.
    pub url: String,
    pub name: String,
    pub server: Server,
}

impl Database {
    /// The same at another address: a relay's, or a pooler's.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { url: format!("postgres://sidegate:{PASSWORD}@{address}/{}", self.name), ..self.clone() }
    }

    /// The same through a Unix socket, where no password is asked for.
    pub fn socket_url(&self) -> String {
        let Inner { folder, port, .. } = &*self.server.0;
        format!("postgres://sidegate@localhost/{}?host={}&port={port}", self.name, folder.display())
    }

    /// A connection of the role `sidegate`.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// A connection of the superuser.
    pub async fn admin(&self) -> PgConnection {
        self.server.admin(&self.name).await
    }

    /// Changes the database's settings, for connections made from now on.
    pub async fn alter(&self, change: &str) {
        let statement = format!("ALTER DATABASE {} {change}", self.name);
        self.admin().await.execute(AssertSqlSafe(statement)).await.unwrap();
    }

    /// Everything that `pg_dump` gives.
    pub fn dump(&self) -> Vec<u8> {
        let Inner { folder, port, .. } = &*self.server.0;
        let file = folder.join(format!("{}.dump", self.name));
        let mut command = self.server.command("pg_dump");
        command.args(["-U", "postgres", "-p", &port.to_string(), "-h"]).arg(folder);
        self.server.run(command.arg("-f").arg(&file).arg(&self.name));
        fs::read(file).unwrap()
    }

    /// Puts a dump back, in place of what is there.
    pub fn put_back(&self, dump: &[u8]) {
        let Inner { folder, port, .. } = &*self.server.0;
        let file = folder.join(format!("{}.dump", self.name));
        fs::write(&file, dump).unwrap();
        let mut command = self.server.command("psql");
        command.args([
            "-U",
            "postgres",
            "-p",
            &port.to_string(),
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "--single-transaction",
        ]);
        command.arg("-h").arg(folder).args(["-c", "DROP SCHEMA sidegate CASCADE", "-f"]).arg(file).arg(&self.name);
        self.server.run(&mut command);
    }

    /// Takes `sidegate.now_ms()` over: from now on it says what was last set. The schema must be there.
    pub async fn take_clock(&self, now_ms: i64) -> DatabaseClock {
        let mut connection = self.connect().await;
        connection
            .execute(
                "CREATE SCHEMA test_clock; CREATE TABLE test_clock.now (ms bigint NOT NULL);
                INSERT INTO test_clock.now VALUES (0);
                CREATE OR REPLACE FUNCTION sidegate.now_ms() RETURNS bigint LANGUAGE sql VOLATILE
                    AS $$ SELECT ms FROM test_clock.now $$",
            )
            .await
            .unwrap();
        let clock = DatabaseClock(Mutex::new(connection));
        clock.set(now_ms).await;
        clock
    }
}

/// The clock of one database, in the test's hands.
#[derive(Debug)]
pub struct DatabaseClock(Mutex<PgConnection>);

impl DatabaseClock {
    pub async fn set(&self, now_ms: i64) {
        let mut connection = self.0.lock().await;
        sqlx::query("UPDATE test_clock.now SET ms = $1").bind(now_ms).execute(&mut *connection).await.unwrap();
    }
}

/// Of the role `sidegate`.
pub const PASSWORD: &str = "correct-horse-battery";

/// The newest version among those that distributions install; `None`: whatever the PATH has.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).filter_map(|path| Some((version(&path)?, path)));
    newest.max().map(|(_, path)| path.join("bin")).filter(|folder| folder.join("postgres").exists())
}

/// Whom to run the server as, if this is root.
pub fn unprivileged_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let fields: Vec<&str> =
            accounts.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user `postgres` or `nobody` to run the server as"))
}

fn watchdog(folder: &Path) -> Child {
    let script = r#"
        cat >/dev/null
        pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
        if [ -n "$pid" ]; then
            kill -QUIT "$pid"
            tries=0
            while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
        fi
        rm -rf "$1"
    "#;
    watchdog::watchdog(script, folder).spawn().expect("a shell")
}
