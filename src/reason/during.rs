//! While a node goes, and while it is offline. Those that are only words tell an error of a kind of
//! its own.

use std::fmt::Display;

use super::{Kind, Reason};

pub fn not_taken_offline(why: impl Display) -> String {
    format!("could not be taken offline: {why}")
}

pub fn guard_not_left(error: impl Display) -> String {
    format!("no session could be left to guard it: {error}")
}

pub fn taken_at_the_same_time(number: u32) -> Reason {
    Kind::TakenByAnother.told(format_args!(
        "another fail-start took it at the same time: see `fail-start status {number}`"
    ))
}

/// Since it was looked at.
pub fn locked_just_now(user: &str) -> Reason {
    Kind::AlreadyLocked.told(format_args!(
        "somebody has locked '{user}' just now: nothing was changed; once that is settled, try again"
    ))
}

/// Within the timeout.
pub fn sessions_left(count: usize, timeout: impl Display) -> Reason {
    let have = match count {
        1 => "session has",
        _ => "sessions have",
    };
    Kind::SessionsLeft.told(format_args!(
        "{count} {have} not ended within {timeout} (--timeout)"
    ))
}

/// MySQL's, of the X Protocol.
pub fn sessions_unlisted(timeout: impl Display) -> Reason {
    Kind::SessionsLeft.told(format_args!(
        "its sessions of the X Protocol could not be listed within {timeout} (--timeout), since others change their user \
         (COM_CHANGE_USER) all the time: try again"
    ))
}

pub fn sessions_kept(count: usize) -> Reason {
    let still = match count {
        1 => "1 open session still reaches".to_owned(),
        count => format!("{count} open sessions still reach"),
    };
    Kind::SessionsKept.told(still + " it (--keep-sessions)")
}

pub fn session_not_ended(error: impl Display) -> Reason {
    Kind::CannotEndSessions.told(format_args!("a session cannot be ended: {error}"))
}

pub fn own_session_is_gone() -> Reason {
    Kind::CannotEndSessions
        .told("fail-start's own session of the account, which ends the others, is gone")
}

pub fn transactions_never_listed() -> Reason {
    Kind::CannotEndSessions.told(
        "its list of open transactions is never made anew: somebody else reads \
         information_schema.INNODB_TRX all the time",
    )
}

pub fn logins_under_way(user: &str) -> Reason {
    Kind::LoginsUnderWay.told(format_args!(
        "a login that began before the outage is still under way: should it be one of '{user}', its session ends as soon as it \
         gets in"
    ))
}

pub fn still_gets_in() -> Reason {
    Kind::StillGetsIn.told("a login as the account still works")
}

/// The login that was to prove the outage panicked.
pub fn login_broke_down() -> Reason {
    Kind::LoginNotTried.told("a login as the account could not be tried")
}

pub fn login_not_tried(error: impl Display) -> Reason {
    Kind::LoginNotTried.told(format_args!(
        "a login as the account could not be tried: {error}"
    ))
}

/// The server answered something else, which is no proof, and nothing against it.
pub fn not_proven_by_login(user: &str, error: impl Display) -> Reason {
    Kind::LoginNotTried.told(format_args!(
        "a login as '{user}' could not be tried ({error}), so OFFLINE rests on what the server says"
    ))
}

/// Before the node was proven to be offline.
pub fn opened_meanwhile() -> Reason {
    Kind::Opened.told("somebody gave the account its access back meanwhile")
}

/// `has_deadline`: then it may have been the server.
pub fn was_back_already(has_deadline: bool) -> Reason {
    let or_its_server = if has_deadline {
        ", or its server did it, by whose clock the deadline had come"
    } else {
        ""
    };
    Kind::Opened.told(format_args!(
        "it was back already: somebody ran `fail-start recover`, or opened it by hand{or_its_server}"
    ))
}

pub fn kept_out_again() -> Reason {
    Kind::KeptOutAgain
        .told("the account is kept out again; its sessions that came in meanwhile are left alone")
}

pub fn got_in(user: &str) -> Reason {
    Kind::GotIn.told(format_args!(
        "a session of '{user}' got in and was ended, as every further one will be"
    ))
}

pub fn got_in_and_stays(error: impl Display) -> Reason {
    Kind::CannotEndSessions.told(format_args!(
        "a session got in and cannot be ended: {error}"
    ))
}

pub fn next_one_would_stay(user: &str) -> Reason {
    Kind::CannotEndSessions.told(format_args!(
        "fail-start's own session of '{user}' was cut: one that gets in from now on cannot be ended"
    ))
}

pub fn away(error: impl Display) -> Reason {
    Kind::Away.told(format_args!("cannot be reached any more: {error}"))
}

pub fn reachable_again() -> Reason {
    Kind::ReachableAgain.told("can be reached again")
}

/// The server does not answer as it should.
pub fn cannot_be_watched(error: impl Display) -> Reason {
    Kind::NotWatched.told(format_args!("cannot be watched: {error}"))
}

pub fn no_thread_to_watch(error: impl Display) -> Reason {
    Kind::NotWatched.told(format_args!(
        "the system has no thread left ({error}), so it is not watched"
    ))
}
