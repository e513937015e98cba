//! Rotation and revocation as a small state machine, of which every state is visited.
//!
//! Where a rule of the program is a pure function, it is that function that is called here: what is judged, how tokens
//! follow from each other, what a row remembers, how revocations merge, when history is found to be lost. What stands
//! around them, statements and messages, is written again, as small as it can be.
//!
//! | room | answers |
//! | --- | --- |
//! | `scope` | what may happen in one run, and how often; the invariants; the wrong rules |
//! | `state` | clients, messages, two replicas and a store at one moment |
//! | `book` | real refresh tokens, by a short name |
//! | `world` | what can happen next |
//! | `clients`, `refresh`, `ends`, `losses` | what then becomes of the state |
//! | `invariants` | what must never be |
//! | `runs`, `mutants` | the right rules break nothing, each wrong one breaks what is there to catch it |
//! | `feed`, `logins` | two smaller machines: how revocations reach a replica, how many sessions a subject has |
//!
//! Time goes in ticks of one second, and the windows are a few ticks long. A message is delivered within a tick of its
//! sending or never.

#![expect(unreachable_pub, reason = "a test binary exports nothing; here `pub` tells a module's interface")]
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::io::Write;

mod book;
mod clients;
mod ends;
mod feed;
mod invariants;
mod logins;
mod losses;
mod mutants;
mod refresh;
mod runs;
mod scope;
mod state;
mod world;

/// Shows a figure, past the capture of the test runner.
fn show(figure: &str) {
    std::io::stderr().write_all(format!("{figure}\n").as_bytes()).unwrap();
}
