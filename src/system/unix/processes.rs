//! All processes of the system, and which of them descend from a command.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::process::{Pid, getpid};

/// A process that has not ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Process {
    pub id: Pid,
    pub parent: Option<Pid>,
    /// 0 where the session began outside of the container that this process runs in, and where the
    /// system does not tell it.
    session: i32,
}

impl Process {
    /// All of them, or none where the system does not tell.
    pub fn all() -> Vec<Self> {
        if cfg!(target_os = "linux") {
            Self::in_proc()
        } else {
            Self::by_ps()
        }
    }

    fn in_proc() -> Vec<Self> {
        // In a namespace of its own, this process may see an outer one's: there each has another id.
        let own = fs::read_link("/proc/self").ok();
        let own = own.and_then(|own| pid(own.to_str()?));
        let folders = fs::read_dir("/proc").ok().filter(|_| own == Some(getpid()));
        let Some(folders) = folders else {
            return Vec::new();
        };
        folders
            .filter_map(|folder| {
                Self::read(&fs::read_to_string(folder.ok()?.path().join("stat")).ok()?)
            })
            .collect()
    }

    /// What `/proc/<id>/stat` says:
    /// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
    fn read(stat: &str) -> Option<Self> {
        // The name of its program stands in parentheses, and may hold spaces and parentheses
        // itself.
        let (id, _) = stat.split_once(" (")?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        if has_ended(fields.next()?) {
            return None;
        }
        let parent = pid(fields.next()?);
        Some(Self {
            id: pid(id)?,
            parent,
            session: fields.nth(1)?.parse().ok()?,
        })
    }

    /// What `ps` prints, which has these columns everywhere. Sessions it has in a way of its own on
    /// each system.
    fn by_ps() -> Vec<Self> {
        let mut ps = Command::new("ps");
        ps.args(["-A", "-o", "pid=", "-o", "ppid=", "-o", "state="]);
        let Ok(mut ps) = ps.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() else {
            return Vec::new();
        };
        let mut printed = String::new();
        let read = ps
            .stdout
            .take()
            .map(|mut out| out.read_to_string(&mut printed));
        // Whoever waits for any child may have been faster.
        let _ = ps.wait();
        if read.is_none_or(|read| read.is_err()) {
            return Vec::new();
        }
        let process = |line: &str| {
            let mut columns = line.split_whitespace();
            let (id, parent) = (pid(columns.next()?)?, pid(columns.next()?));
            let has_ended = has_ended(columns.next()?) || id == Pid::from_child(&ps);
            (!has_ended).then_some(Self {
                id,
                parent,
                session: 0,
            })
        };
        printed.lines().filter_map(process).collect()
    }
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

/// Whether a state is that of a process that nobody has waited for yet.
fn has_ended(state: &str) -> bool {
    state.starts_with(['Z', 'X'])
}

/// The command and all that descends from it, parents first, but not what has left for a session of
/// its own, as a daemon does; nothing where this process itself is not among all of them. What the
/// command has left behind is a child of this process, as are the others, which were there before.
pub fn descendants(all: &[Process], own: Pid, command: Pid, others: &[Pid]) -> Option<Vec<Pid>> {
    let session = all.iter().find(|one| one.id == own)?.session;
    let mut family = vec![own];
    let mut left = Vec::new();
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        next += 1;
        for process in all {
            if process.parent != Some(parent) || others.contains(&process.id) {
                continue;
            }
            family.push(process.id);
            if [session, command.as_raw_pid()].contains(&process.session) {
                left.push(process.id);
            }
        }
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    fn process(id: i32, parent: i32, session: i32) -> Process {
        Process {
            id: Pid::from_raw(id).unwrap(),
            parent: Pid::from_raw(parent),
            session,
        }
    }

    #[test]
    fn a_signal_is_for_what_descends_from_the_command() {
        // A session that began outside of the container is 0 in it, as in `unshare --pid --fork`.
        for session in [7, 0] {
            let all = [
                process(1, 0, session),
                process(20, 1, session),
                process(21, 20, session),
                process(22, 21, session),
                // One that has made itself independent, and one of a command that has.
                process(30, 22, 30),
                process(23, 20, 21),
                // It was there before, and has a child.
                process(24, 20, session),
                process(25, 24, session),
                process(26, 1, session),
            ];
            let pid = |id| Pid::from_raw(id).unwrap();
            let left = descendants(&all, pid(20), pid(21), &[pid(24)]);
            assert_eq!(left, Some(vec![pid(21), pid(23), pid(22)]));
            assert_eq!(descendants(&all, pid(9), pid(21), &[]), None);
        }
    }

    #[test]
    fn the_name_of_a_program_can_hold_anything() {
        for name in ["sh", "a b", ") Z 7 (", "(", ""] {
            let stat = |state| format!("12 ({name}) {state} 3 4 5 34816 4 0");
            assert_eq!(Process::read(&stat("S")), Some(process(12, 3, 5)), "{name}");
            assert_eq!(Process::read(&stat("Z")), None, "{name}");
        }
        assert_eq!(Process::read(""), None);
    }

    #[test]
    fn ps_tells_the_same_as_linux() {
        let mut ended = Command::new("true").spawn().unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let own = Pid::from_raw(process::id().cast_signed());
        let id = |child: &process::Child| Pid::from_child(child);
        for all in [Process::in_proc(), Process::by_ps()] {
            let found = all.iter().find(|one| one.id == id(&child)).unwrap();
            assert_eq!(found.parent, own);
        }
        // It stays a child until it is waited for.
        while Process::by_ps().iter().any(|one| one.id == id(&ended)) {}
        child.kill().unwrap();
        child.wait().unwrap();
        ended.wait().unwrap();
    }
}
