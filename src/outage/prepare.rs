//! Step 2: a node is checked, nothing on it is changed. What passes every check is [`Ready`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use crate::config::Method;
use crate::config::Node;
use crate::options::Options;
use crate::outage::ender::{self, Ender};
use crate::outage::gone;
use crate::outage::guard::Guard;
use crate::outage::hold::Outage;
use crate::outage::obstacles;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::read_only;
use crate::outage::state::State;
use crate::outage::take_down::{NotTaken, TakeDown, in_transactions};
use crate::outage::undo::{self, Undo};
use crate::outage::ways_in::Questions;
use crate::server::grants::{Grant, Names, Object};
use crate::server::listing::{Listing, Wanted};
use crate::server::login::{Login, leads_elsewhere};
use crate::server::sql::{self, Account, Server};
use crate::server::{
    ACCESS_DENIED, Admin, Connection, Error, Failure, Rows, at_same_address, cell, held_by, lines,
    reaches,
};

/// A node that passed every check. Nothing on it has been changed.
pub struct Ready {
    admin: Admin,
    plan: Plan,
    guard: Option<Guard>,
    ender: Ender,
    /// What the user should know before it goes offline.
    pub warnings: Vec<String>,
    /// How many sessions would end, if that was asked.
    sessions: usize,
    /// Whether no other fail-start can take the same away meanwhile.
    is_claimed: bool,
}

/// What would be done to a node.
pub struct Preview {
    /// The server's kind and version.
    pub version: String,
    /// How the node would be taken away.
    pub method: Method,
    /// How many sessions would end.
    pub sessions: usize,
    /// Whether `super_read_only` would be lifted for both.
    pub lifts_read_only: bool,
    /// The statements that would take it away.
    pub out: Vec<String>,
    /// The statements that would bring it back.
    pub back: Vec<String>,
}

impl Ready {
    /// Connects to the node and makes every check, changing nothing.
    ///
    /// # Errors
    /// All that stands in the way, in words that say what to do.
    pub fn prepare(node: &Arc<Node>, options: &Options) -> Result<Self, Failure> {
        let timeout = options.timeout;
        let method = options.method(node);
        let has_neighbours = method == Method::Lock && !node.unnamed.is_empty();
        let neighbours = has_neighbours.then(|| {
            let node = Arc::clone(node);
            thread::spawn(move || at_same_address(&node.address, &node.unnamed, timeout))
        });
        let mut admin = Admin::open(node, timeout).map_err(|error| error.at_login(node))?;
        // Beside the rest, so that a node far away does not take twice as long; and after the admin's, for whom a server whose
        // connections are all in use keeps one.
        // A dry run makes none that it can do without: it may be one of the few that the account has left.
        let has_ender = options.keep_sessions || ender::admin_may(&admin);
        let password = node.account.password.as_ref();
        let password = password.filter(|_| !options.dry_run || !has_ender);
        let mut login = password.map(|_| {
            let (node, server) = (Arc::clone(node), admin.server_id.clone());
            thread::spawn(move || Login::attempt(&node, &server, timeout))
        });
        let guard = options.hold_for.filter(|_| !options.dry_run).map(|_| {
            let node = Arc::clone(node);
            thread::spawn(move || Connection::beside(&node, timeout))
        });
        let look = Look::at(node, &mut admin, method, options)?;
        let state = &look.state;
        let mut problems = obstacles::of_admin(node, &admin, method);
        problems.extend(read_only::problems(node, &admin, options.lift_read_only));
        problems.extend(state.problems(node));
        problems.extend(look.obstacles.of_account(node));
        problems.extend(obstacles::held(node, state, method));
        let database = state.database.as_deref().unwrap_or_default();
        let mut ready = Self {
            plan: Plan {
                accounts: state.rows(),
                hold_for: options.hold_for,
                keep_sessions: options.keep_sessions,
                lifts: admin.read_only,
                ..Plan::new(node, method, &admin, database, timeout)
            },
            ender: if has_ender {
                Ender::default()
            } else {
                Ender::other_than(&admin, &look.obstacles.procedures)
            },
            admin,
            guard: None,
            warnings: Vec::new(),
            sessions: 0,
            is_claimed: look.is_claimed,
        };
        if problems.is_empty() {
            problems = ready.plan_for(&look)?;
        }
        // Where something else is wrong, the account may not get in for that.
        if !has_ender && (problems.is_empty() || login.is_none()) {
            problems.extend(ready.find_ender(login.take().and_then(|login| login.join().ok()))?);
        }
        if !problems.is_empty() {
            return Err(problems.join("\n").into());
        }
        if ready.plan.lifts {
            ready.admin.wait_for_locks()?;
        }
        let no_guard = guard.and_then(|guard| ready.take_guard(guard.join().ok()?).err());
        ready.plan_undo();
        ready.warn_of_deadline(no_guard.map(|error| error.to_string()));
        if let Some(neighbours) = neighbours {
            ready.warn_of_neighbours(&neighbours.join().unwrap_or_default());
        }
        if method == Method::Revoke && ready.admin.may_not_read_locks && !options.keep_sessions {
            ready.warnings.push(format!(
                "{} may not read performance_schema.metadata_locks, so every session of '{}' that has a transaction open ends, \
                 whatever database it uses",
                node.admin.user, node.account.user
            ));
        }
        if ready.admin.binary_logged {
            ready.warnings.push(format!(
                "{} may not switch the binary log off (sql_log_bin), so replicas of this node go offline with it",
                node.admin.user
            ));
        }
        if let Some(login) = login.and_then(|login| login.join().ok()) {
            ready.take_login(login)?;
        }
        if options.dry_run && !options.keep_sessions {
            ready.count_sessions(&look.listing)?;
        }
        Ok(ready)
    }

