//! The event that is left on a node.

use super::{Account, identifier, is_definer, literal, runs_as};

/// The name of the event that holds the undo, in the node's database.
pub const UNDO: &str = "fail_start_undo";

/// Leaves the undo on the node. It fails where there is one already, so that of two programs one
/// gets the node. Without `due`, in seconds from now, the server never runs it by itself.
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

/// Whether no event of the undo's name is there: a condition.
pub fn no_undo(database: &str) -> String {
    format!("NOT {}", undo_exists(database, ""))
}

/// Whether the undo is there that this line says the maker of: a condition.
pub fn undo_is_by(database: &str, by: &str) -> String {
    undo_exists(database, &and_holds(by))
}

/// Whether it is there as an admin of this user name has left it, with a body of so many characters:
/// a condition. The body itself may be as large as a packet can be.
pub fn undo_is(database: &str, by: &str, characters: usize, admin: &str) -> String {
    let is = format!(
        "{} AND CHAR_LENGTH(EVENT_DEFINITION) = {characters} AND {}",
        and_holds(by),
        is_definer(admin)
    );
    undo_exists(database, &is)
}

fn and_holds(by: &str) -> String {
    format!(" AND LOCATE({}, EVENT_DEFINITION) > 0", literal(by))
}

/// MariaDB compares names of databases there without regard to case and accents.
fn undo_exists(database: &str, and: &str) -> String {
    let database = literal(database);
    format!(
        "EXISTS (SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {database} \
         AND EVENT_SCHEMA = {database} COLLATE utf8mb4_bin AND EVENT_NAME = '{UNDO}'{and})"
    )
}

/// By which error [`stop_unless`] ends a packet: `ER_SUBQUERY_NO_1_ROW`.
pub const STOPPED: u16 = 1242;

/// Ends a packet by an [error](STOPPED) where the condition does not hold: MySQL has no other condition
/// for all that follows outside stored programs.
pub fn stop_unless(condition: &str) -> String {
    format!(
        "SET @fail_start = (SELECT 1 FROM (SELECT 1 UNION ALL SELECT 2) two WHERE NOT {condition})"
    )
}

/// On MySQL: this statement, if the condition holds; it prepares what it finds, since there are no
/// conditions outside stored programs.
/// <https://dev.mysql.com/doc/refman/9.7/en/sql-prepared-statements.html>
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

/// Whether the column of a table or view is there, which a view that does not work has none of: a
/// condition.
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

/// All undos on the server, and the events that it runs as an account of this user name: whether it
/// is the one and the other, database, name, definer, since when (UTC), for how many seconds
/// already, until when (UTC; `NULL` where the server does not run it by itself), body. Those of
/// databases alone on which the admin has `EVENT`.
/// <https://dev.mysql.com/doc/refman/9.7/en/information-schema-events-table.html>
pub fn events(user: &str) -> String {
    let is_undo = format!("EVENT_NAME = '{UNDO}'");
    let is_own = runs_as(user);
    format!(
        "SELECT {is_undo}, {is_own}, EVENT_SCHEMA, EVENT_NAME, DEFINER, CREATED, \
         TIMESTAMPDIFF(SECOND, CREATED, UTC_TIMESTAMP()), IF(STATUS = 'ENABLED', STARTS, NULL), EVENT_DEFINITION \
         FROM information_schema.EVENTS WHERE {is_undo} OR {is_own}"
    )
}
