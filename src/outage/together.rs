//! Several nodes of one server whose account is locked: one lock takes all of them offline, and to
//! unlock it for one of them brings back all.
//!
//! The first of them leaves the undo of each and then locks the account, in one packet of one
//! session: there is never a lock without every undo, and with the end of that session nothing more
//! can come. Each proves its own end, and each is brought back by itself: to unlock an account
//! again changes nothing.

use std::iter::once;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::config::Method;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::ready::Ready;
use crate::outage::restore::Restore;
use crate::outage::state::State;
use crate::outage::undo::Undo;
use crate::reason::{self, Reason};
use crate::server::identity::ServerId;
use crate::server::{Admin, Change, Error, is_stop, sql};

/// The first of several nodes, as the others know it.
#[derive(Clone, Copy, Debug)]
pub struct First {
    /// Its number.
    pub number: u32,
    /// The id of the session that changes the server for all of them.
    pub session: u64,
}

/// What one run has claimed: its nodes on one server do not keep each other out.
#[derive(Default)]
pub struct Claims(Mutex<Vec<Claim>>);

/// Where, what, and whether it was given.
type Claim = (ServerId, String, Arc<OnceLock<bool>>);

impl Claims {
    /// Claims this on the server, unless another node of this run does or did: then its outcome
    /// holds for both, and is waited for.
    pub fn once(&self, server: &ServerId, what: &str, claim: impl FnOnce() -> bool) -> bool {
        let outcome = {
            let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_it = |(at, one, _): &&Claim| at == server && one == what;
            if let Some((_, _, outcome)) = claims.iter().find(is_it) {
                Arc::clone(outcome)
            } else {
                let outcome = Arc::default();
                claims.push((server.clone(), what.to_owned(), Arc::clone(&outcome)));
                outcome
            }
        };
        *outcome.get_or_init(claim)
    }
}

/// Lets those nodes go together that one lock takes offline. That leads whose session has claimed
/// them: the claim lasts as long as what that one sends is under way.
pub fn join(ready: &mut [Ready]) {
    ready.sort_by_key(|node| !node.admin.has_claimed);
    for at in 1..ready.len() {
        let (earlier, rest) = ready.split_at_mut(at);
        let other = &mut rest[0];
        let leads = |one: &&mut Ready| one.plan.with.is_none() && one.shares_lock(other);
        if let Some(first) = earlier.iter_mut().find(leads) {
            first.lead(other);
        }
    }
}

impl Ready {
    /// Why this node and that one cannot both be named, if they cannot.
    pub fn conflict(&self, other: &Self) -> Option<Reason> {
        if self.plan.server_id != other.plan.server_id {
            return None;
        }
        let name = other.node();
        if self.plan.database == other.plan.database {
            return Some(reason::same_database(name));
        }
        if !self.shares_lock(other) {
            return None;
        }
        if self.admin.user != other.admin.user {
            return Some(reason::same_server(name));
        }
        // Which rows were open before is decided once.
        (self.plan.restore != other.plan.restore)
            .then(|| reason::being_locked(name, &self.node().account.user))
    }

    /// Whether one lock takes both offline.
    fn shares_lock(&self, other: &Self) -> bool {
        self.plan.method == Method::Lock
            && self.plan.server_id == other.plan.server_id
            && self.node().account.user == other.node().account.user
    }

    fn lead(&mut self, other: &mut Self) {
        let session = self.admin.id;
        let number = self.node().number;
        other.plan.with = Some(First { number, session });
        if let Some(undo) = &mut other.plan.undo {
            undo.session = session;
        }
        // They end once.
        other.sessions = 0;
        self.guards.append(&mut other.guards);
        self.plan.also.push(other.plan.clone());
    }

    /// The number of the node that this one goes with.
    pub fn goes_with(&self) -> Option<u32> {
        self.plan.with.map(|first| first.number)
    }

