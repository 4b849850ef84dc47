//! The text of every statement that runs on a node; pure functions.
//!
//! Names are quoted as identifiers wherever SQL allows it, account names too, since only the
//! backtick needs care there whatever the session's `sql_mode` is:
//! <https://dev.mysql.com/doc/refman/9.7/en/identifiers.html>.

mod look;
mod sessions;
mod undo;

use std::fmt;

pub use self::look::*;
pub use self::sessions::*;
pub use self::undo::*;

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
        // The names may hold what stands between them, or be it: only one reading is written back
        // as it was.
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
    /// Reads a list of roles as the server's variable `mandatory_roles` has it: with or without
    /// quotes, and the host `%` where none is named.
    /// <https://dev.mysql.com/doc/refman/9.7/en/role-names.html>
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

/// The text as a string literal. Holds under [`session`]'s `sql_mode`, in which a backslash
/// escapes.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The text's bytes, each as two digits.
fn hexadecimal(text: &str) -> String {
    let bytes = text.bytes();
    bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Makes the session's own settings known, whatever the server's defaults are: nothing that it
/// inherits may change what its statements answer, how long they may take, or whether they take
/// effect at once.
///
/// `NO_AUTO_CREATE_USER` keeps MariaDB, and MySQL before 8.0, from making an account out of a
/// `GRANT` for one that is gone; a later MySQL never does, and has no such mode. A year is the
/// longest `wait_timeout`: the session must outlive the outage. `lock_wait_timeout`, in seconds,
/// ends a statement on the server by the time that its caller has given up on it, so that it does
/// not take effect later. Times are UTC, so that no daylight saving moves a deadline. The limit of a
/// statement's time has another name on each server; each skips the other's comment.
pub fn session(lock_wait_timeout: u64) -> [String; 2] {
    [
        format!(
            "SET NAMES utf8mb4, \
             SESSION sql_mode = IF(VERSION() LIKE '5.%' OR VERSION() LIKE '%MariaDB%', 'NO_AUTO_CREATE_USER', ''), \
             SESSION autocommit = 1, SESSION completion_type = 0, SESSION sql_big_selects = 1, \
             SESSION sql_select_limit = 18446744073709551615, SESSION sql_quote_show_create = 1, \
             SESSION wait_timeout = 31536000, SESSION lock_wait_timeout = {lock_wait_timeout}, \
             SESSION time_zone = '+00:00'/*!50708 , SESSION max_execution_time = 0 */\
             /*M!100101 , SESSION max_statement_time = 0 */"
        ),
        "SET SESSION TRANSACTION READ WRITE".to_owned(),
    ]
}

/// Server variables that tell one server from another, for any account to ask: the same only for
/// two connections to one server, however they are addressed. A server leaves out those that it
/// does not have.
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
const HANDLING: [&str; 13] = [
    "version",
    "lower_case_table_names",
    "log_bin",
    "super_read_only",
    "read_only",
    "innodb_read_only",
    "wsrep_on",
    "performance_schema",
    "event_scheduler",
    "mandatory_roles",
    "partial_revokes",
    "performance_schema_max_thread_instances",
    "performance_schema_max_metadata_locks",
];

/// Of all of them, those that MySQL alone asks for, from 5.7.8 on and from 8.0.16 on; and those that
/// MariaDB of 2024 and later alone has, where it is made for Galera, as most are.
const MYSQLS: [&str; 4] = [
    "server_uuid",
    "super_read_only",
    "performance_schema_max_thread_instances",
    "performance_schema_max_metadata_locks",
];
const LATER_MYSQLS: [&str; 2] = ["mandatory_roles", "partial_revokes"];
const MARIADBS: [&str; 2] = ["server_uid", "wsrep_on"];

/// A status variable of MySQL where it is made for Galera.
/// <https://docs.percona.com/percona-xtradb-cluster/8.0/wsrep-status-index.html>
pub const GALERA: &str = "wsrep_ready";

/// All of them, [`IDENTITY`] included: name, value.
pub fn variables() -> String {
    show_variables(&[&IDENTITY[..], &HANDLING].concat())
}

/// The same, in a fraction of the time: a row with a column for each that this server has, and on
/// MySQL one for whether it has [`GALERA`]. An error where it lacks one all the same. Each server
/// skips the others' comments.
/// <https://dev.mysql.com/doc/refman/9.7/en/comments.html>
pub fn variables_in_columns() -> String {
    let of_one = [&MYSQLS[..], &LATER_MYSQLS, &MARIADBS].concat();
    let all = IDENTITY.into_iter().chain(HANDLING);
    format!(
        "SELECT {}/*!50708 , {}, (SELECT COUNT(*) FROM performance_schema.global_status \
         WHERE VARIABLE_NAME = '{GALERA}') AS {GALERA} *//*!80016 , {} *//*M!100500 , {} */",
        global_columns(all.filter(|name| !of_one.contains(name))),
        global_columns(MYSQLS),
        global_columns(LATER_MYSQLS),
        global_columns(MARIADBS)
    )
}

/// Those of [`IDENTITY`]: name, value.
pub fn identity() -> String {
    show_variables(&IDENTITY)
}

/// The values of these, each in a column of its name: an error where the server lacks one of them.
pub fn values_of<'a>(variables: impl IntoIterator<Item = &'a str>) -> String {
    format!("SELECT {}", global_columns(variables))
}

