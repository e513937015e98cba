//! Sessions that are ended, in each way there is, while every replica is asked about them: by an administrator, and by a
//! thief who presents what was exchanged long ago.

use std::sync::Arc;
use std::time::Duration;

use crate::support::client::Pair;
use crate::support::deployment::{Deployment, PASSWORD};

use super::prober::Probing;
use super::record::{How, Outcome, Who};
use super::stage::{Dice, Stage};
use super::token::Token;

/// The user whose sessions are ended. The number keeps several at it apart.
pub(super) fn victim(number: usize) -> String {
    format!("victim-{number}")
}

/// After this a rotated token is no late duplicate any more. Goes with [`SETTINGS`](super::site::SETTINGS).
pub(super) const LATE_WINDOW: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_mins(1);

/// Logs in, is ended and is watched, again and again until the end of the run.
pub(super) async fn suffers(stage: Arc<Stage>, deployment: Arc<Deployment>, number: usize) {
    let mut dice = Dice::new(1_000_000 + number);
    for round in number.. {
        let how = [How::Logout, How::Theft, How::LogoutAll, How::Disable][round % 4];
        if stage.cue.borrow().stop {
            return;
        }
        one(&stage, &deployment, &victim(number), how, &mut dice).await;
    }
}

async fn one(stage: &Arc<Stage>, deployment: &Deployment, user: &str, how: How, dice: &mut Dice) {
    let mut old = Vec::new();
    let mut pair = arrived(stage, deployment, user, dice).await;
    if how == How::Theft {
        for _ in 0..2 {
            let Some(next) = turned(stage, dice, &pair).await else { return };
            old.push(std::mem::replace(&mut pair, next));
        }
        tokio::time::sleep(LATE_WINDOW + PAUSE).await;
        // The last one has waited too long to be watched.
        let Some(next) = turned(stage, dice, &pair).await else { return };
        old.push(std::mem::replace(&mut pair, next));
    }
    let probing = Probing::start(stage, &pair);
    until_known(stage, &pair).await;

    let ended = match how {
        How::Theft => robbed(stage, dice, &old[0].refresh, &pair).await,
        How::Logout => logged_out(stage, dice, &pair).await,
        How::LogoutAll => logged_out_everywhere(stage, dice, &pair).await,
        How::Disable => disabled(stage, deployment, user, &pair).await,
    };
    if let Some(newest) = ended {
        // After the end nothing of the session gives a token, anywhere.
        for node in 0..stage.gates.len() {
            for token in [&newest.refresh, &pair.refresh] {
                stage.refresh(Who::Thief, node, token, None).await;
            }
        }
        tokio::time::sleep(stage.bound + 5 * PAUSE).await;
    }
    drop(probing);
    if how == How::Disable {
        until_done(deployment, &["users", "enable", user]).await;
    }
}

/// Logs in. A server that took over may know nothing of the user being enabled again.
async fn arrived(stage: &Stage, deployment: &Deployment, user: &str, dice: &mut Dice) -> Pair {
    loop {
        match stage.login(dice.roll(stage.gates.len()), user, PASSWORD).await {
            Outcome::Done(pair) => return pair,
            Outcome::Refused(_) => drop(deployment.command(&["users", "enable", user]).await),
            Outcome::Unknown(_) => {}
        }
        tokio::time::sleep(dice.about(PAUSE)).await;
    }
}

/// An honest refresh; `None` if the session is gone, which happens when a server with less history takes over.
async fn turned(stage: &Stage, dice: &mut Dice, pair: &Pair) -> Option<Pair> {
    let key = format!("victims-key-{:08}-{:08}", dice.roll(100_000_000), dice.roll(100_000_000));
    loop {
        match stage.refresh(Who::Honest, dice.roll(stage.gates.len()), &pair.refresh, Some(&key)).await {
            Outcome::Done(next) => return Some(next),
            Outcome::Refused(_) => return None,
            Outcome::Unknown(_) => tokio::time::sleep(dice.about(PAUSE)).await,
        }
    }
}

/// A thief presents a token that was exchanged long ago.
async fn robbed(stage: &Stage, dice: &mut Dice, old: &str, pair: &Pair) -> Option<Pair> {
    let from = stage.record.now();
    loop {
        match stage.refresh(Who::Thief, dice.roll(stage.gates.len()), old, None).await {
            // An old token that gives a new one is found in the record.
            Outcome::Done(_) => return None,
            Outcome::Refused(_) => {
                stage.ended(How::Theft, pair, from);
                return Some(pair.clone());
            }
            Outcome::Unknown(_) => tokio::time::sleep(dice.about(PAUSE)).await,
        }
    }
}

/// A logout while the client refreshes: whichever comes first, nothing lives on. Returns the newest pair.
async fn logged_out(stage: &Stage, dice: &mut Dice, pair: &Pair) -> Option<Pair> {
    let nodes = stage.gates.len();
    let (leaving, refreshing) = (dice.roll(nodes), dice.roll(nodes));
    let from = stage.record.now();
    let racing = stage.refresh(Who::Honest, refreshing, &pair.refresh, Some("the-key-of-a-race"));
    let (raced, mut answer) = tokio::join!(racing, stage.logout(leaving, &pair.refresh));
    loop {
        match answer {
            Outcome::Done(()) => {
                stage.ended(How::Logout, pair, from);
                return Some(if let Outcome::Done(newest) = raced { newest } else { pair.clone() });
            }
            Outcome::Refused(_) => return None,
            Outcome::Unknown(_) => tokio::time::sleep(dice.about(PAUSE)).await,
        }
        answer = stage.logout(dice.roll(nodes), &pair.refresh).await;
    }
}

async fn logged_out_everywhere(stage: &Stage, dice: &mut Dice, pair: &Pair) -> Option<Pair> {
    let from = stage.record.now();
    loop {
        match stage.logout_all(dice.roll(stage.gates.len()), &pair.access).await {
            Outcome::Done(()) => {
                stage.ended(How::LogoutAll, pair, from);
                return Some(pair.clone());
            }
            // An attempt without an answer has done it, or the token has ended meanwhile.
            Outcome::Refused(_) => return None,
            Outcome::Unknown(_) => tokio::time::sleep(dice.about(PAUSE)).await,
        }
    }
}

async fn disabled(stage: &Stage, deployment: &Deployment, user: &str, pair: &Pair) -> Option<Pair> {
    let from = stage.record.now();
    until_done(deployment, &["users", "disable", user]).await;
    stage.ended(How::Disable, pair, from);
    Some(pair.clone())
}

/// Runs a command until it succeeds.
async fn until_done(deployment: &Deployment, arguments: &[&str]) {
    let working = async {
        while deployment.command(arguments).await.code != Some(0) {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, working).await.expect("the command succeeds in the end");
}

/// Waits until every replica has been shown the access token.
async fn until_known(stage: &Stage, pair: &Pair) {
    let session = Token::read(&pair.refresh).session;
    let shown_to = |node| {
        let history = stage.record.history();
        history.calls.iter().rev().take(1_000).any(|call| call.session == session && call.node == node)
    };
    let asking = async {
        while !(0..stage.gates.len()).all(shown_to) {
            tokio::time::sleep(PAUSE / 10).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the probers ask everywhere");
}
