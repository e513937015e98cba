//! How long after a logout was answered the other replicas still let the session's access token pass.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use sidegate::clock::Stopwatch;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where sessions are refreshed and logged out
    #[arg(long)]
    at: SocketAddr,
    /// A replica that is asked until it refuses; stands once for each
    #[arg(long = "other", required = true)]
    others: Vec<SocketAddr>,
    /// One refresh token a line, each of another session
    #[arg(long)]
    refresh: PathBuf,
    /// Logouts that are measured, one at a time
    #[arg(long)]
    count: usize,
    #[arg(long, default_value_t = 0)]
    skip: usize,
}

/// Prints the latencies, all replicas' together.
///
/// # Errors
/// If a replica answers what it should not, or not at all.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let text = std::fs::read_to_string(&arguments.refresh)?;
    let tokens: Vec<&str> = text.lines().skip(arguments.skip).take(arguments.count).collect();
    if tokens.len() < arguments.count {
        return Err(io::Error::other("there are not so many refresh tokens"));
    }
    let watch = Stopwatch::start();
    let mut latencies = Vec::new();
    let mut here = Client::connect(arguments.at)?;
    for token in tokens {
        latencies.extend(one(arguments, &mut here, token, &watch)?.iter().map(|took| took.as_secs_f64() * 1e3));
    }
    println!("{}", json!({ "latencies_ms": latencies }));
    Ok(())
}

/// One logout: for each of the others the time from its answer to the first refusal, zero if that came earlier.
fn one(arguments: &Arguments, here: &mut Client, token: &str, watch: &Stopwatch) -> io::Result<Vec<Duration>> {
    let body = format!("grant_type=refresh_token&refresh_token={token}");
    let (status, pair) = here.post("/refresh", &body)?;
    let part = |name: &str| pair[name].as_str().map(str::to_owned);
    let (200, Some(access), Some(refresh)) = (status, part("access_token"), part("refresh_token")) else {
        return Err(io::Error::other(format!("a refresh was answered with {status}")));
    };
    let mut others =
        arguments.others.iter().map(|address| Client::connect(*address)).collect::<io::Result<Vec<_>>>()?;
    for other in &mut others {
        match other.get(&access)? {
            200 => {}
            status => return Err(io::Error::other(format!("a live token was answered with {status}"))),
        }
    }
    thread::scope(|scope| {
        let askers: Vec<_> = others.iter_mut().map(|other| scope.spawn(|| refused(other, &access, watch))).collect();
        let (status, _) = here.post("/logout", &format!("refresh_token={refresh}"))?;
        let answered = watch.elapsed();
        if !matches!(status, 200 | 204) {
            return Err(io::Error::other(format!("a logout was answered with {status}")));
        }
        let join = |asker: thread::ScopedJoinHandle<'_, io::Result<Duration>>| {
            asker.join().unwrap_or_else(|_| Err(io::Error::other("the asking stopped")))
        };
        askers.into_iter().map(|asker| Ok(join(asker)?.saturating_sub(answered))).collect()
    })
}

/// Asks until the token is refused, and says when that was.
fn refused(other: &mut Client, token: &str, watch: &Stopwatch) -> io::Result<Duration> {
    let begin = watch.elapsed();
    loop {
        let status = other.get(token)?;
        let now = watch.elapsed();
        match status {
            401 => return Ok(now),
            200 if now.saturating_sub(begin) < LONGEST => {}
            200 => return Err(io::Error::other("the token of a session that was logged out still passes")),
            status => return Err(io::Error::other(format!("a token was answered with {status}"))),
        }
        // The others on this core want a turn too.
        thread::sleep(PAUSE);
    }
}

struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONGEST))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    fn get(&mut self, token: &str) -> io::Result<u16> {
        let address = self.address;
        self.send(&format!("GET /api/notes HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"))?;
        Ok(self.answer()?.0)
    }

    fn post(&mut self, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let (address, length) = (self.address, body.len());
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))?;
        let (status, body) = self.answer()?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    fn send(&mut self, request: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(request.as_bytes())
    }

    fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            } else if line.starts_with("http/1.1 ") {
                status = line.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or_default();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

const PAUSE: Duration = Duration::from_micros(100);
const LONGEST: Duration = Duration::from_secs(10);
