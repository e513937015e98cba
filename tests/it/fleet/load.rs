//! Everybody at work while databases and replicas die: what the record must show afterwards.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::deployment::PASSWORD;
use crate::support::postgres::Crash;

use super::checks::Limits;
use super::client::{Client, Manners};
use super::nemesis::{Blow, CONDEMNED, IN_FLIGHT};
use super::record::{Outcome, Who};
use super::site::Site;
use super::stage::Stage;
use super::{Form, audit, show, victim};

/// How much of everything.
struct Plan {
    users: usize,
    sessions_per_user: usize,
    victims: usize,
    blows: Vec<Blow>,
    rest: Duration,
    least_time: Duration,
    least_refreshes: usize,
    manners: Manners,
}

impl Plan {
    fn of(form: Form, manners: Manners) -> Self {
        use Blow::{Database, Promotion, Replica};
        match form {
            Form::Bounded => Self {
                users: 2,
                sessions_per_user: 40,
                victims: 2,
                blows: match manners {
                    Manners::Keyed => vec![Replica(1), Database(Crash::Kill), Promotion],
                    Manners::Plain => vec![Database(Crash::Immediate), Replica(2)],
                },
                rest: Duration::from_millis(1_500),
                least_time: Duration::ZERO,
                least_refreshes: 200,
                manners,
            },
            Form::Long => Self {
                users: 5,
                sessions_per_user: 40,
                victims: 2,
                blows: vec![
                    Database(Crash::Kill),
                    Replica(0),
                    Database(Crash::Immediate),
                    Replica(1),
                    Promotion,
                    Replica(2),
                    Database(Crash::Kill),
                ],
                rest: Duration::from_secs(5),
                least_time: Duration::from_mins(1),
                least_refreshes: 2_000,
                manners,
            },
        }
    }

    fn settings(&self) -> &'static str {
        match self.manners {
            Manners::Keyed => "",
            Manners::Plain => "refresh.on_retry = \"repeat\"\nrefresh.retry_window = \"60s\"",
        }
    }
}

/// An end is heard of within this, on a busy machine too, by whoever can hear; far less than a token would be accepted
/// otherwise.
const BOUND: Duration = Duration::from_secs(4);
/// For an own token: `access_token.leeway`.
const LEEWAY: Duration = Duration::from_secs(30);
/// `session.per_subject`
const MOST: usize = 200;
const NODES: usize = 3;

async fn all_at_once(plan: Plan) {
    let mut site = Site::new(true, plan.settings()).await;
    for user in 0..plan.users {
        site.deployment.add_user(&format!("user-{user}"), PASSWORD, &[]).await;
    }
    site.deployment.add_user(CONDEMNED, PASSWORD, &[]).await;
    for number in 0..plan.victims {
        site.deployment.add_user(&victim::victim(number), PASSWORD, &[]).await;
    }
    let stage = Arc::new(Stage::new(site.gates(), BOUND));
    let mut clients = JoinSet::new();
    for number in 0..plan.users * plan.sessions_per_user {
        let (stage, user, manners) = (Arc::clone(&stage), format!("user-{}", number % plan.users), plan.manners);
        clients.spawn(async move { Client::arrives(&stage, number, user, manners).await.lives().await });
    }
    let mut others = JoinSet::new();
    for number in 0..plan.victims {
        others.spawn(victim::suffers(Arc::clone(&stage), Arc::clone(&site.deployment), number));
    }
    others.spawn(audit::audits(Arc::clone(&stage), site.deployment.database.as_ref().unwrap().url.clone(), MOST));

    stage.until_there(plan.users * plan.sessions_per_user).await;
    for blow in &plan.blows {
        tokio::time::sleep(plan.rest).await;
        site.suffer(&stage, *blow).await;
    }
    tokio::time::sleep(plan.rest.max(plan.least_time.saturating_sub(stage.record.now()))).await;
    let lasted = stage.record.now();
    stage.stop();
    let clients = clients.join_all().await;
    others.join_all().await;

    let sessions = clients.len();
    finish(&stage, clients).await;
    let history = stage.record.history();
    let limits = Limits { nodes: NODES, bound: BOUND };
    for line in super::figures::figures(&history, limits, lasted, sessions) {
        show(&line);
    }
    let violations = history.violations(limits);
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), super::site::lines(violations));

    // And all of it really happened.
    let refreshes = history.exchanges().filter(|(refresh, _)| refresh.who == Who::Honest).count();
    assert!(refreshes >= plan.least_refreshes, "{refreshes} refreshes");
    assert!(lasted >= plan.least_time, "{lasted:?}");
    assert_eq!(history.faults.len(), plan.blows.len());
    assert!(history.faults.iter().all(|fault| fault.in_flight >= IN_FLIGHT), "{:?}", history.faults);
    let decisive = history.decisive_calls(limits, |call| call.expires_at + LEEWAY);
    // A replica that is killed late is back too late for some on a busy machine.
    let decided = decisive.iter().filter(|count| **count > 0).count();
    assert!(decided + 1 >= NODES, "calls that only an end refused: {decisive:?}");
    assert!(history.lost_answers > 0, "no answer was lost with a database");
    assert!(history.audits > 20, "{} audits", history.audits);
}

/// Every client's last token is the live one (I8), and no token of before is (I1): seen from outside.
async fn finish(stage: &Arc<Stage>, clients: Vec<Client>) {
    let mut finishing = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let stage = Arc::clone(stage);
        finishing.spawn(async move {
            if client.turn(number % NODES).await.is_err() {
                return;
            }
            // Once a token of before is presented the session may be over; so the live one is exchanged first.
            for old in client.older.iter().rev().skip(client.repeats()).take(2) {
                let mut node = number;
                while let Outcome::Unknown(_) = stage.refresh(Who::Thief, node % NODES, old, None).await {
                    node += 1;
                }
            }
        });
    }
    finishing.join_all().await;
}

/// I1 to I8, I10, I11: D-1, D-2, D-5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_a_session_while_databases_and_replicas_die() {
    all_at_once(Plan::of(Form::chosen(), Manners::Keyed)).await;
}

/// The same for clients who send no key, where sidegate is told to repeat (TOK-17).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_anybody_who_asks_again_without_a_key_where_retries_repeat() {
    all_at_once(Plan::of(Form::chosen(), Manners::Plain)).await;
}
