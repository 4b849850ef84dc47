//! One node's outage: prepare, take offline, bring back. Each step is a type, so that a step cannot be left out: a
//! [`Ready`] node can only be taken offline, an [`Offline`] one only be brought back, and dropping it tries to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::Method;
use crate::config::{Environment, Node};
use crate::grants::{Grant, matches};
use crate::node::{ACCESS_DENIED, Admin, Connection, Error, Rows, Session, advice, cell, in_words};
use crate::sql::{self, Account, Server};

/// How the nodes are to be failed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How a node is taken away; else by its environment.
    pub method: Option<Method>,
    /// Whether open sessions are left alone.
    pub keep_sessions: bool,
    /// The longest wait for a node to answer, and for its sessions to end.
    pub timeout: Duration,
}

impl Options {
    /// The method for this node.
    pub fn method(&self, node: &Node) -> Method {
        self.method.unwrap_or(match node.environment {
            Environment::Local => Method::Lock,
            // A managed service may not let accounts be locked.
            Environment::Cloud => Method::Revoke,
        })
    }
}

/// How long a node that does not answer is tried again before it is given up.
const PERSISTENCE: Duration = Duration::from_secs(30);

/// How long a login that began before the lock is waited for. The server needs microseconds from its look at the lock
/// to showing the session as the account's; a connection that stays silent is no login.
const LOGIN_IN_FLIGHT: Duration = Duration::from_millis(250);

/// Something to tell while a step takes long.
#[derive(Debug)]
pub enum Progress {
    /// So many sessions have been told to end and are still there.
    SessionsLeft(usize),
    /// The node could not be brought back yet, for this reason; it is tried again.
    Retrying(String),
}

/// What changes on a node and back, and how its state is read.
#[derive(Clone, Debug)]
struct Plan {
    node: Arc<Node>,
    method: Method,
    server: Server,
    /// The database, as the server spells it.
    database: String,
    /// The account rows whose state counts.
    accounts: Vec<Account>,
    out: Vec<String>,
    back: Vec<String>,
    /// Revoke: the lines of `SHOW GRANTS` that must be there again.
    held: Vec<String>,
    keep_sessions: bool,
    timeout: Duration,
    /// Whether a login as the account worked before the outage, so that it can prove both ends of it.
    login_proves: bool,
}

impl Plan {
    /// The statements whose answers [`Self::is_out`] and [`Self::is_back`] read.
    fn state(&self) -> Vec<String> {
        match self.method {
            Method::Lock => vec![sql::accounts(self.server, &self.node.account.user)],
            Method::Revoke => self.accounts.iter().map(sql::grants).collect(),
        }
    }

    /// Lock: the account rows, and whether each is locked.
    fn rows(&self, answers: &[Rows]) -> Option<Vec<(Account, bool)>> {
        answers
            .first()
            .map(|rows| Admin::accounts(&self.node.account.user, rows))
    }

    /// Whether the server's own state keeps the account out.
    fn is_out(&self, answers: &[Rows]) -> bool {
        match self.method {
            Method::Lock => self
                .rows(answers)
                .is_some_and(|rows| rows.iter().all(|(_, locked)| *locked)),
            Method::Revoke => !self.holds_anything(answers),
        }
    }

    /// Whether the server's own state is what it was before the outage.
    fn is_back(&self, answers: &[Rows]) -> bool {
        match self.method {
            Method::Lock => {
                let rows = self.rows(answers).unwrap_or_default();
                self.accounts
                    .iter()
                    .all(|account| rows.contains(&(account.clone(), false)))
            }
            // Nothing was held: then there is the guide's grant.
            Method::Revoke if self.held.is_empty() => self.holds_anything(answers),
            Method::Revoke => self
                .held
                .iter()
                .all(|held| lines(answers).any(|line| line == held)),
        }
    }

    fn holds_anything(&self, answers: &[Rows]) -> bool {
        lines(answers)
            .filter_map(Grant::parse)
            .any(|grant| grant.is_on(&self.database))
    }

