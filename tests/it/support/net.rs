//! Addresses for listeners that must be named before they are bound.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// An address on the loopback that nobody listens on.
///
/// It lies below the range from which the system takes the ports of outgoing connections, in a block that belongs to this
/// test process, and no two calls get the same one: it is still free when the listener comes up.
///
/// # Panics
/// If every port of the block is taken.
pub fn free_address() -> SocketAddr {
    for _ in 0..BLOCK {
        let step = 1 + NEXT.fetch_add(1, Ordering::Relaxed) % (BLOCK - 1);
        let address = on_loopback(OURS.first_port + step);
        // Asked by connecting: a trial listener might live on for a moment in a child that was just being started.
        if TcpStream::connect(address).is_err() {
            return address;
        }
    }
    panic!("no free port among the {BLOCK} after {}", OURS.first_port);
}

/// Ports of one test process. Its first one is held as long as the process lives, so that no other takes the block.
struct Block {
    first_port: u16,
    _held: TcpListener,
}

static OURS: LazyLock<Block> = LazyLock::new(|| {
    let first_ports = (0..BLOCKS).map(|block| FIRST_PORT + block * BLOCK);
    let mut held = first_ports.filter_map(|first_port| {
        TcpListener::bind(on_loopback(first_port)).ok().map(|listener| Block { first_port, _held: listener })
    });
    held.next().expect("fewer test processes run at once than there are blocks")
});

static NEXT: AtomicU16 = AtomicU16::new(0);

const FIRST_PORT: u16 = 12_000;
const BLOCK: u16 = 500;
const BLOCKS: u16 = 40;

fn on_loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_address_can_be_bound_and_is_given_once() {
        let first = free_address();
        let second = free_address();

        assert_ne!(first, second);
        let _listener = TcpListener::bind(first).expect("the first is free");
        let _other = TcpListener::bind(second).expect("the second is free");
    }

    #[test]
    fn an_address_in_use_is_not_given() {
        let first = free_address();
        let next = on_loopback(first.port() + 1);
        // Another test may have got the next one; then it is in use all the same.
        let _taken = TcpListener::bind(next);

        let given: Vec<_> = (0..5).map(|_| free_address()).collect();

        assert!(!given.contains(&next) && !given.contains(&first), "{given:?}");
    }
}
