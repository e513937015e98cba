//! The real `sidegate` binary, in a directory of its own.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;

use super::wire::PATIENCE;

/// A directory with the files of one deployment, in which commands run. Replicas and commands may share it.
pub struct Home {
    directory: TempDir,
}

/// A running process whose output is kept. Killed when dropped.
pub struct Process {
    child: Child,
    output: Arc<Output>,
}

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

struct Output {
    written: Mutex<Written>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Written {
    lines: Vec<(Stream, String)>,
    /// How many of the two streams have ended.
    ended: usize,
}

impl Home {
    /// An empty directory.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    /// A directory with this `config.toml`.
    pub fn with_config(config: &str) -> Self {
        let home = Self::new();
        home.write("config.toml", config);
        home
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let written =
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, content));
        written.unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
        path
    }

    /// `sidegate` with these arguments, to be started by hand.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.args(arguments).current_dir(self.directory.path()).env_remove("RUST_LOG");
        command
    }

    /// Starts `sidegate` with these arguments.
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// Runs `sidegate` with these arguments to its end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish().await
    }
}

impl Process {
    /// Starts a command, without input.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(command: &mut Command) -> Self {
        Self::start_reading(command, Stdio::null())
    }

    /// Starts a command that reads this input.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start_reading(command: &mut Command, input: impl Into<Stdio>) -> Self {
        let piped = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        let output = Arc::new(Output { written: Mutex::default(), changed: watch::Sender::new(()) });
        output.keep(Stream::Stdout, child.stdout.take());
        output.keep(Stream::Stderr, child.stderr.take());
        Self { child, output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything written so far, both streams, line by line as it came.
    pub fn output(&self) -> String {
        self.output.text(&[Stream::Stdout, Stream::Stderr])
    }

    pub fn stdout(&self) -> String {
        self.output.text(&[Stream::Stdout])
    }

    pub fn stderr(&self) -> String {
        self.output.text(&[Stream::Stderr])
    }

    /// The first line that contains `text`, on either stream, once there is one.
    ///
    /// # Panics
    /// If there is none in time, or all output has ended without one.
    pub async fn wait_for(&self, text: &str) -> String {
        self.wait_for_within(text, PATIENCE).await
    }

    /// As [`Self::wait_for`], with a deadline of its own.
    ///
    /// # Panics
    /// If there is no such line in time, or all output has ended without one.
    pub async fn wait_for_within(&self, text: &str, deadline: Duration) -> String {
        let found = self.output.wait(deadline, |written| {
            let line = written.lines.iter().find(|(_, line)| line.contains(text));
            line.map(|(_, line)| Some(line.clone())).or((written.ended == 2).then_some(None))
        });
        let line = found.await.flatten();
        line.unwrap_or_else(|| {
            panic!("no line with {text:?} came within {deadline:?}; the output was\n{}", self.output())
        })
    }

    /// Asks it to stop: SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, `HUP` for example.
    ///
    /// # Panics
    /// If it can't be sent.
    pub fn signal(&self, name: &str) {
        // The shell has a `kill` of its own; a slim system may have no other.
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "sending {name} to {}", self.id());
    }

    /// Ends it without a chance to clean up: SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// How it ended, once it has.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn exit(&mut self) -> ExitStatus {
        self.exit_within(PATIENCE).await
    }

    /// As [`Self::exit`], with a deadline of its own.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn exit_within(&mut self, deadline: Duration) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("it can be asked") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let Ok(status) = tokio::time::timeout(deadline, ended).await else {
            panic!("it should have ended within {deadline:?}; the output was\n{}", self.output());
        };
        // What it wrote last may still be on its way. A child of its own may keep the pipes open, so not for ever.
        let _ = self.output.wait(Duration::from_secs(1), |written| (written.ended == 2).then_some(())).await;
        status
    }

    /// Waits for the end, and returns everything there is to know.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn finish(mut self) -> Finished {
        let status = self.exit().await;
        Finished { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("output of process {}:\n{}", self.id(), self.output());
        }
    }
}

impl Output {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(self: &Arc<Self>, stream: Stream, source: Option<impl Read + Send + 'static>) {
        let output = Arc::clone(self);
        let source = source.expect("the stream is piped");
        thread::spawn(move || {
            let mut reader = BufReader::new(source);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                output.written().lines.push((stream, text));
                output.changed.send_replace(());
                line.clear();
            }
            output.written().ended += 1;
            output.changed.send_replace(());
        });
    }

    fn text(&self, streams: &[Stream]) -> String {
        let mut text = String::new();
        for (_, line) in self.written().lines.iter().filter(|(stream, _)| streams.contains(stream)) {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    async fn wait<T>(&self, deadline: Duration, find: impl Fn(&Written) -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = find(&self.written()) {
                    return found;
                }
                changed.changed().await.expect("the output is kept as long as the process");
            }
        };
        tokio::time::timeout(deadline, found).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[tokio::test]
    async fn lines_of_both_streams_are_kept_and_found_as_they_come() {
        let process = shell("echo one; echo two >&2; sleep 60");

        assert_eq!(process.wait_for("tw").await, "two");
        assert_eq!(process.wait_for("one").await, "one");
        assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("one\n", "two\n"));
    }

    #[tokio::test]
    #[should_panic(expected = "no line with \"three\" came")]
    async fn a_line_that_does_not_come_is_reported_when_the_output_ends() {
        shell("echo one").wait_for("three").await;
    }

    #[tokio::test]
    #[should_panic(expected = "no line with \"three\" came within 20ms")]
    async fn a_line_that_does_not_come_in_time_is_reported() {
        shell("sleep 60").wait_for_within("three", Duration::from_millis(20)).await;
    }

    #[tokio::test]
    async fn the_end_brings_the_code_and_everything_that_was_written() {
        let finished = shell("printf 'no newline'; echo bad >&2; exit 78").finish().await;

        let expected = Finished { code: Some(78), stdout: "no newline\n".to_owned(), stderr: "bad\n".to_owned() };
        assert_eq!(finished, expected);
    }

    #[tokio::test]
    async fn it_can_be_asked_to_stop() {
        let mut process = shell("trap 'echo stopping; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_for("ready").await;
        assert!(process.is_running());

        process.terminate();

        assert_eq!(process.exit().await.code(), Some(3));
        assert!(process.stdout().contains("stopping"));
        assert!(!process.is_running());
    }

    #[tokio::test]
    async fn it_can_be_killed() {
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_for("ready").await;

        process.kill();

        assert_eq!(process.exit().await.signal(), Some(9));
    }

    #[tokio::test]
    #[should_panic(expected = "it should have ended within 20ms")]
    async fn a_process_that_stays_is_reported() {
        shell("sleep 60").exit_within(Duration::from_millis(20)).await;
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let process = shell("exec sleep 60");
        let entry = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(entry.exists());

        drop(process);

        assert!(!entry.exists());
    }

    #[tokio::test]
    async fn the_real_binary_runs_in_its_own_directory() {
        let home = Home::with_config("realm = \"test\"\n");
        home.write("data/secret", b"x");

        let finished = home.run(&["--version"]).await;

        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(home.path("config.toml").is_file() && home.path("data/secret").is_file());
    }

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script]))
    }
}
