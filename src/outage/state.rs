//! How a node stands, by its server's own word: the account's rows, the database, and the undos
//! that were left there.

use std::fmt;
use std::time::Duration;

use crate::config::Node;
use crate::outage::undo::Undo;
use crate::reason::{self, Reason};
use crate::server::sql::{self, Account};
use crate::server::{AccountRow, Admin, Answers, Error, in_words};

/// What a server says of a node.
pub struct State {
    /// The account's rows.
    pub accounts: Vec<AccountRow>,
    /// The rows without a user name, which take the login of anybody from their hosts.
    pub nameless: Vec<Account>,
    /// The node's database, as the server spells it.
    pub database: Option<String>,
    /// The databases that a grant on this name may cover too, where that was asked.
    pub alike: Vec<String>,
    undos: Vec<UndoEvent>,
    /// The events that the server runs as an account of that name, of those that this admin sees.
    pub own_events: Vec<OwnEvent>,
}

/// Database, name, definer.
pub type OwnEvent = (String, String, String);

/// An event that has the undo's name.
#[derive(Clone, Debug)]
pub struct UndoEvent {
    /// The database that it is in.
    pub database: String,
    /// The account that made it, or altered it last.
    definer: String,
    /// Since when it has been there, UTC, by the server's clock.
    since: String,
    /// How long that is.
    pub age: Duration,
    /// When the server runs it by itself, UTC.
    until: Option<String>,
    /// What it says, if fail-start wrote it as this admin.
    pub undo: Option<Undo>,
    /// Whether it says that the account was locked, if this admin or another one made it.
    is_of_lock: bool,
    maker: Maker,
}

/// Who made an event of the undo's name.
#[derive(Clone, Debug)]
enum Maker {
    /// This admin, in this version's format; or nobody that could be known.
    Known,
    /// Another account that is not the application's: it may be another admin.
    AnotherAdmin,
    /// fail-start, in this other version.
    AnotherVersion(String),
    /// The application's account, or whoever else.
    Unknown,
}

/// A row of [`sql::events`].
type EventRow = (
    bool,
    bool,
    String,
    String,
    String,
    String,
    i64,
    Option<String>,
    Option<String>,
);
/// What of it an undo is read from.
type UndoRow = (String, String, String, i64, Option<String>, Option<String>);

impl UndoEvent {
    fn read(row: UndoRow, admin: &Admin, node: &Node) -> Self {
        let (database, definer, since, age, until, body) = row;
        let body = body.unwrap_or_default();
        // The account may make events in its own database; only the admin's are trusted, from
        // whichever host it came.
        let maker = definer.rsplit_once('@').map_or("", |(user, _)| user);
        let undo = Undo::parse(&body, &database, admin.names);
        let user = &node.account.user;
        let unlocks = |undo: &Undo| undo.unlocked().any(|account| account.user == *user);
        let is_of_lock = maker != user && undo.as_ref().is_some_and(unlocks);
        let other = Undo::other_version(&body);
        let (undo, maker) = match (undo, other) {
            (Some(undo), _) if maker == admin.user => (Some(undo), Maker::Known),
            (None, Some(version)) if maker == admin.user => (None, Maker::AnotherVersion(version)),
            (Some(_), _) | (_, Some(_)) if maker != user => (None, Maker::AnotherAdmin),
            _ => (None, Maker::Unknown),
        };
        Self {
            undo,
            is_of_lock,
            maker,
            since,
            // A clock that was put back makes it come.
            age: Duration::from_secs(age.try_into().unwrap_or(0)),
            until,
            database,
            definer,
        }
    }

    /// Since when, as RFC 3339 has it.
    pub fn since(&self) -> String {
        rfc3339(&self.since)
    }

    /// Until when at the latest, as RFC 3339 has it.
    pub fn until(&self) -> Option<String> {
        self.until.as_deref().map(rfc3339)
    }

    /// Why it is not run, if it is not this admin's and this version's.
    pub fn distrust(&self) -> Reason {
        let Self {
            database, definer, ..
        } = self;
        match &self.maker {
            Maker::AnotherAdmin => reason::undo_of_another(sql::UNDO, database, definer),
            Maker::AnotherVersion(version) => reason::undo_of_version(version),
            Maker::Known | Maker::Unknown => reason::undo_of_nobody(sql::UNDO, database, definer),
        }
    }
}

fn rfc3339(utc: &str) -> String {
    utc.replacen(' ', "T", 1) + "Z"
}

impl fmt::Display for UndoEvent {
    /// For how long, by whom and until when, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for {}", in_words(self.age))?;
        if let Some(undo) = &self.undo {
            write!(f, ", by {undo}")?;
        }
        if let Some(until) = &self.until {
            let time = until
                .split_once(' ')
                .map_or(until.as_str(), |(_, time)| time);
            write!(f, ", back by {time} UTC")?;
        }
        Ok(())
    }
}

impl State {
    /// Asks the node's server.
    ///
    /// # Errors
    /// Why it could not be asked.
    pub fn read(admin: &mut Admin, node: &Node) -> Result<Self, Error> {
        Self::read_with(admin, node, &sql::database(&node.database))
    }

