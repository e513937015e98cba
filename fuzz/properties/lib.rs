//! What holds for every input of the parsers that read what strangers, or a hurried operator, wrote.
//!
//! One module a parser; each says its property in its first lines, and its `holds` panics if an input breaks it. The
//! fuzzer calls these functions with what it makes up, and `tests/it/fuzz_seeds.rs` with the seeds and mutations of them.

pub mod access_token;
pub mod body;
pub mod config;
pub mod cookie;
pub mod forwarded;
pub mod head;
pub mod identity;
pub mod refresh_token;
pub mod route;
pub mod target;

/// Takes an input, and panics if the property does not hold for it.
pub type Property = fn(&[u8]);

/// Every property, by the name of its fuzz target.
pub const ALL: [(&str, Property); 10] = [
    ("access_token", access_token::holds),
    ("body", body::holds),
    ("config", config::holds),
    ("cookie", cookie::holds),
    ("forwarded", forwarded::holds),
    ("head", head::holds),
    ("identity", identity::holds),
    ("refresh_token", refresh_token::holds),
    ("route", route::holds),
    ("target", target::holds),
];
