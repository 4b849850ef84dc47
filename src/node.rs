//! One connection to a node's server. The only file that knows the mysql crate.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, Opts, OptsBuilder, Row, SslOpts, Value};
use rustls::NamedGroup;

use crate::config::{Address, Environment, Login, Node, SslMode};
use crate::grants::{Grant, Held, Names};
use crate::listing::{Session, Wanted};
use crate::server_id::ServerId;
use crate::sql::{self, Account, ProcessList, Server};
use crate::state::held_by;

/// The rows that one statement answers; `None` is `NULL`.
pub type Rows = Vec<Vec<Option<String>>>;

/// Why a statement or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The server said no.
    Server {
        /// Its error number: <https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html>.
        code: u16,
        /// Its words.
        message: String,
    },
    /// There is no server, or none that makes sense, or the way to it is cut.
    Connection(String),
    /// Its host name leads nowhere just now.
    Name(String),
    /// Nothing serves at its address.
    NobodyThere(String),
    /// The connection could not be encrypted as asked.
    Tls(String),
    /// The server would do it, but fail-start must not.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { code, message } => write!(f, "{message} (error {code})"),
            Self::Connection(cause)
            | Self::Name(cause)
            | Self::NobodyThere(cause)
            | Self::Tls(cause)
            | Self::Refused(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for Error {}

/// What is wrong with a node, for a person, and the server's error number if it came from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The server's error number.
    pub code: Option<u16>,
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Problem {
    /// This problem, told in these words.
    pub fn told_as(&self, text: impl fmt::Display) -> Self {
        let text = text.to_string();
        Self { text, ..*self }
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { code: None, text }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        error.within(&error)
    }
}

impl Error {
    /// This error, told in these words.
    pub fn within(&self, text: impl fmt::Display) -> Problem {
        let code = match self {
            Self::Server { code, .. } => Some(*code),
            _ => None,
        };
        let text = text.to_string();
        Problem { code, text }
    }

    /// Whether the server has no TLS at all.
    fn is_plain(&self) -> bool {
        matches!(self, Self::Tls(why) if why == NO_TLS)
    }

    /// Why a login to the node was refused, and what to look at.
    pub fn at_login(&self, node: &Node) -> Problem {
        let why = match self {
            // Without what the server repeats of it.
            Self::Server {
                code: code @ (ACCESS_DENIED | NO_PASSWORD),
                message,
            } => {
                let who = message.trim_start_matches("Access denied for user ");
                let who = who.split(" (using password").next().unwrap_or(who);
                let why = match *code {
                    ACCESS_DENIED => "wrong password?",
                    _ => "it may log in by its socket only, or needs a password",
                };
                format!("login refused for {who} ({why})")
            }
            error => error.to_string(),
        };
        self.within(format_args!("{why}: {}", advice(node, self)))
    }
}

/// `ER_ACCESS_DENIED_ERROR`: the user name or the password is wrong.
pub const ACCESS_DENIED: u16 = 1045;
/// `ER_ACCESS_DENIED_NO_PASSWORD_ERROR`: the account logs in another way, as root by its socket.
const NO_PASSWORD: u16 = 1698;
/// `ER_BAD_DB_ERROR`: there is no such database, which is found out after the login itself.
pub const NO_DATABASE: u16 = 1049;
/// `ER_EVENT_ALREADY_EXISTS`.
pub const EVENT_EXISTS: u16 = 1537;
/// What MariaDB says of every event where its scheduler is DISABLED, or its table of them missing or of another version:
/// `ER_EVENTS_DB_ERROR`, `ER_EVENT_OPEN_TABLE_FAILED`. <https://mariadb.com/kb/en/mariadb-error-codes/>
const NO_EVENTS: [u16; 2] = [1577, 1545];
/// `ER_CON_COUNT_ERROR`.
pub const TOO_MANY_CONNECTIONS: u16 = 1040;
/// `ER_NO_SUCH_TABLE`.
pub const NO_TABLE: u16 = 1146;
/// `ER_NO_SUCH_THREAD`: the session that is to end has ended by itself.
const NO_SUCH_THREAD: u16 = 1094;
const NO_TLS: &str = "the server offers no TLS";
/// `ER_SECURE_TRANSPORT_REQUIRED`.
const TLS_REQUIRED: u16 = 3159;

/// What became of sessions that were told to end.
#[derive(Debug, Default)]
pub struct Ended {
    /// How many there still were.
    pub count: usize,
    /// Those that the server did not end, by their places, and why.
    pub refused: Vec<(usize, Error)>,
}

/// One connection, of the admin or of the account.
pub struct Connection {
    conn: Conn,
    timeout: Duration,
}

impl Connection {
    /// Logs in to the node's server.
    ///
    /// # Errors
    /// Whatever keeps the login from working, in words that say where to look.
    pub fn open(
        node: &Node,
        login: &Login,
        database: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let base = OptsBuilder::new()
            .user(Some(&login.user))
            .pass(
                login
                    .password
                    .as_ref()
                    .map(|password| password.reveal().to_owned()),
            )
            .db_name(database)
            // Else it would reconnect over a socket that the server names, past a port that is forwarded.
            .prefer_socket(false)
            // Else it would ask for it, one more round trip. No statement here is near it: MySQL's default is 64 MiB.
            .max_allowed_packet(Some(16 << 20))
            // A node that is gone without a word is noticed, and a firewall does not forget the connection.
            .tcp_keepalive_time_ms(Some(30_000))
            .read_timeout(Some(timeout))
            .write_timeout(Some(timeout));
        let began = Instant::now();
        let mut failed = None;
        for options in addresses(node, base, timeout)? {
            // All addresses of a host together cost no more than one.
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            match connect(node, &options.tcp_connect_timeout(Some(left))) {
                Ok(conn) => return Ok(Self { conn, timeout }),
                // The next address of the same host may well work.
                Err(mysql::Error::DriverError(
                    error @ (DriverError::ConnectTimeout | DriverError::CouldNotConnect(_)),
                )) => {
                    // Of several addresses, one of a kind that this machine does not have (IPv6) says the least.
                    if failed.as_ref().is_none_or(is_not_for_this_machine) {
                        failed = Some(error);
                    }
                }
                Err(error) => return Err(explain(&error, timeout)),
            }
        }
        Err(failed.map_or_else(
            || Error::Connection(silent(timeout)),
            |error| explain(&mysql::Error::DriverError(error), timeout),
        ))
    }

    /// Logs in as the admin. A server whose connections are all in use keeps one for it, but whoever is just being turned away
    /// has that for a moment.
    fn open_where_room_is_kept(node: &Node, timeout: Duration) -> Result<Self, Error> {
        let began = Instant::now();
        loop {
            match Self::open(node, &node.admin, None, timeout) {
                Err(Error::Server {
                    code: TOO_MANY_CONNECTIONS,
                    ..
                }) if began.elapsed() < timeout.min(Duration::from_secs(3)) => {
                    thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    /// A second session of the admin, beside its own.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn beside(node: &Node, timeout: Duration) -> Result<Self, Error> {
        Self::open(node, &node.admin, None, timeout)
    }

    /// The connection's id on its server.
    pub fn id(&self) -> u64 {
        self.conn.connection_id().into()
    }

    /// Sends the statements in one packet, waits until the first of them is done, and leaves the rest to the server.
    ///
    /// # Errors
    /// Where the first is refused.
    pub fn start(mut self, statements: &[String]) -> Result<(), Error> {
        let timeout = self.timeout;
        let result = self
            .conn
            .query_iter(statements.join(";\n"))
            .map_err(|error| explain(&error, timeout))?;
        // To drop it would be to wait for all of them.
        std::mem::forget(result);
        Ok(())
    }

    /// Asks which server it is.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn server_id(&mut self) -> Result<ServerId, Error> {
        let answers = self.all(&[sql::identity()])?;
        Ok(ServerId::read(&answers.concat()))
    }

    /// Sends the statements in one round trip. The server runs them in order and stops at the first that fails: the
    /// answers of those before it, and its error.
    pub fn try_all(&mut self, statements: &[String]) -> (Vec<Rows>, Result<(), Error>) {
        self.send(statements, |_| {})
    }

    /// As [`Self::try_all`], but looks for answers in pauses only, each an eighth of the time that it has taken already:
    /// a server that has to wake the reader for each of a thousand small answers is slowed down by that.
    fn try_all_patiently(&mut self, statements: &[String]) -> (Vec<Rows>, Result<(), Error>) {
        let began = Instant::now();
        self.send(statements, |waited| {
            if waited > Duration::from_micros(100) {
                thread::sleep((began.elapsed() / 8).min(Duration::from_millis(50)));
            }
        })
    }

    /// Tells `after_each` how long each answer but the first took to come.
    fn send(
        &mut self,
        statements: &[String],
        after_each: impl Fn(Duration),
    ) -> (Vec<Rows>, Result<(), Error>) {
        let mut answers = Vec::with_capacity(statements.len());
        if statements.is_empty() {
            return (answers, Ok(()));
        }
        let timeout = self.timeout;
        let mut result = match self.conn.query_iter(statements.join(";\n")) {
            Ok(result) => result,
            Err(error) => return (answers, Err(explain(&error, timeout))),
        };
        let mut began = Instant::now();
        while let Some(set) = result.iter() {
            let mut rows = Rows::new();
            for row in set {
                match row {
                    Ok(row) => rows.push(texts(row)),
                    Err(error) => return (answers, Err(explain(&error, timeout))),
                }
            }
            answers.push(rows);
            after_each(began.elapsed());
            began = Instant::now();
        }
        (answers, Ok(()))
    }

    /// Sends the statements, each of which ends a session, in as few round trips as the server allows; all of them, whatever
    /// becomes of the others.
    ///
    /// # Errors
    /// As [`Self::all`], other than the server's.
    pub fn end_each(&mut self, statements: &[String]) -> Result<Ended, Error> {
        let mut ended = Ended::default();
        let mut at = 0;
        while at < statements.len() {
            let (answers, last) = self.try_all_patiently(&statements[at..]);
            ended.count += answers.len();
            at += answers.len() + 1;
            match last {
                Ok(()) => break,
                Err(Error::Server {
                    code: NO_SUCH_THREAD,
                    ..
                }) => {}
                Err(error @ Error::Server { .. }) => ended.refused.push((at - 1, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// Sends the statements in one round trip, and returns the answer of each.
    ///
    /// # Errors
    /// The error of the first statement that failed; those after it were not run.
    pub fn all(&mut self, statements: &[String]) -> Result<Vec<Rows>, Error> {
        match self.try_all(statements) {
            (answers, Ok(())) if answers.len() == statements.len() => Ok(answers),
            (answers, Ok(())) => {
                let (sent, came) = (statements.len(), answers.len());
                Err(Error::Connection(format!(
                    "{sent} statements were sent and {came} answers came"
                )))
            }
            (_, Err(error)) => Err(error),
        }
    }
}

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
    /// What the name of a database stands for in a grant.
    pub names: Names,
    /// What the admin holds, its active roles included.
    pub grants: Vec<Grant>,
    /// What it lacks of its global grants on single databases.
    pub restrictions: Vec<Grant>,
    /// The account's rows that nobody can log in by, since MySQL does not have their plugin (any more). It refuses to change
    /// them (1524).
    pub unusable: Vec<Account>,
    /// The user name that the server took the login for.
    pub user: String,
    /// The connection's id on its server.
    pub id: u64,
    /// The statements by which what this session changes stays on this node.
    pub stays_here: Vec<String>,
    /// Whether the binary log takes what this session changes, so that replicas hear of it.
    pub binary_logged: bool,
    /// Whether a Galera cluster takes what this session changes.
    pub replicated_by_galera: bool,
    /// Whether even the admin can change nothing.
    pub read_only: bool,
    /// Whether nobody can change an account there, as on a reader of Aurora.
    pub innodb_read_only: bool,
    /// Whether it is read-only, and this admin is not among those who may write there all the same (MariaDB).
    pub may_not_write_read_only: bool,
    /// Whether the server runs events by itself.
    pub runs_events: bool,
    /// Why it lets nobody make or see events, if it does not.
    pub without_events: Option<String>,
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
        let seconds = timeout.as_secs().max(1);
        let [settings, read_write] = sql::session(seconds);
        let (answers, last) = connection.try_all(&[
            settings,
            read_write,
            sql::variables(),
            sql::WHO.to_owned(),
            sql::OWN_GRANTS.to_owned(),
            // Last, since an admin of a managed server may not.
            sql::NO_BINARY_LOG.to_owned(),
        ]);
        let may_not_set = match (answers.len(), last) {
            (6, Ok(())) => false,
            (5, Err(Error::Server { .. })) => true,
            (_, last) => return Err(last.err().unwrap_or_else(not_mysql)),
        };
        let variables: HashMap<String, String> = answers[2]
            .iter()
            .map(|row| (cell(row, 0), cell(row, 1)))
            .collect();
        let variable = |name: &str| variables.get(name).cloned().unwrap_or_default();
        let on = |name: &str| ["ON", "1"].contains(&variable(name).as_str());
        let server = match variables.get("version") {
            Some(version) if version.contains("MariaDB") => Server::MariaDb,
            _ => Server::MySql,
        };
        let user = answers[3]
            .first()
            .map(|row| cell(row, 0))
            .unwrap_or_default();
        let Held {
            grants,
            restrictions,
        } = held_by(&answers[4]);
        // MariaDB's performance schema has neither a process list nor, by default, metadata locks.
        let performance_schema = server == Server::MySql && on("performance_schema");
        let writes_always = grants
            .iter()
            .any(|grant| grant.gives_everywhere("READ_ONLY ADMIN"));
        let names = if on("partial_revokes") {
            Names::Literal
        } else {
            Names::Patterns
        };
        let may_read_locks = grants
            .iter()
            .any(|grant| grant.gives("SELECT", "performance_schema", names));
        let mut admin = Self {
            reads_locks: performance_schema && may_read_locks,
            may_not_read_locks: performance_schema && !may_read_locks,
            id: u64::from(connection.conn.connection_id()),
            connection,
            server,
            version: variable("version"),
            process_list: if performance_schema {
                ProcessList::PerformanceSchema
            } else {
                ProcessList::InformationSchema
            },
            names,
            grants,
            restrictions,
            unusable: Vec::new(),
            user: user
                .rsplit_once('@')
                .map_or(user.as_str(), |(user, _)| user)
                .to_owned(),
            stays_here: if may_not_set {
                Vec::new()
            } else {
                vec![sql::NO_BINARY_LOG.to_owned()]
            },
            binary_logged: may_not_set && on("log_bin"),
            replicated_by_galera: false,
            read_only: on("super_read_only"),
            // MariaDB keeps its accounts elsewhere.
            innodb_read_only: server == Server::MySql && on("innodb_read_only"),
            may_not_write_read_only: server == Server::MariaDb && on("read_only") && !writes_always,
            runs_events: on("event_scheduler"),
            without_events: None,
            mandatory_roles: variable("mandatory_roles"),
            server_id: ServerId::read(&answers[2]),
        };
        if on("wsrep_on") {
            match admin.connection.all(&[sql::NO_GALERA.to_owned()]) {
                Ok(_) => admin.stays_here.push(sql::NO_GALERA.to_owned()),
                Err(Error::Server { .. }) => admin.replicated_by_galera = true,
                Err(error) => return Err(error),
            }
        }
        Ok(admin)
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
                self.without_events = Some(format!("it has no events ({error})"));
                true
            }
            _ => false,
        }
    }

    /// As [`Connection::all`].
    ///
    /// # Errors
    /// As [`Connection::all`].
    pub fn all(&mut self, statements: &[String]) -> Result<Vec<Rows>, Error> {
        self.connection.all(statements)
    }

    /// As [`Connection::try_all`].
    pub fn try_all(&mut self, statements: &[String]) -> (Vec<Rows>, Result<(), Error>) {
        self.connection.try_all(statements)
    }

    /// How often the server has turned this user name away, where it counts that.
    pub fn turned_away(&mut self, user: &str) -> Option<u64> {
        if self.server == Server::MariaDb {
            return None;
        }
        let answers = self.all(&[sql::turned_away(user)]).ok()?;
        // No row for a user name that has never met an error.
        Some(cell(answers.first()?.first()?, 0).parse().unwrap_or(0))
    }

    /// Ends one of the admin's own sessions, which everybody may; it may have ended by itself.
    ///
    /// # Errors
    /// As [`Connection::all`].
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

    /// Ends an earlier session of the admin, if it still is one, and waits until it is gone: a statement that was sent on
    /// it, and held up on the way, must not take effect after those that are sent now. It began so long ago, by which a server
    /// that was started later has none of that id but somebody else's.
    ///
    /// # Errors
    /// As [`Connection::all`]; and where it does not end within the timeout.
    pub fn end_earlier_self(&mut self, id: u64, age: Duration) -> Result<(), Error> {
        let (user, began) = (self.user.clone(), Instant::now());
        let mut told = false;
        loop {
            let listing = self.sessions(&user, Wanted::Selected, &[sql::UPTIME.to_owned()])?;
            let uptime = listing.answers.concat();
            let uptime = uptime.first().and_then(|row| cell(row, 1).parse().ok());
            // The server counts whole seconds, and age may be told by its clock.
            let is_later = uptime.is_some_and(|uptime: u64| uptime + 2 < age.as_secs());
            let is_it = |session: &Session| session.id == id && session.user == user;
            if is_later || !listing.sessions.iter().any(is_it) {
                return Ok(());
            }
            if !told {
                self.kill_own(id)?;
                told = true;
            } else if began.elapsed() > self.connection.timeout {
                return Err(Error::Connection(
                    "an earlier session of fail-start does not end".to_owned(),
                ));
            } else {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Runs all of the statements that can be run, going on after one that the server refuses; returns those, each with the
    /// reason. Where they take longer than the timeout, as when each waits for a lock, the rest is left.
    ///
    /// # Errors
    /// As [`Connection::all`], other than the server's.
    pub fn try_each(&mut self, statements: &[String]) -> Result<Vec<(String, Error)>, Error> {
        let (mut rest, mut failed, began) = (statements, Vec::new(), Instant::now());
        while !rest.is_empty() && began.elapsed() < self.connection.timeout {
            let (answers, last) = self.connection.try_all(rest);
            match last {
                Ok(()) => break,
                Err(error @ Error::Server { .. }) => {
                    failed.push((rest[answers.len()].clone(), error));
                    rest = &rest[answers.len() + 1..];
                }
                Err(error) => return Err(error),
            }
        }
        Ok(failed)
    }

    /// Learns which of the account rows nobody can log in by.
    ///
    /// # Errors
    /// As [`Connection::all`].
    pub fn learn_unusable(&mut self, rows: &Rows) -> Result<(), Error> {
        let by_another =
            |row: &&Vec<_>| self.server == Server::MySql && cell(row, 3) != sql::OWN_PLUGIN;
        let rows: Vec<_> = rows.iter().filter(by_another).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let plugins = self.all(&[sql::PLUGINS.to_owned()])?.concat();
        let is_gone = |row: &&&Vec<_>| {
            let plugin = cell(row, 3);
            let mut known = plugins.iter();
            !known.any(|one| cell(one, 0).eq_ignore_ascii_case(&plugin))
        };
        let gone = rows.iter().filter(is_gone);
        self.unusable = gone
            .map(|row| Account {
                user: cell(row, 0),
                host: cell(row, 1),
            })
            .collect();
        Ok(())
    }

    /// The account rows of the user name, and whether each is locked.
    pub fn accounts(user: &str, rows: &Rows) -> Vec<(Account, bool)> {
        rows.iter()
            .map(|row| {
                (
                    Account {
                        user: cell(row, 0),
                        host: cell(row, 1),
                    },
                    cell(row, 2) == "Y",
                )
            })
            .filter(|(account, _)| account.user == user)
            .collect()
    }
}

/// The cell's text; empty where it is `NULL` or not there.
pub fn cell(row: &[Option<String>], column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn texts(row: Row) -> Vec<Option<String>> {
    row.unwrap_raw()
        .into_iter()
        .map(|value| match value {
            None | Some(Value::NULL) => None,
            Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Some(other) => Some(other.as_sql(true)),
        })
        .collect()
}

/// The connection options of each address to try, in the resolver's order.
///
/// The driver tries the first address of a name only: `localhost` is often `::1` first, where no server listens.
fn addresses(node: &Node, base: OptsBuilder, timeout: Duration) -> Result<Vec<OptsBuilder>, Error> {
    let (host, port) = match &node.address {
        Address::Socket(path) => return Ok(vec![base.socket(Some(path))]),
        Address::Tcp(host, port) => (host.clone(), *port),
    };
    let base = base.tcp_port(port);
    let resolved = resolve(&host, port, timeout)?;
    Ok(resolved
        .into_iter()
        .map(|address| {
            if node.ssl_mode == SslMode::VerifyIdentity && host.parse::<IpAddr>().is_err() {
                // The certificate is checked against the name, so the driver must have the name. Bound to one family
                // it tries all of that family's addresses.
                let any: IpAddr = match address {
                    IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                    IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
                };
                base.clone()
                    .ip_or_hostname(Some(&host))
                    .bind_address(Some((any, 0)))
            } else {
                let literal = match address {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                };
                base.clone().ip_or_hostname(Some(literal))
            }
        })
        .collect())
}

/// The addresses of a host name, in the resolver's order.
fn resolve(host: &str, port: u16, timeout: Duration) -> Result<Vec<IpAddr>, Error> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    // The resolver knows no time limit: let it go on alone past ours.
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    thread::spawn(move || {
        sender.send(
            (name.as_str(), port)
                .to_socket_addrs()
                .map(|all| all.map(|one| one.ip()).collect()),
        )
    });
    match receiver.recv_timeout(timeout) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(_)) => Err(Error::Name("unknown host name".to_owned())),
        Err(_) => Err(Error::Name(format!(
            "its host name was not resolved within {}",
            in_words(timeout)
        ))),
    }
}

/// The numbers of those nodes that are at this address too, under whatever name: those whose host name cannot be resolved
/// within the timeout are not.
pub fn at_same_address(
    address: &Address,
    others: &[(u32, Address)],
    timeout: Duration,
) -> Vec<u32> {
    let resolved = |address: &Address| match address {
        Address::Tcp(host, port) => resolve(host, *port, timeout).unwrap_or_default(),
        Address::Socket(_) => Vec::new(),
    };
    let port = |address: &Address| match address {
        Address::Tcp(_, port) => Some(*port),
        Address::Socket(_) => None,
    };
    let is_loopback = |addresses: &[IpAddr]| addresses.iter().any(IpAddr::is_loopback);
    let is_same = |ours: &[IpAddr], theirs: &[IpAddr]| {
        is_loopback(ours) && is_loopback(theirs) || theirs.iter().any(|one| ours.contains(one))
    };
    // All at once: names that do not resolve would cost a timeout each.
    thread::scope(|scope| {
        let same_port = |other: &Address| port(other) == port(address);
        let ours = LazyCell::new(|| resolved(address));
        let theirs: Vec<_> = others
            .iter()
            .filter(|(_, other)| other != address && same_port(other))
            .map(|(number, other)| (*number, scope.spawn(move || resolved(other))))
            .collect();
        let equal = others.iter().filter(|(_, other)| other == address);
        let mut same: Vec<u32> = equal.map(|(number, _)| *number).collect();
        for (number, theirs) in theirs {
            if is_same(&ours, &theirs.join().unwrap_or_default()) {
                same.push(number);
            }
        }
        same
    })
}

fn is_not_for_this_machine(error: &DriverError) -> bool {
    matches!(
        error,
        DriverError::CouldNotConnect(Some((
            _,
            _,
            ErrorKind::AddrNotAvailable | ErrorKind::NetworkUnreachable
        )))
    )
}

/// Offers the group first that MySQL takes. Of TLS libraries' favourite, X25519, it does not, and then asks again.
fn offer_p256_first() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut provider = rustls::crypto::ring::default_provider();
        provider
            .kx_groups
            .sort_by_key(|group| group.name() != NamedGroup::secp256r1);
        // There is none yet.
        let _ = provider.install_default();
    });
}

/// Connects with TLS as the node's mode has it.
fn connect(node: &Node, options: &OptsBuilder) -> Result<Conn, mysql::Error> {
    offer_p256_first();
    let verify = matches!(node.ssl_mode, SslMode::VerifyCa | SslMode::VerifyIdentity);
    let mut tls = SslOpts::default()
        .with_danger_accept_invalid_certs(!verify)
        .with_danger_skip_domain_validation(node.ssl_mode == SslMode::VerifyCa);
    if verify {
        tls = tls.with_root_cert_path(node.ssl_ca.clone());
    }
    let open = |tls: Option<SslOpts>| Conn::new(Opts::from(options.clone().ssl_opts(tls)));
    match node.ssl_mode {
        SslMode::Disabled => open(None),
        SslMode::Preferred => match open(Some(tls)) {
            Err(mysql::Error::DriverError(DriverError::TlsNotSupported)) => open(None),
            result => result,
        },
        SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity => open(Some(tls)),
    }
}

fn not_mysql() -> Error {
    Error::Connection("what answers there does not speak MySQL's protocol".to_owned())
}

/// A duration for a person, such as `10s`.
pub fn in_words(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}

/// The driver's error in words for a person.
fn explain(error: &mysql::Error, timeout: Duration) -> Error {
    if let Some(error) = cause_in_io(error) {
        return explain_io(error, timeout);
    }
    Error::Connection(match error {
        mysql::Error::MySqlError(error) => {
            return Error::Server {
                code: error.code,
                message: error.message.clone(),
            };
        }
        mysql::Error::TlsError(error) => return Error::Tls(tls_failed(&error.to_string())),
        mysql::Error::DriverError(DriverError::TlsNotSupported) => {
            return Error::Tls(NO_TLS.to_owned());
        }
        mysql::Error::DriverError(DriverError::ConnectTimeout) => silent(timeout),
        mysql::Error::DriverError(DriverError::CouldNotConnect(Some((_, description, kind)))) => {
            return match kind {
                ErrorKind::ConnectionRefused => {
                    Error::NobodyThere("nothing listens there".to_owned())
                }
                ErrorKind::NotFound => Error::NobodyThere("no such socket".to_owned()),
                _ => Error::Connection(format!("no connection ({})", without_number(description))),
            };
        }
        mysql::Error::DriverError(DriverError::UnknownAuthPlugin(plugin)) => {
            return Error::Refused(format!(
                "the account logs in by the plugin {plugin}, which fail-start does not have: give it another"
            ));
        }
        mysql::Error::DriverError(
            DriverError::UnsupportedProtocol(_)
            | DriverError::PacketOutOfSync
            | DriverError::PacketTooLarge
            | DriverError::Protocol41NotSet
            | DriverError::UnexpectedPacket,
        )
        | mysql::Error::CodecError(_) => return not_mysql(),
        other => format!("the connection failed: {other}"),
    })
}

/// Why TLS failed, in words where the library has only a name for it.
fn tls_failed(why: &str) -> String {
    let known = [
        (
            "CaUsedAsEndEntity",
            "its certificate is its own authority, which the verify modes do not take",
        ),
        (
            "UnsupportedCertVersion",
            "its certificate is of X.509 version 1, which the verify modes do not take",
        ),
        (
            "UnknownIssuer",
            "no authority that is known has signed its certificate (UnknownIssuer)",
        ),
    ];
    let words = known.iter().find(|(name, _)| why.contains(name));
    format!("TLS failed: {}", words.map_or(why, |(_, words)| words))
}

fn silent(timeout: Duration) -> String {
    format!("no answer within {} (--timeout)", in_words(timeout))
}

/// The system's error in the driver's; it wraps those that come with a packet once more.
fn cause_in_io(error: &mysql::Error) -> Option<&io::Error> {
    match error {
        mysql::Error::IoError(error) => Some(error),
        mysql::Error::CodecError(error) => std::error::Error::source(error)?.downcast_ref(),
        _ => None,
    }
}

fn explain_io(error: &io::Error, timeout: Duration) -> Error {
    Error::Connection(match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => silent(timeout),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            "the connection was cut".to_owned()
        }
        // The TLS library puts its errors, and it alone, into an error of this kind.
        ErrorKind::InvalidData if error.get_ref().is_some() => {
            return Error::Tls(tls_failed(&error.to_string()));
        }
        // Packets that end too early or hold what no server sends.
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData => return not_mysql(),
        _ => format!(
            "the connection failed: {}",
            without_number(&error.to_string())
        ),
    })
}

