//! Who a request speaks for, and the headers that tell the upstream.
//!
//! A header that carries identity is set or removed, never passed through: whoever can reach sidegate could otherwise be
//! anybody. Spellings that some server folds together (`X_Auth_Subject`, `x.auth.subject`) count as the same name.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use serde_json::{Map, Value};

use super::keys::KeyId;
use super::session::{Epochs, SessionId, Subject};
use super::time::Timestamp;
use super::vault::Vault;

/// A verified access token's content. Whether it has been revoked since is asked on every request.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub subject: Subject,
    pub session: SessionId,
    pub client: String,
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
    pub epochs: Epochs,
    /// What the token was signed with.
    pub key: KeyId,
    pub issued: Timestamp,
    pub expires: Timestamp,
    /// Every claim, registered ones included, but for the vault's.
    pub claims: Map<String, Value>,
    /// The upstream's cookies as the token carries them; a newer version may be known.
    pub vault: Option<Arc<Vault>>,
    /// What tells the upstream so, made when it is first asked for.
    pub headers: OnceLock<Vec<(String, HeaderValue)>>,
}

/// Header names that legacy applications take for an identity; stripped from every client's request whether or not
/// sidegate sets them.
pub const CUSTOMARY: [&str; 20] = [
    "remote-user",
    "remote-groups",
    "remote-name",
    "remote-email",
    "x-remote-user",
    "x-remote-group",
    "x-remote-groups",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-webauth-user",
    "x-authenticated-user",
    "x-auth-user",
    "x-user",
    "x-user-id",
];

/// The headers sidegate owns: each takes its value from one claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityHeaders {
    owned: Vec<(String, String)>,
    stripped: Vec<String>,
}

impl IdentityHeaders {
    /// `owned`: header name and claim name.
    #[must_use]
    pub fn new(owned: Vec<(String, String)>) -> Self {
        let mut stripped: Vec<String> =
            owned.iter().map(|(header, _)| fold(header)).chain(CUSTOMARY.map(str::to_owned)).collect();
        stripped.sort_unstable();
        stripped.dedup();
        Self { owned, stripped }
    }

    /// Whether a client's header of this name must not reach the upstream.
    #[must_use]
    pub fn strips(&self, name: &str) -> bool {
        self.stripped.binary_search_by(|known| known.bytes().cmp(folded(name))).is_ok()
    }

    /// What to set for a request: nothing for an anonymous one.
    #[must_use]
    pub fn values<'i>(&self, identity: Option<&'i Identity>) -> &'i [(String, HeaderValue)] {
        identity.map_or(&[], |identity| identity.headers.get_or_init(|| self.prepare(identity)))
    }

    fn prepare(&self, identity: &Identity) -> Vec<(String, HeaderValue)> {
        let value_of = |claim: &str| HeaderValue::try_from(header_value(identity.claims.get(claim)?)?).ok();
        self.owned.iter().filter_map(|(header, claim)| Some((header.clone(), value_of(claim)?))).collect()
    }
}

/// Lower case, with everything but letters and digits written as `-`: some servers map `-` to `_` on the way to their
/// variables (RFC 3875 §4.1.18), some every such character.
#[must_use]
pub fn fold(name: &str) -> String {
    folded(name).map(char::from).collect()
}

/// The same, byte by byte.
pub fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' })
}

/// A claim as one header value: text as it is, numbers and booleans in JSON's spelling, lists joined by commas.
/// `None` (no header) for null, objects, nested lists and empty values. Control characters, non-ASCII, `%`, and commas
/// inside a list's item are percent-encoded, so that the value can be split and decoded without doubt.
#[must_use]
pub fn header_value(claim: &Value) -> Option<String> {
    let text = match claim {
        Value::String(text) => encode(text, false),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Some(encode(text, true)),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(value) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            })
            .collect::<Option<Vec<_>>>()?
            .join(","),
        Value::Null | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn encode(text: &str, in_list: bool) -> String {
    use std::fmt::Write;
    let edge = text.len().wrapping_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let outer_space = byte == b' ' && (index == 0 || index == edge);
        let plain = (byte.is_ascii_graphic() || byte == b' ') && byte != b'%' && !(in_list && byte == b',');
        if plain && !outer_space {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_spelling_of_an_owned_or_customary_header_is_stripped() {
        let headers = IdentityHeaders::new(vec![("X-Auth-Subject".into(), "sub".into())]);
        for name in
            ["X-Auth-Subject", "x_auth_subject", "X.AUTH-subject", "x~auth!subject", "remote_user", "X-Forwarded-User"]
        {
            assert!(headers.strips(name), "{name}");
        }
        for name in ["x-auth-subjects", "accept", "authorization"] {
            assert!(!headers.strips(name), "{name}");
        }
    }

    #[test]
    fn a_claim_becomes_exactly_one_unambiguous_value() {
        for (claim, value) in [
            (json!("ann"), Some("ann")),
            (json!("a\r\nX-Admin: 1"), Some("a%0D%0AX-Admin: 1")),
            (json!("Zoë, 100%"), Some("Zo%C3%AB, 100%25")),
            (json!(" padded "), Some("%20padded%20")),
            (json!(["a", "b,c", 7, true]), Some("a,b%2Cc,7,true")),
            (json!(42), Some("42")),
            (json!(""), None),
            (json!([]), None),
            (json!(null), None),
            (json!({"a": 1}), None),
            (json!([["a"]]), None),
        ] {
            assert_eq!(header_value(&claim).as_deref(), value, "{claim}");
        }
    }

    /// Any JSON, with any text in it.
    fn any_claim() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<String>().prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(json!(null))];
        leaf.prop_recursive(2, 8, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn a_value_is_one_line_of_visible_text_that_can_be_read_back(claim in any_claim()) {
            let Some(value) = header_value(&claim) else { return Ok(()) };
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{}", value);
            prop_assert_eq!(value.trim(), &value);
            if let Value::String(text) = &claim {
                let read: Vec<u8> = percent_decoded(&value);
                prop_assert_eq!(read, text.as_bytes());
            }
        }
    }

    fn percent_decoded(value: &str) -> Vec<u8> {
        let mut parts = value.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        bytes
    }
}
