//! How a server dies, and how it only seems to.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::Server;

/// How a server that does not shut down goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// SIGKILL to every process of it, as when the machine goes.
    Kill,
    /// SIGQUIT to all of them: `pg_ctl -m immediate`.
    Immediate,
}

impl Server {
    /// Ends it in the middle of whatever it does, and returns once it is gone. [`Server::start_again`] recovers it.
    pub fn crash(&self, how: Crash) {
        if how == Crash::Immediate {
            return self.run(self.command("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-m", "immediate", "stop"]));
        }
        let processes = self.processes();
        signal("KILL", &processes);
        for _ in 0..2_000 {
            if processes.iter().all(|process| !is_alive(*process)) {
                // They name a process that is gone, or that looks alive until somebody asks how it ended.
                let socket_lock = format!(".s.PGSQL.{}.lock", self.0.port);
                for lock in [self.data().join("postmaster.pid"), self.0.folder.join(socket_lock)] {
                    let _ = fs::remove_file(lock);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{processes:?} do not go");
    }

    /// The postmaster first, then its children.
    fn processes(&self) -> Vec<u32> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        let postmaster: u32 = file.lines().next().and_then(|line| line.parse().ok()).expect("the file names it");
        let entries = fs::read_dir("/proc").expect("there is /proc").filter_map(Result::ok);
        let others = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let children = others.filter(|process| status(*process).is_some_and(|(_, parent)| parent == postmaster));
        std::iter::once(postmaster).chain(children).collect()
    }
}

fn is_alive(process: u32) -> bool {
    status(process).is_some_and(|(state, _)| state != 'Z')
}

/// State and parent.
fn status(process: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before them is in parentheses, and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    // One that has gone meanwhile is no failure.
    let _ = Command::new("sh").args(["-c", "kill -s \"$0\" \"$@\" 2>/dev/null", name]).args(processes).status();
}
