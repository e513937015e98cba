//! `[key]`, `[access_token]`, `[session]` and `[refresh]`, and what of `[store]` the judgement of a token needs.

use std::time::Duration;

use crate::config::checked::{AccessToken, Key, Session};
use crate::config::document::{Document, Setting};
use crate::domain::keys::Algorithm;
use crate::domain::rotation::{AfterRollback, LateElsewhere, OnRetry, RotationPolicy};

pub(super) fn key(document: &Document<'_>) -> Option<Key> {
    let section = document.section("key");
    let algorithm = section.choice("algorithm", Algorithm::parse);
    let items = section.entry("secret_files").and_then(|files| files.items());
    if items.as_ref().is_some_and(Vec::is_empty) {
        section.refuse("secret_files", "no file", "name at least one; the first one signs");
        return None;
    }
    let mut secret_files = Some(Vec::new());
    for item in items? {
        match item.path() {
            Some(Setting::On(path)) if secret_files.as_ref().is_some_and(|files| files.contains(&path)) => {
                item.refuse("the same file again", "name each file once");
            }
            Some(Setting::On(path)) => secret_files.iter_mut().for_each(|files| files.push(path.clone())),
            Some(Setting::Off) => item.refuse("empty", "write the path of a file"),
            None => secret_files = None,
        }
    }
    let rotate_every = section.duration("rotate_every");
    let publish_ahead = section.duration("publish_ahead");
    if let (Some(every), Some(ahead)) = (rotate_every, publish_ahead)
        && !every.is_zero()
    {
        if algorithm.is_some_and(Algorithm::is_rsa) {
            section.refuse("rotate_every", "RSA keys are not made by sidegate", "write 0s, and import each key");
        } else if every < SHORTEST_ROTATION {
            section.refuse("rotate_every", "too short", "write at least 1h, or 0s");
        } else if every <= ahead {
            let hint = "a key is published before it signs: raise rotate_every or lower publish_ahead";
            section.refuse("rotate_every", "not longer than key.publish_ahead", hint);
        }
    }
    Some(Key {
        algorithm: algorithm?,
        secret_files: secret_files?,
        rotate_every: rotate_every?,
        publish_ahead: publish_ahead?,
    })
}

/// Every key is looked after, and sealed, and published until it is over.
const SHORTEST_ROTATION: Duration = Duration::from_hours(1);

pub(super) fn access_token(document: &Document<'_>, public_url: Option<&str>) -> Option<AccessToken> {
    let section = document.section("access_token");
    let issuer = issuer(document, public_url);
    let audience = section.entry("audience").and_then(|audience| audience.word());
    let client_id = section.entry("client_id").and_then(|client_id| client_id.word());
    let ttl = section.duration("ttl");
    if ttl.is_some_and(|ttl| ttl.subsec_nanos() != 0) {
        section.refuse("ttl", "not in whole seconds", "the `exp` of a token counts seconds");
    }
    let leeway = section.duration("leeway");
    Some(AccessToken { issuer: issuer?, audience: audience?, client_id: client_id?, ttl: ttl?, leeway: leeway? })
}

/// Our `iss`: what the operator says, or the public address.
fn issuer(document: &Document<'_>, public_url: Option<&str>) -> Option<String> {
    let entry = document.section("access_token").entry("issuer")?;
    if entry.text()?.is_empty() { public_url.map(str::to_owned) } else { entry.word() }
}

/// Where browsers and clients find us.
pub(super) fn public_url(document: &Document<'_>) -> Option<String> {
    let entry = document.section("server").entry("public_url")?;
    let text = entry.word()?;
    let hint = "write scheme, host and perhaps a port: https://api.example.com";
    let fault = match url::Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => "not an http or https URL",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => "holds a user name",
        Ok(url) if url.query().is_some() || url.fragment().is_some() => "has a query or a fragment",
        // Issuers are compared as text (RFC 8414 §3.3): one spelling.
        Ok(_) if text.ends_with('/') => "ends with a slash",
        Ok(_) => return Some(text),
        Err(_) => "not an http or https URL",
    };
    entry.refuse(fault, hint);
    None
}

pub(super) fn session(document: &Document<'_>) -> Option<Session> {
    let section = document.section("session");
    let idle_ttl = section.duration("idle_ttl");
    let max_ttl = section.duration("max_ttl");
    let per_subject = section.number("per_subject");
    Some(Session { idle_ttl: idle_ttl?, max_ttl: max_ttl?, per_subject: per_subject? })
}

/// An access token lives no longer than the session may idle, and that no longer than the session.
pub(super) fn lifetimes(document: &Document<'_>, access_token: Option<&AccessToken>, session: Option<&Session>) {
    let Some(session) = session else { return };
    let section = document.section("session");
    if session.idle_ttl > session.max_ttl {
        // Noted at the value that the file says.
        let (name, rule) = if section.has("idle_ttl") || !section.has("max_ttl") {
            ("idle_ttl", "longer than session.max_ttl")
        } else {
            ("max_ttl", "shorter than session.idle_ttl")
        };
        section.refuse(
            name,
            rule,
            "a session may idle at most as long as it may live: lower idle_ttl or raise max_ttl",
        );
    }
    if access_token.is_some_and(|token| token.ttl > session.idle_ttl) {
        let tokens = document.section("access_token");
        let hint = "a client refreshes when its access token ends: lower access_token.ttl or raise session.idle_ttl";
        if tokens.has("ttl") || !section.has("idle_ttl") {
            tokens.refuse("ttl", "longer than session.idle_ttl", hint);
        } else {
            section.refuse("idle_ttl", "shorter than access_token.ttl", hint);
        }
    }
}

pub(super) fn rotation(document: &Document<'_>) -> Option<RotationPolicy> {
    let section = document.section("refresh");
    let on_retry = section.choice("on_retry", |word| match word {
        "refuse" => Some(OnRetry::Refuse),
        "repeat" => Some(OnRetry::Repeat),
        _ => None,
    });
    let retry_window = section.duration("retry_window");
    let late_window = section.duration("late_window");
    let late_elsewhere = section.choice("late_elsewhere", |word| match word {
        "end" => Some(LateElsewhere::End),
        "keep" => Some(LateElsewhere::Keep),
        _ => None,
    });
    let idempotency_window = section.duration("idempotency_window");
    let after_rollback = document.section("store").choice("after_rollback", |word| match word {
        "refuse" => Some(AfterRollback::Refuse),
        "adopt" => Some(AfterRollback::Adopt),
        _ => None,
    });
    let repeats = on_retry == Some(OnRetry::Repeat);
    if let (Some(plain), Some(keyed)) = (retry_window, idempotency_window)
        && repeats
        && plain > keyed
    {
        let hint = "a retry with a key is not to be worse off than one without: lower retry_window or raise \
                    idempotency_window";
        if section.has("retry_window") {
            section.refuse("retry_window", "longer than refresh.idempotency_window", hint);
        } else {
            section.refuse("idempotency_window", "shorter than refresh.retry_window", hint);
        }
    }
    if repeats && retry_window == Some(Duration::ZERO) {
        section.refuse("retry_window", "nothing can be repeated", r#"write a longer one, or on_retry = "refuse""#);
    }
    Some(RotationPolicy {
        on_retry: on_retry?,
        retry_window: retry_window?,
        late_window: late_window?,
        late_elsewhere: late_elsewhere?,
        idempotency_window: idempotency_window?,
        cookie_window: Duration::ZERO,
        after_rollback: after_rollback?,
    })
}
