//! Steps 3 and 5 for one node: taking it offline and bringing it back. An [`Offline`] node can only be brought back, and
//! dropping it tries to.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::Method;
use crate::node::{
    ACCESS_DENIED, Admin, EVENT_EXISTS, Error, NO_DATABASE, Problem, Session, in_words,
};
use crate::plan::Plan;
use crate::sql;
use crate::state::State;
use crate::undo::GONE;

/// How long a node that does not answer is tried again before it is given up.
const PERSISTENCE: Duration = Duration::from_secs(30);

/// How long a login that began before the lock is waited for. The server needs microseconds from its look at the lock
/// to showing the session as the account's; a connection that stays silent is no login.
const LOGIN_IN_FLIGHT: Duration = Duration::from_millis(250);

/// Something to tell while a step takes long.
#[derive(Debug)]
pub enum Progress {
    /// So many sessions have been told to end and are still there.
    SessionsLeft(usize),
    /// So many open sessions are left alone.
    SessionsKept(usize),
    /// The node could not be brought back yet, for this reason; it is tried again.
    Retrying(String),
    /// Something that the user should know of the node.
    Warning(String),
}

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
    plan: Plan,
    since: Option<Instant>,
    /// How long it had been offline then, where another fail-start took it.
    already: Duration,
    /// The id of the session that took it offline, where that is known.
    first_session: Option<u64>,
    taken: Taken,
    /// How often the server had turned the account away when the outage began.
    turned_away: Option<u64>,
    turned_away_meanwhile: Option<u64>,
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
    /// How many logins and statements of the account the server turned away meanwhile, where it counts that.
    pub turned_away: Option<u64>,
}

fn because<T>(why: impl Into<String>) -> Result<T, Option<Problem>> {
    Err(Some(Problem::from(why.into())))
}

impl Offline {
    /// A node that is about to be taken offline: nothing has been changed yet.
    pub fn new(admin: Admin, plan: Plan) -> Self {
        Self {
            first_session: Some(admin.id),
            admin: Some(admin),
            since: None,
            already: Duration::ZERO,
            taken: Taken {
                method: plan.method,
                sessions_ended: 0,
                elapsed: Duration::ZERO,
            },
            turned_away: None,
            turned_away_meanwhile: None,
            undo_was_there: false,
            back_before: false,
            changed: false,
            plan,
        }
    }

