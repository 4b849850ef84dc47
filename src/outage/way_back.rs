//! The way back of a node: what was taken away is given back in the round trip in which the undo is
//! seen to be there, proven by the server's own state, and the undo dropped. What others have done
//! to the node meanwhile stays.

use std::time::{Duration, Instant};

use crate::outage::gone::Gone;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::state::State;
use crate::outage::turned_away;
use crate::reason;
use crate::server::grants::Names;
use crate::server::{Admin, Change, Error, is_stop, sql};

/// How long another way back of the same node is waited for, if the server's answers are.
const OTHER_WAY_BACK_TAKES: Duration = Duration::from_secs(3);

/// What is to be brought back, and what is known of it.
pub(super) struct WayBack {
    pub plan: Plan,
    /// Since when the node has been proven to be offline.
    pub since: Option<Instant>,
    /// Since when somebody else has been seen to have given the account its access back.
    pub opened: Option<Instant>,
    /// Whether the node has been seen to be as before meanwhile.
    pub was_back: bool,
    /// Whether somebody else was found to have opened it before this program gave anything back.
    pub opened_before: bool,
    /// Whether the undo has been seen to be there, so that it was this program that dropped it.
    pub undo_was_there: bool,
    pub turned_away: TurnedAway,
}

/// How often the server had turned the account away when the outage began, and how often it did
/// meanwhile.
#[derive(Default)]
pub(super) struct TurnedAway {
    pub before: Option<turned_away::Before>,
    pub meanwhile: Option<u64>,
}

impl TurnedAway {
    /// What it is now, where the server counts that.
    fn count_until_now(&mut self, count: impl FnOnce() -> Option<u64>, plan: &Plan) {
        if let Some(before) = self.before.take() {
            self.meanwhile = count().and_then(|now| before.until(now, plan));
        }
    }
}

/// How the undo stands when a node is to be brought back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UndoState {
    /// It is there, as it was left.
    There,
    /// It was dropped with what gave everything back.
    Dropped,
    /// There is none: not left yet, or dropped by whoever brought the node back.
    Gone,
    /// What is there is not to be dropped: nobody left one, or somebody has altered it.
    NotOurs,
}

/// What a look shows.
enum Found {
    /// The node is to be brought back.
    Undo(UndoState),
    /// It was brought back before, and the account may be locked, where that is not what the outage
    /// did.
    Back { is_locked: bool },
    /// Nothing was changed.
    Unchanged,
}

/// What came of giving back.
pub(super) struct Given {
    pub gone: Gone,
    pub undo: UndoState,
    /// Whether the account is locked all the same, where that is not what the outage did.
    pub is_locked: bool,
}

impl WayBack {
    /// Of a node on which nothing has been changed yet.
    pub fn of(plan: Plan) -> Self {
        Self {
            plan,
            since: None,
            opened: None,
            was_back: false,
            opened_before: false,
            undo_was_there: false,
            turned_away: TurnedAway::default(),
        }
    }

    /// Whether somebody else gave the account its access back.
    pub fn was_opened(&self) -> bool {
        self.opened_before || self.opened.is_some()
    }

    /// Gives back what was taken away; nothing where nothing was.
    ///
    /// # Errors
    /// Why that cannot be done, or must not be.
    pub fn give_back(
        &mut self,
        admin: &mut Admin,
        on_progress: &dyn Fn(Progress),
    ) -> Result<Option<Given>, Error> {
        // By the round trip after a look somebody else may have brought the node back, and taken it
        // again.
        if let (Some(undo), Some(_)) = (&self.plan.undo, self.since) {
            let only_if = undo.only_if_there(&self.plan.database, &admin.user);
            let given = self.run(admin, Some(&only_if), UndoState::There);
            // Through `super_read_only` the undo goes with it, whatever becomes of the answer.
            self.undo_was_there |= match &given {
                Ok(given) => given.is_ok(),
                Err(_) => admin.has_lifted,
            };
            if let Ok(given) = given? {
                return Ok(Some(given));
            }
        }
        let undo = match self.look(admin, on_progress)? {
            Found::Undo(undo) => undo,
            Found::Back { is_locked } => {
                let user = &self.plan.node.account.user;
                let counted = || admin.turned_away(user);
                self.turned_away.count_until_now(counted, &self.plan);
                return Ok(Some(Given {
                    gone: Gone::default(),
                    undo: UndoState::Gone,
                    is_locked,
                }));
            }
            Found::Unchanged => return Ok(None),
        };
        if undo == UndoState::Gone {
            let only_if = sql::stop_unless(&sql::no_undo(&self.plan.database));
            match self.run(admin, Some(&only_if), undo)? {
                Ok(given) => return Ok(Some(given)),
                Err(why) if is_stop(&why) => return Err(Error::NotYet(reason::not_as_before())),
                // The server has no events any more.
                Err(_) => {}
            }
        }
        self.run(admin, None, undo)?.map(Some)
    }