    /// Whether this session, of the account, must end.
    fn ends(&self, session: &Session) -> bool {
        session.user == self.node.account.user
            && (self.method == Method::Lock || session.database.as_ref() == Some(&self.database))
    }

    /// Whether a login as the account gets in, and why not.
    fn login(&self) -> Result<(), Error> {
        Connection::open(
            &self.node,
            &self.node.account,
            Some(&self.database),
            self.timeout,
        )
        .map(drop)
    }

    /// The same, tried again for as long as no server answers: that says nothing about the account.
    fn login_until_answered(&self) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            match self.login() {
                Err(Error::Connection(_) | Error::Tls(_)) if began.elapsed() < self.timeout => {
                    thread::sleep(Duration::from_millis(50));
                }
                answer => return answer,
            }
        }
    }
}

fn lines(answers: &[Rows]) -> impl Iterator<Item = &str> {
    answers
        .iter()
        .flatten()
        .filter_map(|row| row.first()?.as_deref())
}

/// A node that passed every check. Nothing on it has been changed.
pub struct Ready {
    admin: Admin,
    plan: Plan,
    /// What the user should know before it goes offline.
    pub warnings: Vec<String>,
}

impl Ready {
    /// Connects to the node and makes every check, changing nothing.
    ///
    /// # Errors
    /// All that stands in the way, in words that say what to do.
    pub fn prepare(node: &Arc<Node>, options: &Options) -> Result<Self, String> {
        let timeout = options.timeout;
        // Beside the admin's, so that a node far away does not take twice as long.
        let login = {
            let node = Arc::clone(node);
            thread::spawn(move || {
                node.account.password.as_ref().map(|_| {
                    Connection::open(&node, &node.account, Some(&node.database), timeout).map(drop)
                })
            })
        };
        let mut admin = Admin::open(node, timeout)
            .map_err(|error| format!("{}: {}", refused(&error), advice(node, &error)))?;
        let mut answers = admin
            .all(&[
                sql::accounts(admin.server, &node.account.user),
                sql::database(&node.database),
            ])
            .map_err(|error| format!("its accounts and databases cannot be read: {error}"))?
            .into_iter();
        let accounts = Admin::accounts(&node.account.user, &answers.next().unwrap_or_default());
        let database = answers
            .next()
            .and_then(|rows| rows.first().map(|row| cell(row, 0)));

        let method = options.method(node);
        let mut problems = problems_of(node, &admin, method);
        if accounts.is_empty() {
            problems.push(format!(
                "it has no account named '{}': check {}",
                node.account.user,
                node.shared_variable("DB_USER")
            ));
        }
        if database.is_none() {
            problems.push(format!(
                "it has no database named '{}': check {}",
                node.database,
                node.variable("DB_NAME")
            ));
        }
        let mut ready = Self {
            plan: Plan {
                node: Arc::clone(node),
                method,
                server: admin.server,
                database: database.unwrap_or_default(),
                accounts: accounts
                    .iter()
                    .map(|(account, _)| account.clone())
                    .collect(),
                out: Vec::new(),
                back: Vec::new(),
                held: Vec::new(),
                keep_sessions: options.keep_sessions,
                timeout,
                login_proves: false,
            },
            admin,
            warnings: Vec::new(),
        };
        if problems.is_empty() {
            match method {
                Method::Lock => ready.plan_lock(&accounts),
                Method::Revoke => problems = ready.plan_revoke()?,
            }
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        if method == Method::Lock {
            ready.warnings.extend(node.shared_with.iter().map(|number| {
                format!("node {number} has the same address, and goes offline with it (--method revoke would not do that)")
            }));
        }
        if ready.admin.binary_logged {
            ready.warnings.push(format!(
                "{} may not switch the binary log off (sql_log_bin), so replicas of this node go offline with it",
                node.admin.user
            ));
        }
        match login.join() {
            Ok(Some(Ok(()))) => ready.plan.login_proves = true,
            Ok(Some(Err(error))) => ready.warnings.push(format!(
                "a login as '{}' does not work even now ({error}), so OFFLINE and ONLINE rest on what the server says: \
                 check {}",
                node.account.user,
                node.shared_variable("DB_PASSWORD")
            )),
            Ok(None) | Err(_) => {}
        }
        Ok(ready)
    }

    fn plan_lock(&mut self, accounts: &[(Account, bool)]) {
        let open: Vec<Account> = accounts
            .iter()
            .filter(|(_, locked)| !locked)
            .map(|(account, _)| account.clone())
            .collect();
        if open.is_empty() {
            self.warnings.push(format!(
                "'{}' is locked already; it will be unlocked when the node is brought back",
                self.plan.node.account.user
            ));
        } else {
            self.plan.out = vec![sql::lock(&open)];
            self.plan.accounts = open;
        }
        self.plan.back = self.plan.accounts.iter().map(sql::unlock).collect();
    }

    /// Plans the revoke, and returns what would keep it from taking the node offline.
    fn plan_revoke(&mut self) -> Result<Vec<String>, String> {
        let plan = &mut self.plan;
        let mut statements = plan.state();
        statements.push(sql::GRANTED_TO_ALL.to_owned());
        if plan.server == Server::MariaDb {
            // Before 10.11 it is an error, which then says that there is none.
            statements.push(sql::PUBLIC_GRANTS.to_owned());
        }
        let (answers, result) = self.admin.try_all(&statements);
        let rows = plan.accounts.len();
        match result {
            Err(Error::Server { .. }) if answers.len() > rows => {}
            Err(error) => {
                return Err(format!(
                    "the grants of '{}' cannot be read: {error}",
                    plan.node.account.user
                ));
            }
            Ok(()) => {}
        }
        let mut ways_in = Vec::new();
        for grant in lines(&answers[..rows]).filter_map(Grant::parse) {
            if grant.is_on(&plan.database) {
                plan.out.extend(grant.revoke());
                plan.held.push(grant.line.clone());
            } else if grant.is_another_way_into(&plan.database) {
                ways_in.push(grant.to_string());
            }
        }
        let to_all =
            lines(&answers[rows..=rows]).filter(|pattern| matches(pattern, &plan.database));
        ways_in.extend(
            to_all.map(|pattern| format!("a grant to ''@'%', so to everybody, ON `{pattern}`.*")),
        );
        let public = lines(&answers[rows + 1..]).filter_map(Grant::parse);
        let public = public.filter(|grant| grant.reaches(&plan.database));
        ways_in.extend(public.map(|grant| format!("{grant} TO PUBLIC")));

        if plan.held.is_empty() {
            self.warnings.push(format!(
                "'{}' holds nothing on `{}`; ALL PRIVILEGES will be granted when the node is brought back",
                plan.node.account.user, plan.database
            ));
            plan.back = plan
                .accounts
                .iter()
                .map(|account| sql::grant_all(&plan.database, account))
                .collect();
        } else {
            plan.back.clone_from(&plan.held);
        }
        let problem = |way_in: &String| {
            format!(
                "to revoke the grants on `{}` would not take it offline, since there is also {way_in}: revoke that, or \
                 use --method lock",
                plan.database
            )
        };
        Ok(ways_in.iter().map(problem).collect())
    }

    /// Why this node and that one cannot both be named, if they cannot.
    pub fn conflict(&self, other: &Self) -> Option<String> {
        if self.admin.identity != other.admin.identity {
            return None;
        }
        match self.plan.method {
            Method::Lock => Some(format!(
                "it is the same server as {}, so to lock the account takes both offline: name one, or use \
                 --method revoke",
                other.node()
            )),
            Method::Revoke if self.plan.database == other.plan.database => Some(format!(
                "it is the same database as {}: name one",
                other.node()
            )),
            Method::Revoke => None,
        }
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.plan.node
    }

    /// What to run by hand to bring the node back.
    pub fn by_hand(&self) -> Vec<String> {
        self.admin
            .stays_here
            .iter()
            .chain(&self.plan.back)
            .cloned()
            .collect()
    }

    /// Takes the node offline: when this returns an `Offline`, no session of the account is left and none can get in.
    ///
    /// # Errors
    /// What failed, with the node, which may be changed in part and must still be brought back.
    pub fn take_offline(
        self,
        stop: &AtomicBool,
        tell: &dyn Fn(Progress),
    ) -> Result<Offline, Box<Failed>> {
        let mut offline = Offline {
            first_session: self.admin.id,
            admin: Some(self.admin),
            plan: self.plan,
            since: None,
            sessions_ended: 0,
            turned_away: None,
            turned_away_meanwhile: None,
            changed: false,
        };
        match offline.take(stop, tell) {
            Ok(()) => Ok(offline),
            Err(error) => Err(Box::new(Failed { error, offline })),
        }
    }
}

/// What the admin lacks, and what the server forbids.
fn problems_of(node: &Node, admin: &Admin, method: Method) -> Vec<String> {
    let mut problems = Vec::new();
    if admin.user == node.account.user {
        problems.push(format!(
            "'{}' is the admin itself, which would lock itself out: check {} and {}",
            admin.user,
            node.shared_variable("DB_USER"),
            node.admin_variable("USER")
        ));
    }
    if admin.read_only {
        problems.push("it is read-only even for its admin (super_read_only): SET GLOBAL super_read_only = OFF".to_owned());
    }
    if admin.replicated_by_galera {
        problems.push(format!(
            "{} may not switch Galera's replication off (wsrep_on), so the whole cluster would go offline: grant it SUPER",
            node.admin.user
        ));
    }
    let holds = |privilege: &str| {
        admin
            .grants
            .iter()
            .any(|grant| grant.gives_everywhere(privilege))
    };
    let mut needed = vec![
        vec!["PROCESS"],
        vec!["CONNECTION_ADMIN", "CONNECTION ADMIN", "SUPER"],
    ];
    if method == Method::Lock {
        needed.push(vec!["CREATE USER"]);
    }
    for any_of in needed {
        if !any_of.iter().any(|privilege| holds(privilege)) {
            problems.push(format!(
                "{} lacks the privilege {}: grant it ON *.*",
                node.admin.user, any_of[0]
            ));
        }
    }
    let may_pass_on = |grant: &Grant| grant.may_be_passed_on() && grant.reaches(&node.database);
    if method == Method::Revoke && !admin.grants.iter().any(may_pass_on) {
        problems.push(format!(
            "{} may not revoke and grant on `{}`: it needs its privileges WITH GRANT OPTION",
            node.admin.user, node.database
        ));
    }
    problems
}

/// The reason that a login was refused, without what the server repeats of it.
fn refused(error: &Error) -> String {
    match error {
        Error::Server {
            code: ACCESS_DENIED,
            message,
        } => {
            format!(
                "access denied ({})",
                message.trim_start_matches("Access denied for ").trim()
            )
        }
        error => error.to_string(),
    }
}

/// A node that could not be taken offline.
pub struct Failed {
    /// Why; nothing where it was told to stop.
    pub error: Option<String>,
    /// The node, which may be changed in part.
    pub offline: Offline,
}

/// A node that is offline, or on its way there or back. Dropping it tries to bring it back.
pub struct Offline {
    admin: Option<Admin>,
    plan: Plan,
    since: Option<Instant>,
    /// The id of the session that took it offline.
    first_session: u64,
    sessions_ended: usize,
    /// How often the server had turned the account away when the outage began.
    turned_away: Option<u64>,
    turned_away_meanwhile: Option<u64>,
    /// Whether anything on the node may differ from before.
    changed: bool,
}

/// A node that is back, and what the outage did.
#[derive(Debug)]
pub struct Back {
    /// From OFFLINE to ONLINE; `None` if the node had not been proven offline.
    pub offline_for: Option<Duration>,
    /// How many sessions of the account were ended.
    pub sessions_ended: usize,
    /// How many logins and statements of the account the server turned away meanwhile, where it counts that.
    pub turned_away: Option<u64>,
}

impl Offline {
    fn take(&mut self, stop: &AtomicBool, tell: &dyn Fn(Progress)) -> Result<(), Option<String>> {
        let stopped = || stop.load(Ordering::SeqCst);
        let Some(admin) = self.admin.as_mut() else {
            return Err(Some("its connection is gone".to_owned()));
        };
        if stopped() {
            return Err(None);
        }
        // From here on the node may be changed, also when no answer tells so.
        self.changed = true;
        let plan = &self.plan;
        let failed = |error: Error| Some(error.to_string());
        // Lock first, then look: who got in before is listed, who comes now is refused.
        let statements: Vec<String> = plan.out.iter().cloned().chain(plan.state()).collect();
        let (mut sessions, answers) = admin
            .sessions(&plan.node.account.user, &statements)
            .map_err(failed)?;
        let mut state = answers[plan.out.len()..].to_vec();
        // The login takes as many round trips as all the rest, so it goes on beside it.
        let login = plan.login_proves.then(|| {
            let plan = plan.clone();
            thread::spawn(move || plan.login_until_answered())
        });

        let mut ending = Ending::new(plan.timeout);
        loop {
            if !plan.is_out(&state) {
                return Err(Some(
                    "somebody gave the account its access back meanwhile".to_owned(),
                ));
            }
            let left: Vec<u64> = sessions
                .iter()
                .filter(|one| plan.ends(one))
                .map(|one| one.id)
                .collect();
            if plan.keep_sessions {
                if !left.is_empty() {
                    tell(Progress::SessionsLeft(left.len()));
                }
                break;
            }
            if ending.is_over(&sessions, &left) {
                break;
            }
            if stopped() {
                return Err(None);
            }
            let fresh = ending.not_told_yet(&left);
            if fresh.is_empty() {
                ending.wait(left.len(), tell).map_err(Some)?;
            } else {
                self.sessions_ended += admin
                    .kill(&fresh)
                    .map_err(|error| Some(format!("a session cannot be ended: {error}")))?;
            }
            (sessions, state) = admin
                .sessions(&plan.node.account.user, &plan.state())
                .map_err(failed)?;
        }
        match login.map(thread::JoinHandle::join) {
            None | Some(Ok(Err(Error::Server { .. }))) => {}
            Some(Ok(Ok(()))) => return Err(Some("a login as the account still works".to_owned())),
            Some(Ok(Err(error))) => {
                return Err(Some(format!(
                    "a login as the account could not be tried: {error}"
                )));
            }
            Some(Err(_)) => {
                return Err(Some("a login as the account could not be tried".to_owned()));
            }
        }
        self.turned_away = admin.turned_away(&plan.node.account.user);
        self.since = Some(Instant::now());
        Ok(())
    }

