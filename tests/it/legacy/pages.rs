//! What the examples' pages tell a reader to type.

use std::process::Command;
use std::time::Duration;

use super::application::{Kind, copied};
use crate::support::net::free_address;
use crate::support::process::Process;
use crate::support::raw::{exchange, request};
use crate::support::wait::until;

/// A shell and what it has started.
struct Shell(Process);

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", "kill -s KILL -- \"-$0\"", &self.0.id().to_string()]).status();
    }
}

/// Only the ports are others, and what is already installed is not fetched once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_example_starts_as_its_page_says() {
    for (kind, page) in [
        (Kind::Php, "/login.php"),
        (Kind::Flask, "/api/me"),
        (Kind::Django, "/accounts/login/"),
        (Kind::Express, "/goodbye"),
    ] {
        let folder = copied(kind);
        let (application, gate, health) = (free_address(), free_address(), free_address());
        let file = folder.path().join("config.toml");
        let config = std::fs::read_to_string(&file).expect("the example has a configuration");
        let config = config
            .replace("127.0.0.1:3000", &application.to_string())
            .replace("[\"http://127.0.0.1:8080\"]", &format!("[\"http://{gate}\"]"));
        std::fs::write(&file, format!("health.listen = \"http://{health}\"\n{config}")).expect("it can be written");

        let text = std::fs::read_to_string(folder.path().join("README.md")).expect("the example has a page");
        let typed = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has commands");
        let target = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        let typed = typed
            .replace("127.0.0.1:3000", &application.to_string())
            .replace("--port 3000", &format!("--port {}", application.port()))
            .replace("npm ci && ", "")
            .replace("python3 -m venv venv && venv/bin/pip install --requirement requirements.txt\n", "")
            .replace("venv/bin/", &format!("{}/python/bin/", target.display()))
            .replace("sidegate ", &format!("{} ", env!("CARGO_BIN_EXE_sidegate")));
        let mut command = Command::new("setsid");
        command.args(["bash", "-euc", &typed]).current_dir(folder.path());
        command.env("PORT", application.port().to_string()).env("ALLOWED_HOSTS", "*");
        let shell = Shell(Process::start(&mut command));

        shell.0.wait_for("health on").await;
        let answer = async || exchange(gate, request("GET", page).bytes()).await.status;
        let expected = if kind == Kind::Flask { 401 } else { 200 };
        until(Duration::from_secs(30), &format!("{kind:?} answers"), async || answer().await == expected).await;
    }
}