    /// Why the undo is not there as it was left, if it is not, and what that means.
    fn look(&mut self, admin: &mut Admin, on_progress: &dyn Fn(Progress)) -> Result<Found, Error> {
        let mut undo = UndoState::NotOurs;
        if let Some(mine) = &self.plan.undo {
            let state = State::read_in(admin, &self.plan.node, &self.plan.database)?;
            match state.found() {
                Some(found) if found.undo.as_ref() == Some(mine) => {
                    self.undo_was_there = true;
                    return Ok(Found::Undo(UndoState::There));
                }
                Some(found) if found.undo.is_some() => {
                    return Err(Error::Refused(reason::taken_again(found)));
                }
                // What is to be run is known here, whatever somebody made of it there.
                Some(found) => {
                    on_progress(Progress::Warning(found.distrust()));
                    return Ok(Found::Undo(undo));
                }
                None if self.since.is_some() => self.plan.is_locked_anew(&state, mine)?,
                None => {}
            }
            undo = UndoState::Gone;
        } else if self.since.is_some() {
            return Ok(Found::Undo(undo));
        }
        let state = match self.plan.state(admin) {
            // An account row that is gone has no grants to show.
            Err(Error::Server { .. }) => return Ok(Found::Undo(undo)),
            state => state?,
        };
        let (is_back, is_out) = (self.plan.is_back(&state), self.plan.is_out(&state));
        if self.since.is_none() {
            // It was to be changed, and something kept it from that.
            let unchanged = is_back.then_some(Found::Unchanged);
            return Ok(unchanged.unwrap_or(Found::Undo(undo)));
        }
        // Where it was watched, that was told when it happened.
        if !self.undo_was_there && !self.was_opened() {
            self.opened_before = !is_out;
            on_progress(Progress::Warning(if is_out {
                reason::undo_not_seen(sql::UNDO, &self.plan.database, &admin.user)
            } else {
                self.plan.brought_back_by()
            }));
        }
        // What somebody has taken away after it was back is not what the outage did.
        if self.was_back && is_out {
            return Err(Error::Refused(reason::kept_out_by_another()));
        }
        if is_back || self.was_back {
            let is_locked = state.is_locked();
            return Ok(Found::Back { is_locked });
        }
        Ok(Found::Undo(undo))
    }

    /// Runs what brings the node back, and proves by the server's own state that it is: what of it
    /// nobody can give back any more, and how the undo stands. The inner error is that of `only_if`,
    /// by which nothing was run.
    ///
    /// # Errors
    /// Why not all was given back.
    fn run(
        &mut self,
        admin: &mut Admin,
        only_if: Option<&String>,
        undo: UndoState,
    ) -> Result<Result<Given, Error>, Error> {
        let plan = &self.plan;
        let drop_undo = sql::drop_undo(&plan.database);
        let last = Some(&drop_undo).filter(|_| undo == UndoState::There);
        let mut questions = plan.state_queries();
        if self.turned_away.before.is_some() {
            questions.push(sql::turned_away(&plan.node.account.user));
        }
        let back = self.to_run(admin)?;
        let change = Change {
            only_if,
            statements: &back,
            questions: &questions,
        };
        let ran = admin.change(change, last, plan.lifts)?;
        if let Some(why) = ran.stopped {
            return Ok(Err(why));
        }
        let answers = ran.answers.filter(|_| ran.failed.is_empty());
        let gone = Gone::look(admin, plan, ran.failed)?;
        let left = plan.without(&gone.statements());
        let state = if let Some(mut answers) = answers {
            let state = left.read_state(&mut answers)?;
            let counted = || answers.turned_away().unwrap_or_default();
            self.turned_away.count_until_now(counted, plan);
            state
        } else {
            let user = &plan.node.account.user;
            let counted = || admin.turned_away(user);
            self.turned_away.count_until_now(counted, plan);
            left.state(admin)?
        };
        if left.is_back(&state) {
            let dropped = ran.is_last_done.then_some(UndoState::Dropped);
            return Ok(Ok(Given {
                gone,
                undo: dropped.unwrap_or(undo),
                // For another node of this server, or by hand.
                is_locked: state.is_locked(),
            }));
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

    /// Drops the undo; not one that another has left there meanwhile.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn drop_undo(&self, admin: &mut Admin, undo: UndoState) -> Result<(), Error> {
        if matches!(undo, UndoState::Gone | UndoState::NotOurs) {
            return Ok(());
        }
        let database = &self.plan.database;
        let mine = self.plan.undo.as_ref();
        let mine = mine.filter(|_| undo == UndoState::There);
        // Nobody leaves another while this session keeps its claim and this one is there, which is
        // dropped by nobody else but at a deadline by the server: it need not be looked for, which is
        // slow.
        let is_alone = admin.has_claimed && self.plan.hold_for.is_none();
        let only_if = mine.filter(|_| !is_alone);
        let only_if = only_if.map(|mine| mine.only_if_there(database, &admin.user));
        let drop_undo = mine.map(|_| sql::drop_undo(database));
        let change = Change {
            only_if: only_if.as_ref(),
            statements: drop_undo.as_slice(),
            // This is only for who waits for it, and some clusters do not know it.
            questions: &[sql::RELEASE.to_owned()],
        };
        admin.change(change, None, false)?.result()
    }
}
