//! Step 5 for one node: the way back, tried again until it holds.

use std::thread;
use std::time::{Duration, Instant};

use crate::outage::hold::Back;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::turned_away;
use crate::outage::way_back::{Given, WayBack};
use crate::reason::{self, Kind};
use crate::server::login::Login;
use crate::server::{Admin, Error};
use crate::threads;

/// How long a node that does not answer is tried again before it is given up.
pub const RESTORE_RETRY_FOR: Duration = Duration::from_secs(30);

/// A node on which anything may differ from before. Dropping it tries to bring it back.
pub struct Restore {
    admin: Option<Admin>,
    way: WayBack,
    /// Since when it may be changed.
    began: Instant,
    /// How long it had been offline then, where another fail-start took it.
    already: Duration,
    /// The id of the session that took it offline, where that is known.
    first_session: Option<u64>,
    /// Since when it has been proven to be back.
    until: Option<Instant>,
    is_changed: bool,
    /// Of one that another fail-start took: the databases that come back by themselves, of those
    /// that it has locked the account for with this one.
    by_themselves: Option<Vec<String>>,
}

impl Restore {
    /// What is to be brought back of a node on which nothing has been changed yet.
    pub fn of(admin: &Admin, plan: Plan) -> Self {
        Self {
            admin: None,
            way: WayBack::of(plan),
            began: Instant::now(),
            already: Duration::ZERO,
            first_session: Some(admin.id),
            until: None,
            is_changed: false,
            by_themselves: None,
        }
    }

    /// The same of one that another fail-start has left offline, for so long already.
    pub fn of_another(
        admin: Admin,
        plan: Plan,
        already: Duration,
        by_themselves: Vec<String>,
    ) -> Self {
        let mut restore = Self::of(&admin, plan);
        restore.already = already;
        restore.first_session = restore.way.plan.undo.as_ref().map(|undo| undo.session);
        restore.way.since = Some(Instant::now());
        restore.is_changed = true;
        restore.by_themselves = Some(by_themselves);
        restore.admin = Some(admin);
        restore
    }

    /// Keeps this connection for the way back.
    pub fn keep(&mut self, admin: Admin) {
        self.admin = Some(admin);
    }

    /// The connection that is kept, for as long as the node is offline.
    pub fn lend(&mut self) -> Option<Admin> {
        self.admin.take()
    }

    /// Another session than this connection's may have changed the node.
    pub fn was_changed_by(&mut self, session: u64) {
        self.first_session = Some(session);
    }

    /// What it is brought back by.
    pub fn plan(&self) -> &Plan {
        &self.way.plan
    }

    /// Whether anything on the node may differ from before.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Says whether it may.
    pub fn may_be_changed(&mut self, is_changed: bool) {
        self.is_changed = is_changed;
    }

    /// The node has been proven to be offline; so often had the server turned the account away before
    /// it was taken away.
    pub fn has_been_offline(&mut self, turned_away: Option<turned_away::Before>) {
        self.way.since = Some(Instant::now());
        self.way.turned_away.before = turned_away;
    }

    /// How often it had done so, where it counts that.
    pub fn turned_away_before(&self) -> Option<turned_away::Before> {
        self.way.turned_away.before
    }

    /// Since when somebody else has given the account its access back, if that was seen; and whether
    /// the node was seen to be as before.
    pub fn was_seen_open(&mut self, since: Option<Instant>, was_back: bool) {
        (self.way.opened, self.way.was_back) = (since, was_back);
    }

    /// Leaves the node as it is.
    pub fn abandon(mut self) {
        self.is_changed = false;
    }

    /// Brings the node back exactly as it was, trying again for 30 seconds where that does not work
    /// at once.
    ///
    /// # Errors
    /// Why it could not be brought back.
    pub fn run(mut self, on_progress: &dyn Fn(Progress)) -> Result<Back, Error> {
        let began = Instant::now();
        let result = self.retry(on_progress);
        // Tried for long enough: not again when it is dropped.
        self.is_changed = false;
        result?;
        // Nobody knows since when one is offline that was found without an undo.
        let found_without = self.by_themselves.is_some() && self.way.plan.undo.is_none();
        let is_known = !found_without && !self.way.opened_before;
        Ok(Back {
            was_offline: self.way.since.is_some(),
            offline_for: self.way.since.filter(|_| is_known).map(|since| {
                let until = self.way.opened.or(self.until).unwrap_or_else(Instant::now);
                self.already + until.duration_since(since)
            }),
            method: self.way.plan.method,
            sessions_ended: 0,
            got_in: 0,
            was_opened: self.way.was_opened(),
            turned_away: self.way.turned_away.meanwhile,
            with: self.way.plan.with.map(|first| first.number),
            elapsed: began.elapsed(),
        })
    }

