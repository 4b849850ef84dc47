//! `status` and `recover`: how a node stands, and the way back for one that was left offline.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Method;
use crate::config::Node;
use crate::outage::hold::{Back, Outage};
use crate::outage::obstacles;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::state::{State, UndoEvent};
use crate::reason;
use crate::server::identity::ServerId;
use crate::server::login::Login;
use crate::server::sql;
use crate::server::{Admin, Error, Failure, reaches};

/// How long a program that has claimed a node, and may have been killed, is waited for.
const SETTLING: Duration = Duration::from_secs(2);

/// How a node stands.
#[derive(Debug)]
pub enum NodeStatus {
    /// The account gets in; an undo may still be left there.
    Online(Option<UndoEvent>),
    /// fail-start took it offline.
    Offline(UndoEvent),
    /// The account does not get in, and no undo says why.
    Out {
        /// Every row of the account is locked.
        locked: bool,
        /// It holds nothing on the database.
        without_grants: bool,
    },
    /// The account is locked for another node on the same server.
    LockedElsewhere(UndoEvent),
    /// Somebody else made an event of the undo's name.
    Distrusted(UndoEvent),
}

struct Look {
    admin: Admin,
    state: State,
    standing: NodeStatus,
}

/// Looks at a node, changing nothing.
///
/// # Errors
/// Why it cannot be looked at.
pub fn status(
    node: &Arc<Node>,
    timeout: Duration,
    on_progress: &dyn Fn(Progress),
) -> Result<NodeStatus, Failure> {
    let admin = Admin::open(node, timeout).map_err(|error| error.at_login(node))?;
    let mut look = look(admin, node, timeout)?;
    let outage = look.state.found().map(|found| found.age);
    if let Some(left) = look.admin.left_open(outage)? {
        on_progress(Progress::Warning(reason::left_open(left, node.number)));
    }
    Ok(look.standing)
}

fn look(mut admin: Admin, node: &Arc<Node>, timeout: Duration) -> Result<Look, Failure> {
    let (state, standing) = look_with(&mut admin, node, timeout)?;
    let (state, standing) = match standing {
        // The rows are read first: another way back may have ended before the undo was looked for.
        NodeStatus::Out { .. } | NodeStatus::LockedElsewhere(_) => {
            look_with(&mut admin, node, timeout)?
        }
        standing => (state, standing),
    };
    Ok(Look {
        admin,
        state,
        standing,
    })
}

/// A node that is to be brought back.
struct Settled {
    /// Its guards, seen before all the rest: where then nobody had claimed it, and no undo was there,
    /// they guard nothing any more.
    guards: Vec<u64>,
    /// Whether a fail-start has claimed it: it is about to take it, or holds it.
    is_claimed: bool,
    look: Look,
}

