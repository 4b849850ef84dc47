//! What the user should know before a node goes, which is no reason to leave it.

use std::fmt::Display;

use super::{Kind, Reason};

/// The account holds what is revoked globally.
pub fn global_rights_end_all(user: &str) -> Reason {
    Kind::EndsOtherSessions.told(format_args!(
        "'{user}' holds its rights ON *.*, which a session keeps that is open: all of its sessions on this server end, also \
         those on other nodes, where it gets in again at once"
    ))
}

/// Nothing says which database a transaction uses.
pub fn unseen_locks_end_all(admin: &str, user: &str) -> Reason {
    Kind::EndsOtherSessions.told(format_args!(
        "{admin} may not read performance_schema.metadata_locks, so every session of '{user}' that has a transaction \
         open ends, whatever database it uses"
    ))
}

pub fn reaches_replicas(admin: &str) -> Reason {
    Kind::ReachesReplicas.told(format_args!(
        "{admin} may not switch the binary log off (sql_log_bin), so replicas of this node go offline with it"
    ))
}

/// `or_revoke`: where that would spare it.
pub fn neighbour_goes_too(number: u32, or_revoke: bool) -> Reason {
    let spare = if or_revoke {
        "; to spare it: --method revoke"
    } else {
        ""
    };
    Kind::NeighbourGoesToo.told(format_args!(
        "node {number} is on the same server and goes offline too{spare}"
    ))
}

/// By whatever way.
pub fn same_node_goes_too(number: u32) -> Reason {
    Kind::NeighbourGoesToo.told(format_args!(
        "node {number} is the same database on the same server and goes offline too"
    ))
}

/// Nothing but the password is known to be wrong where there is no `why`.
pub fn no_login_before(user: &str, why: Option<impl Display>, variable: &str) -> Reason {
    let (why, check) = match why {
        Some(why) => (why.to_string(), String::new()),
        None => ("wrong password?".to_owned(), format!(": check {variable}")),
    };
    Kind::LoginNotTried.told(format_args!(
        "cannot log in as '{user}' before the outage ({why}), so no login will prove that the node is offline{check}"
    ))
}

/// The server has none.
pub fn no_undo_without_events(error: impl Display, number: u32) -> Reason {
    no_undo(format_args!("it has no events ({error})"), number)
}

pub fn no_undo_by(admin: &str, database: &str, number: u32) -> Reason {
    no_undo(
        format_args!("{admin} may not create events on `{database}` (GRANT EVENT)"),
        number,
    )
}

/// Of the database, or of what is to be given back.
pub fn no_undo_with_names(number: u32) -> Reason {
    no_undo("names like these do not survive in an event", number)
}

fn no_undo(why: impl Display, number: u32) -> Reason {
    Kind::NoUndo.told(format_args!(
        "{why}, so nothing on the node says how to bring it back: if fail-start is killed, `fail-start recover {number}` \
         can only unlock the account or grant it ALL PRIVILEGES"
    ))
}

/// `why` there is no guard.
pub fn deadline_not_kept(why: impl Display) -> Reason {
    Kind::DeadlineNotKept.told(format_args!(
        "if fail-start is killed, the server will not bring it back at the deadline: no session could be left there \
         to do that ({why})"
    ))
}

pub fn grant_not_restorable(user: &str, grant: impl Display) -> Reason {
    Kind::GrantNotRestorable.told(format_args!(
        "'{user}' holds {grant}, which is of no use any more and cannot be granted again: the table, column or routine is \
         gone, or the view does not work. The node will come back without it"
    ))
}
