//! Step 5 for one node: the way back, tried again until it holds.

use std::thread;
use std::time::{Duration, Instant};

use crate::outage::gone::Gone;
use crate::outage::hold::Back;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::state::State;
use crate::outage::turned_away;
use crate::reason::{self, Kind};
use crate::server::grants::Names;
use crate::server::login::Login;
use crate::server::{Admin, Error, sql};

/// How long a node that does not answer is tried again before it is given up.
pub const RESTORE_RETRY_FOR: Duration = Duration::from_secs(30);

/// How long another way back of the same node is waited for, if the server's answers are.
const OTHER_WAY_BACK_TAKES: Duration = Duration::from_secs(3);

/// A node on which anything may differ from before. Dropping it tries to bring it back.
pub struct Restore {
    admin: Option<Admin>,
    plan: Plan,
    /// Since when it may be changed.
    began: Instant,
    /// How long it had been offline then, where another fail-start took it.
    already: Duration,
    /// The id of the session that took it offline, where that is known.
    first_session: Option<u64>,
    /// Since when it has been proven to be offline.
    since: Option<Instant>,
    /// Since when it has been proven to be back.
    until: Option<Instant>,
    /// Since when somebody else has been seen to have given the account its access back.
    opened: Option<Instant>,
    turned_away: TurnedAway,
    /// Whether the undo has been seen to be there, so that it was this program that dropped it.
    undo_was_there: bool,
    /// Whether the account had its access back before this program gave it back.
    back_before: bool,
    is_changed: bool,
    /// Of one that another fail-start took: the databases that come back by themselves, of those
    /// that it has locked the account for with this one.
    by_themselves: Option<Vec<String>>,
}

/// How often the server had turned the account away when the outage began, and how often it did
/// meanwhile.
#[derive(Default)]
struct TurnedAway {
    before: Option<turned_away::Before>,
    meanwhile: Option<u64>,
}

/// How the undo stands when a node is to be brought back.
enum UndoState {
    /// It is there, as it was left.
    There,
    /// There is none of ours: not left yet, dropped by whoever brought the node back, or altered.
    Missing,
    /// Nothing was changed.
    Unneeded,
}

/// What came of giving back.
struct Given {
    gone: Gone,
    /// Whether the undo went with it.
    is_dropped: bool,
    /// Whether the account is locked all the same, where that is not what the outage did.
    is_locked: bool,
}

