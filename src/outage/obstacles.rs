//! What stands in the way of an outage, found out before anything is changed, so that a dry run
//! tells what a run would meet. And only such advice as this admin can follow.

use crate::config::Method;
use crate::config::Node;
use crate::outage::ender;
use crate::outage::state::{State, UndoEvent};
use crate::reason::{Kind, Reason};
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
            system_users: admin.server == Server::MySql && !holds(admin, sql::SYSTEM_USER),
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
            .map(|row| {
                Kind::SystemUser.told(format_args!(
                    "{row} holds SYSTEM_USER, so that {}, which does not, may change nothing about it",
                    node.admin.user
                ))
            })
            .collect()
    }
}

fn holds(admin: &Admin, privilege: &str) -> bool {
    let gives = |grant: &Grant| grant.grants_globally(privilege);
    admin.grants.iter().any(gives)
}

/// What the admin lacks, and what the server forbids.
pub fn of_admin(node: &Node, admin: &Admin, method: Method) -> Vec<Reason> {
    let mut problems = Vec::new();
    if admin.user == node.account.user {
        problems.push(Kind::AdminIsAccount.told(format_args!(
            "the application's account and the admin are both '{}', which would lock itself out: check {} and {}",
            admin.user,
            node.variables.user,
            node.variables.admin_user
        )));
    }
    if admin.innodb_read_only {
        problems.push(Kind::ReadOnly.told(
            "no account can be changed there (innodb_read_only), as on a reader of Aurora: name the writer's address",
        ));
    }
    if admin.may_not_write_read_only {
        problems.push(Kind::ReadOnly.told(format_args!(
            "it is read-only, and {} may not write there: it lacks the privilege READ_ONLY ADMIN ON *.*",
            node.admin.user
        )));
    }
    if admin.replicated_by_galera {
        problems.push(Kind::WouldReachCluster.told(format_args!(
            "{} may not switch Galera's replication off (wsrep_on), so the whole cluster would go offline: grant it SUPER",
            node.admin.user
        )));
    }
    let mut needed = vec!["PROCESS"];
    if method == Method::Lock {
        needed.push("CREATE USER");
    }
    for privilege in needed {
        if !holds(admin, privilege) {
            problems.push(Kind::LacksPrivilege.told(format_args!(
                "{} lacks the privilege {privilege} ON *.*",
                node.admin.user
            )));
        }
    }
    problems
}

/// Whether this admin may lock accounts.
pub fn may_lock(admin: &Admin) -> bool {
    holds(admin, "CREATE USER")
}

/// What of this grant, which the account holds, the admin may not revoke and give back.
pub fn to_revoke(node: &Node, admin: &Admin, grant: &Grant) -> Option<Reason> {
    let needs = grant.needs_to_pass_on(&admin.grants, admin.names)?;
    let or = if may_lock(admin) {
        ". Use --method lock"
    } else {
        ""
    };
    Some(Kind::LacksPrivilege.told(format_args!(
        "{} may not revoke {grant} from '{}' and grant it again: it needs {needs}{or}",
        node.admin.user, node.account.user
    )))
}

/// Who holds the node already, and what must not be touched.
pub fn held(node: &Node, state: &State, method: Method) -> Option<Reason> {
    match state.found() {
        Some(found) if found.undo.is_some() => Some(Kind::AlreadyOffline.told(format_args!(
            "it is offline already, {found}: `fail-start recover {}` brings it back",
            node.number
        ))),
        Some(found) => Some(found.distrust()),
        None if method == Method::Lock => state
            .locked_elsewhere(&node.account.user)
            .map(UndoEvent::elsewhere),
        None => None,
    }
}

/// Why a node's accounts cannot be read.
pub fn unreadable(node: &Node, admin: &Admin, error: &Error) -> Failure {
    match error {
        Error::Server {
            code: NO_ACCESS_TO_TABLE,
            ..
        } => error.context(format_args!(
            "'{}' may not read mysql.* (GRANT SELECT ON mysql.*). Is it really the admin? Check {}",
            admin.user, node.variables.admin_user
        )),
        error => error.context(format_args!("its accounts cannot be read: {error}")),
    }
}
