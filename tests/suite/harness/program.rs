//! The program, run as a user runs it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// The question, to the letter.
pub const PROMPT: &str = "Start Server Again (Grant Privileges) (Y/N): ";

pub fn offline(number: usize) -> String {
    format!("❌ NODE {number} IS NOW OFFLINE (simulated)")
}

pub fn online(number: usize) -> String {
    format!("✅ NODE {number} IS NOW ONLINE (recovered)")
}

/// The program: the one that was built with the tests, or what `FAIL_START_PROGRAM` names, as
/// `scripts/test windows` does.
pub fn program() -> String {
    let other = std::env::var("FAIL_START_PROGRAM");
    other.unwrap_or_else(|_| env!("CARGO_BIN_EXE_fail-start").to_owned())
}

/// The program, with nothing of this process's environment.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(folder).env_clear();
    command
}

#[derive(Default)]
struct Printed {
    out: Vec<u8>,
    err: Vec<u8>,
}

/// The running program.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    printed: Arc<(Mutex<Printed>, Condvar)>,
    readers: Vec<thread::JoinHandle<()>>,
}

/// The program's end.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; 128 and the signal where one ended it.
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = Arc::new((Mutex::new(Printed::default()), Condvar::new()));
        let readers = vec![
            read_into(child.stdout.take().unwrap(), &printed, |printed| {
                &mut printed.out
            }),
            read_into(child.stderr.take().unwrap(), &printed, |printed| {
                &mut printed.err
            }),
        ];
        Self {
            input: child.stdin.take(),
            child,
            printed,
            readers,
        }
    }

    /// Waits until it has printed this, on either stream, and returns all that it has printed.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits until it has printed this so many times.
    #[track_caller]
    pub fn wait_for_nth(&self, text: &str, count: usize) -> String {
        self.wait_until_printed(text, |printed| printed.matches(text).count() >= count)
    }

    /// Waits until it has told a warning or error about this, with `--json`.
    #[track_caller]
    pub fn wait_for_kind(&self, kind: &str) {
        self.wait_for(&format!("\"kind\":\"{kind}\""));
    }

    /// Waits until it has printed one of these.
    #[track_caller]
    pub fn wait_for_any(&self, texts: &[&str]) -> String {
        let printed = |printed: &str| texts.iter().any(|text| printed.contains(text));
        self.wait_until_printed(&texts.join("' or '"), printed)
    }

    #[track_caller]
    fn wait_until_printed(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let (printed, changed) = &*self.printed;
        let mut printed = printed.lock().unwrap();
        let began = Instant::now();
        loop {
            let all = [&printed.out[..], &printed.err[..]].concat();
            let all = String::from_utf8_lossy(&all).into_owned();
            if enough(&all) {
                return all;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "'{what}' was not printed, but\n{all}"
            );
            printed = changed
                .wait_timeout(printed, Duration::from_millis(100))
                .unwrap()
                .0;
        }
    }

    /// Whether it prints anything within this time.
    fn prints_within(&self, time: Duration) -> bool {
        let (printed, changed) = &*self.printed;
        let is_nothing = |printed: &mut Printed| printed.out.is_empty() && printed.err.is_empty();
        let (_printed, waited) = changed
            .wait_timeout_while(printed.lock().unwrap(), time, is_nothing)
            .unwrap();
        !waited.timed_out()
    }

    /// All that it has printed so far, on both streams.
    pub fn printed(&self) -> String {
        let printed = self.printed.0.lock().unwrap();
        String::from_utf8_lossy(&[&printed.out[..], &printed.err[..]].concat()).into_owned()
    }

    pub fn answer(&mut self, text: &str) {
        // It may have ended before it read all of it.
        let _ = self.input.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        assert!(self.try_signal(name));
    }

    fn try_signal(&self, name: &str) -> bool {
        let kill = format!("kill -s {name} {} 2>/dev/null", self.child.id());
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal_if_running(&mut self, name: &str) {
        assert!(self.try_signal(name) || !self.is_running());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal_if_running("KILL");
        self.end();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until this is so of what it has printed on standard output, or it has ended.
    #[track_caller]
    pub fn until(&mut self, so: impl Fn(&str) -> bool) {
        wait_until("what the program does", || {
            let out = String::from_utf8_lossy(&self.printed.0.lock().unwrap().out).into_owned();
            (so(&out) || !self.is_running()).then_some(())
        });
    }

    /// Waits for its end. Its standard input stays open.
    #[track_caller]
    pub fn end(&mut self) -> Finished {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let printed = self.printed.0.lock().unwrap();
                let (out, err) = (
                    String::from_utf8_lossy(&printed.out),
                    String::from_utf8_lossy(&printed.err),
                );
                panic!("it did not end\n--- standard output\n{out}\n--- standard error\n{err}");
            }
            thread::park_timeout(Duration::from_millis(2));
        };
        // What it has left behind may hold its output open.
        for reader in self.readers.drain(..) {
            wait_until("the end of its output", || {
                reader.is_finished().then_some(())
            });
            reader.join().unwrap();
        }
        let printed = self.printed.0.lock().unwrap();
        Finished {
            status: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            out: String::from_utf8(printed.out.clone()).unwrap(),
            err: String::from_utf8(printed.err.clone()).unwrap(),
        }
    }

    /// Ends its standard input and waits for its end.
    #[track_caller]
    pub fn finish(&mut self) -> Finished {
        self.end_input();
        self.end()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_into(
    mut from: impl Read + Send + 'static,
    printed: &Arc<(Mutex<Printed>, Condvar)>,
    stream: fn(&mut Printed) -> &mut Vec<u8>,
) -> thread::JoinHandle<()> {
    let printed = Arc::clone(printed);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            stream(&mut printed.0.lock().unwrap()).extend_from_slice(&buffer[..length]);
            printed.1.notify_all();
        }
    })
}

