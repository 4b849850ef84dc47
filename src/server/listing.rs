//! The sessions on a node, listed so that none is missing: each list of the server's is taken for
//! what it is worth.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::{FromRow, FromValue};
use mysql::{FromRowError, Row};

use crate::reason;
use crate::server::in_turn::InTurn;
use crate::server::runs_as::RunsAs;
use crate::server::sql::{self, ProcessList, Server};
use crate::server::{Admin, Answers, Error, NO_TABLE};

/// One session of somebody else, as the server's process list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Session {
    /// The connection's id, for `KILL`.
    pub id: u64,
    /// The user name, or [`sql::NOT_LOGGED_IN`].
    pub user: String,
    /// The default database, if one is selected.
    pub database: Option<String>,
    /// Whether its login, or its change of user, is not through.
    pub is_logging_in: bool,
    /// Whether the user name is that of whoever defined a routine or a trigger that it runs, and
    /// nothing tells whose session it is.
    pub is_unknown: bool,
    /// Whether it waits for its client.
    pub is_idle: bool,
    /// Whether it runs a statement of its client's.
    pub is_running: bool,
    /// Whether nothing of a client's runs in it: its login may be refused yet, or it is being ended;
    /// or it runs an event of the account's (MariaDB).
    pub is_none_yet: bool,
    /// Whether it has a table of the database that was asked for in its transaction, where metadata
    /// locks tell that; or runs a statement that began with it as the default one.
    pub uses_it: bool,
    /// The statement under way by which it may use that database yet, whatever is revoked meanwhile;
    /// 0 where that is not shown.
    pub may_use_it_by: Option<u64>,
}

/// A row of [`sql::sessions`].
struct Listed {
    id: u64,
    user: Option<String>,
    /// Where the session comes from, with a port, or within a routine or a trigger its definer's host;
    /// of the lists that show those so.
    host: Option<String>,
    database: Option<String>,
    command: Option<String>,
    /// Nothing where no table at all is shown to be in use by it.
    uses_it: Option<bool>,
}

impl FromRow for Listed {
    fn from_row_opt(mut row: Row) -> Result<Self, FromRowError> {
        let (host, database, command, uses_it) = match row.len() {
            4 => (None, 2, 3, None),
            5 => (None, 2, 3, Some(4)),
            // Another list, with more behind.
            _ => (Some(2), 3, 4, None),
        };
        // That of `SHOW PROCESSLIST` has two more between.
        let info = host.map(|_| if row.len() == 6 { 5 } else { 7 });
        let info: Option<Vec<u8>> = info.and_then(|at| cell(&mut row, at)?);
        let info = info.unwrap_or_default();
        let is_guard = String::from_utf8_lossy(&info).contains(sql::GUARDS);
        let mut read = || {
            Some(Self {
                id: cell(&mut row, 0)?,
                user: cell(&mut row, 1)?,
                // A guard runs nothing of anybody's.
                host: match host.filter(|_| !is_guard) {
                    Some(at) => cell(&mut row, at)?,
                    None => None,
                },
                database: cell(&mut row, database)?,
                command: cell(&mut row, command)?,
                uses_it: uses_it.map_or(Some(None), |at| cell(&mut row, at))?,
            })
        };
        read().ok_or(FromRowError(row))
    }
}

fn cell<T: FromValue>(row: &mut Row, at: usize) -> Option<T> {
    row.take_opt(at)?.ok()
}

/// What the server lists.
#[derive(Default)]
struct List {
    rows: Vec<Listed>,
    /// By [`sql::LIST_GAPS`], where that was asked.
    gaps: HashMap<String, String>,
    /// By [`sql::turned_away`], where that was asked and is counted.
    turned_away: Option<u64>,
}

/// What is asked after a list.
#[derive(Clone, Copy)]
enum Then<'a> {
    Nothing,
    /// What it may lack.
    Gaps,
    /// How often this user name was turned away.
    TurnedAway(&'a str),
}

impl List {
    /// Whether the server counts any of this.
    fn counts(&self, gap: &str) -> bool {
        self.gaps.get(gap).is_some_and(|count| count != "0")
    }
}

/// Which sessions of a user name count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// All of them.
    All,
    /// Those that have selected a database.
    Selected,
    /// Those, and the ones whose transactions use this database.
    Using(&'a str),
}