    /// The same of a node whose database is known, as the server spells it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_in(admin: &mut Admin, node: &Node, database: &str) -> Result<Self, Error> {
        Self::read_with(admin, node, &sql::text(database))
    }

    fn read_with(admin: &mut Admin, node: &Node, asks_for_database: &str) -> Result<Self, Error> {
        let asked = |admin: &Admin| Self::statements(admin, node, asks_for_database);
        let mut answers = match admin.batch_or_error(&asked(admin)) {
            Err(error) if admin.learns_without_events(&error) => {
                admin.batch_or_error(&asked(admin))?
            }
            answers => answers?,
        };
        Self::from_answers(admin, node, &mut answers)
    }

    /// What is asked, the database by this question.
    pub fn statements(admin: &Admin, node: &Node, asks_for_database: &str) -> Vec<String> {
        vec![
            sql::accounts(admin.server, &[&node.account.user, ""]),
            asks_for_database.to_owned(),
            match admin.without_events {
                Some(_) => sql::NOTHING.to_owned(),
                None => sql::events(&node.account.user),
            },
        ]
    }

    /// Reads the answers.
    ///
    /// # Errors
    /// Where more has to be asked, as [`Admin::batch_or_error`].
    pub fn from_answers(
        admin: &mut Admin,
        node: &Node,
        answers: &mut Answers,
    ) -> Result<Self, Error> {
        let user = &node.account.user;
        let all = AccountRow::read_all(answers)?;
        let (mut accounts, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|row| row.account.user == *user);
        let others = others.into_iter().filter(|row| !row.is_locked);
        let others = others.map(|row| row.account);
        admin.learn_unusable(&accounts)?;
        accounts.retain(|row| !admin.unusable.contains(&row.account));
        let mut alike: Vec<String> = answers.rows()?;
        let is_it = |name: &String| {
            let [name, wanted] = [name, &node.database];
            name == wanted || admin.folds_names && name.to_lowercase() == wanted.to_lowercase()
        };
        let at = alike.iter().position(is_it);
        let database = at.map(|at| alike.remove(at));
        let (mut undos, mut own_events) = (Vec::new(), Vec::new());
        for row in answers.rows::<EventRow>()? {
            let (is_undo, is_own, database, name, definer, since, age, until, body) = row;
            if is_own {
                own_events.push((database.clone(), name, definer.clone()));
            }
            if is_undo {
                let undo = (database, definer, since, age, until, body);
                undos.push(UndoEvent::read(undo, admin, node));
            }
        }
        Ok(Self {
            accounts,
            nameless: others.filter(|row| row.user.is_empty()).collect(),
            database,
            alike,
            undos,
            own_events,
        })
    }

    /// What is missing: no node can do without it.
    pub fn problems(&self, node: &Node) -> Vec<Reason> {
        let mut problems = Vec::new();
        if self.accounts.is_empty() {
            let (user, variable) = (&node.account.user, &node.variables.user);
            problems.push(reason::no_account(user, variable));
        }
        if self.database.is_none() {
            let (admin, variable) = (&node.admin.user, &node.variables.database);
            problems.push(reason::no_database(&node.database, admin, variable));
        }
        problems
    }

    /// The node's database as the server spells it; as the settings do, where it is not there.
    pub fn spells_database_of<'a>(&'a self, node: &'a Node) -> &'a str {
        self.database.as_deref().unwrap_or(&node.database)
    }

    /// The event of the undo's name in the node's database.
    pub fn found(&self) -> Option<&UndoEvent> {
        self.undos
            .iter()
            .find(|found| Some(&found.database) == self.database.as_ref())
    }

    /// The undo of another node on the same server, where the account was locked for that one, by
    /// whichever admin.
    pub fn locked_elsewhere(&self) -> Option<&UndoEvent> {
        self.undos
            .iter()
            .find(|found| Some(&found.database) != self.database.as_ref() && found.is_of_lock)
    }

    /// The undos in other databases that the session of this one has left for the same account rows.
    pub fn left_with(&self, mine: &Undo, database: &str) -> impl Iterator<Item = (&String, &Undo)> {
        let rows: Vec<Account> = mine.unlocked().collect();
        let others = self
            .undos
            .iter()
            .filter(move |found| found.database != database);
        let others = others.filter_map(|found| Some((&found.database, found.undo.as_ref()?)));
        others
            .filter(move |(_, undo)| undo.is_with(mine) && undo.unlocked().eq(rows.iter().cloned()))
    }

    /// Whether every row of the account is locked.
    pub fn is_locked(&self) -> bool {
        self.accounts.iter().all(|row| row.is_locked)
    }

    /// The account's rows.
    pub fn rows(&self) -> Vec<Account> {
        self.accounts
            .iter()
            .map(|row| row.account.clone())
            .collect()
    }
}

impl UndoEvent {
    /// What another node on the same server was locked for.
    pub fn elsewhere(&self) -> Reason {
        reason::locked_for_another(&self.database, self)
    }
}