    /// A node that somebody else left offline, for so long already: another fail-start by this session of the admin.
    pub fn left_behind(admin: Admin, plan: Plan, already: Duration) -> Self {
        let first_session = plan.undo.as_ref().map(|undo| undo.session);
        let mut offline = Self::new(admin, plan);
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
        let stopped = || stop.load(Ordering::SeqCst);
        let Some(admin) = self.admin.as_mut() else {
            return because("its connection is gone");
        };
        if stopped() {
            return Err(None);
        }
        // From here on the node may be changed, also when no answer tells so.
        self.changed = true;
        let plan = &self.plan;
        let began = Instant::now();
        let failed = |error: Error| Some(Problem::from(error));
        // Lock first, then look: who got in before is listed, who comes now is refused.
        let changes = plan.changes();
        let statements = [&changes[..], &plan.state()].concat();
        let (mut sessions, answers) =
            match admin.sessions(&plan.node.account.user, plan.used(), &statements) {
                // Its undo is there, and it alone may use that: the first statement changed nothing.
                Err(Error::Server {
                    code: EVENT_EXISTS, ..
                }) => {
                    self.changed = false;
                    return because(format!(
                        "another fail-start took it at the same time: see `fail-start status {}`",
                        plan.node.number
                    ));
                }
                result => result.map_err(failed)?,
            };
        let mut state = answers[changes.len()..].to_vec();
        // The login takes as many round trips as all the rest, so it goes on beside it.
        let login = plan.login_proves.then(|| {
            let plan = plan.clone();
            thread::spawn(move || plan.login_until_answered())
        });

        let mut ending = Ending::new(plan.timeout);
        loop {
            if !plan.is_out(&state) {
                return because("somebody gave the account its access back meanwhile");
            }
            let left: Vec<u64> = sessions
                .iter()
                .filter(|one| plan.ends(one))
                .map(|one| one.id)
                .collect();
            if plan.keep_sessions {
                if !left.is_empty() {
                    tell(Progress::SessionsKept(left.len()));
                }
                break;
            }
            if ending.is_over(&sessions, &left) {
                break;
            }
            if stopped() {
                return Err(None);
            }
            let fresh = ending.not_told_yet(&left);
            if fresh.is_empty() {
                ending.wait(left.len(), tell).or_else(because)?;
            } else {
                self.taken.sessions_ended += admin.kill(&fresh).map_err(|error| {
                    Some(error.within(format_args!("a session cannot be ended: {error}")))
                })?;
            }
            (sessions, state) = admin
                .sessions(&plan.node.account.user, plan.used(), &plan.state())
                .map_err(failed)?;
        }
        match login.map(thread::JoinHandle::join) {
            None | Some(Ok(Err(Error::Server { .. }))) => {}
            Some(Ok(Ok(()))) => return because("a login as the account still works"),
            Some(Ok(Err(error))) => {
                return because(format!(
                    "a login as the account could not be tried: {error}"
                ));
            }
            Some(Err(_)) => return because("a login as the account could not be tried"),
        }
        self.turned_away = admin.turned_away(&plan.node.account.user);
        self.taken.elapsed = began.elapsed();
        self.since = Some(Instant::now());
        Ok(())
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
        let result = self.restore(tell);
        // Tried for long enough: not again when it is dropped.
        self.changed = false;
        result?;
        Ok(Back {
            was_offline: self.since.is_some(),
            offline_for: self
                .since
                .filter(|_| !self.back_before)
                .map(|since| self.already + since.elapsed()),
            method: self.plan.method,
            sessions_ended: self.taken.sessions_ended,
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
        let mut pause = Duration::from_millis(100);
        while self.changed {
            let kept = self.admin.is_some();
            match self.restore_once(tell) {
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
                Err(error) if began.elapsed() + pause > PERSISTENCE => return Err(error),
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
    fn restore_once(&mut self, tell: &dyn Fn(Progress)) -> Result<(), Error> {
        let plan = &self.plan;
        let mut admin = match self.admin.take() {
            Some(kept) => kept,
            None => Admin::open(&plan.node, plan.timeout)?,
        };
        if let Some(first) = self.first_session.filter(|&first| first != admin.id) {
            admin.end_earlier_self(first)?;
        }
        let undo_is_there = match &plan.undo {
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
                // Not left yet, or dropped by whoever brought the node back; to do it again changes nothing.
                None => {
                    let was_left = self.since.is_some() && !self.undo_was_there;
                    if was_left && !self.back_before && !plan.is_out(&admin.all(&plan.state())?) {
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
        let result = admin.all_except(&plan.back, &GONE);
        let gone = result.as_ref().map_or(&[][..], |gone| gone);
        let left = plan.without(gone);
        let is_back = left.is_back(&admin.all(&left.state())?);
        // What could not be changed back may never have been changed, as on a server that became read-only.
        if !is_back {
            return Err(result.err().unwrap_or_else(|| {
                Error::Connection(
                    "the server took the statements, but the account is not as before".to_owned(),
                )
            }));
        }
        if plan.login_proves && gone.is_empty() {
            match plan.login() {
                // Somebody dropped it meanwhile; the account got in.
                Err(Error::Server {
                    code: NO_DATABASE, ..
                }) => {}
                // Neither locked out nor without grants: somebody changed its password meanwhile.
                Err(Error::Server {
                    code: ACCESS_DENIED,
                    ..
                }) => tell(Progress::Warning(format!(
                    "it is as it was, but the password of '{}' is not what it was",
                    plan.node.account.user
                ))),
                result => result?,
            }
        }
        if undo_is_there {
            admin.all(&[sql::drop_undo(&plan.database)])?;
        }
        if !gone.is_empty() {
            return Err(Error::Refused(format!(
                "somebody dropped what these are about: {}",
                gone.join("; ")
            )));
        }
        Ok(())
    }
}

/// How the end of the sessions stands.
struct Ending {
    began: Instant,
    timeout: Duration,
    /// The sessions that were told to end, and when the last was.
    told: BTreeSet<u64>,
    last_told: Instant,
    /// When the user was last told what is waited for.
    last_said: Instant,
    /// Logins that were under way when the first listing was made.
    in_flight: Option<Vec<u64>>,
    /// Listings in a row without a session.
    clean: u32,
}

impl Ending {
    fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            timeout,
            told: BTreeSet::new(),
            last_told: now,
            last_said: now,
            in_flight: None,
            clean: 0,
        }
    }

    /// Whether no session is left and none can still come: never by one listing alone.
    fn is_over(&mut self, sessions: &[Session], left: &[u64]) -> bool {
        let logging_in = |id: &u64| {
            sessions
                .iter()
                .any(|one| one.user == sql::NOT_LOGGED_IN && one.id == *id)
        };
        let in_flight = self.in_flight.get_or_insert_with(|| {
            sessions
                .iter()
                .filter(|one| one.user == sql::NOT_LOGGED_IN)
                .map(|one| one.id)
                .collect()
        });
        in_flight.retain(logging_in);
        let settled = in_flight.is_empty() || self.began.elapsed() > LOGIN_IN_FLIGHT;
        self.clean = if left.is_empty() && settled {
            self.clean + 1
        } else {
            0
        };
        self.clean >= 2
    }

    fn not_told_yet(&mut self, left: &[u64]) -> Vec<u64> {
        let fresh: Vec<u64> = left
            .iter()
            .copied()
            .filter(|&id| self.told.insert(id))
            .collect();
        if !fresh.is_empty() {
            self.last_told = Instant::now();
        }
        fresh
    }

    /// Waits before the next listing: an eighth of the time that it has taken already, so that many sessions, which
    /// need long, take few more listings than one; or as long as the rest takes if it goes on like that.
    fn wait(&mut self, left: usize, tell: &dyn Fn(Progress)) -> Result<(), String> {
        if self.clean > 0 {
            return Ok(());
        }
        if self.last_told.elapsed() > self.timeout {
            return Err(format!(
                "{left} of its sessions have not ended within {} (--timeout)",
                in_words(self.timeout)
            ));
        }
        if self.last_said.elapsed() > Duration::from_secs(1) {
            tell(Progress::SessionsLeft(left));
            self.last_said = Instant::now();
        }
        let elapsed = self.last_told.elapsed();
        let gone = self.told.len().saturating_sub(left).max(1);
        #[allow(clippy::cast_precision_loss, reason = "it is an estimate")]
        let rest = elapsed.mul_f64(left as f64 / gone as f64);
        let pause = rest.min(elapsed / 8);
        thread::sleep(pause.clamp(Duration::from_millis(1), Duration::from_millis(250)));
        Ok(())
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        if self.changed {
            // A panic may have left the connection in the middle of an answer.
            self.admin = None;
            let _ = self.restore(&|_| {});
        }
    }
}
