//! The command that an outage lasts for: started when the nodes are offline, and told what
//! fail-start itself is told.
//!
//! It stays in fail-start's own process group, so that a terminal treats both as one job: what is
//! typed there reaches the command, and Ctrl-C, Ctrl-Z and `fg` do. coreutils' `timeout` makes a
//! group instead and sends a signal to all of it; here it goes to everything that descends from the
//! command, and does not reach a script that waits for fail-start in the same group.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

use super::events::{Event, Interrupt, has_terminal};

/// The variable that tells the command which nodes are offline, such as `2,3`.
const NODES: &str = "FAIL_START_NODES";

/// The variable that tells it which step of a drill it is run for.
const PHASE: &str = "FAIL_START_PHASE";

/// How long a command may take to end after a signal before it is ended by force.
pub const KILL_AFTER: Duration = Duration::from_secs(10);

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
    process: Pid,
    /// The children that this process had already, such as those of a shell that became fail-start
    /// by `exec`.
    others: Vec<Pid>,
    ended: Option<ExitStatus>,
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
    Exited(u8),
    /// Something of it has not even been ended by force.
    Unkillable(u8),
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
        // What the command leaves behind becomes a child of this process, so that a signal reaches
        // it too.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Some(getpid()));
        let others = Process::all()
            .into_iter()
            .filter(|one| one.parent == Some(getpid()))
            .map(|one| one.id)
            .collect();
        let (out, err) = setup.output.streams()?;
        let mut command = Command::new(program);
        command.args(arguments).stdout(out).stderr(err);
        command.env(NODES, setup.nodes);
        if let Some(phase) = setup.phase {
            command.env(PHASE, phase);
        }
        // Held, so that no thread stops to wait while a child begins.
        let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        let process = Pid::from_child(&command.spawn()?);
        if !*waits {
            *waits = true;
            thread::spawn(move || wait_for_children(&events));
        }
        drop(waits);
        Ok(Self {
            process,
            others,
            ended: None,
            kill_at: None,
            killed: false,
        })
    }

    /// The end of a child has come as an event: of the command, or of something that one has left
    /// behind.
    pub fn has_ended(&mut self, child: Pid, status: ExitStatus) {
        if child == self.process {
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
        self.send(&[Signal::KILL]);
    }

    /// Passes a signal on to everything that the command has started, and returns whether it did:
    /// what was typed at the terminal, the terminal has sent to all of it already. That may well go
    /// on then; what was told to end must.
    pub fn forward(&mut self, interrupt: Interrupt) -> bool {
        let (signal, must_end) = match interrupt {
            Interrupt::Int | Interrupt::Quit if has_terminal() => return false,
            Interrupt::Int => (Signal::INT, false),
            Interrupt::Quit => (Signal::QUIT, false),
            Interrupt::Term => (Signal::TERM, true),
            Interrupt::Hup => (Signal::HUP, true),
        };
        if must_end {
            self.must_end();
        }
        // One that is stopped ends only when it goes on.
        self.send(&[signal, Signal::CONT]);
        true
    }

    /// How it stands, after what happened. Once it was told to end, so must everything that it has
    /// started.
    pub fn poll(&mut self) -> State {
        let Some(kill_at) = self.kill_at else {
            return match self.ended {
                Some(status) => State::Exited(exit_status(status)),
                None => State::Running(None),
            };
        };
        let status = self.ended.map(exit_status);
        if let Some(status) = status
            && self.left().is_empty()
        {
            return State::Exited(status);
        }
        let now = Instant::now();
        if now < kill_at {
            return State::Running(Some(match status {
                Some(_) => kill_at.min(now + LOOK_EVERY),
                None => kill_at,
            }));
        }
        if now >= kill_at + TIME_TO_DIE {
            return State::Unkillable(status.unwrap_or(128 + 9));
        }
        // Again and again, since one of them may start another before its end.
        self.send(&[Signal::KILL]);
        if self.killed {
            return State::Running(Some(now + LOOK_EVERY));
        }
        self.killed = true;
        State::Killed
    }

    fn send(&self, signals: &[Signal]) {
        let left = self.left();
        for &signal in signals {
            for &process in &left {
                // It may have ended just now, or be another user's.
                let _ = kill_process(process, signal);
            }
        }
    }

    /// The processes of the command that have not ended. Without Linux's `/proc` it is the command
    /// alone.
    fn left(&self) -> Vec<Pid> {
        let all = Process::all();
        descendants(&all, getpid(), self.process, &self.others).unwrap_or_else(|| {
            match self.ended {
                Some(_) => Vec::new(),
                None => vec![self.process],
            }
        })
    }
}

/// The command and all that descends from it, parents first, but not what has left for a session of
/// its own, as a daemon does; nothing where this process itself is not among all of them. What the
/// command has left behind is a child of this process, as are the others, which were there before.
fn descendants(all: &[Process], own: Pid, command: Pid, others: &[Pid]) -> Option<Vec<Pid>> {
    let session = all.iter().find(|one| one.id == own)?.session;
    let mut family = vec![own];
    let mut left = Vec::new();
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        next += 1;
        for process in all {
            if process.parent != Some(parent) || others.contains(&process.id) {
                continue;
            }
            family.push(process.id);
            if [session, command.as_raw_pid()].contains(&process.session) {
                left.push(process.id);
            }
        }
    }
    Some(left)
}

