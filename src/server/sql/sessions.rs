//! Sessions: listed, claimed, ended, counted.

use super::{SYSTEM, Server, hexadecimal, identifier, literal, routines};

/// Where sessions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessList {
    /// `performance_schema.processlist`: the only one that MySQL 9.7 does not call deprecated.
    /// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-processlist-table.html>
    PerformanceSchema,
    /// `information_schema.processlist`: right on a MySQL whose performance schema is off or too
    /// small for its sessions.
    InformationSchema,
    /// `SHOW PROCESSLIST`, on MariaDB, which writes the same as a table to its disk each time.
    /// <https://mariadb.com/kb/en/show-processlist/>
    Shown,
}

/// The user name that both servers show for a connection whose login is not through.
pub const NOT_LOGGED_IN: &str = "unauthenticated user";

/// What both servers show for a session that is changing its user (`COM_CHANGE_USER`), a login too.
/// MySQL goes on showing the user name that it had, whatever becomes of it.
pub const CHANGES_USER: &str = "Change user";

/// What both servers, or MariaDB alone, show for a session whose user name is known and whose login
/// may be refused yet, also because the account is locked.
pub const NONE_YET: [&str; 3] = ["Connect", "Killed", "Busy"];

/// What both servers show for a session that runs a statement.
pub const RUNS: [&str; 2] = ["Query", "Execute"];

/// The sessions of a user name, and those whose login is not through; and this session, without
/// which it is no list: id, user, default database, command. Or those of everybody, with more
/// columns, where they are shown.
///
/// With a database, by MySQL's metadata locks, also whether a table or a routine of it is part of the
/// session's transaction, which may be committed whatever is revoked meanwhile; `NULL` where no table
/// at all is shown to be in use: of this session at least those are that it lists from. Who has a
/// transaction open is no help there: another list shows another moment, and a session that works on
/// another database has one at one time and locks at another. What a statement uses that has not got
/// all its tables yet, [`statements`] tells.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-metadata-locks-table.html>
pub fn sessions(list: ProcessList, user: &str, database: Option<&str>) -> String {
    match list {
        ProcessList::PerformanceSchema => {}
        ProcessList::InformationSchema => {
            return "SELECT ID, USER, HOST, DB, COMMAND, LEFT(INFO, 64) FROM information_schema.processlist"
                .to_owned();
        }
        ProcessList::Shown => return "SHOW PROCESSLIST".to_owned(),
    }
    let (uses_it, join) = database.map_or(("", String::new()), |database| {
        (
            ", uses_it",
            format!(
                " LEFT JOIN (SELECT PROCESSLIST_ID, MAX(OBJECT_SCHEMA = {}) AS uses_it \
                 FROM performance_schema.metadata_locks JOIN performance_schema.threads ON THREAD_ID = OWNER_THREAD_ID \
                 WHERE OBJECT_TYPE IN ('TABLE', 'PROCEDURE', 'FUNCTION') \
                 GROUP BY PROCESSLIST_ID) AS used ON used.PROCESSLIST_ID = ID",
                literal(database)
            ),
        )
    });
    format!(
        "SELECT ID, USER, DB, COMMAND{uses_it} FROM performance_schema.processlist{join} \
         WHERE USER IN ({}, '{NOT_LOGGED_IN}') OR COMMAND = '{CHANGES_USER}' OR ID = CONNECTION_ID()",
        literal(user)
    )
}

/// Statements that do not take all their metadata locks before they do anything, those for what is
/// called or set off within too: each statement of a procedure takes its own, and so does each of the
/// tables that some are told to look after.
const LOCKS_LATER: &str = "'statement/sql/call_procedure', 'statement/sql/execute_sql', 'statement/sql/analyze', \
                           'statement/sql/check', 'statement/sql/checksum', 'statement/sql/optimize', \
                           'statement/sql/repair'";

/// Those prepared ones that do all the same, by their text; of what others call, more is shown.
const LOCKS_AT_FIRST: &str =
    "'^[[:space:](]*(select|with|insert|replace|update|delete)[[:space:]]'";

/// The states of a statement that has not got all of these locks, besides those that wait for one.
/// <https://dev.mysql.com/doc/refman/9.7/en/general-thread-states.html>
const HAS_NOT_LOCKED: &str = "'', 'starting', 'Executing hook on transaction begin.', 'checking permissions', \
                              'Opening tables', 'Waiting for table flush', 'Waiting for global read lock', \
                              'Waiting for backup lock'";

