//! What a fail-start whose session was ended in the middle has left on a node that is read-only.

use std::fmt;
use std::time::Duration;

use crate::reason::{Kind, Reason};
use crate::server::in_words;

/// What a fail-start whose session was ended in the middle has left on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOpen {
    pub(super) read_only: bool,
    pub(super) events: bool,
    pub(super) by: String,
    pub(super) age: Duration,
}

impl fmt::Display for LeftOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.read_only, self.events) {
            (true, true) => "super_read_only and the event scheduler were",
            (true, false) => "super_read_only was",
            (false, _) => "the event scheduler was",
        };
        write!(
            f,
            "{what} left off {} ago by a fail-start that was ended in the middle (as {})",
            in_words(self.age),
            self.by
        )
    }
}

impl LeftOpen {
    /// What to say when it is on again.
    pub fn closed(&self) -> Reason {
        Kind::LeftOpen.told(match (self.read_only, self.events) {
            (true, true) => format!("{self}: they are on again"),
            _ => format!("{self}: it is on again"),
        })
    }
}
