//! Whose sessions an operator ends at once.

use super::network::Network;
use super::session::{Origin, Session, SessionId, Subject};

/// What is to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One session.
    Session(SessionId),
    /// Every session of a subject.
    Subject(Subject),
    /// Whatever the signing key of this name signed; sessions live on.
    Key(String),
    /// Every session that has these traits.
    Traits(Traits),
    /// Every session of the realm.
    Everybody,
}

/// What is known of where a session was used: at its login, and at its last refresh. One that has both traits has them at
/// the same of these two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    network: Option<Network>,
    /// In lower case.
    user_agent: Option<String>,
}

impl Traits {
    /// A user agent matches if it contains the text, whatever the case of either. `None` if neither trait is given: that
    /// would be everybody, which is asked for by name.
    #[must_use]
    pub fn new(network: Option<Network>, user_agent: Option<&str>) -> Option<Self> {
        let user_agent = user_agent.filter(|text| !text.is_empty()).map(str::to_lowercase);
        (network.is_some() || user_agent.is_some()).then_some(Self { network, user_agent })
    }

    #[must_use]
    pub fn network(&self) -> Option<Network> {
        self.network
    }

    /// In lower case.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    #[must_use]
    pub fn matches(&self, session: &Session) -> bool {
        self.holds_of(&session.login_from) || self.holds_of(&session.last_from)
    }

    /// What is not known does not match.
    fn holds_of(&self, origin: &Origin) -> bool {
        let in_network =
            self.network.is_none_or(|network| origin.address.is_some_and(|address| network.contains(address)));
        let by_agent = self.user_agent.as_ref().is_none_or(|part| {
            origin.user_agent.as_ref().is_some_and(|user_agent| user_agent.to_lowercase().contains(part))
        });
        in_network && by_agent
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::session::{Epochs, RecentRotations, TokenHash};
    use crate::domain::time::Timestamp;

    use super::*;

    fn session(login: (&str, &str), last: (&str, &str)) -> Session {
        let origin = |(address, agent): (&str, &str)| {
            Origin::new(address.parse().ok(), Some(agent).filter(|agent| !agent.is_empty()))
        };
        Session {
            id: SessionId::from_bytes([1; 16]),
            subject: Subject::parse("ann").unwrap(),
            client: String::new(),
            generation: 0,
            hash: TokenHash([0; 32]),
            salt: None,
            recent: RecentRotations::default(),
            epochs: Epochs::default(),
            created: Timestamp::default(),
            rotated: Timestamp::default(),
            idle_end: Timestamp::default(),
            absolute_end: Timestamp::default(),
            login_from: origin(login),
            last_from: origin(last),
            claims: serde_json::Map::new(),
            label: None,
        }
    }

    fn traits(network: &str, user_agent: &str) -> Traits {
        let network = (!network.is_empty()).then(|| Network::parse(network).unwrap());
        Traits::new(network, Some(user_agent)).unwrap()
    }

    #[test]
    fn a_session_matches_by_its_login_or_its_last_refresh() {
        let moved = session(("10.1.2.3", "curl/8.5.0"), ("203.0.113.9", "Firefox/140"));
        for (network, agent) in [
            ("10.0.0.0/8", ""),
            ("203.0.113.9", ""),
            ("", "CURL"),
            ("", "fire"),
            ("10.0.0.0/8", "curl/8"),
            ("203.0.113.0/24", "firefox"),
        ] {
            assert!(traits(network, agent).matches(&moved), "{network} {agent}");
        }
        for (network, agent) in [("11.0.0.0/8", ""), ("", "chrome"), ("10.1.2.4", ""), ("10.0.0.0/8", "chrome")] {
            assert!(!traits(network, agent).matches(&moved), "{network} {agent}");
        }
    }

    #[test]
    fn two_traits_hold_at_the_same_moment() {
        let moved = session(("10.1.2.3", "curl/8.5.0"), ("203.0.113.9", "Firefox/140"));
        assert!(!traits("10.0.0.0/8", "firefox").matches(&moved));
        assert!(!traits("203.0.113.9", "curl").matches(&moved));
    }

    #[test]
    fn a_mapped_address_is_the_one_it_maps() {
        let mapped = session(("::ffff:10.1.2.3", ""), ("", ""));
        assert!(traits("10.0.0.0/8", "").matches(&mapped));
        assert!(traits("::ffff:10.1.2.3", "").matches(&mapped));
        assert!(!traits("::/0", "").matches(&mapped));
        assert!(traits("::ffff:10.1.2.3", "").matches(&session(("10.1.2.3", ""), ("", ""))));
    }

    #[test]
    fn what_is_not_known_does_not_match() {
        let unknown = session(("", ""), ("", ""));
        for (network, agent) in [("0.0.0.0/0", ""), ("::/0", ""), ("", "x"), ("0.0.0.0/0", "x")] {
            assert!(!traits(network, agent).matches(&unknown), "{network} {agent}");
        }
    }

    #[test]
    fn no_trait_is_no_selection() {
        assert_eq!(Traits::new(None, None), None);
        assert_eq!(Traits::new(None, Some("")), None);
    }

    #[test]
    fn case_is_folded_beyond_ascii() {
        assert!(traits("", "ÜBER").matches(&session(("", "Über-Browser/1"), ("", ""))));
    }
}
