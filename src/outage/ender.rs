//! Who ends the account's sessions: the admin, where it may; else the account itself, since
//! everybody may end the sessions of their own user name, also while it is locked, and also those
//! from other hosts; else the procedure that some managed services have for that.

use std::sync::{Mutex, PoisonError};

use crate::config::Method;
use crate::config::Node;
use crate::outage::plan::Plan;
use crate::reason::{self, Reason};
use crate::server::grants::{Grant, Object};
use crate::server::identity::ServerId;
use crate::server::sql::{self, Server};
use crate::server::{Admin, Connection, Ended, Error};

/// The privileges of which one is enough to end anybody's session.
/// <https://dev.mysql.com/doc/refman/9.7/en/kill.html>
fn to_kill(server: Server) -> [&'static str; 2] {
    match server {
        Server::MySql => ["CONNECTION_ADMIN", "SUPER"],
        Server::MariaDb => ["CONNECTION ADMIN", "SUPER"],
    }
}

/// Whether the admin may end anybody's session itself.
pub fn admin_may(admin: &Admin) -> bool {
    let any_of = to_kill(admin.server);
    any_of.iter().any(|privilege| admin.holds(privilege))
}

/// `ER_KILL_DENIED_ERROR`: of the account's own sessions, MariaDB says that of one whose login is
/// not through.
const NOT_ITS_OWN: u16 = 1095;

/// What became of sessions that were told to end.
#[derive(Debug, Default)]
pub struct Killed {
    /// How many there still were to end.
    pub ended: usize,
    /// Those that cannot be ended before their login is through.
    pub not_yet: Vec<u64>,
}

/// Who told them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Admin,
    Account,
    Procedure,
}

/// The sessions that are kept here, of whichever node: none of them is the application's.
static KEPT: Mutex<Vec<(u64, ServerId)>> = Mutex::new(Vec::new());

/// Whether this session on this server is one of fail-start's own that are kept.
pub fn is_kept(id: u64, server: &ServerId) -> bool {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().any(|(one, at)| *one == id && at == server)
}

/// A session of the account that is kept.
struct Kept {
    session: Connection,
    server: ServerId,
}

impl Kept {
    fn new(session: Connection, server: &ServerId) -> Self {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((session.id(), server.clone()));
        Self {
            session,
            server: server.clone(),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that was restarted gives the number again.
        kept.retain(|(id, at)| *id != self.session.id() || *at != self.server);
    }
}

/// Who ends the account's sessions.
pub struct Ender {
    by_admin: bool,
    /// A session of the account, which ends the others, and last itself.
    account: Option<Kept>,
    /// The service's own procedure.
    procedure: Option<String>,
}

impl Default for Ender {
    /// The admin.
    fn default() -> Self {
        Self {
            by_admin: true,
            account: None,
            procedure: None,
        }
    }
}

impl Ender {
    /// For an admin who may not end sessions itself: nobody, as long as nothing else is
    /// [found](Self::by_account), unless the service has a procedure for it, by the answer to
    /// [`sql::KILL_PROCEDURES`].
    pub fn other_than(admin: &Admin, procedures: &[String]) -> Self {
        let mut names = procedures.iter();
        Self {
            by_admin: false,
            account: None,
            procedure: names.find(|name| may_call(admin, name)).cloned(),
        }
    }

    /// Whether a session of the account would be of use.
    pub fn needs_account(&self) -> bool {
        !self.by_admin
    }

    /// Whether there is nobody.
    pub fn is_nobody(&self) -> bool {
        !self.by_admin && self.account.is_none() && self.procedure.is_none()
    }

    /// Lets this session of the account end the others. It stays until the node is back, since one
    /// may still get in.
    ///
    /// # Errors
    /// Where it is of no use.
    pub fn by_account(&mut self, mut session: Connection, at: &ServerId) -> Result<(), Error> {
        session.batch_or_error(&sql::stays_idle())?;
        self.account = Some(Kept::new(session, at));
        Ok(())
    }

