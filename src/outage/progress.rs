//! What a step, or the watch over a node, has to tell before it is done.

use crate::reason::Reason;
use crate::server::identity::ServerId;

/// Something to tell while a step takes long.
#[derive(Debug)]
pub enum Progress {
    /// So many sessions have been told to end and are still there.
    SessionsLeft(usize),
    /// Something that the user should know of the node.
    Warning(Reason),
    /// The same, of what each outage of the node meets.
    WarningOnce(Reason),
    /// So many logins and statements of the account were refused since the node went offline, by this
    /// server, whichever of its nodes they were for.
    TurnedAway(u64, ServerId),
}
