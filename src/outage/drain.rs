//! How the end of the sessions stands: decides, listing by listing, which are told to end, and when
//! none is left and none can still come. Knows no server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::server::listing::Session;

/// How long a login that began before the outage may take before it is ended. The server looks at
/// the account when the client sends its name, and lets it in by what it saw then, however long the
/// client takes to answer. And how long a session may take of which nothing tells whose it is, or
/// whose statement may use the database yet, to show that it is none of the outage's.
const LOGIN_GRACE: Duration = Duration::from_millis(250);

/// How long what cannot be ended just now is left alone.
const AGAIN: Duration = Duration::from_millis(25);

/// What to do after a listing.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// None is left, and none can still come.
    Drained,
    /// These are to be told to end: sessions, and logins that have taken too long.
    Kill {
        /// Sessions of the account.
        sessions: Vec<u64>,
        /// Logins, perhaps of others.
        logins: Vec<u64>,
    },
    /// So many are still there: list again after this time.
    Wait {
        /// How many were told to end and are still there.
        left: usize,
        /// How long to wait.
        pause: Duration,
    },
    /// So many have not ended within the timeout.
    TimedOut(usize),
    /// No list has shown all within the timeout.
    Unlisted,
}

/// The sessions on their way out.
pub struct SessionDrain {
    began: Instant,
    timeout: Duration,
    /// Whether logins that began before the outage can still get in, so that they must end.
    ends_logins: bool,
    /// What was told to end, and when the last was.
    killed: BTreeSet<u64>,
    last_killed: Instant,
    /// Logins that were under way when the first listing was made.
    logging_in: Option<BTreeSet<u64>>,
    /// Sessions of which nothing has told yet whose they are, of those that it showed, and those that
    /// may use the database yet, with the statement by which.
    in_doubt: Option<BTreeMap<u64, u64>>,
    /// Those that cannot be ended as long as they are, and when that was found.
    unendable: BTreeMap<u64, Instant>,
    /// What the last listing showed.
    listed: BTreeSet<u64>,
    /// Listings in a row without a session.
    empty: u32,
    /// And those in a row without one that may not be none.
    clean: u32,
}

