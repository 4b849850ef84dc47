//! The exit statuses, and which outranks which.

/// How the program ends. [`ExitStatus::NotRestored`] outranks all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, and every node is back.
    Done,
    /// The nodes could not be taken offline, or nobody could answer; whatever had been changed is
    /// put back. Or a node is not online, when only that was asked.
    Failed,
    /// Wrong arguments or configuration; nothing was touched.
    Usage,
    /// A node could not be brought back.
    NotRestored,
    /// Interrupted, and every node is back.
    Interrupted,
    /// fail-start itself broke down, and every node is back.
    Panicked,
    /// The status of the command that the outage lasted for, or one that stands for it.
    Command(i32),
}

/// The status where a command was to run and the nodes could not be taken offline, as `timeout` has
/// it for its own errors.
pub const EXIT_CANCELED: i32 = 125;

impl ExitStatus {
    /// This one, where it stands for a command that was to run: 1 may be the command's own.
    pub fn instead_of_a_command(self) -> Self {
        match self {
            Self::Failed => Self::Command(EXIT_CANCELED),
            status => status,
        }
    }

    /// As the system has it: a byte, and on Windows all of a number.
    pub fn code(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotRestored => 3,
            Self::Interrupted => 130,
            // As of any Rust program.
            Self::Panicked => 101,
            Self::Command(status) => status,
        }
    }
}
