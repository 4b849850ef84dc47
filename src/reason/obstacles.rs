//! What is in the way of an outage: why a node is not taken.

use std::fmt::Display;

use super::{Kind, Reason};

pub fn no_account(user: &str, variable: &str) -> Reason {
    Kind::NoAccount.told(format_args!(
        "it has no account named '{user}': check {variable}"
    ))
}

pub fn no_database(database: &str, admin: &str, variable: &str) -> Reason {
    Kind::NoDatabase.told(format_args!(
        "it has no database named '{database}', or none that {admin} may see (GRANT SHOW DATABASES): check {variable}"
    ))
}

/// The variables are the account's and the admin's.
pub fn admin_is_account(user: &str, variable: &str, admins: &str) -> Reason {
    Kind::AdminIsAccount.told(format_args!(
        "the application's account and the admin are both '{user}', which would lock itself out: check {variable} and {admins}"
    ))
}

pub fn lacks_privilege(admin: &str, privilege: &str) -> Reason {
    Kind::LacksPrivilege.told(format_args!(
        "{admin} lacks the privilege {privilege} ON *.*"
    ))
}

/// `or_lock`: where the admin may do that.
pub fn may_not_revoke(
    admin: &str,
    grant: impl Display,
    user: &str,
    needs: impl Display,
    or_lock: bool,
) -> Reason {
    let or = if or_lock { ". Use --method lock" } else { "" };
    Kind::LacksPrivilege.told(format_args!(
        "{admin} may not revoke {grant} from '{user}' and grant it again: it needs {needs}{or}"
    ))
}

/// `super_read_only`.
pub fn read_only() -> Reason {
    Kind::ReadOnly.told(
        "it is read-only even for its admin (super_read_only): with --lift-read-only that is switched off for the \
         milliseconds that it takes",
    )
}

/// MariaDB's `NO_LOCK_NO_ADMIN`.
pub fn read_only_for_good() -> Reason {
    Kind::ReadOnly.told(
        "it is read-only even for its admin (read_only = NO_LOCK_NO_ADMIN), and --lift-read-only does not lift that: SET \
         GLOBAL read_only = NO_LOCK",
    )
}

/// MariaDB's `read_only`, for an admin without the privilege to write there all the same.
pub fn read_only_for(admin: &str) -> Reason {
    Kind::ReadOnly.told(format_args!(
        "it is read-only, and {admin} may not write there: it lacks the privilege READ_ONLY ADMIN ON *.*"
    ))
}

/// `innodb_read_only`.
pub fn accounts_read_only() -> Reason {
    Kind::ReadOnly.told(
        "no account can be changed there (innodb_read_only), as on a reader of Aurora: name the writer's address",
    )
}

pub fn lift_needs_version(version: &str) -> Reason {
    Kind::ReadOnly.told(format_args!(
        "--lift-read-only needs MySQL 8.0 or later, this is {version}"
    ))
}

pub fn lift_needs_no_binary_log(admin: &str) -> Reason {
    Kind::LacksPrivilege.told(format_args!(
        "{admin} may not switch the binary log off (sql_log_bin), so its group or its replicas would go offline too: \
         --lift-read-only needs that"
    ))
}

pub fn lift_needs_privilege(admin: &str, privilege: &str) -> Reason {
    Kind::LacksPrivilege.told(format_args!(
        "{admin} lacks the privilege {privilege}, which --lift-read-only needs: grant it ON *.*"
    ))
}

pub fn lift_needs_performance_schema(admin: &str) -> Reason {
    Kind::LacksPrivilege.told(format_args!(
        "{admin} may not read performance_schema, which --lift-read-only needs: grant it SELECT ON performance_schema.*"
    ))
}

/// The words of an error of a kind of its own, as with the next.
pub fn lifted_by_another() -> String {
    "another fail-start is going through its super_read_only".to_owned()
}

/// The replication's session, where there is no `user`.
pub fn lift_waits_for(session: u64, user: Option<&str>, lock: &str) -> String {
    let who = user.map_or("the replication".to_owned(), |user| format!("'{user}'"));
    format!(
        "session {session} of {who} holds a {lock} lock (a backup, or a long statement), for which super_read_only would have to wait"
    )
}

/// Galera's.
pub fn would_reach_cluster(admin: &str) -> Reason {
    Kind::WouldReachCluster.told(format_args!(
        "{admin} may not switch Galera's replication off (wsrep_on), so the whole cluster would go offline: grant it SUPER"
    ))
}

pub fn system_user(account: &str, admin: &str) -> Reason {
    Kind::SystemUser.told(format_args!(
        "{account} holds SYSTEM_USER, so that {admin}, which does not, may change nothing about it"
    ))
}