/// What these sessions run, listed a moment ago with a statement under way: id; the statement, `NULL`
/// where it is not shown; whether the database is the session's default one, or was when the statement
/// began; whether the statement may use the database yet, whatever is revoked meanwhile. It may while it
/// has not got its locks and names the database, or is so long that its end is not shown, or where a
/// view elsewhere is on a table there; and in a routine, which may be one of that database: its
/// statements have their rights checked one by one, but MySQL gives the session the rights of a definer
/// whose routine of another database has returned (seen on 9.7), as it does on the default database.
/// And this session, which is shown if any is: where nothing is shown any more, what was shown last
/// stays, also of whoever had the thread before.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-events-statements-current-table.html>
pub fn statements(database: &str, sessions: &[u64]) -> String {
    let name = literal(database);
    let ids: Vec<String> = sessions.iter().map(ToString::to_string).collect();
    let ids = ids.join(", ");
    format!(
        "SELECT PROCESSLIST_ID, EVENT_ID, PROCESSLIST_DB <=> {name} OR CURRENT_SCHEMA <=> {name}, \
         PROCESSLIST_COMMAND <> 'Sleep' AND NOT COALESCE((EVENT_NAME LIKE 'statement/sql/%' AND EVENT_NAME NOT IN ({LOCKS_LATER}) \
         OR EVENT_NAME IN ('statement/com/Execute', 'statement/sql/execute_sql') \
         AND PROCESSLIST_INFO RLIKE {LOCKS_AT_FIRST} AND (SELECT COUNT(*) \
         FROM performance_schema.events_statements_current AS more \
         WHERE more.THREAD_ID = top.THREAD_ID AND more.END_EVENT_ID IS NULL) = 1) \
         AND (PROCESSLIST_STATE NOT IN ({HAS_NOT_LOCKED}) AND PROCESSLIST_STATE NOT LIKE 'Waiting for % metadata lock' \
         OR LENGTH(PROCESSLIST_INFO) < 1000 AND LOCATE({name}, PROCESSLIST_INFO) = 0 AND NOT EXISTS (SELECT * \
         FROM information_schema.VIEW_TABLE_USAGE WHERE TABLE_SCHEMA = {name} AND VIEW_SCHEMA <> {name})), 0) \
         FROM performance_schema.threads LEFT JOIN performance_schema.events_statements_current AS top \
         ON top.THREAD_ID = threads.THREAD_ID AND NESTING_EVENT_LEVEL = 0 AND END_EVENT_ID IS NULL \
         AND INSTRUMENTED = 'YES' AND EVENT_NAME NOT LIKE 'statement/sp/%' \
         AND (PROCESSLIST_ID <> CONNECTION_ID() OR SQL_TEXT LIKE 'SELECT PROCESSLIST_ID, EVENT_ID%') \
         WHERE PROCESSLIST_ID IN (CONNECTION_ID(), {ids})"
    )
}

/// This session, as [`sessions`] shows it in MySQL's performance schema.
pub const OWN_SESSION: &str =
    "SELECT ID, USER, DB, COMMAND FROM performance_schema.processlist WHERE ID = CONNECTION_ID()";

/// The user names by which these sessions have logged in, where a performance schema tells it:
/// session, user name. What the other lists show is whom a session runs for just now: within a
/// routine or a trigger its definer.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-threads-table.html>
pub fn logins_of(sessions: &[u64]) -> String {
    let ids: Vec<String> = sessions.iter().map(ToString::to_string).collect();
    format!(
        "SELECT PROCESSLIST_ID, PROCESSLIST_USER FROM performance_schema.threads WHERE PROCESSLIST_ID IN ({})",
        ids.join(", ")
    )
}

/// The user name that both servers show for their own threads.
pub const SYSTEM_THREAD: &str = "system user";

/// What MariaDB shows for its threads that replicate, also where a trigger has them run as its
/// definer, whose user name stands there then.
pub const REPLICATES: [&str; 3] = ["Slave_IO", "Slave_SQL", "Slave_worker"];

/// The account rows whose host may be a client's: user, host.
pub fn rows_with_a_host(server: Server) -> String {
    let table = match server {
        Server::MySql => "mysql.user",
        Server::MariaDb => "mysql.global_priv",
    };
    format!("SELECT User, Host FROM {table} WHERE LOCATE('%', Host) = 0 AND Host <> ''")
}

/// Who has defined a routine, a trigger or a view that runs with their rights: within a view a
/// function with its caller's rights has the view's definer's.
pub fn definers(server: Server) -> String {
    let (routines, _) = routines(server);
    format!(
        "SELECT DEFINER FROM {routines} WHERE SECURITY_TYPE = 'DEFINER' \
         UNION SELECT DEFINER FROM information_schema.TRIGGERS \
         UNION SELECT DEFINER FROM information_schema.VIEWS WHERE SECURITY_TYPE = 'DEFINER'"
    )
}

/// The privileges on everything by which an admin sees all of [`definers`], one of each line.
/// <https://dev.mysql.com/doc/refman/9.7/en/information-schema-routines-table.html>
pub fn to_see_definers(server: Server) -> &'static [&'static [&'static str]] {
    match server {
        Server::MySql => &[&["TRIGGER"], &["SHOW VIEW"], &["SELECT", "SHOW_ROUTINE"]],
        // Who reads account rows there reads routines too.
        Server::MariaDb => &[&["TRIGGER"], &["SHOW VIEW"]],
    }
}

