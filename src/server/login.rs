//! A login as the application's account, and what its outcome says of the node.

use std::thread;
use std::time::{Duration, Instant};

use crate::config::Node;
use crate::server::identity::ServerId;
use crate::server::{ACCESS_DENIED, Connection, Error, NO_DATABASE, TOO_MANY_CONNECTIONS};

/// What became of a login as the account.
pub enum Login {
    /// It got in; its session, where one came of it.
    In(Option<Connection>),
    /// It got in, at this server, which is not the admin's.
    Elsewhere(ServerId),
    /// The server says that the account is kept out.
    KeptOut(Error),
    /// Nothing could be tried: it says nothing about the account.
    NotTried(Error),
}

/// What a server says of an account that is kept out: locked (MySQL 3118, MariaDB 4151), no access
/// to the database, wrong password or none.
/// <https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html>
const KEPT_OUT: [u16; 5] = [3118, 4151, 1044, ACCESS_DENIED, 1698];

/// These and `ER_TOO_MANY_USER_CONNECTIONS`: another moment may have room.
const NO_ROOM: [u16; 2] = [TOO_MANY_CONNECTIONS, 1203];

impl Login {
    /// Tries one, with the node's database, on what should be this server.
    pub fn attempt(node: &Node, server: &ServerId, timeout: Duration) -> Self {
        let database = Some(node.database.as_str());
        let opened = Connection::open(node, &node.account, database, timeout)
            .and_then(|mut connection| Ok((connection.server_id(server)?, connection)));
        match opened {
            Ok((at, session)) if at == *server => Self::In(Some(session)),
            Ok((at, _)) => Self::Elsewhere(at),
            // Found out after the login itself.
            Err(Error::Server {
                code: NO_DATABASE, ..
            }) => Self::In(None),
            Err(error @ Error::Server { code, .. }) if KEPT_OUT.contains(&code) => {
                Self::KeptOut(error)
            }
            Err(error) => Self::NotTried(error),
        }
    }

    /// The same, tried again for as long as no server answers, and for a moment where the server
    /// has no room.
    pub fn until_answered(node: &Node, server: &ServerId, timeout: Duration) -> Self {
        let began = Instant::now();
        loop {
            let outcome = Self::attempt(node, server, timeout);
            match outcome {
                Self::NotTried(Error::Server { code, .. }) => {
                    let has_room = !NO_ROOM.contains(&code);
                    if has_room || began.elapsed() > timeout.min(Duration::from_secs(1)) {
                        return outcome;
                    }
                }
                Self::NotTried(_) if began.elapsed() < timeout => {}
                _ => return outcome,
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
