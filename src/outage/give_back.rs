//! The way back of a node: what was taken away is given back in the round trip in which the undo is
//! seen to be there, proven by the server's own state, and the undo dropped. What others have done
//! to the node meanwhile stays.

use std::time::Duration;

use crate::outage::gone::Gone;
use crate::outage::progress::Progress;
use crate::outage::restore::Restore;
use crate::outage::state::State;
use crate::reason;
use crate::server::grants::Names;
use crate::server::{Admin, Answers, Change, Error, sql};

/// How long another way back of the same node is waited for, if the server's answers are.
const OTHER_WAY_BACK_TAKES: Duration = Duration::from_secs(3);

/// How the undo stands when a node is to be brought back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UndoState {
    /// It was there when the way back was run; another may have been left there since.
    There,
    /// It was, and no other is left there before this one is dropped.
    Ours,
    /// It went with that.
    Dropped,
    /// There is none: not left yet, or dropped by whoever brought the node back.
    Gone,
    /// None was left, or somebody has made something else of it.
    None,
}

/// What a closer look shows.
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

impl Restore {
    /// Gives back what was taken away; nothing to do where nothing was.
    pub(super) fn give_back(
        &mut self,
        admin: &mut Admin,
        on_progress: &dyn Fn(Progress),
    ) -> Result<Option<Given>, Error> {
        // In the round trip in which the undo is seen to be there: by the next one somebody else may
        // have brought the node back, and taken it again.
        if let Some(undo) = &self.plan.undo {
            let database = &self.plan.database;
            // While the session lives that took the node, and keeps others away, no other is left
            // there: `recover` ends it. At a deadline the server drops this one beside it.
            let (undo, only_if) = if admin.has_claimed && self.plan.hold_for.is_none() {
                (UndoState::Ours, sql::show_undo(database))
            } else {
                (UndoState::There, undo.only_if_there(database, &admin.user))
            };
            let given = self.run_way_back(admin, Some(&only_if), undo);
            // Through `super_read_only` the undo goes with it, whatever becomes of the answer.
            self.undo_was_there |= match &given {
                Ok(given) => given.is_some(),
                Err(_) => self.plan.lifts,
            };
            if let Some(given) = given? {
                return Ok(Some(given));
            }
        }
        let undo = match self.look_at_undo(admin, on_progress)? {
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
        // By now another may have been left there.
        let is_gone = undo == UndoState::Gone;
        let only_if = is_gone.then(|| sql::stop_unless(&sql::no_undo(&self.plan.database)));
        let given = self.run_way_back(admin, only_if.as_ref(), undo)?;
        let given = given.ok_or_else(|| Error::NotYet(reason::not_as_before()))?;
        Ok(Some(given))
    }

    /// Why it is not there as it was left, and what that means.
    fn look_at_undo(
        &mut self,
        admin: &mut Admin,
        on_progress: &dyn Fn(Progress),
    ) -> Result<Found, Error> {
        let mut undo = UndoState::None;
        if let Some(mine) = &self.plan.undo {
            let state = State::read_in(admin, &self.plan.node, &self.plan.database)?;
            match state.found() {
                // The server could not look for it by itself.
                Some(found) if found.undo.as_ref() == Some(mine) => {
                    self.undo_was_there = true;
                    return Ok(Found::Undo(UndoState::Ours));
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
            self.back_before = !is_out;
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
    /// nobody can give back any more, and how the undo stands; nothing where it was not to be run.
    fn run_way_back(
        &mut self,
        admin: &mut Admin,
        only_if: Option<&String>,
        undo: UndoState,
    ) -> Result<Option<Given>, Error> {
        let plan = &self.plan;
        let drop_undo = sql::drop_undo(&plan.database);
        let is_there = matches!(undo, UndoState::There | UndoState::Ours);
        let last = Some(&drop_undo).filter(|_| is_there);
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
        if ran.stopped.is_some() || self.is_another(admin, ran.shown) {
            return Ok(None);
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
            self.turned_away
                .count_until_now(|| admin.turned_away(user), plan);
            left.state(admin)?
        };
        if left.is_back(&state) {
            return Ok(Some(Given {
                gone,
                undo: if ran.is_last_done {
                    UndoState::Dropped
                } else {
                    undo
                },
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

    /// Whether this shows another undo, or what somebody has made of this one.
    fn is_another(&self, admin: &Admin, mut shown: Answers) -> bool {
        let (Some(mine), Some(shown)) = (&self.plan.undo, shown.text()) else {
            return false;
        };
        !shown.contains(&mine.body(&self.plan.database)) || !sql::shows_maker(&shown, &admin.user)
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
    pub(super) fn drop_undo(&self, admin: &mut Admin, undo: UndoState) -> Result<(), Error> {
        let database = &self.plan.database;
        let mine = self.plan.undo.as_ref();
        let only_if = mine.filter(|_| undo == UndoState::There);
        let only_if = only_if.map(|mine| mine.only_if_there(database, &admin.user));
        let drop_undo = match undo {
            UndoState::Gone | UndoState::None => return Ok(()),
            UndoState::There | UndoState::Ours => Some(sql::drop_undo(database)),
            UndoState::Dropped => None,
        };
        let change = Change {
            only_if: only_if.as_ref(),
            statements: drop_undo.as_slice(),
            // This is only for who waits for it, and some clusters do not know it.
            questions: &[sql::RELEASE.to_owned()],
        };
        admin.change(change, None, false)?.result()
    }
}
