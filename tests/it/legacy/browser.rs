//! A browser as the person at it sees it: it keeps cookies, shows pages and follows no redirect by itself.

use std::collections::BTreeMap;

use super::site::Site;
use crate::support::raw::{RawRequest, RawResponse, request};

/// One person's.
pub(super) struct Browser<'s> {
    site: &'s Site,
    replica: usize,
    cookies: BTreeMap<String, String>,
}

impl<'s> Browser<'s> {
    pub(super) fn new(site: &'s Site) -> Self {
        Self { site, replica: 0, cookies: BTreeMap::new() }
    }

    /// One with these cookies.
    pub(super) fn holding(site: &'s Site, cookies: &[(&str, String)]) -> Self {
        let cookies = cookies.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { site, replica: 0, cookies }
    }

    /// From now on it reaches another replica.
    pub(super) fn reaches(&mut self, replica: usize) {
        self.replica = replica;
    }

    /// A link that is followed.
    pub(super) async fn open(&mut self, target: &str) -> RawResponse {
        self.send(request("GET", target)).await
    }

    /// A form that is sent.
    pub(super) async fn submit(&mut self, target: &str, fields: &[(&str, &str)]) -> RawResponse {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(request("POST", target).body("application/x-www-form-urlencoded", body)).await
    }

    /// A script of the page asks.
    pub(super) async fn fetch(&mut self, method: &str, target: &str) -> RawResponse {
        let asked = request(method, target).header("Sec-Fetch-Mode", "cors").header("Accept", "application/json");
        self.exchange(asked).await
    }

    /// The names of its cookies.
    pub(super) fn cookies(&self) -> Vec<&str> {
        self.cookies.keys().map(String::as_str).collect()
    }

    pub(super) fn cookie(&self, name: &str) -> &str {
        &self.cookies[name]
    }

    async fn send(&mut self, asked: RawRequest) -> RawResponse {
        self.exchange(asked.header("Sec-Fetch-Mode", "navigate").header("Accept", "text/html")).await
    }

    async fn exchange(&mut self, asked: RawRequest) -> RawResponse {
        let mut asked = asked.header("Sec-Fetch-Site", "same-origin");
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            asked = asked.header("Cookie", &pairs.join("; "));
        }
        let answer = self.site.ask(self.replica, &asked).await;
        for line in answer.values("set-cookie") {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}
