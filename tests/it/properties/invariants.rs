//! The invariants, one function each: what is wrong, or nothing.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sidegate::domain::refresh_token::RefreshToken;
use sidegate::domain::rotation::LateElsewhere;
use sidegate::domain::session::TokenHash;

use super::ledger::{Asked, Ledger, Line, is_entitled, is_overdue, ms};
use super::system::{ACCESS, Answer};

/// Something that should never have happened.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

type RequestCheck = fn(&Ledger, &Asked) -> Option<String>;
type StateCheck = fn(&Ledger, &[TokenHash]) -> Option<String>;

const OF_A_REQUEST: &[(&str, RequestCheck)] = &[
    ("I2", a_token_has_one_successor),
    ("I3", a_token_presented_too_late_ends_the_session),
    ("elsewhere", a_duplicate_from_elsewhere_ends_the_session),
    ("I4", an_honest_client_is_never_refused),
    ("I4", an_honest_session_is_never_taken_for_stolen),
    ("I4", nothing_is_unavailable_while_the_store_works),
    ("I5", nothing_is_given_after_an_acknowledged_end),
    ("I6", a_token_is_given_for_the_live_one_or_a_retry_of_its_parent),
    ("I10", only_its_own_session_changes),
    ("I10", what_gives_nothing_new_writes_nothing),
    ("I11", nothing_is_given_after_the_end_of_the_session),
    ("I11", an_access_token_never_outlives_or_outgrows_its_session),
];

const OF_A_STATE: &[(&str, StateCheck)] = &[
    ("I1", at_most_one_token_is_live),
    ("I4", an_honest_session_lives_on),
    ("I5", an_ended_session_has_no_live_token),
    ("I8", what_was_given_is_live_or_was_rotated_later),
    ("I11", the_limits_of_a_session_never_move),
];

