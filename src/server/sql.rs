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

impl Account {
    /// Reads a list of roles as the server's variable `mandatory_roles` has it: with or without quotes, and the host `%`
    /// where none is named. <https://dev.mysql.com/doc/refman/9.7/en/role-names.html>
    pub fn list(text: &str) -> Vec<Self> {
        let mut accounts = Vec::new();
        let mut parts = [String::new(), String::new()];
        let (mut part, mut quote) = (0, None);
        for c in text.chars().chain([',']) {
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('\'' | '"' | '`', None) => quote = Some(c),
                ('@', None) => part = 1,
                (',', None) => {
                    let [user, host] = std::mem::take(&mut parts);
                    let host = if part == 0 { "%".to_owned() } else { host };
                    part = 0;
                    if !user.is_empty() {
                        accounts.push(Self { user, host });
                    }
                }
                (' ', None) => {}
                (c, _) => parts[part].push(c),
            }
        }
        accounts
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

/// Makes the session's own settings known, whatever the server's defaults are: nothing that it inherits may change what
/// its statements answer, how long they may take, or whether they take effect at once.
///
/// `NO_AUTO_CREATE_USER` keeps MariaDB from making an account out of a `GRANT` for one that is gone; MySQL has no such
/// mode any more. A year is the longest `wait_timeout`: the session must outlive the outage. `lock_wait_timeout`, in
/// seconds, ends a statement on the server by the time that its caller has given up on it, so that it does not take
/// effect later. Times are UTC, so that no daylight saving moves a deadline. The limit of a statement's time has another
/// name on each server; each skips the other's comment.
pub fn session(lock_wait_timeout: u64) -> [String; 2] {
    [
        format!(
            "SET NAMES utf8mb4, SESSION sql_mode = IF(VERSION() LIKE '%MariaDB%', 'NO_AUTO_CREATE_USER', ''), \
             SESSION autocommit = 1, SESSION completion_type = 0, SESSION sql_big_selects = 1, \
             SESSION sql_select_limit = 18446744073709551615, SESSION sql_quote_show_create = 1, \
             SESSION wait_timeout = 31536000, SESSION lock_wait_timeout = {lock_wait_timeout}, \
             SESSION time_zone = '+00:00'/*!50708 , SESSION max_execution_time = 0 */\
             /*M!100101 , SESSION max_statement_time = 0 */"
        ),
        "SET SESSION TRANSACTION READ WRITE".to_owned(),
    ]
}

/// Server variables that tell one server from another, for any account to ask: the same only for two connections to one
/// server, however they are addressed. A server leaves out those that it does not have.
pub const IDENTITY: [&str; 8] = [
    "hostname",
    "port",
    "datadir",
    "socket",
    "pid_file",
    "server_id",
    "server_uuid",
    "server_uid",
];

/// Server variables by which a node on it is handled.
const HANDLING: [&str; 11] = [
    "version",
    "log_bin",
    "super_read_only",
    "read_only",
    "innodb_read_only",
    "wsrep_on",
    "performance_schema",
    "event_scheduler",
    "mandatory_roles",
    "partial_revokes",
    "mysqlx_port",
];

/// All of them, [`IDENTITY`] included: name, value.
pub fn variables() -> String {
    show_variables(&[&IDENTITY[..], &HANDLING].concat())
}

/// Those of [`IDENTITY`]: name, value.
pub fn identity() -> String {
    show_variables(&IDENTITY)
}

fn show_variables(names: &[&str]) -> String {
    format!(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{}')",
        names.join("', '")
    )
}

/// What protects an account on MySQL from who does not hold it.
/// <https://dev.mysql.com/doc/refman/9.7/en/account-categories.html>
pub const SYSTEM_USER: &str = "SYSTEM_USER";

/// The account rows that hold [`SYSTEM_USER`], in quotes.
pub const SYSTEM_USERS: &str =
    "SELECT GRANTEE FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'SYSTEM_USER'";

/// The account that the server took this session's login for.
pub const WHO: &str = "SELECT CURRENT_USER()";

/// What this session may do, active roles included.
pub const OWN_GRANTS: &str = "SHOW GRANTS";

/// From here on this session writes nothing to the binary log, so that no replica hears of the outage.
/// <https://dev.mysql.com/doc/refman/9.7/en/set-sql-log-bin.html>
pub const NO_BINARY_LOG: &str = "SET SESSION sql_log_bin = 0";

/// From here on this session's account statements stay on this node of a Galera cluster.
pub const NO_GALERA: &str = "SET SESSION wsrep_on = OFF";

/// The account rows of a user name: user, host, locked (`Y` or `N`), on MySQL also the plugin that they log in by.
pub fn accounts(server: Server, user: &str) -> String {
    let user = literal(user);
    match server {
        Server::MySql => format!(
            "SELECT User, Host, account_locked, plugin FROM mysql.user WHERE User = {user} ORDER BY Host"
        ),
        // A role has a row there too, with no host.
        Server::MariaDb => format!(
            "SELECT User, Host, IF(JSON_VALUE(Priv, '$.account_locked') = 1, 'Y', 'N') FROM mysql.global_priv \
             WHERE User = {user} AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) ORDER BY Host"
        ),
    }
}

/// The plugin that every MySQL has.
pub const OWN_PLUGIN: &str = "caching_sha2_password";

/// All plugins that MySQL has. Not for every look: the list takes room on the disk, without which MySQL 9.7 breaks down.
pub const PLUGINS: &str =
    "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'";

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

/// The account rows without a user name, which take the login of anybody from their hosts: host.
pub fn anonymous(server: Server) -> String {
    let table = match server {
        Server::MySql => "user",
        Server::MariaDb => "global_priv",
    };
    format!("SELECT Host FROM mysql.{table} WHERE User = ''")
}

/// Other accounts that may log in as one of this user name: user, host.
/// <https://dev.mysql.com/doc/refman/9.7/en/proxy-users.html>
pub fn proxies(user: &str) -> String {
    let user = literal(user);
    format!(
        "SELECT DISTINCT User, Host FROM mysql.proxies_priv WHERE Proxied_user = {user} AND User <> {user}"
    )
}

/// The events that the server runs as an account of this user name: database, name, definer.
pub fn events_of(server: Server, user: &str) -> String {
    let columns_of = match server {
        Server::MySql => "EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS",
        Server::MariaDb => "db, name, definer FROM mysql.event",
    };
    format!(
        "SELECT {columns_of} WHERE STATUS = 'ENABLED' AND {}",
        is_definer(user)
    )
}

/// Whether the definer's user name is this one: a condition.
fn is_definer(user: &str) -> String {
    let user = literal(user);
    format!("LEFT(DEFINER, CHAR_LENGTH({user}) + 1) = CONCAT({user}, '@')")
}

/// How many views, routines and triggers of the database run with the rights of an account of this user name, whoever
/// uses them: <https://dev.mysql.com/doc/refman/9.7/en/stored-objects-security.html>.
pub fn definer_objects(server: Server, user: &str, database: &str) -> String {
    let count = |table: &str, schema: &str, more: &str| {
        format!(
            "(SELECT COUNT(*) FROM {table} WHERE {schema} = {} AND {}{more})",
            literal(database),
            is_definer(user)
        )
    };
    let by_definer = " AND SECURITY_TYPE = 'DEFINER'";
    let (routines, schema) = match server {
        Server::MySql => ("information_schema.ROUTINES", "ROUTINE_SCHEMA"),
        Server::MariaDb => ("mysql.proc", "db"),
    };
    format!(
        "SELECT {} + {} + {}",
        count("information_schema.VIEWS", "TABLE_SCHEMA", by_definer),
        count(routines, schema, by_definer),
        count("information_schema.TRIGGERS", "TRIGGER_SCHEMA", "")
    )
}

/// The transactions that are prepared and wait for their end, whoever began them; no session holds them.
/// <https://dev.mysql.com/doc/refman/9.7/en/xa-statements.html>
pub const PREPARED_TRANSACTIONS: &str = "XA RECOVER";

/// For how many seconds the server has been up: name, value.
pub const UPTIME: &str = "SHOW GLOBAL STATUS LIKE 'Uptime'";

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

/// What both servers show for a session that is changing its user (`COM_CHANGE_USER`), a login too. MySQL goes on showing the
/// user name that it had, whatever becomes of it.
pub const CHANGES_USER: &str = "Change user";

/// The sessions of a user name, and those whose login is not through; and this session, without which it is no list: id,
/// user, default database, command.
///
/// With a database, by MySQL's metadata locks, also whether a table of it is part of the session's transaction, which may
/// be committed whatever is revoked meanwhile, or a transaction whose tables are not shown is open; and whether any table
/// is shown to be in use: of this session at least those that it lists from.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-metadata-locks-table.html>
pub fn sessions(list: ProcessList, user: &str, database: Option<&str>) -> String {
    let schema = match list {
        ProcessList::PerformanceSchema => "performance_schema",
        ProcessList::InformationSchema => "information_schema",
    };
    let locks = database.map_or("0, 0".to_owned(), |database| {
        let tables = "SELECT PROCESSLIST_ID FROM performance_schema.metadata_locks JOIN performance_schema.threads \
                      ON THREAD_ID = OWNER_THREAD_ID WHERE OBJECT_TYPE = 'TABLE' AND PROCESSLIST_ID IS NOT NULL";
        format!(
            "ID IN ({tables} AND OBJECT_SCHEMA = {}) OR ID IN ({TRANSACTIONS}) AND ID NOT IN ({tables}), ID IN ({tables})",
            literal(database)
        )
    });
    format!(
        "SELECT ID, USER, DB, COMMAND, {locks} FROM {schema}.processlist \
         WHERE USER IN ({}, '{NOT_LOGGED_IN}') OR COMMAND = '{CHANGES_USER}' OR ID = CONNECTION_ID()",
        literal(user)
    )
}

/// The ids of the sessions that have a transaction open. For a tenth of a second after somebody has read it, the table
/// shows what it showed then: <https://dev.mysql.com/doc/refman/9.7/en/innodb-information-schema-internal-data.html>.
pub const TRANSACTIONS: &str = "SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX";

/// Opens a transaction that [`TRANSACTIONS`] shows.
pub const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";

/// Ends it.
pub const ROLLBACK: &str = "ROLLBACK";

/// How many sessions and metadata locks the performance schema had no room for: where that is not 0, its lists have gaps.
/// And how many sessions of the X Protocol there are, which it shows only once they have run something or chosen a
/// database.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-status-variables.html>
pub const LIST_GAPS: &str = "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME IN \
                             ('Performance_schema_thread_instances_lost', 'Performance_schema_metadata_lock_lost', \
                             'Mysqlx_sessions')";

/// Keeps every other fail-start from taking the same away on this server, until this session ends or [releases](RELEASE) it:
/// 1 where it does, 0 where another does. Lock: the account, which is the server's. Revoke: what it holds on this database.
/// Waits for a few seconds, since a session may end a little later than its program.
/// <https://dev.mysql.com/doc/refman/9.7/en/locking-functions.html>
pub fn claim(user: &str, database: Option<&str>) -> String {
    format!("SELECT GET_LOCK({}, 3)", claim_name(user, database))
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

/// Ends one session.
pub fn kill(id: u64) -> String {
    format!("KILL {id}")
}

/// The server's own database.
pub const SYSTEM: &str = "mysql";

/// The procedures by which managed services let their customers end a session, where there are some: name.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/mysql-stored-proc-ending.html>
/// <https://learn.microsoft.com/azure/mysql/flexible-server/how-to-troubleshoot-query-performance>
pub const KILL_PROCEDURES: &str = "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mysql' \
                                   AND ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_NAME IN ('rds_kill', 'az_kill')";

/// Ends one session by a procedure of [`KILL_PROCEDURES`].
pub fn call_to_kill(procedure: &str, id: u64) -> String {
    format!("CALL {SYSTEM}.{}({id})", identifier(procedure))
}

/// Does nothing.
pub const NOTHING: &str = "DO 0";

/// Lets a session wait for hours, in no database and no transaction.
pub fn stays_idle() -> [String; 2] {
    [
        "SET SESSION autocommit = 1, SESSION wait_timeout = 86400".to_owned(),
        "USE information_schema".to_owned(),
    ]
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

/// The guide's grant, for an account that held nothing on the database before; the database by its name in a grant.
pub fn grant_all(database: &str, account: &Account) -> String {
    format!(
        "GRANT ALL PRIVILEGES ON {}.* TO {account}",
        identifier(database)
    )
}

const IN_ORACLE: &str = "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE ";

/// The statement as MariaDB must be sent it where it is about a package, of which its parser knows in this mode alone. Both
/// the mode and the parsing are for this statement only, so that it can be sent in an event too.
/// <https://mariadb.com/kb/en/create-package/>
pub fn in_oracle(statement: &str) -> String {
    IN_ORACLE.to_owned() + &literal(statement)
}

/// The statement that [`in_oracle`] was given.
pub fn inside_oracle(statement: &str) -> Option<String> {
    let quoted = statement.strip_prefix(IN_ORACLE)?;
    let inner = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    let inner = inner.replace("''", "'").replace("\\\\", "\\");
    (literal(&inner) == quoted).then_some(inner)
}

/// What there is of a table or view: its name with no column, and with each of its columns. A view that does not work has none.
pub fn columns(database: &str, table: &str) -> String {
    let of = format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(database),
        literal(table)
    );
    format!(
        "SELECT TABLE_NAME, NULL FROM information_schema.TABLES WHERE {of} \
         UNION ALL SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE {of}"
    )
}

/// Reads no row of a table or view, which fails where it does not work.
pub fn open_only(database: &str, table: &str) -> String {
    let (database, table) = (identifier(database), identifier(table));
    format!("SELECT 1 FROM {database}.{table} LIMIT 0")
}

/// The routine's name, if it is there. `LIBRARY` is MySQL's, and has a table of its own.
/// <https://dev.mysql.com/doc/refman/9.7/en/information-schema-libraries-table.html>
pub fn routine(kind: &str, database: &str, name: &str) -> String {
    if kind == "LIBRARY" {
        return format!(
            "SELECT LIBRARY_NAME FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = {} AND LIBRARY_NAME = {}",
            literal(database),
            literal(name)
        );
    }
    format!(
        "SELECT ROUTINE_NAME FROM information_schema.ROUTINES \
         WHERE ROUTINE_TYPE = {} AND ROUTINE_SCHEMA = {} AND ROUTINE_NAME = {}",
        literal(kind),
        literal(database),
        literal(name)
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

/// Whether the undo is there that this line says the maker of: a condition.
pub fn undo_is_there(database: &str, by: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {} AND EVENT_NAME = '{UNDO}' \
         AND LOCATE({}, EVENT_DEFINITION) > 0)",
        literal(database),
        literal(by)
    )
}

/// On MySQL: this statement, if the condition holds; it prepares what it finds, since there are no conditions outside stored
/// programs. <https://dev.mysql.com/doc/refman/9.7/en/sql-prepared-statements.html>
pub fn only_if(condition: &str, statement: &str) -> [String; 3] {
    [
        format!(
            "SET @fail_start = IF({condition}, {}, 'DO 0')",
            literal(statement)
        ),
        "PREPARE fail_start FROM @fail_start".to_owned(),
        "EXECUTE fail_start".to_owned(),
    ]
}

/// On MySQL: whether the account row is there: a condition.
pub fn account_is_there(account: &Account) -> String {
    format!(
        "EXISTS (SELECT 1 FROM mysql.user WHERE User = {} AND Host = {})",
        literal(&account.user),
        literal(&account.host)
    )
}

/// Whether the column of a table or view is there, which a view that does not work has none of: a condition.
pub fn column_is_there(database: &str, table: &str, column: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} AND COLUMN_NAME = {})",
        literal(database),
        literal(table),
        literal(column)
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
    fn a_list_of_roles_is_read_as_the_server_reads_it() {
        let listed = Account::list("`r`@`%`,plain, 'q@x'@localhost ,\"a,b\"@'10.%'");
        let listed: Vec<String> = listed.iter().map(Account::to_string).collect();
        assert_eq!(
            listed,
            [
                "`r`@`%`",
                "`plain`@`%`",
                "`q@x`@`localhost`",
                "`a,b`@`10.%`"
            ]
        );
        assert_eq!(Account::list(""), []);
    }

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
