//! What to revoke of a node's account, how it is given back, and which ways in that would leave.

use std::collections::BTreeSet;

use crate::outage::gone;
use crate::outage::obstacles;
use crate::outage::plan::Plan;
use crate::reason::{self, Reason};
use crate::server::grants::{Grant, Names, Object};
use crate::server::sql::{self, Account, Server};
use crate::server::{Admin, Error, Failure, Lines};

/// What a revoke comes to.
#[derive(Default)]
pub struct Revoke {
    /// The statements that take the node away.
    pub take_down: Vec<String>,
    /// The statements that bring it back.
    pub restore: Vec<String>,
    /// Whether open sessions keep what is revoked, as they do global rights.
    pub sessions_keep_rights: bool,
    /// The ways in that it would leave.
    pub ways_in: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<Reason>,
    /// What is given back, each by itself.
    parts: Vec<Grant>,
    /// Why this admin may not.
    may_not: Option<Reason>,
}

impl Revoke {
    /// Plans it for the account's rows, changing nothing; `everybodys` ways in are looked for too,
    /// if asked. What would take one of the databases `alike` away too must not be revoked.
    ///
    /// # Errors
    /// Why the grants cannot be read, or must not be revoked.
    pub fn plan(
        admin: &mut Admin,
        plan: &Plan,
        everybodys: bool,
        alike: &[String],
    ) -> Result<Self, Failure> {
        let held = ask(admin, plan)?;
        let mut revoke = Self::default();
        for (account, lines) in plan.accounts.iter().zip(&held.rows) {
            if !alike.is_empty()
                && let Some(other) = lines.held().loses_too(&plan.database, alike, plan.names)
            {
                let alone = plan.names.of(&plan.database);
                let covers =
                    reason::covers_another_database(account, &plan.database, &alone, other);
                return Err(covers.into());
            }
            revoke.read(admin, plan, account, lines)?;
        }
        if let Some(may_not) = revoke.may_not.take().filter(|_| revoke.ways_in.is_empty()) {
            return Err(may_not.into());
        }
        if revoke.sessions_keep_rights && !plan.keep_sessions {
            let end_all = reason::global_rights_end_all(&plan.node.account.user);
            revoke.warnings.push(end_all);
        }
        revoke.plan_to_give_back(admin, plan)?;
        revoke.look_for_others(admin, plan, &held, everybodys)?;
        Ok(revoke)
    }

    /// What one account row holds.
    fn read(
        &mut self,
        admin: &Admin,
        plan: &Plan,
        account: &Account,
        lines: &Lines,
    ) -> Result<(), Failure> {
        for line in lines.iter() {
            match Grant::parse(line).map(|grant| grant.held_by(account)) {
                Some(grant) if grant.is_on(&plan.database, plan.names) => {
                    self.take(admin, plan, &grant);
                    self.parts.extend(grant.parts());
                }
                // Which can be taken away there alone: as a whole, below.
                Some(grant)
                    if plan.names == Names::Literal && *grant.object() == Object::Everywhere => {}
                Some(grant) if grant.is_another_way_into(&plan.database, plan.names) => {
                    self.ways_in.push(grant.to_string());
                }
                None if line.starts_with("GRANT ") => {
                    return Err(reason::unknown_grant(account).into());
                }
                Some(_) | None => {}
            }
        }
        match part_of_global(plan, account, lines) {
            Some(Ok(part)) => {
                self.take(admin, plan, &part);
                // First: MySQL gives nothing on a database to one row of an account while another
                // is restricted there.
                self.parts.insert(0, part);
                self.sessions_keep_rights = true;
            }
            Some(Err(way)) => self.ways_in.push(way),
            None => {}
        }
        match two_spellings(&self.parts, account) {
            Some(column) => Err(reason::column_in_two_cases(account, column).into()),
            None => Ok(()),
        }
    }

    fn take(&mut self, admin: &Admin, plan: &Plan, grant: &Grant) {
        if self.may_not.is_none() {
            self.may_not = obstacles::to_revoke(&plan.node, admin, grant);
        }
        self.take_down.extend(grant.take());
    }

    fn plan_to_give_back(&mut self, admin: &mut Admin, plan: &Plan) -> Result<(), Failure> {
        // What can fail stands last: by hand, the first error may be the end. Else it stays in order.
        self.parts
            .sort_by_key(|part| (!part.is_on_a_database(), part.columns().next().is_some()));
        let there = gone::there(admin, &self.parts)?;
        let parts = self.parts.iter().zip(there);
        let (back, lost): (Vec<_>, Vec<_>) = parts.partition(|(_, is)| *is);
        let all = back.iter().chain(&lost).filter_map(|(part, _)| part.give());
        self.restore = all.collect();
        let user = &plan.node.account.user;
        let lost = lost.iter();
        self.warnings
            .extend(lost.map(|(part, _)| reason::grant_not_restorable(user, part)));
        Ok(())
    }

