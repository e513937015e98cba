//! The operator's calls: who may make them, and what they do.

mod door;
mod drain;
mod revoke;
mod wait;

use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::raw::RawRequest;

/// Sends a request and returns the status and the text of the answer, which ends with the connection.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: RawRequest) -> (u16, String) {
    stream.write_all(&request.header("Connection", "close").bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

async fn over_socket(path: &Path, request: RawRequest) -> (u16, String) {
    exchange(UnixStream::connect(path).await.unwrap(), request).await
}
