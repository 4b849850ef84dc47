//! Signals. One that whoever started the program had it ignore stays ignored: SIGINT and SIGQUIT in
//! a script's `… &`, SIGHUP under `nohup`.

use std::io;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;

use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals;

use super::super::{Interrupt, Signal};

/// Whether Ctrl-C is for this program.
pub fn hears_ctrl_c() -> bool {
    !is_ignored(SIGINT)
}

/// Tells of each signal but Ctrl-C's from now on.
///
/// # Errors
/// Where the system does not let signals be handled.
pub fn listen(heard: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let others = [SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ];
    let signals = [SIGQUIT, SIGTERM, SIGHUP, SIGCONT].into_iter();
    let signals = signals.chain(others).filter(|&signal| !is_ignored(signal));
    // Where that is ignored, the system tells of no child's end. The command does not ignore it then.
    let mut signals = Signals::new(signals.chain([SIGCHLD]))?;
    let listen = move || {
        for signal in signals.forever() {
            heard(match signal {
                SIGQUIT => Signal::Interrupt(Interrupt::Quit),
                SIGHUP => Signal::Interrupt(Interrupt::Hup),
                SIGCONT => Signal::Continued,
                // A file that may grow no further (`ulimit -f`): to write there fails. A child's end
                // is waited for.
                SIGXFSZ | SIGCHLD => continue,
                // SIGTERM, and any other way to end a program from without.
                _ => Signal::Interrupt(Interrupt::Term),
            });
        }
    };
    thread::Builder::new().spawn(listen)?;
    Ok(())
}

fn is_ignored(signal: i32) -> bool {
    is_ignored_by_linux(signal).unwrap_or_else(|| is_ignored_by_a_child(signal))
}

/// What Linux tells; other systems tell it only to C.
fn is_ignored_by_linux(signal: i32) -> Option<bool> {
    static IGNORED: LazyLock<Option<u64>> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let mut lines = status.lines();
        let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    IGNORED.map(|mask| mask >> (signal - 1) & 1 == 1)
}

/// A child ignores what its parent does, so one that sends itself the signal goes on.
fn is_ignored_by_a_child(signal: i32) -> bool {
    let name = match signal {
        SIGINT => "INT",
        SIGQUIT => "QUIT",
        SIGTERM => "TERM",
        SIGHUP => "HUP",
        // To go on ends nothing.
        _ => return false,
    };
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("kill -{name} $$; exit 0"));
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_tells_the_same_as_linux() {
        // Those who run the tests may ignore some.
        for signal in [SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCONT] {
            let told = is_ignored_by_linux(signal);
            assert_eq!(told, Some(is_ignored_by_a_child(signal)), "{signal}");
        }
    }
}
