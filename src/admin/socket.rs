//! A Unix socket that only our own user can open, at every moment of its life, and that belongs to one process at a time.
//!
//! A lock beside it says whose it is: a process that was killed leaves both behind, and the next one takes them over. What
//! else may lie at the path is never removed.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The files of a socket; they go with this value.
#[derive(Debug)]
pub(super) struct SocketFiles {
    path: PathBuf,
    #[cfg_attr(not(test), expect(dead_code, reason = "it is held, not looked at"))]
    lock: Lock,
}

/// Nobody else has it as long as this is there.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
}

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum SocketError {
    /// Another process takes calls there.
    InUse,
    /// Something lies there that is no socket.
    Occupied,
    System(io::ErrorKind),
}

impl SocketFiles {
    /// Listens at the path, whose folder is made if it is missing.
    pub(super) async fn listen(path: &Path) -> Result<(UnixListener, Self), SocketError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let lock = Lock::take(beside(path, "lock"))?;
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Occupied),
            // Nobody of ours, for the lock is free; somebody else's must not be taken away.
            Ok(_) => match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                _ => return Err(SocketError::InUse),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let listener = listen_behind_a_door(path)?;
        Ok((listener, Self { path: path.to_owned(), lock }))
    }
}

impl Drop for SocketFiles {
    fn drop(&mut self) {
        // What cannot be removed is taken over by the next one.
        let _ = fs::remove_file(&self.path);
    }
}

impl Lock {
    /// Takes the lock of a file that still lies there afterwards: whoever had it may just have removed it.
    fn take(path: PathBuf) -> Result<Self, SocketError> {
        loop {
            let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(SocketError::InUse),
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Ok(()) => {}
            }
            match fs::metadata(&path) {
                Ok(there) if there.ino() == file.metadata()?.ino() => return Ok(Self { path, file }),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // First the name, then the lock: whoever waits for it finds no file that is somebody's.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Self::System(error.kind())
    }
}

/// A socket is made open to whomever the process's mask admits, and only then can its mode be changed. So it is made in a
/// folder that nobody else can enter, and moved to its place when it is closed.
fn listen_behind_a_door(path: &Path) -> io::Result<UnixListener> {
    let folder = beside(path, "new");
    let inside = folder.join("s");
    // A process that was killed here has left it.
    let _ = fs::remove_file(&inside);
    let _ = fs::remove_dir(&folder);
    DirBuilder::new().mode(0o700).create(&folder)?;
    let made = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    let _ = fs::remove_file(&inside);
    let _ = fs::remove_dir(&folder);
    made
}

/// `admin.sock` → `admin.sock.lock`
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_goes_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/admin.sock");
        let (listener, files) = SocketFiles::listen(&path).await.unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&beside(&path, "lock"))), (0o600, 0o700, 0o600));
        let (connected, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
        drop((listener, files));
        assert_eq!(entries(path.parent().unwrap()), 0);
    }

    #[tokio::test]
    async fn a_living_socket_is_not_taken_and_a_dead_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (listener, files) = SocketFiles::listen(&path).await.unwrap();
        assert!(matches!(SocketFiles::listen(&path).await, Err(SocketError::InUse)));
        assert!(UnixStream::connect(&path).await.is_ok(), "it is still there");
        // Killed: the files stay, the lock and the listener are gone.
        drop(listener);
        files.lock.file.unlock().unwrap();
        std::mem::forget(files);
        assert!(path.exists() && beside(&path, "lock").exists());
        let (listener, _files) = SocketFiles::listen(&path).await.unwrap();
        let (connected, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
    }

    #[tokio::test]
    async fn a_strangers_socket_or_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("file"), folder.path().join("socket"));
        fs::write(&file, "x").unwrap();
        assert!(matches!(SocketFiles::listen(&file).await, Err(SocketError::Occupied)));
        assert_eq!((fs::read(&file).unwrap().as_slice(), entries(folder.path())), (&b"x"[..], 1));
        let _stranger = UnixListener::bind(&socket).unwrap();
        assert!(matches!(SocketFiles::listen(&socket).await, Err(SocketError::InUse)));
        assert!(UnixStream::connect(&socket).await.is_ok());
    }
}
