//! A server whose databases lie on a disk of their own, which a test can fill.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use super::{Database, Durability, Server};

/// A small disk in memory; unmounted when dropped.
pub struct SmallDisk {
    folder: PathBuf,
}

/// Room for an empty database of ours, and little more.
const SIZE: &str = "size=24m";

impl SmallDisk {
    /// # Panics
    /// If this process may not mount: it must be root.
    fn mount(server: &Server) -> Self {
        let folder = server.0.folder.join("disk");
        fs::create_dir(&folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&folder).output().unwrap();
        let why = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "a small disk cannot be mounted, which takes root: {why}");
        if let Some((uid, gid)) = server.0.user {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        Self { folder }
    }

    /// Writes until not a byte fits any more.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.folder.join("filling")).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn clear(&self) {
        fs::remove_file(self.folder.join("filling")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still hold files.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

impl Server {
    /// A server and a database of it on a small disk.
    pub async fn with_small_disk() -> (Database, SmallDisk) {
        let (server, disk) = tokio::task::spawn_blocking(|| {
            let server = Self::start(Durability::Off);
            let disk = SmallDisk::mount(&server);
            server.execute(&format!("CREATE TABLESPACE small OWNER sidegate LOCATION '{}'", disk.folder.display()));
            // New databases are made there.
            (server, disk)
        })
        .await
        .unwrap();
        (server.database_in("TABLESPACE small").await, disk)
    }
}
