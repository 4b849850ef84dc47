//! What the sessions of several nodes on one server do one after the other.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::server::identity::ServerId;

/// One kind of such work.
pub struct InTurn(LazyLock<Mutex<HashMap<String, Arc<Mutex<()>>>>>);

impl InTurn {
    pub const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// Does it when no other of this kind is done on that server, or when that has been waited for
    /// for so long.
    pub fn run<T>(&self, server: &ServerId, patience: Duration, work: impl FnOnce() -> T) -> T {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(server.to_string()).or_default())
        };
        let began = Instant::now();
        let mut alone = turn.try_lock();
        while matches!(alone, Err(TryLockError::WouldBlock)) && began.elapsed() < patience {
            thread::sleep(Duration::from_millis(1));
            alone = turn.try_lock();
        }
        work()
    }
}
