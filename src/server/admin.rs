//! The admin's connection: what its server is, and what only the admin may do.

use std::collections::BTreeSet;
use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::FromRow;

use super::answers::Answers;
use super::batch::{Change, Ended, Ran};
use super::connect::Connection;
use super::error::{Error, NO_EVENTS, NO_TABLE};
use super::first::First;
use super::grants::{Grant, Names};
use super::identity::ServerId;
use super::in_turn::InTurn;
use super::listing::{Session, Wanted};
use super::sql::{self, Account, ProcessList, Server};
use crate::config::Node;
use crate::reason;

/// The admin's connection: what its server is, and what only the admin may do.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Admin {
    connection: Connection,
    /// Where it lists sessions.
    pub process_list: ProcessList,
    /// Whether the server's metadata locks tell which tables a session's transaction uses.
    pub reads_locks: bool,
    /// Whether they might, and only this admin may not read them.
    pub may_not_read_locks: bool,
    /// Which kind of server it is.
    pub server: Server,
    /// Its version, by its own word.
    pub version: String,
    /// Whether this session has claimed what it takes away, for as long as it lives.
    pub has_claimed: bool,
    /// Whether this session has gone through `super_read_only`.
    pub has_lifted: bool,
    /// What the name of a database stands for in a grant.
    pub names: Names,
    /// Whether the names of databases are the same in whichever case (`lower_case_table_names`).
    pub folds_names: bool,
    /// What the admin holds, its active roles included.
    pub grants: Vec<Grant>,
    /// What it lacks of its global grants on single databases.
    pub restrictions: Vec<Grant>,
    /// The account's rows that nobody can log in by, since MySQL does not have their plugin (any
    /// more). It refuses to change them (1524).
    pub unusable: Vec<Account>,
    /// Whether its performance schema is on.
    pub(super) has_performance_schema: bool,
    /// The account rows that a busy session may be shown as without being a client's, by
    /// [`sql::rows_with_a_host`], where that was asked; and those that define what runs as them.
    pub(super) with_a_host: Option<BTreeSet<String>>,
    pub(super) definers: Option<BTreeSet<String>>,
    /// The user name that the server took the login for.
    pub user: String,
    /// The connection's id on its server.
    pub id: u64,
    /// The statements by which what this session changes stays on this node.
    pub local_only: Vec<String>,
    /// Whether the binary log takes what this session changes, so that replicas hear of it.
    pub binary_logged: bool,
    /// Whether a Galera cluster takes what this session changes.
    pub replicated_by_galera: bool,
    /// Whether even the admin can change nothing (`super_read_only`).
    pub read_only: bool,
    /// The variable `read_only`, which says more than ON and OFF on a later MariaDB.
    pub read_only_mode: String,
    /// Whether nobody can change an account there, as on a reader of Aurora.
    pub innodb_read_only: bool,
    /// Whether it is read-only, and this admin is not among those who may write there all the same
    /// (MariaDB).
    pub may_not_write_read_only: bool,
    /// Whether the server runs events by itself.
    pub runs_events: bool,
    /// Why it lets nobody make or see events, if it does not.
    pub without_events: Option<Error>,
    /// The roles that every account has, as the server lists them.
    pub mandatory_roles: String,
    /// Which server it is.
    pub server_id: ServerId,
}

