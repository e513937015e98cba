//! A real PgBouncer in front of a test's database, in transaction mode: gone with the test.
//!
//! A machine without PgBouncer fails the tests that use it: they are never skipped.

#![expect(unreachable_pub, reason = "a test binary exports nothing")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};

use super::net::free_address;
use super::postgres::{Database, PASSWORD, unprivileged_user};
use super::watchdog;

/// A running PgBouncer. It ends, and its files are removed, when the last copy is dropped, or when this process ends.
#[derive(Clone, Debug)]
pub struct PgBouncer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    folder: PathBuf,
    /// A shell that starts it, reads a pipe of ours, and cleans up when the pipe breaks, however this process ends.
    watchdog: Child,
}

impl PgBouncer {
    /// In front of this database's server, with so many connections to it for all clients, and further settings, a line
    /// each.
    pub async fn start(database: &Database, pool_size: u32, settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sidegate-pgbouncer-").tempdir().unwrap().keep();
        let address = free_address();
        let (port, server) = (address.port(), port(&database.url));
        let files = folder.display();
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = plain\nauth_file = {files}/users\nadmin_users = sidegate\n\
             pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 2000\n\
             logfile = {files}/log\n{settings}\n"
        );
        fs::write(folder.join("config"), config).unwrap();
        fs::write(folder.join("users"), format!("\"sidegate\" \"{PASSWORD}\"\n")).unwrap();
        let watchdog = watchdog(&folder);
        let started = Self(Arc::new(Inner { address, folder, watchdog }));
        started.until_it_listens().await;
        started
    }

    /// The same database, through this PgBouncer.
    pub fn database(&self, database: &Database) -> Database {
        let (direct, pooled) = (port(&database.url), self.0.address.port());
        Database { url: database.url.replace(&format!(":{direct}/"), &format!(":{pooled}/")), ..database.clone() }
    }

    /// How many connections it holds to the server, for all databases.
    pub async fn servers(&self) -> usize {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.0.address.port())
            .username("sidegate")
            .password(PASSWORD)
            .database("pgbouncer")
            .extra_float_digits(None);
        let mut console = options.connect().await.unwrap();
        let pools = sqlx::raw_sql("SHOW POOLS").fetch_all(&mut console).await.unwrap();
        let of =
            |row: &sqlx::postgres::PgRow, column: &str| row.get_unchecked::<String, _>(column).parse().unwrap_or(0);
        let columns = ["sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login"];
        pools.iter().flat_map(|row| columns.map(|column| of(row, column))).sum()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.0.folder.join("log")).unwrap_or_default()
    }

    async fn until_it_listens(&self) {
        let listens = async {
            while tokio::net::TcpStream::connect(self.0.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, listens).await;
        waited.unwrap_or_else(|_| panic!("these tests need PgBouncer, in /usr/sbin or on the PATH; {}", self.log()));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

fn port(url: &str) -> u16 {
    url::Url::parse(url).unwrap().port().unwrap()
}

const PATIENCE: Duration = Duration::from_secs(20);

fn watchdog(folder: &Path) -> Child {
    let script = r#"
        PATH="$PATH:/usr/sbin"
        pgbouncer --quiet "$1/config" </dev/null >>"$1/log" 2>&1 &
        cat >/dev/null
        kill -TERM $!
        wait
        rm -rf "$1"
    "#;
    let mut command = watchdog::watchdog(script, folder);
    if let Some((uid, gid)) = unprivileged_user() {
        for path in [folder.to_path_buf(), folder.join("config"), folder.join("users")] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        command.uid(uid).gid(gid);
    }
    command.current_dir(folder).spawn().expect("a shell")
}