    /// What is to be brought back of one that goes with another, where it came no further than that
    /// one's packet. Unless that is known to have been answered, it may still be under way.
    pub fn left(self, is_answered: bool) -> Restore {
        let session = self.plan.with.filter(|_| !is_answered);
        let mut changed = Restore::of(&self.admin, self.plan);
        changed.may_be_changed(true);
        if let Some(first) = session {
            changed.was_changed_by(first.session);
        }
        changed.keep(self.admin);
        changed
    }
}

impl Plan {
    /// This node and those that go with it.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        once(self).chain(&self.also)
    }

    /// What is sent to change the server: the first node's, every undo before the lock.
    pub fn sent(&self) -> Vec<String> {
        if self.with.is_some() {
            return Vec::new();
        }
        let undos = self.also.iter().filter_map(Self::leave_undo);
        let only_if = self.only_if_as_planned().into_iter();
        let out = self.apply_statements();
        only_if.chain(undos).chain(out).collect()
    }

    /// Ends the packet where somebody has locked a row since that was planned: the way back would
    /// unlock it.
    fn only_if_as_planned(&self) -> Option<String> {
        let as_planned = || sql::stop_unless(&sql::none_is_locked(self.server, &self.accounts));
        (self.method == Method::Lock).then(as_planned)
    }

    /// Whether the packet was ended by that, and nothing was changed.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn is_not_as_planned(&self, admin: &mut Admin, error: &Error) -> Result<bool, Error> {
        if self.only_if_as_planned().is_none() || !is_stop(error) {
            return Ok(false);
        }
        Ok(match &self.undo {
            Some(undo) => {
                let state = State::read_in(admin, &self.node, &self.database)?;
                state.found().and_then(|found| found.undo.as_ref()) != Some(undo)
            }
            None => !self.is_out(&self.state(admin)?),
        })
    }

    /// Drops those of its undos that were left where one of them could not be.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn drop_undos(&self, admin: &mut Admin) -> Result<(), Error> {
        if self.also.is_empty() {
            return Ok(());
        }
        for plan in self.all() {
            if let Some(undo) = &plan.undo {
                drop_undo(admin, &plan.database, undo, self.lifts)?;
            }
        }
        Ok(())
    }

    /// Where its undo is gone, somebody brought the node back: then the account may have been locked
    /// anew for another node on this server, and must stay so.
    ///
    /// # Errors
    /// That it was.
    pub fn is_locked_anew(&self, state: &State, mine: &Undo) -> Result<(), Error> {
        if self.method != Method::Lock || !state.is_locked() {
            return Ok(());
        }
        match state.locked_elsewhere() {
            Some(found) if found.undo.as_ref().is_none_or(|undo| !undo.is_with(mine)) => Err(
                Error::Refused(reason::another_taken(&found.database, found)),
            ),
            _ => Ok(()),
        }
    }

    /// An account is unlocked for all that it was locked for: what says how to bring the others
    /// back, which the same session has left so long ago, is of no use any more.
    ///
    /// # Errors
    /// Where one is still there.
    pub fn bring_others_back(
        &self,
        admin: &mut Admin,
        by_themselves: &[String],
        age: Duration,
        on_progress: &dyn Fn(Progress),
    ) -> Result<(), Error> {
        let (Some(mine), Method::Lock) = (&self.undo, self.method) else {
            return Ok(());
        };
        let state = State::read_in(admin, &self.node, &self.database)?;
        for (database, undo) in state.left_with(mine, &self.database) {
            if by_themselves.contains(database) {
                continue;
            }
            if undo.guard != 0 {
                admin.end_earlier_selves(&[undo.guard], age)?;
            }
            drop_undo(admin, database, undo, false)?;
            on_progress(Progress::Warning(reason::neighbour_comes_too(database)));
        }
        Ok(())
    }
}

/// Drops this undo, not another one that is there by now.
///
/// # Errors
/// As [`Admin::batch_or_error`].
fn drop_undo(
    admin: &mut Admin,
    database: &str,
    undo: &Undo,
    is_read_only: bool,
) -> Result<(), Error> {
    let change = Change {
        only_if: Some(&undo.only_if_there(database, &admin.user)),
        statements: &[sql::drop_undo(database)],
        ..Change::default()
    };
    admin.change(change, None, is_read_only)?.result()
}
