//! A second server that follows the first, a little behind, and can take its place.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Durability, PASSWORD, Server};

impl Server {
    /// A standby that replicates without anybody waiting for it, over `wire`: the address of this server, or of a relay to
    /// it. Returns once it answers.
    pub fn standby(&self, durability: Durability, wire: SocketAddr) -> Self {
        self.execute(&format!("CREATE ROLE follower REPLICATION LOGIN PASSWORD '{PASSWORD}'"));
        let standby = Self::prepared(durability, &self.0.settings);
        let (folder, port) = (self.0.folder.to_str().expect("the path is text"), self.0.port.to_string());
        let copy =
            ["-U", "postgres", "-h", folder, "-p", &port, "--checkpoint=fast", "--wal-method=stream", "--no-sync"];
        standby.run(standby.command("pg_basebackup").args(copy).arg("-D").arg(standby.data()));
        let connection = format!(
            "host={} port={} user=follower password={PASSWORD} application_name=standby",
            wire.ip(),
            wire.port()
        );
        // A server that hears nothing for this long tries again.
        let settings = format!(
            "primary_conninfo = '{connection}'\nwal_receiver_timeout = 2s\nwal_retrieve_retry_interval = 200ms\n"
        );
        let written = fs::write(standby.data().join("postgresql.auto.conf"), settings)
            .and_then(|()| fs::write(standby.data().join("standby.signal"), ""));
        written.expect("its folder can be written");
        standby.start_again();
        standby
    }

    /// Makes a standby the primary, with what it has received, and waits until it takes writes.
    pub fn promote(&self) {
        self.run(self.command("pg_ctl").arg("-D").arg(self.data()).args(["-w", "promote"]));
    }

    /// Waits until the standby has replayed everything that this server has written by now.
    ///
    /// # Panics
    /// If it does not get there.
    pub async fn until_followed_by(&self, standby: &Self) {
        let written: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text")
            .fetch_one(&mut self.admin("postgres").await)
            .await
            .unwrap();
        let mut follower = standby.admin("postgres").await;
        let catching_up = async {
            let question = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)";
            while !sqlx::query_scalar::<_, bool>(question).bind(&written).fetch_one(&mut follower).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), catching_up).await.expect("the standby follows");
    }
}
