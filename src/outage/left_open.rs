//! What a fail-start whose session was ended in the middle has left on a node that is read-only.

use std::fmt;
use std::time::Duration;

use crate::reason::{self, Reason};
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
        let (age, by) = (in_words(self.age), &self.by);
        f.write_str(&reason::left_off(self.read_only, self.events, age, by))
    }
}

impl LeftOpen {
    /// What to say when it is on again.
    pub fn closed(&self) -> Reason {
        reason::left_open_until_now(self, self.read_only && self.events)
    }
}