/// The ids of the sessions that have a transaction open. For a tenth of a second after somebody has
/// read it, the table shows what it showed then:
/// <https://dev.mysql.com/doc/refman/9.7/en/innodb-information-schema-internal-data.html>.
pub const TRANSACTIONS: &str = "SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX";

/// The tables of the database that somebody uses: in a statement under way, by `LOCK TABLES` or by
/// `HANDLER`.
/// <https://dev.mysql.com/doc/refman/9.7/en/show-open-tables.html>
pub fn tables_in_use(database: &str) -> String {
    let database = identifier(database);
    format!("SHOW OPEN TABLES FROM {database} WHERE In_use > 0")
}

/// Opens a transaction that [`TRANSACTIONS`] shows.
pub const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";

/// Ends it.
pub const ROLLBACK: &str = "ROLLBACK";

/// How many sessions and metadata locks the performance schema had no room for: where that is not
/// 0, its lists have gaps. And how many sessions of the X Protocol there are, which it shows only
/// once they have run something.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-status-variables.html>
pub const LIST_GAPS: &str = "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME IN \
                             ('Performance_schema_thread_instances_lost', 'Performance_schema_metadata_lock_lost', \
                             'Mysqlx_sessions')";

/// Keeps every other fail-start from taking the same away on this server, until this session ends
/// or [releases](RELEASE) it: 1 where it does, 0 where another still does after so many seconds.
/// Lock: the account, which is the server's. Revoke: what it holds on this database.
/// <https://dev.mysql.com/doc/refman/9.7/en/locking-functions.html>
pub fn claim(user: &str, database: Option<&str>, wait: u64) -> String {
    format!("SELECT GET_LOCK({}, {wait})", claim_name(user, database))
}

/// Whether a session has claimed either of it: the ids of those sessions, or `NULL`.
pub fn claimants(user: &str, database: &str) -> String {
    format!(
        "SELECT COALESCE(IS_USED_LOCK({}), IS_USED_LOCK({}))",
        claim_name(user, None),
        claim_name(user, Some(database))
    )
}

fn claim_name(user: &str, database: Option<&str>) -> String {
    let what = literal(&format!("{user}\n{}", database.unwrap_or_default()));
    // A lock's name has 64 characters at most.
    format!("CONCAT('fail_start.', LEFT(SHA2({what}, 256), 40))")
}

/// Gives up what this session has claimed.
pub const RELEASE: &str = "DO RELEASE_ALL_LOCKS()";

/// What the comment of every guard's statement begins with.
pub const GUARDS: &str = "/* fail-start guards the node";

/// Says in a statement that its session guards the node with this database, which stands there in
/// hexadecimal, so that no name ends the comment.
pub fn guards(database: &str) -> String {
    format!("{GUARDS} {}. */", hexadecimal(database))
}

/// The sessions of this user name that guard a node: id, the beginning of the statement. It begins
/// with `DO`; who asks this too has the same comment in it, further behind.
pub fn guards_of(user: &str) -> String {
    format!(
        "SELECT ID, LEFT(INFO, 1000) FROM information_schema.processlist \
         WHERE USER = {} AND LOCATE({}, INFO) = 1",
        literal(user),
        literal(&format!("DO {GUARDS}"))
    )
}

/// Whether this statement guards the node with this database.
pub fn guards_it(statement: &str, database: &str) -> bool {
    statement.starts_with(&format!("DO {}", guards(database)))
}

/// Ends one session.
pub fn kill(id: u64) -> String {
    format!("KILL {id}")
}

/// The procedures by which managed services let their customers end a session, where there are
/// some: name.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/mysql-stored-proc-ending.html>
/// <https://learn.microsoft.com/azure/mysql/flexible-server/how-to-troubleshoot-query-performance>
pub const KILL_PROCEDURES: &str = "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mysql' \
                                   AND ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_NAME IN ('rds_kill', 'az_kill')";

/// Ends one session by a procedure of [`KILL_PROCEDURES`].
pub fn call_to_kill(procedure: &str, id: u64) -> String {
    format!("CALL {SYSTEM}.{}({id})", identifier(procedure))
}

/// By which errors a login or a statement is turned away: locked, no access to a database, a wrong
/// password, no access to a table, a column, a routine.
pub const TURNS_AWAY: [u16; 6] = [3118, 1044, 1045, 1142, 1143, 1370];

/// How often the server turned this user name away, by [`TURNS_AWAY`], since it started.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-error-summary-tables.html>
pub fn turned_away(user: &str) -> String {
    let errors = TURNS_AWAY.map(|code| code.to_string()).join(", ");
    format!(
        "SELECT SUM(SUM_ERROR_RAISED) FROM performance_schema.events_errors_summary_by_user_by_error \
         WHERE USER = {} AND ERROR_NUMBER IN ({errors})",
        literal(user)
    )
}
