//! Linux, macOS, the BSDs.

mod family;
mod processes;
mod signals;

use std::env;
use std::ffi::OsStr;
use std::fs::{File, FileType};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

pub use self::family::{Family, KILLED};
pub use self::signals::{hears_ctrl_c, listen};
use super::NoProgram;

/// Whether a host can be the path of a socket.
pub const HAS_SOCKETS: bool = true;

/// How long a command may take to end after it was told to, before it is ended by force.
pub const KILL_AFTER: Duration = Duration::from_secs(10);

/// Whether the program is in the foreground of a terminal: then Ctrl-C there goes to it, and to all
/// else that is.
pub fn has_terminal() -> bool {
    File::open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// Waits until standard input can be read, or has ended: another process has made it non-blocking.
pub fn wait_for_input() {
    let input = io::stdin();
    // Where it fails, such as by a signal, the next read tells.
    let _ = poll(&mut [PollFd::new(&input, PollFlags::IN)], None);
}

/// Waits until standard input can be read by this program, where it is the terminal: who reads that
/// in the background is stopped by the system, also in the middle of the way back. Tells when it has
/// come from there.
pub fn wait_for_terminal(comes_to_front: impl Fn()) {
    const A_MOMENT: Duration = Duration::from_millis(100);
    let input = io::stdin();
    let moment = Timespec::try_from(A_MOMENT).ok();
    let mut was_in_front = true;
    // Without a terminal, and where it is gone, the next read tells.
    while let Ok(group) = tcgetpgrp(&input) {
        let is_in_front = group == getpgrp();
        if is_in_front && !was_in_front {
            comes_to_front();
        }
        was_in_front = is_in_front;
        if !is_in_front {
            thread::sleep(A_MOMENT);
            continue;
        }
        // Nobody tells this program that it is sent to the background.
        let is_there = poll(&mut [PollFd::new(&input, PollFlags::IN)], moment.as_ref());
        let is_sent_away = || tcgetpgrp(&input).is_ok_and(|group| group != getpgrp());
        if !matches!(is_there, Ok(0) | Err(Errno::INTR)) && !is_sent_away() {
            return;
        }
    }
}

/// Whether it is a pipe with a name, which would block until somebody writes to it.
pub fn is_named_pipe(path: &Path, kind: FileType) -> bool {
    kind.is_fifo() && !path.starts_with("/dev")
}

/// Where the system looks without a `PATH`, whichever C library it has.
const PATH_IF_NONE: &str = "/usr/local/bin:/bin:/usr/bin";

/// What is to be started for this program, which the system finds in `PATH` by itself.
///
/// # Errors
/// Where it would find nothing that can be executed.
pub fn find(program: &OsStr) -> Result<PathBuf, NoProgram> {
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
    let mut why = NoProgram::Missing;
    for place in places {
        match access(&place, Access::EXEC_OK) {
            Ok(()) if !place.is_dir() => return Ok(program.into()),
            Ok(()) | Err(Errno::ACCESS) => why = NoProgram::Forbidden,
            Err(_) => {}
        }
    }
    Err(why)
}

/// Whether a file that may be executed is no program, and what one is.
pub fn is_no_program(error: &io::Error) -> Option<&'static str> {
    (Errno::from_io_error(error) == Some(Errno::NOEXEC)).then_some("a script begins with #!")
}
