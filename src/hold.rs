//! What ends an outage: answers, the end of input, the end of a command, interrupts. All of it arrives on one channel,
//! since a thread that reads standard input cannot be interrupted. The only file that knows ctrlc.

use std::io::{self, BufRead, Read};
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;

/// A signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT, from Ctrl-C: the terminal sends it to a command too.
    Int,
    /// SIGTERM.
    Term,
    /// SIGHUP: the terminal was closed.
    Hup,
}

/// Something that happened; `W` is what the workers of a node tell.
pub enum Event<W> {
    /// A signal came.
    Interrupt(Interrupt),
    /// The command that the outage lasts for has ended.
    CommandEnded(ExitStatus),
    /// A line of standard input, without its end.
    Answer(String),
    /// Standard input has ended: nobody can answer any more.
    EndOfInput,
    /// A worker has something to tell.
    Work(W),
}

/// One ending often comes as several signals: a closed terminal sends SIGHUP twice, `timeout` SIGTERM twice. Within this
/// time they are one interrupt, so that only a person's second Ctrl-C counts as a second.
const ONE_INTERRUPT: Duration = Duration::from_secs(1);

/// Turns signals into events from now on.
///
/// # Errors
/// Where the system does not let signals be handled.
pub fn interrupts<W: Send + 'static>(events: Sender<Event<W>>) -> Result<()> {
    let last = Mutex::new(None::<Instant>);
    let send = Arc::new(move |signal| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= ONE_INTERRUPT) {
            *last = Some(Instant::now());
            // Nobody listens any more only when the program is about to end.
            let _ = events.send(Event::Interrupt(signal));
        }
    });
    let cannot = "signals cannot be handled, so Ctrl-C would leave the nodes offline";
    let on_ctrl_c = Arc::clone(&send);
    ctrlc::set_handler(move || on_ctrl_c(Interrupt::Int)).context(cannot)?;
    // ctrlc does not tell which signal came, and a command must get the one that was meant for it.
    // Under nohup the end of the terminal is not to be noticed.
    let others = [SIGTERM, SIGHUP]
        .into_iter()
        .filter(|&signal| !is_ignored(signal));
    let mut others = Signals::new(others).context(cannot)?;
    thread::spawn(move || {
        for signal in others.forever() {
            send(if signal == SIGTERM {
                Interrupt::Term
            } else {
                Interrupt::Hup
            });
        }
    });
    Ok(())
}

/// Whether whoever started the program had it ignore this signal; never, where the system does not tell so.
fn is_ignored(signal: i32) -> bool {
    let ignored = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    ignored().is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Standard input, read only when asked, so that nothing is taken from it that is not needed.
pub struct Answers {
    ask: Sender<()>,
}

impl Answers {
    /// Starts the thread that reads; each answer comes as an event.
    pub fn start<W: Send + 'static>(events: Sender<Event<W>>) -> Self {
        let (ask, asked): (_, Receiver<()>) = channel();
        thread::spawn(move || {
            for () in asked {
                if events.send(read_line()).is_err() {
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

fn read_line<W>() -> Event<W> {
    let mut line = Vec::new();
    match io::stdin()
        .lock()
        .take(LONGEST_ANSWER)
        .read_until(b'\n', &mut line)
    {
        Ok(0) | Err(_) => Event::EndOfInput,
        Ok(_) => Event::Answer(String::from_utf8_lossy(&line).trim().to_owned()),
    }
}
