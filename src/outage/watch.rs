//! A node that is offline is watched until it is brought back: once a second, on the connection
//! that is kept, in a thread of its own, so that nothing waits for a look that hangs.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Method;
use crate::outage::ender::Ender;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::{turned_away, ways_in};
use crate::reason::{self, Reason};
use crate::server::listing::Session;
use crate::server::sql;
use crate::server::{Admin, Error};
use crate::threads;

/// The time from one look to the next; also what keeps a connection from being forgotten on its
/// way.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a look that is under way is waited for when the node is to be brought back. A new
/// connection takes longer.
const HAND_OVER: Duration = Duration::from_millis(500);

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How many sessions of the account got in, and were ended.
    pub got_in: usize,
    /// Since when somebody else has given the account its access back.
    pub opened: Option<Instant>,
    /// Whether the node was then as before the outage.
    pub was_back: bool,
    /// Whether the node cannot be reached.
    away: bool,
}

/// The watch over one node.
pub struct Watch {
    /// Dropped when the way back begins.
    end: Option<Sender<()>>,
    handed_over: Receiver<Admin>,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen so far.
pub fn look_at(seen: &Mutex<Seen>) -> Seen {
    seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Watch {
    /// Watches from now on, with the admin's connection. `turned_away` is how often the server had
    /// turned the account away when the outage began, where it counts that.
    ///
    /// # Errors
    /// Where the system starts no thread.
    pub fn start(
        admin: Admin,
        ender: Ender,
        plan: Plan,
        turned_away: Option<turned_away::Before>,
        on_progress: impl Fn(Progress) + Send + 'static,
    ) -> io::Result<Self> {
        let (end, is_over) = channel();
        let (hand_over, handed_over) = channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut watcher = Watcher {
            admin: Some(admin),
            ender,
            has_counted: false,
            plan,
            turned_away_before: turned_away,
            turned_away: 0,
            is_open: false,
            unwatched: false,
            cannot_end: false,
            is_over,
            seen: Arc::clone(&seen),
            on_progress: Box::new(on_progress),
        };
        threads::start(move || {
            while watcher.is_over.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                watcher.look();
                watcher.tell_what_stops();
            }
            // Nobody waits for it any more where a look took too long.
            if let Some(admin) = watcher.admin {
                let _ = hand_over.send(admin);
            }
        })?;
        Ok(Self {
            end: Some(end),
            handed_over,
            seen,
        })
    }

    /// What it sees, now and later.
    pub fn seen(&self) -> Arc<Mutex<Seen>> {
        Arc::clone(&self.seen)
    }

    /// From now on the account may be given its access back: that is nothing to tell, and nothing
    /// more is looked at.
    pub fn comes_back(&mut self) {
        self.end = None;
    }

    /// Ends the watch: the connection, unless it is of no use just now, and what was seen.
    pub fn end(self) -> (Option<Admin>, Seen) {
        drop(self.end);
        let patience = if look_at(&self.seen).away {
            Duration::ZERO
        } else {
            HAND_OVER
        };
        let admin = self.handed_over.recv_timeout(patience).ok();
        (admin, look_at(&self.seen))
    }
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Watcher {
    admin: Option<Admin>,
    ender: Ender,
    plan: Plan,
    turned_away_before: Option<turned_away::Before>,
    /// What was last told.
    turned_away: u64,
    is_open: bool,
    /// Whether it was told that the server does not answer as it should.
    unwatched: bool,
    /// Whether it was told that a session which gets in cannot be ended.
    cannot_end: bool,
    /// Whether it was told what stops for others, where anything does.
    has_counted: bool,
    is_over: Receiver<()>,
    seen: Arc<Mutex<Seen>>,
    on_progress: Box<dyn Fn(Progress) + Send>,
}

impl Watcher {
    /// Whether the way back has begun.
    fn comes_back(&self) -> bool {
        self.is_over.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn look(&mut self) {
        let kept = self.admin.is_some();
        let mut looked = self.look_once();
        if kept && matches!(looked, Err(Error::Connection(_))) {
            // The kept connection may have been cut: that says nothing about the node.
            looked = self.look_once();
        }
        if self.comes_back() {
            // What the way back meets is told there.
            return;
        }
        let was_away = self.seen().away;
        match looked {
            Ok(()) => {
                if was_away {
                    self.warn(reason::reachable_again());
                }
                self.seen().away = false;
                self.unwatched = false;
            }
            // It answers, on the connection that is kept or at a new login.
            Err(error @ Error::Server { .. }) => {
                if !self.unwatched {
                    self.warn(reason::cannot_be_watched(error));
                }
                self.unwatched = true;
            }
            Err(error) => {
                self.seen().away = true;
                if !was_away {
                    self.warn(reason::away(error));
                }
            }
        }
    }

    /// One look, on the connection that there is or on a new one; keeps it if it is still of use.
    fn look_once(&mut self) -> Result<(), Error> {
        let plan = &self.plan;
        let mut admin = match self.admin.take() {
            Some(admin) => admin,
            None => plan.reconnect(plan.timeout)?,
        };
        let result = self.look_with(&mut admin);
        if !matches!(result, Err(Error::Connection(_) | Error::Tls(_))) {
            self.admin = Some(admin);
        }
        result
    }

    fn count_turned_away(&mut self, before: turned_away::Before, now: u64) {
        let turned_away = before.until(now, &self.plan).unwrap_or_default();
        if turned_away != self.turned_away {
            self.turned_away = turned_away;
            let server = self.plan.server_id.clone();
            (self.on_progress)(Progress::TurnedAway(turned_away, server));
        }
    }

    fn look_with(&mut self, admin: &mut Admin) -> Result<(), Error> {
        let plan = &self.plan;
        let user = &plan.node.account.user;
        let mut asked = plan.state_queries();
        if self.turned_away_before.is_some() {
            asked.push(sql::turned_away(user));
        }
        let mut listing = admin.sessions(user, plan.wanted_later(), &asked)?;
        if self.comes_back() {
            return Ok(());
        }
        let mut state = plan.read_state(&mut listing.answers)?;
        if plan.method == Method::Revoke {
            let new = plan.new_rows(&state);
            if !new.is_empty() {
                // Whether one opens the node, its grants tell.
                self.plan.accounts.extend(new);
                state = self.plan.state(admin)?;
            }
        }
        if let Some(before) = self.turned_away_before {
            let now = listing.answers.turned_away()?.unwrap_or(0);
            self.count_turned_away(before, now);
        }
        let (plan, user) = (&self.plan, &self.plan.node.account.user);
        if !plan.is_out(&state) {
            let is_back = plan.is_back(&state);
            self.seen().was_back |= is_back;
            if !self.is_open {
                self.is_open = true;
                self.seen().opened.get_or_insert_with(Instant::now);
                self.warn(self.plan.brought_back_by());
            }
            return Ok(());
        }
        if self.is_open {
            self.is_open = false;
            self.warn(reason::kept_out_again());
        }
        // Who keeps it out now, after it was open, may have left sessions alone.
        if plan.keep_sessions || self.seen().opened.is_some() {
            return Ok(());
        }
        let got_in = |listed: Vec<Session>| -> BTreeMap<u64, bool> {
            let sessions = listed.iter();
            let got_in = sessions.filter(|one| plan.must_end(one) && !one.is_none_yet);
            got_in.map(|one| (one.id, one.is_idle)).collect()
        };
        let mut ids = got_in(listing.sessions);
        if ids.values().any(|is_idle| *is_idle) {
            // One whose change of user is refused shows as the account's for a moment, idle.
            thread::sleep(Duration::from_millis(100));
            let again = got_in(admin.sessions(user, plan.wanted_later(), &[])?.sessions);
            ids.retain(|id, is_idle| !*is_idle || again.contains_key(id));
        }
        let ids: Vec<u64> = ids.into_keys().collect();
        if !ids.is_empty() && !self.end_who_got_in(admin, &ids)? {
            return Ok(());
        }
        if self.ender.has_lost(&self.plan) {
            let user = &self.plan.node.account.user;
            self.tell_no_end(reason::next_one_would_stay(user));
        }
        Ok(())
    }

    /// Ends these sessions, unless that cannot be done, which is told.
    fn end_who_got_in(&mut self, admin: &mut Admin, ids: &[u64]) -> Result<bool, Error> {
        let ended = match self.ender.end(admin, ids) {
            // Those that are not through are kept out.
            Ok(told) => told.ended,
            Err(error @ Error::Connection(_)) => return Err(error),
            Err(error) => {
                self.tell_no_end(reason::got_in_and_stays(error));
                return Ok(false);
            }
        };
        let first = self.seen().got_in == 0;
        self.seen().got_in += ended;
        if first && ended > 0 {
            self.warn(reason::got_in(&self.plan.node.account.user));
        }
        Ok(true)
    }

    fn tell_no_end(&mut self, why: Reason) {
        if !std::mem::replace(&mut self.cannot_end, true) {
            self.warn(why);
        }
    }

    /// Tells what stops for others with the account's rights, once: neither OFFLINE nor Y shall
    /// wait for that.
    fn tell_what_stops(&mut self) {
        let is_over = self.is_open || self.comes_back();
        let Some(admin) = self
            .admin
            .as_mut()
            .filter(|_| !is_over && !self.has_counted)
        else {
            return;
        };
        self.has_counted = true;
        match ways_in::stops_for_others(admin, &self.plan) {
            Ok(stops) => {
                let told = stops.into_iter().map(Progress::WarningOnce);
                told.for_each(&self.on_progress);
            }
            // The next look connects anew, and tells what is wrong.
            Err(Error::Connection(_) | Error::Tls(_)) => self.admin = None,
            Err(_) => {}
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, reason: Reason) {
        (self.on_progress)(Progress::Warning(reason));
    }
}