/// `how`: since when, and by whom.
pub fn already_offline(how: impl Display, number: u32) -> Reason {
    Kind::AlreadyOffline.told(format_args!(
        "it is offline already, {how}: `fail-start recover {number}` brings it back"
    ))
}

/// The account is locked for the node with this database on the same server.
pub fn locked_for_another(database: &str, how: impl Display) -> Reason {
    Kind::AlreadyOffline.told(format_args!(
        "the account is locked on this server for the node with the database `{database}`, {how}: bring that one back first \
         (fail-start recover)"
    ))
}

/// And not by fail-start.
pub fn already_locked(user: &str, number: u32) -> Reason {
    Kind::AlreadyLocked.told(format_args!(
        "'{user}' is locked already, and not by fail-start: `fail-start recover {number}` unlocks it"
    ))
}

/// `check`: the variables that name both.
pub fn nothing_to_revoke(user: &str, database: &str, check: [&String; 2], number: u32) -> Reason {
    let [name, account] = check;
    Kind::NothingToRevoke.told(format_args!(
        "'{user}' holds nothing on `{database}`, so there is nothing to revoke: check {name} and {account}; where it held all there, \
         `fail-start recover {number}` grants it ALL PRIVILEGES"
    ))
}

pub fn unknown_grant(account: impl Display) -> Reason {
    Kind::UnknownGrant.told(format_args!(
        "SHOW GRANTS FOR {account} shows a grant that fail-start cannot read, so that it could not give it \
         back: use --method lock"
    ))
}

/// `alone`: what stands for this database and no other in a grant.
pub fn covers_another_database(
    account: impl Display,
    database: &str,
    alone: &str,
    other: &str,
) -> Reason {
    Kind::CoversAnotherDatabase.told(format_args!(
        "the grant to {account} ON `{database}`.* covers `{other}` too, since `_` and `%` stand for others there, and so would go \
         with it: GRANT the same ON `{alone}`.* and REVOKE that, or use --method lock"
    ))
}

/// The server finds its way no more once one of them is revoked.
pub fn column_in_two_cases(account: impl Display, column: &str) -> Reason {
    Kind::UnknownGrant.told(format_args!(
        "{account} holds grants on the column `{column}` by two spellings of its name, of which the server revokes and gives back \
         only one: revoke those, FLUSH PRIVILEGES, and grant both by one spelling, or use --method lock"
    ))
}

/// The admin lacks this privilege; and the account's password, by this variable, is not known, or
/// `why_not` is why it cannot log in.
pub fn nobody_ends_sessions(
    admin: &str,
    privilege: &str,
    user: &str,
    variable: &str,
    why_not: Option<&Reason>,
) -> Reason {
    let lacks = format!("{admin} lacks the privilege {privilege} to end the sessions of '{user}'");
    Kind::CannotEndSessions.told(match why_not {
        None => format!(
            "{lacks}: set {variable}, so that '{user}' ends its own, or leave them open with --keep-sessions"
        ),
        Some(why) => format!(
            "{lacks}, and '{user}', which could end its own, cannot log in ({why}): check {variable}, or leave them open with \
             --keep-sessions"
        ),
    })
}

/// `other`: a node that is named too, as with the next two.
pub fn same_database(other: impl Display) -> Reason {
    Kind::SameDatabase.told(format_args!("it is the same database as {other}: name one"))
}

pub fn same_server(other: impl Display) -> Reason {
    Kind::SameServer.told(format_args!(
        "it is the same server as {other}, where one lock takes both offline, and has another admin: name one, or give \
         both the same"
    ))
}

/// Between the looks of both.
pub fn being_locked(other: impl Display, user: &str) -> Reason {
    Kind::TakenByAnother.told(format_args!(
        "it is the same server as {other}, and somebody is locking or unlocking '{user}' there just now: try again"
    ))
}

/// To whom wants the node back.
pub fn about_to_go(number: u32) -> Reason {
    Kind::TakenByAnother.told(format_args!(
        "another fail-start has claimed it: it is about to take it offline, was killed when it was (`fail-start recover {number}` \
         again in a moment), or holds it though somebody has brought it back by hand (end that one)"
    ))
}

/// Another fail-start has claimed the account, where it is to be locked, or else the node.
pub fn claimed(is_account: bool, number: u32) -> Reason {
    let what = if is_account {
        "the account on this server"
    } else {
        "this node"
    };
    Kind::TakenByAnother.told(format_args!(
        "another fail-start is taking {what} offline, or still waits for its Y after somebody has brought it back: \
         see `fail-start status {number}`, or end that one"
    ))
}
