//! Does a request come from a page of our own, or did another site make the browser send it?
//!
//! A browser sends cookies along whoever caused the request, but says who did: in `Sec-Fetch-Site` (Fetch Metadata), older
//! ones in `Origin` (RFC 6454). Neither can be written by a page. The request's `Host` is never asked: who chose the
//! address chose that, too.

/// The origins whose pages may act for whoever is logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedOrigins(Vec<String>);

/// What a request says about where it comes from: every line of the two fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Provenance<'a> {
    pub sec_fetch_site: &'a [&'a [u8]],
    pub origin: &'a [&'a [u8]],
}

impl TrustedOrigins {
    /// As browsers write them: `https://app.example`, no port where it is the scheme's own.
    #[must_use]
    pub fn new(origins: Vec<String>) -> Self {
        Self(origins)
    }

    /// Whether the browser vouches for the page that caused the request. One that says neither is no browser of today, and
    /// has no business with cookies.
    #[must_use]
    pub fn vouch_for(&self, provenance: Provenance<'_>) -> bool {
        match (provenance.sec_fetch_site, provenance.origin) {
            // Also where a page hides its address (`Referrer-Policy: no-referrer`), and `Origin` is `null`: what sits in a
            // sandbox is cross-site.
            ([b"same-origin"], [] | [_]) => true,
            ([] | [_], [origin]) => self.0.iter().any(|trusted| trusted.as_bytes() == *origin),
            _ => false,
        }
    }
}

/// Whether a method changes nothing (RFC 9110 §9.2.1), so that a link may lead to it from anywhere.
#[must_use]
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vouched(sec_fetch_site: &[&[u8]], origin: &[&[u8]]) -> bool {
        TrustedOrigins::new(vec!["https://app.example".into(), "https://www.example:8443".into()])
            .vouch_for(Provenance { sec_fetch_site, origin })
    }

    /// CK-4, CK-5.
    #[test]
    fn a_page_of_ours_is_told_from_every_other() {
        let ours: &[u8] = b"https://app.example";
        assert!(vouched(&[b"same-origin"], &[]));
        assert!(vouched(&[b"same-origin"], &[ours]));
        assert!(vouched(&[b"same-origin"], &[b"null"]), "a page that sends no referrer");
        assert!(vouched(&[], &[ours]));
        assert!(vouched(&[], &[b"https://www.example:8443"]));
        for trusted_elsewhere in [&b"same-site"[..], b"cross-site", b"none", b"same-Origin", b""] {
            assert!(vouched(&[trusted_elsewhere], &[ours]));
            assert!(!vouched(&[trusted_elsewhere], &[]));
            assert!(!vouched(&[trusted_elsewhere], &[b"https://evil.example"]));
        }
        assert!(!vouched(&[], &[]));
        for other in [
            &b"null"[..],
            b"",
            b"http://app.example",
            b"https://app.example:443",
            b"https://app.example/",
            b"https://APP.example",
            b"https://app.example.evil",
            b"https://evil.example",
            b"https://www.example",
            b"https://app.example https://evil.example",
        ] {
            assert!(!vouched(&[], &[other]), "{}", String::from_utf8_lossy(other));
        }
        assert!(!vouched(&[], &[ours, ours]));
        assert!(!vouched(&[b"same-origin"], &[ours, ours]));
        assert!(!vouched(&[b"same-origin", b"same-origin"], &[]));
        assert!(!vouched(&[b"same-origin", b"cross-site"], &[ours]));
    }
}
