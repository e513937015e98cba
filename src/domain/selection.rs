//! Whose sessions an operator ends at once.

use super::network::{Network, NetworkFault};
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

/// A selection in words, as it is typed and sent: one kind of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'w> {
    pub session: Option<&'w str>,
    pub subject: Option<&'w str>,
    pub key: Option<&'w str>,
    /// These two may stand together.
    pub from: Option<&'w str>,
    pub user_agent: Option<&'w str>,
    pub all: bool,
}

/// Why words select nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSelection {
    #[error("{0:?} is no session id: 32 hexadecimal digits, lower case")]
    Session(String),
    #[error("{0:?} cannot be a subject")]
    Subject(String),
    #[error("{text:?}: {fault}\n  hint: {}", network_hint(*.fault))]
    Network { text: String, fault: NetworkFault },
    #[error("an empty user agent would be everybody's")]
    UserAgent,
    #[error("say one of: a session, a subject, a key, where sessions come from, or all")]
    Kinds,
}

impl Words<'_> {
    /// # Errors
    /// [`NoSelection`].
    pub fn read(self) -> Result<Selection, NoSelection> {
        let selected = match self {
            Self { session: Some(text), subject: None, key: None, from: None, user_agent: None, all: false } => {
                Selection::Session(SessionId::parse(text).ok_or_else(|| NoSelection::Session(text.to_owned()))?)
            }
            Self { session: None, subject: Some(text), key: None, from: None, user_agent: None, all: false } => {
                Selection::Subject(Subject::parse(text).ok_or_else(|| NoSelection::Subject(text.to_owned()))?)
            }
            Self { session: None, subject: None, key: Some(kid), from: None, user_agent: None, all: false } => {
                Selection::Key(kid.to_owned())
            }
            Self { session: None, subject: None, key: None, from: None, user_agent: None, all: true } => {
                Selection::Everybody
            }
            Self { session: None, subject: None, key: None, from, user_agent, all: false } => {
                if user_agent.is_some_and(|text| text.trim().is_empty()) {
                    return Err(NoSelection::UserAgent);
                }
                let network = from.map(|text| {
                    Network::parse(text).map_err(|fault| NoSelection::Network { text: text.to_owned(), fault })
                });
                Selection::Traits(Traits::new(network.transpose()?, user_agent).ok_or(NoSelection::Kinds)?)
            }
            _ => return Err(NoSelection::Kinds),
        };
        Ok(selected)
    }
}

fn network_hint(fault: NetworkFault) -> String {
    match fault {
        NetworkFault::HostBits(network) => format!("write {network}"),
        _ => "write an address, or one and a prefix length: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32".to_owned(),
    }
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
            vault: None,
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
    fn words_select_one_kind_of_thing() {
        let none = Words::default();
        let id = "0123456789abcdef0123456789abcdef";
        let read = |words: Words<'_>| words.read();
        assert_eq!(read(Words { session: Some(id), ..none }), Ok(Selection::Session(SessionId::parse(id).unwrap())));
        assert_eq!(read(Words { all: true, ..none }), Ok(Selection::Everybody));
        assert_eq!(read(Words { key: Some("-k"), ..none }), Ok(Selection::Key("-k".into())));
        let both = Words { from: Some("10.0.0.0/8"), user_agent: Some("Curl"), ..none };
        assert_eq!(read(both), Ok(Selection::Traits(traits("10.0.0.0/8", "curl"))));
        for many in [
            none,
            Words { all: true, ..both },
            Words { all: true, subject: Some("ann"), ..none },
            Words { session: Some(id), key: Some("k"), ..none },
            Words { subject: Some("ann"), from: Some("10.0.0.1"), ..none },
        ] {
            assert_eq!(read(many), Err(NoSelection::Kinds), "{many:?}");
        }
        assert_eq!(read(Words { user_agent: Some(" "), ..none }), Err(NoSelection::UserAgent));
        assert_eq!(read(Words { session: Some("x"), ..none }), Err(NoSelection::Session("x".into())));
        let said = read(Words { from: Some("10.1.2.3/8"), ..none }).unwrap_err().to_string();
        assert_eq!(said, "\"10.1.2.3/8\": the address has bits set below its prefix\n  hint: write 10.0.0.0/8");
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
