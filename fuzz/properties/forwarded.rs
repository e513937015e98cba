//! Where a request came from. Input: the peer's address, then lines of `X-Forwarded-For`.
//!
//! A peer that is not trusted is the client. What the client itself put in front of the list never changes the answer;
//! neither does whether the hops stand on one line or several, nor another trusted hop behind them. An address is found
//! again in each way to write it. A header that only a proxy may set is known as one in every spelling, and an address
//! prefix that is read holds its own address and is read from its own text as the same.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use sidegate::domain::forwarded::{client_address, is_proxy_field};
use sidegate::domain::network::Network;

static TRUSTED: LazyLock<Vec<Network>> =
    LazyLock::new(|| ["10.0.0.0/8", "fd00::/8", "::1"].map(|text| Network::parse(text).expect("a network")).to_vec());

pub fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let peer: IpAddr = lines.next().and_then(|line| line.parse().ok()).unwrap_or([10, 0, 0, 1].into());
    let lines: Vec<&str> = lines.collect();

    for line in &lines {
        if let Ok(network) = Network::parse(line) {
            assert_eq!(Network::parse(&network.to_string()), Ok(network));
            assert!(network.contains(network.address), "{network}");
        }
        let shouted = line.to_ascii_uppercase().replace('-', "_");
        assert_eq!(is_proxy_field(line), is_proxy_field(&shouted), "{line} and {shouted}");
    }

    let client = client(peer, &lines);
    assert_eq!(client, client.to_canonical());
    assert_eq!(client_address(peer, lines.iter().copied(), |_| false), peer.to_canonical(), "nobody is trusted");
    assert_eq!(self::client(peer, &[&lines.join(",")]), client, "on one line");
    if !trusts(peer) {
        assert_eq!(client, peer.to_canonical());
        return;
    }
    if !trusts(client) {
        assert_eq!(self::client(peer, &[&lines, &["10.1.2.3"][..]].concat()), client, "another trusted hop");
        for claim in ["198.51.100.66", "10.6.6.6", "unknown", "", "\u{0},,"] {
            assert_eq!(self::client(peer, &[&[claim], &lines[..]].concat()), client, "{claim:?} in front");
        }
        let ways = [client.to_string(), SocketAddr::new(client, 443).to_string(), format!(" {client}\t")];
        for way in ways {
            assert_eq!(self::client(peer, &["198.51.100.66", &way]), client, "{way}");
        }
    }
}

fn client(peer: IpAddr, lines: &[&str]) -> IpAddr {
    client_address(peer, lines.iter().copied(), trusts)
}

fn trusts(address: IpAddr) -> bool {
    TRUSTED.iter().any(|network| network.contains(address))
}
