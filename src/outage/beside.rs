//! What goes on beside the checks of prepare, so that a node far away does not take several times
//! as long.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Address, Method, Node, Unnamed};
use crate::options::Options;
use crate::server::login::Login;
use crate::server::{Admin, Connection, Error, at_same_address};
use crate::threads::{self, Running};

/// The nodes that go with this one if they are on the same server.
pub(super) fn neighbours(node: &Node, method: Method) -> impl Iterator<Item = &Unnamed> {
    node.unnamed.iter().filter(move |other| {
        other.user == node.account.user
            && (method == Method::Lock || other.database == node.database)
    })
}

/// The numbers of those of them that are at the same address.
pub(super) fn neighbours_beside(
    node: &Arc<Node>,
    method: Method,
    timeout: Duration,
) -> Option<Running<Vec<u32>>> {
    let others = neighbours(node, method).map(|other| (other.number, other.address.clone()));
    let others: Vec<(u32, Address)> = others.collect();
    (!others.is_empty()).then(|| {
        let node = Arc::clone(node);
        threads::start_or_run(move || at_same_address(&node.address, &others, timeout))
    })
}

/// A login of the account. A dry run makes none that it can do without: it may be one of the few
/// that the account has left.
pub(super) fn login_beside(
    node: &Arc<Node>,
    admin: &Admin,
    options: &Options,
    has_ender: bool,
) -> Option<Running<Login>> {
    let password = node.account.password.as_ref();
    let password = password.filter(|_| !options.dry_run || !has_ender);
    password.map(|_| {
        let (node, server, timeout) = (Arc::clone(node), admin.server_id.clone(), options.timeout);
        threads::start_or_run(move || Login::attempt(&node, &server, timeout))
    })
}

/// The connection that will guard the node.
pub(super) fn guard_beside(
    node: &Arc<Node>,
    options: &Options,
) -> Option<Running<Result<Connection, Error>>> {
    let timeout = options.timeout;
    options.hold_for.filter(|_| !options.dry_run).map(|_| {
        let node = Arc::clone(node);
        threads::start_or_run(move || Connection::beside(&node, timeout))
    })
}
