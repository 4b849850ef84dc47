//! What an outage changes on a node and back, known before anything is changed, and how the node's
//! state is read.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Login, Method, Node};
use crate::outage::ender;
use crate::outage::read_only;
use crate::outage::state::State;
use crate::outage::together::First;
use crate::outage::undo::{self, Undo};
use crate::reason::{self, Reason};
use crate::server::grants::{Grant, Names};
use crate::server::identity::ServerId;
use crate::server::listing::{Session, Wanted};
use crate::server::sql::{self, Account, Server};
use crate::server::{AccountRow, Admin, Answers, Error, Lines, reaches};

/// How long after the deadline the server brings a node back by itself: fail-start comes first,
/// while it lives; then the guard, and so long after it the event.
pub const GRACE: Duration = Duration::from_secs(5);

/// What changes on a node and back.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Plan {
    /// The node.
    pub node: Arc<Node>,
    /// How it is taken away.
    pub method: Method,
    /// Which kind of server it runs.
    pub server: Server,
    /// Which server that is.
    pub server_id: ServerId,
    /// The database, as the server spells it.
    pub database: String,
    /// What the name of a database stands for in a grant there.
    pub names: Names,
    /// The account rows whose state counts.
    pub accounts: Vec<Account>,
    /// Those that nobody can log in by.
    pub unusable: Vec<Account>,
    /// The statements that take the node away.
    pub take_down: Vec<String>,
    /// The statements that bring it back; each can be run again, and stands for itself.
    pub restore: Vec<String>,
    /// The statements by which a session's changes stay on the node.
    pub local_only: Vec<String>,
    /// What is left on the node meanwhile, where the admin may do that.
    pub undo: Option<Undo>,
    /// The id of the session that guards the node, if there is one.
    pub guard: Option<u64>,
    /// Whether the server is read-only, so that both ways lead through `super_read_only`.
    pub lifts: bool,
    /// How long the outage lasts, if nobody is asked.
    pub hold_for: Option<Duration>,
    /// Whether open sessions are left alone.
    pub keep_sessions: bool,
    /// The longest wait for the node to answer, and for its sessions to end.
    pub timeout: Duration,
    /// Whether a login as the account worked before the outage, so that it can prove both ends of
    /// it.
    pub verify_by_login: bool,
    /// The session of that login, which has ended, but may still be listed.
    pub own_login: Option<u64>,
    /// Whether its rights are global, which a session keeps that was open before they were taken
    /// from it there.
    pub sessions_keep_rights: bool,
    /// The nodes that go with this one, and the one that this goes with: one lock takes them
    /// [together](crate::outage::together).
    pub also: Vec<Plan>,
    pub with: Option<First>,
}

/// How the account stands, by its server's own word.
pub struct AccessState {
    rows: Vec<AccountRow>,
    /// Revoke: what each of the plan's accounts holds.
    holds: Vec<Lines>,
}

impl AccessState {
    /// Whether every row is locked.
    pub fn is_locked(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.is_locked)
    }
}

impl Plan {
    /// The plan to bring back a node on which this undo was found.
    pub fn from_undo(
        node: &Arc<Node>,
        admin: &Admin,
        database: &str,
        undo: &Undo,
        timeout: Duration,
    ) -> Self {
        let unlocked: Vec<Account> = undo.unlocked().collect();
        let (method, accounts) = if unlocked.is_empty() {
            let mut accounts = Vec::new();
            for account in undo.granted().filter_map(|grant| grant.account().cloned()) {
                if !accounts.contains(&account) {
                    accounts.push(account);
                }
            }
            (Method::Revoke, accounts)
        } else {
            (Method::Lock, unlocked)
        };
        let mut node = Node::clone(node);
        if let Some(account) = accounts
            .first()
            .filter(|account| account.user != node.account.user)
        {
            // The settings name another account by now: its password is not this one's.
            node.account = Login {
                user: account.user.clone(),
                password: None,
                in_clear_text: false,
            };
        }
        Self {
            accounts,
            restore: undo.brings_back().cloned().collect(),
            undo: Some(undo.clone()),
            guard: Some(undo.guard).filter(|&guard| guard != 0),
            lifts: undo.lifted(),
            ..Self::new(&Arc::new(node), method, admin, database, timeout)
        }
    }

