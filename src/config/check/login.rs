//! `[login]` and `[login.users]`.

use crate::config::checked::{Argon2, Login};
use crate::config::document::Document;

pub(super) fn login(document: &Document<'_>) -> Option<Login> {
    let section = document.section("login.users");
    let min_length = section.number("min_length");
    let memory: Option<u64> = section.size("argon2_memory");
    let slots = section.number("argon2_slots");
    let uses_directory = document.section("login").choice("provider", |word| match word {
        "users" => Some(true),
        "none" => Some(false),
        _ => None,
    })?;
    if !uses_directory {
        if section.exists() {
            section
                .refuse_all("without effect: login.provider is \"none\"", "remove it, or write provider = \"users\"");
        }
        return Some(Login::None);
    }
    let memory_kib = u32::try_from(memory? / 1024).ok()?;
    Some(Login::Users { min_length: min_length?, argon2: Argon2 { memory_kib, slots: slots? } })
}
