//! What must be brought back of the nodes.

use std::collections::BTreeMap;
use std::thread;
use std::time::Instant;

use crate::outage::hold::{Back, Outage};
use crate::outage::progress::Progress;
use crate::outage::restore::Restore;
use crate::server::Error;

/// What must be brought back of a node.
pub(super) enum Changed {
    /// It is offline.
    Outage(Outage),
    /// It could not be taken offline, and may be changed in part.
    InPart(Restore),
}

impl Changed {
    pub(super) fn restore(self, on_progress: &dyn Fn(Progress)) -> Result<Back, Error> {
        match self {
            Self::Outage(outage) => outage.restore(on_progress),
            Self::InPart(restore) => restore.run(on_progress),
        }
    }

    /// The way back of all nodes begins.
    pub(super) fn comes_back(&mut self) {
        if let Self::Outage(outage) = self {
            outage.comes_back();
        }
    }

    pub(super) fn abandon(self) {
        match self {
            Self::Outage(outage) => outage.abandon(),
            Self::InPart(restore) => restore.abandon(),
        }
    }
}

/// The nodes that are offline, and some that may be changed.
pub(super) struct Held {
    /// The nodes that must be brought back, by their number.
    pub(super) changed: BTreeMap<u32, Changed>,
    /// Whether all that were to be taken offline are.
    pub(super) is_complete: bool,
    /// When they are to come back at the latest.
    pub(super) deadline: Option<Instant>,
}

impl Drop for Held {
    /// After a panic: all of them at once, since one that is gone is tried for long.
    fn drop(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        thread::scope(|scope| {
            for node in changed.into_values() {
                // Without a thread for it, it is dropped here.
                let _ = thread::Builder::new().spawn_scoped(scope, move || drop(node));
            }
        });
    }
}
