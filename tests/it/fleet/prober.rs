//! Shows one access token to every replica each 10 ms, and writes down who takes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::support::client::Pair;
use crate::support::raw::{RawClient, RawResponse, request};

use super::stage::{PROBED, Stage};

const EVERY: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(2);

/// Probes until it is dropped.
pub(super) struct Probing(#[expect(dead_code, reason = "dropping it ends the tasks")] JoinSet<()>);

impl Probing {
    pub(super) fn start(stage: &Arc<Stage>, pair: &Pair) -> Self {
        let mut tasks = JoinSet::new();
        for node in 0..stage.gates.len() {
            tasks.spawn(probe(Arc::clone(stage), node, pair.clone()));
        }
        Self(tasks)
    }
}

async fn probe(stage: Arc<Stage>, node: usize, pair: Pair) {
    let bytes = request("GET", PROBED).bearer(&pair.access).bytes();
    let mut connection = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let from = stage.record.now();
        let answer = shown(&mut connection, &stage, node, &bytes).await;
        stage.called(node, &pair, from, answer);
    }
}

/// One request on the connection that is kept, or on a new one.
async fn shown(kept: &mut Option<RawClient>, stage: &Stage, node: usize, bytes: &[u8]) -> Result<RawResponse, String> {
    let mut client = if let Some(client) = kept.take() {
        client
    } else {
        let connecting = tokio::time::timeout(DEADLINE, RawClient::try_connect(stage.gates[node])).await;
        let client = connecting.map_err(|_| "no connection in time".to_owned())?;
        client.map_err(|error| error.to_string())?.with_deadline(DEADLINE)
    };
    client.try_send(bytes).await.map_err(|error| error.to_string())?;
    let answer = client.try_response().await.map_err(|missing| missing.to_string())?;
    if answer.header("connection") != Some("close") {
        *kept = Some(client);
    }
    Ok(answer)
}
