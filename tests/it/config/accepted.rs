//! Files without problems.

use std::path::Path;
use std::time::Duration;

use sidegate::config::checked::{
    Argon2, AuditOutput, LogFormat, LogLevel, Login, Migrate, StoreLocation, UpstreamAuthorization,
};
use sidegate::config::{self, Config, Surroundings};
use sidegate::domain::cookie::SameSite;
use sidegate::domain::csrf::TrustedOrigins;
use sidegate::domain::keys::Algorithm;
use sidegate::domain::rate::Rate;
use sidegate::domain::rotation::RotationPolicy;
use sidegate::domain::upstream_login::Blank;

use super::{accepted, fixtures, refused, root};

#[test]
fn an_empty_file_means_every_default() {
    let config = accepted("");
    assert_eq!(config.realm, "default");
    assert_eq!(config.server.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert!(config.server.workers >= 1);
    assert_eq!(config.server.drain_delay, Duration::from_secs(5));
    assert_eq!(config.health, "127.0.0.1:9091".parse().unwrap());
    let upstream = &config.upstreams["default"];
    assert_eq!((upstream.host.as_str(), upstream.port), ("127.0.0.1", 3000));
    assert_eq!(upstream.authorization, UpstreamAuthorization::Strip);
    assert_eq!(config.limits.headers, 64 * 1024);
    assert_eq!(config.store.location, StoreLocation::Sqlite(fixtures().join("data/sidegate.db")));
    assert_eq!(config.store.migrate, Migrate::Auto);
    assert_eq!(config.key.algorithm, Algorithm::Es256);
    assert_eq!(config.access_token.issuer, "http://127.0.0.1:8080");
    assert_eq!(config.access_token.ttl, Duration::from_mins(10));
    assert_eq!(config.rotation, RotationPolicy::default());
    assert_eq!(config.poll_interval, Duration::from_millis(200));
    assert_eq!(config.verified_cache, 16 << 20);
    assert_eq!(config.login, Login::Users { min_length: 12, argon2: Argon2 { memory_kib: 19 * 1024, slots: 2 } });
    let rate = |most, minutes| Rate::new(most, Duration::from_mins(minutes));
    assert_eq!(config.rates.login_per_account, rate(10, 15));
    assert_eq!(config.rates.login_per_address, rate(60, 1));
    assert_eq!(config.rates.refresh_per_session, rate(30, 1));
    assert_eq!(config.rates.bad_tokens_per_address, rate(600, 1));
    assert_eq!(config.audit, AuditOutput::Stdout);
    assert_eq!(config.key.rotate_every, Duration::ZERO);
    assert_eq!(config.key.publish_ahead, Duration::from_hours(1));
    assert_eq!(config.endpoints.logout_all.as_deref(), Some("/auth/logout-all"));
    assert!(config.identity.strips("x-auth-session"));
    assert!(config.routes.routes().is_empty());
    assert_eq!((config.log.level, config.log.format, config.log.access), (LogLevel::Info, LogFormat::Text, true));
    assert_eq!(config.warnings, [""; 0]);
    let plain = config::parse("", &Surroundings::default()).unwrap();
    assert_eq!(plain.key.secret_files, [Path::new("data/secret")]);
}

#[test]
fn the_file_in_the_root_says_the_defaults_and_three_routes() {
    let text = std::fs::read_to_string(root().join("config.toml")).unwrap();
    let file = accepted(&text);
    assert_eq!(file.warnings, [""; 0]);
    assert_eq!(file.routes.routes().len(), 3);
    let without_routes = text.split_once("[[route]]").unwrap().0;
    assert_eq!(format!("{:?}", accepted(without_routes)), format!("{:?}", accepted("")));
}

#[test]
fn a_file_is_loaded_by_its_path() {
    let config: Config = config::load(&root().join("config.toml")).unwrap();
    assert_eq!(config.store.location, StoreLocation::Sqlite("data/sidegate.db".into()));
    let missing = config::load(&fixtures().join("missing.toml")).unwrap_err().to_string();
    assert!(missing.contains("missing.toml: 1 problem\n    no such file\n    hint: "), "{missing}");
}

#[test]
fn postgres_has_defaults_of_its_own() {
    let config = accepted("store.url = 'postgres://ann:pw@localhost/sidegate'");
    assert_eq!((config.store.migrate, config.poll_interval), (Migrate::Check, Duration::from_secs(1)));
    assert!(!format!("{config:?}").contains("pw@"), "the password is not shown");
    let told =
        accepted("store.url = 'postgresql:///x?host=/run/pg'\nstore.migrate = 'auto'\nrevocation.poll_interval = '3s'");
    assert_eq!((told.store.migrate, told.poll_interval), (Migrate::Auto, Duration::from_secs(3)));
}

#[test]
fn another_host_needs_full_verification_or_the_danger_switch() {
    for local in ["localhost", "127.0.0.9", "[::1]", "%2Frun%2Fpostgresql", "%2frun"] {
        accepted(&format!("store.url = 'postgres://{local}/x'"));
    }
    accepted("store.url = 'postgres://db.example/x?sslmode=verify-full'\nstore.ca_file = 'ca.pem'");
    for url in [
        "postgres://db.example/x",
        "postgres://db.example/x?sslmode=require",
        "postgres://db.example/x?sslmode=verify-ca",
        "postgres://db.example/x?ssl-mode=disable",
        "postgres://localhost/x?host=db.example",
        "postgres://localhost/x?hostaddr=10.0.0.7",
        "postgres://localhost.example/x",
    ] {
        let said = refused(&format!("store.url = '{url}'"));
        assert!(said.contains("a database on another host without sslmode=verify-full"), "{url}: {said}");
        let config = accepted(&format!("store.url = '{url}'\nstore.danger_unverified_tls = true"));
        assert!(config.warnings[0].starts_with("store.danger_unverified_tls: whoever is between"), "{url}");
    }
    for url in ["sqlite:x", "postgres://localhost/x", "postgres://db.example/x?sslmode=verify-full"] {
        let config = accepted(&format!("store.url = '{url}'\nstore.danger_unverified_tls = true"));
        assert!(config.warnings[0].starts_with("store.danger_unverified_tls: without effect"), "{url}");
    }
}

#[test]
fn a_store_url_may_come_from_a_file_or_a_variable() {
    let config = accepted("store.url_file = 'store-url'");
    assert!(
        matches!(&config.store.location, StoreLocation::Postgres(at) if *at.place.address().url == "postgres://ann:pw@localhost/x")
    );
    let config = accepted("store.url = 'postgres://ann:${NAME}@localhost/$${x}'");
    assert!(
        matches!(&config.store.location, StoreLocation::Postgres(at) if *at.place.address().url == "postgres://ann:value@localhost/${x}")
    );
}

#[test]
fn a_password_may_be_in_a_file_and_holds_for_the_connection_that_listens_too() {
    let config = accepted(
        "store.url = 'postgres://ann:old@localhost/x'\nstore.password_file = 'store-password'\n\
         store.listen_url_file = 'store-url'",
    );
    assert!(!format!("{config:?}").contains("hunter2"));
    let StoreLocation::Postgres(at) = config.store.location else { panic!("it is a Postgres") };
    let listen = at.listen.unwrap();
    assert_eq!(*listen.address().url, "postgres://ann:pw@localhost/x");
    for place in [&at.place, &listen] {
        assert_eq!(place.address().password.as_ref().map(|password| password.as_str()), Some("hunter2"));
        assert!(place.may_change());
    }
}

#[test]
fn no_login_turns_its_endpoint_off() {
    let config = accepted("login.provider = 'none'");
    assert_eq!((config.login, config.endpoints.login), (Login::None, None));
    assert_eq!(config.endpoints.refresh.as_deref(), Some("/refresh"));
    let told = accepted("login.provider = 'none'\nendpoint.login = '/in'");
    assert_eq!((told.endpoints.login, told.warnings.len()), (None, 1));
}

#[test]
fn an_identity_section_replaces_the_defaults() {
    let config = accepted("[identity]\nX-Forwarded-User = 'sub'\nTenant = 'https://example.com/tenant'");
    assert!(config.identity.strips("tenant"));
    assert!(!config.identity.strips("x-auth-subject"));
    assert!(!accepted("[identity]").identity.strips("x-auth-subject"));
}

#[test]
fn a_route_that_an_endpoint_takes_is_warned_of() {
    let warnings = |path: &str| accepted(&format!("[[route]]\npath = '{path}'")).warnings;
    for shadowed in ["/login", "/login/*", "/{page}", "/%6cogin", "/.well-known/jwks.json"] {
        assert!(!warnings(shadowed).is_empty(), "{shadowed}");
    }
    for free in ["/*", "/auth/*", "/login/help", "/{page}/x", "/orders"] {
        assert_eq!(warnings(free), [""; 0], "{free}");
    }
}

#[test]
fn a_rule_that_lets_everybody_pass_everywhere_is_warned_of() {
    let warnings = |rule: &str| accepted(&format!("[[route]]\n{rule}")).warnings;
    for open in ["path = '/*'\nauth = 'none'", "path = ['/x', '/*']\nmethods = ['GET']\nauth = 'none'"] {
        assert_eq!(warnings(open), ["route[0]: everybody passes everywhere, without a token"], "{open}");
    }
    for closed in ["path = '/*'", "path = '/*'\nauth = 'optional'", "path = '/public/*'\nauth = 'none'"] {
        assert_eq!(warnings(closed), [""; 0], "{closed}");
    }
}

#[test]
fn cookies_are_off_until_asked_for_and_live_by_the_access_token() {
    assert_eq!(accepted("").cookie, None);
    assert_eq!(accepted("").rotation.cookie_window, Duration::ZERO);
    let config =
        accepted("cookie.mode = true\naccess_token.ttl = '3m'\nserver.public_url = 'https://Shop.example:443'");
    let mode = config.cookie.unwrap();
    assert_eq!((mode.same_site, mode.refresh_in_request, mode.login_page), (SameSite::Lax, true, None));
    assert_eq!(mode.origins, TrustedOrigins::new(vec!["https://shop.example".into()]));
    assert_eq!((mode.repeat_window, config.rotation.cookie_window), (Duration::from_mins(3), Duration::from_mins(3)));
    let told = accepted(
        "refresh.late_window = '0s'\n[cookie]\nmode = true\norigins = ['https://app.example', 'http://localhost:5173']\nrepeat_window = '0s'\n\
         unauthenticated_html = 'redirect:/in.php?to={target}'\n[[route]]\npath = '/in.php'\nauth = 'none'",
    );
    assert_eq!(told.rotation.cookie_window, Duration::ZERO);
    let mode = told.cookie.unwrap();
    let origins = ["http://127.0.0.1:8080", "https://app.example", "http://localhost:5173"];
    assert_eq!(mode.origins, TrustedOrigins::new(origins.map(str::to_owned).to_vec()));
    assert_eq!(mode.login_page.unwrap().location("/a"), "/in.php?to=%2Fa");
    for elsewhere in ["https://login.example/", "http://localhost:5173/in?next={target}"] {
        accepted(&format!("cookie = {{ mode = true, unauthenticated_html = 'redirect:{elsewhere}' }}"));
    }
}

/// A least vault behind the API's own login.
fn vault(vault: &str) -> String {
    format!(
        "{vault}\n[login]\nprovider = 'upstream'\n[login.upstream]\nrequest = 'POST /in'\n\
         success = {{ member = '/id' }}\nsubject = {{ json = '/id' }}\n"
    )
}

#[test]
fn names_like_ours_may_be_kept_where_they_are_not_ours() {
    accepted(&vault("vault.cookies = ['__Host-default-access']"));
    accepted(&vault("cookie.mode = true\nvault.cookies = ['__Host-shop-access', '__Host-defaulter', 'SID', 'sid']"));
    refused(&vault("cookie.mode = true\nvault.cookies = ['__Host-default-access']"));
}

#[test]
fn a_vault_that_no_cookie_has_room_for_is_warned_of_in_cookie_mode() {
    let warnings = |mode: bool, size: &str| {
        accepted(&vault(&format!("cookie.mode = {mode}\nvault = {{ cookies = ['SID'], size = '{size}' }}"))).warnings
    };
    assert_eq!(warnings(true, "1536B"), [""; 0]);
    assert_eq!(warnings(false, "6KiB"), [""; 0]);
    let said = "vault.size: what is beyond 1536B does not fit into a cookie, and the login is answered with 500";
    assert_eq!(warnings(true, "1537B"), [said]);
}

#[test]
fn cookies_over_plain_http_are_warned_of() {
    let warnings = |url: &str| accepted(&format!("cookie.mode = true\nserver.public_url = '{url}'")).warnings;
    for kept in ["https://shop.example", "http://localhost:8080", "http://[::1]:80", "http://app.localhost"] {
        assert_eq!(warnings(kept), [""; 0], "{kept}");
    }
    let said = warnings("http://shop.example");
    assert!(
        said[0].starts_with("cookie.mode: server.public_url is plain http, where browsers drop Secure"),
        "{said:?}"
    );
}

#[test]
fn everybody_as_a_trusted_proxy_is_warned_of() {
    let config = accepted("server.trusted_proxies = ['10.0.0.0/8', '0.0.0.0/0']");
    assert_eq!(config.warnings, ["server.trusted_proxies: 0.0.0.0/0 lets every client claim any address"]);
    assert!(config.server.trusted_proxies[0].contains("::ffff:10.1.2.3".parse().unwrap()));
}

#[test]
fn named_upstreams_stand_beside_the_default() {
    let config = accepted(
        "[upstream.default]\n[upstream.orders]\nurl = 'http://[::1]:4000/'\nauthorization = 'keep'\n\
         [[route]]\npath = ['/orders', '/orders/*']\nupstream = 'orders'\nclaims = { tenant = '${NAME}', level = 3 }",
    );
    let orders = &config.upstreams["orders"];
    assert_eq!((orders.host.as_str(), orders.port), ("::1", 4000));
    assert_eq!(orders.authorization, UpstreamAuthorization::Keep);
    let route = &config.routes.routes()[0];
    assert_eq!((route.paths.len(), route.upstream.as_str()), (2, "orders"));
    assert_eq!(serde_json::to_string(&route.claims).unwrap(), r#"{"level":3,"tenant":"value"}"#);
    assert_eq!(accepted("upstream.default.url = 'http://app'").upstreams["default"].port, 80);
}

#[test]
fn an_empty_rate_is_no_limit_and_an_audit_file_is_relative() {
    let config = accepted("rate.refresh_per_session = ''\naudit.output = 'file:audit.jsonl'");
    assert_eq!(config.rates.refresh_per_session, None);
    assert_eq!(config.audit, AuditOutput::File(fixtures().join("audit.jsonl")));
    assert_eq!(accepted("audit.output = ''").audit, AuditOutput::Off);
}

#[test]
fn port_0_may_stand_twice() {
    let config =
        accepted("server.listen = ['http://127.0.0.1:0', 'http://[::1]:0']\nhealth.listen = 'http://127.0.0.1:0'");
    assert_eq!(config.server.listen.len(), 2);
}

#[test]
fn numbers_and_measures_may_be_written_as_toml_allows() {
    let config = accepted(
        "limit = { connections = 20_000, requests_per_connection = 0xff, headers = '0.5MiB', keep_alive = '1h 30m' }",
    );
    let limits = config.limits;
    assert_eq!((limits.connections, limits.requests_per_connection, limits.headers), (20_000, 255, 512 * 1024));
    assert_eq!(limits.keep_alive, Duration::from_mins(90));
}

#[test]
fn a_subject_is_ended_by_name_where_not_everybody_passes() {
    for protected in
        ["scopes = ['users:write']", "roles = ['admin']", "claims = { staff = true }", "where = { id = 'sub' }"]
    {
        let config = accepted(&format!(
            "[[route]]\npath = '/users/{{id}}'\n{protected}\n[[on_response]]\nrequest = 'DELETE /users/{{id}}'\n\
             status = ['2xx', 302]\nend = 'subject'\nsubject = 'id'"
        ));
        assert_eq!(config.warnings, [""; 0], "{protected}");
    }
}

#[test]
fn an_event_that_is_public_in_part_is_worth_a_word() {
    let route = "[[route]]\npath = '/a/open'\nauth = 'none'\n";
    let event =
        |path: &str| format!("{route}[[on_response]]\nrequest = 'POST {path}'\nstatus = ['2xx']\nend = 'session'");
    let said = "on_response[0]: some of POST /a/* is route /a/open with auth = \"none\", where nobody is known and no session \
                ends";
    assert_eq!(accepted(&event("/a/*")).warnings, [said]);
    assert_eq!(accepted(&event("/a/{x}/y")).warnings, [""; 0]);
    refused(&event("/a/open"));
}

#[test]
fn an_event_told_by_a_place_that_its_answer_hardly_has_is_worth_a_word() {
    let warnings = |status: &str| {
        accepted(&format!(
            "[[on_response]]\nrequest = 'POST /out'\nstatus = {status}\nlocation = '/bye'\nend = 'session'"
        ))
        .warnings
    };
    let said =
        "on_response[0].location: answers of on_response[0].status hardly ever have one, so this will not happen";
    for nowhere in ["[200]", "[204, '4xx']"] {
        assert_eq!(warnings(nowhere), [said], "{nowhere}");
    }
    for somewhere in ["[302]", "['2xx']", "[200, 303]"] {
        assert_eq!(warnings(somewhere), [""; 0], "{somewhere}");
    }
}

#[test]
fn an_event_that_a_lost_session_could_set_off_is_worth_a_word() {
    let warnings = |event: &str| {
        let routes = "[upstream.default]\n[upstream.other]\nurl = 'http://127.0.0.1:4000'\n[[route]]\npath = '/other'\nupstream = 'other'\n";
        let lost = "vault = { cookies = ['SID'], lost = { status = [302], location = '/login*' } }";
        accepted(&format!("{}{routes}[[on_response]]\n{event}", vault(lost))).warnings
    };
    let said = warnings("request = 'POST /pw'\nstatus = [302]\nlocation_not = '/pw*'\nend = 'other_sessions'");
    assert!(said[0].starts_with("on_response[0]: an answer with the signs of vault.lost can have these"), "{said:?}");
    for certain in [
        "request = 'POST /pw'\nstatus = [302]\nlocation = '/done'\nend = 'other_sessions'",
        "request = 'POST /pw'\nstatus = [302]\nlocation_not = '/login*'\nend = 'other_sessions'",
        "request = 'POST /pw'\nstatus = ['2xx']\nend = 'subject'",
        "request = 'POST /out'\nstatus = [302]\nlocation = '/login*'\nend = 'session'",
        "request = 'POST /other'\nstatus = [302]\nend = 'other_sessions'",
    ] {
        assert_eq!(warnings(certain), [""; 0], "{certain}");
    }
}

#[test]
fn the_repeat_window_outlasts_the_slowest_page() {
    let window = |settings: &str| {
        let config = accepted(&format!("cookie.mode = true\naccess_token.ttl = '1m'\n{settings}"));
        (config.rotation.cookie_window, config.warnings)
    };
    let slow = "upstream.default = { url = 'http://127.0.0.1:3000', response_timeout = '5m', connect_timeout = '2s' }";
    assert_eq!(window(slow), (Duration::from_secs(302), vec![]));
    assert_eq!(window(&format!("{slow}\nsession.idle_ttl = '4m'")).0, Duration::from_mins(4));
    let (stated, warnings) = window(&format!("{slow}\ncookie.repeat_window = '2m'"));
    assert_eq!((stated, warnings.len()), (Duration::from_mins(2), 1));
    assert!(warnings[0].starts_with("cookie.repeat_window: shorter than upstream.response_timeout"), "{warnings:?}");
}

#[test]
fn a_repeat_window_also_counts_where_the_front_end_refreshes() {
    let config = accepted("cookie = { mode = true, refresh_in_request = false, repeat_window = '2m' }");
    assert_eq!((config.rotation.cookie_window, config.warnings), (Duration::from_mins(2), vec![]));
}

#[test]
fn a_login_by_the_upstream_sends_name_and_password_unless_told_otherwise() {
    let least = "login.provider = 'upstream'\n[login.upstream]\nrequest = 'POST /session'\nsuccess = { member = '/id' }\n\
                 subject = { json = '/id' }\n";
    let config = accepted(&format!("server.public_url = 'https://app.example:8443/below'\n{least}"));
    let Login::Upstream(login) = config.login else { panic!("it is the upstream's") };
    assert_eq!(
        (login.upstream.as_str(), login.public_scheme, login.public_host.as_str()),
        ("default", "https", "app.example:8443")
    );
    let body = login.body.fill(|blank| Some(if blank == Blank::Submitted("username") { "ann" } else { "a&b" }));
    assert_eq!(*body.bytes, b"username=ann&password=a%26b");
    assert_eq!((config.endpoints.login.as_deref(), config.endpoints.password), (Some("/login"), None));
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn an_endpoint_that_hides_the_upstreams_login_is_warned_of() {
    let warnings = |more: &str| {
        accepted(&format!(
            "login.provider = 'upstream'\n{more}\n[login.upstream]\nrequest = 'POST /login.php'\n\
             success = {{ member = '/id' }}\nsubject = {{ json = '/id' }}\n"
        ))
        .warnings
    };
    let hidden = ["login.upstream.request: an endpoint of sidegate has the path /login.php, and is no login"];
    assert_eq!(warnings("endpoint.logout = '/login.php'"), hidden);
    assert_eq!(warnings("endpoint.login = '/login.php'"), [""; 0], "that is what people are to use");
}

#[test]
fn a_cookie_alone_is_a_poor_sign_and_a_password_endpoint_is_not_served() {
    let config = accepted(
        "login.provider = 'upstream'\nendpoint.password = '/pw'\n[login.upstream]\nrequest = 'POST /in'\n\
         success = { sets_cookie = 'SID' }\nsubject = { form = 'username' }\n",
    );
    assert!(config.warnings[0].starts_with("login.upstream.success.sets_cookie: "), "{:?}", config.warnings);
    assert_eq!(config.warnings[1], "endpoint.password: not served, since login.provider is \"upstream\"");
}
