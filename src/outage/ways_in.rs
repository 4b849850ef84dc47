//! What would make the word OFFLINE untrue though the account is locked, or holds nothing on the
//! database any more: other ways in, and what goes on as the account without a login. Looked for in
//! prepare, changing nothing.

use crate::config::Method;
use crate::config::Node;
use crate::server::grants::Grant;
use crate::server::sql::{self, Account, Server};
use crate::server::{Admin, Error, Rows, cell, lines};

/// What was found.
#[derive(Debug, Default)]
pub struct WaysIn {
    /// Ways in that stay open, for a person.
    pub open: Vec<String>,
    /// What the user should know of.
    pub warnings: Vec<String>,
}

/// What is asked in one round trip with other things, and how its answers are read.
pub struct Questions {
    server: Server,
    method: Method,
    asks_for_events: bool,
    asks_for_prepared: bool,
}

impl Questions {
    /// What can be asked of this server by this admin.
    pub fn new(method: Method, admin: &Admin) -> Self {
        let may = |grant: &Grant| grant.grants_globally("XA_RECOVER_ADMIN");
        Self {
            server: admin.server,
            method,
            asks_for_events: admin.without_events.is_none(),
            asks_for_prepared: admin.server == Server::MariaDb || admin.grants.iter().any(may),
        }
    }

    /// The statements.
    pub fn statements(&self, node: &Node) -> Vec<String> {
        let user = &node.account.user;
        let mut statements = vec![sql::proxies(user), sql::anonymous(self.server)];
        statements.push(match self.method {
            Method::Lock if self.asks_for_events => sql::events_of(self.server, user),
            Method::Lock => sql::NOTHING.to_owned(),
            Method::Revoke => sql::definer_objects(self.server, user, &node.database),
        });
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
        answers: &[Rows],
        node: &Node,
        admin: &mut Admin,
        accounts: &[Account],
    ) -> Result<WaysIn, Error> {
        let (user, database) = (&node.account.user, &node.database);
        let mut answers = answers.iter();
        let mut next = || answers.next().map_or(&[][..], Vec::as_slice);
        let mut found = WaysIn::default();
        for proxy in next() {
            let (name, host) = (cell(proxy, 0), cell(proxy, 1));
            found.open.push(format!(
                "'{name}'@'{host}', which may log in as '{user}' (GRANT PROXY)"
            ));
        }
        let anonymous = next().iter().map(|row| Account {
            user: String::new(),
            host: cell(row, 0),
        });
        for account in anonymous {
            let grants = admin.batch_or_error(&[sql::grants(&account)])?;
            let mut grants = lines(&grants).filter_map(Grant::parse);
            if let Some(grant) = grants.find(|grant| grant.reaches(database, admin.names)) {
                let host = &account.host;
                found.open.push(format!(
                    "''@'{host}', the account without a name, which takes any login from there and holds {grant}"
                ));
            }
        }
        let rows = next();
        match self.method {
            Method::Lock if admin.runs_events => found.warnings.extend(events(rows, accounts)),
            Method::Lock => {}
            Method::Revoke => found.warnings.extend(definer_objects(rows, node)),
        }
        match next().len() {
            0 => {}
            1 => found.warnings.push(prepared("a transaction", "is")),
            count => found
                .warnings
                .push(prepared(&format!("{count} transactions"), "are")),
        }
        Ok(found)
    }
}

/// Events whose definer is one of these rows.
fn events(rows: &[Vec<Option<String>>], accounts: &[Account]) -> Option<String> {
    let definers: Vec<String> = accounts
        .iter()
        .map(|account| format!("{}@{}", account.user, account.host))
        .collect();
    let own: Vec<String> = rows
        .iter()
        .filter(|row| definers.contains(&cell(row, 2)))
        .map(|row| format!("`{}`.`{}`", cell(row, 0), cell(row, 1)))
        .collect();
    let first = own.first()?;
    let (them, go) = match own.len() {
        1 => (format!("the event {first}"), "goes"),
        count => (format!("{count} events, {first} among them,"), "go"),
    };
    Some(format!(
        "{them} of the account itself {go} on, as the server runs that without a login: --method revoke would stop it"
    ))
}

/// Objects that stop working for others too.
fn definer_objects(rows: &[Vec<Option<String>>], node: &Node) -> Option<String> {
    let count: u64 = cell(rows.first()?, 0).parse().ok()?;
    let (objects, run) = match count {
        0 => return None,
        1 => ("1 view, routine or trigger".to_owned(), "runs"),
        count => (format!("{count} views, routines and triggers"), "run"),
    };
    Some(format!(
        "{objects} in `{}` {run} with the rights of '{}', so meanwhile for nobody: --method lock would spare them",
        node.database, node.account.user
    ))
}

fn prepared(transactions: &str, are: &str) -> String {
    format!(
        "{transactions} on this server {are} prepared (XA RECOVER) and held by no session: it keeps its locks, and whoever may \
         log in may commit it meanwhile"
    )
}
