//! A session: one login, one row, for its whole life.

use std::fmt;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::secret::hex;
use super::time::Timestamp;
use super::vault::SealedJar;

/// Names a session; also the `sid` claim of its access tokens. 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

impl SessionId {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads exactly 32 lower-case hexadecimal digits; `None` for anything else, so that an id has one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// Who a token speaks for: the `sub` claim (RFC 7519 §4.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(String);

impl Subject {
    /// Longest accepted subject, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// `None` if the text is empty, longer than [`Self::MAX_BYTES`], or holds a control character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = !text.is_empty() && text.len() <= Self::MAX_BYTES && !text.chars().any(char::is_control);
        good.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The two counters a session and its access tokens carry from login (`ep`). Whatever carries a value below the store's
/// is void: this is how "everywhere" and "everybody" end at once, without comparing clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epochs {
    pub realm: u64,
    pub subject: u64,
}

impl Epochs {
    /// Whether something issued under `self` is void when the store says `current`.
    #[must_use]
    pub const fn is_void_under(self, current: Self) -> bool {
        self.realm < current.realm || self.subject < current.subject
    }
}

/// Where a request came from, as kept with a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
}

impl Origin {
    /// Longest user agent kept, in bytes; the rest is cut.
    pub const MAX_USER_AGENT: usize = 256;

    #[must_use]
    pub fn new(address: Option<IpAddr>, user_agent: Option<&str>) -> Self {
        let user_agent = user_agent.map(|text| {
            let clean: String = text.chars().filter(|c| !c.is_control()).collect();
            let end = clean.floor_char_boundary(Self::MAX_USER_AGENT);
            clean[..end].to_owned()
        });
        Self { address, user_agent }
    }

    /// Another address *and* another user agent: a phone that changes networks keeps its user agent, a browser that
    /// updates keeps its address, a thief rarely has either.
    #[must_use]
    pub fn is_elsewhere(&self, other: &Self) -> bool {
        self.address != other.address && self.user_agent != other.user_agent
    }
}

/// SHA-256 of a refresh token's body. The only trace of a token in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", hex(&self.0[..4]))
    }
}

/// 32 random bytes of one rotation, kept in the row until the next.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salt(pub [u8; 32]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

/// One login as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub id: SessionId,
    pub subject: Subject,
    /// The OAuth client that logged in (`client_id`, RFC 9068 §2.2).
    pub client: String,
    /// Counts rotations; 0 at login.
    pub generation: u32,
    /// Of the one live refresh token.
    pub hash: TokenHash,
    /// Of the rotation that made the live token; `None` at generation 0.
    pub salt: Option<Salt>,
    pub recent: RecentRotations,
    /// At login; a session whose epochs are below the store's is over.
    pub epochs: Epochs,
    pub created: Timestamp,
    pub rotated: Timestamp,
    /// Slides at each refresh.
    pub idle_end: Timestamp,
    /// Never moves.
    pub absolute_end: Timestamp,
    pub login_from: Origin,
    pub last_from: Origin,
    /// Claims the login gave, minted into each access token (`roles`, `scope`, …).
    pub claims: Map<String, Value>,
    pub label: Option<String>,
    /// The cookies that the upstream gave at login, as they are now; `None` where none are kept.
    pub vault: Option<SealedJar>,
}

impl Session {
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.idle_end <= now || self.absolute_end <= now
    }

    /// Whether the login gave every one of these scopes, separated by spaces (RFC 6749 §3.3).
    #[must_use]
    pub fn grants(&self, scope: &str) -> bool {
        let granted = self.claims.get("scope").and_then(Value::as_str).unwrap_or_default();
        scope.split(' ').all(|wanted| !wanted.is_empty() && granted.split(' ').any(|granted| granted == wanted))
    }
}

/// That a token of `generation` was exchanged at `at`, with which idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecentRotation {
    pub generation: u32,
    pub at: Timestamp,
    pub key: Option<IdempotencyMac>,
}

/// MAC of a refresh token and the `Idempotency-Key` it was sent with: recognises the pair, reveals neither.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyMac(pub [u8; 16]);

impl fmt::Debug for IdempotencyMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyMac(…)")
    }
}

/// The latest rotations of a session, newest first, at most [`RecentRotations::MOST`].
///
/// In the store this is one binary column of 28-byte entries, big-endian: `generation:u32 ‖ at:i64 ms ‖ mac:16` (zeros:
/// no key). A rotation puts its entry in front; when the session's previous rotation has left the longest window, the
/// older entries are dropped in the same statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RecentRotations(Vec<RecentRotation>);