/// Whether a thread waits for the children of this process: one for all commands, since what an
/// earlier one has left behind may go on for long.
static WAITS: Mutex<bool> = Mutex::new(false);

/// Tells of each child that ends, until none is left. Whose it is, the receiver knows.
fn wait_for_children(events: &Sender<Event>) {
    let tell = |waited| match waited {
        Ok(Some((child, status))) => {
            let status: WaitStatus = status;
            let status = ExitStatus::from_raw(status.as_raw());
            // Nobody listens any more only when the program is about to end.
            let _ = events.send(Event::ChildEnded(child, status));
            true
        }
        Ok(None) | Err(Errno::INTR) => true,
        // No child is left.
        Err(_) => false,
    };
    loop {
        while tell(wait(WaitOptions::empty())) {}
        let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        // One may have begun just now.
        if !tell(wait(WaitOptions::NOHANG)) {
            *waits = false;
            return;
        }
    }
}

/// What `/proc/<id>/stat` says of a process that has not ended.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: Pid,
    parent: Option<Pid>,
    /// 0 where the session began outside of the container that this process runs in.
    session: i32,
}

impl Process {
    fn all() -> Vec<Self> {
        let Ok(folders) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        folders
            .filter_map(|folder| {
                Self::read(&fs::read_to_string(folder.ok()?.path().join("stat")).ok()?)
            })
            .collect()
    }

    /// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
    fn read(stat: &str) -> Option<Self> {
        let pid = |text: &str| text.parse().ok().and_then(Pid::from_raw);
        // The name of its program stands in parentheses, and may hold spaces and parentheses
        // itself.
        let (id, _) = stat.split_once(" (")?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let parent = pid(fields.next()?);
        Some(Self {
            id: pid(id)?,
            parent,
            session: fields.nth(1)?.parse().ok()?,
        })
    }
}

/// The exit status to pass on: 128 and the signal where one ended the command, as a shell has it.
fn exit_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Where the system looks without a `PATH`, whichever C library it has.
const PATH_IF_NONE: &str = "/usr/local/bin:/bin:/usr/bin";

/// Why a command cannot be started.
pub struct NotStarted {
    /// The reason, in words that begin with its name.
    pub why: String,
    /// The exit status for it, as `timeout` has it: 127 where there is none, else 126.
    pub status: u8,
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
    let places: Vec<PathBuf> = if program.is_empty() {
        Vec::new()
    } else if program.as_bytes().contains(&b'/') {
        vec![program.into()]
    } else {
        let path = env::var_os("PATH").unwrap_or_else(|| PATH_IF_NONE.into());
        env::split_paths(&path)
            .map(|folder| folder.join(program))
            .collect()
    };
    let mut found = false;
    for place in places {
        match access(&place, Access::EXEC_OK) {
            Ok(()) if !place.is_dir() => return Ok(()),
            Ok(()) | Err(Errno::ACCESS) => found = true,
            Err(_) => {}
        }
    }
    let (why, status) = if found {
        ("permission denied", 126)
    } else {
        ("command not found", 127)
    };
    Err(NotStarted {
        why: told(program, why),
        status,
    })
}

impl NotStarted {
    /// Why a command that was found could not be started.
    pub fn because(command: &[OsString], error: &io::Error) -> Self {
        let (why, status) = match error.kind() {
            // It was there: the system says so of what its first line names.
            ErrorKind::NotFound => ("its interpreter was not found".to_owned(), 127),
            _ if Errno::from_io_error(error) == Some(Errno::NOEXEC) => {
                ("it is no program (a script begins with #!)".to_owned(), 126)
            }
            kind => (kind.to_string(), 126),
        };
        let program = command.first().map(OsString::as_os_str).unwrap_or_default();
        Self {
            why: told(program, &why),
            status,
        }
    }
}

fn told(program: &OsStr, why: &str) -> String {
    format!("{}: {why}", program.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(id: i32, parent: i32, session: i32) -> Process {
        Process {
            id: Pid::from_raw(id).unwrap(),
            parent: Pid::from_raw(parent),
            session,
        }
    }

    #[test]
    fn a_signal_is_for_what_descends_from_the_command() {
        // A session that began outside of the container is 0 in it, as in `unshare --pid --fork`.
        for session in [7, 0] {
            let all = [
                process(1, 0, session),
                process(20, 1, session),
                process(21, 20, session),
                process(22, 21, session),
                // One that has made itself independent, and one of a command that has.
                process(30, 22, 30),
                process(23, 20, 21),
                // It was there before, and has a child.
                process(24, 20, session),
                process(25, 24, session),
                process(26, 1, session),
            ];
            let pid = |id| Pid::from_raw(id).unwrap();
            let left = descendants(&all, pid(20), pid(21), &[pid(24)]);
            assert_eq!(left, Some(vec![pid(21), pid(23), pid(22)]));
            assert_eq!(descendants(&all, pid(9), pid(21), &[]), None);
        }
    }

    #[test]
    fn the_name_of_a_program_can_hold_anything() {
        for name in ["sh", "a b", ") Z 7 (", "(", ""] {
            let stat = |state| format!("12 ({name}) {state} 3 4 5 34816 4 0");
            assert_eq!(Process::read(&stat("S")), Some(process(12, 3, 5)), "{name}");
            assert_eq!(Process::read(&stat("Z")), None, "{name}");
        }
        assert_eq!(Process::read(""), None);
    }
}
