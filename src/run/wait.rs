//! Step 4: the ways to wait, for a Y, for a time, for a command.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::Run;
use super::command::{NotStarted, Output, Running, Setup, State};
use super::events::{Answers, Event, ONE_INTERRUPT};
use crate::exit_status::ExitStatus;
use crate::server::in_words;
use crate::system::{Interrupt, KILL_AFTER};
use crate::{reason, report};

impl Run<'_> {
    /// Until Y, an interrupt, or the end of input.
    pub(super) fn hold_until_answered(&mut self) -> ExitStatus {
        let answers = Answers::start(self.sender.clone());
        self.printer.prompt();
        answers.ask();
        loop {
            match self.events.recv() {
                Ok(Event::Answer(answer)) => {
                    self.printer.answered();
                    match answer.to_lowercase().as_str() {
                        "y" | "yes" => return ExitStatus::Done,
                        "n" | "no" => self.printer.stays_offline(),
                        _ => self.printer.not_an_answer(),
                    }
                    self.printer.prompt();
                    answers.ask();
                }
                Ok(Event::EndOfInput) => return self.input_has_ended(),
                Ok(Event::Interrupt(_)) => {
                    self.printer.end_prompt();
                    return self.interrupted_while_held();
                }
                Ok(Event::Foreground) => self.printer.prompt(),
                Ok(Event::Progress(number, progress)) => self.progress(number, &progress),
                Ok(Event::ChildEnded(..) | Event::WorkerEnded) => {}
                Err(_) => return ExitStatus::Failed,
            }
        }
    }

    fn input_has_ended(&mut self) -> ExitStatus {
        self.printer.end_prompt();
        // A closed terminal, or who ends it and its input.
        if self.interrupt_comes() {
            return self.interrupted_while_held();
        }
        self.printer.general_error(&reason::end_of_input());
        let terminal = if io::stdin().is_terminal() {
            ""
        } else {
            "run it in a terminal, or "
        };
        self.printer.note(format!(
            "hint: {terminal}say how long the outage is to last: --for 30s, or -- COMMAND"
        ));
        ExitStatus::Failed
    }

    fn interrupted_while_held(&mut self) -> ExitStatus {
        // The first one: a second leaves only while something is under way.
        let _ = self.interrupt();
        ExitStatus::Interrupted
    }

    /// Nobody is asked: until the deadline or an interrupt.
    pub(super) fn hold_until(&mut self, deadline: Instant) -> ExitStatus {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return ExitStatus::Done;
            }
            self.printer.time_left(left);
            let next_second = Duration::from_nanos(u64::from(left.subsec_nanos()).max(1));
            match self.events.recv_timeout(next_second) {
                Ok(Event::Interrupt(_)) => return self.interrupted_while_held(),
                Ok(Event::Progress(number, progress)) => self.progress(number, &progress),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return ExitStatus::Failed,
            }
        }
    }

    /// For a command: until its end or the deadline.
    pub(super) fn hold_while_it_runs(
        &mut self,
        command: &[OsString],
        deadline: Option<Instant>,
    ) -> ExitStatus {
        let numbers: Vec<String> = self.all().iter().map(ToString::to_string).collect();
        let setup = Setup {
            nodes: &numbers.join(","),
            phase: None,
            output: Output::Own,
        };
        match self.start_command(command, setup) {
            Ok(()) => {
                let outcome = self.wait_for_command(deadline);
                if self.running.is_some() {
                    self.printer.general_warning(&reason::command_goes_on());
                }
                outcome
            }
            Err(not_started) => not_started.told(self.printer),
        }
    }

    /// Starts the command, which is then [waited for](Self::wait_for_command).
    pub(super) fn start_command(
        &mut self,
        command: &[OsString],
        setup: Setup,
    ) -> Result<(), NotStarted> {
        report::give_way();
        let running = Running::start(command, setup, self.sender.clone())
            .map_err(|error| NotStarted::because(command, &error))?;
        self.running = Some(running);
        Ok(())
    }

    /// Waits for the command's end, and no longer than until the deadline.
    pub(super) fn wait_for_command(&mut self, deadline: Option<Instant>) -> ExitStatus {
        loop {
            let now = Instant::now();
            let poll_at = match self.running.as_mut().map(Running::poll) {
                Some(State::Exited(status)) => {
                    self.running = None;
                    return ExitStatus::Command(status);
                }
                Some(State::Unkillable(status)) => {
                    self.running = None;
                    self.printer
                        .note("something that the command has started could not be ended");
                    return ExitStatus::Command(status);
                }
                Some(State::Killed) => {
                    self.printer.note(format!(
                        "the command has not ended within {}: ending it by force",
                        in_words(KILL_AFTER)
                    ));
                    continue;
                }
                Some(State::Running(_)) if deadline.is_some_and(|deadline| deadline <= now) => {
                    return ExitStatus::Done;
                }
                Some(State::Running(poll_at)) => poll_at,
                None => return ExitStatus::Done,
            };
            let next = [deadline, poll_at].into_iter().flatten().min();
            let wait = next.map_or(Duration::MAX, |next| next.saturating_duration_since(now));
            match self.events.recv_timeout(wait) {
                Ok(Event::Interrupt(interrupt)) => self.forward(interrupt),
                Ok(Event::ChildEnded(child, status)) => self.child_ended(child, status),
                Ok(Event::Progress(number, progress)) => self.progress(number, &progress),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return ExitStatus::Failed,
            }
        }
    }

    /// Passes a signal on to the command, if one is running. Unless it ends a drill it is no
    /// interrupt of fail-start's own: a second one does not leave before the nodes are back.
    pub(super) fn forward(&mut self, interrupt: Interrupt) {
        let Some(running) = &mut self.running else {
            return;
        };
        let forwarded = running.forward(interrupt);
        if self.is_drill {
            match self.interrupted {
                None => {
                    self.interrupted = Some(Instant::now());
                    running.must_end();
                    self.printer.note(
                        "interrupted: waiting for the command to end (again: end it by force)",
                    );
                }
                Some(first) if first.elapsed() < ONE_INTERRUPT => {}
                Some(_) => {
                    running.kill();
                    self.printer.note("ending the command by force");
                }
            }
        } else if forwarded {
            self.printer
                .note("interrupted: waiting for the command to end");
        }
    }

    /// A child of this process has ended.
    pub(super) fn child_ended(&mut self, child: u32, status: i32) {
        if let Some(running) = &mut self.running {
            running.has_ended(child, status);
        }
    }

    /// Ends the command and all that it has started, by a SIGTERM where there are signals, and waits
    /// for that.
    pub(super) fn end_command(&mut self) {
        if let Some(running) = &mut self.running {
            running.end();
            self.wait_for_command(None);
        }
    }

    /// Whether a signal comes within a moment, where what has just happened may be due to it too.
    pub(super) fn interrupt_comes(&mut self) -> bool {
        let until = Instant::now() + Duration::from_millis(100);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Interrupt(_)) => return true,
                Ok(Event::Progress(number, progress)) => self.progress(number, &progress),
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}
