//! How often a server turned the application away since a node went offline: it counts by the
//! account's user name, so fail-start's own logins, by which this node and others are proven to be
//! offline, are counted with the application's.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::outage::plan::Plan;
use crate::server::identity::ServerId;

/// A login of fail-start's own: where, by which user name, when.
type Own = (ServerId, String, Instant);

/// Those that were turned away.
static OWN: Mutex<Vec<Own>> = Mutex::new(Vec::new());

/// A login of fail-start's own, which proves this node's end, has just been turned away.
pub fn count_own(plan: &Plan) {
    let own = (
        plan.server_id.clone(),
        plan.node.account.user.clone(),
        Instant::now(),
    );
    let mut all = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(own);
}

/// What a server had counted when a node was taken from it.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    count: u64,
    at: Instant,
}

impl Before {
    /// It has just said so.
    pub fn now(count: u64) -> Self {
        let at = Instant::now();
        Self { count, at }
    }

    /// How often it turned the application away since, by what it has counted now; nobody knows where
    /// it was restarted, and counts from 0.
    pub fn until(self, now: u64, plan: &Plan) -> Option<u64> {
        let all = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = |(server, user, at): &&Own| {
            *server == plan.server_id && *user == plan.node.account.user && *at > self.at
        };
        let own = all.iter().filter(is_own).map(|_| 1).sum();
        Some(now.checked_sub(self.count)?.saturating_sub(own))
    }
}
