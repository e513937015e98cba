//! `[store]` and `[revocation]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::checked::{Feed, Migrate, Store, StoreLocation};
use crate::config::document::{Document, Entry, Section, Setting};
use crate::config::postgres::{self, Address, Fault, Place, Postgres};

pub(super) fn store(document: &Document<'_>) -> Option<Store> {
    let section = document.section("store");
    let ca_file = section.entry("ca_file").and_then(|file| file.path());
    let unverified = section.flag("danger_unverified_tls");
    // An unreadable flag is a problem already, and no reason to suspect the URL too.
    let ways = Ways { ca_file: ca_file.and_then(Setting::on), may_be_unverified: unverified.unwrap_or(true) };
    let location = said(&section).and_then(|said| location(document, &section, &said, &ways));
    let connections = section.number("connections");
    let timeout = section.duration("timeout");
    let migrate = section.choice("migrate", |word| match word {
        "auto" => Some(Migrate::Auto),
        "check" => Some(Migrate::Check),
        _ => None,
    });
    let location = location?;
    let shared = matches!(location, StoreLocation::Postgres(_));
    Some(Store {
        connections: connections?,
        timeout: timeout?,
        migrate: if shared && !section.has("migrate") { Migrate::Check } else { migrate? },
        location,
    })
}

/// How new revocations are heard of.
pub(super) fn feed(document: &Document<'_>) -> Option<Feed> {
    document.section("revocation").choice("feed", |word| match word {
        "listen" => Some(Feed::Listen),
        "poll" => Some(Feed::Poll),
        _ => None,
    })
}

/// SQLite is asked more often: it costs one `PRAGMA`, and the command line is to be heard at once.
pub(super) fn poll_interval(document: &Document<'_>, store: Option<&Store>) -> Option<Duration> {
    let section = document.section("revocation");
    let interval = section.duration("poll_interval")?;
    let embedded = store.is_some_and(|store| matches!(store.location, StoreLocation::Sqlite(_)));
    Some(if embedded && !section.has("poll_interval") { Duration::from_millis(200) } else { interval })
}

/// After how long of silence it is not known any more what has been revoked.
pub(super) fn max_staleness(document: &Document<'_>, poll_interval: Option<Duration>) -> Option<Duration> {
    let section = document.section("revocation");
    let longest = section.duration("max_staleness")?;
    if poll_interval.is_some_and(|interval| interval >= longest) {
        let hint = "it would be stale between two questions: raise max_staleness or lower poll_interval";
        section.refuse("max_staleness", "not longer than revocation.poll_interval", hint);
    }
    Some(longest)
}

/// The store's URL, and where it is said.
struct Said<'d> {
    entry: Entry<'d>,
    text: String,
    file: Option<PathBuf>,
}

/// What a location depends on besides its URL.
struct Ways {
    ca_file: Option<PathBuf>,
    may_be_unverified: bool,
}

fn said<'d>(section: &Section<'d>) -> Option<Said<'d>> {
    let entry = section.entry("url_file")?;
    let Setting::On(path) = entry.path()? else {
        let entry = section.entry("url")?;
        return entry.text().map(|text| Said { entry, text, file: None });
    };
    if section.has("url") {
        entry.refuse("store.url is there too", "keep one of the two");
        return None;
    }
    let text = file(&entry, &path)?.to_string();
    Some(Said { entry, text, file: Some(path) })
}

fn file(entry: &Entry<'_>, path: &Path) -> Option<Zeroizing<String>> {
    let read = postgres::read(path);
    read.map_err(|fault| {
        let hint = "mend the path, the file or its mode; relative paths start at the current directory";
        entry.refuse(fault, hint);
    })
    .ok()
}

fn location(document: &Document<'_>, section: &Section<'_>, said: &Said<'_>, ways: &Ways) -> Option<StoreLocation> {
    let (scheme, rest) = said.text.split_once(':').unwrap_or(("", &said.text));
    match scheme {
        "sqlite" => sqlite(document, section, &said.entry, rest, ways),
        "postgres" | "postgresql" => {
            let is_safe = transport(section, &said.entry, &said.text, ways)?;
            match (ways.may_be_unverified, is_safe) {
                (true, true) => document.warn("store.danger_unverified_tls: without effect, the connection is safe"),
                (true, false) => document.warn(
                    "store.danger_unverified_tls: whoever is between here and the database can take over every account",
                ),
                (false, _) => {}
            }
            let password_file = section.entry("password_file")?;
            let password = match password_file.path()? {
                Setting::Off => None,
                Setting::On(path) => Some((file(&password_file, &path)?, path)),
            };
            let (password, password_file) = password.unzip();
            let place = Place {
                url_file: said.file.clone(),
                password_file,
                ca_file: ways.ca_file.clone(),
                unverified: ways.may_be_unverified,
                address: Address { url: said.text.clone().into(), password },
            };
            let listen = listen(section, &place, ways)?;
            Some(StoreLocation::Postgres(Box::new(Postgres { place, listen: listen.on() })))
        }
        _ => {
            said.entry.refuse("not a store", "write sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE");
            None
        }
    }
}

fn sqlite(
    document: &Document<'_>,
    section: &Section<'_>,
    entry: &Entry<'_>,
    rest: &str,
    ways: &Ways,
) -> Option<StoreLocation> {
    if ways.may_be_unverified {
        document.warn("store.danger_unverified_tls: without effect, SQLite is a file");
    }
    if ways.ca_file.is_some() {
        section.refuse("ca_file", "SQLite is a file and has no certificate", "remove ca_file");
    }
    for (key, lack, hint) in [
        ("password_file", "SQLite is a file and has no password", "remove password_file"),
        ("listen_url_file", "SQLite is a file, which nobody listens to", "remove listen_url_file"),
    ] {
        if section.entry(key).and_then(|entry| entry.path()).and_then(Setting::on).is_some() {
            section.refuse(key, lack, hint);
        }
    }
    if rest.is_empty() || rest.starts_with("//") || rest == ":memory:" || rest.contains('?') {
        entry.refuse("not the path of a file", "write sqlite:PATH, for example sqlite:data/sidegate.db");
        return None;
    }
    Some(StoreLocation::Sqlite(document.surroundings().base.join(rest)))
}

/// The same server, user and rules, by another way.
fn listen(section: &Section<'_>, place: &Place, ways: &Ways) -> Option<Setting<Place>> {
    let entry = section.entry("listen_url_file")?;
    let Setting::On(path) = entry.path()? else { return Some(Setting::Off) };
    let url = file(&entry, &path)?;
    transport(section, &entry, &url, ways)?;
    let address = Address { url, password: place.address.password.clone() };
    Some(Setting::On(Place { url_file: Some(path), address, ..place.clone() }))
}

/// Whether the connection is safe. `None`: the URL is of no use.
fn transport(section: &Section<'_>, entry: &Entry<'_>, text: &str, ways: &Ways) -> Option<bool> {
    let transport = postgres::judge(text).map_err(|Fault { message, hint }| entry.refuse(message, hint)).ok()?;
    if ways.ca_file.is_some() && !transport.is_verified {
        section.refuse(
            "ca_file",
            "without effect: the certificate is not checked",
            "add sslmode=verify-full to store.url",
        );
    }
    if !transport.is_safe && !ways.may_be_unverified {
        entry.refuse(
            postgres::UNSAFE,
            "add ?sslmode=verify-full, and ca_file if the authority is your own; or danger_unverified_tls = true",
        );
    }
    Some(transport.is_safe)
}
