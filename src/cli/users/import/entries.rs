//! The users of a file, line by line.

use serde_json::{Map, Value};

use crate::authority::passwords::known_hash::KnownHash;
use crate::domain::session::Subject;
use crate::domain::strict_json;
use crate::domain::user::{PasswordHash, User};

use super::super::{all_claims, user_name};
use super::{Format, Problem};

/// One user, and where it stands.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) user: User,
    pub(super) hash: KnownHash,
}

/// Every user, and what is wrong with the lines that are none.
pub(super) fn read(bytes: &[u8], format: Option<Format>) -> (Vec<Entry>, Vec<Problem>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let format = format.unwrap_or_else(|| look_of(bytes));
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let parsed = match (str::from_utf8(line).map(str::trim), format) {
            (Err(_), _) => Some(Err(vec!["this is not UTF-8".to_owned()])),
            (Ok(""), _) => None,
            (Ok(line), Format::Htpasswd) => htpasswd(line),
            (Ok(line), Format::Jsonl) => Some(json(line)),
        };
        match parsed {
            None => {}
            Some(Ok((user, hash))) => entries.push(Entry { line: number, user, hash }),
            Some(Err(texts)) => problems.extend(texts.into_iter().map(|text| Problem { line: number, text })),
        }
    }
    (entries, problems)
}

fn look_of(bytes: &[u8]) -> Format {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'[')) { Format::Jsonl } else { Format::Htpasswd }
}

/// A user, or everything that is wrong with it.
type Parsed = Result<(User, KnownHash), Vec<String>>;

/// `name:hash`, and whatever follows a second colon is a remark, as for Apache and nginx. `None` for a comment.
fn htpasswd(line: &str) -> Option<Parsed> {
    if line.starts_with('#') {
        return None;
    }
    let Some((name, rest)) = line.split_once(':') else {
        return Some(Err(vec!["no colon; hint: a line is NAME:HASH".to_owned()]));
    };
    let hash = rest.split(':').next().unwrap_or_default();
    Some(user(name, None, hash, false, Ok(Map::new())))
}

fn json(line: &str) -> Parsed {
    let mut members = strict_json::object(line.as_bytes()).map_err(|error| {
        vec![format!(
            "no JSON object, or one that repeats a member (column {}); hint: each line is one object, without commas \
             between them",
            error.column()
        )]
    })?;
    let mut problems = Vec::new();
    let mut keep = |problem: String| problems.push(problem);
    let mut text = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(_) => {
            keep(format!("{name} must be a text, in quotes"));
            Some(String::new())
        }
    };
    let [name, hash, subject, scope] = ["name", "hash", "subject", "scope"].map(&mut text);
    let roles = match members.remove("roles").unwrap_or_default() {
        Value::Null => Some(Vec::new()),
        Value::Array(roles) => roles.iter().map(|role| role.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    if roles.is_none() {
        keep("roles must be a list of texts".to_owned());
    }
    let disabled = members.remove("disabled").unwrap_or_default();
    if !matches!(disabled, Value::Null | Value::Bool(_)) {
        keep("disabled must be true or false".to_owned());
    }
    let others = match members.remove("claims").unwrap_or_default() {
        Value::Null => Map::new(),
        Value::Object(others) => others,
        _ => {
            keep("claims must be an object".to_owned());
            Map::new()
        }
    };
    for unknown in members.keys() {
        keep(format!(
            "{unknown:?} is not known; hint: name, hash, subject, roles, scope, claims and disabled are, the rest belongs \
             into claims"
        ));
    }
    for (member, missing) in [("name", name.is_none()), ("hash", hash.is_none())] {
        if missing {
            keep(format!("{member} is missing"));
        }
    }
    if !problems.is_empty() {
        let who = name.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!("{name:?}: "));
        return Err(problems.into_iter().map(|problem| who.clone() + &problem).collect());
    }
    let claims = all_claims(&roles.unwrap_or_default(), scope, others).map_err(|name| {
        format!("the claim {name} is sidegate's own; hint: subject, roles and scope stand beside claims")
    });
    let disabled = disabled == Value::Bool(true);
    user(&name.unwrap_or_default(), subject.as_deref(), &hash.unwrap_or_default(), disabled, claims)
}

fn user(
    name: &str,
    subject: Option<&str>,
    hash: &str,
    disabled: bool,
    claims: Result<Map<String, Value>, String>,
) -> Parsed {
    if name.starts_with('{') || name.contains('$') {
        // Not shown: it may be a hash.
        return Err(vec!["the name looks like a hash; hint: a line is NAME:HASH".to_owned()]);
    }
    let name = user_name(name).map_err(|problem| vec![problem])?;
    let subject_text = subject.unwrap_or(name.as_str());
    let subject = Subject::parse(subject_text).ok_or_else(|| format!("{subject_text:?} cannot be a subject"));
    let known = KnownHash::parse(hash).map_err(|problem| problem.to_string());
    match (subject, known, claims) {
        (Ok(subject), Ok(known), Ok(claims)) => {
            Ok((User { name, subject, password_hash: PasswordHash(hash.to_owned()), disabled, claims }, known))
        }
        (subject, known, claims) => {
            let problems = [subject.err(), known.err(), claims.err()];
            Err(problems.into_iter().flatten().map(|problem| format!("{name}: {problem}")).collect())
        }
    }
}
