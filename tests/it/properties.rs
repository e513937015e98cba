//! Generated histories of one realm, played on the real authority over every store, with invariants checked after each
//! step; and wrong rules planted on purpose, each of which must break the invariant that is there to catch it.
//!
//! | room | answers |
//! | --- | --- |
//! | `history` | what can happen, and how histories are made up |
//! | `world` | plays one: honest clients, thieves, a network that loses and repeats |
//! | `tap` | stands between authority and store: sees every statement, stops a request in its middle, breaks an answer |
//! | `ledger` | what the test knows by itself, without asking the code it tests |
//! | `invariants` | one function for each invariant |
//! | `system` | what is tested: the real authority, or the refresh loop under another rule |

#![expect(unreachable_pub, reason = "a test binary exports nothing; here `pub` tells a module's interface")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

mod history;
mod invariants;
mod judgement;
mod ledger;
mod mutants;
mod stores;
mod system;
mod tap;
mod world;
