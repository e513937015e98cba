//! `[admin]`.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::server::{listen_address, overlap};
use crate::config::checked::{AdminListen, Server};
use crate::config::document::{Document, Entry, Section, Setting};

pub(super) fn admin(
    document: &Document<'_>,
    server: Option<&Server>,
    health: Option<SocketAddr>,
) -> Option<Setting<AdminListen>> {
    let section = document.section("admin");
    let token_file = section.entry("token_file").and_then(|entry| entry.path());
    let entry = section.entry("listen")?;
    let text = entry.text()?;
    if text.starts_with("http://") {
        return http(&section, &entry, token_file?, server, health).map(Setting::On);
    }
    let listen = if text.is_empty() { Setting::Off } else { Setting::On(unix(document, &entry, &text)?) };
    let Setting::Off = token_file? else {
        let hint = "remove it; the socket of admin.listen is opened by its owner only";
        section.refuse("token_file", "without effect: admin.listen is no http:// address", hint);
        return None;
    };
    Some(listen)
}

fn unix(document: &Document<'_>, entry: &Entry<'_>, text: &str) -> Option<AdminListen> {
    let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty() && !path.ends_with('/')) else {
        entry.refuse("not a place to take calls", entry.accepted());
        return None;
    };
    let path = document.surroundings().base.join(path);
    if path.as_os_str().as_bytes().len() > LONGEST_PATH {
        entry.refuse("the path is too long for a socket", format!("write one of {LONGEST_PATH} bytes at most"));
        return None;
    }
    Some(AdminListen::Unix(path))
}

fn http(
    section: &Section<'_>,
    entry: &Entry<'_>,
    token_file: Setting<PathBuf>,
    server: Option<&Server>,
    health: Option<SocketAddr>,
) -> Option<AdminListen> {
    let address = listen_address(entry)?;
    if !address.ip().to_canonical().is_loopback() {
        entry.refuse(
            "not an address of the loopback",
            "write http://127.0.0.1:PORT, or unix:PATH, which needs no token",
        );
        return None;
    }
    let mut taken = server.into_iter().flat_map(|server| &server.listen).copied().chain(health);
    if let Some(other) = taken.find(|other| overlap(*other, address)) {
        entry.refuse(format!("{other} already takes this address"), "it needs a port of its own");
    }
    let Setting::On(token_file) = token_file else {
        section.refuse(
            "token_file",
            "an http:// address can be reached by every process of this machine",
            "name a file with at least 32 random characters, as `openssl rand -hex 32` prints them; or use unix:PATH",
        );
        return None;
    };
    Some(AdminListen::Http { address, token_file })
}

/// The system takes 107 bytes; the socket is made under a name a little longer.
const LONGEST_PATH: usize = 100;
