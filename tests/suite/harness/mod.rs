//! What every test uses: real servers, nodes on them, and the program run as a user runs it.

mod nodes;
mod program;
mod servers;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

pub use self::nodes::*;
pub use self::program::*;
pub use self::servers::*;

/// The longest wait for anything: far more than it takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The servers that everything is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MySql,
    MariaDb,
}

impl Kind {
    /// What `scripts/server` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }
}

/// Waits until `done` gives something, and panics with `what` when that takes too long.
#[track_caller]
pub fn wait_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// A folder that is removed when it goes out of scope. Its path is short, as a socket's must be.
pub struct TempDir(tempfile::TempDir);

impl TempDir {
    pub fn new() -> Self {
        let mut named = tempfile::Builder::new();
        // Some tests look into it as another user.
        let readable = Permissions::from_mode(0o755);
        let named = named.prefix("fail-start-").permissions(readable);
        Self(named.tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A port that nothing listens on just now, and that no other test was given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}
