//! sidegate: token authentication in front of HTTP APIs that have none.
//!
//! A Pingora reverse proxy that runs beside the API, checks the access token on every request, and answers `/login`,
//! `/refresh` and `/logout` itself from a session store. The whole is a handful of rooms; the folder tells the layer:
//!
//! | room | answers |
//! | --- | --- |
//! | [`domain`] | what is true and what is allowed: tokens, rotation, routes, decisions. Pure |
//! | [`store`] | what is remembered: one trait that decides nothing, SQLite and Postgres behind it |
//! | [`authority`] | the use cases: authenticate, log in, refresh, log out; revocations in memory |
//! | [`gateway`] | what is on the wire: connections, Pingora's phases, our endpoints, identity headers |
//! | [`admin`] | what the operator looks at and calls: health, metrics, the admin socket |
//! | [`config`] | what the operator said, checked |
//! | [`boot`] | puts the parts together and takes them down again |
//! | [`cli`] | the command line |
//! | [`clock`] | time and randomness: the only file that asks the operating system for either |
//! | [`telemetry`] | logs and metrics |
//!
//! Arrows point one way, and a test holds them: `boot` knows everybody, [`gateway`] knows [`authority`], that knows the
//! [`store`] trait, all know [`domain`], and [`domain`] knows nobody.
//!
//! # One request, walked through
//! `GET /api/notes` with `Authorization: Bearer eyJ…` arrives.
//!
//! 1. [`gateway::listener`] reads its head under one deadline and one size, and [`domain::head::check`] refuses whatever
//!    two servers could frame differently. Only then does Pingora parse it, and get its body, to the last byte
//!    ([`domain::body::Body`]) and not one further.
//! 2. [`gateway::Gateway`]'s `request_filter` brings the target into its one spelling ([`domain::target::Target`]) and asks
//!    [`gateway::admit::Rules::admit`] what to do.
//! 3. That is none of our endpoints, so the most specific rule is found ([`domain::route::RouteTable::find`]), and the
//!    token goes to [`authority::Authority::authenticate`]: verified before? still in its time? revoked since? All from
//!    memory; the store is not asked.
//! 4. [`domain::decision::decide`] makes a [`Permit`](domain::decision::Permit) or a
//!    [`Refusal`](domain::decision::Refusal). There is no other way to get a permit, and no upstream without one.
//! 5. A refusal becomes an answer in [`gateway::answer`]. With a permit, [`gateway::upstreams`] names the peer and
//!    [`gateway::forward`] strips every identity header the client sent and writes ours.
//! 6. The answer streams back, and one line goes to the access log.
//!
//! `POST /refresh` leaves this path at step 3 for [`gateway::endpoints`]: [`authority::Authority::refresh`] opens the token
//! ([`domain::refresh_token::Ratchet`]), swaps it for its successor in one statement ([`store::Store::swap`]), and only if
//! that changed nothing lets [`domain::rotation::judge`] say what the token means.
//!
//! # Three rules
//! "Allowed" is a value. Time and randomness are arguments. Framework callbacks contain no decisions.

pub mod admin;
pub mod authority;
pub mod boot;
pub mod cli;
pub mod clock;
pub mod config;
mod demo;
pub mod domain;
pub mod gateway;
pub mod lifecycle;
pub mod store;
pub mod telemetry;
