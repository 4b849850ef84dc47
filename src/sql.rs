//! The text of every statement that runs on a node; pure functions.
//!
//! Names are quoted as identifiers wherever SQL allows it, account names too, since only the backtick needs care
//! there whatever the session's `sql_mode` is: <https://dev.mysql.com/doc/refman/9.7/en/identifiers.html>.

use std::fmt;

/// Which server a node runs: they differ in where they keep accounts and show sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// MySQL, and what is built from it.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// One account row: MySQL knows an account by its user name and the host that it may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user name, as `mysql.user` has it.
    pub user: String,
    /// The host pattern, as `mysql.user` has it.
    pub host: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", identifier(&self.user), identifier(&self.host))
    }
}

impl Account {
    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let part = |quoted: &str| {
            let inner = quoted.strip_prefix('`')?.strip_suffix('`')?;
            Some(inner.replace("``", "`"))
        };
        // The names may hold what stands between them, or be it: only one reading is written back as it was.
        text.match_indices('`')
            .filter(|(at, _)| text[*at..].starts_with("`@`"))
            .filter_map(|(at, _)| {
                Some(Self {
                    user: part(&text[..=at])?,
                    host: part(&text[at + 2..])?,
                })
            })
            .find(|account| account.to_string() == text)
    }
}

/// The name as a quoted identifier.
pub fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The text as a string literal. Holds under [`SESSION`]'s `sql_mode`, in which a backslash escapes.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Makes the session's own settings known, whatever the server's defaults are.
///
/// `NO_AUTO_CREATE_USER` keeps MariaDB from making an account out of a `GRANT` for one that is gone; MySQL has no such
/// mode any more. A year is the longest `wait_timeout`: the session must outlive the outage. `lock_wait_timeout`, in
/// seconds, ends a statement on the server by the time that its caller has given up on it, so that it does not take
/// effect later. Times are UTC, so that no daylight saving moves a deadline.
pub fn session(lock_wait_timeout: u64) -> String {
    format!(
        "SET SESSION sql_mode = IF(VERSION() LIKE '%MariaDB%', 'NO_AUTO_CREATE_USER', ''), \
         SESSION sql_quote_show_create = 1, SESSION wait_timeout = 31536000, \
         SESSION lock_wait_timeout = {lock_wait_timeout}, SESSION time_zone = '+00:00'"
    )
}

/// Server variables that tell one server from another, and how a node on it is handled; a server leaves out those that
/// it does not have.
pub const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'log_bin', 'super_read_only', \
                             'wsrep_on', 'performance_schema', 'hostname', 'port', 'datadir', 'socket', 'pid_file', \
                             'server_uuid', 'event_scheduler')";

/// The account that the server took this session's login for.
pub const WHO: &str = "SELECT CURRENT_USER()";

/// What this session may do, active roles included.
pub const OWN_GRANTS: &str = "SHOW GRANTS";

/// From here on this session writes nothing to the binary log, so that no replica hears of the outage.
/// <https://dev.mysql.com/doc/refman/9.7/en/set-sql-log-bin.html>
pub const NO_BINARY_LOG: &str = "SET SESSION sql_log_bin = 0";

/// From here on this session's account statements stay on this node of a Galera cluster.
pub const NO_GALERA: &str = "SET SESSION wsrep_on = OFF";

/// The account rows of a user name: user, host, locked (`Y` or `N`).
pub fn accounts(server: Server, user: &str) -> String {
    let user = literal(user);
    match server {
        Server::MySql => {
            format!(
                "SELECT User, Host, account_locked FROM mysql.user WHERE User = {user} ORDER BY Host"
            )
        }
        // A role has a row there too, with no host.
        Server::MariaDb => format!(
            "SELECT User, Host, IF(JSON_VALUE(Priv, '$.account_locked') = 1, 'Y', 'N') FROM mysql.global_priv \
             WHERE User = {user} AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) ORDER BY Host"
        ),
    }
}

/// The database's name, as the server spells it; no row where there is none.
pub fn database(name: &str) -> String {
    format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        literal(name)
    )
}

/// What an account row holds.
pub fn grants(account: &Account) -> String {
    format!("SHOW GRANTS FOR {account}")
}

/// What every account holds on MariaDB 10.11 and later.
pub const PUBLIC_GRANTS: &str = "SHOW GRANTS FOR PUBLIC";

/// Databases, as patterns, that every account may use: a grant to the account without a name holds for all.
pub const GRANTED_TO_ALL: &str = "SELECT DISTINCT Db FROM mysql.db WHERE User = ''";

/// How often the server turned a login or a statement of this user name away since it started: locked (3118), no access
/// to a database (1044), a wrong password (1045), no access to a table (1142).
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-error-summary-tables.html>
pub fn turned_away(user: &str) -> String {
    format!(
        "SELECT SUM(SUM_ERROR_RAISED) FROM performance_schema.events_errors_summary_by_user_by_error \
         WHERE USER = {} AND ERROR_NUMBER IN (3118, 1044, 1045, 1142)",
        literal(user)
    )
}

/// Where sessions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessList {
    /// `performance_schema.processlist`: the only one that MySQL 9.7 does not call deprecated.
    /// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-processlist-table.html>
    PerformanceSchema,
    /// `information_schema.processlist`: all that MariaDB has, and right on a MySQL whose performance schema is off
    /// or too small for its sessions.
    InformationSchema,
}

