//! An HTTP API that knows nothing of authentication: it prints each request, and answers with what it received.
//!
//! ```text
//! cargo run --example echo -- --port 3000
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use axum::Router;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Json;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(port) = port(std::env::args().skip(1)) else {
        eprintln!("usage: echo [--port PORT]");
        return ExitCode::from(2);
    };
    match serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The port from the command line, 3000 if it says nothing, `None` if it can't be understood.
fn port(mut arguments: impl Iterator<Item = String>) -> Option<u16> {
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Some(3000),
        (Some("--port"), Some(port), None) => port.parse().ok(),
        _ => None,
    }
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback(echo)).await
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap) -> Json<Value> {
    println!("{method} {uri}");
    let mut lines = Vec::new();
    for (name, value) in &headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        println!("  {name}: {value}");
        lines.push(json!([name.as_str(), value]));
    }
    Json(json!({ "method": method.as_str(), "path": uri.path(), "query": uri.query(), "headers": lines }))
}
