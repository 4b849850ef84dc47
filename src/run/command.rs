//! The command that an outage lasts for: started when the nodes are offline, and told what
//! fail-start itself is told.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::events::Event;
use crate::reason::{self, Reason};
use crate::system::{self, Family, Interrupt, KILL_AFTER, KILLED, NoProgram};

/// The variable that tells the command which nodes are offline, such as `2,3`.
const NODES: &str = "FAIL_START_NODES";

/// The variable that tells it which step of a drill it is run for.
const PHASE: &str = "FAIL_START_PHASE";

/// How long what was ended by force is waited for: what another user runs, or the kernel holds, may
/// not end at all.
const TIME_TO_DIE: Duration = Duration::from_secs(2);

/// How often it is looked whether what the command has started has ended: nobody tells that.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a command is started with.
pub struct Setup<'a> {
    /// The nodes that are offline, such as `2,3`.
    pub nodes: &'a str,
    /// The step of a drill.
    pub phase: Option<&'a str>,
    /// Where its output goes.
    pub output: Output,
}

/// Where the output of a command goes.
pub enum Output {
    /// To fail-start's own standard output and error.
    Own,
    /// All of it to fail-start's standard error: standard output is taken.
    StandardError,
    /// All of it into this file, in its order.
    Kept(File),
}

impl Output {
    /// The command's standard output and standard error.
    fn streams(self) -> io::Result<(Stdio, Stdio)> {
        Ok(match self {
            Self::Own => (Stdio::inherit(), Stdio::inherit()),
            Self::StandardError => (io::stderr().into(), Stdio::inherit()),
            Self::Kept(file) => (file.try_clone()?.into(), file.into()),
        })
    }
}

/// A command that was started.
pub struct Running {
    family: Family,
    ended: Option<i32>,
    /// When it is ended by force: it was told to end.
    kill_at: Option<Instant>,
    killed: bool,
}

/// How it stands with a command.
pub enum State {
    /// It is to be looked at again when something happens, and at this time at the latest.
    Running(Option<Instant>),
    /// It has been ended by force just now.
    Killed,
    /// It has ended, with this exit status.
    Exited(i32),
    /// Something of it has not even been ended by force.
    Unkillable(i32),
}

impl Running {
    /// Starts the command, with fail-start's own standard input. Its end comes as an event.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(command: &[OsString], setup: Setup, events: Sender<Event>) -> io::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        let (out, err) = setup.output.streams()?;
        // One that is gone by now is told by the system.
        let found = system::find(program).unwrap_or_else(|_| program.into());
        let mut command = Command::new(found);
        command.args(arguments).stdout(out).stderr(err);
        command.env(NODES, setup.nodes);
        if let Some(phase) = setup.phase {
            command.env(PHASE, phase);
        }
        let family = Family::start(command, move |child, status| {
            // Nobody listens any more only when the program is about to end.
            let _ = events.send(Event::ChildEnded(child, status));
        })?;
        Ok(Self {
            family,
            ended: None,
            kill_at: None,
            killed: false,
        })
    }

    /// The end of a child has come as an event: of the command, or of something that one has left
    /// behind.
    pub fn has_ended(&mut self, child: u32, status: i32) {
        if self.family.has_ended(child) {
            self.ended = Some(status);
        }
    }

    /// From now on it has its time to end, whatever it was told.
    pub fn must_end(&mut self) {
        self.kill_at.get_or_insert(Instant::now() + KILL_AFTER);
    }

    /// Ends it by force, at once.
    pub fn kill(&mut self) {
        self.kill_at = Some(Instant::now());
        self.killed = true;
        self.family.kill();
    }

    /// Passes a signal on to everything that the command has started, and returns whether it did:
    /// what was typed at the terminal, the terminal has sent to it already. That may well go on then;
    /// what was told to end must.
    pub fn forward(&mut self, interrupt: Interrupt) -> bool {
        let must_end = matches!(interrupt, Interrupt::Term | Interrupt::Hup);
        if !must_end && system::has_terminal() && self.family.is_typed_to() {
            return false;
        }
        if must_end {
            self.must_end();
        }
        self.family.forward(interrupt) || must_end
    }

    /// Tells it to end, or ends it by force where that cannot be told.
    pub fn end(&mut self) {
        if self.family.forward(Interrupt::Term) {
            self.must_end();
        } else {
            self.kill();
        }
    }

    /// How it stands, after what happened. Once it was told to end, so must everything that it has
    /// started.
    pub fn poll(&mut self) -> State {
        let Some(kill_at) = self.kill_at else {
            return match self.ended {
                Some(status) => State::Exited(status),
                None => State::Running(None),
            };
        };
        if let Some(status) = self.ended
            && self.family.is_gone()
        {
            return State::Exited(status);
        }
        let now = Instant::now();
        if now < kill_at {
            return State::Running(Some(match self.ended {
                Some(_) => kill_at.min(now + LOOK_EVERY),
                None => kill_at,
            }));
        }
        if now >= kill_at + TIME_TO_DIE {
            return State::Unkillable(self.ended.unwrap_or(KILLED));
        }
        // Again and again, since one of them may start another before its end.
        self.family.kill();
        if self.killed {
            return State::Running(Some(now + LOOK_EVERY));
        }
        self.killed = true;
        State::Killed
    }
}

/// Why a command cannot be started.
pub struct NotStarted {
    /// The reason, which names it.
    pub why: Reason,
    /// The exit status for it, as `timeout` has it: 127 where there is none, else 126.
    pub status: i32,
}

/// Looks whether there is such a program and it may be executed, as the system looks for it in
/// `PATH`.
///
/// # Errors
/// Where it cannot be started.
pub fn check(command: &[OsString]) -> Result<(), NotStarted> {
    let Some(program) = command.first() else {
        return Ok(());
    };
    let (why, status) = match system::find(program) {
        Ok(_) => return Ok(()),
        Err(NoProgram::Forbidden) => (reason::command_forbidden(program), 126),
        Err(NoProgram::Missing) => (reason::command_not_found(program), 127),
    };
    Err(NotStarted { why, status })
}

impl NotStarted {
    /// Why a command that was found could not be started.
    pub fn because(command: &[OsString], error: &io::Error) -> Self {
        let program = command.first().map(OsString::as_os_str).unwrap_or_default();
        let (why, status) = match (error.kind(), system::is_no_program(error)) {
            // It was there: the system says so of what its first line names.
            (ErrorKind::NotFound, _) => (reason::interpreter_not_found(program), 127),
            (_, Some(what_is)) => (reason::is_no_program(program, what_is), 126),
            (kind, _) => (reason::command_not_started(program, kind), 126),
        };
        Self { why, status }
    }
}
