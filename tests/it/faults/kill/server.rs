//! A sidegate in a process of its own, on a store with a fail point. The product has no hooks for this: the test binary
//! starts itself once more, as a server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use sidegate::clock::{Entropy, SharedClock, SystemClock};
use sidegate::store::Store;
use sidegate::{boot, config, store};

use crate::support::deployment::Deployment;
use crate::support::process::Process;

use super::failing_store::{FailPoint, FailingStore, REACHED};

/// A process that will be killed.
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) gate: SocketAddr,
}

impl Server {
    /// One that stops for ever at a fail point, after so many swaps that go well.
    pub(super) async fn failing(deployment: &Deployment, point: FailPoint, good_swaps: u32) -> Self {
        let order = format!("{} {point:?} {good_swaps}", deployment.config_on_any_port());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", MYSELF, "--nocapture"]).env(ORDER, order).current_dir(deployment.home.path(""));
        Self::serving(Process::start(&mut command)).await
    }

    /// The product itself.
    pub(super) async fn whole(deployment: &Deployment) -> Self {
        Self::serving(deployment.home.start(&["--config", deployment.config_on_any_port(), "run"])).await
    }

    async fn serving(process: Process) -> Self {
        let line = process.wait_for(LISTENING).await;
        let gate = line.split(LISTENING).nth(1).and_then(|address| address.trim().parse().ok());
        Self { gate: gate.unwrap_or_else(|| panic!("no address in {line:?}")), process }
    }

    pub(super) async fn reaches_its_fail_point(&self) {
        self.process.wait_for(REACHED).await;
    }
}

#[test]
fn serves_when_it_is_started_as_a_server() {
    #[expect(clippy::disallowed_methods, reason = "a test process is told what to do by a variable")]
    let Ok(order) = std::env::var(ORDER) else { return };
    let [path, point, good_swaps] = order.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let point = match point {
        "BeforeTheStatement" => FailPoint::BeforeTheStatement,
        "BeforeItsAnswer" => FailPoint::BeforeItsAnswer,
        other => panic!("there is no fail point {other}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(Path::new(path), point, good_swaps.parse().unwrap()));
}

async fn serve(path: &Path, point: FailPoint, good_swaps: u32) {
    let config = config::load(path).unwrap_or_else(|problems| panic!("{problems}"));
    let clock: SharedClock = Arc::new(SystemClock);
    let opening = async {
        let inner = store::open(&config.store, &config.realm, Arc::clone(&clock)).await?;
        Ok(Arc::new(FailingStore { inner, point, good_swaps: AtomicU32::new(good_swaps) }) as Arc<dyn Store>)
    };
    let running = boot::start_on(opening, &config, Arc::clone(&clock), Entropy).await.unwrap();
    println!("{LISTENING}{}", running.listen[0]);
    std::future::pending().await
}

const MYSELF: &str = "faults::kill::server::serves_when_it_is_started_as_a_server";
/// Configuration, fail point and number of good swaps.
const ORDER: &str = "SIDEGATE_TEST_SERVER";
const LISTENING: &str = "listening on http://";
