//! The operator's secrets, from their files.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::clock::Entropy;
use crate::domain::secret::{OperatorSecret, WeakSecret, hex};

/// Why a secret could not be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error(
        "the operator secret {} is missing\n  hint: mount one file with at least 32 random bytes, for example from \
         `openssl rand -hex 32`; see key.secret_files", .0.display()
    )]
    Missing(PathBuf),
    #[error("the operator secret {} cannot be read: {}", .0.display(), io::Error::from(*.1))]
    Unreadable(PathBuf, io::ErrorKind),
    #[error("the operator secret {} is too weak: {}\n  hint: make one with `openssl rand -hex 32`", .0.display(), .1)]
    Weak(PathBuf, WeakSecret),
    #[error("the operator secret {} cannot be made: {}\n  hint: the folder must be writable", .0.display(), io::Error::from(*.1))]
    Unwritable(PathBuf, io::ErrorKind),
    #[error("two of key.secret_files hold the same secret, or two that cannot be told apart: {} and {}", .0.display(), .1.display())]
    Alike(PathBuf, PathBuf),
}

/// Reads every secret; the first one signs. A missing first one is made if `may_make`.
///
/// # Errors
/// [`SecretError`].
pub fn load(files: &[PathBuf], may_make: bool, entropy: Entropy) -> Result<Vec<OperatorSecret>, SecretError> {
    let mut secrets: Vec<OperatorSecret> = Vec::new();
    for (index, path) in files.iter().enumerate() {
        if index == 0 && may_make && !path.exists() {
            make(path, entropy)?;
        }
        let secret = read(path)?;
        let key_id = secret.fingerprint().key_id();
        if let Some(twin) = secrets.iter().position(|other| other.fingerprint().key_id() == key_id) {
            return Err(SecretError::Alike(files[twin].clone(), path.clone()));
        }
        secrets.push(secret);
    }
    Ok(secrets)
}

fn read(path: &Path) -> Result<OperatorSecret, SecretError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SecretError::Missing(path.into())),
        Err(error) => return Err(SecretError::Unreadable(path.into(), error.kind())),
    };
    // An editor's newline at the end is not part of the secret.
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    OperatorSecret::new(bytes.to_vec()).map_err(|weak| SecretError::Weak(path.into(), weak))
}

/// 32 random bytes in hexadecimal, readable by the owner only. If another process makes it first, that one stands.
fn make(path: &Path, entropy: Entropy) -> Result<(), SecretError> {
    let unwritable = |error: io::Error| SecretError::Unwritable(path.into(), error.kind());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable)?;
    }
    let text = Zeroizing::new(format!("{}\n", hex(&entropy.bytes::<32>())));
    // Written whole under another name and then linked, so that nobody ever reads half a secret. The name is drawn: in
    // two containers that share the folder, both processes may have the same number.
    let draft = path.with_extension(format!("new-{}", hex(&entropy.bytes::<8>())));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unwritable(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret");
        let files = [path.clone()];
        let first = load(&files, true, Entropy).unwrap();
        let again = load(&files, true, Entropy).unwrap();
        assert_eq!(first[0].fingerprint(), again[0].fingerprint());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_many_make_at_once_is_the_same_for_all() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let files = [folder.path().join("deep/secret")];
            let start = std::sync::Barrier::new(8);
            let made = std::thread::scope(|scope| {
                let make = || {
                    start.wait();
                    load(&files, true, Entropy).unwrap()[0].fingerprint()
                };
                let makers: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
                makers.into_iter().map(|maker| maker.join().unwrap()).collect::<Vec<_>>()
            });
            let kept = load(&files, false, Entropy).unwrap()[0].fingerprint();
            assert!(made.iter().all(|fingerprint| *fingerprint == kept));
            assert_eq!(fs::read_dir(files[0].parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_missing_weak_or_repeated_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(load(&[path("none")], false, Entropy).unwrap_err(), SecretError::Missing(path("none")));
        fs::write(path("short"), "too short\n").unwrap();
        let short = SecretError::Weak(path("short"), WeakSecret::TooShort(9));
        assert_eq!(load(&[path("short")], false, Entropy).unwrap_err(), short);
        fs::write(path("a"), "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::write(path("b"), "0123456789abcdef0123456789abcdef").unwrap();
        let alike = SecretError::Alike(path("a"), path("b"));
        assert_eq!(load(&[path("a"), path("b")], false, Entropy).unwrap_err(), alike);
        assert!(load(&[folder.path().into()], false, Entropy).is_err());
    }
}
