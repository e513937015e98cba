//! `[login]` and `[login.users]`.

use super::login_upstream;
use crate::config::checked::{Argon2, Login};
use crate::config::document::Document;

pub(super) fn login(document: &Document<'_>) -> Option<Login> {
    let section = document.section("login.users");
    let min_length = section.number("min_length");
    let memory: Option<u64> = section.size("argon2_memory");
    let slots = section.number("argon2_slots");
    let upstream = login_upstream::read(document);
    let provider = document.section("login").choice("provider", |word| match word {
        "users" => Some(Provider::Users),
        "upstream" => Some(Provider::Upstream),
        "none" => Some(Provider::None),
        _ => None,
    })?;
    if provider != Provider::Users && section.exists() {
        let name = if provider == Provider::None { "none" } else { "upstream" };
        section.refuse_all(
            format!("without effect: login.provider is \"{name}\""),
            "remove it, or write provider = \"users\"",
        );
    }
    if provider != Provider::Upstream {
        login_upstream::refuse_unused(document);
    }
    match provider {
        Provider::None => Some(Login::None),
        Provider::Upstream => Some(Login::Upstream(Box::new(login_upstream::checked(document, upstream?)?))),
        Provider::Users => {
            let memory_kib = u32::try_from(memory? / 1024).ok()?;
            Some(Login::Users { min_length: min_length?, argon2: Argon2 { memory_kib, slots: slots? } })
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    Users,
    Upstream,
    None,
}
