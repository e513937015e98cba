//! Where a request really came from, and the header names that proxies and clients use to say so.

use std::net::IpAddr;

use super::identity::folded;

/// The client's address: the last hop that no trusted proxy vouches for.
///
/// `forwarded_for` holds the values of every `X-Forwarded-For` line, in order. Read from the right while each hop is
/// trusted; what is no address ends the walk at the hop that claimed it.
#[must_use]
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusts: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer.to_canonical();
    for claimed in forwarded_for.rev().flat_map(|line| line.rsplit(',')) {
        if !trusts(client) {
            break;
        }
        let Some(address) = parse_hop(claimed.trim()) else { break };
        client = address;
    }
    client
}

/// The scheme of the client's request: what a trusted proxy in front says in one word, else ours.
#[must_use]
pub fn client_scheme(claimed: Option<&str>) -> &'static str {
    if claimed.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" }
}

/// `203.0.113.7`, `203.0.113.7:1234`, `2001:db8::1`, `[2001:db8::1]:1234`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

/// Whether a client's header of this name says something about the connection, the original request, the method or the
/// person that only a proxy in front may say. Such headers never pass; sidegate writes its own.
#[must_use]
pub fn is_proxy_field(name: &str) -> bool {
    const BY_PREFIX: [&str; 11] = [
        "x-forwarded-",
        "x-original-",
        "x-envoy-",
        "x-auth-request-",
        "x-webauth-",
        "x-remote-",
        "x-ssl-client-",
        "ssl-client-",
        "x-ms-client-principal",
        "x-amzn-oidc-",
        "x-consumer-",
    ];
    const BY_NAME: [&str; 14] = [
        "forwarded",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-originating-ip",
        "x-rewrite-url",
        "x-client-cert",
        "client-cert",
        "true-client-ip",
        "cf-connecting-ip",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "proxy",
    ];
    BY_PREFIX.iter().any(|prefix| folded(name).take(prefix.len()).eq(prefix.bytes()))
        || BY_NAME.iter().any(|whole| folded(name).eq(whole.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(peer: &str, lines: &[&str]) -> String {
        let trusts = |address: IpAddr| address.to_string().starts_with("10.");
        client_address(peer.parse().unwrap(), lines.iter().copied(), trusts).to_string()
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        assert_eq!(walk("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(walk("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(walk("10.0.0.1", &["1.1.1.1, 198.51.100.1", "10.0.0.2"]), "198.51.100.1");
        assert_eq!(walk("10.0.0.1", &["198.51.100.1:5555"]), "198.51.100.1");
        assert_eq!(walk("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(walk("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(walk("10.0.0.1", &["1.1.1.1, garbage"]), "10.0.0.1");
        assert_eq!(walk("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(walk("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }

    #[test]
    fn every_spelling_of_a_proxy_field_is_known() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_proto",
            "Forwarded",
            "X-Real-IP",
            "X-HTTP-Method-Override",
            "X.Original.URL",
        ] {
            assert!(is_proxy_field(name), "{name}");
        }
        assert!(!is_proxy_field("x-requested-with"));
    }
}
