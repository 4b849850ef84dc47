//! What ends an outage: answers, the end of input, interrupts. All of it arrives on one channel, since a thread that
//! reads standard input cannot be interrupted. The only file that knows ctrlc.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Something that happened; `W` is what the workers of a node tell.
pub enum Event<W> {
    /// Ctrl-C, SIGTERM or SIGHUP.
    Interrupt,
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
    let mut last: Option<Instant> = None;
    ctrlc::set_handler(move || {
        if last.is_none_or(|last| last.elapsed() >= ONE_INTERRUPT) {
            last = Some(Instant::now());
            // Nobody listens any more only when the program is about to end.
            let _ = events.send(Event::Interrupt);
        }
    })
    .context("signals cannot be handled, so Ctrl-C would leave the nodes offline")
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
