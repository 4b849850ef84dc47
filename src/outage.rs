//! Steps 3 and 5 for one node: taking it offline and bringing it back. An [`Offline`] node can only be brought back, and
//! dropping it tries to.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::Method;
use crate::drain::{Next, SessionDrain, timed_out};
use crate::ender::Ender;
use crate::gone::Gone;
use crate::grants::Names;
use crate::guard::Guard;
use crate::listing::{Listing, Session};
use crate::login::{Login, leads_elsewhere};
use crate::node::{ACCESS_DENIED, Admin, EVENT_EXISTS, Error, Problem, Rows};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::sql;
use crate::state::State;
use crate::watch::Watch;

/// How long a node that does not answer is tried again before it is given up.
pub const RESTORE_RETRY_FOR: Duration = Duration::from_secs(30);

/// A node that could not be taken offline.
pub struct Failed {
    /// Why; nothing where it was told to stop.
    pub error: Option<Problem>,
    /// The node, which may be changed in part.
    pub offline: Offline,
}

/// A node that is offline, or on its way there or back. Dropping it tries to bring it back.
pub struct Offline {
    admin: Option<Admin>,
    /// Keeps the deadline on the server, from before the change on.
    guard: Option<Guard>,
    ender: Ender,
    plan: Plan,
    /// Since when it may be changed.
    began: Instant,
    since: Option<Instant>,
    /// How long it had been offline then, where another fail-start took it.
    already: Duration,
    /// The id of the session that took it offline, where that is known.
    first_session: Option<u64>,
    taken: Taken,
    /// How often the server had turned the account away when the outage began.
    turned_away: Option<u64>,
    turned_away_meanwhile: Option<u64>,
    watch: Option<Watch>,
    /// How many sessions of the account got in meanwhile.
    got_in: usize,
    /// Since when somebody else has given the account its access back.
    opened: Option<Instant>,
    /// Whether the undo has been seen to be there, so that it was this program that dropped it.
    undo_was_there: bool,
    /// Whether the account had its access back before this program gave it back.
    back_before: bool,
    /// Whether anything on the node may differ from before.
    changed: bool,
}

/// How a node was taken offline.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// How it was taken away.
    pub method: Method,
    /// How many sessions of the account were ended.
    pub sessions_ended: usize,
    /// How long it took, from the first statement to the proof.
    pub elapsed: Duration,
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
    /// From OFFLINE to ONLINE; `None` if it was never offline, or somebody else brought it back, nobody knows when.
    pub offline_for: Option<Duration>,
    /// How many sessions of the account were ended.
    pub sessions_ended: usize,
    /// How many of them got in while the node was offline.
    pub got_in: usize,
    /// How many logins and statements of the account the server turned away meanwhile, where it counts that.
    pub turned_away: Option<u64>,
}

fn because<T>(why: impl Into<String>) -> Result<T, Option<Problem>> {
    Err(Some(Problem::from(why.into())))
}

impl Offline {
    /// A node that is about to be taken offline: nothing has been changed yet.
    pub fn new(admin: Admin, plan: Plan, guard: Option<Guard>, ender: Ender) -> Self {
        Self {
            guard,
            ender,
            first_session: Some(admin.id),
            admin: Some(admin),
            began: Instant::now(),
            since: None,
            already: Duration::ZERO,
            taken: Taken {
                method: plan.method,
                sessions_ended: 0,
                elapsed: Duration::ZERO,
            },
            turned_away: None,
            turned_away_meanwhile: None,
            watch: None,
            got_in: 0,
            opened: None,
            undo_was_there: false,
            back_before: false,
            changed: false,
            plan,
        }
    }

    /// A node that somebody else left offline, for so long already: another fail-start by this session of the admin.
    pub fn left_behind(admin: Admin, plan: Plan, already: Duration) -> Self {
        let first_session = plan.undo.as_ref().map(|undo| undo.session);
        let mut offline = Self::new(admin, plan, None, Ender::default());
        offline.first_session = first_session;
        offline.since = Some(Instant::now());
        offline.already = already;
        offline.changed = true;
        offline
    }

