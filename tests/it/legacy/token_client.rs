//! A client with tokens, as people write them: at a 401 it refreshes once and asks again.

use serde_json::json;

use super::site::Site;
use crate::support::client::Pair;
use crate::support::raw::{RawRequest, RawResponse, request};

/// One device's.
pub(super) struct TokenClient<'s> {
    site: &'s Site,
    replica: usize,
    pub(super) pair: Pair,
    /// How often it had to refresh.
    pub(super) refreshes: usize,
}

/// The pair of a login, or what came instead.
pub(super) async fn log_in(site: &Site, name: &str, password: &str) -> RawResponse {
    let body = json!({ "username": name, "password": password });
    site.ask(0, &request("POST", "/login").json(&body)).await
}

impl<'s> TokenClient<'s> {
    pub(super) async fn logged_in(site: &'s Site, name: &str, password: &str) -> Self {
        let pair = Pair::read(&log_in(site, name, password).await);
        Self { site, replica: 0, pair, refreshes: 0 }
    }

    /// One that has these tokens.
    pub(super) fn holding(site: &'s Site, pair: Pair) -> Self {
        Self { site, replica: 0, pair, refreshes: 0 }
    }

    /// From now on it reaches another replica.
    pub(super) fn reaches(&mut self, replica: usize) {
        self.replica = replica;
    }

    /// Asks, refreshes if it has to, asks again.
    pub(super) async fn ask(&mut self, asked: RawRequest) -> RawResponse {
        let answer = self.ask_once(&asked).await;
        if answer.status != 401 || !self.refresh().await {
            return answer;
        }
        self.ask_once(&asked).await
    }

    pub(super) async fn ask_once(&self, asked: &RawRequest) -> RawResponse {
        self.site.ask(self.replica, &asked.clone().bearer(&self.pair.access)).await
    }

    pub(super) async fn get(&mut self, target: &str) -> RawResponse {
        self.ask(request("GET", target)).await
    }

    /// Whether there was a new pair.
    async fn refresh(&mut self) -> bool {
        let body = json!({ "refresh_token": self.pair.refresh });
        let answer = self.site.ask(self.replica, &request("POST", "/refresh").json(&body)).await;
        if answer.status == 400 {
            assert_eq!(answer.json()["error"], "invalid_grant");
            return false;
        }
        self.pair = Pair::read(&answer);
        self.refreshes += 1;
        true
    }
}