/// The system's words, without its `(os error 99)`.
fn without_number(description: &str) -> &str {
    description
        .split(" (os error")
        .next()
        .unwrap_or(description)
}

/// What to look at when an admin's login to this node fails this way.
fn advice(node: &Node, error: &Error) -> String {
    match error {
        Error::Server {
            code: ACCESS_DENIED | NO_PASSWORD,
            ..
        } => {
            let (user, password) = (node.admin_variable("USER"), node.admin_variable("PASSWORD"));
            let mut advice = format!("check {user} and {password}");
            if node.ssl_mode == SslMode::Disabled {
                // MariaDB says the same when it insists on TLS.
                advice += "; if the server insists on TLS, check ";
                advice += &node.shared_variable("DB_SSL_MODE");
            }
            advice
        }
        Error::Server {
            code: TLS_REQUIRED, ..
        } => format!("check {}", node.shared_variable("DB_SSL_MODE")),
        Error::Server { .. } | Error::Refused(_) => "ask the server's administrator".to_owned(),
        Error::Tls(_) if node.environment == Environment::Cloud && error.is_plain() => format!(
            "behind the Cloud SQL Auth Proxy {}=disabled is right; else check it",
            node.shared_variable("DB_SSL_MODE")
        ),
        Error::Tls(_) => {
            format!(
                "check {} and {}",
                node.shared_variable("DB_SSL_MODE"),
                node.shared_variable("DB_SSL_CA")
            )
        }
        Error::Name(_) => format!("check {}", node.variable("DB_HOST")),
        Error::NobodyThere(_) => format!("is the server running? Check {}", at(node)),
        Error::Connection(_) => format!("check {}", at(node)),
    }
}

/// The variables that say where the node is.
fn at(node: &Node) -> String {
    match node.address {
        Address::Socket(_) => node.variable("DB_HOST"),
        Address::Tcp(..) => {
            format!(
                "{} and {}",
                node.variable("DB_HOST"),
                node.variable("DB_PORT")
            )
        }
    }
}
