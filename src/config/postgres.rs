//! Where a Postgres is, and whether nobody on the way to it can read or take over.
//!
//! The URL and the password may each be in a file that is read again while sidegate runs. What such a file says later has
//! to pass the same checks as at the start.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;
use zeroize::Zeroizing;

use super::value::file_fault;

/// How a fleet's database is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    pub place: Place,
    /// A way to the same server around a pooler, for LISTEN.
    pub listen: Option<Place>,
}

/// Where connections are made to, as the configuration and its files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) url_file: Option<PathBuf>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) unverified: bool,
    /// As the configuration was read.
    pub(super) address: Address,
}

/// What the files said at one moment. `Debug` and `Display` show host and database only.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub url: Zeroizing<String>,
    /// Instead of the URL's own.
    pub password: Option<Zeroizing<String>>,
}

impl Postgres {
    /// A database whose place does not change.
    #[must_use]
    pub fn at(url: &str, ca_file: Option<&Path>) -> Self {
        let address = Address { url: Zeroizing::new(url.to_owned()), password: None };
        let ca_file = ca_file.map(Path::to_path_buf);
        let place = Place { url_file: None, password_file: None, ca_file, unverified: false, address };
        Self { place, listen: None }
    }
}

impl Place {
    /// As the configuration was read.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Whether there are files that may say something else later.
    #[must_use]
    pub fn may_change(&self) -> bool {
        self.url_file.is_some() || self.password_file.is_some()
    }

    /// What the files say now. Reads files.
    ///
    /// # Errors
    /// A line that names the file, and never its content.
    pub fn read(&self) -> Result<Address, String> {
        let of = |file: &Path, fault: &dyn fmt::Display| format!("{}: {fault}", file.display());
        let mut address = self.address.clone();
        if let Some(file) = &self.url_file {
            address.url = read(file).map_err(|fault| of(file, &fault))?;
            let transport = judge(&address.url).map_err(|fault| of(file, &fault.message))?;
            if !(transport.is_safe || self.unverified) || (self.ca_file.is_some() && !transport.is_verified) {
                return Err(of(file, &UNSAFE));
            }
        }
        if let Some(file) = &self.password_file {
            address.password = Some(read(file).map_err(|fault| of(file, &fault))?);
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Url::parse(&self.url).ok();
        let host = place.as_ref().and_then(|url| url.host_str()).unwrap_or("?");
        let port = place.as_ref().and_then(Url::port).map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "postgres://{host}{port}{}", place.as_ref().map_or("", Url::path))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// What a URL asks of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transport {
    /// Nobody on the way can read it or take it over: it stays on this machine, or the server has to prove who it is.
    pub(super) is_safe: bool,
    /// A certificate is checked.
    pub(super) is_verified: bool,
}

/// Why a URL leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

pub(super) const UNSAFE: &str = "a database on another host without sslmode=verify-full";

/// Passwords, sessions and sealed keys travel on the connection: to another host that takes TLS with both the
/// certificate and its name checked.
pub(super) fn judge(text: &str) -> Result<Transport, Fault> {
    // A slash in a password ends the host there, and the rest of the password becomes a database's name, which is shown.
    let is_whole = |url: &Url| {
        matches!(url.scheme(), "postgres" | "postgresql") && !url.cannot_be_a_base() && !url.path().contains('@')
    };
    let Some(url) = Url::parse(text).ok().filter(is_whole) else {
        return Err(Fault {
            message: "not a URL",
            hint: "write postgres://USER:PASSWORD@HOST/DATABASE, with %40 for `@`, %2F for `/` and so on in the password",
        });
    };
    let modes: Vec<_> = url.query_pairs().filter(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode")).collect();
    let mode = modes.last().map_or("prefer", |(_, mode)| mode);
    let known = matches!(mode, "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full");
    if !known || modes.len() > 1 {
        return Err(Fault {
            message: "sslmode is not one of the accepted words, or stands twice",
            hint: "write sslmode=verify-full",
        });
    }
    if hosts(&url).all(|host| host.is_empty()) {
        // The driver would take the host from its own environment variables.
        return Err(Fault {
            message: "names no host",
            hint: "write postgres://USER:PASSWORD@HOST/DATABASE, or ?host=FOLDER for a Unix socket",
        });
    }
    Ok(Transport {
        is_safe: mode == "verify-full" || hosts(&url).all(|host| is_local(&host)),
        is_verified: matches!(mode, "verify-ca" | "verify-full"),
    })
}

/// A file's text without the white space around it.
pub(super) fn read(file: &Path) -> Result<Zeroizing<String>, String> {
    let text = Zeroizing::new(std::fs::read_to_string(file).map_err(|error| file_fault(&error))?);
    match text.trim() {
        "" => Err("the file is empty".to_owned()),
        text if text.chars().any(char::is_control) => Err("the file has more than one line".to_owned()),
        text => Ok(Zeroizing::new(text.to_owned())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_later_passes_the_same_checks() {
        let folder = tempfile::tempdir().unwrap();
        let (url, password) = (folder.path().join("url"), folder.path().join("password"));
        let place = Place {
            url_file: Some(url.clone()),
            password_file: Some(password.clone()),
            ..Postgres::at("postgres://localhost/x", None).place
        };
        let says = |text: &str, secret: &str| {
            std::fs::write(&url, text).unwrap();
            std::fs::write(&password, secret).unwrap();
            place.read()
        };
        let address = says("  postgres://ann:old@db.example/x?sslmode=verify-full\n", "hunter2\n").unwrap();
        assert_eq!(*address.url, "postgres://ann:old@db.example/x?sslmode=verify-full");
        assert_eq!(address.password.as_ref().map(|password| password.as_str()), Some("hunter2"));
        assert_eq!(format!("{address} {address:?}").matches("postgres://db.example/x").count(), 2);
        for (text, secret, fault) in [
            ("postgres://ann:hunter2@db.example/x", "hunter2", UNSAFE),
            ("postgres://ann:hunter2@localhost", "", "password: the file is empty"),
            ("postgres://ann:hunter2@localhost", "hunter2\nhunter2", "more than one line"),
            ("", "hunter2", "url: the file is empty"),
            ("hunter2", "hunter2", "not a URL"),
            ("sqlite:hunter2", "hunter2", "not a URL"),
            ("postgres://ann:hunter2@/x", "hunter2", "not a URL"),
            ("postgres:///x", "hunter2", "names no host"),
        ] {
            let said = says(text, secret).unwrap_err();
            assert!(said.contains(fault) && !said.contains("hunter2"), "{text}: {said}");
        }
        std::fs::remove_file(&url).unwrap();
        assert!(place.read().unwrap_err().ends_with("url: no such file"));
    }
}