/// Looks at one: what a program that was killed has sent may still be under way there, and the session
/// that sent it keeps its claim until that is done.
fn look_when_settled(node: &Arc<Node>, timeout: Duration) -> Result<Settled, Failure> {
    let began = Instant::now();
    let mut admin = Admin::open(node, timeout).map_err(|error| error.at_login(node))?;
    loop {
        let mut guards: Vec<(u64, String)> = admin.rows(sql::guards_of(&admin.user))?;
        let is_claimed = is_claimed(&mut admin, node);
        let look = look(admin, node, timeout)?;
        let may_change = matches!(look.standing, NodeStatus::Online(None));
        if !(may_change && is_claimed) || began.elapsed() > SETTLING {
            let database = look.state.spells_database_of(node);
            guards.retain(|(_, statement)| sql::guards_it(statement, database));
            return Ok(Settled {
                guards: guards.into_iter().map(|(id, _)| id).collect(),
                is_claimed,
                look,
            });
        }
        admin = look.admin;
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a fail-start is about to take the node. Where a server does not tell that, nobody knows.
fn is_claimed(admin: &mut Admin, node: &Node) -> bool {
    let asked = sql::claimants(&node.account.user, &node.database);
    let claimants = admin.rows::<Option<u64>>(asked).unwrap_or_default();
    claimants.iter().any(Option::is_some)
}

/// One look, by this connection.
fn look_with(
    admin: &mut Admin,
    node: &Arc<Node>,
    timeout: Duration,
) -> Result<(State, NodeStatus), Failure> {
    let state = State::read(admin, node);
    let state = state.map_err(|error| obstacles::unreadable(node, admin, &error))?;
    // What an undo says holds for the account that it names, whatever the settings name by now.
    // Nor does it take a database to unlock an account: whoever dropped that dropped the undo too.
    let problems = state.problems(node);
    let is_stuck = state.database.is_none() && !state.rows().is_empty() && state.is_locked();
    if !problems.is_empty() && state.found().is_none() && !is_stuck {
        return Err(problems.into());
    }
    let standing = match state.found().cloned() {
        Some(found) => stands_with(found, node, admin, timeout),
        None => stands_alone(&state, admin),
    }
    .map_err(|error| obstacles::unreadable(node, admin, &error))?;
    Ok((state, standing))
}

/// With an event of the undo's name.
fn stands_with(
    found: UndoEvent,
    node: &Arc<Node>,
    admin: &mut Admin,
    timeout: Duration,
) -> Result<NodeStatus, Error> {
    let Some(undo) = &found.undo else {
        return Ok(NodeStatus::Distrusted(found));
    };
    let plan = Plan::from_undo(node, admin, &found.database, undo, timeout);
    Ok(match plan.state(admin) {
        Ok(state) if plan.is_back(&state) => NodeStatus::Online(Some(found)),
        // An account row that is gone has no grants to show.
        Ok(_) | Err(Error::Server { .. }) => NodeStatus::Offline(found),
        Err(error) => return Err(error),
    })
}

/// Without one: nothing says that fail-start has touched it.
fn stands_alone(state: &State, admin: &mut Admin) -> Result<NodeStatus, Error> {
    let grants: Vec<String> = state.rows().iter().map(sql::grants).collect();
    let grants = admin.batch_or_error(&grants)?.lines(grants.len())?;
    let without_grants = match &state.database {
        Some(database) => !reaches(&grants, database, admin.names),
        None => false,
    };
    let locked = state.is_locked();
    Ok(match state.locked_elsewhere() {
        Some(found) if locked => NodeStatus::LockedElsewhere(found.clone()),
        _ if locked || without_grants => NodeStatus::Out {
            locked,
            without_grants,
        },
        _ => NodeStatus::Online(None),
    })
}

/// What there is to bring back on a node.
pub enum RecoverTarget {
    /// Nothing: it is online.
    Online,
    /// Nothing that fail-start left; how it stands.
    NotOurs(Box<NodeStatus>),
    /// Another node on its server, which this one comes back with.
    LockedElsewhere(Box<UndoEvent>),
    /// The node.
    OrphanedOutage(Box<OrphanedOutage>),
}

/// Finds what there is to bring back on a node, changing nothing. Where no undo says how it was, it
/// can be brought back by the guide's statements, if it was `named`.
///
/// # Errors
/// Why it cannot be looked at, or must not be touched.
pub fn find(
    node: &Arc<Node>,
    timeout: Duration,
    named: bool,
    on_progress: &dyn Fn(Progress),
) -> Result<RecoverTarget, Failure> {
    let Settled {
        guards,
        is_claimed,
        look,
    } = look_when_settled(node, timeout)?;
    let Look {
        mut admin,
        state,
        standing,
    } = look;
    let database = state.spells_database_of(node);
    let (plan, already) = match standing {
        // Who has claimed it is about to take it, and has left its guard first.
        NodeStatus::Online(None) if is_claimed => {
            let about = reason::about_to_go(node.number);
            if named {
                return Err(about.into());
            }
            on_progress(Progress::Warning(about));
            return Ok(RecoverTarget::Online);
        }
        NodeStatus::Online(None) => {
            admin.end_earlier_selves(&guards, Duration::ZERO)?;
            if let Some(left) = admin.close_left_open(None)? {
                on_progress(Progress::Warning(left.closed()));
            }
            return Ok(RecoverTarget::Online);
        }
        NodeStatus::Online(Some(found)) | NodeStatus::Offline(found) => match &found.undo {
            Some(undo) => {
                let plan = Plan::from_undo(node, &admin, database, undo, timeout);
                (plan, found.age)
            }
            None => return Err(found.distrust().into()),
        },
        NodeStatus::Distrusted(found) => return Err(found.distrust().into()),
        NodeStatus::LockedElsewhere(found) => {
            return Ok(RecoverTarget::LockedElsewhere(Box::new(found)));
        }
        NodeStatus::Out {
            locked,
            without_grants,
        } if named => {
            // What they wait for is done now.
            admin.end_earlier_selves(&guards, Duration::ZERO)?;
            let restore = by_the_guide(&state, &admin, database, locked, without_grants);
            let missing = reason::undo_missing(locked, without_grants);
            on_progress(Progress::Warning(missing));
            let method = if locked { Method::Lock } else { Method::Revoke };
            let mut plan = Plan::new(node, method, &admin, database, timeout);
            (plan.accounts, plan.restore) = (state.rows(), restore);
            (plan, Duration::ZERO)
        }
        standing => return Ok(RecoverTarget::NotOurs(Box::new(standing))),
    };
    Ok(RecoverTarget::OrphanedOutage(Box::new(OrphanedOutage {
        admin,
        plan,
        already,
        by_themselves: Vec::new(),
    })))
}

/// The guide's statements.
fn by_the_guide(
    state: &State,
    admin: &Admin,
    database: &str,
    locked: bool,
    without_grants: bool,
) -> Vec<String> {
    let mut statements = Vec::new();
    if locked {
        statements.extend(state.rows().iter().map(sql::unlock));
    }
    if without_grants {
        let grant = |account| sql::grant_all(&admin.names.of(database), account);
        statements.extend(state.rows().iter().map(grant));
    }
    statements
}

/// A node that was left offline.
pub struct OrphanedOutage {
    admin: Admin,
    plan: Plan,
    /// How long it had been offline when it was found.
    already: Duration,
    /// The databases on its server that come back by themselves.
    by_themselves: Vec<String>,
}

impl OrphanedOutage {
    /// What to run by hand to bring the node back.
    pub fn by_hand(&self) -> Vec<String> {
        self.plan.by_hand()
    }

    /// Its server and its database.
    pub fn place(&self) -> (ServerId, String) {
        (self.plan.server_id.clone(), self.plan.database.clone())
    }

    /// Leaves those at these places to themselves.
    pub fn leaves(&mut self, places: &[(ServerId, String)]) {
        let here = places.iter().filter(|(at, _)| *at == self.plan.server_id);
        self.by_themselves = here.map(|(_, database)| database.clone()).collect();
    }

    /// Brings it back, as [`Outage::restore`], and tries a login where the account's password is
    /// known.
    ///
    /// # Errors
    /// As [`Outage::restore`].
    pub fn bring_back(self, on_progress: &dyn Fn(Progress)) -> Result<Back, Error> {
        let plan = self.plan.clone();
        let outage = Outage::adopt(self.admin, self.plan, self.already, self.by_themselves);
        let back = outage.restore(on_progress)?;
        if plan.node.account.password.is_some() {
            // Nobody knows whether it worked before: it proves nothing against the server's own
            // state.
            let why_not = match Login::attempt(&plan.node, &plan.server_id, plan.timeout) {
                Login::In(_) => return Ok(back),
                Login::KeptOut(error) | Login::NotTried(error) => error.to_string(),
                Login::Elsewhere(other) => reason::leads_elsewhere(&plan.server_id, other).text,
            };
            let fails = reason::login_fails_though_back(&plan.node.account.user, why_not);
            on_progress(Progress::Warning(fails));
        }
        Ok(back)
    }
}
