//! The upstream's own session: kept from the client, sent with its requests, followed as it changes, and missed when it is
//! lost (A14).

mod app;
mod follow;
mod login;
mod lost;
mod person;
mod replicas;
mod rolling;
mod wire;

/// An application in front of which a deployment's vault is kept.
const SETTINGS: &str = r#"
[login]
provider = "upstream"
[login.upstream]
request = "POST /legacy/login"
[login.upstream.success]
status = [302]
sets_cookie = "SID"
location = "/home"
[login.upstream.subject]
form = "username"

[vault]
cookies = ["SID"]
lost = { status = [302], location = "/login.php*" }

[[route]]
path = "/public/*"
auth = "none"

[[route]]
path = "/open/*"
auth = "optional"
"#;
