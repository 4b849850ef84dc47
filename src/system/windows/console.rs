//! What Windows tells a console program beside Ctrl-C and Ctrl-Break: that its window is being
//! closed, that the user logs off, that the machine shuts down. It ends the program 5 seconds later,
//! or when the program's handler returns; ctrlc's does at once, so tokio's is asked first, which
//! never does. Nothing else of tokio is used.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::signal::windows::{ctrl_close, ctrl_logoff, ctrl_shutdown};

use super::super::{Interrupt, Signal};

/// Whether Ctrl-C is for this program: Windows keeps it from one that is to ignore it.
pub fn hears_ctrl_c() -> bool {
    true
}

/// Tells of each of these events from now on. Handlers are asked the other way round than they were
/// set: ctrlc's must have been set before.
///
/// # Errors
/// Where the system does not let them be handled.
pub fn listen(heard: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let (mut close, mut logoff, mut shutdown) = (ctrl_close()?, ctrl_logoff()?, ctrl_shutdown()?);
    let listen = move || {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            let hup = close.poll_recv(&mut context);
            let ends = [
                logoff.poll_recv(&mut context),
                shutdown.poll_recv(&mut context),
            ];
            if hup.is_ready() {
                heard(Signal::Interrupt(Interrupt::Hup));
            } else if ends.iter().any(Poll::is_ready) {
                heard(Signal::Interrupt(Interrupt::Term));
            } else {
                thread::park();
            }
        }
    };
    thread::Builder::new().spawn(listen)?;
    Ok(())
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
