//! A node that passed every check.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::{Method, Node};
use crate::outage::ender::Ender;
use crate::outage::guard::Guard;
use crate::outage::hold::Outage;
use crate::outage::plan::Plan;
use crate::outage::progress::Progress;
use crate::outage::take_down::{NotTaken, TakeDown};
use crate::reason::{self, Reason};
use crate::server::Admin;
use crate::server::sql::Server;

/// A node that passed every check. Nothing on it has been changed.
pub struct Ready {
    pub(super) admin: Admin,
    pub(super) plan: Plan,
    /// Its own, and those of the nodes that go with it.
    pub(super) guards: Vec<Guard>,
    pub(super) ender: Ender,
    /// What the user should know before it goes offline.
    pub warnings: Vec<Reason>,
    /// How many sessions would end, if that was asked.
    pub(super) sessions: usize,
    /// Whether no other fail-start can take the same away meanwhile.
    pub(super) is_claimed: bool,
}

/// What would be done to a node.
pub struct Preview {
    /// The server's kind and version.
    pub version: String,
    /// How the node would be taken away.
    pub method: Method,
    /// How many sessions would end.
    pub sessions: usize,
    /// The node that they are counted with, where it goes with another.
    pub with: Option<u32>,
    /// Whether `super_read_only` would be lifted for both.
    pub lifts_read_only: bool,
    /// The statements that would take it away.
    pub out: Vec<String>,
    /// The statements that would bring it back.
    pub back: Vec<String>,
}

impl Ready {
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
            with: self.goes_with(),
            lifts_read_only: plan.lifts,
            out: plan.as_sent(plan.apply_statements()),
            back: plan.by_hand(),
        }
    }

    /// Why another fail-start keeps this node, if one does though it has left nothing there yet.
    pub fn is_taken(&self) -> Option<Reason> {
        let is_account = self.plan.method == Method::Lock;
        (!self.is_claimed).then(|| reason::claimed(is_account, self.plan.node.number))
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.plan.node
    }

    /// What to run by hand to bring the node back.
    pub fn by_hand(&self) -> Vec<String> {
        self.plan.by_hand()
    }

    /// Takes the node offline: when this returns an [`Outage`], no session of the account is left
    /// and none can get in.
    ///
    /// # Errors
    /// What failed, with what must be brought back.
    pub fn take_down(
        self,
        stop: &AtomicBool,
        on_progress: &dyn Fn(Progress),
    ) -> Result<Outage, Box<NotTaken>> {
        let take_down = TakeDown::new(self.plan, self.ender, stop, on_progress);
        take_down.run(self.admin, self.guards)
    }
}