impl Restore {
    /// What is to be brought back of a node on which nothing has been changed yet.
    pub fn of(admin: &Admin, plan: Plan) -> Self {
        Self {
            admin: None,
            plan,
            began: Instant::now(),
            already: Duration::ZERO,
            first_session: Some(admin.id),
            since: None,
            until: None,
            opened: None,
            turned_away: TurnedAway::default(),
            undo_was_there: false,
            back_before: false,
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
        restore.first_session = restore.plan.undo.as_ref().map(|undo| undo.session);
        restore.since = Some(Instant::now());
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
        &self.plan
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
        self.since = Some(Instant::now());
        self.turned_away.before = turned_away;
    }

    /// How often it had done so, where it counts that.
    pub fn turned_away_before(&self) -> Option<turned_away::Before> {
        self.turned_away.before
    }

    /// Since when somebody else has given the account its access back, if that was seen.
    pub fn was_seen_open(&mut self, since: Option<Instant>) {
        self.opened = since;
    }

    /// Whether somebody else gave the account its access back.
    fn was_opened(&self) -> bool {
        self.back_before || self.opened.is_some()
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
        let found_without = self.by_themselves.is_some() && self.plan.undo.is_none();
        let is_known = !found_without && !self.back_before;
        Ok(Back {
            was_offline: self.since.is_some(),
            offline_for: self.since.filter(|_| is_known).map(|since| {
                let until = self.opened.or(self.until).unwrap_or_else(Instant::now);
                self.already + until.duration_since(since)
            }),
            method: self.plan.method,
            sessions_ended: 0,
            got_in: 0,
            was_opened: self.was_opened(),
            turned_away: self.turned_away.meanwhile,
            with: self.plan.with.map(|first| first.number),
            elapsed: began.elapsed(),
        })
    }

    fn retry(&mut self, on_progress: &dyn Fn(Progress)) -> Result<(), Error> {
        let began = Instant::now();
        if self.plan.timeout > RESTORE_RETRY_FOR {
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
            None => self.plan.reconnect(self.plan.timeout.min(left))?,
        };
        self.end_earlier_selves(&mut admin, on_progress)?;
        let undo = self.look_at_undo(&mut admin, on_progress)?;
        if matches!(undo, UndoState::Unneeded) {
            return Ok(());
        }
        let undo_is_there = matches!(undo, UndoState::There);
        self.undo_was_there |= undo_is_there;
        if let Some(before) = self.turned_away.before.take() {
            let now = admin.turned_away(&self.plan.node.account.user);
            self.turned_away.meanwhile = now.and_then(|now| before.until(now, &self.plan));
        }
        let Given {
            gone,
            is_dropped,
            is_locked,
        } = self.give_back(&mut admin, undo_is_there)?;
        self.until = Some(Instant::now());
        if is_locked {
            let user = &self.plan.node.account.user;
            on_progress(Progress::Warning(reason::locked_though_back(user)));
        } else if self.plan.verify_by_login && gone.statements().is_empty() {
            self.try_login(on_progress);
        }
        if let Some(by_themselves) = &self.by_themselves {
            let age = self.already + self.began.elapsed();
            (self.plan).bring_others_back(&mut admin, by_themselves, age, on_progress)?;
        }
        if undo_is_there {
            self.drop_undo(&mut admin, is_dropped)?;
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
        let ids: Vec<u64> = earlier.into_iter().chain(self.plan.guard).collect();
        admin.end_earlier_selves(&ids, age)?;
        if (self.plan.lifts || earlier.is_some())
            && let Some(left) = admin.close_left_open(Some(age))?
        {
            on_progress(Progress::Warning(left.closed()));
        }
        Ok(())
    }

    fn look_at_undo(
        &mut self,
        admin: &mut Admin,
        on_progress: &dyn Fn(Progress),
    ) -> Result<UndoState, Error> {
        if let Some(mine) = &self.plan.undo {
            let state = State::read_in(admin, &self.plan.node, &self.plan.database)?;
            match state.found() {
                Some(found) if found.undo.as_ref() == Some(mine) => return Ok(UndoState::There),
                Some(found) if found.undo.is_some() => {
                    return Err(Error::Refused(reason::taken_again(found)));
                }
                // What is to be run is known here, whatever somebody made of it there.
                Some(found) => {
                    on_progress(Progress::Warning(found.distrust()));
                    return Ok(UndoState::Missing);
                }
                None if self.since.is_some() => self.plan.is_locked_anew(&state, mine)?,
                None => {}
            }
        }
        // It was to be changed, and something kept it from that.
        if self.since.is_none() && self.plan.is_back(&self.plan.state(admin)?) {
            return Ok(UndoState::Unneeded);
        }
        // Not left yet, or dropped by whoever brought the node back; to do it again changes
        // nothing.
        let was_left = self.plan.undo.is_some() && self.since.is_some() && !self.undo_was_there;
        // Where it was watched, that was told when it happened.
        if was_left && !self.was_opened() {
            let is_out = self.plan.is_out(&self.plan.state(admin)?);
            self.back_before = !is_out;
            on_progress(Progress::Warning(if is_out {
                reason::undo_not_seen(sql::UNDO, &self.plan.database, &admin.user)
            } else {
                self.plan.brought_back_by()
            }));
        }
        Ok(UndoState::Missing)
    }

    /// Runs what brings the node back, and proves by the server's own state that it is: what of it
    /// nobody can give back any more, and whether the undo went with it.
    fn give_back(&self, admin: &mut Admin, undo_is_there: bool) -> Result<Given, Error> {
        let plan = &self.plan;
        let drop_undo = sql::drop_undo(&plan.database);
        let last = Some(&drop_undo).filter(|_| undo_is_there);
        let back = self.to_run(admin)?;
        let ran = admin.change(&back, last, &plan.state_queries(), plan.lifts)?;
        let answers = ran.answers.filter(|_| ran.failed.is_empty());
        let gone = Gone::look(admin, plan, ran.failed)?;
        let left = plan.without(&gone.statements());
        let state = match answers {
            Some(mut answers) => left.read_state(&mut answers)?,
            None => left.state(admin)?,
        };
        if left.is_back(&state) {
            return Ok(Given {
                gone,
                is_dropped: ran.is_last_done,
                // For another node of this server, or by hand.
                is_locked: state.is_locked(),
            });
        }
        // What could not be changed back may never have been changed, as on a server that became
        // read-only.
        Err(gone
            .other
            .unwrap_or_else(|| Error::NotYet(reason::not_as_before())))
    }

    /// What is to be run yet. With partial revokes, to give back what is back already, and held
    /// globally, would grant it anew on the database.
    fn to_run(&self, admin: &mut Admin) -> Result<Vec<String>, Error> {
        let plan = &self.plan;
        if plan.names == Names::Patterns {
            return Ok(plan.restore.clone());
        }
        // Of two ways back at once the second is to see what the first has given. Who cannot claim
        // that goes on: the node must come back.
        let user = &plan.node.account.user;
        let wait = OTHER_WAY_BACK_TAKES.min(plan.timeout / 2).as_secs();
        let claim = sql::claim(user, Some(&plan.database), wait);
        if let Err(error @ Error::Connection(_)) = admin.batch_or_error(&[claim]) {
            return Err(error);
        }
        match plan.state(admin) {
            Ok(state) => Ok(plan.still_to_run(&state)),
            // An account row that is gone has no grants to show.
            Err(Error::Server { .. }) => Ok(plan.restore.clone()),
            Err(error) => Err(error),
        }
    }

    /// The server's own state is proven: what a login meets beside that is no part of the outage.
    fn try_login(&self, on_progress: &dyn Fn(Progress)) {
        let plan = &self.plan;
        let user = &plan.node.account.user;
        let but = match Login::attempt(&plan.node, &plan.server_id, plan.timeout) {
            Login::In(_) => return,
            Login::KeptOut(error) => reason::kept_out_though_back(user, error),
            Login::Elsewhere(other) => reason::elsewhere_though_back(&plan.server_id, other),
            Login::NotTried(error) => reason::not_tried_though_back(user, error),
        };
        on_progress(Progress::Warning(but));
    }

    fn drop_undo(&self, admin: &mut Admin, is_dropped: bool) -> Result<(), Error> {
        let drop_undo = Some(sql::drop_undo(&self.plan.database)).filter(|_| !is_dropped);
        // The second is only for who waits for it, and some clusters do not know it.
        let release = sql::RELEASE.to_owned();
        let last: Vec<String> = drop_undo.into_iter().chain([release]).collect();
        let mut failed = admin.change(&last, None, &[], false)?.failed.into_iter();
        match failed.find(|(statement, _)| statement != sql::RELEASE) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
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