    fn count_sessions(&mut self, listing: &Listing) -> Result<(), Error> {
        let own = listing.sessions.iter();
        self.sessions = own.filter(|one| self.plan.must_end_at_first(one)).count();
        if self.plan.method == Method::Revoke
            && !listing.by_locks
            && !self.plan.sessions_keep_rights
        {
            self.sessions += in_transactions(&mut self.admin, &self.plan, &listing.sessions)?.len();
        }
        Ok(())
    }

    /// Has this connection guard the node, when its time has come.
    fn take_guard(&mut self, connection: Result<Connection, Error>) -> Result<(), Error> {
        let guard = Guard::new(connection?, self.admin.may_lift_read_only());
        self.plan.guard = Some(guard.id());
        self.guard = Some(guard);
        Ok(())
    }

    /// Finds who ends the sessions of the account where the admin may not: this login of it, or the service's procedure;
    /// returns why there is nobody.
    fn find_ender(&mut self, login: Option<Login>) -> Result<Option<String>, Failure> {
        let warnings = self.warnings.len();
        if let Some(login) = login {
            self.take_login(login)?;
        }
        if !self.ender.is_nobody() {
            return Ok(None);
        }
        // Not told twice.
        let why_not = self.warnings.drain(warnings..).next();
        let (node, admin) = (&self.plan.node, &self.admin);
        Ok(Some(ender::nobody(node, admin, why_not.as_deref())))
    }

    /// What a login before the outage says.
    fn take_login(&mut self, login: Login) -> Result<(), Failure> {
        match login {
            Login::In(session) => {
                self.plan.verify_by_login = true;
                match session {
                    Some(session) if self.ender.needs_account() => {
                        self.ender.by_account(session, &self.plan.server_id)?;
                    }
                    session => self.plan.own_login = session.map(|session| session.id()),
                }
            }
            Login::Elsewhere(other) => {
                return Err(leads_elsewhere(&self.plan.server_id, &other).into());
            }
            Login::KeptOut(error) | Login::NotTried(error) => {
                let why = match error {
                    Error::Server {
                        code: ACCESS_DENIED,
                        ..
                    } => "wrong password?".to_owned(),
                    error => error.to_string(),
                };
                self.warnings.push(format!(
                    "cannot log in as '{}' before the outage ({why}), so no login proves it: check {}",
                    self.plan.node.account.user,
                    self.plan.node.variables.password
                ));
            }
        }
        Ok(())
    }

