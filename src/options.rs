//! What was asked for: typed on the command line, and handed on as it is.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Environment, Method, Node};

/// How the nodes are to be failed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How a node is taken away; else by its environment.
    pub method: Option<Method>,
    /// Whether open sessions are left alone.
    pub keep_sessions: bool,
    /// How long the outage lasts, if nobody is asked.
    pub hold_for: Option<Duration>,
    /// Whether a node that is read-only is taken all the same, through `super_read_only`.
    pub lift_read_only: bool,
    /// Whether only to say what would be done.
    pub dry_run: bool,
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

/// How a drill goes.
#[derive(Debug)]
pub struct DrillOptions {
    /// How many nodes are offline together at most.
    pub at_once: usize,
    /// How long one run of the command may take.
    pub limit: Option<Duration>,
    /// Whether the first failure ends it.
    pub fail_fast: bool,
    /// Whether the output of a run is shown only where it failed.
    pub quiet: bool,
    /// Whether standard output is taken.
    pub json: bool,
    /// The file for JUnit XML.
    pub junit: Option<PathBuf>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

impl DrillOptions {
    /// How long an outage lasts at most: `held`, where it was said. A server that has to bring its
    /// node back itself is late enough then not to disturb a run.
    pub fn hold_for(&self, held: Option<Duration>) -> Duration {
        held.unwrap_or_else(|| match self.limit {
            Some(limit) => limit + Duration::from_secs(60),
            None => Duration::from_secs(600),
        })
    }
}
