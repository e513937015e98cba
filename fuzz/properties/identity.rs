//! The identity headers of a forwarded request. Input: the client's header lines, an empty line, and the claims of its
//! token as JSON; claims that are no object stand for an anonymous request.
//!
//! After sidegate has written its headers, whatever has the name of a header it owns, or of one that legacy applications
//! trust, in any spelling that some server folds together, is the one line that sidegate wrote, with the value of the
//! claim: visible ASCII, no space at either end, and percent-decoding (item by item for a list) gives the claim back.
//! `Authorization` stays only where it was verified and is asked for, and every other line of the client is left as it was.

use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use serde_json::{Map, Value};
use sidegate::config::checked::{Upstream, UpstreamAuthorization};
use sidegate::domain::forwarded::is_proxy_field;
use sidegate::domain::identity::{CUSTOMARY, Identity, IdentityHeaders};
use sidegate::domain::keys::KeyId;
use sidegate::domain::session::{Epochs, SessionId, Subject};
use sidegate::domain::target::Target;
use sidegate::domain::time::Timestamp;
use sidegate::gateway::forward::Outgoing;

use super::target::decode;

/// Header and claim, as the operator may name them.
const OWNED: [(&str, &str); 4] =
    [("X-Auth-Subject", "sub"), ("X-Auth-Roles", "roles"), ("X_Tenant", "tenant"), ("Remote-User", "name")];

pub fn holds(input: &[u8]) {
    let end = input.windows(2).position(|window| window == b"\n\n").unwrap_or(input.len());
    let (lines, claims) = (&input[..end], input.get(end + 2..).unwrap_or_default());
    let Some(client) = client_request(lines) else { return };
    let identity = serde_json::from_slice(claims).ok().map(identity);
    for authorization in [UpstreamAuthorization::Strip, UpstreamAuthorization::Keep] {
        let written = written(&client, identity.as_ref(), authorization);
        assert_owned(&written, identity.as_ref());
        assert_untouched(&client.headers, &written, authorization, identity.is_some());
    }
}

/// `None` if a line is none that the listener lets through.
fn client_request(lines: &[u8]) -> Option<RequestHeader> {
    let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.append_header(name.to_owned(), value).ok()?;
    }
    Some(request)
}

fn identity(claims: Map<String, Value>) -> Identity {
    Identity {
        subject: Subject::parse("ann").expect("a subject"),
        session: SessionId::from_bytes([7; 16]),
        client: "first-party".to_owned(),
        scopes: Vec::new(),
        roles: Vec::new(),
        epochs: Epochs::default(),
        key: KeyId::stored("key".to_owned()),
        issued: Timestamp::from_secs(0),
        expires: Timestamp::from_secs(600),
        claims,
        vault: None,
        headers: OnceLock::new(),
    }
}

fn written(client: &RequestHeader, identity: Option<&Identity>, authorization: UpstreamAuthorization) -> HeaderMap {
    let owned = OWNED.map(|(header, claim)| (header.to_owned(), claim.to_owned())).to_vec();
    let upstream = Upstream {
        host: "127.0.0.1".to_owned(),
        port: 3000,
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(1),
        keep_alive: Duration::from_secs(1),
        authorization,
    };
    let outgoing = Outgoing {
        target: &Target::parse(b"/notes?q=1").expect("a target"),
        identity,
        headers: &IdentityHeaders::new(owned),
        upstream: &upstream,
        client: Some([192, 0, 2, 1].into()),
        host: client.headers.get("host"),
        scheme: "https",
    };
    let mut request = client.clone();
    outgoing.write(&mut request).expect("every claim can be written");
    assert_eq!(request.uri, "/notes?q=1");
    request.headers.clone()
}

/// No spelling of a protected name is left but ours, and ours says what the claim says.
fn assert_owned(written: &HeaderMap, identity: Option<&Identity>) {
    let protected: Vec<String> = OWNED.iter().map(|(header, _)| *header).chain(CUSTOMARY).map(folded).collect();
    for (name, value) in written {
        if protected.contains(&folded(name.as_str())) {
            let owned = OWNED.iter().find(|(header, _)| header.eq_ignore_ascii_case(name.as_str()));
            let (_, claim) = owned.unwrap_or_else(|| panic!("{name}: {value:?} reaches the upstream"));
            let identity = identity.unwrap_or_else(|| panic!("{name}: {value:?} of an anonymous request"));
            assert_eq!(written.get_all(name).iter().count(), 1, "{name} stands twice");
            assert_says(value, identity.claims.get(*claim).expect("a claim"));
        }
    }
    for (header, claim) in OWNED {
        let has_value = identity.and_then(|identity| identity.claims.get(claim)).is_some_and(is_expressible);
        assert_eq!(written.contains_key(header), has_value, "{header} and the claim {claim}");
    }
    for (name, ours) in [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")] {
        assert_eq!(written.get_all(name).iter().collect::<Vec<_>>(), [ours]);
    }
    assert!(written.contains_key("host"));
}

fn assert_says(value: &HeaderValue, claim: &Value) {
    let bytes = value.as_bytes();
    assert!(bytes.iter().all(|byte| (b' '..=b'~').contains(byte)), "{value:?}");
    assert!(!bytes.starts_with(b" ") && !bytes.ends_with(b" "), "{value:?}");
    let said = match claim {
        Value::Array(items) => {
            let said: Vec<_> = bytes.split(|&byte| byte == b',').map(decode).collect();
            let meant: Vec<_> = items.iter().map(|item| text(item).into_bytes()).collect();
            return assert_eq!(said, meant, "{claim}");
        }
        _ => decode(bytes),
    };
    assert_eq!(said, text(claim).into_bytes(), "{claim}");
}

fn text(claim: &Value) -> String {
    claim.as_str().map_or_else(|| claim.to_string(), str::to_owned)
}

/// Whether one line can say it: not null, not nested, not empty.
fn is_expressible(claim: &Value) -> bool {
    let is_plain = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    match claim {
        Value::Array(items) => {
            items.iter().all(is_plain) && !items.is_empty() && items != &[Value::String(String::new())]
        }
        claim => is_plain(claim) && !text(claim).is_empty(),
    }
}

fn assert_untouched(client: &HeaderMap, written: &HeaderMap, authorization: UpstreamAuthorization, known: bool) {
    let protected: Vec<String> = OWNED.iter().map(|(header, _)| *header).chain(CUSTOMARY).map(folded).collect();
    for name in client.keys() {
        let (before, after) = (client.get_all(name), written.get_all(name));
        if name == "authorization" {
            let kept = known && authorization == UpstreamAuthorization::Keep;
            assert_eq!(after.iter().count(), if kept { before.iter().count() } else { 0 });
        } else if !protected.contains(&folded(name.as_str())) && !is_proxy_field(name.as_str()) {
            assert!(before.iter().eq(after.iter()), "{name} was changed");
        } else if is_proxy_field(name.as_str()) && !OWNED.iter().any(|(header, _)| name == header) {
            let ours = matches!(name.as_str(), "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto");
            assert!(ours || !written.contains_key(name), "{name} reaches the upstream");
        }
    }
}

/// As the least careful server folds a name: case, and whatever is no letter or digit, is all the same to it.
fn folded(name: &str) -> String {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.bytes().map(fold).map(char::from).collect()
}
