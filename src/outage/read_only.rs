//! The way through `super_read_only`, which lets nobody change accounts or events: off for the
//! milliseconds that the statements take, all in one packet, which the server finishes whatever
//! becomes of its client.
//!
//! With `--lift-read-only` a node that is read-only goes offline in this way. Without it, one that
//! became read-only meanwhile comes back in it all the same: a primary that is demoted is the
//! failover that people want to see.

use std::collections::BTreeSet;
use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Node;
pub use crate::outage::left_open::LeftOpen;
use crate::outage::window::{
    ALONE, IN_THE_WAY, InTheWay, Left, READ_ONLY_SET, SHORT_WAIT, close, left, open,
};
pub use crate::outage::window::{around, around_at_last};
use crate::reason::{self, Reason};
use crate::server::sql::Server;
use crate::server::{Admin, Change, Error, OPTION_PREVENTS, Ran};

/// `ER_LOCK_WAIT_TIMEOUT`: a long statement, or a backup, is in the way for the moment.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// Why a server on which nothing can be changed must be left alone, with `--lift-read-only` or
/// without.
pub fn problems(node: &Node, admin: &Admin, lift: bool) -> Vec<Reason> {
    let mut problems: Vec<Reason> = forbids_its_admin(&admin.read_only_mode)
        .into_iter()
        .collect();
    if !admin.read_only {
        return problems;
    }
    if !lift {
        problems.push(reason::read_only());
        return problems;
    }
    let who = &node.admin.user;
    if !tells_roles(&admin.version) {
        problems.push(reason::lift_needs_version(&admin.version));
    }
    if admin.local_only.is_empty() {
        problems.push(reason::lift_needs_no_binary_log(who));
    }
    for privilege in ["SYSTEM_VARIABLES_ADMIN", "CONNECTION_ADMIN"] {
        if !admin.holds(privilege) && !admin.holds("SUPER") {
            problems.push(reason::lift_needs_privilege(who, privilege));
        }
    }
    if !admin.may_read_performance_schema() {
        problems.push(reason::lift_needs_performance_schema(who));
    }
    problems
}

/// What to say of a MariaDB server whose `read_only` has this value, if it lets not even its admin
/// write.
/// <https://mariadb.com/kb/en/server-system-variables/#read_only>
pub fn forbids_its_admin(read_only: &str) -> Option<Reason> {
    (read_only == "NO_LOCK_NO_ADMIN").then(reason::read_only_for_good)
}

/// What became of a packet that goes through `super_read_only`.
enum Window {
    /// All was done.
    Done,
    /// Nothing, by this error of what tells whether it is to be done.
    Stopped(Error),
    /// All before the statement at this place, which failed.
    Failed(usize, Error),
}

impl Admin {
    /// Whether this admin may lift `super_read_only`, so that nothing else of it is needed for
    /// that.
    pub fn may_lift_read_only(&self) -> bool {
        self.server == Server::MySql
            && tells_roles(&self.version)
            // Else a group or the node's replicas would take over what is changed.
            && !self.local_only.is_empty()
            && self.may_read_performance_schema()
            && (self.holds("SUPER")
                || self.holds("SYSTEM_VARIABLES_ADMIN") && self.holds("CONNECTION_ADMIN"))
    }

    /// Runs all of the statements that can be run, and asks the questions, as
    /// [`Admin::batch_skipping`], also where the server has become read-only; at once as there, if it
    /// `is_read_only`. There nothing is asked, but if none failed the `last` is run too.
    ///
    /// # Errors
    /// As [`Admin::batch_skipping`].
    pub fn change(
        &mut self,
        change: Change,
        last: Option<&String>,
        is_read_only: bool,
    ) -> Result<Ran, Error> {
        if is_read_only && self.may_lift_read_only() {
            return self.change_lifted(change.only_if, change.statements, last);
        }
        let ran = self.batch_skipping(change)?;
        let is_refused = |(_, error): &(String, Error)| {
            matches!(
                error,
                Error::Server {
                    code: OPTION_PREVENTS,
                    ..
                }
            )
        };
        if !ran.failed.iter().any(is_refused) || !self.may_lift_read_only() {
            return Ok(ran);
        }
        let (refused, failed): (Vec<_>, Vec<_>) = ran.failed.into_iter().partition(is_refused);
        let refused: Vec<String> = refused
            .into_iter()
            .map(|(statement, _)| statement)
            .collect();
        let last = last.filter(|_| failed.is_empty());
        let mut lifted = self.change_lifted(change.only_if, &refused, last)?;
        lifted.failed = [failed, lifted.failed].into_iter().flatten().collect();
        Ok(lifted)
    }