    /// Whether anything on the node may differ from before.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Takes the node offline: when this succeeds, no session of the account is left and none can get in.
    ///
    /// # Errors
    /// What failed; nothing where it was told to stop. Unless the node [is unchanged](Self::is_changed) it must be brought
    /// back.
    pub fn take(
        &mut self,
        stop: &AtomicBool,
        tell: &dyn Fn(Progress),
    ) -> Result<(), Option<Problem>> {
        let Some(mut admin) = self.admin.take() else {
            return because("its connection is gone");
        };
        let result = self.take_with(&mut admin, stop, tell);
        self.admin = Some(admin);
        result
    }

    fn take_with(
        &mut self,
        admin: &mut Admin,
        stop: &AtomicBool,
        tell: &dyn Fn(Progress),
    ) -> Result<(), Option<Problem>> {
        if stop.load(Ordering::SeqCst) {
            return Err(None);
        }
        let began = Instant::now();
        if let (Some(guard), Some(held)) = (self.guard.take(), self.plan.hold_for) {
            guard.start(&self.plan, held).map_err(|error| {
                Some(error.within(format_args!(
                    "no session could be left to guard it: {error}"
                )))
            })?;
        }
        let (listing, state) = self.change(admin)?;
        // The login takes as many round trips as all the rest, so it goes on beside it.
        let login = self.plan.login_proves.then(|| {
            let plan = self.plan.clone();
            thread::spawn(move || Login::until_answered(&plan.node, &plan.server_id, plan.timeout))
        });
        self.drain(admin, listing, state, stop, tell)?;
        if let Some(login) = login {
            let outcome = login
                .join()
                .or_else(|_| because("a login as the account could not be tried"))?;
            self.proven_by(outcome, tell)?;
        }
        self.turned_away = admin.turned_away(&self.plan.node.account.user);
        self.taken.elapsed = began.elapsed();
        self.since = Some(Instant::now());
        Ok(())
    }

    /// Changes the node, and lists what is left to end, and the state that the server says it is in.
    fn change(&mut self, admin: &mut Admin) -> Result<(Listing, Vec<Rows>), Option<Problem>> {
        // From here on the node may be changed, also when no answer tells so.
        self.changed = true;
        let plan = &self.plan;
        // Lock first, then look: who got in before is listed, who comes now is refused.
        let changes = plan.changes();
        let statements = [&changes[..], &plan.state()].concat();
        match admin.sessions(&plan.node.account.user, plan.wanted(), &statements) {
            // Its undo is there, and it alone may use that: the first statement changed nothing.
            Err(Error::Server {
                code: EVENT_EXISTS, ..
            }) => {
                self.changed = false;
                // It would find another's undo there, and do nothing; but only then.
                if let Some(guard) = plan.guard {
                    admin.kill_own(guard).map_err(|error| Some(error.into()))?;
                }
                because(format!(
                    "another fail-start took it at the same time: see `fail-start status {}`",
                    plan.node.number
                ))
            }
            Err(error) => Err(Some(error.into())),
            Ok(mut listing) => {
                let state = listing.answers.split_off(changes.len());
                Ok((listing, state))
            }
        }
    }

