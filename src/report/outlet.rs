//! What is told goes out by a thread of its own, in one order to both streams: where nobody takes it
//! (a pipe that is full, a terminal that Ctrl-S has stopped), the nodes come back all the same.

use std::io::{self, ErrorKind, Write};
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// A standard stream.
#[derive(Clone, Copy)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What is written to it goes to the stream when a line is through, or when it is flushed.
pub struct Outlet {
    stream: Stream,
    text: Vec<u8>,
}

impl Outlet {
    /// To this stream.
    pub fn to(stream: Stream) -> Self {
        Self {
            stream,
            text: Vec::new(),
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend(text);
        if text.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = take(&mut self.text);
        if text.is_empty() {
            return Ok(());
        }
        match WRITER.get_or_init(Writer::start) {
            Some(writer) => {
                writer.waiting().count += 1;
                // The thread never ends.
                let _ = writer.texts.send((self.stream, text));
            }
            // The system had no thread for it.
            None => write(self.stream, &text),
        }
        Ok(())
    }
}

/// Somebody else is about to write there too: what was told comes first, unless nobody takes it.
pub fn give_way() {
    is_taken_within(Duration::from_millis(250));
}

/// Waits until all is taken, unless nothing is for so long; not at all where the last wait was of no use,
/// and nothing was taken since. Returns whether all is.
fn is_taken_within(limit: Duration) -> bool {
    let Some(Some(writer)) = WRITER.get() else {
        return true;
    };
    let mut waiting = writer.waiting();
    while waiting.count > 0 && !waiting.gave_up {
        let before = waiting.count;
        let is_as_before = |waiting: &mut Waiting| waiting.count >= before;
        let waited = writer
            .taken
            .wait_timeout_while(waiting, limit, is_as_before);
        waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        waiting.gave_up = waiting.count >= before;
    }
    waiting.count == 0
}

/// A signal has come: the program does not end later for what nobody takes.
pub fn hurry() {
    HURRIES.store(true, Ordering::SeqCst);
}

/// Waits until all is taken; where a signal has come, unless nothing is for a second.
pub fn wait_until_taken() {
    while !is_taken_within(Duration::from_secs(1)) && !HURRIES.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
}

static HURRIES: AtomicBool = AtomicBool::new(false);

/// Nothing where the system had no thread for it.
static WRITER: OnceLock<Option<Writer>> = OnceLock::new();

struct Writer {
    texts: Sender<(Stream, Vec<u8>)>,
    waiting: Mutex<Waiting>,
    taken: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// How many texts are not taken yet.
    count: usize,
    /// Whether somebody has waited for that in vain since the last was taken.
    gave_up: bool,
}

impl Writer {
    fn start() -> Option<Self> {
        let (texts, all) = channel::<(Stream, Vec<u8>)>();
        let started = thread::Builder::new().spawn(move || {
            for (stream, text) in all {
                write(stream, &text);
                if let Some(Some(writer)) = WRITER.get() {
                    let mut waiting = writer.waiting();
                    waiting.count -= 1;
                    waiting.gave_up = false;
                    writer.taken.notify_all();
                }
            }
        });
        started.is_ok().then(|| Self {
            texts,
            waiting: Mutex::default(),
            taken: Condvar::new(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why standard output was cut short, but for a reader who has left.
pub fn cut_short_by() -> Option<io::Error> {
    CUT_SHORT_BY.get().map(|&kind| kind.into())
}

static CUT_SHORT_BY: OnceLock<ErrorKind> = OnceLock::new();

/// What cannot be written is dropped.
fn write(stream: Stream, text: &[u8]) {
    let written = match stream {
        Stream::Out => write_to(&mut io::stdout().lock(), text),
        Stream::Err => write_to(&mut io::stderr().lock(), text),
    };
    if let (Stream::Out, Err(error)) = (stream, written)
        && error.kind() != ErrorKind::BrokenPipe
    {
        CUT_SHORT_BY.get_or_init(|| error.kind());
    }
}

fn write_to(stream: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        match patiently(|| stream.write(rest))? {
            0 => return Err(ErrorKind::WriteZero.into()),
            taken => rest = &rest[taken..],
        }
    }
    patiently(|| stream.flush())
}

/// Tries again where another process has made the stream non-blocking, which it then is for all that
/// share it.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