    fn change_lifted(
        &mut self,
        only_if: Option<&String>,
        statements: &[String],
        last: Option<&String>,
    ) -> Result<Ran, Error> {
        self.alone(|admin| {
            let (mut rest, mut ran) = (statements, Ran::default());
            loop {
                let last = last.filter(|_| ran.failed.is_empty());
                let more: Vec<String> = last.cloned().into_iter().collect();
                match admin.change_in_window(only_if, &[rest, &more].concat())? {
                    Window::Done => {
                        ran.is_last_done = last.is_some();
                        return Ok(ran);
                    }
                    Window::Stopped(error) => {
                        ran.stopped = Some(error);
                        return Ok(ran);
                    }
                    Window::Failed(at, error) if at < rest.len() => {
                        ran.failed.push((rest[at].clone(), error));
                        rest = &rest[at + 1..];
                    }
                    // The last.
                    Window::Failed(..) => return Ok(ran),
                }
                if rest.is_empty() {
                    return Ok(ran);
                }
            }
        })
    }

    /// Runs the statements on a server that is read-only, up to the first that fails.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`]; the server is read-only again.
    pub fn all_lifted(&mut self, statements: &[String]) -> Result<(), Error> {
        self.alone(|admin| match admin.change_in_window(None, statements)? {
            Window::Stopped(error) | Window::Failed(_, error) => Err(error),
            Window::Done => Ok(()),
        })
    }

    /// One packet. What takes long must not keep it open: that is an error.
    fn change_in_window(
        &mut self,
        only_if: Option<&String>,
        statements: &[String],
    ) -> Result<Window, Error> {
        let only_if = only_if.map(slice::from_ref).unwrap_or_default();
        let open = open(SHORT_WAIT);
        let packet = [only_if, &open, statements, &close()].concat();
        self.has_lifted = true;
        let (answers, result) = self.batch(&packet);
        let error = match result {
            Ok(()) => return Ok(Window::Done),
            Err(error @ Error::Server { .. }) => error,
            Err(error) => return Err(error),
        };
        let Some(done) = answers.len().checked_sub(only_if.len()) else {
            return Ok(Window::Stopped(error));
        };
        self.close_at_last()?;
        match done.checked_sub(open.len()) {
            Some(at) if at < statements.len() && !is_lock_wait(&error) => {
                Ok(Window::Failed(at, error))
            }
            // All was done, and the end of it is done now.
            Some(at) if at >= statements.len() => Ok(Window::Done),
            _ => Err(error),
        }
    }

