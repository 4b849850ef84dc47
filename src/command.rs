//! The command that an outage lasts for: started when the nodes are offline, and told what fail-start itself is told.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::Sender;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::hold::{Event, Interrupt};

/// The variable that tells the command which nodes are offline, such as `2,3`.
const NODES: &str = "FAIL_START_NODES";

/// A command that was started.
pub struct Running {
    process: Pid,
}

impl Running {
    /// Starts the command, with fail-start's own standard input, output and error. Its end comes as an event.
    ///
    /// # Errors
    /// Where it cannot be started: [`io::ErrorKind::NotFound`] where there is no such program.
    pub fn start<W: Send + 'static>(
        command: &[OsString],
        nodes: &str,
        events: Sender<Event<W>>,
    ) -> io::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut child = Command::new(program)
            .args(arguments)
            .env(NODES, nodes)
            .spawn()?;
        let process = Pid::from_child(&child);
        thread::spawn(move || {
            // It is our child and nobody else waits for it, so this does not fail.
            if let Ok(status) = child.wait() {
                // Nobody listens any more only when the program is about to end.
                let _ = events.send(Event::CommandEnded(status));
            }
        });
        Ok(Self { process })
    }

    /// Passes a signal on. Ctrl-C is not: the terminal has sent it to the command already.
    pub fn pass_on(&self, interrupt: Interrupt) {
        let signal = match interrupt {
            Interrupt::Int => return,
            Interrupt::Term => Signal::TERM,
            Interrupt::Hup => Signal::HUP,
        };
        // It may have ended just now.
        let _ = kill_process(self.process, signal);
    }

    /// Ends it by force.
    pub fn kill(&self) {
        let _ = kill_process(self.process, Signal::KILL);
    }
}

/// The exit status to pass on: 128 and the signal where one ended the command, as a shell has it.
pub fn passed_on(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The exit status for a command that cannot be started, as `timeout` has it: 127 where there is none, else 126.
pub fn not_started(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    }
}
