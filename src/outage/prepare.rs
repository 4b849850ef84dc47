//! Step 2: a node is checked, nothing on it is changed. What passes every check is [`Ready`].

use std::sync::Arc;

use crate::config::{Method, Node, Unnamed};
use crate::options::Options;
use crate::outage::beside::{guard_beside, login_beside, neighbours, neighbours_beside};
use crate::outage::ender::{self, Ender};
use crate::outage::guard::Guard;
use crate::outage::look::Look;
use crate::outage::obstacles;
use crate::outage::plan::Plan;
use crate::outage::read_only;
use crate::outage::ready::Ready;
use crate::outage::revoke::Revoke;
use crate::outage::state::State;
use crate::outage::take_down::in_transactions;
use crate::outage::together::Claims;
use crate::outage::undo::{self, Undo};
use crate::outage::ways_in;
use crate::reason::{self, Reason};
use crate::server::listing::Listing;
use crate::server::login::Login;
use crate::server::sql::{self, Account};
use crate::server::{ACCESS_DENIED, AccountRow, Admin, Connection, Error, Failure};
use crate::threads::Running;

impl Ready {
    /// Connects to the node and makes every check, changing nothing.
    ///
    /// # Errors
    /// All that stands in the way, in words that say what to do.
    pub fn prepare(node: &Arc<Node>, options: &Options, claims: &Claims) -> Result<Self, Failure> {
        let method = options.method(node);
        let neighbours = neighbours_beside(node, method, options.timeout);
        let mut admin = Admin::open(node, options.timeout).map_err(|error| error.at_login(node))?;
        // Beside the rest, so that a node far away does not take twice as long; and after the
        // admin's, for whom a server whose connections are all in use keeps one.
        let has_ender = options.keep_sessions || ender::admin_may(&admin);
        let mut login = login_beside(node, &admin, options, has_ender);
        let guard = guard_beside(node, options);
        let mut look = Look::at(node, &mut admin, options, claims)?;
        let mut problems = obstacles_at(node, &admin, &look, method, options);
        let mut ready = Self::new(node, admin, &look, options, has_ender);
        if problems.is_empty() {
            problems = ready.plan_for(&mut look)?;
        }
        // Where something else is wrong, the account may not get in for that.
        if !has_ender && (problems.is_empty() || login.is_none()) {
            problems.extend(ready.find_ender(login.take().map(Running::result))?);
        }
        if !problems.is_empty() {
            return Err(problems.into());
        }
        if ready.plan.lifts {
            ready.admin.wait_for_locks()?;
        }
        let no_guard = guard.and_then(|guard| ready.take_guard(guard.result()).err());
        ready.plan_undo();
        ready.warn_of_deadline(no_guard);
        if let Some(neighbours) = neighbours {
            ready.warn_of_neighbours(&neighbours.result());
        }
        ready.warn_of_rights();
        if let Some(login) = login.map(Running::result) {
            ready.take_login(login)?;
        }
        if options.dry_run {
            // The watch tells it else.
            let stops = ways_in::stops_for_others(&mut ready.admin, &ready.plan)?;
            ready.warnings.extend(stops);
            if !options.keep_sessions {
                ready.count_sessions(&look.listing)?;
            }
        }
        Ok(ready)
    }

    /// Before what is to be changed is planned.
    fn new(
        node: &Arc<Node>,
        admin: Admin,
        look: &Look,
        options: &Options,
        has_ender: bool,
    ) -> Self {
        let database = look.state.database.as_deref().unwrap_or_default();
        let method = options.method(node);
        Self {
            plan: Plan {
                accounts: look.state.rows(),
                hold_for: options.hold_for,
                keep_sessions: options.keep_sessions,
                lifts: admin.read_only,
                ..Plan::new(node, method, &admin, database, options.timeout)
            },
            ender: if has_ender {
                Ender::default()
            } else {
                Ender::other_than(&admin, &look.obstacles.procedures)
            },
            admin,
            guards: Vec::new(),
            warnings: Vec::new(),
            sessions: 0,
            is_claimed: look.is_claimed,
        }
    }

    /// Says what the admin's rights make of the outage.
    fn warn_of_rights(&mut self) {
        let (plan, admin) = (&self.plan, &self.admin);
        let (who, account) = (&plan.node.admin.user, &plan.node.account.user);
        if plan.method == Method::Revoke && admin.may_not_read_locks && !plan.keep_sessions {
            self.warnings
                .push(reason::unseen_locks_end_all(who, account));
        }
        if admin.binary_logged {
            self.warnings.push(reason::reaches_replicas(who));
        }
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
        self.guards.push(guard);
        Ok(())
    }

