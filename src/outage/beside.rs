//! What goes on beside the checks of prepare, so that a node far away does not take several times
//! as long.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::config::{Method, Node};
use crate::options::Options;
use crate::server::login::Login;
use crate::server::{Admin, Connection, Error, at_same_address};

/// The numbers of the nodes that are at the same address, where that matters.
pub(super) fn neighbours_beside(
    node: &Arc<Node>,
    method: Method,
    timeout: Duration,
) -> Option<JoinHandle<Vec<u32>>> {
    let has_neighbours = method == Method::Lock && !node.unnamed.is_empty();
    has_neighbours.then(|| {
        let node = Arc::clone(node);
        thread::spawn(move || at_same_address(&node.address, &node.unnamed, timeout))
    })
}

/// A login of the account. A dry run makes none that it can do without: it may be one of the few
/// that the account has left.
pub(super) fn login_beside(
    node: &Arc<Node>,
    admin: &Admin,
    options: &Options,
    has_ender: bool,
) -> Option<JoinHandle<Login>> {
    let password = node.account.password.as_ref();
    let password = password.filter(|_| !options.dry_run || !has_ender);
    password.map(|_| {
        let (node, server, timeout) = (Arc::clone(node), admin.server_id.clone(), options.timeout);
        thread::spawn(move || Login::attempt(&node, &server, timeout))
    })
}

/// The connection that will guard the node.
pub(super) fn guard_beside(
    node: &Arc<Node>,
    options: &Options,
) -> Option<JoinHandle<Result<Connection, Error>>> {
    let timeout = options.timeout;
    options.hold_for.filter(|_| !options.dry_run).map(|_| {
        let node = Arc::clone(node);
        thread::spawn(move || Connection::beside(&node, timeout))
    })
}
