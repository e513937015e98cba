//! Where the operator's calls arrive, and who may make them.
//!
//! On a socket the system says who the caller is: our own user, or root. On an address of the loopback every process of
//! the machine arrives, a page in somebody's browser among them: there the caller shows that it knows the token.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::extract::connect_info::Connected;
use axum::http::{HeaderMap, header};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::config::checked::AdminListen;

use super::bounded::{Bounded, Known};
use super::socket::{SocketError, SocketFiles};
use super::token::{AdminToken, TokenError};

/// A listener for the operator.
pub struct Door {
    listener: Either,
    place: AdminListen,
}

enum Either {
    Unix { listener: UnixListener, _files: SocketFiles },
    Http(TcpListener),
}

/// Why calls cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    #[error(
        "cannot listen on {}: another sidegate takes calls there\n  hint: stop it, or give each one its own admin.listen", .0
    )]
    InUse(AdminListen),
    #[error("cannot listen on {0}: something that is no socket is there\n  hint: remove it, or change admin.listen")]
    Occupied(AdminListen),
    #[error(
        "cannot listen on {}: {}\n  hint: change admin.listen to where sidegate may write; \"\" turns it off", .0,
        io::Error::from(*.1)
    )]
    System(AdminListen, io::ErrorKind),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Who is at the other end of a connection, as far as the system knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process of this user.
    User(Option<u32>),
    /// Any process of this machine.
    Loopback(SocketAddr),
}

/// A connection's other end.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) peer: Peer,
    pub(super) known: Known,
}

/// Who may make calls.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    User(u32),
    Token { file: PathBuf, host: String },
}

/// Why a call was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// Another user's process.
    User,
    /// Somebody made a client that has no business here send it.
    Host,
    NoToken,
    BadToken,
    /// Nobody can be known at the moment.
    Unreadable,
}

impl Door {
    /// Listens, so that whoever starts a second sidegate hears of it at once.
    ///
    /// # Errors
    /// [`DoorError`].
    pub async fn open(place: &AdminListen) -> Result<Self, DoorError> {
        let own = || place.clone();
        let listener = match place {
            AdminListen::Unix(path) => match SocketFiles::listen(path).await {
                Ok((listener, files)) => Either::Unix { listener, _files: files },
                Err(SocketError::InUse) => return Err(DoorError::InUse(own())),
                Err(SocketError::Occupied) => return Err(DoorError::Occupied(own())),
                Err(SocketError::System(kind)) => return Err(DoorError::System(own(), kind)),
            },
            AdminListen::Http { address, token_file } => {
                AdminToken::read(token_file)?;
                Either::Http(TcpListener::bind(address).await.map_err(|error| match error.kind() {
                    io::ErrorKind::AddrInUse => DoorError::InUse(own()),
                    kind => DoorError::System(own(), kind),
                })?)
            }
        };
        let mut place = own();
        if let (Either::Http(listener), AdminListen::Http { address, .. }) = (&listener, &mut place) {
            *address = listener.local_addr().unwrap_or(*address);
        }
        Ok(Self { listener, place })
    }

    /// Where it listens; with port 0 in the configuration, the port that was given.
    #[must_use]
    pub fn place(&self) -> &AdminListen {
        &self.place
    }

    pub(super) fn guard(&self) -> Guard {
        match &self.place {
            AdminListen::Unix(_) => Guard::User(rustix::process::geteuid().as_raw()),
            AdminListen::Http { address, token_file } => {
                Guard::Token { file: token_file.clone(), host: address.to_string() }
            }
        }
    }
}