    /// Names the nodes that go offline with this one, which nobody named: by where they are, and by where this one's server
    /// says that it listens.
    fn warn_of_neighbours(&mut self, at_same_address: &[u32]) {
        let listens = self.plan.server_id.listens();
        let also = self.plan.node.unnamed.iter();
        let also = also.filter(|(_, address)| listens.contains(address));
        let mut same: BTreeSet<u32> = also.map(|(number, _)| *number).collect();
        same.extend(at_same_address);
        let spare = if !same.is_empty() && self.can_be_revoked() {
            "; to spare it: --method revoke"
        } else {
            ""
        };
        self.warnings.extend(same.iter().map(|number| {
            format!("node {number} is on the same server and goes offline too{spare}")
        }));
    }

    /// Plans what is to be changed, and returns what would keep that from taking the node offline.
    fn plan_for(&mut self, look: &Look) -> Result<Vec<String>, Failure> {
        let node = Arc::clone(&self.plan.node);
        let ways = look
            .questions
            .read(&look.answers, &node, &mut self.admin, &self.plan.accounts);
        let ways = ways
            .map_err(|error| error.context(format_args!("its accounts cannot be read: {error}")))?;
        self.warnings.extend(ways.warnings);
        let how = match self.plan.method {
            Method::Lock => format!("lock '{}'", node.account.user),
            Method::Revoke => format!("revoke the grants on `{}`", self.plan.database),
        };
        let problem = |way_in: &String, first: &str| {
            format!(
                "to {how} would not take it offline, since there is also {way_in}: {first}revoke that"
            )
        };
        let mut problems: Vec<String> = ways.open.iter().map(|way| problem(way, "")).collect();
        match self.plan.method {
            Method::Lock => problems.extend(self.plan_lock(&look.state.accounts)),
            Method::Revoke => {
                let more = self.plan_revoke(problems.is_empty())?;
                // Whoever gets in without the account's name, gets in there too.
                let first = if ways.open.is_empty() && obstacles::may_lock(&self.admin) {
                    "use --method lock, or "
                } else {
                    ""
                };
                problems.extend(more.iter().map(|way| problem(way, first)));
                if problems.is_empty() && self.plan.restore.is_empty() {
                    problems.push(format!(
                        "'{}' holds nothing on `{}`, so there is nothing to revoke: `fail-start recover {}` grants it ALL PRIVILEGES",
                        node.account.user, self.plan.database, node.number
                    ));
                }
            }
        }
        Ok(problems)
    }

    /// What would be done to the node.
    pub fn preview(&self) -> Preview {
        let kind = match self.admin.server {
            Server::MySql => "MySQL",
            Server::MariaDb => "MariaDB",
        };
        let (plan, version) = (&self.plan, &self.admin.version);
        Preview {
            version: format!("{kind} {version}"),
            method: plan.method,
            sessions: self.sessions,
            lifts_read_only: plan.lifts,
            out: plan.as_sent(plan.apply_statements()),
            back: plan.by_hand(),
        }
    }

    /// Plans the lock, unless there is nothing to take away.
    fn plan_lock(&mut self, accounts: &[(Account, bool)]) -> Option<String> {
        let plan = &mut self.plan;
        let open: Vec<Account> = accounts
            .iter()
            .filter(|(_, locked)| !locked)
            .map(|(account, _)| account.clone())
            .collect();
        if open.is_empty() {
            return Some(format!(
                "'{}' is locked already, and not by fail-start: `fail-start recover {}` unlocks it",
                plan.node.account.user, plan.node.number
            ));
        }
        plan.take_down = vec![sql::lock(&open)];
        plan.restore = open.iter().map(sql::unlock).collect();
        plan.accounts = open;
        None
    }