impl SessionDrain {
    /// Nothing has been listed yet.
    pub fn new(timeout: Duration, ends_logins: bool) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            timeout,
            ends_logins,
            killed: BTreeSet::new(),
            last_killed: now,
            logging_in: None,
            in_doubt: None,
            unendable: BTreeMap::new(),
            listed: BTreeSet::new(),
            empty: 0,
            clean: 0,
        }
    }

    /// Decides by this listing, of which those that `ends` names must go. One that lacks some shows
    /// that sessions are there, and never that none is.
    pub fn next(
        &mut self,
        listed: &[Session],
        lacks_some: bool,
        ends: impl Fn(&Session) -> bool,
    ) -> Next {
        let (sessions, logins, settled, passing) = self.look(listed, ends);
        let left = sessions.len() + logins.len();
        self.clean = if left == 0 && settled && !lacks_some {
            self.clean + 1
        } else {
            0
        };
        self.empty = if self.clean > 0 && !passing {
            self.empty + 1
        } else {
            0
        };
        // Never by one listing alone: a login may have been between two lists.
        if self.empty >= 2 || self.clean >= 4 {
            return Next::Drained;
        }
        // In the order of the list: MariaDB looks for each from its beginning.
        let fresh = |of: &BTreeSet<u64>| -> Vec<u64> {
            let ids = listed.iter().map(|one| one.id);
            ids.filter(|id| of.contains(id) && !self.killed.contains(id))
                .collect()
        };
        let (sessions, logins) = (fresh(&sessions), fresh(&logins));
        if !(sessions.is_empty() && logins.is_empty()) {
            self.killed.extend(sessions.iter().chain(&logins));
            self.last_killed = Instant::now();
            return Next::Kill { sessions, logins };
        }
        if left > 0 && self.last_killed.elapsed() > self.timeout {
            return Next::TimedOut(left);
        }
        if lacks_some && self.began.elapsed() > self.timeout {
            return Next::Unlisted;
        }
        let pause = self.pause(left);
        Next::Wait { left, pause }
    }

    /// Which sessions and which logins must go, and whether what cannot be ended keeps the rest
    /// from being all; and whether sessions are shown that may be none.
    fn look(
        &mut self,
        listed: &[Session],
        ends: impl Fn(&Session) -> bool,
    ) -> (BTreeSet<u64>, BTreeSet<u64>, bool, bool) {
        let ids = |of: &dyn Fn(&&Session) -> bool| -> BTreeSet<u64> {
            listed.iter().filter(of).map(|one| one.id).collect()
        };
        let is_late = self.began.elapsed() > LOGIN_GRACE;
        // By now whoever may get in has been listed before. One whose change of user is refused shows
        // as the account's for a moment, idle, and there may always be some.
        let before = std::mem::replace(&mut self.listed, ids(&|_| true));
        let passes = |one: &Session| is_late && one.is_idle && !before.contains(&one.id);
        let all_sessions = ids(&|one| ends(one) && !passes(one));
        let passing = listed.iter().any(|one| ends(one) && passes(one));
        let logging_in = ids(&|one| one.is_logging_in && !ends(one));
        // Those that began after the first listing see the outage.
        let early = self.logging_in.get_or_insert_with(|| logging_in.clone());
        early.retain(|id| logging_in.contains(id));
        // Of a session that began later, or shows itself later, it is known; and what began later had
        // its rights checked later.
        let doubt = |one: &Session| {
            if one.is_unknown {
                Some(0)
            } else {
                one.may_use_it_by
            }
        };
        let others = listed.iter().filter(|one| !ends(one));
        let now_in_doubt: BTreeMap<u64, u64> = others
            .filter_map(|one| Some((one.id, doubt(one)?)))
            .collect();
        let in_doubt = self.in_doubt.get_or_insert_with(|| now_in_doubt.clone());
        in_doubt.retain(|id, by| now_in_doubt.get(id) == Some(by));
        self.unendable.retain(|id, _| {
            early.contains(id) || in_doubt.contains_key(id) || all_sessions.contains(id)
        });
        let is_due = is_late && self.ends_logins;
        let endable = |id: &&u64| is_due && !self.unendable.contains_key(id);
        let logins: BTreeSet<u64> = early.iter().filter(endable).copied().collect();
        let overdue = in_doubt.keys().filter(|_| is_late);
        // One that could not be ended may be a session by now, and is told again.
        let rests = |id: &u64| {
            let since = self.unendable.get(id);
            since.is_some_and(|since| since.elapsed() < AGAIN)
        };
        let sessions = all_sessions.iter().chain(overdue).filter(|id| !rests(id));
        let sessions: BTreeSet<u64> = sessions.copied().collect();
        let waits = self.began.elapsed() <= self.timeout;
        let hangs = |id| !waits && self.unendable.contains_key(id);
        let is_unendable = |id| self.unendable.contains_key(id);
        let sessions_settled = !waits || !all_sessions.iter().any(is_unendable);
        let logins_settled = early.iter().all(hangs) || is_late && !self.ends_logins;
        let known = in_doubt.keys().all(hangs);
        (
            sessions,
            logins,
            sessions_settled && logins_settled && known,
            passing,
        )
    }

    /// These logins cannot be ended: each is waited for, until it is a session or gone, or the
    /// timeout is over.
    pub fn cannot_end(&mut self, logins: &[u64]) {
        for login in logins {
            self.unendable.insert(*login, Instant::now());
            self.killed.remove(login);
        }
    }

    /// Whether a login that cannot be ended is still under way.
    pub fn leaves_logins(&self) -> bool {
        !self.unendable.is_empty()
    }

    /// The pause before the next listing: an eighth of the time that it has taken already, so that
    /// many sessions, which need long, take few more listings than one; or as long as the rest
    /// takes if it goes on like that.
    fn pause(&self, left: usize) -> Duration {
        if self.clean > 0 {
            return Duration::ZERO;
        }
        if left == 0 && !self.unendable.is_empty() {
            return AGAIN;
        }
        let elapsed = self.last_killed.elapsed();
        let gone = self.killed.len().saturating_sub(left).max(1);
        #[allow(clippy::cast_precision_loss, reason = "it is an estimate")]
        let rest = elapsed.mul_f64(left as f64 / gone as f64);
        rest.min(elapsed / 8)
            .clamp(Duration::from_millis(1), Duration::from_millis(250))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn session(id: u64) -> Session {
        Session {
            id,
            user: "user".to_owned(),
            database: None,
            is_logging_in: false,
            is_unknown: false,
            is_idle: true,
            is_running: false,
            is_none_yet: false,
            uses_it: false,
            may_use_it_by: None,
        }
    }

    fn login(id: u64) -> Session {
        Session {
            is_logging_in: true,
            user: crate::server::sql::NOT_LOGGED_IN.to_owned(),
            ..session(id)
        }
    }

    fn is_users(session: &Session) -> bool {
        session.user == "user"
    }

    fn kill(sessions: &[u64], logins: &[u64]) -> Next {
        Next::Kill {
            sessions: sessions.to_vec(),
            logins: logins.to_vec(),
        }
    }

    #[test]
    fn one_empty_listing_is_not_enough_and_two_are() {
        let mut drain = SessionDrain::new(LONG, true);
        assert!(matches!(
            drain.next(&[], false, is_users),
            Next::Wait { left: 0, .. }
        ));
        assert_eq!(drain.next(&[], false, is_users), Next::Drained);
    }

    #[test]
    fn a_listing_that_lacks_some_is_never_the_last() {
        let mut drain = SessionDrain::new(LONG, true);
        for _ in 0..3 {
            assert!(matches!(
                drain.next(&[], true, is_users),
                Next::Wait { left: 0, .. }
            ));
        }
        assert_eq!(drain.next(&[session(1)], true, is_users), kill(&[1], &[]));
        drain.timeout = Duration::ZERO;
        assert_eq!(drain.next(&[], true, is_users), Next::Unlisted);
        drain.next(&[], false, is_users);
        assert_eq!(drain.next(&[], false, is_users), Next::Drained);
    }

    #[test]
    fn each_session_is_told_once_in_the_lists_order_and_waited_for() {
        let mut drain = SessionDrain::new(LONG, true);
        assert_eq!(
            drain.next(&[session(2), session(1)], false, is_users),
            kill(&[2, 1], &[])
        );
        assert!(matches!(
            drain.next(&[session(2)], false, is_users),
            Next::Wait { left: 1, .. }
        ));
        // One that comes in between begins the count of empty listings anew.
        assert!(matches!(
            drain.next(&[], false, is_users),
            Next::Wait { left: 0, .. }
        ));
        assert_eq!(drain.next(&[session(3)], false, is_users), kill(&[3], &[]));
        assert!(matches!(
            drain.next(&[], false, is_users),
            Next::Wait { left: 0, .. }
        ));
        assert_eq!(drain.next(&[], false, is_users), Next::Drained);
    }

    #[test]
    fn what_does_not_end_is_counted_after_the_timeout_and_nothing_else_is() {
        let mut drain = SessionDrain::new(Duration::ZERO, false);
        // A login that hangs is none of its sessions.
        for _ in 0..3 {
            assert!(matches!(
                drain.next(&[login(1)], false, is_users),
                Next::Wait { left: 0, .. }
            ));
        }
        assert_eq!(drain.next(&[session(2)], false, is_users), kill(&[2], &[]));
        assert_eq!(
            drain.next(&[session(2)], false, is_users),
            Next::TimedOut(1)
        );
    }

    #[test]
    fn a_login_that_began_before_is_ended_when_it_takes_too_long_and_a_later_one_is_not() {
        let mut drain = SessionDrain::new(LONG, true);
        assert!(matches!(
            drain.next(&[login(1)], false, is_users),
            Next::Wait { left: 0, .. }
        ));
        drain.began -= LOGIN_GRACE * 2;
        assert_eq!(
            drain.next(&[login(1), login(2)], false, is_users),
            kill(&[], &[1])
        );
        assert!(matches!(
            drain.next(&[login(1), login(2)], false, is_users),
            Next::Wait { left: 1, .. }
        ));
        assert!(matches!(
            drain.next(&[login(2)], false, is_users),
            Next::Wait { left: 0, .. }
        ));
        assert_eq!(drain.next(&[login(2)], false, is_users), Next::Drained);
    }

    #[test]
    fn a_session_of_which_nothing_tells_whose_it_is_is_ended_unless_it_shows_that() {
        let unknown = |id| Session {
            is_unknown: true,
            user: "definer".to_owned(),
            ..session(id)
        };
        let mut drain = SessionDrain::new(LONG, false);
        let waits = |next| assert!(matches!(next, Next::Wait { left: 0, .. }), "{next:?}");
        waits(drain.next(&[unknown(1), unknown(2), unknown(3)], false, is_users));
        // One shows itself as another's, and one as the account's.
        assert_eq!(
            drain.next(&[unknown(1), session(3)], false, is_users),
            kill(&[3], &[])
        );
        drain.began -= LOGIN_GRACE * 2;
        // One that comes later was none of the account's.
        let later = [unknown(1), unknown(2), unknown(4)];
        assert_eq!(drain.next(&later, false, is_users), kill(&[1], &[]));
        waits(drain.next(&[unknown(2), unknown(4)], false, is_users));
        assert_eq!(drain.next(&[unknown(4)], false, is_users), Next::Drained);
    }

    #[test]
    fn a_session_that_may_use_the_database_yet_is_ended_unless_its_statement_ends() {
        let by = |id, statement| Session {
            user: "elsewhere".to_owned(),
            may_use_it_by: Some(statement),
            ..session(id)
        };
        let mut drain = SessionDrain::new(LONG, false);
        let waits = |next| assert!(matches!(next, Next::Wait { left: 0, .. }), "{next:?}");
        waits(drain.next(&[by(1, 7), by(2, 3), by(3, 0)], false, is_users));
        waits(drain.next(&[by(1, 7), by(2, 4), by(3, 0)], false, is_users));
        drain.began -= LOGIN_GRACE * 2;
        // The second has begun another one, and the fourth began later.
        let later = [by(1, 7), by(2, 4), by(3, 0), by(4, 1)];
        assert_eq!(drain.next(&later, false, is_users), kill(&[1, 3], &[]));
        waits(drain.next(&[by(2, 4)], false, is_users));
        assert_eq!(drain.next(&[by(2, 5)], false, is_users), Next::Drained);
    }

    #[test]
    fn a_login_that_cannot_be_ended_is_waited_for_and_ended_when_it_is_a_session() {
        let mut drain = SessionDrain::new(LONG, true);
        drain.next(&[login(1), login(2)], false, is_users);
        drain.began -= LOGIN_GRACE * 2;
        let both = [login(1), login(2)];
        assert_eq!(drain.next(&both, false, is_users), kill(&[], &[1, 2]));
        drain.cannot_end(&[1, 2]);
        for _ in 0..3 {
            assert!(matches!(
                drain.next(&both, false, is_users),
                Next::Wait { left: 0, .. }
            ));
        }
        let one = [session(1), login(2)];
        assert!(matches!(
            drain.next(&one, false, is_users),
            Next::Wait { left: 0, .. }
        ));
        *drain.unendable.get_mut(&1).unwrap() -= AGAIN;
        assert_eq!(drain.next(&one, false, is_users), kill(&[1], &[]));
        drain.timeout = Duration::ZERO;
        drain.next(&[login(2)], false, is_users);
        assert_eq!(drain.next(&[login(2)], false, is_users), Next::Drained);
        assert!(drain.leaves_logins());
        drain.next(&[], false, is_users);
        assert!(!drain.leaves_logins());
    }

    #[test]
    fn a_session_that_shows_for_a_moment_keeps_no_node_and_one_that_stays_does() {
        let mut drain = SessionDrain::new(LONG, true);
        assert_eq!(drain.next(&[session(1)], false, is_users), kill(&[1], &[]));
        drain.began -= LOGIN_GRACE * 2;
        let waits = |next| assert!(matches!(next, Next::Wait { left: 0, .. }), "{next:?}");
        for id in 2..5 {
            waits(drain.next(&[session(id)], false, is_users));
        }
        assert_eq!(drain.next(&[session(4)], false, is_users), kill(&[4], &[]));
        // It works: no refused one does.
        let works = |id| Session {
            is_idle: false,
            ..session(id)
        };
        assert_eq!(drain.next(&[works(5)], false, is_users), kill(&[5], &[]));
        waits(drain.next(&[session(6)], false, is_users));
        waits(drain.next(&[], false, is_users));
        waits(drain.next(&[session(7)], false, is_users));
        assert_eq!(drain.next(&[session(8)], false, is_users), Next::Drained);
        waits(drain.next(&[session(9)], true, is_users));
        waits(drain.next(&[session(10)], false, is_users));
        waits(drain.next(&[], false, is_users));
        assert_eq!(drain.next(&[], false, is_users), Next::Drained);
    }

    #[test]
    fn a_login_that_gets_in_is_a_session() {
        let mut drain = SessionDrain::new(LONG, true);
        assert!(matches!(
            drain.next(&[login(1)], false, is_users),
            Next::Wait { .. }
        ));
        assert_eq!(drain.next(&[session(1)], false, is_users), kill(&[1], &[]));
    }
}
