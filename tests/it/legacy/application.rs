//! One of the old applications, as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::net::free_address;
use crate::support::process::Process;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Php,
    Flask,
    Django,
    Express,
}

/// A running application, with data of its own.
pub(super) struct Application {
    kind: Kind,
    pub(super) address: SocketAddr,
    folder: TempDir,
    process: Process,
}

impl Kind {
    /// The example's folder.
    pub(super) fn example(self) -> PathBuf {
        let name = match self {
            Self::Php => "php",
            Self::Flask => "flask",
            Self::Django => "django",
            Self::Express => "express",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
    }

    /// Its own start command, and what it says when it serves.
    fn command(self, address: SocketAddr) -> (Command, &'static str) {
        let port = address.port().to_string();
        match self {
            Self::Php => {
                let mut command = Command::new("php");
                command.args(["-S", &address.to_string(), "-t", "public"]);
                (command, "started")
            }
            Self::Flask => {
                let mut command = python();
                command.args(["-m", "flask", "--app", "app", "run", "--port", &port]);
                (command, "Running on")
            }
            Self::Django => {
                let mut command = python();
                command.args(["-u", "app.py", &address.to_string()]).env("ALLOWED_HOSTS", "*");
                (command, "Starting development server")
            }
            Self::Express => {
                let modules = self.example().join("node_modules");
                assert!(modules.exists(), "scripts/setup --tests makes {}", modules.display());
                let mut command = Command::new("node");
                command.arg("server.js").env("PORT", port);
                (command, "listening on")
            }
        }
    }
}

impl Application {
    pub(super) async fn start(kind: Kind) -> Self {
        let folder = copied(kind);
        let address = free_address();
        let process = run(kind, folder.path(), address).await;
        Self { kind, address, folder, process }
    }

    /// It starts again and has forgotten who was signed in.
    pub(super) async fn forget_everybody(&mut self) {
        self.process.kill();
        self.process.exit().await;
        let data = self.folder.path().join("data");
        match self.kind {
            Kind::Php => std::fs::remove_dir_all(data.join("sessions")).expect("it keeps its sessions there"),
            Kind::Django => std::fs::remove_dir_all(data).expect("it keeps them there, and its people"),
            Kind::Flask | Kind::Express => {}
        }
        self.process = run(self.kind, self.folder.path(), self.address).await;
    }
}

async fn run(kind: Kind, folder: &Path, address: SocketAddr) -> Process {
    let (mut command, ready) = kind.command(address);
    let process = Process::start(command.current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1"));
    process.wait_for(ready).await;
    process
}

fn python() -> Command {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    assert!(python.exists(), "scripts/setup --tests makes {}", python.display());
    Command::new(python)
}

/// The example in a folder of its own.
pub(super) fn copied(kind: Kind) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    copy(&kind.example(), folder.path());
    folder
}

/// Everything but what an earlier run by hand has left; installed packages are linked.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the example is there") {
        let (source, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("it can be listed");
        let target = to.join(&name);
        let copied = match name.to_str() {
            Some("data" | "venv" | "__pycache__") => Ok(()),
            Some("node_modules") => std::os::unix::fs::symlink(&source, &target),
            _ if source.is_dir() => std::fs::create_dir(&target).map(|()| copy(&source, &target)),
            _ => std::fs::copy(&source, &target).map(drop),
        };
        copied.unwrap_or_else(|error| panic!("copying {}: {error}", source.display()));
    }
}
