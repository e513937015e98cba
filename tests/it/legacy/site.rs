//! An application and sidegate before it, as its example's configuration says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sidegate::boot::{self, Running};
use sidegate::clock::Entropy;
use sidegate::config::{self, Surroundings};

use super::application::{Application, Kind};
use super::wiretap::Wiretap;
use crate::support::clock::Ahead;
use crate::support::deployment::laid_over;
use crate::support::process::Home;
use crate::support::raw::{RawRequest, RawResponse, exchange};

/// What a test plays against.
pub(super) struct Site {
    pub(super) application: Application,
    pub(super) tap: Wiretap,
    kind: Kind,
    clock: Arc<Ahead>,
    home: Home,
    replicas: Vec<Running>,
    /// Every byte of every answer that a client got.
    answers: Mutex<Vec<u8>>,
}

/// Longer than an access token lives.
pub(super) const EXPIRY: Duration = Duration::from_mins(11);

/// What is another than in the example: where things are. And tests are in a hurry, and all come from one address.
const ELSEWHERE: &str = r#"
server = { listen = ["http://127.0.0.1:0"], drain_delay = "10ms" }
health.listen = "http://127.0.0.1:0"
admin.listen = ""
store.url = "sqlite:sidegate.db"
key.secret_files = ["secret"]
rate = { login_per_account = "", login_per_address = "", refresh_per_session = "", bad_tokens_per_address = "" }
audit.output = ""
"#;

impl Site {
    pub(super) async fn start(kind: Kind) -> Self {
        Self::with_replicas(kind, 1).await
    }

    /// As [`Self::start`], with several sidegates on one store.
    pub(super) async fn with_replicas(kind: Kind, count: usize) -> Self {
        let application = Application::start(kind).await;
        let tap = Wiretap::to(application.address).await;
        let site = Self {
            application,
            tap,
            kind,
            clock: Arc::default(),
            home: Home::new(),
            replicas: Vec::new(),
            answers: Mutex::default(),
        };
        site.with(count).await
    }

    async fn with(mut self, count: usize) -> Self {
        for _ in 0..count {
            let running = self.replica().await;
            self.replicas.push(running);
        }
        self
    }

    async fn replica(&self) -> Running {
        let example = self.kind.example().join("config.toml");
        let text = std::fs::read_to_string(&example).expect("the example has a configuration");
        let upstream = format!("upstream.default.url = \"http://{}\"\n", self.tap.address);
        let text = laid_over(&laid_over(&text, ELSEWHERE), &upstream);
        let base = self.home.path("");
        let surroundings = Surroundings { name: "config.toml", base: &base, variable: &|_| None };
        let config = config::parse(&text, &surroundings).unwrap_or_else(|problems| panic!("{problems}"));
        Box::pin(boot::start(&config, Arc::clone(&self.clock) as _, Entropy)).await.expect("sidegate starts")
    }

    /// Where clients arrive.
    pub(super) fn gate(&self, replica: usize) -> SocketAddr {
        self.replicas[replica].listen[0]
    }

    pub(super) fn time_passes(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Asks one of the replicas, and keeps what it answers.
    pub(super) async fn ask(&self, replica: usize, request: &RawRequest) -> RawResponse {
        let answer = exchange(self.gate(replica), request.bytes()).await;
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.extend_from_slice(answer.head.as_bytes());
        answers.extend_from_slice(&answer.body);
        answer
    }

    /// # Panics
    /// If a client has ever seen one of these cookies of the application's, or the application anything of ours.
    pub(super) fn assert_kept_apart(&self, cookies: &[&str]) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = String::from_utf8_lossy(&answers);
        for cookie in cookies {
            let values = self.tap.cookie_values(cookie);
            assert!(!values.is_empty(), "the application has set no {cookie}");
            for secret in values.iter().map(String::as_str).chain([cookie_assignment(cookie).as_str()]) {
                assert!(!answers.contains(secret), "a client was told {secret}");
            }
        }
        for line in self.tap.request_values("cookie") {
            let mut names = line.split("; ").map(|pair| pair.split('=').next().unwrap_or_default());
            assert!(names.all(|name| cookies.contains(&name)), "the application was sent {line}");
        }
        assert_eq!(self.tap.request_values("authorization"), Vec::<String>::new());
    }
}

fn cookie_assignment(cookie: &str) -> String {
    format!("{cookie}=")
}
