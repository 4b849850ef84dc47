//! What a statement of the way back is about may be gone: it cannot be run, and must not keep the
//! others. It is looked for, since an error number alone may have other causes.

use std::collections::{BTreeMap, BTreeSet};

use crate::outage::plan::Plan;
use crate::outage::undo;
use crate::server::grants::{Grant, Object};
use crate::server::sql;
use crate::server::{AccountRow, Admin, Error};

/// The kinds of routines that can be looked for.
const KINDS: [&str; 5] = [
    "PROCEDURE",
    "FUNCTION",
    "PACKAGE",
    "PACKAGE BODY",
    "LIBRARY",
];

/// The statements of a way back that failed, by whether what they are about is gone.
#[derive(Default)]
pub struct Gone {
    /// Those about an account row that was dropped.
    pub rows: Vec<String>,
    /// Those that grant on what is gone: they would give nothing.
    pub grants: Vec<LostGrant>,
    /// Why the first of the others failed.
    pub other: Option<Error>,
}

/// A grant that cannot be given back.
pub struct LostGrant {
    statement: String,
    /// What it gave.
    pub grant: Grant,
    /// Why it cannot be given.
    pub why: Error,
}

impl LostGrant {
    /// Whether it is on columns of a table or view that is there and does not work, by the same
    /// error for who reads it.
    fn does_not_work(&self, admin: &mut Admin) -> Result<bool, Error> {
        let (Object::Table { database, name }, Some(_)) =
            (self.grant.object(), self.grant.columns().next())
        else {
            return Ok(false);
        };
        let code = |error: &Error| match error {
            Error::Server { code, .. } => Some(*code),
            _ => None,
        };
        match admin.batch_or_error(&[sql::open_only(database, name)]) {
            Ok(_) => Ok(false),
            Err(error) if code(&error).is_some() => Ok(code(&error) == code(&self.why)),
            Err(error) => Err(error),
        }
    }
}

impl Gone {
    /// Looks for what these statements of the plan's way back are about.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn look(
        admin: &mut Admin,
        plan: &Plan,
        failed: Vec<(String, Error)>,
    ) -> Result<Self, Error> {
        let mut gone = Self::default();
        if failed.is_empty() {
            return Ok(gone);
        }
        let user = &plan.node.account.user;
        let mut rows = admin.batch_or_error(&[sql::accounts(plan.server, &[user])])?;
        let rows = AccountRow::read(user, &mut rows)?;
        let is_dropped = |account| !rows.iter().any(|row| row.account == account);
        let mut others = Vec::new();
        for (statement, why) in failed {
            if undo::account(&statement).is_some_and(is_dropped) {
                gone.rows.push(statement);
            } else if let Some(grant) = Grant::given_by(&statement) {
                others.push(LostGrant {
                    statement,
                    grant,
                    why,
                });
            } else {
                gone.other.get_or_insert(why);
            }
        }
        let parts: Vec<Grant> = others.iter().map(|one| one.grant.clone()).collect();
        for (lost, is_there) in others.into_iter().zip(there(admin, &parts)?) {
            if is_there && !lost.does_not_work(admin)? {
                gone.other.get_or_insert(lost.why);
            } else {
                gone.grants.push(lost);
            }
        }
        Ok(gone)
    }

    /// All of them whose objects are gone.
    pub fn statements(&self) -> Vec<String> {
        let grants = self.grants.iter().map(|lost| &lost.statement);
        self.rows.iter().chain(grants).cloned().collect()
    }
}

/// Whether what each of these [parts](Grant::parts) of grants is on is there, so that it can be
/// given.
///
/// # Errors
/// As [`Admin::batch_or_error`].
pub fn there(admin: &mut Admin, parts: &[Grant]) -> Result<Vec<bool>, Error> {
    let asked: BTreeSet<String> = parts.iter().filter_map(question).collect();
    let asked = Vec::from_iter(asked);
    let mut answers = admin.batch_or_error(&asked)?;
    let mut found: BTreeMap<String, Vec<(String, Option<String>)>> = BTreeMap::new();
    for question in asked {
        found.insert(question, answers.rows()?);
    }
    let is_there = |part: &Grant| {
        let Some(rows) = question(part).and_then(|question| found.get(&question)) else {
            return true;
        };
        match part.object() {
            Object::Table { name, .. } => {
                // The server compares some names without regard to case where a grant does not.
                let mut rows = rows.iter().filter(|(table, _)| table == name);
                match part.columns().next() {
                    Some(wanted) => {
                        let wanted = wanted.to_lowercase();
                        let mut columns = rows.filter_map(|(_, column)| column.as_deref());
                        columns.any(|column| column.to_lowercase() == wanted)
                    }
                    None => part.makes_its_table() || rows.next().is_some(),
                }
            }
            _ => !rows.is_empty(),
        }
    };
    Ok(parts.iter().map(is_there).collect())
}

/// On MySQL: whether what this statement of a way back is about is there, the account row too: a
/// condition.
pub fn is_there(statement: &str) -> Option<String> {
    let account = sql::account_is_there(&undo::account(statement)?);
    let Some(grant) = Grant::given_by(statement) else {
        return Some(account);
    };
    let columns = match grant.object() {
        Object::Table { database, name } => grant
            .columns()
            .map(|column| sql::column_is_there(database, name, column))
            .collect(),
        _ => Vec::new(),
    };
    let question = question(&grant).filter(|_| columns.is_empty() && !grant.makes_its_table());
    let object = question.map(|question| format!("EXISTS ({question})"));
    let all = [account].into_iter().chain(columns).chain(object);
    Some(all.collect::<Vec<_>>().join(" AND "))
}

/// What to ask the server; nothing where a grant can always be given.
fn question(part: &Grant) -> Option<String> {
    match part.object() {
        Object::Table { database, name } => Some(sql::columns(database, name)),
        Object::Routine {
            kind,
            database,
            name,
        } if KINDS.contains(&kind.as_str()) => Some(sql::routine(kind, database, name)),
        _ => None,
    }
}