    fn retry(&mut self, on_progress: &dyn Fn(Progress)) -> Result<(), Error> {
        let began = Instant::now();
        if self.way.plan.timeout > RESTORE_RETRY_FOR {
            // An answer on it might be waited for longer than all of this may take.
            self.admin = None;
        }
        let mut pause = Duration::from_millis(100);
        while self.is_changed {
            let kept = self.admin.is_some();
            let left = RESTORE_RETRY_FOR.saturating_sub(began.elapsed());
            match self.restore_once(left.max(Duration::from_secs(1)), on_progress) {
                Ok(()) => self.is_changed = false,
                // The kept connection may have been cut long ago: that says nothing about the node.
                Err(Error::Connection(_) | Error::NotYet(_)) if kept => {}
                // It will not get better by itself.
                Err(error)
                    if matches!(error, Error::Refused(_)) || error.kind() == Kind::LoginRefused =>
                {
                    return Err(error);
                }
                Err(error) if began.elapsed() + pause > RESTORE_RETRY_FOR => return Err(error),
                Err(error) => {
                    on_progress(Progress::Warning(reason::retrying(error)));
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
        Ok(())
    }

    /// Every statement of it can be run again, so that it can be tried again whatever became of it.
    /// A new connection waits no longer than what is left.
    fn restore_once(
        &mut self,
        left: Duration,
        on_progress: &dyn Fn(Progress),
    ) -> Result<(), Error> {
        let mut admin = match self.admin.take() {
            Some(kept) => kept,
            None => self.way.plan.reconnect(self.way.plan.timeout.min(left))?,
        };
        self.end_earlier_selves(&mut admin, on_progress)?;
        let Some(given) = self.way.give_back(&mut admin, on_progress)? else {
            return Ok(());
        };
        let Given {
            gone,
            undo,
            is_locked,
        } = given;
        self.until = Some(Instant::now());
        let user = &self.way.plan.node.account.user;
        if is_locked {
            on_progress(Progress::Warning(reason::locked_though_back(user)));
        }
        // Beside the rest, since it decides nothing.
        let tries = !is_locked && self.way.plan.verify_by_login && gone.statements().is_empty();
        let login = tries.then(|| {
            let plan = self.way.plan.clone();
            threads::start_or_run(move || Login::attempt(&plan.node, &plan.server_id, plan.timeout))
        });
        if let Some(by_themselves) = &self.by_themselves {
            let age = self.already + self.began.elapsed();
            self.way
                .plan
                .bring_others_back(&mut admin, by_themselves, age, on_progress)?;
        }
        self.way.drop_undo(&mut admin, undo)?;
        if let Some(login) = login {
            self.tell_of_login(login.result(), on_progress);
        }
        for lost in &gone.grants {
            let lost = reason::grant_lost(&lost.grant, &lost.why);
            on_progress(Progress::Warning(lost));
        }
        if !gone.rows.is_empty() {
            return Err(Error::Refused(reason::account_dropped(&gone.rows)));
        }
        Ok(())
    }

    /// What was sent on other connections must not take effect any more; and none of them may have
    /// left the server writable.
    fn end_earlier_selves(
        &self,
        admin: &mut Admin,
        on_progress: &dyn Fn(Progress),
    ) -> Result<(), Error> {
        let age = self.already + self.began.elapsed();
        let earlier = self.first_session.filter(|&first| first != admin.id);
        let ids: Vec<u64> = earlier.into_iter().chain(self.way.plan.guard).collect();
        admin.end_earlier_selves(&ids, age)?;
        if (self.way.plan.lifts || earlier.is_some())
            && let Some(left) = admin.close_left_open(Some(age))?
        {
            on_progress(Progress::Warning(left.closed()));
        }
        Ok(())
    }

    /// The server's own state is proven: what a login meets beside that is no part of the outage.
    fn tell_of_login(&self, login: Login, on_progress: &dyn Fn(Progress)) {
        let user = &self.way.plan.node.account.user;
        let but = match login {
            Login::In(_) => return,
            Login::KeptOut(error) => reason::kept_out_though_back(user, error),
            Login::Elsewhere(other) => {
                reason::elsewhere_though_back(&self.way.plan.server_id, other)
            }
            Login::NotTried(error) => reason::not_tried_though_back(user, error),
        };
        on_progress(Progress::Warning(but));
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if self.is_changed {
            // A panic may have left the connection in the middle of an answer.
            self.admin = None;
            let _ = self.retry(&|_| {});
        }
    }
}
