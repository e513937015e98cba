//! Requests over kept-alive connections, each the next of a pool.
//!
//! At a fixed rate a request is due at its moment whether or not a connection is free, and its latency counts from that
//! moment: a proxy that stalls is charged for all the requests that should have been sent meanwhile.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use sidegate::clock::Stopwatch;

use pool::Pool;

mod answer;
mod pool;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long, default_value = "/api/notes")]
    path: String,
    /// One token a line; none is sent without it
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// One refresh token a line: requests exchange them, and the file has the live ones afterwards
    #[arg(long, conflicts_with = "tokens")]
    refresh: Option<PathBuf>,
    /// Begin with another line than the first
    #[arg(long, default_value_t = 0)]
    skip: usize,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How many in all, at most
    #[arg(long, default_value_t = usize::MAX)]
    requests: usize,
    /// How long requests are begun
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many are due in a second; without it the next one is due when a connection is free
    #[arg(long)]
    rate: Option<u32>,
    /// Fail when a token would be sent for the second time
    #[arg(long)]
    once: bool,
    /// Keep the connections open for so many seconds after the outcome was printed
    #[arg(long, default_value_t = 0)]
    linger: u64,
}

/// One connection, and what it waits for.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    /// When the request that it waits for was due; `None`: it is free.
    due: Option<Duration>,
}

/// What came of the requests.
#[derive(Default)]
struct Outcome {
    /// In nanoseconds, of answers with 200.
    latencies: Vec<u64>,
    other_statuses: usize,
    errors: usize,
}

impl Outcome {
    fn finished(&self) -> usize {
        self.latencies.len() + self.other_statuses + self.errors
    }
}

/// Sends the requests and prints the outcome.
///
/// # Errors
/// If the tokens cannot be read, or nobody listens.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    // The kernel may otherwise wake this thread 50 µs late. Where that cannot be said, it stays so.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let mut pool = Pool::read(arguments)?;
    let mut connections =
        (0..arguments.connections).map(|_| connect(arguments.address)).collect::<io::Result<Vec<_>>>()?;
    let watch = Stopwatch::start();
    let outcome = send_all(arguments, &mut pool, &mut connections, watch)?;
    print(outcome, watch.elapsed());
    io::stdout().flush()?;
    std::thread::sleep(Duration::from_secs(arguments.linger));
    pool.keep()
}

fn send_all(
    arguments: &Arguments,
    pool: &mut Pool,
    connections: &mut [Connection],
    watch: Stopwatch,
) -> io::Result<Outcome> {
    let interval = arguments.rate.map(|rate| Duration::from_secs(1) / rate.max(1));
    let mut outcome = Outcome::default();
    let mut started = 0;
    let mut next_due = Duration::ZERO;
    let mut free: Vec<usize> = (0..connections.len()).collect();
    let mut most = arguments.requests;
    while outcome.finished() < most {
        let now = watch.elapsed();
        if now >= Duration::from_secs(arguments.seconds) {
            most = most.min(started);
        }
        while started < most
            && (interval.is_none() || next_due <= now)
            && let Some(index) = free.pop()
        {
            let connection = &mut connections[index];
            connection.due = Some(if interval.is_some() { next_due } else { now });
            if connection.stream.write_all(&pool.next()?).is_err() {
                outcome.errors += 1;
                *connection = connect(arguments.address)?;
                free.push(index);
            }
            started += 1;
            next_due += interval.unwrap_or_default();
        }
        let patience = match interval {
            Some(_) if started < most && !free.is_empty() => next_due.saturating_sub(watch.elapsed()),
            _ => SILENCE,
        };
        let readable = readable(connections, patience)?;
        if readable.is_empty() && patience == SILENCE {
            return Err(io::Error::other("no answer came for ten seconds"));
        }
        for index in readable {
            let connection = &mut connections[index];
            match connection.answer() {
                Ok(None) => continue,
                Ok(Some(answer)) => {
                    let took = watch.elapsed().saturating_sub(connection.due.take().unwrap_or_default());
                    pool.answered(&answer);
                    match answer.status {
                        200 => outcome.latencies.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
                        _ => outcome.other_statuses += 1,
                    }
                    if answer.closes {
                        *connection = connect(arguments.address)?;
                    }
                }
                Err(_) => {
                    outcome.errors += 1;
                    *connection = connect(arguments.address)?;
                }
            }
            free.push(index);
        }
    }
    Ok(outcome)
}

/// Which connections have something to read, after at most so long.
fn readable(connections: &[Connection], patience: Duration) -> io::Result<Vec<usize>> {
    let busy: Vec<usize> = (0..connections.len()).filter(|&index| connections[index].due.is_some()).collect();
    let mut waits: Vec<PollFd<'_>> =
        busy.iter().map(|&index| PollFd::new(&connections[index].stream, PollFlags::IN)).collect();
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    poll(&mut waits, Some(&timeout))?;
    Ok(busy.into_iter().zip(&waits).filter(|(_, wait)| !wait.revents().is_empty()).map(|(index, _)| index).collect())
}

impl Connection {
    /// Reads what is there; the answer, if it is whole.
    fn answer(&mut self) -> io::Result<Option<answer::Answer>> {
        let mut space = [0; 16 * 1024];
        let length = match self.stream.read(&mut space) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        self.read.extend_from_slice(&space[..length]);
        let answer = answer::whole(&self.read)?;
        if answer.is_some() {
            self.read.clear();
        }
        Ok(answer)
    }
}

fn connect(address: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(Connection { stream, read: Vec::new(), due: None })
}

fn print(outcome: Outcome, elapsed: Duration) {
    let Outcome { mut latencies, other_statuses, errors } = outcome;
    latencies.sort_unstable();
    let micros = |per_mille: usize| {
        let index = (latencies.len() * per_mille / 1000).min(latencies.len().saturating_sub(1));
        latencies.get(index).map(|nanos| Duration::from_nanos(*nanos).as_secs_f64() * 1e6)
    };
    let line = json!({
        "requests": latencies.len(),
        "other_statuses": other_statuses,
        "errors": errors,
        "seconds": elapsed.as_secs_f64(),
        "p50_us": micros(500),
        "p99_us": micros(990),
        "p999_us": micros(999),
        "max_us": micros(1000),
    });
    println!("{line}");
}

const SILENCE: Duration = Duration::from_secs(10);
