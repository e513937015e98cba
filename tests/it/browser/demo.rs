//! The page that `sidegate demo` serves.

use serde_json::json;

use super::stage::play;
use crate::support::net::free_address;
use crate::support::process::Home;

const TTL: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_the_401_the_refresh_and_the_retry() {
    let (gate, health, api) = (free_address(), free_address(), free_address());
    let home = Home::with_config(&format!(
        "server.listen = [\"http://{gate}\"]\nhealth.listen = \"http://{health}\"\nadmin.listen = \"\"\n\
         upstream.default.url = \"http://{api}\"\nlogin.users.argon2_memory = \"64KiB\"\n\
         access_token.ttl = \"{TTL}s\"\n[[route]]\npath = \"/\"\nauth = \"none\"\n"
    ));
    let demo = home.start(&["demo"]);
    demo.wait_for("/demo/").await;

    let stage = json!({ "page": format!("http://{gate}"), "health": format!("http://{health}"), "ttl": TTL });
    play("demo", "the_demo_shows_the_401_the_refresh_and_the_retry", &stage).await;
}
