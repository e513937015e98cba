//! What goes over the operator's socket: the one place where both ends take it from. What is not known is refused.

use serde::{Deserialize, Serialize};

/// `POST /drain`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {}

/// Whoever routes to this sidegate has had the time to hear that it is not ready any more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drained {}

/// The answer to a call that was not carried out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    pub error: String,
}

impl Failed {
    #[must_use]
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into() }
    }
}
