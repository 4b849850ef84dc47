//! Step 3 for one node: locked or revoked, its sessions ended, and proven offline.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Method;
use crate::outage::drain::{Next, SessionDrain};
use crate::outage::ender::Ender;
use crate::outage::guard::Guard;
use crate::outage::hold::Outage;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::restore::Restore;
use crate::outage::turned_away;
use crate::reason::{self, Reason};
use crate::server::listing::{Listing, Session};
use crate::server::login::Login;
use crate::server::{Admin, EVENT_EXISTS, Error, Failure, in_words, sql};
use crate::threads::{self, Running};

/// How long a look is good for: after that the node is looked at once more before it is called offline.
const LOOKS_ARE_GOOD_FOR: Duration = Duration::from_secs(1);

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

/// A node that was not taken offline.
pub struct NotTaken {
    /// Why; nothing where it was told to stop.
    pub why: Option<Failure>,
    /// What must be brought back, where anything may have been changed.
    pub changed: Option<Restore>,
}

/// Why a step did not come to its end.
enum Halt {
    /// It was told to stop.
    Stopped,
    /// It cannot be done.
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(why: Failure) -> Self {
        Self::Failed(why)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

fn fail<T>(reason: Reason) -> Result<T, Halt> {
    Err(Halt::Failed(reason.into()))
}

/// What takes a node down.
pub struct TakeDown<'a> {
    plan: Plan,
    ender: Ender,
    sessions_ended: usize,
    /// How often the server had turned the account away when it was locked or lost its rights, where
    /// it counts that.
    turned_away: Option<turned_away::Before>,
    stop: &'a AtomicBool,
    on_progress: &'a dyn Fn(Progress),
}

impl<'a> TakeDown<'a> {
    /// By this plan, with whoever may end sessions, until it is told to stop.
    pub fn new(
        plan: Plan,
        ender: Ender,
        stop: &'a AtomicBool,
        on_progress: &'a dyn Fn(Progress),
    ) -> Self {
        Self {
            plan,
            ender,
            sessions_ended: 0,
            turned_away: None,
            stop,
            on_progress,
        }
    }

    /// Takes the node offline: when this succeeds, no session of the account is left and none can
    /// get in.
    ///
    /// # Errors
    /// What failed, and what must be brought back.
    pub fn run(mut self, mut admin: Admin, guards: Vec<Guard>) -> Result<Outage, Box<NotTaken>> {
        let mut changed = Restore::of(&admin, self.plan.clone());
        // The first of several has changed the server for all of them.
        let is_first = self.plan.with.is_none();
        changed.may_be_changed(!is_first);
        let began = Instant::now();
        match self.steps(&mut admin, guards, &mut changed) {
            Ok(()) => {
                let taken = Taken {
                    method: self.plan.method,
                    sessions_ended: self.sessions_ended,
                    elapsed: began.elapsed(),
                };
                changed.has_been_offline(self.turned_away);
                changed.keep(admin);
                Ok(Outage::new(changed, taken, self.ender))
            }
            Err(halt) => {
                changed.keep(admin);
                let why = match halt {
                    Halt::Stopped => None,
                    Halt::Failed(why) => Some(why),
                };
                let changed = Some(changed).filter(Restore::is_changed);
                Err(Box::new(NotTaken { why, changed }))
            }
        }
    }

