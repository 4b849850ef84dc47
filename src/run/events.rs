//! Everything that can happen: answers, the end of input, the end of a command, signals, what the
//! workers tell. All of it arrives on one channel, since a thread that reads standard input cannot
//! be interrupted. The only file that knows ctrlc.

use std::collections::BTreeMap;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::outage::progress::Progress;
use crate::system::{self, Interrupt, Signal};
use crate::{reason, report};

/// Something that happened.
pub enum Event {
    /// A signal came.
    Interrupt(Interrupt),
    /// The program was stopped or in the background, and has the terminal again: what it showed there
    /// may be gone.
    Foreground,
    /// A child of the program has ended, by its id, with this exit status: the command that the
    /// outage lasts for, or what one has left behind.
    ChildEnded(u32, i32),
    /// A line of standard input, without its end.
    Answer(String),
    /// Standard input has ended: nobody can answer any more.
    EndOfInput,
    /// The worker of the node of this number goes on, or the watch over it has seen something.
    Progress(u32, Progress),
    /// A worker has ended.
    WorkerEnded,
}

/// One ending often comes as several signals: a closed terminal sends SIGHUP twice, `timeout`
/// SIGTERM twice, systemd SIGTERM and SIGHUP. Within this time they are one interrupt, so that only
/// a person's second Ctrl-C counts as a second.
pub const ONE_INTERRUPT: Duration = Duration::from_secs(1);

/// Turns signals into events from now on. Each comes once within [`ONE_INTERRUPT`]; another one
/// comes too, since a command must get the SIGTERM that follows a SIGINT.
///
/// # Errors
/// Where the system does not let signals be handled.
pub fn interrupts(events: Sender<Event>) -> Result<()> {
    let last = Mutex::new(BTreeMap::<Interrupt, Instant>::new());
    let send = {
        let events = events.clone();
        Arc::new(move |signal| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let before = last.get(&signal);
            report::hurry();
            if before.is_none_or(|before| before.elapsed() >= ONE_INTERRUPT) {
                last.insert(signal, Instant::now());
                // Nobody listens any more only when the program is about to end.
                let _ = events.send(Event::Interrupt(signal));
            }
        })
    };
    let cannot = reason::signals_not_handled();
    if system::hears_ctrl_c() {
        let on_ctrl_c = Arc::clone(&send);
        ctrlc::set_handler(move || on_ctrl_c(Interrupt::Int)).context(cannot)?;
    }
    // ctrlc does not tell which signal came, and a command must get the one that was meant for it.
    system::listen(move |signal| match signal {
        Signal::Interrupt(interrupt) => send(interrupt),
        Signal::Continued if io::stdin().is_terminal() && system::has_terminal() => {
            let _ = events.send(Event::Foreground);
        }
        Signal::Continued => {}
    })
    .context(cannot)
}

/// Standard input, read only when asked, so that nothing is taken from it that is not needed.
pub struct Answers {
    ask: Sender<()>,
}

impl Answers {
    /// Starts the thread that reads; each answer comes as an event.
    pub fn start(events: Sender<Event>) -> Self {
        let (ask, asked): (_, Receiver<()>) = channel();
        thread::spawn(move || {
            for () in asked {
                let comes_to_front = || drop(events.send(Event::Foreground));
                if events.send(read_line(comes_to_front)).is_err() {
                    break;
                }
            }
        });
        Self { ask }
    }

    /// Asks for the next line.
    pub fn ask(&self) {
        // The thread is gone only when the program is about to end.
        let _ = self.ask.send(());
    }
}

/// The longest answer that is kept; the rest of such a line counts as the next answer.
const LONGEST_ANSWER: u64 = 4096;

fn read_line(comes_to_front: impl Fn()) -> Event {
    let mut input = io::stdin().lock().take(LONGEST_ANSWER);
    let mut line = Vec::new();
    loop {
        system::wait_for_terminal(&comes_to_front);
        match input.read_until(b'\n', &mut line) {
            // Another process has made the terminal or pipe non-blocking, which it then is for all
            // that share it. What was read of the line is kept.
            Err(error) if error.kind() == ErrorKind::WouldBlock => system::wait_for_input(),
            // Any other error is that of a terminal that is gone.
            Err(_) => return Event::EndOfInput,
            Ok(_) if line.is_empty() => return Event::EndOfInput,
            Ok(_) => return Event::Answer(String::from_utf8_lossy(&line).trim().to_owned()),
        }
    }
}
