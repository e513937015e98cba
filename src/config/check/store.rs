//! `[store]` and `[revocation]`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::config::checked::{Feed, Migrate, Store, StoreLocation};
use crate::config::document::{Document, Entry, Section, Setting};
use crate::config::value::file_fault;

pub(super) fn store(document: &Document<'_>) -> Option<Store> {
    let section = document.section("store");
    let ca_file = section.entry("ca_file").and_then(|file| file.path());
    let unverified = section.flag("danger_unverified_tls");
    // An unreadable flag is a problem already, and no reason to suspect the URL too.
    let (ca_path, may_be_unverified) = (ca_file.and_then(Setting::on), unverified.unwrap_or(true));
    let location =
        address(&section).and_then(|address| location(document, &section, &address, ca_path, may_be_unverified));
    let connections = section.number("connections");
    let timeout = section.duration("timeout");
    let migrate = section.choice("migrate", |word| match word {
        "auto" => Some(Migrate::Auto),
        "check" => Some(Migrate::Check),
        _ => None,
    });
    let location = location?;
    let shared = matches!(location, StoreLocation::Postgres { .. });
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

/// The store's URL and the key that says it.
struct Address<'d> {
    entry: Entry<'d>,
    text: String,
}

fn address<'d>(section: &Section<'d>) -> Option<Address<'d>> {
    let entry = section.entry("url_file")?;
    let Setting::On(path) = entry.path()? else {
        let entry = section.entry("url")?;
        return entry.text().map(|text| Address { entry, text });
    };
    if section.has("url") {
        entry.refuse("store.url is there too", "keep one of the two");
        return None;
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(Address { entry, text: text.trim().to_owned() }),
        Err(error) => {
            entry.refuse(
                file_fault(&error),
                "mend the path or the file's mode; relative paths start at the current directory",
            );
            None
        }
    }
}

fn location(
    document: &Document<'_>,
    section: &Section<'_>,
    Address { entry, text }: &Address<'_>,
    ca_file: Option<PathBuf>,
    unverified: bool,
) -> Option<StoreLocation> {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    match scheme {
        "sqlite" => {
            if unverified {
                document.warn("store.danger_unverified_tls: without effect, SQLite is a file");
            }
            if ca_file.is_some() {
                section.refuse("ca_file", "SQLite is a file and has no certificate", "remove ca_file");
            }
            if rest.is_empty() || rest.starts_with("//") || rest == ":memory:" || rest.contains('?') {
                entry.refuse("not the path of a file", "write sqlite:PATH, for example sqlite:data/sidegate.db");
                return None;
            }
            Some(StoreLocation::Sqlite(document.surroundings().base.join(rest)))
        }
        "postgres" | "postgresql" => {
            let is_safe = check_tls(section, entry, text, ca_file.is_some())?;
            match (unverified, is_safe) {
                (true, true) => document.warn("store.danger_unverified_tls: without effect, the connection is safe"),
                (true, false) => document.warn(
                    "store.danger_unverified_tls: whoever is between here and the database can take over every account",
                ),
                (false, true) => {}
                (false, false) => entry.refuse(
                    "a database on another host without sslmode=verify-full",
                    "add ?sslmode=verify-full, and ca_file if the authority is your own; or danger_unverified_tls = true",
                ),
            }
            Some(StoreLocation::Postgres { url: text.clone(), ca_file })
        }
        _ => {
            entry.refuse("not a store", "write sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE");
            None
        }
    }
}

/// Whether nobody on the way can read or take over the connection. Passwords, sessions and sealed keys travel on it: to
/// another host that takes TLS with both the certificate and its name checked.
fn check_tls(section: &Section<'_>, entry: &Entry<'_>, text: &str, has_ca: bool) -> Option<bool> {
    // A slash in a password ends the host there, and the rest of the password becomes a database's name, which is shown.
    let is_whole = |url: &Url| !url.cannot_be_a_base() && !url.path().contains('@');
    let Some(url) = Url::parse(text).ok().filter(is_whole) else {
        entry.refuse(
            "not a URL",
            "write postgres://USER:PASSWORD@HOST/DATABASE, with %40 for `@`, %2F for `/` and so on in the password",
        );
        return None;
    };
    let modes: Vec<_> = url.query_pairs().filter(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode")).collect();
    let mode = modes.last().map_or("prefer", |(_, mode)| mode);
    let known = matches!(mode, "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full");
    if !known || modes.len() > 1 {
        entry.refuse("sslmode is not one of the accepted words, or stands twice", "write sslmode=verify-full");
        return None;
    }
    let verified = matches!(mode, "verify-ca" | "verify-full");
    if has_ca && !verified {
        section.refuse(
            "ca_file",
            "without effect: the certificate is not checked",
            "add sslmode=verify-full to store.url",
        );
    }
    if hosts(&url).all(|host| host.is_empty()) {
        // The driver would take the host from its own environment variables.
        entry
            .refuse("names no host", "write postgres://USER:PASSWORD@HOST/DATABASE, or ?host=FOLDER for a Unix socket");
        return None;
    }
    Some(mode == "verify-full" || hosts(&url).all(|host| is_local(&host)))
}

/// Every place the driver may connect to: parameters override the URL's own host.
fn hosts(url: &Url) -> impl Iterator<Item = String> {
    let parameters = url.query_pairs().filter(|(name, _)| matches!(&**name, "host" | "hostaddr"));
    url.host_str().map(str::to_owned).into_iter().chain(parameters.map(|(_, host)| host.into_owned()))
}

/// This machine, or a Unix socket.
fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    host.is_empty()
        || host == "localhost"
        || host.starts_with('/')
        || host.to_ascii_lowercase().starts_with("%2f")
        || loopback
}
