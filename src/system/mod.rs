//! What one system does in another way than the next: signals, and a command with all that it has
//! started. Each has the same functions; the only folder that knows rustix, signal-hook, and what
//! Windows has in their place. It knows no other wing.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use self::unix::*;
#[cfg(windows)]
pub use self::windows::*;

/// A signal that ends an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interrupt {
    /// SIGINT, from Ctrl-C, and Ctrl-Break: the terminal sends it to a command too.
    Int,
    /// SIGQUIT, from Ctrl-\: so does it.
    #[cfg_attr(windows, expect(dead_code))]
    Quit,
    /// SIGTERM; on Windows, that the user logs off or the machine shuts down.
    Term,
    /// SIGHUP: the terminal was closed.
    Hup,
}

/// What the system tells this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To end.
    Interrupt(Interrupt),
    /// It was stopped, and goes on.
    #[cfg_attr(windows, expect(dead_code))]
    Continued,
}

/// Why there is no program to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoProgram {
    /// It is not found.
    Missing,
    /// It is found, but may not be executed.
    #[cfg_attr(windows, expect(dead_code))]
    Forbidden,
}
