//! Who did what to which session, user or key: one JSON line for each event, for people who have to find out later.
//!
//! No line is dropped in silence: one that cannot be written is counted, and said in the log. No line holds a token, a
//! password, or a name that nobody has: people type their passwords there. `docs/audit.md` names every event.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use crate::clock::{SharedClock, rfc3339_millis};
use crate::config::checked::AuditOutput;
use crate::domain::session::{Origin, SessionId, Subject};
use crate::domain::user::UserName;

/// Where events are recorded.
#[derive(Clone, Debug)]
pub struct Audit {
    output: AuditOutput,
    realm: String,
    by: By,
    clock: SharedClock,
    /// Lines that could not be written.
    lost: Counter,
}

/// Who does what is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Server,
    Operator,
    Command,
}

/// What happened. Words are this program's; what came from a client is an address and a user agent.
#[derive(Debug, Serialize)]
pub struct Event<'e> {
    #[serde(rename = "event")]
    name: &'static str,
    outcome: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Line<'e> {
    time: String,
    realm: &'e str,
    by: By,
    #[serde(flatten)]
    event: &'e Event<'e>,
}

impl<'e> Event<'e> {
    #[must_use]
    pub const fn new(name: &'static str, outcome: &'e str) -> Self {
        Self {
            name,
            outcome,
            subject: None,
            session: None,
            key: None,
            user: None,
            address: None,
            user_agent: None,
            count: None,
        }
    }

    #[must_use]
    pub fn of(self, subject: &'e Subject) -> Self {
        Self { subject: Some(subject.as_str()), ..self }
    }

    #[must_use]
    pub fn session(self, id: SessionId) -> Self {
        Self { session: Some(id.to_string()), ..self }
    }

    /// The name of a signing key, or the fingerprint of an operator secret.
    #[must_use]
    pub fn key(self, key: &'e str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// A user of the directory; never a name that nobody has.
    #[must_use]
    pub fn user(self, name: &'e UserName) -> Self {
        Self { user: Some(name.as_str()), ..self }
    }

    /// Of how many.
    #[must_use]
    pub fn count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    #[must_use]
    pub fn from(self, origin: &'e Origin) -> Self {
        let address = origin.address.map(|address| address.to_string());
        Self { address, user_agent: origin.user_agent.as_deref(), ..self }
    }
}

impl Audit {
    /// For a process that serves. A file is tried at once; its folder is made if it is missing.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn of_server(output: &AuditOutput, realm: &str, clock: SharedClock, lost: Counter) -> io::Result<Self> {
        Self::new(output, realm, By::Server, clock, lost)
    }

    /// For a command: what would go to standard output goes to standard error, beside its own words.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn of_command(output: &AuditOutput, realm: &str, clock: SharedClock) -> io::Result<Self> {
        Self::new(output, realm, By::Command, clock, Counter::default())
    }

    /// For what the operator has a serving process do.
    #[must_use]
    pub fn of_operator(&self) -> Self {
        Self { by: By::Operator, ..self.clone() }
    }

    fn new(output: &AuditOutput, realm: &str, by: By, clock: SharedClock, lost: Counter) -> io::Result<Self> {
        if let AuditOutput::File(path) = output {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            append(path, b"")?;
        }
        Ok(Self { output: output.clone(), realm: realm.to_owned(), by, clock, lost })
    }

    pub fn record(&self, event: &Event<'_>) {
        let time = rfc3339_millis(self.clock.now());
        let line = Line { time, realm: &self.realm, by: self.by, event };
        // Strings and words always serialise.
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        // One write for a line, so that lines of several threads and processes do not mix.
        let written = match (&self.output, self.by) {
            (AuditOutput::Off, _) => Ok(()),
            (AuditOutput::Stdout, By::Server | By::Operator) => io::stdout().lock().write_all(text.as_bytes()),
            (AuditOutput::Stdout, By::Command) => io::stderr().lock().write_all(text.as_bytes()),
            (AuditOutput::File(path), _) => append(path, text.as_bytes()),
        };
        if let Err(error) = written {
            self.lost.inc();
            let line = text.trim_end();
            tracing::error!(%error, line, "an audit line could not be written");
            if self.by == By::Command {
                // A command has no log. Nowhere is left to say it if this fails.
                let _ =
                    writeln!(io::stderr().lock(), "sidegate: this audit line could not be written, {error}: {line}");
            }
        }
    }
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(bytes)
}
