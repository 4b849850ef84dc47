//! Windows.

mod console;
mod family;

use std::ffi::OsStr;
use std::fs::{File, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub use self::console::{hears_ctrl_c, listen};
pub use self::family::{Family, KILLED};
use super::NoProgram;

/// Whether a host can be the path of a socket: its servers have none.
pub const HAS_SOCKETS: bool = false;

/// How long a command may take to end before it is ended by force. A closed console leaves 5
/// seconds for it and for the way back.
pub const KILL_AFTER: Duration = Duration::from_secs(1);

/// Whether the program has a console: then Ctrl-C there goes to it, and to all else that has.
pub fn has_terminal() -> bool {
    File::open("CONIN$").is_ok()
}

/// Waits a moment: nothing here makes standard input non-blocking.
pub fn wait_for_input() {
    thread::sleep(Duration::from_millis(50));
}

/// Nothing here is stopped for what it reads.
pub fn wait_for_terminal(_: impl Fn()) {}

/// Whether it is a pipe with a name.
pub fn is_named_pipe(path: &Path, _: FileType) -> bool {
    path.starts_with(r"\\.\pipe")
}

/// The file to start for this program: the system itself would find no `.cmd` and no `.bat` by its
/// name alone, which `npm` and many others are.
///
/// # Errors
/// Where there is none.
pub fn find(program: &OsStr) -> Result<PathBuf, NoProgram> {
    which::which(program).map_err(|_| NoProgram::Missing)
}

/// Whether a file that may be executed is no program, and what one is.
pub fn is_no_program(error: &io::Error) -> Option<&'static str> {
    const ERROR_BAD_EXE_FORMAT: i32 = 193;
    let is_none = error.raw_os_error() == Some(ERROR_BAD_EXE_FORMAT);
    is_none.then_some("one is a file for this kind of Windows")
}