    /// Finds who ends the sessions of the account where the admin may not: this login of it, or the
    /// service's procedure; returns why there is nobody.
    fn find_ender(&mut self, login: Option<Login>) -> Result<Option<Reason>, Failure> {
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
        Ok(Some(ender::nobody(node, admin, why_not.as_ref())))
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
                return Err(reason::leads_elsewhere(&self.plan.server_id, other).into());
            }
            Login::KeptOut(error) | Login::NotTried(error) => {
                let why = match error {
                    Error::Server {
                        code: ACCESS_DENIED,
                        ..
                    } => None,
                    error => Some(error),
                };
                let node = &self.plan.node;
                let (user, variable) = (&node.account.user, &node.variables.password);
                self.warnings
                    .push(reason::no_login_before(user, why, variable));
            }
        }
        Ok(())
    }

    /// Names the nodes that go offline with this one, which nobody named: by where they are, and by
    /// where this one's server says that it listens.
    fn warn_of_neighbours(&mut self, at_same_address: &[u32]) {
        let (node, method) = (Arc::clone(&self.plan.node), self.plan.method);
        let listens = self.plan.server_id.listens();
        let goes_too = |other: &&Unnamed| {
            at_same_address.contains(&other.number) || listens.contains(&other.address)
        };
        let go_too: Vec<&Unnamed> = neighbours(&node, method).filter(goes_too).collect();
        let or_revoke = !go_too.is_empty() && method == Method::Lock && self.can_be_revoked();
        self.warnings.extend(go_too.into_iter().map(|other| {
            if other.database == node.database {
                reason::same_node_goes_too(other.number)
            } else {
                reason::neighbour_goes_too(other.number, or_revoke)
            }
        }));
    }

    /// Plans what is to be changed, and returns what would keep that from taking the node offline.
    fn plan_for(&mut self, look: &mut Look) -> Result<Vec<Reason>, Failure> {
        let node = Arc::clone(&self.plan.node);
        let answers = &mut look.listing.answers;
        let ways = look
            .questions
            .read(answers, &node, &mut self.admin, &look.state);
        let ways = ways.map_err(|error| error.context(reason::accounts_unreadable(&error)))?;
        self.warnings.extend(ways.warnings);
        let (user, open) = (&node.account.user, ways.open.iter());
        match self.plan.method {
            Method::Lock => {
                let open = open.map(|way| reason::lock_leaves_way_in(user, way));
                let mut nothing = self.plan_lock(&look.state.accounts);
                if nothing.is_some() {
                    // Another's way back may have ended before the undo was looked for.
                    look.state = State::read(&mut self.admin, &node)?;
                    nothing = self.plan_lock(&look.state.accounts);
                }
                Ok(open.chain(nothing).collect())
            }
            Method::Revoke => {
                let mut more = self.plan_revoke(ways.open.is_empty(), &look.state.alike)?;
                if more.is_empty() && self.plan.restore.is_empty() {
                    // The same.
                    more = self.plan_revoke(ways.open.is_empty(), &look.state.alike)?;
                }
                // Whoever gets in without the account's name, gets in there too.
                let or_lock = ways.open.is_empty() && obstacles::may_lock(&self.admin);
                let (plan, all) = (&self.plan, open.chain(&more));
                let database = &plan.database;
                let stays = |way: &String| reason::revoke_leaves_way_in(database, way, or_lock);
                let mut problems: Vec<Reason> = all.map(stays).collect();
                if problems.is_empty() && plan.restore.is_empty() {
                    let check = [&node.variables.database, &node.variables.user];
                    problems.push(reason::nothing_to_revoke(
                        user,
                        database,
                        check,
                        node.number,
                    ));
                }
                Ok(problems)
            }
        }
    }

    /// Plans the lock, unless there is nothing to take away.
    fn plan_lock(&mut self, accounts: &[AccountRow]) -> Option<Reason> {
        let plan = &mut self.plan;
        let open = accounts.iter().filter(|row| !row.is_locked);
        let open: Vec<Account> = open.map(|row| row.account.clone()).collect();
        if open.is_empty() {
            let user = &plan.node.account.user;
            return Some(reason::already_locked(user, plan.node.number));
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
        let number = plan.node.number;
        let why_not = if let Some(error) = &admin.without_events {
            Some(reason::no_undo_without_events(error, number))
        } else if !admin
            .grants
            .iter()
            .any(|grant| grant.grants("EVENT", &plan.database, plan.names))
        {
            let who = &plan.node.admin.user;
            Some(reason::no_undo_by(who, &plan.database, number))
        } else if !undo.survives(&plan.database, plan.names, plan.server) {
            Some(reason::no_undo_with_names(number))
        } else {
            None
        };
        match why_not {
            Some(why) => self.warnings.push(why),
            None => plan.undo = Some(undo),
        }
    }

    /// Says so where only fail-start itself keeps the deadline.
    fn warn_of_deadline(&mut self, why_no_guard: Option<Error>) {
        // No event runs on a server that is read-only.
        let by_event = self.plan.undo.is_some() && self.admin.runs_events && !self.plan.lifts;
        if let (Some(why), false) = (why_no_guard, by_event) {
            self.warnings.push(reason::deadline_not_kept(why));
        }
    }

    /// Plans the revoke, and returns the ways in that it would leave; those of everybody too, if
    /// asked.
    fn plan_revoke(&mut self, everybodys: bool, alike: &[String]) -> Result<Vec<String>, Failure> {
        let revoke = Revoke::plan(&mut self.admin, &self.plan, everybodys, alike)?;
        self.plan.take_down = revoke.take_down;
        self.plan.restore = revoke.restore;
        self.plan.sessions_keep_rights = revoke.sessions_keep_rights;
        self.warnings.extend(revoke.warnings);
        Ok(revoke.ways_in)
    }

    /// Whether to revoke would do, where the account is to be locked.
    fn can_be_revoked(&mut self) -> bool {
        let (database, names) = (&self.plan.database, self.plan.names);
        let alike = self.admin.rows(sql::databases_like(database, names));
        Revoke::plan(
            &mut self.admin,
            &self.plan,
            true,
            &alike.unwrap_or_default(),
        )
        .is_ok_and(|revoke| revoke.ways_in.is_empty() && !revoke.restore.is_empty())
    }
}

/// What the first look shows to be in the way.
fn obstacles_at(
    node: &Node,
    admin: &Admin,
    look: &Look,
    method: Method,
    options: &Options,
) -> Vec<Reason> {
    let mut problems = obstacles::of_admin(node, admin, method);
    problems.extend(read_only::problems(node, admin, options.lift_read_only));
    problems.extend(look.state.problems(node));
    problems.extend(look.obstacles.of_account(node));
    problems.extend(obstacles::held(node, &look.state, method));
    problems
}
