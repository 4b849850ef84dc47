//! The way back of a node: what was taken away is given back in the round trip in which the undo is
//! seen to be there, proven by the server's own state, and the undo dropped. What others have done
//! to the node meanwhile stays.

use std::time::Duration;

use crate::outage::gone::Gone;
use crate::outage::progress::Progress;
use crate::outage::restore::Restore;
use crate::outage::state::State;
use crate::outage::undo::Undo;
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
    /// There is none of ours: not left yet, dropped by whoever brought the node back, or altered.
    Missing,
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
            // The session that took the node keeps others away, and `recover` would have ended it.
            let took_it = undo.session == admin.id && self.by_themselves.is_none();
            let (undo, only_if) = if took_it {
                (UndoState::Ours, sql::show_undo(database))
            } else {
                (UndoState::There, undo.only_if_there(database))
            };
            let given = self.run_way_back(admin, Some(&only_if), undo)?;
            if given.is_some() {
                self.undo_was_there = true;
                return Ok(given);
            }
        }
        let undo = match self.look_at_undo(admin, on_progress)? {
            Found::Undo(undo) => undo,
            Found::Back { is_locked } => {
                let user = &self.plan.node.account.user;
                let counted = || admin.turned_away(user);
                self.turned_away.is_now(counted, &self.plan);
                return Ok(Some(Given {
                    gone: Gone::default(),
                    undo: UndoState::Missing,
                    is_locked,
                }));
            }
            Found::Unchanged => return Ok(None),
        };
        let given = self.run_way_back(admin, None, undo)?;
        let given = given.ok_or_else(|| Error::NotYet(reason::not_as_before()))?;
        Ok(Some(given))
    }

    /// Why it is not there as it was left, and what that means.
    fn look_at_undo(
        &mut self,
        admin: &mut Admin,
        on_progress: &dyn Fn(Progress),
    ) -> Result<Found, Error> {
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
                    return Ok(Found::Undo(UndoState::Missing));
                }
                None if self.since.is_some() => self.plan.is_locked_anew(&state, mine)?,
                None => {}
            }
        } else if self.since.is_some() {
            return Ok(Found::Undo(UndoState::Missing));
        }
        let state = match self.plan.state(admin) {
            // An account row that is gone has no grants to show.
            Err(Error::Server { .. }) => return Ok(Found::Undo(UndoState::Missing)),
            state => state?,
        };
        let is_back = self.plan.is_back(&state);
        // It was to be changed, and something kept it from that.
        if self.since.is_none() {
            return Ok(if is_back {
                Found::Unchanged
            } else {
                Found::Undo(UndoState::Missing)
            });
        }
        // Where it was watched, that was told when it happened.
        if !self.undo_was_there && !self.was_opened() {
            let is_out = self.plan.is_out(&state);
            self.back_before = !is_out;
            on_progress(Progress::Warning(if is_out {
                reason::undo_not_seen(sql::UNDO, &self.plan.database, &admin.user)
            } else {
                self.plan.brought_back_by()
            }));
        }
        if is_back {
            let is_locked = state.is_locked();
            return Ok(Found::Back { is_locked });
        }
        if self.opened.is_some() {
            // What somebody has changed after that is not what the outage did.
            return Err(Error::Refused(reason::kept_out_by_another()));
        }
        Ok(Found::Undo(UndoState::Missing))
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
        let last = Some(&drop_undo).filter(|_| undo != UndoState::Missing);
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
        if ran.is_stopped || self.is_of_another(ran.only_if) {
            return Ok(None);
        }
        let answers = ran.answers.filter(|_| ran.failed.is_empty());
        let gone = Gone::look(admin, plan, ran.failed)?;
        let left = plan.without(&gone.statements());
        let state = if let Some(mut answers) = answers {
            let state = left.read_state(&mut answers)?;
            let counted = || answers.turned_away().unwrap_or_default();
            self.turned_away.is_now(counted, plan);
            state
        } else {
            let user = &plan.node.account.user;
            self.turned_away.is_now(|| admin.turned_away(user), plan);
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

    /// Whether this shows the undo of another fail-start.
    fn is_of_another(&self, mut shown: Answers) -> bool {
        let by = self.plan.undo.as_ref().map(Undo::by).unwrap_or_default();
        shown.text().is_some_and(|shown| !shown.contains(&by))
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
        let only_if = only_if.map(|mine| mine.only_if_there(database));
        let drop_undo = match undo {
            UndoState::Missing => return Ok(()),
            UndoState::There | UndoState::Ours => Some(sql::drop_undo(database)),
            UndoState::Dropped => None,
        };
        // This is only for who waits for it, and some clusters do not know it.
        let release = sql::RELEASE.to_owned();
        let change = Change {
            only_if: only_if.as_ref(),
            statements: &drop_undo.into_iter().chain([release]).collect::<Vec<_>>(),
            ..Change::default()
        };
        let mut failed = admin.change(change, None, false)?.failed.into_iter();
        match failed.find(|(statement, _)| statement != sql::RELEASE) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}