fn global_columns<'a>(variables: impl IntoIterator<Item = &'a str>) -> String {
    let column = |name| format!("@@GLOBAL.{name} AS {}", identifier(name));
    let columns: Vec<String> = variables.into_iter().map(column).collect();
    columns.join(", ")
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

/// From here on this session writes nothing to the binary log, so that no replica hears of the
/// outage.
/// <https://dev.mysql.com/doc/refman/9.7/en/set-sql-log-bin.html>
pub const NO_BINARY_LOG: &str = "SET SESSION sql_log_bin = 0";

/// From here on this session's account statements stay on this node of a Galera cluster.
pub const NO_GALERA: &str = "SET SESSION wsrep_on = OFF";

/// Whether MariaDB has a row locked: a condition.
const IS_LOCKED: &str = "JSON_VALUE(Priv, '$.account_locked') = 1";

/// The account rows of these user names: user, host, locked (`Y` or `N`), on MySQL also the plugin
/// that they log in by.
pub fn accounts(server: Server, users: &[&str]) -> String {
    let users: Vec<String> = users.iter().map(|user| literal(user)).collect();
    let users = users.join(", ");
    match server {
        Server::MySql => format!(
            "SELECT User, Host, account_locked, plugin FROM mysql.user WHERE User IN ({users})"
        ),
        // A role has a row there too, with no host.
        Server::MariaDb => format!(
            "SELECT User, Host, IF({IS_LOCKED}, 'Y', 'N'), NULL FROM mysql.global_priv \
             WHERE User IN ({users}) AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0)"
        ),
    }
}

/// Whether none of these account rows is locked: a condition.
pub fn none_is_locked(server: Server, accounts: &[Account]) -> String {
    let (table, is_locked) = match server {
        Server::MySql => ("mysql.user", "account_locked = 'Y'"),
        Server::MariaDb => ("mysql.global_priv", IS_LOCKED),
    };
    format!(
        "NOT EXISTS (SELECT 1 FROM {table} WHERE (User, Host) IN ({}) AND {is_locked})",
        pairs(accounts)
    )
}

/// The account rows, each as a pair of its user and its host.
fn pairs(accounts: &[Account]) -> String {
    let pair = |one: &Account| format!("({}, {})", literal(&one.user), literal(&one.host));
    accounts.iter().map(pair).collect::<Vec<_>>().join(", ")
}

/// The plugin that every MySQL has.
pub const OWN_PLUGIN: &str = "caching_sha2_password";

/// All plugins that MySQL has. Not for every look: the list takes room on the disk, without which
/// MySQL 9.7 breaks down.
pub const PLUGINS: &str =
    "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'";

/// What an account row holds.
pub fn grants(account: &Account) -> String {
    format!("SHOW GRANTS FOR {account}")
}

/// For how many seconds the server has been up: name, value.
pub const UPTIME: &str = "SHOW GLOBAL STATUS LIKE 'Uptime'";

/// The server's own database.
pub const SYSTEM: &str = "mysql";

/// This text, as an answer.
pub fn text(text: &str) -> String {
    format!("SELECT {}", literal(text))
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

/// Allows logins of one account row again. One row a statement: a row that is gone must not keep
/// the others locked.
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

/// The guide's grant, for an account that held nothing on the database before; the database by its
/// name in a grant.
pub fn grant_all(database: &str, account: &Account) -> String {
    format!(
        "GRANT ALL PRIVILEGES ON {}.* TO {account}",
        identifier(database)
    )
}

const IN_ORACLE: &str = "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE ";

/// The statement as MariaDB must be sent it where it is about a package, of which its parser knows
/// in this mode alone. Both the mode and the parsing are for this statement only, so that it can be
/// sent in an event too.
/// <https://mariadb.com/kb/en/create-package/>
pub fn in_oracle(statement: &str) -> String {
    // As the server shows an event, these would stand otherwise in a text (seen on MariaDB 10.5 to
    // 11.8).
    let text = if statement.contains(|c: char| c == '\\' || c.is_control()) {
        format!("{HEX}{}{HEX_END}", hexadecimal(statement))
    } else {
        literal(statement)
    };
    IN_ORACLE.to_owned() + &text
}

const HEX: &str = "CONVERT(X'";
const HEX_END: &str = "' USING utf8mb4)";

/// The statement that [`in_oracle`] was given.
pub fn inside_oracle(statement: &str) -> Option<String> {
    let text = statement.strip_prefix(IN_ORACLE)?;
    let inner = if let Some(digits) = text.strip_prefix(HEX) {
        let digits = digits.strip_suffix(HEX_END)?.as_bytes();
        let byte = |two: &[u8]| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok();
        String::from_utf8(digits.chunks(2).map(byte).collect::<Option<_>>()?).ok()?
    } else {
        let quoted = text.strip_prefix('\'')?.strip_suffix('\'')?;
        quoted.replace("''", "'")
    };
    (in_oracle(&inner) == statement).then_some(inner)
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
