//! What stands in the way of an outage, found out before anything is changed, so that a dry run
//! tells what a run would meet. And only such advice as this admin can follow.

use crate::config::Method;
use crate::config::Node;
use crate::outage::ender;
use crate::outage::state::{State, UndoEvent};
use crate::reason::{self, Reason};
use crate::server::grants::Grant;
use crate::server::sql::{self, Server};
use crate::server::{self, Admin, Error, Failure};

/// `ER_TABLEACCESS_DENIED_ERROR`.
const NO_ACCESS_TO_TABLE: u16 = 1142;

/// What is asked in one round trip with other things, where this admin calls for it.
pub struct Questions {
    /// Accounts that it must not touch.
    system_users: bool,
    /// By what else sessions can be ended.
    procedures: bool,
}

/// What was answered.
pub struct Answers {
    system_users: Vec<String>,
    /// The procedures that end sessions, where the admin may not.
    pub procedures: Vec<String>,
}

impl Questions {
    /// What is to be asked for this admin.
    pub fn new(admin: &Admin, keep_sessions: bool) -> Self {
        Self {
            system_users: admin.server == Server::MySql && !admin.holds(sql::SYSTEM_USER),
            procedures: !keep_sessions && !ender::admin_may(admin),
        }
    }

    /// The statements.
    pub fn statements(&self) -> Vec<String> {
        let system_users = self.system_users.then_some(sql::SYSTEM_USERS);
        let procedures = self.procedures.then_some(sql::KILL_PROCEDURES);
        let asked = system_users.into_iter().chain(procedures);
        asked.map(str::to_owned).collect()
    }

    /// Reads their answers.
    ///
    /// # Errors
    /// As [`server::Answers::rows`].
    pub fn read(&self, answers: &mut server::Answers) -> Result<Answers, Error> {
        let mut next = |asked: bool| {
            if asked {
                answers.rows()
            } else {
                Ok(Vec::new())
            }
        };
        Ok(Answers {
            system_users: next(self.system_users)?,
            procedures: next(self.procedures)?,
        })
    }
}

impl Answers {
    /// The account's rows that this admin must not touch.
    pub fn of_account(&self, node: &Node) -> Vec<Reason> {
        let begins = format!("'{}'@'", node.account.user);
        let rows = self.system_users.iter();
        rows.filter(|row| row.starts_with(&begins))
            .map(|row| reason::system_user(row, &node.admin.user))
            .collect()
    }
}

/// What the admin lacks, and what the server forbids.
pub fn of_admin(node: &Node, admin: &Admin, method: Method) -> Vec<Reason> {
    let (mut problems, who) = (Vec::new(), &node.admin.user);
    if admin.user == node.account.user {
        let (variable, admins) = (&node.variables.user, &node.variables.admin_user);
        problems.push(reason::admin_is_account(&admin.user, variable, admins));
    }
    if admin.innodb_read_only {
        problems.push(reason::accounts_read_only());
    }
    if admin.may_not_write_read_only {
        problems.push(reason::read_only_for(who));
    }
    if admin.replicated_by_galera {
        problems.push(reason::would_reach_cluster(who));
    }
    let mut needed = vec!["PROCESS"];
    if method == Method::Lock {
        needed.push("CREATE USER");
    }
    for privilege in needed {
        if !admin.holds(privilege) {
            problems.push(reason::lacks_privilege(who, privilege));
        }
    }
    problems
}

/// Whether this admin may lock accounts.
pub fn may_lock(admin: &Admin) -> bool {
    admin.holds("CREATE USER")
}

/// What of this grant, which the account holds, the admin may not revoke and give back.
pub fn to_revoke(node: &Node, admin: &Admin, grant: &Grant) -> Option<Reason> {
    let needs = grant.needs_to_pass_on(&admin.grants, admin.names)?;
    let (who, user) = (&node.admin.user, &node.account.user);
    let or_lock = may_lock(admin);
    Some(reason::may_not_revoke(who, grant, user, needs, or_lock))
}

/// Who holds the node already, and what must not be touched.
pub fn held(node: &Node, state: &State, method: Method) -> Option<Reason> {
    match state.found() {
        Some(found) if found.undo.is_some() => Some(reason::already_offline(found, node.number)),
        Some(found) => Some(found.distrust()),
        None if method == Method::Lock => state.locked_elsewhere().map(UndoEvent::elsewhere),
        None => None,
    }
}

/// Why a node's accounts cannot be read.
pub fn unreadable(node: &Node, admin: &Admin, error: &Error) -> Failure {
    match error {
        Error::Server {
            code: NO_ACCESS_TO_TABLE,
            ..
        } => error.told_as(reason::accounts_not_for(
            &admin.user,
            &node.variables.admin_user,
        )),
        error => error.context(reason::accounts_unreadable(error)),
    }
}