impl Finished {
    /// What standard output has: one JSON object a line, and nothing else.
    pub fn events(&self) -> Vec<Value> {
        let parsed = self.out.lines().map(serde_json::from_str);
        parsed
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// What each warning and error among them is about.
    pub fn kinds(&self) -> Vec<String> {
        let events = self.events().into_iter();
        let kinds = events.filter_map(|event| Some(event["kind"].as_str()?.to_owned()));
        kinds.collect()
    }

    /// Asserts the exit status, and shows everything where it is another.
    #[track_caller]
    pub fn assert_status(&self, status: i32) -> &Self {
        assert_eq!(
            self.status, status,
            "exit status\n--- standard output\n{}\n--- standard error\n{}",
            self.out, self.err
        );
        self
    }

    /// Asserts that its warnings and errors are about these, in this order, and that there are no
    /// more.
    #[track_caller]
    pub fn assert_kinds(&self, kinds: &[&str]) -> &Self {
        assert_eq!(self.kinds(), kinds, "{}", self.err);
        self
    }

    /// The same of the last of them: how many come before it is a matter of time.
    #[track_caller]
    pub fn assert_last_kind(&self, kind: &str) -> &Self {
        let kinds = self.kinds();
        assert_eq!(kinds.last().map(String::as_str), Some(kind), "{kinds:?}");
        self
    }

    /// Asserts that standard error has this.
    #[track_caller]
    pub fn assert_says(&self, text: &str) -> &Self {
        assert!(
            self.err.contains(text),
            "'{text}' is not on standard error\n--- standard output\n{}\n--- standard error\n{}",
            self.out,
            self.err
        );
        self
    }

    /// Asserts that standard output has this line.
    #[track_caller]
    pub fn assert_line(&self, line: &str) -> &Self {
        assert!(
            self.out.lines().any(|one| one == line),
            "'{line}' is no line of standard output\n--- standard output\n{}\n--- standard error\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// Makes a file for the nodes' program, and returns its path.
pub fn file(nodes: &Nodes, name: &str, content: &str, mode: u32) -> String {
    let path = nodes.folder.write(name, content);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Starts the program for Windows in a console window, and waits until it has printed this.
#[track_caller]
pub fn in_a_console(nodes: &Nodes, args: &[&str], text: &str) -> Program {
    drop(nodes.command(args)); // writes .env
    let console = std::env::var("FAIL_START_CONSOLE").expect("run scripts/test windows");
    let mut command = Command::new(console);
    let command = command.args(args).current_dir(nodes.folder.path());
    let command = command.env_clear();
    let mut program = Program::start(command);
    // Once in a hundred times Wine opens no window, and never starts what would run in it.
    if !program.prints_within(Duration::from_secs(15)) {
        eprintln!("Wine has opened no window: another try");
        program.kill();
        program = Program::start(command);
    }
    program.wait_for(text);
    program
}

/// Lets the console window say this to the program that runs in it, see `tests/windows/console.c`.
pub fn console_says(nodes: &Nodes, event: &str) {
    nodes.folder.write(event, "");
}

/// Starts the program in a session of its own: whoever runs the tests may do that in a terminal.
pub fn without_terminal(nodes: &Nodes, args: &[&str]) -> Program {
    let program = nodes.command(args);
    let mut command = Command::new("setsid");
    command.arg(program.get_program()).args(args);
    command.current_dir(nodes.folder.path());
    Program::start(&mut command)
}

/// Whether there is such a process that has not ended.
pub fn is_alive(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Ends what a test has left.
pub fn kill(id: &str) {
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -9 {id} 2>/dev/null")])
        .status();
}

/// Starts the program with these arguments in a pseudo-terminal, with this variable in its
/// environment.
pub fn in_a_terminal(nodes: &Nodes, variable: &str, args: &str) -> Program {
    // This writes the nodes' `.env`; the program itself is started by `script`, which makes the
    // terminal.
    let inner = nodes.command(&[]);
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--flush", "--return", "--command"])
        .arg(format!(
            // Ctrl-C is for the program, not for a shell that waits for it.
            "exec env TERM=xterm {variable} '{}' {args}",
            inner.get_program().to_str().unwrap()
        ))
        .arg("/dev/null")
        .current_dir(nodes.folder.path());
    Program::start(&mut command)
}
