//! What is asked about a node before anything is changed there.

use super::{Account, Server, identifier, literal, pairs};
use crate::server::names::Names;

/// The database's name, as the server spells it; no row where there is none.
pub fn database(name: &str) -> String {
    format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        literal(name)
    )
}

/// The same, with all other databases that a grant on this name may cover, where it may be a pattern.
/// <https://dev.mysql.com/doc/refman/9.7/en/grant.html#grant-quoting>
pub fn databases_like(name: &str, names: Names) -> String {
    let stands_for_others = names == Names::Patterns && name.contains(['_', '%']);
    // A backslash escapes: as a pattern such a name is none of its own.
    let or_alike = match (stands_for_others, name.contains('\\')) {
        (false, _) => return database(name),
        (true, false) => String::new(),
        (true, true) => format!("SCHEMA_NAME = {} OR ", literal(name)),
    };
    format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE {or_alike}SCHEMA_NAME LIKE {}",
        literal(name)
    )
}

/// What the tables of grants hold on this database, or on a pattern that may cover it, for this user
/// name, and for the one without a name, whose grants on databases hold for all: user, host,
/// database, whether that may be a pattern. The server asks these tables by the user name and the
/// client's host, whatever row of `mysql.user` let the client in.
/// <https://dev.mysql.com/doc/refman/9.7/en/request-access.html>
pub fn granted_by_name(user: &str, database: &str) -> String {
    let (user, database) = (literal(user), literal(database));
    let on_parts = |table: &str| {
        format!("SELECT User, Host, Db, 0 FROM {table} WHERE User = {user} AND Db = {database}")
    };
    format!(
        "SELECT User, Host, Db, 1 FROM mysql.db WHERE User IN ('', {user}) AND ({database} LIKE Db OR Db = {database}) \
         UNION ALL {} UNION ALL {}",
        on_parts("mysql.tables_priv"),
        on_parts("mysql.procs_priv")
    )
}

/// What every account holds on MariaDB 10.11 and later.
pub const PUBLIC_GRANTS: &str = "SHOW GRANTS FOR PUBLIC";

/// Other accounts that may log in as one of this user name: user, host.
/// <https://dev.mysql.com/doc/refman/9.7/en/proxy-users.html>
pub fn proxies(user: &str) -> String {
    let user = literal(user);
    format!(
        "SELECT User, Host FROM mysql.proxies_priv WHERE Proxied_user = {user} AND User <> {user}"
    )
}

/// On MariaDB: the events that the server runs as an account of this user name, whatever database
/// they are in: database, name, definer.
pub fn events_of(user: &str) -> String {
    format!(
        "SELECT db, name, definer FROM mysql.event WHERE {}",
        runs_as(user)
    )
}

/// Whether the server runs an event as an account of this user name: a condition.
pub fn runs_as(user: &str) -> String {
    format!("(STATUS = 'ENABLED' AND {})", is_definer(user))
}

/// Whether the definer's user name is this one: a condition.
pub(super) fn is_definer(user: &str) -> String {
    // A pattern, for which MySQL has an index.
    let begins = Names::Patterns.of(user) + "@%";
    format!("DEFINER LIKE {}", literal(&begins))
}

/// How many views, routines and triggers of the database run with the rights of these account rows,
/// whoever uses them:
/// <https://dev.mysql.com/doc/refman/9.7/en/stored-objects-security.html>.
pub fn definer_objects(server: Server, accounts: &[Account], database: &str) -> String {
    // Else MariaDB takes `A` for `a` there.
    let exactly = match server {
        Server::MySql => "",
        Server::MariaDb => " COLLATE utf8mb4_bin",
    };
    let name = |account: &Account| {
        let Account { user, host } = account;
        literal(&format!("{user}@{host}")) + exactly
    };
    let definers: Vec<String> = accounts.iter().map(name).collect();
    let count = |table: &str, schema: &str, more: &str| {
        format!(
            "(SELECT COUNT(*) FROM {table} WHERE {schema} = {} AND DEFINER IN ({}){more})",
            literal(database),
            definers.join(", ")
        )
    };
    let by_definer = " AND SECURITY_TYPE = 'DEFINER'";
    let (routines, schema) = routines(server);
    format!(
        "SELECT {} + {} + {}",
        count("information_schema.VIEWS", "TABLE_SCHEMA", by_definer),
        count(routines, schema, by_definer),
        // Its table's, which is its own: by this one MariaDB looks into no other database.
        count("information_schema.TRIGGERS", "EVENT_OBJECT_SCHEMA", "")
    )
}

/// The accounts that hold one of these rows as a role (MySQL): user, host.
/// <https://dev.mysql.com/doc/refman/9.7/en/roles.html>
pub fn holders_as_a_role(accounts: &[Account]) -> String {
    format!(
        "SELECT DISTINCT TO_USER, TO_HOST FROM mysql.role_edges WHERE (FROM_USER, FROM_HOST) IN ({}) ORDER BY 1, 2",
        pairs(accounts)
    )
}

/// Where a server lists its routines, and their database there.
pub(super) fn routines(server: Server) -> (&'static str, &'static str) {
    match server {
        Server::MySql => ("information_schema.ROUTINES", "ROUTINE_SCHEMA"),
        Server::MariaDb => ("mysql.proc", "db"),
    }
}

/// The transactions that are prepared and wait for their end, whoever began them; no session holds
/// them.
/// <https://dev.mysql.com/doc/refman/9.7/en/xa-statements.html>
pub const PREPARED_TRANSACTIONS: &str = "XA RECOVER";

/// What there is of a table or view: its name with no column, and with each of its columns. A view
/// that does not work has none.
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

/// The routine's name, as [`columns`] has it, if it is there. `LIBRARY` is MySQL's, and has a table of its own.
/// <https://dev.mysql.com/doc/refman/9.7/en/information-schema-libraries-table.html>
pub fn routine(kind: &str, database: &str, name: &str) -> String {
    if kind == "LIBRARY" {
        return format!(
            "SELECT LIBRARY_NAME, NULL FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = {} AND LIBRARY_NAME = {}",
            literal(database),
            literal(name)
        );
    }
    format!(
        "SELECT ROUTINE_NAME, NULL FROM information_schema.ROUTINES \
         WHERE ROUTINE_TYPE = {} AND ROUTINE_SCHEMA = {} AND ROUTINE_NAME = {}",
        literal(kind),
        literal(database),
        literal(name)
    )
}