    /// A plan that changes nothing yet.
    pub fn new(
        node: &Arc<Node>,
        method: Method,
        admin: &Admin,
        database: &str,
        timeout: Duration,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            method,
            server: admin.server,
            server_id: admin.server_id.clone(),
            database: database.to_owned(),
            names: admin.names,
            unusable: admin.unusable.clone(),
            accounts: Vec::new(),
            take_down: Vec::new(),
            restore: Vec::new(),
            local_only: admin.local_only.clone(),
            undo: None,
            guard: None,
            lifts: false,
            hold_for: None,
            keep_sessions: false,
            timeout,
            verify_by_login: false,
            own_login: None,
            sessions_keep_rights: false,
            also: Vec::new(),
            with: None,
        }
    }

    /// Logs in again as the admin, to the server that the node was taken on.
    ///
    /// # Errors
    /// As [`Admin::open`]; and where the address leads to another server by now, which must not be
    /// touched.
    pub fn reconnect(&self, timeout: Duration) -> Result<Admin, Error> {
        let admin = Admin::open(&self.node, timeout);
        let mut admin = admin.map_err(|error| error.with_advice(&self.node))?;
        if admin.server_id == self.server_id {
            return Ok(admin);
        }
        // It may have another name by now, as in a container that was made anew: then it is the one
        // that has the undo.
        let state = State::read(&mut admin, &self.node)?;
        let found = state.found().and_then(|found| found.undo.as_ref());
        if found.is_some() && found == self.undo.as_ref() {
            return Ok(admin);
        }
        let (there, before) = (&admin.server_id, &self.server_id);
        Err(Error::NotYet(reason::leads_elsewhere_now(there, before)))
    }

    /// Leaves the undo, if there is one.
    pub fn leave_undo(&self) -> Option<String> {
        // Not when the guard does: with partial revokes, what is given back twice, and held globally,
        // is a grant on the database that was not there.
        let grace = GRACE * if self.guard.is_some() { 2 } else { 1 };
        let due = self
            .hold_for
            .map(|held| (held + grace).as_millis().div_ceil(1000));
        let due = due.map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
        let undo = self.undo.as_ref()?;
        Some(sql::leave_undo(
            &self.database,
            &undo.body(&self.database),
            due,
        ))
    }

    /// Everything that changes the node, the undo first.
    pub fn apply_statements(&self) -> Vec<String> {
        let undo = self.leave_undo().into_iter();
        undo.chain(self.take_down.iter().cloned()).collect()
    }

    /// What to run by hand to bring the node back.
    pub fn by_hand(&self) -> Vec<String> {
        let mut statements = self.restore.clone();
        if self.undo.is_some() {
            statements.push(sql::drop_undo(&self.database));
        }
        self.as_sent(statements)
    }

    /// These statements, with all that goes before and after them.
    pub fn as_sent(&self, statements: Vec<String>) -> Vec<String> {
        let statements = if self.lifts {
            read_only::around(&statements)
        } else {
            statements
        };
        [&self.local_only[..], &statements].concat()
    }

    /// The plan without these statements of the way back, and without the account rows that only
    /// they are about.
    pub fn without(&self, statements: &[String]) -> Self {
        let mut plan = self.clone();
        plan.restore
            .retain(|statement| !statements.contains(statement));
        if !statements.is_empty() {
            let left: Vec<Account> = plan
                .restore
                .iter()
                .filter_map(|one| undo::account(one))
                .collect();
            plan.accounts.retain(|account| left.contains(account));
        }
        plan
    }

    /// The statements whose answers [`Self::read_state`] reads.
    pub fn state_queries(&self) -> Vec<String> {
        let rows = vec![sql::accounts(self.server, &[&self.node.account.user])];
        match self.method {
            Method::Lock => rows,
            Method::Revoke => [rows, self.grants()].concat(),
        }
    }

    /// The statements that show what each account row holds.
    pub fn grants(&self) -> Vec<String> {
        self.accounts.iter().map(sql::grants).collect()
    }

    /// Asks how the account stands.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub fn state(&self, admin: &mut Admin) -> Result<AccessState, Error> {
        self.read_state(&mut admin.batch_or_error(&self.state_queries())?)
    }

    /// Reads the answers to [`Self::state_queries`].
    ///
    /// # Errors
    /// As [`Answers::rows`].
    pub fn read_state(&self, answers: &mut Answers) -> Result<AccessState, Error> {
        let mut rows = AccountRow::read(&self.node.account.user, answers)?;
        rows.retain(|row| !self.unusable.contains(&row.account));
        let holds = match self.method {
            Method::Lock => Vec::new(),
            Method::Revoke => answers.lines(self.accounts.len())?,
        };
        Ok(AccessState { rows, holds })
    }

    /// Whether the server's own state keeps the account out.
    pub fn is_out(&self, state: &AccessState) -> bool {
        match self.method {
            Method::Lock => state.rows.iter().all(|row| row.is_locked),
            // A row that came meanwhile was not looked at.
            Method::Revoke => {
                self.new_rows(state).is_empty()
                    && !reaches(&state.holds, &self.database, self.names)
            }
        }
    }

    /// The account rows that came since the plan was made.
    pub fn new_rows(&self, state: &AccessState) -> Vec<Account> {
        let rows = state.rows.iter().map(|row| &row.account);
        let new = rows.filter(|account| !self.accounts.contains(account));
        new.cloned().collect()
    }

    /// Whether the server's own state is what it was before the outage.
    pub fn is_back(&self, state: &AccessState) -> bool {
        match self.method {
            Method::Lock => self.accounts.iter().all(|account| {
                let mut rows = state.rows.iter();
                rows.any(|row| row.account == *account && !row.is_locked)
            }),
            Method::Revoke => {
                let holds: Vec<Grant> = self.held(state).collect();
                let mut wanted = self.restore.iter().filter_map(|one| Grant::given_by(one));
                wanted.all(|grant| grant.is_within(&holds) || self.has_globally(&grant, state))
            }
        }
    }

    /// Revoke: what the account rows hold.
    fn held(&self, state: &AccessState) -> impl Iterator<Item = Grant> {
        let rows = self.accounts.iter().zip(&state.holds);
        rows.flat_map(|(account, lines)| {
            let grants = lines.iter().filter_map(Grant::parse);
            grants.map(|grant| grant.held_by(account))
        })
    }

    /// Whether the account row of this grant has it by its global ones. To give it then would make
    /// a grant that there was not.
    fn has_globally(&self, grant: &Grant, state: &AccessState) -> bool {
        let mut rows = self.accounts.iter().zip(&state.holds);
        self.names == Names::Literal
            && rows.any(|(account, lines)| {
                grant.account() == Some(account) && lines.held().give_globally(grant)
            })
    }

    /// The statements of the way back that are to be run yet.
    pub fn still_to_run(&self, state: &AccessState) -> Vec<String> {
        let has = |statement: &&String| {
            self.method == Method::Revoke
                && Grant::given_by(statement).is_some_and(|grant| self.has_globally(&grant, state))
        };
        self.restore
            .iter()
            .filter(|one| !has(one))
            .cloned()
            .collect()
    }

    /// Who may have brought the node back before its time.
    pub fn brought_back_by(&self) -> Reason {
        reason::was_back_already(self.hold_for.is_some())
    }

    /// Whether this is a session of the account, and not fail-start's own.
    pub fn is_accounts(&self, session: &Session) -> bool {
        let is_its = session.user == self.node.account.user && !session.is_unknown;
        is_its && !ender::is_kept(session.id, &self.server_id)
    }

    /// Whether this session, of the account, must end.
    pub fn must_end(&self, session: &Session) -> bool {
        self.is_accounts(session)
            && (self.method == Method::Lock
                || session.database.as_ref() == Some(&self.database)
                || session.uses_it)
    }

    /// The same of one that was open when the rights were taken away.
    pub fn must_end_at_first(&self, session: &Session) -> bool {
        self.must_end(session) || self.sessions_keep_rights && self.is_accounts(session)
    }

    /// Which sessions of the account may have to end.
    pub fn wanted(&self) -> Wanted<'_> {
        match self.method {
            Method::Lock => Wanted::All,
            Method::Revoke if self.sessions_keep_rights => Wanted::All,
            Method::Revoke => Wanted::Using(&self.database),
        }
    }

    /// Which have to end that get in later, when a transaction can no longer use the database.
    pub fn wanted_later(&self) -> Wanted<'_> {
        match self.method {
            Method::Lock => Wanted::All,
            Method::Revoke => Wanted::Selected,
        }
    }

    /// Whether a login that began before the outage may still get in. MySQL lets it in by the lock
    /// that it saw when the client's name came; MariaDB shows such a login as the account's session
    /// from then on.
    pub fn must_end_logins(&self) -> bool {
        // Of one that goes with another, none has begun before.
        self.with.is_none()
            && self.server == Server::MySql
            && (self.method == Method::Lock || self.sessions_keep_rights)
    }
}