    /// Ends the sessions until none is left and none can still come.
    fn drain(
        &mut self,
        admin: &mut Admin,
        mut listing: Listing,
        mut state: Vec<Rows>,
        stop: &AtomicBool,
        tell: &dyn Fn(Progress),
    ) -> Result<(), Option<Problem>> {
        let plan = &self.plan;
        let failed = |error: Error| Some(Problem::from(error));
        let mut drain = SessionDrain::new(plan.timeout, plan.ends_logins());
        let mut last_told = Instant::now();
        // Those that use the database in a transaction, where only the list of transactions tells that.
        let mut using = None;
        loop {
            if !plan.is_out(&state) {
                return because("somebody gave the account its access back meanwhile");
            }
            if plan.keep_sessions {
                let kept = listing.sessions.iter().filter(|one| plan.ends(one)).count();
                if kept > 0 {
                    tell(Progress::SessionsKept(kept));
                }
                return Ok(());
            }
            if using.is_none() && plan.sessions_keep_rights {
                // Those whose login is not through are none of others' when they are.
                let early = listing.sessions.iter();
                let early = early.filter(|one| plan.ends_at_first(one) || one.is_logging_in);
                using = Some(early.map(|one| one.id).collect());
            } else if using.is_none() && plan.method == Method::Revoke && !listing.by_locks {
                using = Some(in_transactions(admin, plan, &listing.sessions).map_err(failed)?);
            }
            let using = using.iter().flatten().collect::<BTreeSet<_>>();
            let ends =
                |one: &Session| plan.ends(one) || plan.is_accounts(one) && using.contains(&one.id);
            match drain.next(&listing.sessions, ends) {
                Next::Drained => {
                    if drain.leaves_logins() {
                        tell(Progress::Warning(format!(
                            "a login that began before the outage is still under way: should it be one of '{}', its session \
                             ends as soon as it gets in",
                            plan.node.account.user
                        )));
                    }
                    return Ok(());
                }
                Next::TimedOut(left) => return because(timed_out(left, plan.timeout)),
                _ if stop.load(Ordering::SeqCst) => return Err(None),
                Next::Kill { sessions, logins } => {
                    // fail-start's own of before is none of the application's, though it may need a moment to be gone.
                    let (own, sessions): (Vec<u64>, Vec<u64>) = sessions
                        .into_iter()
                        .partition(|id| plan.own_login == Some(*id));
                    let cannot = |error: Error| {
                        Some(error.within(format_args!("a session cannot be ended: {error}")))
                    };
                    let ender = &mut self.ender;
                    let told = ender.end(admin, &sessions).map_err(cannot)?;
                    self.taken.sessions_ended += told.ended;
                    drain.cannot_end(&told.not_yet);
                    ender.end(admin, &own).map_err(cannot)?;
                    drain.cannot_end(&ender.end_logins(admin, &logins).map_err(cannot)?);
                }
                Next::Wait { left, pause } => {
                    if left > 0 && last_told.elapsed() > Duration::from_secs(1) {
                        tell(Progress::SessionsLeft(left));
                        last_told = Instant::now();
                    }
                    thread::sleep(pause);
                }
            }
            listing = admin
                .sessions(&plan.node.account.user, plan.wanted(), &plan.state())
                .map_err(failed)?;
            state = std::mem::take(&mut listing.answers);
        }
    }

    /// Whether a login of the account says that the node is offline.
    fn proven_by(&self, login: Login, tell: &dyn Fn(Progress)) -> Result<(), Option<Problem>> {
        match login {
            Login::KeptOut(_) => Ok(()),
            Login::In(_) => because("a login as the account still works"),
            Login::Elsewhere(other) => because(leads_elsewhere(&self.plan.server_id, &other)),
            Login::NotTried(error @ Error::Server { .. }) => {
                tell(Progress::Warning(format!(
                    "a login as '{}' could not be tried ({error}), so OFFLINE rests on what the server says",
                    self.plan.node.account.user
                )));
                Ok(())
            }
            Login::NotTried(error) => because(format!(
                "a login as the account could not be tried: {error}"
            )),
        }
    }

    /// Watches the node from now on until it is brought back.
    pub fn watch(&mut self, tell: impl Fn(Progress) + Send + 'static) {
        if let Some(admin) = self.admin.take() {
            let plan = self.plan.clone();
            let ender = std::mem::take(&mut self.ender);
            self.watch = Some(Watch::start(admin, ender, plan, self.turned_away, tell));
        }
    }

    fn end_watch(&mut self) {
        if let Some(watch) = self.watch.take() {
            let (admin, seen) = watch.end();
            self.admin = admin;
            self.got_in = seen.got_in;
            self.opened = seen.opened;
        }
    }

