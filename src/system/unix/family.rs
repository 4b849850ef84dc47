//! A command and all that it has started.
//!
//! It stays in fail-start's own process group, so that a terminal treats both as one job: what is
//! typed there reaches the command, and Ctrl-C, Ctrl-Z and `fg` do. coreutils' `timeout` makes a
//! group instead and sends a signal to all of it; here it goes to everything that descends from the
//! command, and does not reach a script that waits for fail-start in the same group.
//!
//! On Linux what a part of it leaves behind becomes a child of this process. Elsewhere it becomes
//! one of the system's, and is out of reach.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgid, getpgrp, getpid, kill_process, wait,
};

use super::super::Interrupt;
use super::processes::{Process, descendants};

/// The exit status of what was ended by force.
pub const KILLED: i32 = 128 + 9;

/// A command that was started, and all that it has started.
pub struct Family {
    command: Pid,
    /// The children that this process had already, such as those of a shell that became fail-start
    /// by `exec`.
    others: Vec<Pid>,
    has_ended: bool,
}

impl Family {
    /// Starts the command. The end of each child of this process is told, with its id and its exit
    /// status: of the command, or of what one has left behind.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(
        mut command: Command,
        ended: impl Fn(u32, i32) + Send + 'static,
    ) -> io::Result<Self> {
        // What the command leaves behind becomes a child of this process, so that a signal reaches
        // it too.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Some(getpid()));
        let others = Process::all()
            .into_iter()
            .filter(|one| one.parent == Some(getpid()))
            .map(|one| one.id)
            .collect();
        // Held, so that no thread stops to wait while a child begins. And the thread first: where the
        // system has none left, nothing is to run on.
        let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        if !*waits {
            thread::Builder::new().spawn(move || wait_for_children(&ended))?;
            *waits = true;
        }
        let command = Pid::from_child(&command.spawn()?);
        drop(waits);
        Ok(Self {
            command,
            others,
            has_ended: false,
        })
    }

    /// Whether the child of this id is the command, which has ended.
    pub fn has_ended(&mut self, child: u32) -> bool {
        let is_it = Pid::from_raw(child.cast_signed()) == Some(self.command);
        self.has_ended |= is_it;
        is_it
    }

    /// Whether the terminal sends the command what is typed there, where it sends it to this program:
    /// not to one that has made a group of its own, as `timeout` and `setsid` do.
    pub fn is_typed_to(&self) -> bool {
        // One that is gone has just died of it.
        getpgid(Some(self.command)).map_or(true, |group| group == getpgrp())
    }

    /// Passes a signal on to all of it, and returns whether that can be done.
    pub fn forward(&self, interrupt: Interrupt) -> bool {
        let signal = match interrupt {
            Interrupt::Int => Signal::INT,
            Interrupt::Quit => Signal::QUIT,
            Interrupt::Term => Signal::TERM,
            Interrupt::Hup => Signal::HUP,
        };
        // One that is stopped ends only when it goes on.
        self.send(&[signal, Signal::CONT]);
        true
    }

    /// Ends all of it by force.
    pub fn kill(&mut self) {
        self.send(&[Signal::KILL]);
    }

    /// Whether nothing of it is left.
    pub fn is_gone(&self) -> bool {
        self.left().is_empty()
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

    /// The processes of the command that have not ended. Where the system does not tell it is the
    /// command alone.
    fn left(&self) -> Vec<Pid> {
        let all = Process::all();
        descendants(&all, getpid(), self.command, &self.others).unwrap_or_else(|| {
            if self.has_ended {
                Vec::new()
            } else {
                vec![self.command]
            }
        })
    }
}

/// Whether a thread waits for the children of this process: one for all commands, since what an
/// earlier one has left behind may go on for long.
static WAITS: Mutex<bool> = Mutex::new(false);

/// Tells of each child that ends, until none is left. Whose it is, the receiver knows.
fn wait_for_children(ended: &impl Fn(u32, i32)) {
    let tell = |waited| match waited {
        Ok(Some((child, status))) => {
            let (child, status): (Pid, WaitStatus) = (child, status);
            let status = ExitStatus::from_raw(status.as_raw());
            ended(
                child.as_raw_nonzero().get().cast_unsigned(),
                exit_status(status),
            );
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

/// The exit status to pass on: 128 and the signal where one ended the command, as a shell has it.
fn exit_status(status: ExitStatus) -> i32 {
    let code = status.code();
    code.or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1)
}
