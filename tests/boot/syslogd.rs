//! Log daemon for tests.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::eventually;

pub struct Syslogd {
    socket: UnixDatagram,
    path: PathBuf,
    seen: Vec<String>,
}

impl Syslogd {
    pub fn bind(path: &Path) -> Syslogd {
        let socket = UnixDatagram::bind(path).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Syslogd { socket, path: path.to_owned(), seen: Vec::new() }
    }

    /// Ends it and starts another one in its place.
    pub fn restart(self) -> Syslogd {
        let path = self.path;
        drop(self.socket);
        std::fs::remove_file(&path).unwrap();
        Syslogd::bind(&path)
    }

    /// All that has come so far.
    pub fn now(&mut self) -> &[String] {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.seen.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        &self.seen
    }

    /// Waits for a message that contains `part`; returns all that came so far.
    pub fn until(&mut self, part: &str) -> &[String] {
        self.until_all(&[part])
    }

    /// Waits until each of `parts` is in a message of those to come; returns all that came so far.
    pub fn until_all(&mut self, parts: &[&str]) -> &[String] {
        let mut buffer = [0; 4096];
        let mut missing = parts.to_vec();
        eventually(&format!("messages with {parts:?}"), || {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    missing.retain(|part| !message.contains(part));
                    self.seen.push(message);
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                }
            }
            missing.is_empty()
        });
        &self.seen
    }
}
