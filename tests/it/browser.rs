//! A person's browser in front of sidegate: a real Chromium, and what it does to tokens and cookies.
//!
//! Each case is a function of a script in `tests/browser`, which holds its assertions; here is what it plays against.

mod cases;
mod client;
mod control;
mod demo;
mod site;
mod stage;
