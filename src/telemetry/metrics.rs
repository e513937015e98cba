//! What `/metrics` shows. Labels are words of this program, never text from a request or a token.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Every metric of one replica. Names and units follow the Prometheus conventions.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests by decision: `permit`, `endpoint`, or the word of the refusal.
    pub requests: Outcomes,
    /// From the first byte of a request to the last of its answer, by who answered.
    pub request_seconds: Histogram,
    /// Requests that the upstream did not answer, by what happened.
    pub upstream_failures: Outcomes,
    pub logins: Outcomes,
    pub refreshes: Outcomes,
    /// Refreshes that were answered again.
    pub repeats: Counter,
    pub logouts: Outcomes,
    /// Answers of the application that ended something, by what: `session`, `other_sessions`, `subject`.
    pub observed: Outcomes,
    /// Changes of the upstream's cookies, by what became of them.
    pub vault_changes: Outcomes,
    /// Sessions that the upstream did not know any more, by what was found.
    pub vaults_lost: Outcomes,
    /// Attempts that came too fast, by the name of the limit.
    pub limited: Outcomes,
    pub audit_lost: Counter,
    pub feed_failures: Counter,
    /// From a heartbeat's writing to its reading here, by the store's clock.
    pub feed_lag_seconds: Histogram,
    pub feed_wakeups: Counter,
    /// Listening connections that were lost, or found to be deaf.
    pub feed_rebuilds: Counter,
    /// Whether wake-ups come; otherwise the store is polled.
    pub feed_listening: Gauge,
    /// Losses of history that this replica was the first to notice.
    pub rollbacks: Counter,
    pub revocations_restored: Counter,
    pub connections: Gauge,
    pub connections_refused: Counter,
    /// Set when the metrics are read.
    pub revocations: Gauge,
    pub verified_tokens: Gauge,
    pub feed_age_milliseconds: Gauge,
    pub feed_stale: Gauge,
    pub clock_offset_milliseconds: Gauge,
    pub ready: Gauge,
}

/// A counter with one label, `outcome`.
#[derive(Clone, Debug, Default)]
pub struct Outcomes(Family<Outcome, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Outcomes {
    pub fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&Outcome { outcome }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sidegate");
        let outcomes = |registry: &mut Registry, name: &str, help: &str| {
            let outcomes = Outcomes::default();
            registry.register(name, help, outcomes.0.clone());
            outcomes
        };
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let requests = outcomes(&mut registry, "requests", "Requests by what was decided");
        let request_seconds =
            Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0]);
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to the end of its answer",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let feed_lag_seconds = Histogram::new([0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
        registry.register_with_unit(
            "feed_lag",
            "Time from a heartbeat's writing to its reading here, by the store's clock",
            Unit::Seconds,
            feed_lag_seconds.clone(),
        );
        Self {
            requests,
            request_seconds,
            upstream_failures: outcomes(&mut registry, "upstream_failures", "Requests the upstream did not answer"),
            logins: outcomes(&mut registry, "logins", "Logins by outcome"),
            refreshes: outcomes(&mut registry, "refreshes", "Refreshes by outcome"),
            repeats: counter(&mut registry, "refresh_repeats", "Refreshes answered again with the same token"),
            logouts: outcomes(&mut registry, "logouts", "Logouts by outcome"),
            observed: outcomes(
                &mut registry,
                "observed_ends",
                "Answers of the application that ended sessions, by what",
            ),
            vault_changes: outcomes(&mut registry, "vault_changes", "Changes of the upstream's cookies by outcome"),
            vaults_lost: outcomes(&mut registry, "vaults_lost", "Sessions the upstream had forgotten, by finding"),
            limited: outcomes(&mut registry, "limited", "Attempts that came too fast, by limit"),
            audit_lost: counter(&mut registry, "audit_lost", "Audit lines that could not be written"),
            feed_failures: counter(&mut registry, "feed_failures", "Reads of the revocations that failed"),
            feed_lag_seconds,
            feed_wakeups: counter(&mut registry, "feed_wakeups", "Wake-ups that told of revocations or heartbeats"),
            feed_rebuilds: counter(&mut registry, "feed_rebuilds", "Listening connections that were lost or deaf"),
            feed_listening: gauge(&mut registry, "feed_listening", "1 if wake-ups come, 0 if the store is polled"),
            rollbacks: counter(&mut registry, "store_rollbacks", "Losses of the store's history noticed here first"),
            revocations_restored: counter(
                &mut registry,
                "revocations_restored",
                "Revocations that the store had lost and this replica wrote back",
            ),
            connections: gauge(&mut registry, "connections", "Open client connections"),
            connections_refused: counter(&mut registry, "connections_refused", "Client connections over the limit"),
            revocations: gauge(&mut registry, "revocations", "Live revocations held in memory"),
            verified_tokens: gauge(&mut registry, "verified_tokens", "Access tokens in the cache of verified ones"),
            feed_age_milliseconds: gauge(
                &mut registry,
                "feed_age_milliseconds",
                "Time since the store last told its revocations",
            ),
            feed_stale: gauge(&mut registry, "feed_stale", "1 if the store has been silent for too long"),
            clock_offset_milliseconds: gauge(
                &mut registry,
                "clock_offset_milliseconds",
                "How far this replica's clock is ahead of the store's",
            ),
            ready: gauge(&mut registry, "ready", "1 if the replica is ready"),
            registry,
        }
    }
}

impl Metrics {
    /// The OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