/// What was listed.
#[derive(Default)]
pub struct Listing {
    /// The sessions of the user name, and those whose login is not through.
    pub sessions: Vec<Session>,
    /// Whether [`Session::uses_it`] can be relied on.
    pub by_locks: bool,
    /// Whether some may be missing just now, so that another list must follow.
    pub lacks_some: bool,
    /// The answers of the statements that ran first.
    pub answers: Answers,
    /// How often the server had turned the user name away, where that was asked and is counted.
    pub turned_away: Option<u64>,
}

/// How long after somebody has read it the list of transactions shows what it showed then, and a
/// little more.
const TRANSACTIONS_ARE_KEPT: Duration = Duration::from_millis(105);

/// How long others' statements may take that use a table just now.
const STATEMENTS_TAKE: Duration = Duration::from_millis(100);

impl Admin {
    /// Lists the sessions of this user name that count, and perhaps others of it, and those whose
    /// login is not through; the statements run first, in the same round trip.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn sessions(
        &mut self,
        user: &str,
        wanted: Wanted,
        statements: &[String],
    ) -> Result<Listing, Error> {
        self.list_sessions(user, wanted, statements, Then::Gaps)
    }

    /// As [`Self::sessions`], in less time, where another list follows: this one may have gaps. And
    /// how often the server had turned the user name away.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn sessions_at_first(
        &mut self,
        user: &str,
        wanted: Wanted,
        statements: &[String],
    ) -> Result<Listing, Error> {
        self.list_sessions(user, wanted, statements, Then::TurnedAway(user))
    }

    fn list_sessions(
        &mut self,
        user: &str,
        wanted: Wanted,
        statements: &[String],
        then: Then,
    ) -> Result<Listing, Error> {
        let by_locks = match wanted {
            Wanted::Using(database) if self.reads_locks && self.lists_by_performance_schema() => {
                Some(database)
            }
            _ => None,
        };
        let question = sql::sessions(self.process_list, user, by_locks);
        let (answers, list) = self.list(question, statements, then)?;
        if self.must_list_otherwise(list.as_ref(), by_locks.is_some()) {
            let listing = self.list_sessions(user, wanted, &[], then)?;
            return Ok(Listing { answers, ..listing });
        }
        let list = list.unwrap_or_default();
        let may_lack_some = list.counts("Mysqlx_sessions");
        let mut sessions = self.read(list.rows, user)?;
        if let Some(database) = by_locks
            && !self.learn_what_they_run(database, user, &mut sessions)?
        {
            self.reads_locks = false;
            let listing = self.list_sessions(user, wanted, &[], then)?;
            return Ok(Listing { answers, ..listing });
        }
        let lacks_some = may_lack_some && !self.add_from_the_other_list(&mut sessions, user)?;
        Ok(Listing {
            sessions,
            by_locks: by_locks.is_some(),
            lacks_some,
            answers,
            turned_away: list.turned_away,
        })
    }

    /// Runs the statements, and finds out where this server lists sessions.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn find_list(&mut self, statements: &[String]) -> Result<Answers, Error> {
        if !self.lists_by_performance_schema() {
            let asked = [statements, &[sql::rows_with_a_host(self.server)]].concat();
            let mut answers = self.batch_or_error(&asked)?;
            let first = answers.take(statements.len());
            self.read_rows_with_a_host(&mut answers)?;
            return Ok(first);
        }
        let own = sql::OWN_SESSION.to_owned();
        let (answers, list) = self.list(own, statements, Then::Nothing)?;
        self.must_list_otherwise(list.as_ref(), false);
        Ok(answers)
    }

    /// Runs the statements, and reads the server's list by this question; there is none where it
    /// has no such table, as MySQL before 8.0.22.
    fn list(
        &mut self,
        question: String,
        statements: &[String],
        then: Then,
    ) -> Result<(Answers, Option<List>), Error> {
        let by_schema = self.lists_by_performance_schema();
        let mut asked = statements.to_vec();
        asked.push(question);
        asked.extend(match then {
            Then::Gaps if by_schema => Some(sql::LIST_GAPS.to_owned()),
            Then::TurnedAway(user) if self.counts_turned_away() => Some(sql::turned_away(user)),
            _ => None,
        });
        let (mut answers, result) = self.batch(&asked);
        let has_run = answers.len() == statements.len() && by_schema;
        let has_listed = answers.len() > statements.len();
        match (result, then) {
            (Err(Error::Server { code: NO_TABLE, .. }), _) if has_run => {
                return Ok((answers, None));
            }
            // Not every server counts that, or not for this admin.
            (Err(Error::Server { .. }), Then::TurnedAway(_)) if has_listed => {}
            (result, _) => result?,
        }
        let first = answers.take(statements.len());
        let mut list = List {
            rows: answers.rows()?,
            ..List::default()
        };
        if self.process_list == ProcessList::Shown {
            // As the server itself keeps them, the newest first.
            list.rows.reverse();
        }
        if answers.len() > 0 {
            match then {
                Then::Nothing => {}
                Then::Gaps => list.gaps = answers.rows()?.into_iter().collect(),
                Then::TurnedAway(_) => list.turned_away = answers.turned_away()?,
            }
        }
        Ok((first, Some(list)))
    }

    /// Whether this list shows that it is none to rely on: then another is made from now on.
    fn must_list_otherwise(&mut self, list: Option<&List>, by_locks: bool) -> bool {
        let id = self.id;
        let own = list.and_then(|list| list.rows.iter().find(|row| row.id == id));
        let has_gap = |gap| list.is_some_and(|list| list.counts(gap));
        // A list that lacks this session is no list.
        if self.lists_by_performance_schema()
            && (own.is_none() || has_gap("Performance_schema_thread_instances_lost"))
        {
            self.process_list = ProcessList::InformationSchema;
            return true;
        }
        // Nor do locks tell anything where those that this list itself needs are not shown.
        let own_locks = own.is_some_and(|row| row.uses_it.is_some());
        if by_locks && (!own_locks || has_gap("Performance_schema_metadata_lock_lost")) {
            self.reads_locks = false;
            return true;
        }
        false
    }

    /// Adds what MySQL's other list shows beside these, and returns whether it could: it would wait
    /// for one that changes its user just now.
    fn add_from_the_other_list(
        &mut self,
        sessions: &mut Vec<Session>,
        user: &str,
    ) -> Result<bool, Error> {
        let is_changing = |one: &Session| one.is_logging_in && one.user != sql::NOT_LOGGED_IN;
        if sessions.iter().any(is_changing) {
            return Ok(false);
        }
        let other = sql::sessions(ProcessList::InformationSchema, user, None);
        let all = self.rows(other)?;
        let known: BTreeSet<u64> = sessions.iter().map(|session| session.id).collect();
        let more = self.read(all, user)?.into_iter();
        // What has run something is listed there, by its true name.
        let lacked = |session: &Session| session.is_idle || session.is_logging_in;
        sessions.extend(more.filter(|session| lacked(session) && !known.contains(&session.id)));
        Ok(true)
    }

    /// Learns which of the user name's sessions with a statement under way elsewhere use the database
    /// all the same, or may yet; returns whether the server tells that.
    fn learn_what_they_run(
        &mut self,
        database: &str,
        user: &str,
        sessions: &mut [Session],
    ) -> Result<bool, Error> {
        let is_elsewhere = |one: &Session| one.database.as_deref() != Some(database);
        let may_use_it = |one: &&mut Session| {
            one.user == user && one.is_running && !one.uses_it && is_elsewhere(one)
        };
        let found = sessions.iter_mut().filter(may_use_it);
        let mut run: BTreeMap<u64, &mut Session> = found.map(|one| (one.id, one)).collect();
        if run.is_empty() {
            return Ok(true);
        }
        let ids: Vec<u64> = run.keys().copied().collect();
        let mut tells = false;
        let rows: Vec<(u64, Option<u64>, bool, bool)> =
            match self.rows(sql::statements(database, &ids)) {
                // MySQL 5.7 does not know which view is on what.
                Err(Error::Server { .. }) => return Ok(false),
                rows => rows?,
            };
        for (id, statement, is_here, may_use_it) in rows {
            if let Some(session) = run.get_mut(&id) {
                session.uses_it = is_here;
                session.may_use_it_by = may_use_it.then(|| statement.unwrap_or(0));
            } else {
                tells = statement.is_some();
            }
        }
        Ok(tells)
    }

    /// Whether the server may count whom it turned away. The table of a performance schema that is off
    /// is empty.
    fn counts_turned_away(&self) -> bool {
        self.server == Server::MySql && self.has_performance_schema
    }

    /// Whether it lists sessions there. [`Self::find_list`] shows whether that can be relied on.
    fn lists_by_performance_schema(&self) -> bool {
        self.process_list == ProcessList::PerformanceSchema
    }

    /// The sessions of this user name, those whose login is not through, and those of which nothing
    /// tells whose they are.
    fn read(&mut self, rows: Vec<Listed>, user: &str) -> Result<Vec<Session>, Error> {
        let own = self.id;
        let (mut sessions, mut run_as) = (Vec::new(), BTreeMap::new());
        for row in rows.into_iter().filter(|row| row.id != own) {
            let (name, command) = (
                row.user.unwrap_or_default(),
                row.command.unwrap_or_default(),
            );
            if sql::REPLICATES.contains(&command.as_str()) {
                continue;
            }
            let is_logging_in = name == sql::NOT_LOGGED_IN || command == sql::CHANGES_USER;
            // The server's comparison of names may be looser than ours.
            let is_its = name == user || is_logging_in;
            let host = row.host.filter(|_| !is_logging_in);
            match host.and_then(|host| RunsAs::shown(&name, &host, &command)) {
                Some(shown) => drop(run_as.insert(row.id, shown)),
                None if is_its => {}
                None => continue,
            }
            sessions.push(Session {
                id: row.id,
                user: name,
                database: row.database,
                is_logging_in,
                is_unknown: false,
                is_idle: command == "Sleep",
                is_running: sql::RUNS.contains(&command.as_str()),
                is_none_yet: sql::NONE_YET.contains(&command.as_str()),
                uses_it: row.uses_it == Some(true),
                may_use_it_by: None,
            });
        }
        self.learn_whose(&mut sessions, &run_as)?;
        sessions.retain(|one| one.user == user || one.is_logging_in || one.is_unknown);
        Ok(sessions)
    }

    /// The ids of the sessions that have a transaction open: of all that had one when this was
    /// asked, at least.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`]; and where somebody else reads that list so often that the
    /// server never makes it anew.
    pub fn open_transactions(&mut self) -> Result<BTreeSet<u64>, Error> {
        /// Two that wait for the same server's list would keep each other from seeing it made anew.
        static WAITS: InTurn = InTurn::new();
        let began = Instant::now();
        // A list that lacks this session's own transaction is from before.
        let own = self.id;
        let is_new = |ids: &BTreeSet<u64>| ids.contains(&own);
        let first = [sql::BEGIN.to_owned(), sql::TRANSACTIONS.to_owned()];
        let mut first = self.batch_or_error(&first)?;
        let _begin = first.take(1);
        let mut ids: BTreeSet<u64> = first.rows()?.into_iter().collect();
        if !is_new(&ids) {
            ids = WAITS.run(&self.server_id.clone(), self.timeout(), || {
                loop {
                    let ids = self.rows(sql::TRANSACTIONS)?.into_iter().collect();
                    if is_new(&ids) {
                        return Ok(ids);
                    }
                    if began.elapsed() > self.timeout() {
                        return Err(Error::NotYet(reason::transactions_never_listed()));
                    }
                    thread::sleep(TRANSACTIONS_ARE_KEPT);
                }
            })?;
        }
        self.batch_or_error(&[sql::ROLLBACK.to_owned()])?;
        ids.remove(&own);
        Ok(ids)
    }

    /// Whether tables of the database are kept open for longer than a statement takes, by whomever.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn keeps_tables_open(&mut self, database: &str) -> Result<bool, Error> {
        let began = Instant::now();
        loop {
            let in_use = sql::tables_in_use(database);
            if self.batch_or_error(&[in_use])?.count()? == 0 {
                return Ok(false);
            }
            if began.elapsed() > STATEMENTS_TAKE {
                return Ok(true);
            }
            thread::sleep(STATEMENTS_TAKE / 10);
        }
    }
}