    fn steps(
        &mut self,
        admin: &mut Admin,
        guards: Vec<Guard>,
        changed: &mut Restore,
    ) -> Result<(), Halt> {
        if self.is_stopped() {
            return Err(Halt::Stopped);
        }
        for guard in guards {
            let mut plans = self.plan.all();
            let plan = plans.find(|plan| plan.guard == Some(guard.id()));
            let (Some(plan), Some(held)) = (plan, self.plan.hold_for) else {
                continue;
            };
            guard
                .start(plan, held)
                .map_err(|error| error.context(reason::guard_not_left(&error)))?;
            // It is not to wait on where another cannot be left.
            changed.may_be_changed(true);
        }
        let listing = self.change(admin, changed)?;
        if self.plan.with.is_none() {
            self.turned_away = listing.turned_away.map(turned_away::Before::now);
        }
        // The login takes as many round trips as all the rest, so it goes on beside it.
        let login = self.plan.verify_by_login.then(|| {
            let plan = self.plan.clone();
            threads::start_or_run(move || {
                Login::until_answered(&plan.node, &plan.server_id, plan.timeout)
            })
        });
        let looked = self.drain(admin, listing, true)?;
        match login.map(Running::join) {
            None => {}
            Some(Ok(outcome)) => self.is_proven_by(outcome)?,
            Some(Err(_)) => return fail(reason::login_broke_down()),
        }
        // This program may have been stopped meanwhile, past its deadline.
        if looked.elapsed() > LOOKS_ARE_GOOD_FOR {
            let listing = list_and_look(admin, &self.plan)?;
            self.drain(admin, listing, false)?;
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Changes the node, and lists what is left to end.
    fn change(&self, admin: &mut Admin, changed: &mut Restore) -> Result<Listing, Halt> {
        // From here on the node may be changed, also when no answer tells so.
        changed.may_be_changed(true);
        let plan = &self.plan;
        // Lock first, then look: who got in before is listed, who comes now is refused.
        let out = plan.sent();
        let (lifted, out) = if plan.lifts && !out.is_empty() {
            (admin.all_lifted(&out), Vec::new())
        } else {
            (Ok(()), out)
        };
        let user = &plan.node.account.user;
        match lifted.and_then(|()| admin.sessions_at_first(user, plan.wanted(), &out)) {
            // Its undo is there, and it alone may use that: nothing else was changed.
            Err(Error::Server {
                code: EVENT_EXISTS, ..
            }) => {
                plan.drop_undos(admin)?;
                self.is_unchanged(admin, changed)?;
                fail(reason::taken_at_the_same_time(plan.node.number))
            }
            Err(error) if plan.is_not_as_planned(admin, &error)? => {
                self.is_unchanged(admin, changed)?;
                fail(reason::locked_just_now(user))
            }
            listing => Ok(listing?),
        }
    }

    /// Nothing was changed, so the guards are ended: each would find no undo there, or another's, and do
    /// nothing; but only at the deadline.
    fn is_unchanged(&self, admin: &mut Admin, changed: &mut Restore) -> Result<(), Error> {
        changed.may_be_changed(false);
        let mut guards = self.plan.all().filter_map(|plan| plan.guard);
        guards.try_for_each(|guard| admin.kill_own(guard))
    }

    /// Ends the sessions until none is left and none can still come; when that was looked at. It is
    /// never done by the first listing, so that the server's state is looked at with the later ones
    /// only.
    fn drain(
        &mut self,
        admin: &mut Admin,
        mut listing: Listing,
        is_first: bool,
    ) -> Result<Instant, Halt> {
        let plan = self.plan.clone();
        let mut looked = Instant::now();
        if plan.keep_sessions {
            if is_first {
                self.tell_of_kept(admin)?;
            }
            return Ok(looked);
        }
        // Later there are others' logins and sessions that have begun since.
        let ends_logins = is_first && plan.must_end_logins();
        let mut drain = SessionDrain::new(plan.timeout, ends_logins);
        let mut last_told = Instant::now();
        let mut using = (!is_first).then(BTreeSet::new);
        let mut has_looked = !is_first;
        loop {
            if using.is_none() {
                using = others_to_end(admin, &plan, &listing)?;
            }
            let is_using = |one: &Session| using.as_ref().is_some_and(|ids| ids.contains(&one.id));
            let must_end =
                |one: &Session| plan.must_end(one) || plan.is_accounts(one) && is_using(one);
            let next = drain.next(&listing.sessions, listing.lacks_some, must_end);
            if next == Next::Drained && !std::mem::replace(&mut has_looked, true) {
                let more = others_by_handler(admin, &plan, &listing)?;
                if !more.is_empty() {
                    using = Some(more);
                    looked = Instant::now();
                    listing = list_and_look(admin, &plan)?;
                    continue;
                }
            }
            match next {
                Next::Drained if drain.leaves_logins() => {
                    self.warn(reason::logins_under_way(&plan.node.account.user));
                    return Ok(looked);
                }
                Next::Drained => return Ok(looked),
                Next::TimedOut(left) => {
                    return fail(reason::sessions_left(left, in_words(plan.timeout)));
                }
                Next::Unlisted => return fail(reason::sessions_unlisted(in_words(plan.timeout))),
                _ if self.is_stopped() => return Err(Halt::Stopped),
                Next::Kill { sessions, logins } => {
                    let killed = self.kill(admin, &listing, &sessions, &logins, &mut drain);
                    killed.map_err(|error| error.told_as(reason::session_not_ended(&error)))?;
                }
                Next::Wait { left, pause } => {
                    self.tell_of_left(left, &mut last_told);
                    thread::sleep(pause);
                }
            }
            looked = Instant::now();
            listing = list_and_look(admin, &plan)?;
        }
    }

    fn kill(
        &mut self,
        admin: &mut Admin,
        listing: &Listing,
        sessions: &[u64],
        logins: &[u64],
        drain: &mut SessionDrain,
    ) -> Result<(), Error> {
        // fail-start's own of before is none of the application's, though it may need a moment to
        // be gone; nor is one that may be refused yet.
        let is_own = |id: &u64| self.plan.all().any(|plan| plan.own_login == Some(*id));
        let listed = listing.sessions.iter();
        let none_yet = listed.filter(|one| one.is_none_yet).map(|one| one.id);
        let none_yet: BTreeSet<u64> = none_yet.collect();
        let is_none = |id: &u64| is_own(id) || none_yet.contains(id);
        let (none, sessions): (Vec<u64>, Vec<u64>) = sessions.iter().partition(|&id| is_none(id));
        let told = self.ender.end(admin, &sessions)?;
        self.sessions_ended += told.ended;
        drain.cannot_end(&told.not_yet);
        let told = self.ender.end(admin, &none)?;
        drain.cannot_end(&told.not_yet);
        drain.cannot_end(&self.ender.end_logins(admin, logins)?);
        Ok(())
    }

    fn tell_of_left(&self, left: usize, last_told: &mut Instant) {
        if left > 0 && last_told.elapsed() > Duration::from_secs(1) {
            (self.on_progress)(Progress::SessionsLeft(left));
            *last_told = Instant::now();
        }
    }

    fn tell_of_kept(&self, admin: &mut Admin) -> Result<(), Halt> {
        let plan = &self.plan;
        let listing = list_and_look(admin, plan)?;
        if plan.with.is_some() {
            return Ok(());
        }
        // As far as that is known: it is only told.
        let open: BTreeSet<u64> = match plan.method {
            Method::Revoke if !listing.by_locks => {
                admin.rows(sql::TRANSACTIONS)?.into_iter().collect()
            }
            Method::Lock | Method::Revoke => BTreeSet::new(),
        };
        let has_open = |one: &Session| plan.is_accounts(one) && open.contains(&one.id);
        let would_end = |one: &&Session| plan.must_end_at_first(one) || has_open(one);
        match listing.sessions.iter().filter(would_end).count() {
            0 => {}
            kept => self.warn(reason::sessions_kept(kept)),
        }
        Ok(())
    }

    fn warn(&self, reason: Reason) {
        (self.on_progress)(Progress::Warning(reason));
    }

    /// Whether a login of the account says that the node is offline.
    fn is_proven_by(&self, login: Login) -> Result<(), Halt> {
        match login {
            Login::KeptOut(error) => {
                if matches!(error, Error::Server { code, .. } if sql::TURNS_AWAY.contains(&code)) {
                    turned_away::count_own(&self.plan);
                }
                Ok(())
            }
            Login::In(_) => fail(reason::still_gets_in()),
            Login::Elsewhere(other) => fail(reason::leads_elsewhere(&self.plan.server_id, other)),
            Login::NotTried(error @ Error::Server { .. }) => {
                let user = &self.plan.node.account.user;
                self.warn(reason::not_proven_by_login(user, error));
                Ok(())
            }
            Login::NotTried(error) => fail(reason::login_not_tried(error)),
        }
    }
}

/// Lists the sessions, and fails where the state that the server says it is in does not keep the
/// account out.
fn list_and_look(admin: &mut Admin, plan: &Plan) -> Result<Listing, Halt> {
    let user = &plan.node.account.user;
    let mut listing = admin.sessions(user, plan.wanted(), &plan.state_queries())?;
    if plan.is_out(&plan.read_state(&mut listing.answers)?) {
        Ok(listing)
    } else {
        fail(reason::opened_meanwhile())
    }
}

/// The sessions that end beside those that must by what the list says of each: where they keep what
/// was revoked, or only the list of transactions tells who uses the database.
fn others_to_end(
    admin: &mut Admin,
    plan: &Plan,
    listing: &Listing,
) -> Result<Option<BTreeSet<u64>>, Error> {
    if plan.sessions_keep_rights {
        // Those whose login is not through are none of others' when they are.
        let early = listing.sessions.iter();
        let early = early.filter(|one| plan.must_end_at_first(one) || one.is_logging_in);
        return Ok(Some(early.map(|one| one.id).collect()));
    }
    if plan.method == Method::Revoke && !listing.by_locks {
        return in_transactions(admin, plan, &listing.sessions).map(Some);
    }
    Ok(None)
}

/// The sessions of the account that may read a table of the database on, by `HANDLER`, which looks at
/// no rights: all that are left, where one is kept open and nothing tells by whom.
fn others_by_handler(
    admin: &mut Admin,
    plan: &Plan,
    listing: &Listing,
) -> Result<BTreeSet<u64>, Error> {
    let others: BTreeSet<u64> = others(plan, &listing.sessions).map(|one| one.id).collect();
    let may_read = plan.method == Method::Revoke && !listing.by_locks && !others.is_empty();
    if may_read && admin.keeps_tables_open(&plan.database)? {
        return Ok(others);
    }
    Ok(BTreeSet::new())
}

/// The sessions of the account that do not end by themselves, and whose transactions may use the
/// node's database: those with a transaction open, and those with a statement under way that may
/// open one yet.
///
/// # Errors
/// As [`Admin::open_transactions`].
pub fn in_transactions(
    admin: &mut Admin,
    plan: &Plan,
    listed: &[Session],
) -> Result<BTreeSet<u64>, Error> {
    let others: Vec<&Session> = others(plan, listed).collect();
    if others.is_empty() {
        return Ok(BTreeSet::new());
    }
    let open = admin.open_transactions()?;
    let using = others
        .iter()
        .filter(|one| !one.is_idle || open.contains(&one.id));
    Ok(using.map(|one| one.id).collect())
}

/// The sessions of the account that do not end by what the list says of them.
fn others<'a>(plan: &Plan, listed: &'a [Session]) -> impl Iterator<Item = &'a Session> {
    let is_other = |one: &&Session| plan.is_accounts(one) && !plan.must_end(one);
    listed.iter().filter(is_other)
}
