//! The wire between sidegate and an application, and everything that was said on it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes everything on. Gone when dropped.
pub(super) struct Wiretap {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    accepting: JoinHandle<()>,
}

/// One connection.
#[derive(Clone, Default)]
struct Heard {
    requests: Vec<u8>,
    answers: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Side {
    Requests,
    Answers,
}

impl Wiretap {
    pub(super) async fn to(application: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let accepting = tokio::spawn(accept(listener, application, Arc::clone(&heard)));
        Self { address, heard, accepting }
    }

    /// Every line of every request's head that has this name, in lower case; in the order of the connections.
    pub(super) fn request_values(&self, name: &str) -> Vec<String> {
        values(&self.all(Side::Requests), name)
    }

    /// Every value that the application gave this cookie.
    pub(super) fn cookie_values(&self, cookie: &str) -> Vec<String> {
        let lines = values(&self.all(Side::Answers), "set-cookie");
        let values = lines.iter().filter_map(|line| line.strip_prefix(cookie)?.strip_prefix('=')?.split(';').next());
        // Django writes a cookie that it takes back as `""`.
        values.map(|value| value.trim_matches('"')).filter(|value| !value.is_empty()).map(str::to_owned).collect()
    }

    /// Method and target of every request.
    pub(super) fn targets(&self) -> Vec<String> {
        let lines = self.all(Side::Requests);
        let starts = lines.lines().filter_map(|line| line.trim_end().strip_suffix(" HTTP/1.1"));
        starts.map(str::to_owned).collect()
    }

    fn all(&self, side: Side) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = heard.iter().map(|connection| match side {
            Side::Requests => &connection.requests,
            Side::Answers => &connection.answers,
        });
        sides.map(|bytes| String::from_utf8_lossy(bytes) + "\r\n").collect()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Bodies are looked at like heads: these applications write no such lines in theirs.
fn values(text: &str, name: &str) -> Vec<String> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned());
    values.collect()
}

async fn accept(listener: TcpListener, application: SocketAddr, heard: Arc<Mutex<Vec<Heard>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            // Nobody there: the client sees the connection end.
            let Ok(server) = TcpStream::connect(application).await else { return };
            let number = {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push(Heard::default());
                heard.len() - 1
            };
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::join!(
                pass(from_client, to_server, &heard, number, Side::Requests),
                pass(from_server, to_client, &heard, number, Side::Answers),
            );
        });
    }
}

/// What arrives is kept before it is passed on: who has an answer can ask what was said.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: &Mutex<Vec<Heard>>,
    number: usize,
    side: Side,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            match side {
                Side::Requests => heard[number].requests.extend(&buffer[..length]),
                Side::Answers => heard[number].answers.extend(&buffer[..length]),
            }
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