    /// After an error in the packet: the server must not stay writable. What is in the way goes by,
    /// or is waited for until the timeout.
    fn close_at_last(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            match self.batch_or_error(&close()) {
                Err(error) if is_lock_wait(&error) && began.elapsed() < self.timeout() => {
                    thread::sleep(Duration::from_millis(10));
                }
                result => return result.map(drop),
            }
        }
    }

    /// Does this while no other fail-start goes through `super_read_only`, and when nothing is in
    /// the way.
    fn alone<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.wait_for_locks()?;
        if !self.is_alone()? {
            return Err(Error::Connection(reason::lifted_by_another()));
        }
        self.then_release(work)
    }

    /// Ends each of these earlier sessions as [`Admin::end_earlier_self`] does; if possible, while no
    /// fail-start goes through `super_read_only`: to end one in the middle of that would leave it
    /// off.
    ///
    /// # Errors
    /// As that; and as [`Admin::batch_or_error`].
    pub fn end_earlier_selves(&mut self, ids: &[u64], age: Duration) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let end_all = |admin: &mut Self| {
            let mut ids = ids.iter();
            ids.try_for_each(|&id| admin.end_earlier_self(id, age))
        };
        // A cluster may forbid such locks.
        if self.may_lift_read_only() && self.is_alone().unwrap_or(false) {
            return self.then_release(end_all);
        }
        end_all(self)
    }

    fn is_alone(&mut self) -> Result<bool, Error> {
        // Before the answer is given up.
        let seconds = (self.timeout().as_secs() / 2).min(10);
        let got: Vec<Option<bool>> = self.rows(format!("SELECT GET_LOCK({ALONE}, {seconds})"))?;
        Ok(got.first() == Some(&Some(true)))
    }

    fn then_release<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = work(self);
        // A session that is gone holds nothing.
        if matches!(
            result,
            Ok(_) | Err(Error::Server { .. } | Error::NotYet(_) | Error::Refused(_))
        ) {
            self.batch_or_error(&[format!("DO RELEASE_LOCK({ALONE})")])?;
        }
        result
    }

    /// Waits until each lock is gone that `super_read_only` would have to wait for, and is there
    /// now: a backup's, or a long statement's, also one that is replicated. A new one comes with
    /// every statement that writes.
    ///
    /// # Errors
    /// Who holds it, where it is held for long; and as [`Admin::batch_or_error`].
    pub fn wait_for_locks(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let mut first: Option<BTreeSet<InTheWay>> = None;
        loop {
            let rows: Vec<InTheWay> = self.rows(IN_THE_WAY)?;
            let first = first.get_or_insert_with(|| rows.iter().cloned().collect());
            first.retain(|row| rows.contains(row));
            let Some(row) = rows.iter().find(|row| first.contains(*row)) else {
                return Ok(());
            };
            let (_, _, of, _, session, user, thread) = row;
            if began.elapsed() > Duration::from_secs(SHORT_WAIT) {
                let session = session.unwrap_or_default();
                let is_users = !is_replication(thread.as_deref().unwrap_or_default());
                let user = is_users.then(|| user.as_deref().unwrap_or_default());
                let lock = of.trim_end_matches(" LOCK").to_lowercase();
                return Err(Error::Server {
                    code: LOCK_WAIT_TIMEOUT,
                    message: reason::lift_waits_for(session, user, &lock),
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What was left off on this server since an outage began, so long ago; where there is none, on
    /// a secondary of a group, which is never writable.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn left_open(&mut self, outage: Option<Duration>) -> Result<Option<LeftOpen>, Error> {
        if !self.may_lift_read_only() || self.look_for_left(outage)?.is_none() {
            return Ok(None);
        }
        // It may be lifted just now.
        if !self.is_alone()? {
            return Ok(None);
        }
        self.then_release(|admin| admin.look_for_left(outage))
    }

    fn look_for_left(&mut self, outage: Option<Duration>) -> Result<Option<LeftOpen>, Error> {
        let rows: Vec<Left> = match self.rows(left()) {
            // It does not tell.
            Err(Error::Server { .. }) => return Ok(None),
            rows => rows?,
        };
        let Some((read_only, events, by, age, role)) = rows.into_iter().next() else {
            return Ok(None);
        };
        let (read_only, events) = (read_only == Some(true), events == Some(true));
        let age = age.and_then(|age| age.try_into().ok()).unwrap_or(0);
        let age = Duration::from_secs(age);
        let is_since = match outage {
            // The server counts whole seconds, and is the first to be changed.
            Some(outage) => age <= outage + Duration::from_secs(2),
            None => read_only && role.as_deref() == Some("SECONDARY"),
        };
        Ok((is_since && (read_only || events)).then(|| LeftOpen {
            read_only,
            events,
            by: by.unwrap_or_default(),
            age,
        }))
    }

    /// Switches on again what was [left off](Admin::left_open), and returns that.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn close_left_open(&mut self, outage: Option<Duration>) -> Result<Option<LeftOpen>, Error> {
        if !self.may_lift_read_only() || self.look_for_left(outage)?.is_none() {
            return Ok(None);
        }
        self.alone(|admin| {
            let Some(left) = admin.look_for_left(outage)? else {
                return Ok(None);
            };
            let events = if left.events { "ON" } else { "" };
            admin.batch_or_error(&[
                "SET @fail_start_wait = @@SESSION.lock_wait_timeout".to_owned(),
                format!("SET SESSION lock_wait_timeout = {SHORT_WAIT}"),
                format!(
                    "SET @fail_start_set = {READ_ONLY_SET}, @fail_start_super = 1, @fail_start_events = '{events}'"
                ),
            ])?;
            admin.close_at_last()?;
            Ok(Some(left))
        })
    }
}

/// Whether a server of this version says which member of a group is the primary, and who has set a
/// variable.
fn tells_roles(version: &str) -> bool {
    !version.starts_with("5.")
}

/// Whether a thread of this kind applies what comes from a source or a group; it has the user who
/// wrote it there.
fn is_replication(thread: &str) -> bool {
    ["replica_", "slave_", "group_rpl"]
        .iter()
        .any(|kind| thread.contains(kind))
}

fn is_lock_wait(error: &Error) -> bool {
    matches!(
        error,
        Error::Server {
            code: LOCK_WAIT_TIMEOUT,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadbs_mode_that_nobody_may_write_in_is_refused_by_name() {
        let why = forbids_its_admin("NO_LOCK_NO_ADMIN").unwrap();
        assert!(
            why.text.contains("NO_LOCK_NO_ADMIN") && why.text.contains("--lift-read-only does not")
        );
        for may in ["OFF", "ON", "NO_LOCK", "0", "1", ""] {
            assert_eq!(forbids_its_admin(may), None, "{may}");
        }
    }

    #[test]
    fn a_version_that_does_not_tell_who_is_the_primary_is_known() {
        assert!(!tells_roles("5.7.44-log"));
        assert!(tells_roles("8.0.42") && tells_roles("9.7.4"));
    }
}