impl Guard {
    pub(super) fn admit(&self, peer: Peer, headers: &HeaderMap) -> Result<(), Stranger> {
        match self {
            Self::User(ours) => {
                let is_admitted = matches!(peer, Peer::User(Some(user)) if user == *ours || user == ROOT);
                is_admitted.then_some(()).ok_or(Stranger::User)
            }
            Self::Token { file, host } => {
                let only = |name: header::HeaderName| {
                    let mut lines = headers.get_all(name).iter();
                    lines.next().filter(|_| lines.next().is_none())
                };
                // A name that a stranger points at the loopback is not ours, whatever a browser thinks of it.
                if only(header::HOST).is_none_or(|line| line.as_bytes() != host.as_bytes()) {
                    return Err(Stranger::Host);
                }
                let credentials = only(header::AUTHORIZATION).ok_or(Stranger::NoToken)?;
                let token = AdminToken::read(file).map_err(|error| {
                    tracing::error!(%error, "calls cannot be taken");
                    Stranger::Unreadable
                })?;
                token.admits(credentials.as_bytes()).then_some(()).ok_or(Stranger::BadToken)
            }
        }
    }
}

impl Stranger {
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::User | Self::Host => 403,
            Self::NoToken | Self::BadToken => 401,
            Self::Unreadable => 503,
        }
    }

    /// For the log.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::User => "other_user",
            Self::Host => "other_host",
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
            Self::Unreadable => "token_unreadable",
        }
    }
}

/// May do everything on the machine anyway.
const ROOT: u32 = 0;

/// A connection of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Listener for Door {
    type Io = Box<dyn Stream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Peer) {
        match &mut self.listener {
            Either::Unix { listener, .. } => {
                let (stream, _) = Listener::accept(listener).await;
                let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
                (Box::new(stream), Peer::User(user))
            }
            Either::Http(listener) => {
                let (stream, address) = Listener::accept(listener).await;
                (Box::new(stream), Peer::Loopback(address))
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(match &self.listener {
            Either::Unix { .. } => Peer::User(None),
            Either::Http(listener) => Peer::Loopback(listener.local_addr()?),
        })
    }
}

impl Connected<IncomingStream<'_, Bounded<Door>>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Bounded<Door>>) -> Self {
        let (peer, known) = stream.remote_addr().clone();
        Self { peer, known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_its_user_and_root() {
        let guard = Guard::User(1000);
        let admit = |user| guard.admit(Peer::User(user), &HeaderMap::new());
        assert_eq!((admit(Some(1000)), admit(Some(0))), (Ok(()), Ok(())));
        assert_eq!((admit(Some(1001)), admit(None)), (Err(Stranger::User), Err(Stranger::User)));
        assert_eq!(guard.admit(Peer::Loopback(([127, 0, 0, 1], 1).into()), &HeaderMap::new()), Err(Stranger::User));
    }

    #[test]
    fn an_address_is_for_whoever_knows_the_token_and_whom_it_calls() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef0123456789abcdef").unwrap();
        let guard = Guard::Token { file: file.path().into(), host: "127.0.0.1:9092".into() };
        let admit = |lines: &[(header::HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name.clone(), value.parse().unwrap());
            }
            guard.admit(Peer::Loopback(([127, 0, 0, 1], 1).into()), &headers)
        };
        let host = (header::HOST, "127.0.0.1:9092");
        let good = (header::AUTHORIZATION, "Bearer 0123456789abcdef0123456789abcdef");
        assert_eq!(admit(&[host.clone(), good.clone()]), Ok(()));
        assert_eq!(admit(std::slice::from_ref(&good)), Err(Stranger::Host));
        assert_eq!(admit(&[(header::HOST, "evil.example:9092"), good.clone()]), Err(Stranger::Host));
        assert_eq!(admit(std::slice::from_ref(&host)), Err(Stranger::NoToken));
        assert_eq!(admit(&[host.clone(), good.clone(), good]), Err(Stranger::NoToken));
        assert_eq!(admit(&[host.clone(), (header::AUTHORIZATION, "Bearer x")]), Err(Stranger::BadToken));
        std::fs::write(file.path(), "another-0123456789abcdef0123456789").unwrap();
        let another = (header::AUTHORIZATION, "Bearer another-0123456789abcdef0123456789");
        assert_eq!(admit(&[host, another]), Ok(()), "the file is read at each call");
    }
}