    /// Plans what is left on the node meanwhile, and what keeps the deadline there.
    fn plan_undo(&mut self) {
        let (plan, admin) = (&mut self.plan, &self.admin);
        let lifted: Vec<String> = plan
            .lifts
            .then(|| undo::LIFTED.to_owned())
            .into_iter()
            .collect();
        let undo = Undo::mine(
            admin.id,
            plan.guard.unwrap_or(0),
            &plan.server_id.name(),
            [&plan.local_only[..], &lifted, &plan.restore].concat(),
        );
        let why_not = if admin.without_events.is_some() {
            admin.without_events.clone()
        } else if !admin
            .grants
            .iter()
            .any(|grant| grant.grants("EVENT", &plan.database, plan.names))
        {
            Some(format!(
                "{} may not create events on `{}` (GRANT EVENT)",
                plan.node.admin.user, plan.database
            ))
        } else if !undo.survives(&plan.database, plan.names, plan.server) {
            Some("names like these do not survive in an event".to_owned())
        } else {
            None
        };
        match why_not {
            Some(why) => self.warnings.push(format!(
                "{why}, so nothing on the node says how to bring it back: if fail-start is killed, `fail-start recover {}` \
                 can only unlock the account or grant it ALL PRIVILEGES",
                plan.node.number
            )),
            None => plan.undo = Some(undo),
        }
    }

    /// Says so where only fail-start itself keeps the deadline.
    fn warn_of_deadline(&mut self, why_no_guard: Option<String>) {
        // No event runs on a server that is read-only.
        let by_event = self.plan.undo.is_some() && self.admin.runs_events && !self.plan.lifts;
        if let (Some(why), false) = (why_no_guard, by_event) {
            self.warnings.push(format!(
                "if fail-start is killed, the server will not bring it back at the deadline: no session could be left there \
                 to do that ({why})"
            ));
        }
    }

