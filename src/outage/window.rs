//! The statements of the way through `super_read_only`: what is sent before those that change
//! something, and what after them.

use crate::server::sql;

/// How long a lock is waited for while it is lifted, in seconds, and before that is done.
pub(super) const SHORT_WAIT: u64 = 2;

/// Only one at a time may lift and put back: of two, the second would remember what the first has
/// lifted.
pub(super) const ALONE: &str = "'fail_start.read_only'";

/// This member's role in its group, `NULL` outside one.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-replication-group-members-table.html>
pub(super) const ROLE: &str = "(SELECT MEMBER_ROLE FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid)";

/// When somebody last set `read_only`: a group does that to make its primary writable, and in doing
/// so switches both off.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-variables-info-table.html>
pub(super) const READ_ONLY_SET: &str = "(SELECT CAST(SET_TIME AS CHAR) FROM performance_schema.variables_info WHERE VARIABLE_NAME = 'read_only')";

/// What is sent before the statements: switches `super_read_only` off, and remembers in the session
/// what was on at that moment. Nothing is set on a server that is writable. What may wait for a
/// lock then waits for so many seconds.
/// <https://dev.mysql.com/doc/refman/9.7/en/server-system-variables.html#sysvar_super_read_only>
pub(super) fn open(lock_wait_timeout: u64) -> Vec<String> {
    let mut statements = vec![
        "SET @fail_start_wait = @@SESSION.lock_wait_timeout".to_owned(),
        format!("SET SESSION lock_wait_timeout = {lock_wait_timeout}"),
        format!(
            "SET @fail_start_set = {READ_ONLY_SET}, @fail_start_super = @@GLOBAL.super_read_only, \
             @fail_start_events = @@GLOBAL.event_scheduler"
        ),
    ];
    // Events of others that are overdue would run in between, and write.
    statements.extend(sql::only_if(
        "@fail_start_super = 1 AND @fail_start_events = 'ON'",
        "SET GLOBAL event_scheduler = OFF",
    ));
    statements.extend(sql::only_if(
        "@fail_start_super = 1",
        "SET GLOBAL super_read_only = OFF",
    ));
    statements
}

/// What is sent after them: puts everything back as it was; can be sent again. Whoever makes the
/// server writable meanwhile switches `read_only` off too.
pub(super) fn close() -> Vec<String> {
    let mut statements = Vec::new();
    statements.extend(sql::only_if(
        "@fail_start_super = 1 AND @@GLOBAL.read_only = 1 AND @@GLOBAL.super_read_only = 0",
        "SET GLOBAL super_read_only = ON",
    ));
    // The group may have made it writable just before that.
    statements.extend(sql::only_if(
        &format!(
            "@fail_start_super = 1 AND @@GLOBAL.super_read_only = 1 AND {ROLE} = 'PRIMARY' AND NOT (@fail_start_set <=> {READ_ONLY_SET})"
        ),
        "SET GLOBAL read_only = OFF",
    ));
    statements.extend(sql::only_if(
        "@fail_start_super = 1 AND @fail_start_events = 'ON'",
        "SET GLOBAL event_scheduler = ON",
    ));
    statements.push(
        "SET SESSION lock_wait_timeout = COALESCE(@fail_start_wait, @@SESSION.lock_wait_timeout)"
            .to_owned(),
    );
    statements.push("SET @fail_start_super = NULL".to_owned());
    statements
}

/// The statements as a person would send them, with what goes before and after them.
pub fn around(statements: &[String]) -> Vec<String> {
    let alone = vec![format!("DO GET_LOCK({ALONE}, 10)")];
    let release = vec![format!("DO RELEASE_LOCK({ALONE})")];
    [
        &alone,
        &open(SHORT_WAIT)[..],
        statements,
        &close(),
        &release,
    ]
    .concat()
}

/// The same as [`around`], for a session that nobody looks after: it waits for as long as it takes,
/// for the lock and for whoever keeps `super_read_only` from being switched on again.
pub fn around_at_last(statements: &[String]) -> Vec<String> {
    const AT_LAST: u64 = 31_536_000;
    let alone = vec![format!("DO GET_LOCK({ALONE}, {AT_LAST})")];
    [&alone, &open(AT_LAST)[..], statements, &close()].concat()
}

/// The locks of others that `super_read_only = ON`, or an account statement, would wait for:
/// thread, event, what it is of, its type, session, user, kind of thread. Each statement that
/// writes has the first two for a moment.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-metadata-locks-table.html>
pub(super) const IN_THE_WAY: &str = "SELECT OWNER_THREAD_ID, OWNER_EVENT_ID, OBJECT_TYPE, LOCK_TYPE, PROCESSLIST_ID, PROCESSLIST_USER, NAME \
                          FROM performance_schema.metadata_locks LEFT JOIN performance_schema.threads ON THREAD_ID = OWNER_THREAD_ID \
                          WHERE (OBJECT_TYPE IN ('GLOBAL', 'COMMIT') OR OBJECT_TYPE = 'BACKUP LOCK' AND LOCK_TYPE = 'SHARED') \
                          AND NOT (PROCESSLIST_ID <=> CONNECTION_ID()) ORDER BY LOCK_STATUS";

/// A row of [`IN_THE_WAY`].
pub(super) type InTheWay = (
    Option<u64>,
    Option<u64>,
    String,
    String,
    Option<u64>,
    Option<String>,
    Option<String>,
);

/// A row of [`left`].
pub(super) type Left = (
    Option<bool>,
    Option<bool>,
    Option<String>,
    Option<i64>,
    Option<String>,
);

/// What was left as it must not be: whether `super_read_only`, whether the event scheduler; who set
/// the first, how long ago, and the member's role. By who set it, and when; `read_only` stays on
/// while it is lifted.
/// <https://dev.mysql.com/doc/refman/9.7/en/performance-schema-variables-info-table.html>
pub(super) fn left() -> String {
    let me = "LEFT(USER(), CHAR_LENGTH(USER()) - LOCATE('@', REVERSE(USER())))";
    format!(
        "SELECT s.SET_USER = {me} AND @@GLOBAL.read_only = 1 AND @@GLOBAL.super_read_only = 0 AND COALESCE({ROLE}, '') <> 'PRIMARY', \
         s.SET_USER = {me} AND e.SET_USER = {me} AND @@GLOBAL.event_scheduler = 'OFF' \
         AND ABS(TIMESTAMPDIFF(SECOND, s.SET_TIME, e.SET_TIME)) < 4, \
         CONCAT(s.SET_USER, '@', s.SET_HOST), TIMESTAMPDIFF(SECOND, s.SET_TIME, UTC_TIMESTAMP(6)), {ROLE} \
         FROM performance_schema.variables_info s, performance_schema.variables_info e \
         WHERE s.VARIABLE_NAME = 'super_read_only' AND e.VARIABLE_NAME = 'event_scheduler'"
    )
}
