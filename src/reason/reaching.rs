//! The way to a server, and what cannot be read there. Those that are only words tell an error of a
//! kind of its own.

use std::fmt::Display;

use super::{Kind, Reason};

/// As a token is sent.
/// <https://dev.mysql.com/doc/refman/9.7/en/cleartext-pluggable-authentication.html>
pub fn clear_text() -> Reason {
    Kind::ClearText.told("it is to be sent the password as it is (mysql_clear_password)")
}

pub fn unknown_plugin(plugin: &str) -> Reason {
    Kind::UnknownPlugin.told(format_args!(
        "the server asks for a login by the plugin {plugin}, which fail-start does not have: either there is no such account \
         for this host, for which MySQL names any plugin, or it needs another"
    ))
}

/// The account's login leads to another server than the admin's.
pub fn leads_elsewhere(ours: impl Display, theirs: impl Display) -> Reason {
    Kind::SeveralServers.told(format_args!(
        "its address leads to several servers, to {ours} and to {theirs}: a proxy or load balancer? Name one server's own \
         address"
    ))
}

/// The admin's login leads to another server than before.
pub fn leads_elsewhere_now(there: impl Display, before: impl Display) -> Reason {
    Kind::SeveralServers.told(format_args!(
        "its address leads to another server now: {there}, not {before}"
    ))
}

pub fn accounts_unreadable(error: impl Display) -> String {
    format!("its accounts cannot be read: {error}")
}

/// The same where it is this admin that may not.
pub fn accounts_not_for(admin: &str, variable: &str) -> Reason {
    Kind::LacksPrivilege.told(format_args!(
        "'{admin}' may not read mysql.* (GRANT SELECT ON mysql.*, or SET DEFAULT ROLE if a role gives it that). Is it really \
         the admin? Check {variable}"
    ))
}

pub fn grants_unreadable(user: &str, error: impl Display) -> String {
    format!("the grants of '{user}' cannot be read: {error}")
}