    /// Brings the node back exactly as it was, trying again for 30 seconds where that does not work at once.
    ///
    /// # Errors
    /// Why it could not be brought back.
    pub fn bring_back(mut self, tell: &dyn Fn(Progress)) -> Result<Back, Error> {
        let result = self.restore(tell);
        // Tried for long enough: not again when it is dropped.
        self.changed = false;
        result?;
        Ok(Back {
            offline_for: self.since.map(|since| since.elapsed()),
            sessions_ended: self.sessions_ended,
            turned_away: self.turned_away_meanwhile,
        })
    }

    /// Leaves the node as it is.
    pub fn abandon(mut self) {
        self.changed = false;
    }

    fn restore(&mut self, tell: &dyn Fn(Progress)) -> Result<(), Error> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(100);
        while self.changed {
            let kept = self.admin.is_some();
            match self.restore_once() {
                Ok(()) => self.changed = false,
                // The kept connection may have been cut long ago: that says nothing about the node.
                Err(Error::Connection(_)) if kept => {}
                // It will not get better by itself.
                Err(
                    error @ Error::Server {
                        code: ACCESS_DENIED,
                        ..
                    },
                ) => return Err(error),
                Err(error) if began.elapsed() + pause > PERSISTENCE => return Err(error),
                Err(error) => {
                    tell(Progress::Retrying(error.to_string()));
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
        Ok(())
    }

    /// Every statement of it can be run again, so that it can be tried again whatever became of it.
    fn restore_once(&mut self) -> Result<(), Error> {
        let mut admin = if let Some(kept) = self.admin.take() {
            kept
        } else {
            let mut admin = Admin::open(&self.plan.node, self.plan.timeout)?;
            admin.end_earlier_self(self.first_session)?;
            admin
        };
        if let Some(before) = self.turned_away.take() {
            // A server that was restarted meanwhile counts from 0.
            let now = admin.turned_away(&self.plan.node.account.user);
            self.turned_away_meanwhile = now.and_then(|now| now.checked_sub(before));
        }
        let state = self.plan.state();
        let statements: Vec<String> = self.plan.back.iter().chain(&state).cloned().collect();
        match admin.try_all(&statements) {
            (answers, Ok(())) if self.plan.is_back(&answers[self.plan.back.len()..]) => {}
            (_, Ok(())) => {
                let why = "the server took the statements, but the account is not as before";
                return Err(Error::Connection(why.to_owned()));
            }
            // What could not be changed back may never have been changed, as on a server that became read-only.
            (_, Err(error @ Error::Server { .. })) => {
                if !self.plan.is_back(&admin.all(&state)?) {
                    return Err(error);
                }
            }
            (_, Err(error)) => return Err(error),
        }
        if self.plan.login_proves {
            self.plan.login()?;
        }
        Ok(())
    }
}

/// How the end of the sessions stands.
struct Ending {
    began: Instant,
    timeout: Duration,
    /// The sessions that were told to end, and when the last was.
    told: BTreeSet<u64>,
    last_told: Instant,
    /// When the user was last told what is waited for.
    last_said: Instant,
    /// Logins that were under way when the first listing was made.
    in_flight: Option<Vec<u64>>,
    /// Listings in a row without a session.
    clean: u32,
}

impl Ending {
    fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            timeout,
            told: BTreeSet::new(),
            last_told: now,
            last_said: now,
            in_flight: None,
            clean: 0,
        }
    }

