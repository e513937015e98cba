//! Cookie mode as a browser meets it: what it is given to keep, what it is believed, and that nobody is logged out who did
//! not ask for it.

mod another_login;
mod answers;
mod browser;
mod cross_site;
mod ends;
mod pages;
mod races;
mod reading;
mod site;

use self::browser::{Browser, SetCookie};
use self::site::Site;

/// The public address of every site here.
const OURS: &str = "https://shop.example";

/// The names of the realm `default`.
const ACCESS: &str = "__Host-default-access";
const REFRESH: &str = "__Host-default-refresh";
