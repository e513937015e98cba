//! Breaks things while everybody works, and writes down what and when.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::postgres::Crash;
use crate::support::relay::{Direction, Mode};

use super::audit;
use super::prober::Probing;
use super::record::{Era, Fault, How, Outcome, Who};
use super::site::Site;
use super::stage::Stage;
use super::token::SessionKey;
use crate::support::wait::blocking;

/// One thing that is broken, and mended again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// The database dies in the middle of refreshes, and starts again.
    Database(Crash),
    /// So does a replica.
    Replica(usize),
    /// The database dies, and its standby takes over, without what it has not received.
    Promotion,
}

/// Logs out just before a promotion, to servers that will not remember it.
pub(super) const CONDEMNED: &str = "condemned";
/// So many refreshes are under way at each kill.
pub(super) const IN_FLIGHT: usize = 20;
/// And so many have been stored while nobody has been told.
const UNTOLD: usize = 3;
const TELLING: Duration = Duration::from_millis(200);
const DOWN: Duration = Duration::from_millis(400);

impl Site {
    pub(super) async fn suffer(&mut self, stage: &Arc<Stage>, blow: Blow) {
        match blow {
            Blow::Database(how) => self.kill_database(stage, how).await,
            Blow::Replica(node) => self.kill_replica(stage, node).await,
            Blow::Promotion => self.fail_over(stage).await,
        }
    }

    async fn kill_database(&self, stage: &Stage, how: Crash) {
        let from = stage.record.now();
        let in_flight = self.crowd(stage, None).await;
        let server = self.primary.clone();
        // What is on its way is lost with it.
        self.set_wires(Mode::Reset);
        blocking(move || server.crash(how)).await;
        tokio::time::sleep(DOWN).await;
        let server = self.primary.clone();
        blocking(move || server.start_again()).await;
        let untold = self.untold(stage).await.len();
        stage.record.history().lost_answers += untold;
        self.set_wires(Mode::Pass);
        struck(stage, format!("{how:?} of the database"), from, self.everyone(), in_flight);
    }

    async fn kill_replica(&mut self, stage: &Stage, node: usize) {
        let from = stage.record.now();
        let in_flight = self.crowd(stage, Some(node)).await;
        self.nodes[node].process.kill();
        self.nodes[node].process.exit().await;
        self.set_wires(Mode::Pass);
        tokio::time::sleep(DOWN).await;
        self.nodes[node].start_again(&self.deployment).await;
        // It serves only after it has heard everything.
        struck(stage, format!("kill of replica {node}"), from, vec![node], in_flight);
    }

    async fn fail_over(&mut self, stage: &Arc<Stage>) {
        let standby = self.standby.take().expect("there is a standby");
        let condemned = stage.logged_in(0, CONDEMNED).await;
        self.primary.until_followed_by(&standby.server).await;
        standby.wire.set(Mode::Hold(Direction::ToClient));
        let lost_from = stage.record.now();
        let probing = Probing::start(stage, &condemned);
        let from = stage.record.now();
        while stage.logout(0, &condemned.refresh).await != Outcome::Done(()) {}
        stage.ended(How::Logout, &condemned, from);
        // Replicas hear of it, and many a refresh is lost too.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let from = stage.record.now();
        let in_flight = self.crowd(stage, None).await;
        let dead = self.primary.clone();
        self.set_wires(Mode::Reset);
        blocking(move || dead.crash(Crash::Kill)).await;
        let server = standby.server.clone();
        // From a dead wire the standby gets no more.
        standby.wire.sever();
        blocking(move || server.promote()).await;
        let mut admin = standby.server.admin(&self.database.name).await;
        let rows = audit::rows(&mut admin).await.unwrap();
        let survivors = rows.iter().map(|row| (row.session(), row.generation)).collect();
        stage.record.history().eras.push(Era { lost_from, from: stage.record.now(), survivors });
        for wire in self.wires() {
            wire.switch(standby.server.address());
        }
        self.set_wires(Mode::Pass);
        self.primary = standby.server;
        self.database.server = self.primary.clone();
        struck(stage, "promotion".to_owned(), from, self.everyone(), in_flight);
        // The replicas know, and tell the new server.
        tokio::time::sleep(stage.bound).await;
        for node in self.everyone() {
            stage.refresh(Who::Thief, node, &condemned.refresh, None).await;
        }
        drop(probing);
    }

    /// Has honest clients refresh all at once, with the database's answers held back: some refreshes are stored and some
    /// still wait for their turn.
    async fn crowd(&self, stage: &Stage, at: Option<usize>) -> usize {
        let nodes = || self.nodes.iter().enumerate().filter(|(node, _)| at.is_none_or(|at| at == *node));
        let crowding = async {
            loop {
                nodes().for_each(|(_, node)| node.wire.set(Mode::Hold(Direction::ToClient)));
                stage.crowd(at, IN_FLIGHT).await;
                for _ in 0..5 {
                    let untold = self.untold(stage).await;
                    // Whoever can be told has been told by then.
                    tokio::time::sleep(TELLING).await;
                    let still = self.untold(stage).await;
                    let in_flight = stage.in_flight_at(at);
                    if still.intersection(&untold).count() >= UNTOLD && in_flight >= IN_FLIGHT {
                        return in_flight;
                    }
                }
                // No connection was open: where answers are held none can be made.
                nodes().for_each(|(_, node)| node.wire.set(Mode::Pass));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), crowding).await.expect("refreshes are stored all the time")
    }

    /// Sessions that have turned without anybody having been told.
    async fn untold(&self, stage: &Stage) -> HashSet<SessionKey> {
        let mut admin = self.primary.admin(&self.database.name).await;
        let rows = audit::rows(&mut admin).await.unwrap();
        let told = stage.record.history().newest_generations();
        let is_ahead =
            |row: &&audit::Row| told.get(&row.session()).is_some_and(|told| i64::from(*told) < row.generation);
        rows.iter().filter(is_ahead).map(audit::Row::session).collect()
    }

    fn set_wires(&self, mode: Mode) {
        self.wires().for_each(|wire| wire.set(mode));
    }

    fn everyone(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }
}

fn struck(stage: &Stage, what: String, from: Duration, deaf: Vec<usize>, in_flight: usize) {
    let span = stage.record.since(from);
    stage.record.history().faults.push(Fault { what, span, deaf, in_flight });
}
