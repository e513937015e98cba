//! How often is too often: a bucket that fills again at an even pace.
//!
//! Kept as one number, the moment at which the bucket is whole again (the generic cell rate algorithm, ITU-T I.371
//! appendix A): what is missing is what that moment lies ahead. Somebody who waits is served again at the pace; nobody is
//! ever locked out for longer than it takes to fill the bucket.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::secret::sha256;
use super::session::SessionId;
use super::time::{Timestamp, millis};

/// A bucket of `most`, to which one comes back at each `pace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    most: u32,
    pace: Duration,
}

impl Rate {
    /// `most` in `per`, counted in whole milliseconds. `None` unless at least one is let through, and no more than one in
    /// each millisecond.
    #[must_use]
    pub fn new(most: u32, per: Duration) -> Option<Self> {
        let pace = Duration::from_millis((millis(per) / i64::from(most.max(1))).unsigned_abs());
        (most > 0 && !pace.is_zero()).then_some(Self { most, pace })
    }

    /// How long one takes to come back.
    #[must_use]
    pub const fn pace(self) -> Duration {
        self.pace
    }

    /// How long an empty bucket takes to fill.
    #[must_use]
    pub fn fill(self) -> Duration {
        self.pace.saturating_mul(self.most)
    }

    /// Takes one from a bucket that is whole at `whole_at`, and says when it is whole afterwards. A moment further ahead
    /// than the bucket takes to fill is a clock's mistake, and cut.
    ///
    /// # Errors
    /// How long to wait for one, if there is none.
    pub fn take(self, whole_at: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Duration> {
        let missing = whole_at.map_or(Duration::ZERO, |whole_at| whole_at.since(now).min(self.fill()));
        let after = missing + self.pace;
        match after.saturating_sub(self.fill()) {
            Duration::ZERO => Ok(now.plus(after)),
            wait => Err(wait),
        }
    }
}

/// Names a bucket. A hash: names that people type into a login may be their passwords, and are kept nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bucket([u8; 32]);

impl Bucket {
    /// Logins with a name, whether or not it is somebody's.
    #[must_use]
    pub fn login_as(name: &str) -> Self {
        Self::new("account", name.as_bytes())
    }

    /// Logins with a name from where its owner is already logged in: a stranger cannot empty this one.
    #[must_use]
    pub fn login_at_home(name: &str, network: ClientNetwork) -> Self {
        Self::new("account at home", &[&network.0.octets()[..], name.as_bytes()].concat())
    }

    #[must_use]
    pub fn login_from(network: ClientNetwork) -> Self {
        Self::new("login from", &network.0.octets())
    }

    #[must_use]
    pub fn refresh_of(session: SessionId) -> Self {
        Self::new("refresh", session.as_bytes())
    }

    /// Guesses at the current password by whoever holds an access token of the session.
    #[must_use]
    pub fn password_by(session: SessionId) -> Self {
        Self::new("password", session.as_bytes())
    }

    #[must_use]
    pub fn bad_tokens_from(network: ClientNetwork) -> Self {
        Self::new("bad tokens", &network.0.octets())
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn new(kind: &str, about: &[u8]) -> Self {
        Self(sha256(&[kind.as_bytes(), b"\0", about].concat()))
    }
}

/// As much of an address as one client cannot choose: an IPv4 address, or the /64 an IPv6 host draws its own from
/// (RFC 4291 §2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(Ipv6Addr);

impl ClientNetwork {
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_whole_bucket_gives_all_it_holds_and_then_one_at_a_time() {
        let rate = Rate::new(10, Duration::from_mins(15)).unwrap();
        let mut whole_at = None;
        for _ in 0..10 {
            whole_at = Some(rate.take(whole_at, at(0)).unwrap());
        }
        assert_eq!(rate.take(whole_at, at(0)), Err(Duration::from_secs(90)));
        assert_eq!(rate.take(whole_at, at(89_999)), Err(Duration::from_millis(1)));
        whole_at = Some(rate.take(whole_at, at(90_000)).unwrap());
        assert_eq!(rate.take(whole_at, at(90_000)), Err(Duration::from_secs(90)));
        assert!(rate.take(whole_at, at(10_000_000)).is_ok());
    }

    #[test]
    fn a_clock_that_stepped_back_delays_for_no_longer_than_the_bucket_takes() {
        let rate = Rate::new(2, Duration::from_secs(2)).unwrap();
        assert_eq!(rate.take(Some(at(1_000_000)), at(0)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn addresses_that_one_client_can_choose_from_are_one_network() {
        let network = |text: &str| ClientNetwork::of(text.parse().unwrap());
        assert_eq!(network("203.0.113.9"), network("::ffff:203.0.113.9"));
        assert_ne!(network("203.0.113.9"), network("203.0.113.10"));
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::7"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }

    #[test]
    fn a_rate_lets_something_through_and_not_more_than_one_in_a_millisecond() {
        assert_eq!(Rate::new(0, Duration::from_secs(1)), None);
        assert_eq!(Rate::new(1001, Duration::from_secs(1)), None);
        assert!(Rate::new(1000, Duration::from_secs(1)).is_some());
    }

    proptest! {
        /// However somebody times it: never more in any span than the bucket and what came back meanwhile.
        #[test]
        fn no_timing_gets_more_than_the_bucket_and_what_came_back(
            most in 1..20_u32, per in 20..5_000_u64, pauses in prop::collection::vec(0..1_000_i64, 1..200),
        ) {
            let rate = Rate::new(most, Duration::from_millis(per)).unwrap();
            let (mut now, mut whole_at, mut taken) = (0, None, 0_i64);
            for pause in pauses {
                now += pause;
                match rate.take(whole_at, at(now)) {
                    Ok(next) => { taken += 1; whole_at = Some(next); }
                    Err(wait) => prop_assert!(wait <= rate.pace() && !wait.is_zero()),
                }
            }
            let came_back = now / millis(rate.pace());
            prop_assert!(taken <= i64::from(most) + came_back, "{taken} in {now} ms");
        }
    }
}
