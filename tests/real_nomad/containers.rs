//! An image of foreshadow's own binary, for a docker engine that is here. Nothing is pulled.

use super::agents::aloud;
use super::program::binary;
use std::process::{Command, Stdio};

/// Taken away when dropped.
pub struct Image {
    pub name: String,
}

/// The binary and the libraries that it is linked to, or `None` with a word on stderr.
pub fn image() -> Option<Image> {
    let serves = Command::new("docker").arg("info").output();
    let serves = serves.is_ok_and(|said| said.status.success());
    if !serves {
        aloud("skipped: no docker engine answers `docker info`");
        return None;
    }
    let binary = binary().canonicalize().unwrap();
    let linked = Command::new("ldd").arg(&binary).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let libraries = linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    let renamed = format!(
        "--transform=s,^{},foreshadow,",
        binary.display().to_string().trim_start_matches('/')
    );
    let mut tar = Command::new("tar")
        .args([
            "--create",
            "--dereference",
            "--absolute-names",
            "--transform=s,^/,,",
            &renamed,
        ])
        .arg(&binary)
        .args(libraries)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Of another version than `latest`, which Nomad would ask a registry for.
    let name = format!("foreshadow-under-test:{}", std::process::id());
    let import = Command::new("docker")
        .args(["import", "-", &name])
        .stdin(tar.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(tar.wait().unwrap().success(), "tar of {binary:?}");
    assert!(import.status.success(), "docker import: {import:?}");
    Some(Image { name })
}

impl Drop for Image {
    /// Containers outlive the agent that began them.
    fn drop(&mut self) {
        let docker = |args: &[&str]| Command::new("docker").args(args).output();
        let of_it = format!("ancestor={}", self.name);
        let left = docker(&["ps", "--all", "--quiet", "--filter", &of_it]);
        let left = left.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        for container in left.unwrap_or_default().lines() {
            let _ = docker(&["rm", "--force", container]);
        }
        let _ = docker(&["rmi", "--force", &self.name]);
    }
}
