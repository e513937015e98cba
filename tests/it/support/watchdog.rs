//! A shell that outlives nobody: it reads a pipe of ours, and cleans up when the pipe breaks, however this process ends.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a script that reads its input to the end and then clears `$1` away. Whoever starts it keeps its end of the pipe.
pub fn watchdog(script: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "watchdog"])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
