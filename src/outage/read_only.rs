//! The way through `super_read_only`, which lets nobody change accounts or events: off for the milliseconds that the
//! statements take, all in one packet, which the server finishes whatever becomes of its client.
//!
//! A node may become read-only while it is offline: a primary that is demoted is the failover that people want to see.

use std::thread;
use std::time::{Duration, Instant};

use crate::server::sql::Server;
use crate::server::{Admin, Error, cell};

/// `ER_OPTION_PREVENTS_STATEMENT`: the server is read-only.
pub const READ_ONLY: u16 = 1290;
/// `ER_LOCK_WAIT_TIMEOUT`: a long statement, or a backup, is in the way for the moment.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// Only one at a time may lift and put back: of two, the second would remember what the first has lifted.
const ALONE: &str = "SELECT GET_LOCK('fail_start.read_only', 10), @@GLOBAL.event_scheduler";
const NO_LONGER_ALONE: &str = "DO RELEASE_LOCK('fail_start.read_only')";

/// The same for a session that nobody looks after: it waits for as long as it takes.
pub const ALONE_AT_LAST: &str = "DO GET_LOCK('fail_start.read_only', 86400)";

/// What is sent before and after statements that a read-only server refuses.
pub struct Lift {
    /// Whether the server runs events: those of others that are overdue would run in between, and write.
    runs_events: bool,
}

/// This member's role in its group, `NULL` outside one.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-replication-group-members-table.html>
const ROLE: &str = "(SELECT MEMBER_ROLE FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid)";

/// Whether the member has become its group's primary since: then it is the group that made it writable.
const IS_NEW_PRIMARY: &str = "COALESCE(@fail_start_role, '') <> 'PRIMARY' AND COALESCE(@fail_start_role_now, '') = 'PRIMARY'";

impl Lift {
    /// For a server that runs events, or does not.
    pub fn new(runs_events: bool) -> Self {
        Self { runs_events }
    }

    /// Switches `super_read_only` off, and remembers in the session what was on at that moment: on a server that is writable
    /// it changes nothing. <https://dev.mysql.com/doc/refman/9.7/en/server-system-variables.html#sysvar_super_read_only>
    pub fn open(&self) -> Vec<String> {
        let mut statements = vec![
            "SET SESSION lock_wait_timeout = 2".to_owned(),
            format!(
                "SET @fail_start_role = {ROLE}, @fail_start_super = @@GLOBAL.super_read_only, \
                 @fail_start_events = @@GLOBAL.event_scheduler"
            ),
        ];
        if self.runs_events {
            statements.push(
                "SET GLOBAL event_scheduler = IF(@fail_start_super = 1, 'OFF', @@GLOBAL.event_scheduler)".to_owned(),
            );
        }
        statements.push("SET GLOBAL super_read_only = OFF".to_owned());
        statements
    }

    /// Puts everything back as it was; can be sent again.
    pub fn close(&self) -> Vec<String> {
        let role_now = format!("SET @fail_start_role_now = {ROLE}");
        let mut statements = vec![
            role_now.clone(),
            format!(
                "SET GLOBAL super_read_only = IF(@fail_start_super = 1 AND NOT ({IS_NEW_PRIMARY}), 1, @@GLOBAL.super_read_only)"
            ),
            role_now,
            // It may have become one just then. This switches both off.
            format!("SET GLOBAL read_only = IF({IS_NEW_PRIMARY}, 0, @@GLOBAL.read_only)"),
        ];
        if self.runs_events {
            statements.push("SET GLOBAL event_scheduler = @fail_start_events".to_owned());
        }
        statements
    }
}

impl Admin {
    /// Whether this admin may lift `super_read_only`, so that nothing else of it is needed for that.
    pub fn may_lift_read_only(&self) -> bool {
        let holds = |privilege: &str| {
            self.grants
                .iter()
                .any(|grant| grant.gives_everywhere(privilege))
        };
        let reads_roles = self
            .grants
            .iter()
            .any(|grant| grant.gives("SELECT", "performance_schema", self.names));
        self.server == Server::MySql
            // Else a group or the node's replicas would take over what is changed.
            && !self.stays_here.is_empty()
            && reads_roles
            && (holds("SUPER") || holds("SYSTEM_VARIABLES_ADMIN") && holds("CONNECTION_ADMIN"))
    }

    /// As [`Admin::try_each`], also where the server has become read-only.
    ///
    /// # Errors
    /// As [`Admin::try_each`].
    pub fn change(&mut self, statements: &[String]) -> Result<Vec<(String, Error)>, Error> {
        let failed = self.try_each(statements)?;
        let is_refused = |(_, error): &(String, Error)| {
            matches!(
                error,
                Error::Server {
                    code: READ_ONLY,
                    ..
                }
            )
        };
        if !failed.iter().any(is_refused) || !self.may_lift_read_only() {
            return Ok(failed);
        }
        let (refused, mut failed): (Vec<_>, Vec<_>) = failed.into_iter().partition(is_refused);
        let refused: Vec<String> = refused
            .into_iter()
            .map(|(statement, _)| statement)
            .collect();
        failed.extend(self.change_lifted(&refused)?);
        Ok(failed)
    }

    fn change_lifted(&mut self, statements: &[String]) -> Result<Vec<(String, Error)>, Error> {
        let answers = self.all(&[ALONE.to_owned()])?;
        let first = answers.first().and_then(|rows| rows.first());
        if first.is_none_or(|row| cell(row, 0) != "1") {
            return Err(Error::Connection(
                "another fail-start is going through its super_read_only".to_owned(),
            ));
        }
        let lift = Lift::new(first.is_some_and(|row| cell(row, 1) == "ON"));
        let open = lift.open();
        let (mut rest, mut failed) = (statements, Vec::new());
        while !rest.is_empty() {
            let packet = [&open[..], rest, &lift.close()].concat();
            let (answers, last) = self.try_all(&packet);
            let Err(error) = last else {
                break;
            };
            if !matches!(error, Error::Server { .. }) {
                return Err(error);
            }
            self.close_at_last(&lift)?;
            match answers.len().checked_sub(open.len()) {
                Some(done) if done < rest.len() => {
                    failed.push((rest[done].clone(), error));
                    rest = &rest[done + 1..];
                }
                // All was done, and the end of it is done now.
                Some(_) => break,
                None => return Err(error),
            }
        }
        self.all(&[NO_LONGER_ALONE.to_owned()])?;
        Ok(failed)
    }

    /// After an error in the packet: the server must not stay writable. What is in the way goes by, or is waited for until
    /// the timeout.
    fn close_at_last(&mut self, lift: &Lift) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            match self.all(&lift.close()) {
                Err(Error::Server {
                    code: LOCK_WAIT_TIMEOUT,
                    ..
                }) if began.elapsed() < self.timeout() => {
                    thread::sleep(Duration::from_millis(10));
                }
                result => return result.map(drop),
            }
        }
    }
}
