//! Several processes begin on nothing at once: what is made once is made once.

use std::collections::BTreeSet;
use std::fs;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::support::client::{Pair, call, login, refresh};
use crate::support::deployment::OPERATOR_SECRET;
use crate::support::net::free_address;
use crate::support::postgres;
use crate::support::process::{Home, Process};
use crate::support::raw::{self, request};
use crate::support::upstream::Upstream;

const ROUNDS: usize = 6;
const PROCESSES: usize = 3;

#[tokio::test]
async fn processes_that_start_at_once_in_an_empty_folder_share_one_secret_and_one_key() {
    let upstream = Upstream::start().await;
    for _ in 0..ROUNDS {
        let home = Home::new();
        let mut gates = Vec::new();
        let mut processes: Vec<Process> = Vec::new();
        for n in 0..PROCESSES {
            let (gate, health) = (free_address(), free_address());
            let name = format!("config-{n}.toml");
            let text = format!(
                "server.listen = [\"http://{gate}\"]\nhealth.listen = \"http://{health}\"\n\
                 upstream.default.url = \"{}\"\nadmin.listen = \"\"\nlogin.users.argon2_memory = \"64KiB\"\n",
                upstream.url()
            );
            home.write(&name, text);
            gates.push((gate, name));
        }
        for (_, name) in &gates {
            processes.push(home.start(&["--config", name, "run"]));
        }
        for process in &processes {
            process.wait_for("health on").await;
        }

        let mut published = BTreeSet::new();
        for (gate, _) in &gates {
            let keys = raw::exchange(*gate, request("GET", "/.well-known/jwks.json").bytes()).await.json();
            assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1), "{keys}");
            published.insert(keys.to_string());
        }
        assert_eq!(published.len(), 1);
        let names = fs::read_dir(home.path("data")).unwrap().map(|entry| entry.unwrap().file_name());
        let names: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
        let expected = ["secret", "sidegate.db", "sidegate.db-shm", "sidegate.db-wal"];
        assert_eq!(names, expected.map(str::to_owned).into());
        let options = SqliteConnectOptions::new().filename(home.path("data/sidegate.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        for table in ["secret", "signing_key", "realm"] {
            let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let rows: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
            assert_eq!(rows, 1, "{table}");
        }

        let password = home.write("password", "correct horse battery");
        let mut add = home.command(&["--config", "config-0.toml", "users", "add", "ann"]);
        let added = Process::start_reading(&mut add, fs::File::open(password).unwrap()).finish().await;
        assert_eq!(added.code, Some(0), "{}", added.stderr);
        for ((one, _), (other, _)) in gates.iter().zip(gates.iter().cycle().skip(1)) {
            let pair = Pair::read(&login(*one, "ann", "correct horse battery").await);
            assert_eq!(call(*other, "/", &pair.access).await.status, 200);
            Pair::read(&refresh(*other, &pair.refresh, None).await);
        }
    }
}

#[tokio::test]
async fn migrations_at_once_on_an_empty_database_make_one_key() {
    for _ in 0..3 {
        let database = postgres::database().await;
        let home = Home::with_config(&format!("store.url = \"{}\"\nkey.secret_files = [\"secret\"]\n", database.url));
        home.write("secret", OPERATOR_SECRET);
        let migrations: Vec<_> = (0..6).map(|_| home.start(&["migrate"])).collect();
        for migration in migrations {
            let finished = migration.finish().await;
            assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        }
        let mut connection = database.connect().await;
        let query = "SELECT (SELECT count(*) FROM sidegate.signing_key), (SELECT count(*) FROM sidegate.secret),
            (SELECT count(*) FROM sidegate.realm)";
        let rows: (i64, i64, i64) = sqlx::query_as(query).fetch_one(&mut connection).await.unwrap();
        assert_eq!(rows, (1, 1, 1));
    }
}
