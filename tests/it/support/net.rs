//! Addresses for listeners that must be named before they are bound.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// An address on the loopback that nobody listens on.
///
/// It lies below the range from which the system takes the ports of outgoing connections, and no two calls in a test
/// process get the same one, so that it is still free when the listener comes up.
///
/// # Panics
/// If two thousand ports in a row are taken.
pub fn free_address() -> SocketAddr {
    for _ in 0..2_000 {
        // Processes that run at the same time start at different places.
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = (std::process::id().wrapping_mul(97) + step) % PORTS;
        let Ok(port) = u16::try_from(FIRST_PORT + offset) else { continue };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between {FIRST_PORT} and {}", FIRST_PORT + PORTS);
}

const FIRST_PORT: u32 = 12_000;
const PORTS: u32 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

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
        let taken: Vec<_> = (0..20).map(|_| TcpListener::bind(free_address()).expect("it is free")).collect();

        let next = free_address();

        assert!(taken.iter().all(|listener| listener.local_addr().expect("it is bound") != next));
    }
}
