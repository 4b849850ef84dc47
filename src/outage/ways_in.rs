//! What would make the word OFFLINE untrue though the account is locked, or holds nothing on the
//! database any more: other ways in, and what goes on as the account without a login. Looked for in
//! prepare, changing nothing.

use std::collections::BTreeSet;

use crate::config::Method;
use crate::config::Node;
use crate::outage::plan::Plan;
use crate::outage::state::{OwnEvent, State};
use crate::reason::{self, Reason};
use crate::server::grants::Grant;
use crate::server::sql::{self, Account, Server};
use crate::server::{Admin, Answers, Error, NO_SUCH_GRANT};

/// What was found.
#[derive(Debug, Default)]
pub struct WaysIn {
    /// Ways in that stay open, for a person.
    pub open: Vec<String>,
    /// What the user should know of.
    pub warnings: Vec<Reason>,
}

/// What is asked in one round trip with other things, and how its answers are read.
pub struct Questions {
    method: Method,
    asks_for_events: bool,
    asks_for_prepared: bool,
}

impl Questions {
    /// What can be asked of this server by this admin.
    pub fn new(method: Method, admin: &Admin) -> Self {
        Self {
            method,
            asks_for_events: method == Method::Lock
                && admin.server == Server::MariaDb
                && admin.without_events.is_none()
                && !admin.holds("EVENT"),
            asks_for_prepared: admin.server == Server::MariaDb || admin.holds("XA_RECOVER_ADMIN"),
        }
    }

    /// The statements.
    pub fn statements(&self, node: &Node) -> Vec<String> {
        let user = &node.account.user;
        let mut statements = vec![sql::proxies(user)];
        if self.asks_for_events {
            statements.push(sql::events_of(user));
        }
        if self.asks_for_prepared {
            statements.push(sql::PREPARED_TRANSACTIONS.to_owned());
        }
        statements
    }

    /// Reads their answers, and asks on where they call for it.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn read(
        &self,
        answers: &mut Answers,
        node: &Node,
        admin: &mut Admin,
        state: &State,
    ) -> Result<WaysIn, Error> {
        let open = open_ways(answers, node, admin, state)?;
        let mut warnings = Vec::new();
        if self.method == Method::Lock {
            let events = if self.asks_for_events {
                &answers.rows()?
            } else {
                &state.own_events
            };
            let own = own_events(events, &state.rows());
            warnings.extend(own.filter(|_| admin.runs_events));
        }
        if self.asks_for_prepared {
            let count = answers.count()?;
            warnings.extend((count > 0).then(|| reason::prepared_transactions(count)));
        }
        Ok(WaysIn { open, warnings })
    }
}

/// Who else gets in: by a grant of `PROXY`, or without a name.
fn open_ways(
    answers: &mut Answers,
    node: &Node,
    admin: &mut Admin,
    state: &State,
) -> Result<Vec<String>, Error> {
    let (user, nameless) = (&node.account.user, &state.nameless);
    let database = state.spells_database_of(node);
    // One may be granted it by several rows.
    let proxies: BTreeSet<(String, String)> = answers.rows()?.into_iter().collect();
    let mut open: Vec<String> = proxies
        .iter()
        .map(|(name, host)| reason::way_by_proxy(name, host, user))
        .collect();
    let public: Vec<String> = if nameless.is_empty() || admin.server == Server::MySql {
        Vec::new()
    } else {
        match admin.rows(sql::PUBLIC_GRANTS) {
            // Before 10.11 there is none.
            Err(Error::Server { .. }) => Vec::new(),
            grants => grants?,
        }
    };
    for account in nameless {
        let grants: Vec<String> = match admin.rows(sql::grants(account)) {
            // Somebody has just dropped it.
            Err(Error::Server {
                code: NO_SUCH_GRANT,
                ..
            }) => continue,
            grants => grants?,
        };
        let all = grants.iter().chain(&public);
        let mut grants = all.filter_map(|line| Grant::parse(line));
        if let Some(grant) = grants.find(|grant| grant.reaches(database, admin.names)) {
            open.push(reason::way_without_name(&account.host, grant));
        }
    }
    Ok(open)
}

/// What stops for others while the account's rights are revoked. To count that takes long where
/// there are many tables.
///
/// # Errors
/// As [`Admin::batch_or_error`].
pub fn stops_for_others(admin: &mut Admin, plan: &Plan) -> Result<Vec<Reason>, Error> {
    if plan.method == Method::Lock {
        return Ok(Vec::new());
    }
    let (user, database) = (&plan.node.account.user, &plan.database);
    let asked = sql::definer_objects(admin.server, &plan.accounts, database);
    let count = admin.batch_or_error(&[asked])?.row()?.unwrap_or(0);
    let objects = (count > 0).then(|| reason::definer_objects(count, database, user));
    let holders = holders_as_a_role(admin, &plan.accounts)?;
    let roles = holders.first();
    let roles = roles.map(|first| reason::held_as_role(holders.len(), first, database, user));
    Ok(objects.into_iter().chain(roles).collect())
}

/// Who holds one of these rows as a role.
fn holders_as_a_role(admin: &mut Admin, accounts: &[Account]) -> Result<Vec<Account>, Error> {
    if admin.server == Server::MariaDb {
        // There no account is one.
        return Ok(Vec::new());
    }
    match admin.rows::<(String, String)>(sql::holders_as_a_role(accounts)) {
        // Before 8.0 there are none.
        Err(Error::Server { .. }) => Ok(Vec::new()),
        holders => {
            let account = |(user, host)| Account { user, host };
            Ok(holders?.into_iter().map(account).collect())
        }
    }
}

/// Events whose definer is one of these rows.
fn own_events(events: &[OwnEvent], accounts: &[Account]) -> Option<Reason> {
    let definers: Vec<String> = accounts
        .iter()
        .map(|account| format!("{}@{}", account.user, account.host))
        .collect();
    let own: Vec<String> = events
        .iter()
        .filter(|(_, _, definer)| definers.contains(definer))
        .map(|(database, name, _)| format!("`{database}`.`{name}`"))
        .collect();
    let first = own.first()?;
    Some(reason::own_events(own.len(), first))
}