    /// Plans the revoke, and returns the ways in that it would leave; those of everybody too, if asked.
    fn plan_revoke(&mut self, everybodys: bool) -> Result<Vec<String>, Failure> {
        let plan = &mut self.plan;
        let mut statements = plan.grants();
        statements.push(sql::GRANTED_TO_ALL.to_owned());
        if plan.server == Server::MariaDb {
            // Before 10.11 it is an error, which then says that there is none.
            statements.push(sql::PUBLIC_GRANTS.to_owned());
        }
        let (answers, result) = self.admin.batch(&statements);
        let rows = plan.accounts.len();
        match result {
            Err(Error::Server { .. }) if answers.len() > rows => {}
            Err(error) => {
                return Err(error.context(format_args!(
                    "the grants of '{}' cannot be read: {error}",
                    plan.node.account.user
                )));
            }
            Ok(()) => {}
        }
        let (mut ways_in, mut unread, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        let mut may_not = None;
        for (account, answer) in plan.accounts.iter().zip(&answers) {
            for line in lines(std::slice::from_ref(answer)) {
                match Grant::parse(line).map(|grant| grant.held_by(account)) {
                    Some(grant) if grant.is_on(&plan.database, plan.names) => {
                        may_not = may_not
                            .or_else(|| obstacles::to_revoke(&plan.node, &self.admin, &grant));
                        plan.take_down.extend(grant.take());
                        parts.extend(grant.parts());
                    }
                    // Which can be taken away there alone: as a whole, below.
                    Some(grant)
                        if plan.names == Names::Literal
                            && *grant.object() == Object::Everywhere => {}
                    Some(grant) if grant.is_another_way_into(&plan.database, plan.names) => {
                        ways_in.push(grant.to_string());
                    }
                    None if line.starts_with("GRANT ") => unread.push(account),
                    Some(_) | None => {}
                }
            }
            match part_of_global(plan, account, answer) {
                Some(Ok(part)) => {
                    may_not =
                        may_not.or_else(|| obstacles::to_revoke(&plan.node, &self.admin, &part));
                    plan.take_down.extend(part.take());
                    parts.push(part);
                    plan.sessions_keep_rights = true;
                }
                Some(Err(way)) => ways_in.push(way),
                None => {}
            }
        }
        if let Some(account) = unread.first() {
            return Err(Failure::from(format!(
                "SHOW GRANTS FOR {account} shows a grant that fail-start cannot read, so that it could not give it back: use \
                 --method lock"
            )));
        }
        if let Some(may_not) = may_not.filter(|_| ways_in.is_empty()) {
            return Err(may_not.into());
        }
        if plan.sessions_keep_rights {
            self.warnings.push(format!(
                "'{}' holds its rights ON *.*, which a session keeps that is open: all of its sessions on this server end, also \
                 those on other nodes, where it gets in again at once",
                plan.node.account.user
            ));
        }
        // What can fail stands last: by hand, the first error may be the end.
        parts.sort_by_key(|part| (!part.is_on_a_database(), part.columns().next().is_some()));
        let there = gone::there(&mut self.admin, &parts)?;
        let (back, lost): (Vec<_>, Vec<_>) = parts.iter().zip(there).partition(|(_, is)| *is);
        let all = back.iter().chain(&lost).filter_map(|(part, _)| part.give());
        plan.restore = all.collect();
        let warning = |(part, _): &(&Grant, bool)| {
            format!(
                "'{}' holds {part}, which is of no use any more and cannot be granted again: the table, column or routine is \
                 gone, or the view does not work. The node will come back without it",
                plan.node.account.user
            )
        };
        self.warnings.extend(lost.iter().map(warning));
        if everybodys {
            let to_all = lines(&answers[rows..=rows])
                .filter(|pattern| plan.names.include(pattern, &plan.database));
            ways_in
                .extend(to_all.map(|pattern| {
                    format!("a grant to ''@'%', so to everybody, ON `{pattern}`.*")
                }));
        }
        let public = lines(&answers[rows + 1..]).filter_map(Grant::parse);
        let public = public.filter(|grant| grant.reaches(&plan.database, plan.names));
        ways_in.extend(public.map(|grant| format!("{grant} TO PUBLIC")));

        let database = plan.database.clone();
        let mandatory = mandatory_roles(&mut self.admin, &database)?;
        ways_in.extend(mandatory);
        Ok(ways_in)
    }

    /// Whether to revoke would do, where the account is to be locked.
    fn can_be_revoked(&mut self) -> bool {
        let (lock, warnings) = (self.plan.clone(), self.warnings.len());
        self.plan.take_down.clear();
        self.plan.restore.clear();
        let can = self.plan_revoke(true).is_ok_and(|more| more.is_empty());
        let can = can && !self.plan.restore.is_empty();
        self.plan = lock;
        self.warnings.truncate(warnings);
        can
    }

    /// Why this node and that one cannot both be named, if they cannot.
    pub fn conflict(&mut self, other: &Self) -> Option<String> {
        if self.plan.server_id != other.plan.server_id {
            return None;
        }
        match self.plan.method {
            Method::Lock => {
                let or = if self.can_be_revoked() {
                    ", or use --method revoke"
                } else {
                    ""
                };
                Some(format!(
                    "it is the same server as {}, so to lock the account takes both offline: name one{or}",
                    other.node()
                ))
            }
            Method::Revoke if self.plan.database == other.plan.database => Some(format!(
                "it is the same database as {}: name one",
                other.node()
            )),
            Method::Revoke => None,
        }
    }

    /// Why another fail-start keeps this node, if one does though it has left nothing there yet.
    pub fn is_taken(&self) -> Option<String> {
        (!self.is_claimed).then(|| {
            let what = match self.plan.method {
                Method::Lock => "the account on this server",
                Method::Revoke => "this node",
            };
            format!(
                "another fail-start is taking {what} offline: see `fail-start status {}`",
                self.plan.node.number
            )
        })
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.plan.node
    }

    /// What to run by hand to bring the node back.
    pub fn by_hand(&self) -> Vec<String> {
        self.plan.by_hand()
    }

    /// Takes the node offline: when this returns an [`Outage`], no session of the account is left and none can get in.
    ///
    /// # Errors
    /// What failed, with what must be brought back.
    pub fn take_down(
        self,
        stop: &AtomicBool,
        on_progress: &dyn Fn(Progress),
    ) -> Result<Outage, Box<NotTaken>> {
        let take_down = TakeDown::new(self.plan, self.ender, stop, on_progress);
        take_down.run(self.admin, self.guard)
    }
}

/// What a first look at a node's server found.
struct Look {
    state: State,
    questions: Questions,
    answers: Vec<Rows>,
    obstacles: obstacles::Answers,
    is_claimed: bool,
    /// The account's sessions, in a dry run.
    listing: Listing,
}

impl Look {
    /// Asks all that can be asked at once. Where the node is to be taken, it is claimed, so that of two that look at the same
    /// time one gets it. The list of sessions shows what this server can show.
    fn at(
        node: &Node,
        admin: &mut Admin,
        method: Method,
        options: &Options,
    ) -> Result<Self, Failure> {
        let questions = Questions::new(method, admin);
        let mut statements = State::statements(admin, node);
        let of_state = statements.len();
        let obstacles = obstacles::Questions::new(admin, options.keep_sessions);
        statements.extend(obstacles.statements());
        let of_both = statements.len();
        statements.extend(questions.statements(node));
        let wanted = match method {
            Method::Lock if options.dry_run => Wanted::All,
            Method::Lock => Wanted::Selected,
            Method::Revoke => Wanted::Using(&node.database),
        };
        // Nobody's else: all that a real outage needs to know yet is how they are listed.
        let user = if options.dry_run {
            &node.account.user
        } else {
            sql::NOT_LOGGED_IN
        };
        let claim = match method {
            _ if options.dry_run => None,
            Method::Lock => Some(sql::claim(&node.account.user, None)),
            Method::Revoke => Some(sql::claim(&node.account.user, Some(&node.database))),
        };
        // First, so that what is read next stays as it is.
        let claiming = [claim.as_slice(), &statements].concat();
        let first = admin.sessions(user, wanted, &claiming);
        if let Err(error) = &first
            && admin.learns_without_events(error)
        {
            return Self::at(node, admin, method, options);
        }
        let (listing, claimed) = match first {
            // A cluster may forbid such locks: then the undo alone keeps others out.
            Err(Error::Server { .. }) if claim.is_some() => {
                (admin.sessions(user, wanted, &statements), 0)
            }
            result => (result, claim.iter().count()),
        };
        let listing = listing.map_err(|error| obstacles::unreadable(node, admin, &error))?;
        let (claimed, answers) = listing.answers.split_at(claimed);
        let (of_both, answers) = answers.split_at(of_both);
        let (state, of_obstacles) = of_both.split_at(of_state);
        let refused = claimed.iter().flatten().any(|row| cell(row, 0) != "1");
        Ok(Self {
            state: State::from_answers(admin, node, state)
                .map_err(|error| obstacles::unreadable(node, admin, &error))?,
            questions,
            obstacles: obstacles.read(of_obstacles),
            is_claimed: !refused,
            answers: answers.to_vec(),
            listing,
        })
    }
}

/// What an account row holds on the database by its global grants, where that can be taken away there alone; or the way in that
/// it stays, where it cannot be.
fn part_of_global(plan: &Plan, account: &Account, answer: &Rows) -> Option<Result<Grant, String>> {
    if plan.names == Names::Patterns {
        return None;
    }
    let held = held_by(answer);
    let global = held.globally_on(&plan.database);
    if global.is_empty() {
        return None;
    }
    let part = Grant::part_of_global(global, &plan.database, account);
    // What is held there too could not be told from that any more.
    let mut on_databases = held.grants.iter().filter(|one| one.is_on_a_database());
    Some(
        if on_databases.any(|one| one.is_on(&plan.database, plan.names)) {
            Err("a grant ON *.* beside the one on the database".to_owned())
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
        match admin.batch_or_error(&[sql::grants(&role)]) {
            Ok(grants) if reaches(&grants, database, admin.names) => {
                ways_in.push(format!("{role}, a mandatory role of this server"));
            }
            // The server ignores one that does not exist.
            Ok(_) | Err(Error::Server { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ways_in)
}