    /// How it was taken offline.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// Brings the node back exactly as it was, trying again for 30 seconds where that does not work at once.
    ///
    /// # Errors
    /// Why it could not be brought back.
    pub fn bring_back(mut self, tell: &dyn Fn(Progress)) -> Result<Back, Error> {
        let began = Instant::now();
        self.end_watch();
        // The account's own session, where there is one, is of no use any more.
        self.ender = Ender::default();
        let result = self.restore(tell);
        // Tried for long enough: not again when it is dropped.
        self.changed = false;
        result?;
        Ok(Back {
            was_offline: self.since.is_some(),
            offline_for: self.since.filter(|_| !self.back_before).map(|since| {
                let until = self.opened.unwrap_or_else(Instant::now);
                self.already + until.duration_since(since)
            }),
            method: self.plan.method,
            sessions_ended: self.taken.sessions_ended + self.got_in,
            got_in: self.got_in,
            turned_away: self.turned_away_meanwhile,
            elapsed: began.elapsed(),
        })
    }

    /// Leaves the node as it is.
    pub fn abandon(mut self) {
        self.changed = false;
    }

    fn restore(&mut self, tell: &dyn Fn(Progress)) -> Result<(), Error> {
        let began = Instant::now();
        if self.plan.timeout > RESTORE_RETRY_FOR {
            // An answer on it might be waited for longer than all of this may take.
            self.admin = None;
        }
        let mut pause = Duration::from_millis(100);
        while self.changed {
            let kept = self.admin.is_some();
            let left = RESTORE_RETRY_FOR.saturating_sub(began.elapsed());
            match self.restore_once(left.max(Duration::from_secs(1)), tell) {
                Ok(()) => self.changed = false,
                // The kept connection may have been cut long ago: that says nothing about the node.
                Err(Error::Connection(_)) if kept => {}
                // It will not get better by itself.
                Err(
                    error @ (Error::Refused(_)
                    | Error::Server {
                        code: ACCESS_DENIED,
                        ..
                    }),
                ) => return Err(error),
                Err(error) if began.elapsed() + pause > RESTORE_RETRY_FOR => return Err(error),
                Err(error) => {
                    tell(Progress::Retrying(error.to_string()));
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
        Ok(())
    }

    /// Every statement of it can be run again, so that it can be tried again whatever became of it.
    /// A new connection waits no longer than what is left.
    fn restore_once(&mut self, left: Duration, tell: &dyn Fn(Progress)) -> Result<(), Error> {
        let plan = &self.plan;
        let mut admin = match self.admin.take() {
            Some(kept) => kept,
            None => plan.reconnect(plan.timeout.min(left))?,
        };
        let age = self.already + self.began.elapsed();
        let earlier = self.first_session.filter(|&first| first != admin.id);
        for id in earlier.into_iter().chain(plan.guard) {
            admin.end_earlier_self(id, age)?;
        }
        let was_offline = self.since.is_some();
        let is_unchanged = |admin: &mut Admin| -> Result<bool, Error> {
            Ok(!was_offline && plan.is_back(&admin.all(&plan.state())?))
        };
        let undo_is_there = match &plan.undo {
            // It was to be changed, and something kept it from that.
            None if is_unchanged(&mut admin)? => return Ok(()),
            None => false,
            Some(mine) => match State::read(&mut admin, &plan.node)?.found() {
                Some(found) if found.undo.as_ref() == Some(mine) => true,
                Some(found) if found.undo.is_some() => {
                    let why = "somebody brought it back and took it offline again";
                    return Err(Error::Refused(format!("{why}, {found}")));
                }
                // What is to be run is known here, whatever somebody made of it there.
                Some(found) => {
                    tell(Progress::Warning(found.distrust()));
                    false
                }
                None if is_unchanged(&mut admin)? => return Ok(()),
                // Not left yet, or dropped by whoever brought the node back; to do it again changes nothing.
                None => {
                    let was_left = self.since.is_some() && !self.undo_was_there;
                    // Where it was watched, that was told when it happened.
                    let told = self.back_before || self.opened.is_some();
                    if was_left && !told && !plan.is_out(&admin.all(&plan.state())?) {
                        self.back_before = true;
                        tell(Progress::Warning(plan.brought_back_by()));
                    }
                    false
                }
            },
        };
        self.undo_was_there |= undo_is_there;
        if let Some(before) = self.turned_away.take() {
            // A server that was restarted meanwhile counts from 0.
            let now = admin.turned_away(&plan.node.account.user);
            self.turned_away_meanwhile = now.and_then(|now| now.checked_sub(before));
        }
        let back = match plan.names {
            Names::Literal => match admin.all(&plan.state()) {
                Ok(answers) => plan.still_to_run(&answers),
                // An account row that is gone has no grants to show.
                Err(Error::Server { .. }) => plan.back.clone(),
                Err(error) => return Err(error),
            },
            Names::Patterns => plan.back.clone(),
        };
        let failed = admin.change(&back)?;
        let gone = Gone::look(&mut admin, plan, failed)?;
        let left = plan.without(&gone.statements());
        let is_back = left.is_back(&admin.all(&left.state())?);
        // What could not be changed back may never have been changed, as on a server that became read-only.
        if !is_back {
            return Err(gone.other.unwrap_or_else(|| {
                Error::Connection(
                    "the server took the statements, but the account is not as before".to_owned(),
                )
            }));
        }
        if plan.login_proves && gone.statements().is_empty() {
            // The server's own state is proven: what a login meets beside that is no part of the outage.
            let user = &plan.node.account.user;
            match Login::attempt(&plan.node, &plan.server_id, plan.timeout) {
                Login::In(_) => {}
                Login::KeptOut(error) => tell(Progress::Warning(format!(
                    "it is as it was, but '{user}' cannot log in any more: has its password changed? ({error})"
                ))),
                Login::Elsewhere(other) => tell(Progress::Warning(format!(
                    "it is as it was, but {}",
                    leads_elsewhere(&plan.server_id, &other)
                ))),
                Login::NotTried(error) => tell(Progress::Warning(format!(
                    "it is as it was, but a login as '{user}' could not be tried: {error}"
                ))),
            }
        }
        if undo_is_there {
            // The second is only for who waits for it, and some clusters do not know it.
            let last = [sql::drop_undo(&plan.database), sql::RELEASE.to_owned()];
            let mut failed = admin.change(&last)?.into_iter();
            if let Some((_, error)) = failed.find(|(statement, _)| *statement == last[0]) {
                return Err(error);
            }
        }
        for grant in &gone.grants {
            tell(Progress::Warning(format!("it is back without {grant}")));
        }
        if !gone.rows.is_empty() {
            return Err(Error::Refused(format!(
                "somebody dropped what these are about: {}",
                gone.rows.join("; ")
            )));
        }
        Ok(())
    }
}

/// The sessions of the account that do not end by themselves, and whose transactions may use the node's database: those with
/// a transaction open, and those with a statement under way that may open one yet.
///
/// # Errors
/// As [`Admin::open_transactions`].
pub fn in_transactions(
    admin: &mut Admin,
    plan: &Plan,
    listed: &[Session],
) -> Result<BTreeSet<u64>, Error> {
    let is_other = |one: &&Session| plan.is_accounts(one) && !plan.ends(one);
    let others: Vec<&Session> = listed.iter().filter(is_other).collect();
    if others.is_empty() {
        return Ok(BTreeSet::new());
    }
    let open = admin.open_transactions()?;
    let using = others
        .iter()
        .filter(|one| !one.is_idle || open.contains(&one.id));
    Ok(using.map(|one| one.id).collect())
}

impl Drop for Offline {
    fn drop(&mut self) {
        if self.changed {
            self.watch = None;
            // A panic may have left the connection in the middle of an answer.
            self.admin = None;
            let _ = self.restore(&|_| {});
        }
    }
}
