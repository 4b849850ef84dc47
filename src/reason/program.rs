//! The program itself: its arguments and settings, the command, the drill, the end.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{Kind, Reason};

/// What is wrong with the command line.
pub fn wrong_arguments(why: impl Display) -> Reason {
    Kind::Arguments.told(why)
}

pub fn too_many_sets(nodes: usize, most: usize, at_once: impl Display) -> Reason {
    Kind::Arguments.told(format_args!(
        "{nodes} nodes make more than {most} sets of at most {at_once}: lower --at-once, or name fewer nodes"
    ))
}

/// What is wrong with a setting, or odd about it.
pub fn of_configuration(why: impl Display) -> Reason {
    Kind::Configuration.told(why)
}

pub fn command_not_found(program: &OsStr) -> Reason {
    command_not_started(program, "command not found")
}

pub fn command_forbidden(program: &OsStr) -> Reason {
    command_not_started(program, "permission denied")
}

/// The program is there: the system says so of what its first line names.
pub fn interpreter_not_found(program: &OsStr) -> Reason {
    command_not_started(program, "its interpreter was not found")
}

/// `what_is` would be one.
pub fn is_no_program(program: &OsStr, what_is: &str) -> Reason {
    command_not_started(program, format_args!("it is no program ({what_is})"))
}

/// Why a command cannot be started: as a shell says it, its name first.
pub fn command_not_started(program: &OsStr, why: impl Display) -> Reason {
    Kind::CommandNotStarted.told(format_args!("{}: {why}", program.to_string_lossy()))
}

/// Where a drill's JUnit XML, or what was asked for, was to go.
pub fn cannot_write(path: &Path, error: &io::Error) -> Reason {
    let why = why_not_written(error);
    Kind::CannotWrite.told(format_args!("cannot write {}: {why}", path.display()))
}

fn why_not_written(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such folder".to_owned(),
        kind => kind.to_string(),
    }
}

/// What is told or was asked for.
pub fn cannot_write_output(error: &io::Error) -> Reason {
    cannot_write(Path::new("standard output"), error)
}

pub fn output_not_kept(error: &io::Error) -> Reason {
    Kind::OutputNotKept.told(format_args!(
        "the output cannot be kept ({}), so all of it is shown: check TMPDIR",
        why_not_written(error)
    ))
}

/// The command of a drill, with this status before any node has gone.
pub fn fails_while_online(status: i32) -> Reason {
    tells_nothing(format_args!(
        "fails while every node is online (status {status})"
    ))
}

/// The command of a drill, before any node has gone.
pub fn takes_too_long_while_online() -> Reason {
    tells_nothing("takes too long while every node is online")
}

fn tells_nothing(how: impl Display) -> Reason {
    Kind::CommandFailed.told(format_args!(
        "the command {how}: a drill would tell nothing"
    ))
}

pub fn end_of_input() -> Reason {
    Kind::EndOfInput.told("standard input has ended, so nobody can answer: bringing the nodes back")
}

/// Past the deadline.
pub fn command_goes_on() -> Reason {
    Kind::CommandGoesOn.told(
        "the command still runs at the deadline (--for): the nodes come back, and the rest of it runs while they are online",
    )
}

pub fn left_early() -> Reason {
    Kind::LeftEarly.told("left before every node was back")
}

/// A panic, with what it says.
pub fn broke_down(what: &str) -> Reason {
    Kind::BrokeDown.told(format_args!(
        "fail-start itself broke down (please report it): {what}"
    ))
}

/// A panic in the work on one node.
pub fn broke_down_here() -> Reason {
    Kind::BrokeDown.told("fail-start itself broke down here (please report it)")
}

/// Words: why the program does not begin.
pub fn signals_not_handled() -> &'static str {
    "signals cannot be handled, so Ctrl-C would leave the nodes offline"
}

/// The system does not let the program begin.
pub fn cannot_start(why: impl Display) -> Reason {
    Kind::BrokeDown.told(why)
}