impl RecentRotations {
    pub const MOST: usize = 16;
    pub const ENTRY_BYTES: usize = 28;

    #[must_use]
    pub fn of_generation(&self, generation: u32) -> Option<&RecentRotation> {
        self.0.iter().find(|entry| entry.generation == generation)
    }

    /// Reads the column. `None` if its length is not a whole number of entries.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (entries, rest) = bytes.as_chunks::<{ Self::ENTRY_BYTES }>();
        rest.is_empty().then(|| Self(entries.iter().map(RecentRotation::decode).collect()))
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(RecentRotation::encode).collect()
    }

    /// What the store's statement does, as a value: `entry` in front, the rest cut to the limit, or dropped if the
    /// previous rotation is older than `window_start`.
    #[must_use]
    pub fn after(&self, entry: RecentRotation, previous: Timestamp, window_start: Timestamp) -> Self {
        let kept = if previous < window_start { 0 } else { Self::MOST - 1 };
        Self(std::iter::once(entry).chain(self.0.iter().copied().take(kept)).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &RecentRotation> {
        self.0.iter()
    }
}

impl RecentRotation {
    #[must_use]
    pub fn encode(&self) -> [u8; RecentRotations::ENTRY_BYTES] {
        let mut bytes = [0; RecentRotations::ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.generation.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.at.as_millis().to_be_bytes());
        bytes[12..].copy_from_slice(&mac_column(self.key));
        bytes
    }

    fn decode(bytes: &[u8; RecentRotations::ENTRY_BYTES]) -> Self {
        let mut generation = [0; 4];
        let mut at = [0; 8];
        let mut mac = [0; 16];
        generation.copy_from_slice(&bytes[..4]);
        at.copy_from_slice(&bytes[4..12]);
        mac.copy_from_slice(&bytes[12..]);
        Self {
            generation: u32::from_be_bytes(generation),
            at: Timestamp::from_millis(i64::from_be_bytes(at)),
            key: (mac != [0; 16]).then_some(IdempotencyMac(mac)),
        }
    }
}

/// The 16 bytes a statement writes for a key: zeros stand for "none".
#[must_use]
pub fn mac_column(key: Option<IdempotencyMac>) -> [u8; 16] {
    key.map_or([0; 16], |mac| mac.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_has_one_spelling() {
        let id = SessionId::from_bytes([0xab; 16]);
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        assert_eq!(SessionId::parse(&id.to_string().to_uppercase()), None);
        assert_eq!(SessionId::parse(&id.to_string()[1..]), None);
    }

    #[test]
    fn recent_rotations_survive_the_column() {
        let first = RecentRotation { generation: 7, at: Timestamp::from_millis(-3), key: None };
        let second =
            RecentRotation { generation: 8, at: Timestamp::from_millis(9), key: Some(IdempotencyMac([4; 16])) };
        let start = Timestamp::from_millis(i64::MIN);
        let recent = RecentRotations::default().after(first, start, start).after(second, start, start);
        assert_eq!(RecentRotations::decode(&recent.encode()), Some(recent.clone()));
        assert_eq!(recent.of_generation(7), Some(&first));
        assert_eq!(RecentRotations::decode(&[0; 27]), None);
    }

    #[test]
    fn at_most_sixteen_rotations_are_kept_and_none_from_before_the_window() {
        let at = |ms| Timestamp::from_millis(ms);
        let mut recent = RecentRotations::default();
        for generation in 0..40 {
            let entry = RecentRotation { generation, at: at(i64::from(generation)), key: None };
            recent = recent.after(entry, at(i64::from(generation) - 1), at(-100));
        }
        assert_eq!(recent.iter().map(|entry| entry.generation).collect::<Vec<_>>(), (24..40).rev().collect::<Vec<_>>());
        let entry = RecentRotation { generation: 40, at: at(1000), key: None };
        assert_eq!(recent.after(entry, at(39), at(900)).iter().count(), 1);
    }

    #[test]
    fn a_user_agent_is_cut_at_a_character_and_cleaned() {
        let long = format!("a\r\n{}", "é".repeat(200));
        let origin = Origin::new(None, Some(&long));
        let kept = origin.user_agent.unwrap();
        assert!(kept.len() <= Origin::MAX_USER_AGENT && kept.starts_with("aé"));
    }
}
