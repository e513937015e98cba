//! What goes over the operator's socket: the one place where both ends take it from. What is not known is refused.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::selection::Words;

/// `POST /drain`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {}

/// Whoever routes to this sidegate has had the time to hear that it is not ready any more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drained {}

/// `POST /revoke`: what to end, one kind of it, and how long to wait until everybody has heard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(default)]
    all: bool,
    wait_seconds: u64,
}

/// It is ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// What was ended, for people.
    pub done: String,
    /// `None`: nobody knows.
    pub heard: Option<Heard>,
    /// Why nobody knows.
    pub unknown: Option<String>,
}

/// Who refuses by now what was ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// How many are there.
    pub replicas: usize,
    /// Those that have not said so.
    pub silent: Vec<Silent>,
    pub milliseconds: u64,
}

/// A replica, as it reports itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silent {
    pub name: String,
    pub id: String,
}

/// The answer to a call that was not carried out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    pub error: String,
}

impl Revoke {
    #[must_use]
    pub fn new(words: Words<'_>, wait: Duration) -> Self {
        Self {
            session: words.session.map(str::to_owned),
            subject: words.subject.map(str::to_owned),
            key: words.key.map(str::to_owned),
            from: words.from.map(str::to_owned),
            user_agent: words.user_agent.map(str::to_owned),
            all: words.all,
            wait_seconds: wait.as_secs(),
        }
    }

    #[must_use]
    pub fn words(&self) -> Words<'_> {
        Words {
            session: self.session.as_deref(),
            subject: self.subject.as_deref(),
            key: self.key.as_deref(),
            from: self.from.as_deref(),
            user_agent: self.user_agent.as_deref(),
            all: self.all,
        }
    }

    #[must_use]
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_seconds)
    }
}

impl Failed {
    #[must_use]
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        let read = |text: &str| serde_json::from_str::<Revoke>(text).map(drop).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"subject":"ann","wait_seconds":10}"#), Ok(()));
        for bad in [
            r#"{"subject":"ann"}"#,
            r#"{"subject":"ann","wait_seconds":10,"dry_run":true}"#,
            r#"{"subject":"ann","subject":"bob","wait_seconds":10}"#,
            r#"{"subject":7,"wait_seconds":10}"#,
            r#"{"subject":"ann","wait_seconds":-1}"#,
            "[]",
            "",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_come_out_as_they_went_in() {
        let words = Words { from: Some("10.0.0.0/8"), user_agent: Some("\"curl\\"), ..Words::default() };
        let sent = serde_json::to_string(&Revoke::new(words, Duration::from_secs(7))).unwrap();
        let read: Revoke = serde_json::from_str(&sent).unwrap();
        assert_eq!((read.words(), read.wait()), (words, Duration::from_secs(7)));
    }
}
