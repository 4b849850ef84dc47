//! A node that is offline, until it is brought back.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::config::Method;
use crate::outage::ender::Ender;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::restore::Restore;
use crate::outage::take_down::Taken;
use crate::outage::watch::{self, Seen, Watch};
use crate::server::{Admin, Error};

/// A node that is offline. Dropping it tries to bring it back.
pub struct Outage {
    watch: Option<Watch>,
    ender: Ender,
    taken: Taken,
    changed: Restore,
    /// What the watch over the node sees that this one went with.
    seen_by_first: Option<Arc<Mutex<Seen>>>,
}

/// A node that is back, and what the outage did.
#[derive(Debug)]
pub struct Back {
    /// How it had been taken away.
    pub method: Method,
    /// How long it took to bring it back.
    pub elapsed: Duration,
    /// Whether the node had been proven offline.
    pub was_offline: bool,
    /// From OFFLINE to ONLINE; `None` if it was never offline, or somebody else brought it back,
    /// nobody knows when.
    pub offline_for: Option<Duration>,
    /// How many sessions of the account were ended.
    pub sessions_ended: usize,
    /// How many of them got in while the node was offline.
    pub got_in: usize,
    /// Whether somebody else was seen to give the account its access back meanwhile.
    pub was_opened: bool,
    /// How many logins and statements of the account the server turned away meanwhile, where it
    /// counts that.
    pub turned_away: Option<u64>,
    /// The node that these are counted with, where it went with another.
    pub with: Option<u32>,
}

impl Outage {
    /// That of a node that was proven to be offline just now.
    pub fn new(changed: Restore, taken: Taken, ender: Ender) -> Self {
        Self {
            watch: None,
            ender,
            taken,
            changed,
            seen_by_first: None,
        }
    }

    /// That which another fail-start has left, for so long already. What that has locked for other
    /// databases comes back too, unless those come by themselves.
    pub fn adopt(admin: Admin, plan: Plan, already: Duration, by_themselves: Vec<String>) -> Self {
        let taken = Taken {
            method: plan.method,
            sessions_ended: 0,
            elapsed: Duration::ZERO,
        };
        let changed = Restore::of_another(admin, plan, already, by_themselves);
        Self::new(changed, taken, Ender::default())
    }

    /// How the node was taken offline.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// Watches the node from now on until it is brought back.
    ///
    /// # Errors
    /// Where the system starts no thread.
    pub fn watch(&mut self, on_progress: impl Fn(Progress) + Send + 'static) -> io::Result<()> {
        if let Some(admin) = self.changed.lend() {
            let plan = self.changed.plan().clone();
            let ender = std::mem::take(&mut self.ender);
            let turned_away = self.changed.turned_away_before();
            let watch = Watch::start(admin, ender, plan, turned_away, on_progress)?;
            self.watch = Some(watch);
        }
        Ok(())
    }

    /// The number of the node that this one went with, which is watched for both.
    pub fn goes_with(&self) -> Option<u32> {
        self.changed.plan().with.map(|first| first.number)
    }

    /// Learns what the watch over that one sees.
    pub fn is_watched_with(&mut self, first: &Self) {
        self.seen_by_first = first.watch.as_ref().map(Watch::seen);
    }

    /// The way back begins, perhaps with that of another node on the same server: what the watch
    /// sees from now on is that.
    pub fn comes_back(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.comes_back();
        }
    }

    /// Brings the node back exactly as it was, trying again for 30 seconds where that does not work
    /// at once.
    ///
    /// # Errors
    /// Why it could not be brought back.
    pub fn restore(self, on_progress: &dyn Fn(Progress)) -> Result<Back, Error> {
        let Self {
            watch,
            ender,
            taken,
            mut changed,
            seen_by_first,
        } = self;
        let seen = match watch.map(Watch::end) {
            Some((admin, seen)) => {
                if let Some(admin) = admin {
                    changed.keep(admin);
                }
                seen
            }
            None => Seen::default(),
        };
        let first = seen_by_first
            .as_deref()
            .map(watch::look_at)
            .unwrap_or_default();
        let opened = seen.opened.or(first.opened);
        changed.was_seen_open(opened, seen.was_back || first.was_back);
        // The account's own session, where there is one, is of no use any more.
        drop(ender);
        let back = changed.run(on_progress)?;
        Ok(Back {
            sessions_ended: taken.sessions_ended + seen.got_in,
            got_in: seen.got_in,
            ..back
        })
    }

    /// Leaves the node as it is.
    pub fn abandon(self) {
        self.changed.abandon();
    }
}
