//! What is true and what is allowed, as plain values and pure functions.
//!
//! Nothing in here waits, reads a clock, draws a random number or knows of a database or a socket: time and randomness
//! arrive as arguments, verdicts leave as values. That is why every rule of the product can be tested with literals.

pub mod access_token;
pub mod answer_sign;
pub mod body;
pub mod cookie;
pub mod cors;
pub mod csrf;
pub mod decision;
pub mod forwarded;
pub mod guessable;
pub mod head;
pub mod history;
pub mod identity;
pub mod key_life;
pub mod keys;
pub mod login_form;
pub mod login_page;
pub mod network;
pub mod observed;
pub mod rate;
pub mod refresh_token;
pub mod revocation;
pub mod rotation;
pub mod route;
pub mod secret;
pub mod selection;
pub mod session;
pub mod strict_json;
pub mod target;
pub mod time;
pub mod upstream_login;
pub mod user;
pub mod vault;