    /// Ends these sessions of the account.
    ///
    /// # Errors
    /// The first error other than that a session is gone already.
    pub fn end(&mut self, admin: &mut Admin, ids: &[u64]) -> Result<Killed, Error> {
        let (ended, by) = self.tell(admin, ids)?;
        let mut not_yet = Vec::new();
        for (at, error) in ended.refused {
            match error {
                Error::Server {
                    code: NOT_ITS_OWN, ..
                } if by == By::Account => not_yet.push(ids[at]),
                error => return Err(error),
            }
        }
        Ok(Killed {
            ended: ended.count,
            not_yet,
        })
    }

    /// Ends these logins that are not through, perhaps of others, and returns those that it may not
    /// end: the account may only end its own sessions, which they are not yet.
    ///
    /// # Errors
    /// The first error other than that a login is gone already, where the admin ends them.
    pub fn end_logins(&mut self, admin: &mut Admin, ids: &[u64]) -> Result<Vec<u64>, Error> {
        let (ended, by) = self.tell(admin, ids)?;
        let mut refused = ended.refused.into_iter();
        match refused.next() {
            Some((_, error)) if by == By::Admin => Err(error),
            first => Ok(first
                .into_iter()
                .chain(refused)
                .map(|(at, _)| ids[at])
                .collect()),
        }
    }

    fn tell(&mut self, admin: &mut Admin, ids: &[u64]) -> Result<(Ended, By), Error> {
        let kill: Vec<String> = ids.iter().map(|&id| sql::kill(id)).collect();
        if self.by_admin {
            return Ok((admin.end_each(&kill)?, By::Admin));
        }
        if let Some(kept) = &mut self.account {
            match kept.session.end_each(&kill) {
                // Its own connection says nothing about the node.
                Err(_) => self.account = None,
                Ok(ended) => return Ok((ended, By::Account)),
            }
        }
        let Some(procedure) = &self.procedure else {
            return Err(Error::Refused(reason::own_session_is_gone()));
        };
        let call = ids.iter().map(|&id| sql::call_to_kill(procedure, id));
        let ended = admin.end_each(&call.collect::<Vec<_>>())?;
        Ok((ended, By::Procedure))
    }

    /// Keeps the account's session from being forgotten on its way. Where it is gone it is opened
    /// anew, which an account that is not locked can; returns whether there is nobody any more to
    /// end a session.
    pub fn has_lost(&mut self, plan: &Plan) -> bool {
        let Some(kept) = &mut self.account else {
            return false;
        };
        if kept
            .session
            .batch_or_error(&[sql::NOTHING.to_owned()])
            .is_err()
        {
            self.account = None;
            let node = &plan.node;
            let again = match plan.method {
                Method::Lock => None,
                Method::Revoke => Connection::open(node, &node.account, None, plan.timeout).ok(),
            };
            if let Some(session) = again {
                // Without it the next is tried.
                let _ = self.by_account(session, &plan.server_id);
            }
        }
        self.is_nobody()
    }
}

/// Whether the admin may call a procedure of the server's own database.
fn may_call(admin: &Admin, name: &str) -> bool {
    let in_system = |one: &Grant| *one.object() == Object::Database(sql::SYSTEM.to_owned());
    let may_not = |one: &Grant| in_system(one) && one.gives_some("EXECUTE");
    let is_taken_there = admin.restrictions.iter().any(may_not);
    admin
        .grants
        .iter()
        .filter(|grant| grant.gives_some("EXECUTE"))
        .any(|grant| match grant.object() {
            Object::Everywhere => !is_taken_there,
            Object::Database(pattern) => admin.names.include(pattern, sql::SYSTEM),
            Object::Routine {
                database, name: at, ..
            } => database == sql::SYSTEM && at == name,
            Object::Table { .. } | Object::Other(_) => false,
        })
}

/// Why nobody can end the account's sessions, and what this admin can do about it: `why_not` is why
/// a login of the account does not work, where its password is known.
pub fn nobody(node: &Node, admin: &Admin, why_not: Option<&Reason>) -> Reason {
    let (who, privilege) = (&node.admin.user, to_kill(admin.server)[0]);
    let (user, password) = (&node.account.user, &node.variables.password);
    reason::nobody_ends_sessions(who, privilege, user, password, why_not)
}