/// What one request violated. Called before the ledger learns of its answer.
pub fn of_a_request(ledger: &Ledger, asked: &Asked) -> Vec<Violation> {
    let found =
        |&(invariant, check): &(&'static str, RequestCheck)| Some(Violation { invariant, what: check(ledger, asked)? });
    OF_A_REQUEST.iter().filter_map(found).collect()
}

/// What is wrong between two steps. `hidden` are tokens that would rotate although no row says so.
pub fn of_a_state(ledger: &Ledger, hidden: &[TokenHash]) -> Vec<Violation> {
    let found =
        |&(invariant, check): &(&'static str, StateCheck)| Some(Violation { invariant, what: check(ledger, hidden)? });
    OF_A_STATE.iter().filter_map(found).collect()
}

/// I1: of all tokens ever given out in a session, at most one would rotate.
fn at_most_one_token_is_live(ledger: &Ledger, hidden: &[TokenHash]) -> Option<String> {
    ledger.lines.iter().enumerate().find_map(|(number, line)| {
        let row = ledger.dump.sessions[number].as_ref()?;
        let would_rotate = |hash: &TokenHash| *hash == row.session.hash || hidden.contains(hash);
        let live: HashSet<_> = line.issued.iter().map(RefreshToken::hash).collect();
        let live = live.iter().filter(|hash| would_rotate(hash)).count();
        (live > 1).then(|| format!("{live} tokens of session {number} are live"))
    })
}

/// I2: whoever presents the same token gets the same successor, or none.
fn a_token_has_one_successor(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let returned = asked.returned.as_ref()?;
    let earlier = ledger.lines[asked.line].successors.get(&asked.presented.hash())?;
    (*earlier != returned.hash()).then(|| format!("{:?} has two successors", asked.presented))
}

/// I3: a used token beyond its own window ends the session, is answered so, and never gives a token.
fn a_token_presented_too_late_ends_the_session(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let line = &ledger.lines[asked.line];
    let turn = line.turn_of(asked.presented.hash())?;
    let age = (asked.now - turn.at) / 1000;
    if !asked.was_alive || !is_overdue(&ledger.policy, turn, asked.key.as_deref(), asked.now) {
        return None;
    }
    if matches!(asked.answer, Answer::Given(_)) {
        return Some(format!("{:?} was rotated {age} s ago and still gives a token", asked.presented));
    }
    if asked.interrupted || asked.faulty {
        return None;
    }
    let is_parent = line.turns.last().is_some_and(|last| last.presented == turn.presented);
    let word = if is_parent { "reuse_unconfirmed" } else { "reuse_confirmed" };
    if asked.answer != Answer::Refused(word) {
        return Some(format!("{:?} was rotated {age} s ago; {word} expected", asked.presented));
    }
    let stays = ledger.dump.sessions[asked.line].is_some();
    stays.then(|| format!("{:?} was rotated {age} s ago and the session is still there", asked.presented))
}

/// Design §3: within `late_window`, but from another address and user agent than the last refresh, is a theft.
fn a_duplicate_from_elsewhere_ends_the_session(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let line = &ledger.lines[asked.line];
    let turn = line.turn_of(asked.presented.hash())?;
    let is_parent = line.turns.last().is_some_and(|last| last.presented == turn.presented);
    let repeats = is_parent && is_entitled(&ledger.policy, turn, asked.key.as_deref(), asked.now);
    let last_from = asked.last_from.as_ref()?;
    let away = asked.from.address != last_from.address && asked.from.user_agent != last_from.user_agent;
    let applies = ledger.policy.late_elsewhere == LateElsewhere::End
        && asked.was_alive
        && !asked.turned
        && !repeats
        && away
        && !asked.interrupted
        && !asked.faulty;
    let stays = ledger.dump.sessions[asked.line].is_some();
    (applies && stays).then(|| format!("{:?} came from elsewhere and the session is still there", asked.presented))
}

/// I4: whoever holds its newest token, and repeats it as it may, gets the next one.
///
/// A retry without a key under `refuse` may be told that it came late, and nothing worse; but not a request that has
/// turned the ratchet itself.
fn an_honest_client_is_never_refused(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let line = &ledger.lines[asked.line];
    if !asked.is_newest || line.trouble.is_some() || !line.is_alive(asked.now) {
        return None;
    }
    let turn = line.turn_of(asked.presented.hash());
    let entitled = turn.is_none_or(|turn| is_entitled(&ledger.policy, turn, asked.key.as_deref(), asked.now));
    match &asked.answer {
        Answer::Late if !entitled && !asked.turned => None,
        Answer::Given(_) | Answer::Unavailable => None,
        refused => Some(format!("{refused:?} for {:?}, the newest of an honest client", asked.presented)),
    }
}

/// I4: only a theft, or a retry that no honest client makes, is answered as one; a duplicate that comes late is not.
fn an_honest_session_is_never_taken_for_stolen(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let stolen = matches!(asked.answer, Answer::Refused("reuse_confirmed" | "reuse_unconfirmed" | "revoked"));
    let honest = ledger.lines[asked.line].trouble.is_none();
    (stolen && honest).then(|| format!("{:?} of an honest session was taken for stolen", asked.presented))
}

/// I4, liveness: without a fault every request has an answer.
fn nothing_is_unavailable_while_the_store_works(_: &Ledger, asked: &Asked) -> Option<String> {
    match &asked.answer {
        Answer::Unavailable if !asked.faulty => Some(format!("503 for {:?} without a fault", asked.presented)),
        Answer::Broken(what) => Some(format!("{what} for {:?}", asked.presented)),
        _ => None,
    }
}

/// I4: without theft, logout or expiry a session is never ended.
fn an_honest_session_lives_on(ledger: &Ledger, _: &[TokenHash]) -> Option<String> {
    ledger.lines.iter().enumerate().find_map(|(number, line)| {
        let expected = line.trouble.is_none() && line.is_alive(ledger.now);
        let gone = ledger.dump.sessions[number].is_none();
        (expected && gone).then(|| format!("session {number} of an honest client is gone"))
    })
}

/// I5: after an acknowledged end no request whose store step comes later is given anything.
fn nothing_is_given_after_an_acknowledged_end(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let ended = ledger.lines[asked.line].ended.as_ref()?;
    let (last, _) = asked.last?;
    let later = asked.returned.is_some() && last >= ended.index;
    later.then(|| format!("{:?} gave a token after {}", asked.presented, ended.why))
}

/// I5: the row of an ended session is gone, or void under the counters in force.
fn an_ended_session_has_no_live_token(ledger: &Ledger, _: &[TokenHash]) -> Option<String> {
    ledger.lines.iter().enumerate().find_map(|(number, line)| {
        let ended = line.ended.as_ref()?;
        let row = ledger.dump.sessions[number].as_ref()?;
        let void = row.session.epochs.is_void_under(row.current);
        (!void).then(|| format!("session {number} still has a live token after {}", ended.why))
    })
}

/// I6: a token is given for the live one, or for its parent inside the window that applies to the retry; and what is
/// given is the live one.
fn a_token_is_given_for_the_live_one_or_a_retry_of_its_parent(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let returned = asked.returned.as_ref()?;
    let line = &ledger.lines[asked.line];
    let Some((index, seen)) = asked.last else {
        return Some(format!("{:?} gave a token without a look at the store", asked.presented));
    };
    if seen != Some(returned.hash()) || line.live_at(index + 1) != returned.hash() {
        return Some(format!("{:?} gave {returned:?}, which is not the live token", asked.presented));
    }
    let turn = line.turn_of(asked.presented.hash()).filter(|turn| turn.successor == returned.hash());
    let Some(turn) = turn else {
        return Some(format!("{:?} gave {returned:?}, and is not its parent", asked.presented));
    };
    let allowed = asked.turned || is_entitled(&ledger.policy, turn, asked.key.as_deref(), asked.now);
    let age = (asked.now - turn.at) / 1000;
    (!allowed).then(|| format!("{:?} was repeated after {age} s by someone who may not", asked.presented))
}

/// I8: every delivered token is the live one, or was rotated later, or its session is over; no rotation is lost.
fn what_was_given_is_live_or_was_rotated_later(ledger: &Ledger, _: &[TokenHash]) -> Option<String> {
    ledger.lines.iter().enumerate().find_map(|(number, line)| {
        if let Some(token) = line.issued.iter().find(|token| !line.knows(token.hash())) {
            return Some(format!("{token:?} was given out and never was live"));
        }
        let row = ledger.dump.sessions[number].as_ref()?;
        (row.session.hash != line.live()).then(|| format!("the live token of session {number} is none of its chain"))
    })
}

/// I10: a request with one session's token changes nothing else.
fn only_its_own_session_changes(_: &Ledger, asked: &Asked) -> Option<String> {
    (!asked.others_unchanged).then(|| format!("{:?} changed something beside its session", asked.presented))
}

/// Design §3: `Repeat`, `Late`, `Ended`, `Ahead` write nothing.
fn what_gives_nothing_new_writes_nothing(_: &Ledger, asked: &Asked) -> Option<String> {
    let writes =
        asked.turned || matches!(asked.answer, Answer::Refused("reuse_confirmed" | "reuse_unconfirmed" | "revoked"));
    (!writes && !asked.row_unchanged).then(|| format!("{:?} for {:?} changed the row", asked.answer, asked.presented))
}

/// I11: neither end can be outlived.
fn nothing_is_given_after_the_end_of_the_session(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let line = &ledger.lines[asked.line];
    let expired = line.ended.is_none() && !asked.was_alive;
    (expired && asked.returned.is_some()).then(|| format!("{:?} gave a token after the session's end", asked.presented))
}

/// I11: `exp` is not after the session's end, nor later than a lifetime from now; the claims are those of the login.
fn an_access_token_never_outlives_or_outgrows_its_session(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let Answer::Given(given) = &asked.answer else { return None };
    access_token_fault(&ledger.lines[asked.line], given.access.as_deref()?, given.expires_in, asked.now)
}

pub fn access_token_fault(line: &Line, access: &str, expires_in: u64, now: i64) -> Option<String> {
    let claims = claims(access);
    let seconds = |name: &str| claims[name].as_i64().unwrap();
    let (issued, expires) = (seconds("iat"), seconds("exp"));
    if issued != now / 1000 || expires != ((now + ms(ACCESS)).min(line.absolute_end())) / 1000 {
        return Some(format!("iat {issued}, exp {expires} at {now}, session ends at {}", line.absolute_end()));
    }
    if u64::try_from(expires - issued) != Ok(expires_in) {
        return Some(format!("expires_in {expires_in}, exp - iat {}", expires - issued));
    }
    let lasting = |mut claims: Map<String, Value>| {
        claims.retain(|name, _| !["iat", "exp", "jti"].contains(&name.as_str()));
        claims
    };
    (lasting(claims.clone()) != lasting(line.claims.clone())).then(|| format!("the claims became {claims:?}"))
}

/// I11: the absolute end never moves, the idle end is never after it, and what the login gave stays as it was.
fn the_limits_of_a_session_never_move(ledger: &Ledger, _: &[TokenHash]) -> Option<String> {
    ledger.lines.iter().enumerate().find_map(|(number, line)| {
        let row = &ledger.dump.sessions[number].as_ref()?.session;
        let ends = (row.idle_end.as_millis(), row.absolute_end.as_millis(), row.created.as_millis());
        let expected = (line.idle_end(), line.absolute_end(), line.created);
        (ends != expected).then(|| format!("idle end, absolute end, creation of session {number}: {ends:?}"))
    })
}

pub fn claims(access: &str) -> Map<String, Value> {
    let payload = access.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