impl Admin {
    /// Logs in as the admin and keeps what this session changes on this node.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open(node: &Node, timeout: Duration) -> Result<Self, Error> {
        let mut connection = Connection::open_where_room_is_kept(node, timeout)?;
        let first = First::ask(&mut connection)?;
        let has_galera = first.variables.is_on("wsrep_on");
        let mut admin = Self::new(connection, first);
        if has_galera {
            admin.leave_galera()?;
        }
        Ok(admin)
    }

    /// By what the server says of itself, and of what the admin holds.
    fn new(connection: Connection, first: First) -> Self {
        let First {
            variables,
            user,
            held,
            is_binary_logged,
        } = first;
        let server = match variables.get("version") {
            version if version.contains("MariaDB") => Server::MariaDb,
            _ => Server::MySql,
        };
        let on = |name: &str| variables.is_on(name);
        let names = if on("partial_revokes") {
            Names::Literal
        } else {
            Names::Patterns
        };
        // MariaDB's performance schema has neither a process list nor, by default, metadata locks.
        let performance_schema = server == Server::MySql && on("performance_schema");
        // Its counts of what it had no room for can be reset (`FLUSH STATUS`).
        let has_room = |kind| {
            let most = variables.get(&format!("performance_schema_max_{kind}"));
            most.is_empty() || most == "-1"
        };
        let lists_all = performance_schema && has_room("thread_instances");
        let shows_locks = lists_all && has_room("metadata_locks");
        let may_read_locks = may_read_performance_schema(&held.grants, names);
        let writes = |grant: &Grant| grant.grants_globally("READ_ONLY ADMIN");
        let writes_always = held.grants.iter().any(writes);
        let local_only = Some(sql::NO_BINARY_LOG).filter(|_| !is_binary_logged);
        Self {
            reads_locks: shows_locks && may_read_locks,
            may_not_read_locks: shows_locks && !may_read_locks,
            id: connection.id(),
            connection,
            server,
            version: variables.get("version").to_owned(),
            process_list: match server {
                Server::MySql if lists_all => ProcessList::PerformanceSchema,
                Server::MySql => ProcessList::InformationSchema,
                Server::MariaDb => ProcessList::Shown,
            },
            has_claimed: false,
            has_lifted: false,
            names,
            folds_names: variables.get("lower_case_table_names") != "0",
            grants: held.grants,
            restrictions: held.restrictions,
            unusable: Vec::new(),
            has_performance_schema: on("performance_schema"),
            with_a_host: None,
            definers: None,
            user,
            local_only: local_only.into_iter().map(ToOwned::to_owned).collect(),
            binary_logged: is_binary_logged && on("log_bin"),
            replicated_by_galera: false,
            read_only: on("super_read_only"),
            read_only_mode: variables.get("read_only").to_owned(),
            // MariaDB keeps its accounts elsewhere.
            innodb_read_only: server == Server::MySql && on("innodb_read_only"),
            may_not_write_read_only: server == Server::MariaDb && on("read_only") && !writes_always,
            runs_events: on("event_scheduler"),
            without_events: None,
            mandatory_roles: variables.get("mandatory_roles").to_owned(),
            server_id: ServerId::read(variables.0),
        }
    }

    /// Keeps what this session changes from a Galera cluster, where the admin may do that.
    fn leave_galera(&mut self) -> Result<(), Error> {
        match self.batch_or_error(&[sql::NO_GALERA.to_owned()]) {
            Ok(_) => self.local_only.push(sql::NO_GALERA.to_owned()),
            Err(Error::Server { .. }) => self.replicated_by_galera = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether it holds this privilege on everything.
    pub fn holds(&self, privilege: &str) -> bool {
        let mut grants = self.grants.iter();
        grants.any(|grant| grant.grants_globally(privilege))
    }

    /// Whether it may read all of the performance schema.
    pub fn may_read_performance_schema(&self) -> bool {
        may_read_performance_schema(&self.grants, self.names)
    }

    /// The longest wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.connection.timeout
    }

    /// Whether this error says that the server has no events, which is not asked for again then.
    pub fn learns_without_events(&mut self, error: &Error) -> bool {
        let is_new = self.without_events.is_none();
        match error {
            Error::Server { code, message }
                if is_new
                    && (NO_EVENTS.contains(code)
                        || *code == NO_TABLE && message.contains("mysql.event")) =>
            {
                self.without_events = Some(error.clone());
                true
            }
            _ => false,
        }
    }

    /// As [`Connection::batch_or_error`].
    ///
    /// # Errors
    /// As [`Connection::batch_or_error`].
    pub fn batch_or_error(&mut self, statements: &[String]) -> Result<Answers, Error> {
        self.connection.batch_or_error(statements)
    }

    /// The rows that one statement answers.
    ///
    /// # Errors
    /// As [`Connection::batch_or_error`] and [`Answers::rows`].
    pub fn rows<T: FromRow>(&mut self, statement: impl Into<String>) -> Result<Vec<T>, Error> {
        self.batch_or_error(&[statement.into()])?.rows()
    }

    /// As [`Connection::batch`].
    pub fn batch(&mut self, statements: &[String]) -> (Answers, Result<(), Error>) {
        self.connection.batch(statements)
    }

    /// How often the server has turned this user name away, where it counts that.
    pub fn turned_away(&mut self, user: &str) -> Option<u64> {
        if self.server == Server::MariaDb {
            return None;
        }
        let answers = self.batch_or_error(&[sql::turned_away(user)]);
        answers.ok()?.turned_away().ok()?
    }

    /// Ends one of the admin's own sessions, which everybody may; it may have ended by itself.
    ///
    /// # Errors
    /// As [`Connection::batch_or_error`].
    pub fn kill_own(&mut self, id: u64) -> Result<(), Error> {
        let ended = self.end_each(&[sql::kill(id)])?;
        ended
            .refused
            .into_iter()
            .next()
            .map_or(Ok(()), |(_, error)| Err(error))
    }

    /// As [`Connection::end_each`].
    ///
    /// # Errors
    /// As [`Connection::end_each`].
    pub fn end_each(&mut self, statements: &[String]) -> Result<Ended, Error> {
        self.connection.end_each(statements)
    }

    /// Ends an earlier session of the admin, if it still is one, and waits until it is gone: a
    /// statement that was sent on it, and held up on the way, must not take effect after those that
    /// are sent now. It began so long ago, by which a server that was started later has none of
    /// that id but somebody else's.
    ///
    /// # Errors
    /// As [`Connection::batch_or_error`]; and where it does not end within the timeout.
    pub fn end_earlier_self(&mut self, id: u64, age: Duration) -> Result<(), Error> {
        /// On MariaDB, to end two that sleep at the same time can take two seconds: each waits for
        /// what the other holds.
        static ENDS: InTurn = InTurn::new();
        if !self.has_earlier_self(id, age)? {
            return Ok(());
        }
        match self.server {
            Server::MySql => self.end_own(id, age),
            // Not to wait for them is only slower.
            Server::MariaDb => ENDS.run(&self.server_id.clone(), Duration::from_secs(2), || {
                self.end_own(id, age)
            }),
        }
    }

    fn end_own(&mut self, id: u64, age: Duration) -> Result<(), Error> {
        let began = Instant::now();
        self.kill_own(id)?;
        while self.has_earlier_self(id, age)? {
            if began.elapsed() > self.connection.timeout {
                return Err(Error::NotYet(reason::earlier_session_stays()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn has_earlier_self(&mut self, id: u64, age: Duration) -> Result<bool, Error> {
        let user = self.user.clone();
        let mut listing = self.sessions(&user, Wanted::Selected, &[sql::UPTIME.to_owned()])?;
        let uptime: Option<(String, u64)> = listing.answers.row()?;
        // The server counts whole seconds, and age may be told by its clock.
        let is_later = uptime.is_some_and(|(_, uptime)| uptime + 2 < age.as_secs());
        let is_it = |session: &Session| session.id == id && session.user == user;
        Ok(!is_later && listing.sessions.iter().any(is_it))
    }

    /// Runs all of the statements that can be run, going on after one that the server refuses, and asks
    /// the questions in the round trip of the last, where that could be run. Where the statements take
    /// longer than the timeout, as when each waits for a lock, the rest is left.
    ///
    /// # Errors
    /// As [`Connection::batch_or_error`], other than the server's.
    pub fn batch_skipping(&mut self, change: Change) -> Result<Ran, Error> {
        let Change {
            statements,
            questions,
            ..
        } = change;
        let only_if = change.only_if.map(slice::from_ref).unwrap_or_default();
        let (mut rest, mut ran, began) = (statements, Ran::default(), Instant::now());
        loop {
            let (mut answers, last) = self.connection.batch(&[only_if, rest, questions].concat());
            let is_stopped = answers.len() < only_if.len();
            answers.take(only_if.len());
            match last {
                Ok(()) => {
                    answers.take(rest.len());
                    ran.answers = Some(answers);
                    break;
                }
                Err(error @ Error::Server { .. }) if is_stopped => {
                    ran.stopped = Some(error);
                    break;
                }
                Err(error @ Error::Server { .. }) if answers.len() < rest.len() => {
                    ran.failed.push((rest[answers.len()].clone(), error));
                    rest = &rest[answers.len() + 1..];
                }
                // A question.
                Err(Error::Server { .. }) => break,
                Err(error) => return Err(error),
            }
            if rest.is_empty() || began.elapsed() > self.connection.timeout {
                break;
            }
        }
        Ok(ran)
    }

    /// Learns which of the account rows nobody can log in by.
    ///
    /// # Errors
    /// As [`Connection::batch_or_error`].
    pub fn learn_unusable(&mut self, rows: &[AccountRow]) -> Result<(), Error> {
        let by_another = |row: &&AccountRow| {
            row.plugin
                .as_deref()
                .is_some_and(|one| one != sql::OWN_PLUGIN)
        };
        let rows: Vec<&AccountRow> = rows.iter().filter(by_another).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let known: Vec<String> = self.rows(sql::PLUGINS)?;
        let is_gone = |row: &&&AccountRow| {
            let mut known = known.iter();
            let plugin = row.plugin.as_deref().unwrap_or_default();
            !known.any(|one| one.eq_ignore_ascii_case(plugin))
        };
        let gone = rows.iter().filter(is_gone);
        self.unusable = gone.map(|row| row.account.clone()).collect();
        Ok(())
    }
}

fn may_read_performance_schema(grants: &[Grant], names: Names) -> bool {
    let reads = |grant: &Grant| grant.grants("SELECT", "performance_schema", names);
    grants.iter().any(reads)
}

/// An account row, by the answer to [`sql::accounts`].
pub struct AccountRow {
    /// Its name.
    pub account: Account,
    /// Whether it is locked.
    pub is_locked: bool,
    /// MySQL: the plugin that it logs in by.
    plugin: Option<String>,
}

impl AccountRow {
    /// Those of this user name. The server's comparison of names may be looser.
    ///
    /// # Errors
    /// As [`Answers::rows`].
    pub fn read(user: &str, answers: &mut Answers) -> Result<Vec<Self>, Error> {
        let mut rows = Self::read_all(answers)?;
        rows.retain(|row| row.account.user == user);
        Ok(rows)
    }

    /// All of them, by their hosts.
    ///
    /// # Errors
    /// As [`Answers::rows`].
    pub fn read_all(answers: &mut Answers) -> Result<Vec<Self>, Error> {
        let mut rows = answers.rows::<(String, String, String, Option<String>)>()?;
        rows.sort_by(|one, other| one.1.cmp(&other.1));
        let rows = rows.into_iter().map(|(user, host, locked, plugin)| Self {
            account: Account { user, host },
            is_locked: locked == "Y",
            plugin,
        });
        Ok(rows.collect())
    }
}
