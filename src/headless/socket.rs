//! A unix socket that its owner alone may open, taken from nobody who still listens on it.

use nix::unistd::geteuid;
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// One who does not take a connection for so long still has the socket.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("cannot serve the API on the socket {path}: {why}")]
pub struct SocketError {
    path: PathBuf,
    why: String,
}

/// The file of a socket that is ours; it goes when this does.
#[derive(Debug)]
pub struct Taken {
    path: PathBuf,
    /// Device and inode: another socket may have come in its place.
    file: (u64, u64),
}

impl Drop for Taken {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| identity(&m) == self.file) {
            // Left behind it would be taken by the next one all the same.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// Listens there, with mode 0600 from the first moment; its folder is made, for the owner alone, if it is missing.
///
/// # Errors
/// When something else is there: another process that listens, a file that is no socket, a socket of another user.
pub async fn take(path: &Path) -> Result<(UnixListener, Taken), SocketError> {
    let wrong = |why: String| SocketError {
        path: path.into(),
        why,
    };
    free(path).await.map_err(wrong)?;
    bind(path).map_err(|e| {
        let how =
            "its folder must be there or be made by this user; `api = \"unix:///…\"` names another";
        wrong(format!("{e}; {how}"))
    })
}

/// Why the place is not to be had, if so.
async fn free(path: &Path) -> Result<(), String> {
    let there = match std::fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.to_string()),
    };
    let other = "name another in `api = \"unix:///…\"`";
    if !there.file_type().is_socket() {
        return Err(format!("what is there is no socket; remove it, or {other}"));
    }
    if there.uid() != geteuid().as_raw() {
        let owner = there.uid();
        return Err(format!(
            "it belongs to user {owner}, not to this one; remove it, or {other}"
        ));
    }
    match tokio::time::timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Err(e)) if e.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Ok(Err(e)) if e.kind() == ErrorKind::NotFound => Ok(()),
        Ok(Ok(_)) | Err(_) => Err(format!(
            "another process listens on it; end that foreshadow, or {other}"
        )),
        Ok(Err(e)) => Err(format!(
            "whether somebody listens on it cannot be told ({e}); remove it, or {other}"
        )),
    }
}

/// Under a name of its own first, so that nobody can open it before its mode is set; then in the place of what is stale.
fn bind(path: &Path) -> io::Result<(UnixListener, Taken)> {
    if let Some(folder) = path.parent().filter(|f| !f.exists()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let listener = UnixListener::bind(&beside)?;
    let ready = std::fs::set_permissions(&beside, Permissions::from_mode(0o600))
        .and_then(|()| std::fs::symlink_metadata(&beside))
        .and_then(|file| std::fs::rename(&beside, path).map(|()| file));
    match ready {
        Ok(file) => {
            let (path, file) = (path.to_path_buf(), identity(&file));
            Ok((listener, Taken { path, file }))
        }
        Err(e) => {
            let _ = std::fs::remove_file(&beside);
            Err(e)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path)
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    }

    #[tokio::test]
    async fn the_owner_alone_may_open_it_and_it_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/api.sock");
        let (_listener, taken) = take(&path).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
        drop(taken);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_one_is_replaced_and_one_that_is_listened_on_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a killed process leaves its socket");
        let (_listener, first) = take(&path).await.unwrap();
        let error = take(&path).await.unwrap_err().to_string();
        assert!(error.contains("another process listens on it"), "{error}");
        drop(first);
        take(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        std::fs::write(&path, "kept").unwrap();
        let error = take(&path).await.unwrap_err().to_string();
        assert!(error.contains("is no socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    }

    #[tokio::test]
    async fn the_socket_of_another_that_came_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let (_listener, first) = take(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let (_other, _second) = take(&path).await.unwrap();
        drop(first);
        assert!(path.exists());
    }
}
