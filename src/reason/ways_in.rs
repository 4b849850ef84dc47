//! What would stay open, or go on, though the account is locked or its grants are revoked. Those
//! that are only words are the other ways in.

use std::fmt::Display;

use super::{Kind, Reason};

pub fn lock_leaves_way_in(user: &str, way_in: &str) -> Reason {
    way_in_stays(format_args!("lock '{user}'"), way_in, "")
}

/// `or_lock`: where that would do.
pub fn revoke_leaves_way_in(database: &str, way_in: &str, or_lock: bool) -> Reason {
    let first = if or_lock {
        "use --method lock, or "
    } else {
        ""
    };
    let how = format_args!("revoke the grants on `{database}`");
    way_in_stays(how, way_in, first)
}

fn way_in_stays(how: impl Display, way_in: &str, first: &str) -> Reason {
    Kind::OtherWayIn.told(format_args!(
        "to {how} would not take it offline, since there is also {way_in}: {first}revoke that"
    ))
}

pub fn way_by_proxy(name: &str, host: &str, user: &str) -> String {
    format!("'{name}'@'{host}', which may log in as '{user}' (GRANT PROXY)")
}

pub fn way_without_name(host: &str, grant: impl Display) -> String {
    format!(
        "''@'{host}', the account without a name, which takes any login from there and holds {grant}"
    )
}

/// MySQL's ''@'%' on databases.
pub fn way_of_everybody(pattern: &str) -> String {
    format!("a grant to ''@'%', so to everybody, ON `{pattern}`.*")
}

/// Of a row that is not among the account's.
pub fn way_of_no_row(row: impl Display, database: &str) -> String {
    format!(
        "a grant on `{database}` to {row}, which holds for the account's other rows too, though that row is gone from mysql.user \
         or its plugin from the server (then drop it, or delete its rows in mysql.db, mysql.tables_priv and mysql.procs_priv, and \
         FLUSH PRIVILEGES)"
    )
}

/// MariaDB's.
pub fn way_of_public(grant: impl Display) -> String {
    format!("{grant} TO PUBLIC")
}

pub fn way_of_mandatory_role(role: impl Display) -> String {
    format!("{role}, a mandatory role of this server")
}

pub fn way_of_global_grant() -> String {
    "a grant ON *.* beside the one on the database".to_owned()
}

/// So many events of the account, and the first of them.
pub fn own_events(count: usize, first: &str) -> Reason {
    let (them, go) = match count {
        1 => (format!("the event {first}"), "goes"),
        count => (format!("{count} events, {first} among them,"), "go"),
    };
    Kind::OwnEvents.told(format_args!(
        "{them} of the account itself {go} on, as the server runs that without a login: --method revoke would keep later runs out of this node's database"
    ))
}

/// So many objects that stop working for others too.
pub fn definer_objects(count: u64, database: &str, user: &str) -> Reason {
    let (objects, run) = match count {
        1 => ("1 view, routine or trigger".to_owned(), "runs"),
        count => (format!("{count} views, routines and triggers"), "run"),
    };
    Kind::DefinerObjects.told(format_args!(
        "{objects} in `{database}` {run} with the rights of '{user}', so meanwhile for nobody: --method lock would spare them"
    ))
}

/// So many accounts, with the first of them.
pub fn held_as_role(count: usize, first: &impl Display, database: &str, user: &str) -> Reason {
    let (holders, hold, lose, them) = match count {
        1 => (first.to_string(), "holds", "loses", "it"),
        count => (
            format!("{count} accounts ({first} first)"),
            "hold",
            "lose",
            "them",
        ),
    };
    Kind::HeldAsRole.told(format_args!(
        "{holders} {hold} '{user}' as a role and {lose} `{database}` with it: --method lock would spare {them}"
    ))
}

pub fn prepared_transactions(count: usize) -> Reason {
    let (transactions, are) = match count {
        1 => ("a transaction".to_owned(), "is"),
        count => (format!("{count} transactions"), "are"),
    };
    Kind::PreparedTransactions.told(format_args!(
        "{transactions} on this server {are} prepared (XA RECOVER) and held by no session: it keeps its locks, and whoever may \
         log in may commit it meanwhile"
    ))
}
