//! The guard: a session on the node that waits for the deadline and then brings the node back by
//! itself, also when nobody is left to look after it. It needs no event scheduler, and no server
//! that is writable just then.
//!
//! All that it is to do is sent as one packet, which the server runs to its end though its client
//! is gone. The wait is made of sleeps under five seconds: in a longer one both servers look
//! whether the client is still there, and do not wait any more where it is not (seen on MySQL 9.7
//! and MariaDB 10.11; no manual says so).

use std::time::Duration;

use crate::outage::gone;
use crate::outage::plan::{GRACE, Plan};
use crate::outage::read_only;
use crate::server::sql::{self, Server};
use crate::server::{Connection, Error};

/// A connection of the admin that will guard a node.
pub struct Guard {
    connection: Connection,
    /// Whether the admin may go through `super_read_only`.
    may_lift: bool,
}

impl Guard {
    /// With a connection that does nothing yet.
    pub fn new(connection: Connection, may_lift: bool) -> Self {
        Self {
            connection,
            may_lift,
        }
    }

    /// The connection's id on its server.
    pub fn id(&self) -> u64 {
        self.connection.id()
    }

    /// Lets it wait, for as long as the outage is to last and a little more: fail-start comes
    /// first, while it lives.
    ///
    /// # Errors
    /// Where the server does not take the packet.
    pub fn start(self, plan: &Plan, held: Duration) -> Result<(), Error> {
        let mut statements = settings(plan);
        statements.extend(wait(held + GRACE, &plan.database));
        statements.extend(bring_back(plan, self.may_lift));
        self.connection.start(&statements)
    }
}

/// The guard's session has the settings of the admin's, and nobody looks after it: no limit of the
/// server's may end it early, nor let it stay when it is done.
fn settings(plan: &Plan) -> Vec<String> {
    const YEAR: u64 = 31_536_000;
    let ends = "SET SESSION wait_timeout = 1".to_owned();
    [&sql::session(YEAR)[..], &[ends], &plan.local_only].concat()
}

/// Waits for so long: four times for nine tenths of what is left, by the clock anew, since each of
/// many short sleeps is a little late; the last for all of it. By the name of its database the guard
/// is found where no undo tells its id.
fn wait(duration: Duration, database: &str) -> Vec<String> {
    /// The longest sleep, in seconds.
    const SLEEP: f64 = 4.0;
    let mut statements = vec![format!(
        "SET @fail_start_end = UNIX_TIMESTAMP(NOW(6)) + {:.3}",
        duration.as_secs_f64()
    )];
    let mut left = duration.as_secs_f64();
    for part in [0.9, 0.9, 0.9, 1.0] {
        // Four times so many rows, joined: MySQL 5.7 can make rows in no other way. A single one might
        // be slept for too early.
        let sleeps = left * part * 1.02 / SLEEP;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a month of seconds"
        )]
        // Not by a power, which alone would load a library of 0.3 MiB.
        let side = sleeps.sqrt().sqrt().ceil().max(2.0) as usize;
        let rows = ["SELECT 1"].repeat(side).join(" UNION ALL ");
        statements.push(format!(
            "DO {} (SELECT SUM(SLEEP(GREATEST(0, LEAST(4.5, \
             (@fail_start_end - UNIX_TIMESTAMP(NOW(6))) * {part} / {})))) \
             FROM ({rows}) a JOIN ({rows}) b JOIN ({rows}) c JOIN ({rows}) d)",
            sql::guards(database),
            side.pow(4)
        ));
        left *= 1.0 - part;
    }
    statements
}

/// Brings the node back, if the undo is still the one that this guard is for: it may have been
/// brought back and taken again.
fn bring_back(plan: &Plan, may_lift: bool) -> Vec<String> {
    let mut back = plan.restore.clone();
    if plan.undo.is_some() {
        back.push(sql::drop_undo(&plan.database));
    }
    let is_there = plan.undo.as_ref().map_or("TRUE".to_owned(), |undo| {
        sql::undo_is_by(&plan.database, &undo.by())
    });
    match plan.server {
        Server::MariaDb => vec![match &plan.undo {
            // What the event would run, which keeps the undo where something could not be given
            // back.
            Some(undo) => format!(
                "BEGIN NOT ATOMIC IF {is_there} THEN {}; END IF; END",
                undo.body(&plan.database)
            ),
            None => format!(
                "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; {}; END",
                back.join("; ")
            ),
        }],
        Server::MySql => {
            let only_if_there = vec![sql::stop_unless(&is_there)];
            let mut statements = Vec::new();
            for statement in back {
                // An error would end the packet, and leave the server writable.
                match gone::is_there(&statement) {
                    Some(is_there) => statements.extend(sql::only_if(&is_there, &statement)),
                    None => statements.push(statement),
                }
            }
            if may_lift {
                statements = read_only::around_at_last(&statements);
            }
            [only_if_there, statements].concat()
        }
    }
}