    /// Whether no session is left and none can still come: never by one listing alone.
    fn is_over(&mut self, sessions: &[Session], left: &[u64]) -> bool {
        let logging_in = |id: &u64| {
            sessions
                .iter()
                .any(|one| one.user == sql::NOT_LOGGED_IN && one.id == *id)
        };
        let in_flight = self.in_flight.get_or_insert_with(|| {
            sessions
                .iter()
                .filter(|one| one.user == sql::NOT_LOGGED_IN)
                .map(|one| one.id)
                .collect()
        });
        in_flight.retain(logging_in);
        let settled = in_flight.is_empty() || self.began.elapsed() > LOGIN_IN_FLIGHT;
        self.clean = if left.is_empty() && settled {
            self.clean + 1
        } else {
            0
        };
        self.clean >= 2
    }

    fn not_told_yet(&mut self, left: &[u64]) -> Vec<u64> {
        let fresh: Vec<u64> = left
            .iter()
            .copied()
            .filter(|&id| self.told.insert(id))
            .collect();
        if !fresh.is_empty() {
            self.last_told = Instant::now();
        }
        fresh
    }

    /// Waits before the next listing: an eighth of the time that it has taken already, so that many sessions, which
    /// need long, take few more listings than one.
    fn wait(&mut self, left: usize, tell: &dyn Fn(Progress)) -> Result<(), String> {
        if self.clean > 0 {
            return Ok(());
        }
        if self.last_told.elapsed() > self.timeout {
            return Err(format!(
                "{left} of its sessions have not ended within {} (--timeout)",
                in_words(self.timeout)
            ));
        }
        if self.last_said.elapsed() > Duration::from_secs(1) {
            tell(Progress::SessionsLeft(left));
            self.last_said = Instant::now();
        }
        let pause = self.last_told.elapsed() / 8;
        thread::sleep(pause.clamp(Duration::from_millis(1), Duration::from_millis(250)));
        Ok(())
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        if self.changed {
            // A panic may have left the connection in the middle of an answer.
            self.admin = None;
            let _ = self.restore(&|_| {});
        }
    }
}
