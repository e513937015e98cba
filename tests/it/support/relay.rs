//! A wire that a test holds in its hands: what connects here reaches the target, late, in part, or not at all.
//!
//! A mode counts from the moment it is set, for connections that are open and for those that come. The target can be
//! switched: that is how the address of a database moves to another server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A listener on the loopback and what it does with its connections. Gone, connections and all, when dropped.
pub struct Relay {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

/// What becomes of bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Each piece arrives this much later, in both directions.
    Delay(Duration),
    /// Nothing arrives in this direction until the mode changes; then everything does, in order.
    Hold(Direction),
    /// What is sent in this direction is gone, and the connection stays open: requests arrive and answers are lost, or
    /// the other way round. A connection that lost something never delivers in that direction again.
    Swallow(Direction),
    /// The target's side is closed and ours stays open, silent, for ever. New connections are accepted, and go nowhere.
    HalfOpen,
    /// Connections are reset, new ones too.
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToTarget,
    ToClient,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    target: SocketAddr,
    /// Counts [`Relay::sever`]: connections from before are reset.
    severed: u64,
}

impl Relay {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = watch::Sender::new(State { mode: Mode::Pass, target, severed: 0 });
        let accepting = tokio::spawn(accept(listener, state.subscribe()));
        Self { address, state, accepting }
    }

    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Resets the connections there are; new ones are made as the mode says.
    pub fn sever(&self) {
        self.state.send_modify(|state| state.severed += 1);
    }

    /// From now on connections go there, and those to the old target are reset.
    pub fn switch(&self, target: SocketAddr) {
        self.state.send_modify(|state| {
            state.target = target;
            state.severed += 1;
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(connection(client, state.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, mut state: watch::Receiver<State>) {
    let begun = *state.borrow_and_update();
    let resets = move |state: &State| state.mode == Mode::Reset || state.severed != begun.severed;
    let _ = client.set_nodelay(true);
    let target = match begun.mode {
        Mode::Reset => return reset(&client),
        Mode::HalfOpen => None,
        _ => match TcpStream::connect(begun.target).await {
            Ok(target) => Some(target),
            Err(_) => return reset(&client),
        },
    };
    if let Some(mut target) = target {
        let _ = target.set_nodelay(true);
        let carried = carry(&mut client, &mut target, state.clone());
        let is_over = tokio::select! {
            // First: what was held is not delivered on a wire that is cut now.
            biased;
            _ = state.wait_for(|state| resets(state) || state.mode == Mode::HalfOpen) => false,
            carried = carried => carried.is_ok(),
        };
        if is_over {
            return;
        }
        reset(&target);
    }
    if state.borrow().mode == Mode::HalfOpen {
        let _ = state.wait_for(resets).await;
    }
    reset(&client);
}

/// Both directions, until each has ended; an error in one of them ends both.
async fn carry(client: &mut TcpStream, target: &mut TcpStream, state: watch::Receiver<State>) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_target, to_target) = target.split();
    tokio::try_join!(
        pump(from_client, to_target, Direction::ToTarget, state.clone()),
        pump(from_target, to_client, Direction::ToClient, state),
    )?;
    Ok(())
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut has_lost = false;
    loop {
        let length = from.read(&mut buffer).await?;
        let mode = state.borrow_and_update().mode;
        match mode {
            Mode::Delay(time) => {
                let _ = tokio::time::timeout(time, state.wait_for(|state| state.mode != mode)).await;
            }
            Mode::Hold(held) if held == direction => drop(state.wait_for(|state| state.mode != mode).await),
            _ => {}
        }
        has_lost |= state.borrow().mode == Mode::Swallow(direction);
        match (has_lost, length) {
            // Nor does the other side hear of the end.
            (true, 0) => std::future::pending().await,
            (true, _) => {}
            (false, 0) => return to.shutdown().await,
            (false, _) => to.write_all(&buffer[..length]).await?,
        }
    }
}

/// What is still in it is not waited for, and the other side gets an RST when it is dropped.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(100);

    /// A connection through a relay, and its other end.
    async fn wired() -> (Relay, TcpListener, TcpStream, TcpStream) {
        let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let relay = Relay::to(target.local_addr().expect("it is bound")).await;
        let client = TcpStream::connect(relay.address).await.expect("the relay listens");
        let (server, _) = target.accept().await.expect("the relay connects");
        (relay, target, client, server)
    }

    async fn says(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) -> bool {
        from.write_all(text).await.expect("it is open");
        hears(to, text).await
    }

    async fn hears(stream: &mut TcpStream, text: &[u8]) -> bool {
        let mut heard = vec![0; text.len()];
        tokio::time::timeout(SOON, stream.read_exact(&mut heard)).await.is_ok_and(|read| read.is_ok() && heard == text)
    }

    async fn end(stream: &mut TcpStream) -> io::Result<usize> {
        let mut byte = [0; 1];
        tokio::time::timeout(Duration::from_secs(10), stream.read(&mut byte)).await.expect("it ends")
    }

    #[tokio::test]
    async fn it_passes_both_directions_and_their_ends() {
        let (_relay, _target, mut client, mut server) = wired().await;

        assert!(says(&mut client, &mut server, b"ping").await && says(&mut server, &mut client, b"pong").await);
        client.shutdown().await.expect("it is open");
        assert_eq!(end(&mut server).await.expect("an orderly end"), 0);
        assert!(says(&mut server, &mut client, b"last words").await);
    }

    #[tokio::test]
    async fn it_holds_and_then_lets_go() {
        let (relay, _target, mut client, mut server) = wired().await;

        relay.set(Mode::Hold(Direction::ToTarget));
        assert!(says(&mut server, &mut client, b"answer").await);
        assert!(!says(&mut client, &mut server, b"held").await);
        relay.set(Mode::Pass);
        assert!(hears(&mut server, b"held").await);
        relay.set(Mode::Delay(Duration::from_hours(1)));
        assert!(!says(&mut server, &mut client, b"late").await);
        relay.set(Mode::Pass);
        assert!(hears(&mut client, b"late").await);
    }

    #[tokio::test]
    async fn it_swallows_one_direction_and_passes_the_other() {
        let (relay, _target, mut client, mut server) = wired().await;

        relay.set(Mode::Swallow(Direction::ToClient));
        assert!(says(&mut client, &mut server, b"question").await);
        assert!(!says(&mut server, &mut client, b"answer").await);
        relay.set(Mode::Pass);
        assert!(!says(&mut server, &mut client, b"more").await, "a hole in the middle is never passed over");
    }

    #[tokio::test]
    async fn it_resets_what_there_is_and_what_comes() {
        let (relay, target, mut client, mut server) = wired().await;

        relay.sever();
        assert!(end(&mut client).await.is_err() && end(&mut server).await.is_err());
        let mut second = TcpStream::connect(relay.address).await.expect("the relay listens");
        let (mut server, _) = target.accept().await.expect("the relay connects");
        assert!(says(&mut second, &mut server, b"again").await);

        relay.set(Mode::Reset);
        assert!(end(&mut second).await.is_err());
        let mut third = TcpStream::connect(relay.address).await.expect("the relay listens");
        assert!(end(&mut third).await.is_err());
    }

    #[tokio::test]
    async fn half_open_is_closed_there_and_silent_here() {
        let (relay, _target, mut client, mut server) = wired().await;

        relay.set(Mode::HalfOpen);
        assert!(end(&mut server).await.is_err());
        assert!(!hears(&mut client, b"x").await);
        client.write_all(b"anybody there?").await.expect("nobody has said that it is closed");
        relay.set(Mode::Pass);
        relay.sever();
        assert!(end(&mut client).await.is_err());
    }

    #[tokio::test]
    async fn a_switched_relay_leads_elsewhere() {
        let (relay, _target, mut client, _server) = wired().await;
        let other = TcpListener::bind("127.0.0.1:0").await.expect("a free port");

        relay.switch(other.local_addr().expect("it is bound"));

        assert!(end(&mut client).await.is_err());
        let mut client = TcpStream::connect(relay.address).await.expect("the relay listens");
        let (mut server, _) = other.accept().await.expect("the relay connects");
        assert!(says(&mut client, &mut server, b"elsewhere").await);
    }

    #[tokio::test]
    async fn what_was_held_is_lost_with_a_wire_that_is_cut() {
        for _ in 0..20 {
            let (relay, _target, mut client, mut server) = wired().await;
            relay.set(Mode::Hold(Direction::ToTarget));
            client.write_all(b"held").await.expect("it is open");
            // So that the relay has read it.
            tokio::task::yield_now().await;
            relay.set(Mode::Reset);
            let mut heard = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(10), server.read_to_end(&mut heard)).await;
            assert!(ended.expect("it ends").is_err(), "a reset");
            assert_eq!(heard, b"");
        }
    }
}
