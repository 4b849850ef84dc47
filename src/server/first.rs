//! What is asked of a server first, in one round trip: which it is, how it is set, what this admin
//! holds there.

use std::collections::HashMap;

use mysql::Row;

use super::answers::Answers;
use super::batch::by_column;
use super::connect::Connection;
use super::error::{Error, not_mysql};
use super::held::Held;
use super::sql;

/// What was answered.
pub(super) struct First {
    pub(super) variables: Variables,
    /// The user name that the server took the login for.
    pub(super) user: String,
    pub(super) held: Held,
    /// Whether this admin may not keep the session out of the binary log.
    pub(super) is_binary_logged: bool,
}

impl First {
    /// Makes the session's settings known, keeps it out of the binary log, and asks.
    ///
    /// # Errors
    /// As [`Connection::batch_or_error`].
    pub(super) fn ask(connection: &mut Connection) -> Result<Self, Error> {
        let first = Self::ask_with(connection, sql::variables_in_columns(), |answers| {
            Ok(answers.row()?.and_then(Variables::in_columns))
        });
        match first {
            Ok(Some(first)) => return Ok(first),
            // It has others than most servers of its version.
            Ok(None) | Err(Error::Server { .. }) => {}
            Err(error) => return Err(error),
        }
        let first = Self::ask_with(connection, sql::variables(), |answers| {
            Ok(Some(Variables(answers.rows()?.into_iter().collect())))
        })?;
        first.ok_or_else(not_mysql)
    }

    /// The same by this question for variables, unless the answer to it does not tell all.
    fn ask_with(
        connection: &mut Connection,
        asks_for_variables: String,
        read: impl FnOnce(&mut Answers) -> Result<Option<Variables>, Error>,
    ) -> Result<Option<Self>, Error> {
        let before = sql::session(connection.timeout.as_secs().max(1));
        let after = [
            sql::WHO.to_owned(),
            sql::OWN_GRANTS.to_owned(),
            // Last, since an admin of a managed server may not.
            sql::NO_BINARY_LOG.to_owned(),
        ];
        let asked = [&before[..], &[asks_for_variables], &after].concat();
        let (mut answers, last) = connection.batch(&asked);
        let is_binary_logged = match (asked.len() - answers.len(), last) {
            (0, Ok(())) => false,
            (1, Err(Error::Server { .. })) => true,
            (_, last) => return Err(last.err().unwrap_or_else(not_mysql)),
        };
        let _settings = answers.take(before.len());
        let Some(variables) = read(&mut answers)? else {
            return Ok(None);
        };
        let user = answers.row::<String>()?.map(user_name);
        Ok(Some(Self {
            variables,
            user: user.unwrap_or_default(),
            held: answers.lines(1)?.remove(0).held(),
            is_binary_logged,
        }))
    }
}

/// What a server's variables are set to.
pub(super) struct Variables(pub(super) HashMap<String, Option<String>>);

impl Variables {
    /// Those that stand in the columns of a row, unless there may be more.
    fn in_columns(row: Row) -> Option<Self> {
        let all = Self(by_column(row).collect());
        (all.get(sql::GALERA) == "0" || all.0.contains_key("wsrep_on")).then_some(all)
    }

    /// Empty where the server has none of this name.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .get(name)
            .and_then(Option::as_deref)
            .unwrap_or_default()
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        ["ON", "1"].contains(&self.get(name))
    }
}

/// Of what `CURRENT_USER()` says.
fn user_name(account: String) -> String {
    match account.rsplit_once('@') {
        Some((user, _)) => user.to_owned(),
        None => account,
    }
}