    /// The ways in that every account has.
    fn look_for_others(
        &mut self,
        admin: &mut Admin,
        plan: &Plan,
        held: &Holders,
        everybodys: bool,
    ) -> Result<(), Failure> {
        let reaching = held.by_name.iter().filter(|one| one.reaches(plan));
        let (to_this, to_all): (Vec<_>, Vec<_>) =
            reaching.partition(|one| one.account.user == plan.node.account.user);
        if everybodys {
            let names: BTreeSet<&String> = to_all.iter().map(|one| &one.database).collect();
            self.ways_in
                .extend(names.into_iter().map(|name| reason::way_of_everybody(name)));
        }
        let hidden = to_this.iter().filter(|one| one.is_hidden(plan));
        let hidden: BTreeSet<String> = hidden.map(|one| one.account.to_string()).collect();
        self.ways_in.extend(
            hidden
                .iter()
                .map(|row| reason::way_of_no_row(row, &plan.database)),
        );
        let public = held.public.iter().filter_map(|line| Grant::parse(line));
        let public = public.filter(|grant| grant.reaches(&plan.database, plan.names));
        self.ways_in.extend(public.map(reason::way_of_public));
        self.ways_in.extend(mandatory_roles(admin, &plan.database)?);
        Ok(())
    }
}

/// A column that this account row holds something on by two spellings of its name.
fn two_spellings<'a>(parts: &'a [Grant], account: &Account) -> Option<&'a String> {
    let is_its = |part: &&Grant| part.account() == Some(account);
    let on_columns = parts.iter().filter(is_its);
    let on_columns: Vec<&Grant> = on_columns
        .filter(|part| part.columns().next().is_some())
        .collect();
    let mut all = on_columns.iter();
    all.find_map(|one| on_columns.iter().find_map(|other| one.same_column(other)))
}

/// What is held, and by whom.
struct Holders {
    /// Each account row.
    rows: Vec<Lines>,
    /// By [`sql::granted_by_name`].
    by_name: Vec<ByName>,
    /// MariaDB's `PUBLIC`: the lines of its `SHOW GRANTS`.
    public: Vec<String>,
}

/// What the server gives to a user name from a host, whichever row let it in.
struct ByName {
    account: Account,
    database: String,
    is_pattern: bool,
}

impl ByName {
    fn reaches(&self, plan: &Plan) -> bool {
        if self.is_pattern {
            plan.names.include(&self.database, &plan.database)
        } else {
            self.database == plan.database
        }
    }

    /// Whether a client that comes in by one of the account's rows may have it though none of them
    /// shows it: it is a row's that somebody deleted, or one's that nobody can log in by.
    fn is_hidden(&self, plan: &Plan) -> bool {
        // MariaDB's roles have no host.
        let is_role = plan.server == Server::MariaDb && self.account.host.is_empty();
        if is_role || plan.accounts.contains(&self.account) {
            return false;
        }
        let mut rows = plan.accounts.iter();
        !plan.unusable.contains(&self.account)
            || rows.any(|row| Names::Patterns.include(&self.account.host, &row.host))
    }
}

fn ask(admin: &mut Admin, plan: &Plan) -> Result<Holders, Failure> {
    let mut statements = plan.grants();
    let user = &plan.node.account.user;
    statements.push(sql::granted_by_name(user, &plan.database));
    if plan.server == Server::MariaDb {
        // Before 10.11 it is an error, which then says that there is none.
        statements.push(sql::PUBLIC_GRANTS.to_owned());
    }
    let (mut answers, result) = admin.batch(&statements);
    match result {
        Err(Error::Server { .. }) if answers.len() > plan.accounts.len() => {}
        Err(error) => return Err(error.context(reason::grants_unreadable(user, &error))),
        Ok(()) => {}
    }
    let read = |(user, host, database, is_pattern)| ByName {
        account: Account { user, host },
        database,
        is_pattern,
    };
    Ok(Holders {
        rows: answers.lines(plan.accounts.len())?,
        by_name: answers.rows()?.into_iter().map(read).collect(),
        public: if answers.len() == 0 {
            Vec::new()
        } else {
            answers.rows()?
        },
    })
}

/// What an account row holds on the database by its global grants, where that can be taken away
/// there alone; or the way in that it stays, where it cannot be.
fn part_of_global(plan: &Plan, account: &Account, lines: &Lines) -> Option<Result<Grant, String>> {
    if plan.names == Names::Patterns {
        return None;
    }
    let held = lines.held();
    let global = held.globally_on(&plan.database);
    if global.is_empty() {
        return None;
    }
    let part = Grant::part_of_global(global, &plan.database, account);
    // What is held there too could not be told from that any more.
    let mut on_databases = held.grants.iter().filter(|one| one.is_on_a_database());
    Some(
        if on_databases.any(|one| one.is_on(&plan.database, plan.names)) {
            Err(reason::way_of_global_grant())
        } else {
            Ok(part)
        },
    )
}

/// What every account holds that reaches the database by a role, which `SHOW GRANTS` leaves out.
/// <https://dev.mysql.com/doc/refman/9.7/en/roles.html#mandatory-roles>
fn mandatory_roles(admin: &mut Admin, database: &str) -> Result<Vec<String>, Error> {
    let mut ways_in = Vec::new();
    for role in Account::list(&admin.mandatory_roles) {
        match admin.rows(sql::grants(&role)).map(Lines) {
            Ok(lines) if lines.held().reaches(database, admin.names) => {
                ways_in.push(reason::way_of_mandatory_role(role));
            }
            // The server ignores one that does not exist.
            Ok(_) | Err(Error::Server { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ways_in)
}