/// The user name that both servers show for a connection whose login is not through.
pub const NOT_LOGGED_IN: &str = "unauthenticated user";

/// The sessions of a user name, and those whose login is not through: id, user, default database, and, if asked, whether a
/// table of this database is part of its transaction, which may be committed whatever is revoked meanwhile. Only MySQL's
/// metadata locks tell that: <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-metadata-locks-table.html>.
pub fn sessions(list: ProcessList, user: &str, database: Option<&str>) -> String {
    let schema = match list {
        ProcessList::PerformanceSchema => "performance_schema",
        ProcessList::InformationSchema => "information_schema",
    };
    let uses_it = database.map_or("0".to_owned(), |database| {
        format!(
            "ID IN (SELECT PROCESSLIST_ID FROM performance_schema.metadata_locks JOIN performance_schema.threads \
             ON THREAD_ID = OWNER_THREAD_ID WHERE OBJECT_TYPE = 'TABLE' AND OBJECT_SCHEMA = {})",
            literal(database)
        )
    });
    format!(
        "SELECT ID, USER, DB, {uses_it} FROM {schema}.processlist WHERE USER IN ({}, '{NOT_LOGGED_IN}')",
        literal(user)
    )
}

/// How many sessions the performance schema had no room for: where it is not 0, its process list has gaps.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-status-variables.html>
pub const LOST_THREADS: &str = "SELECT VARIABLE_VALUE FROM performance_schema.global_status \
                                WHERE VARIABLE_NAME = 'Performance_schema_thread_instances_lost'";

/// Ends one session.
pub fn kill(id: u64) -> String {
    format!("KILL {id}")
}

/// Refuses every login of these account rows, at once and without `FLUSH PRIVILEGES`.
/// <https://dev.mysql.com/doc/refman/9.7/en/account-locking.html>
pub fn lock(accounts: &[Account]) -> String {
    let rows: Vec<String> = accounts.iter().map(Account::to_string).collect();
    format!("ALTER USER {} ACCOUNT LOCK", rows.join(", "))
}

/// Allows logins of one account row again. One row a statement: a row that is gone must not keep the others locked.
pub fn unlock(account: &Account) -> String {
    format!("ALTER USER {account} ACCOUNT UNLOCK")
}

/// The account row that this statement unlocks, if it is what [`unlock`] writes.
pub fn unlocked(statement: &str) -> Option<Account> {
    let account = statement
        .strip_prefix("ALTER USER ")?
        .strip_suffix(" ACCOUNT UNLOCK")?;
    Account::parse(account)
}

/// The guide's grant, for an account that held nothing on the database before.
pub fn grant_all(database: &str, account: &Account) -> String {
    // The name is a pattern in this place: an underscore would stand for any character.
    let pattern = database
        .replace('\\', "\\\\")
        .replace('_', "\\_")
        .replace('%', "\\%");
    format!(
        "GRANT ALL PRIVILEGES ON {}.* TO {account}",
        identifier(&pattern)
    )
}

/// The name of the event that holds the undo, in the node's database.
pub const UNDO: &str = "fail_start_undo";

/// Leaves the undo on the node. It fails where there is one already, so that of two programs one gets the node.
/// Without `due`, in seconds from now, the server never runs it by itself.
/// <https://dev.mysql.com/doc/refman/9.7/en/create-event.html>
pub fn leave_undo(database: &str, body: &str, due: Option<u64>) -> String {
    let (seconds, status) = match due {
        Some(seconds) => (seconds, "ENABLE"),
        None => (0, "DISABLE"),
    };
    format!(
        "CREATE EVENT {}.{UNDO} ON SCHEDULE EVERY 10 SECOND STARTS CURRENT_TIMESTAMP + INTERVAL {seconds} SECOND \
         ON COMPLETION PRESERVE {status} COMMENT 'How fail-start brings this node back' DO {body}",
        identifier(database)
    )
}

/// Drops the undo, if it is still there.
pub fn drop_undo(database: &str) -> String {
    format!("DROP EVENT IF EXISTS {}.{UNDO}", identifier(database))
}

/// All undos on the server: database, definer, since when (UTC), for how many seconds already, until when (UTC; `NULL`
/// where the server does not run it by itself), body.
/// <https://dev.mysql.com/doc/refman/9.7/en/information-schema-events-table.html>
pub fn undos() -> String {
    format!(
        "SELECT EVENT_SCHEMA, DEFINER, CREATED, TIMESTAMPDIFF(SECOND, CREATED, UTC_TIMESTAMP()), \
         IF(STATUS = 'ENABLED', STARTS, NULL), EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_NAME = '{UNDO}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlocked_account_is_read_back_whatever_its_name() {
        for (user, host) in [
            ("user", "%"),
            ("it's `q` @ \\", "10.%"),
            ("`@`", "`@`"),
            ("@", ""),
            ("@", "@"),
            ("a`@`b", ""),
        ] {
            let account = Account {
                user: user.to_owned(),
                host: host.to_owned(),
            };
            assert_eq!(unlocked(&unlock(&account)), Some(account));
        }
        assert_eq!(unlocked("ALTER USER `u`@`%`, `v`@`%` ACCOUNT UNLOCK"), None);
        assert_eq!(
            unlocked("ALTER USER `u`@`%` IDENTIFIED BY 'x' ACCOUNT UNLOCK"),
            None
        );
    }
}
