//! What is sent: each request of a list in turn, or refreshes, each of the token that the last one of its session gave.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Arguments;
use super::answer::Answer;

pub(super) enum Pool {
    List { requests: Vec<Vec<u8>>, next: usize, once: bool },
    Refreshes { address: SocketAddr, file: PathBuf, live: VecDeque<String> },
}

impl Pool {
    /// # Errors
    /// If a file cannot be read, or has nothing in it.
    pub(super) fn read(arguments: &Arguments) -> io::Result<Self> {
        let Arguments { address, path, skip, once, .. } = arguments;
        if let Some(file) = &arguments.refresh {
            return Ok(Self::Refreshes { address: *address, file: file.clone(), live: lines(file)?.into() });
        }
        let requests: Vec<Vec<u8>> = match &arguments.tokens {
            Some(file) => lines(file)?.iter().map(|token| get(*address, path, Some(token))).collect(),
            None => vec![get(*address, path, None)],
        };
        Ok(Self::List { requests, next: *skip, once: *once })
    }

    /// # Errors
    /// If it has nothing more to give.
    pub(super) fn next(&mut self) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::List { requests, next, once } => {
                if *once && *next >= requests.len() {
                    return Err(io::Error::other("the pool has no more tokens that were not sent yet"));
                }
                *next += 1;
                Ok(Cow::Borrowed(&requests[(*next - 1) % requests.len()]))
            }
            Self::Refreshes { address, live, .. } => {
                let token = live.pop_front().ok_or_else(|| io::Error::other("no session is free to be refreshed"))?;
                Ok(Cow::Owned(refresh(*address, &token)))
            }
        }
    }

    /// Takes the new refresh token from an answer.
    pub(super) fn answered(&mut self, answer: &Answer) {
        let Self::Refreshes { live, .. } = self else { return };
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        live.extend(body["refresh_token"].as_str().map(str::to_owned));
    }

    /// Writes the live refresh tokens to the file that they came from.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn keep(&self) -> io::Result<()> {
        let Self::Refreshes { file, live, .. } = self else { return Ok(()) };
        let mut text = String::new();
        for token in live {
            let _ = writeln!(text, "{token}");
        }
        std::fs::write(file, text)
    }
}

fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n{authorization}\r\n").into_bytes()
}

fn refresh(address: SocketAddr, token: &str) -> Vec<u8> {
    let body = format!("grant_type=refresh_token&refresh_token={token}");
    let length = body.len();
    format!(
        "POST /refresh HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nUser-Agent: sidegate-bench\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn lines(file: &Path) -> io::Result<Vec<String>> {
    let lines: Vec<String> = std::fs::read_to_string(file)?.lines().map(str::to_owned).collect();
    if lines.is_empty() { Err(io::Error::other(format!("{} is empty", file.display()))) } else { Ok(lines) }
}
