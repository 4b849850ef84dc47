//! The way back, and what was left on a node that nobody brought back.

use std::fmt::Display;

use super::{Kind, Reason, leads_elsewhere};

pub fn retrying(error: impl Display) -> Reason {
    Kind::Retrying.told(format_args!("{error}; trying again"))
}

/// The words of an error of a kind of its own.
pub fn not_back(why: impl Display) -> String {
    format!("not back: {why}")
}

pub fn silent(tried: impl Display) -> Reason {
    Kind::Silent.told(format_args!("nothing was heard of it for {tried}"))
}

pub fn not_as_before() -> Reason {
    Kind::NotAsBefore.told("the server took the statements, but the account is not as before")
}

pub fn earlier_session_stays() -> Reason {
    Kind::SessionsLeft.told("an earlier session of fail-start does not end")
}

/// `how`: since when, and by whom, as with the next.
pub fn taken_again(how: impl Display) -> Reason {
    Kind::TakenByAnother.told(format_args!(
        "somebody brought it back and took it offline again, {how}"
    ))
}

pub fn kept_out_by_another() -> Reason {
    Kind::TakenByAnother
        .told("somebody brought it back, and has kept the account out since: it is left like that")
}

/// The node with this database.
pub fn another_taken(database: &str, how: impl Display) -> Reason {
    Kind::TakenByAnother.told(format_args!(
        "somebody brought it back, and took the node with the database `{database}` on the same server offline, {how}"
    ))
}

/// The node with this database.
pub fn neighbour_comes_too(database: &str) -> Reason {
    Kind::NeighbourComesToo.told(format_args!(
        "the node with the database `{database}` on the same server comes back with it: one lock had taken both offline"
    ))
}

/// These statements can be run no more.
pub fn account_dropped(statements: &[String]) -> Reason {
    Kind::AccountDropped.told(format_args!(
        "somebody dropped or renamed what these are about: {}",
        statements.join("; ")
    ))
}

pub fn grant_lost(grant: impl Display, error: impl Display) -> Reason {
    Kind::GrantLost.told(format_args!(
        "it is back without {grant}: what that is on is gone, or does not work: {error}"
    ))
}

/// Its login worked before.
pub fn kept_out_though_back(user: &str, error: impl Display) -> Reason {
    back_but(format_args!(
        "'{user}' cannot log in any more: has its password changed? ({error})"
    ))
}

/// Of one whose grants are back.
pub fn locked_though_back(user: &str) -> Reason {
    back_but(format_args!(
        "'{user}' is locked on this server, for another node or by hand: it cannot log in until that is over"
    ))
}

pub fn elsewhere_though_back(ours: impl Display, theirs: impl Display) -> Reason {
    back_but(leads_elsewhere(ours, theirs))
}

pub fn not_tried_though_back(user: &str, error: impl Display) -> Reason {
    back_but(format_args!(
        "a login as '{user}' could not be tried: {error}"
    ))
}

/// Nobody knows whether it worked before.
pub fn login_fails_though_back(user: &str, why: impl Display) -> Reason {
    back_but(format_args!("a login as '{user}' does not work: {why}"))
}

fn back_but(but: impl Display) -> Reason {
    Kind::LoginFails.told(format_args!("it is as it was, but {but}"))
}

/// It was left, and the account is still out.
pub fn undo_not_seen(event: &str, database: &str, admin: &str) -> Reason {
    Kind::UndoNotTrusted.told(format_args!(
        "the event {event} in `{database}`, which was left when it was taken, is gone, or {admin} may not see it any more \
         (EVENT): where it is still there, drop it, since it is out of date"
    ))
}

/// The event of this name was made by an account that may be an admin too.
pub fn undo_of_another(event: &str, database: &str, definer: &str) -> Reason {
    Kind::UndoNotTrusted.told(format_args!(
        "what would bring it back, the event {event} in `{database}`, was left or altered by another account, '{definer}': run \
         `fail-start recover` as that one, if it is an admin of yours"
    ))
}

pub fn undo_of_version(version: &str) -> Reason {
    Kind::UndoNotTrusted.told(format_args!(
        "it was taken offline by fail-start {version}, which writes what this version does not read: bring it back with \
         that one"
    ))
}

/// The event has the undo's name alone.
pub fn undo_of_nobody(event: &str, database: &str, definer: &str) -> Reason {
    Kind::UndoNotTrusted.told(format_args!(
        "the event {event} in `{database}`, by '{definer}', was not made by fail-start, so it is never run: look at it (SHOW \
         CREATE EVENT) before you do anything about it"
    ))
}

/// What is done instead, by what is missing.
pub fn undo_missing(is_locked: bool, is_without_grants: bool) -> Reason {
    let unlocking = is_locked.then_some("unlocking the account");
    let granting = is_without_grants.then_some("granting it ALL PRIVILEGES on the database");
    let what: Vec<&str> = unlocking.into_iter().chain(granting).collect();
    Kind::UndoMissing.told(format_args!(
        "nothing on this node says how it was before: {}",
        what.join(" and ")
    ))
}

/// Words: what a fail-start has left switched off, of the two that it may have.
pub fn left_off(read_only: bool, events: bool, age: impl Display, by: &str) -> String {
    let what = match (read_only, events) {
        (true, true) => "super_read_only and the event scheduler were",
        (true, false) => "super_read_only was",
        (false, _) => "the event scheduler was",
    };
    format!("{what} left off {age} ago by a fail-start that was ended in the middle (as {by})")
}

/// On the node of this number.
pub fn left_open(left_off: impl Display, number: u32) -> Reason {
    Kind::LeftOpen.told(format_args!(
        "{left_off}; to switch on again what was on: fail-start recover {number}"
    ))
}

pub fn left_open_until_now(left_off: impl Display, were_both: bool) -> Reason {
    let they_are = if were_both { "they are" } else { "it is" };
    Kind::LeftOpen.told(format_args!("{left_off}: {they_are} on again"))
}
