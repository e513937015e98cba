//! What the operator said.
//!
//! [`file`] mirrors the TOML file, member by member, and knows no meaning. [`checked`] is what the rest of the program
//! sees: every value parsed, every rule between values held. Between the two, every problem of a file is collected and
//! reported at once, with its key, its value and a hint.

pub mod checked;
