//! The Tab key in real shells, in a real terminal.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{TempDir, wait_until};

/// What a key press makes of a line.
enum Tab {
    /// The line is this then.
    Becomes(&'static str),
    /// These are offered, and none of those.
    Offers(&'static [&'static str], &'static [&'static str]),
}
use Tab::{Becomes, Offers};

const OPTIONS: &[&str] = &[
    "--dry-run",
    "--for",
    "--method",
    "--keep-sessions",
    "--lift-read-only",
    "--json",
    "--env-file",
    "--timeout",
    "--help",
    "--version",
];

/// The nodes of the `.env` at hand are 1, 2, 3 and 12, those of `other.env` also 7. What a shell
/// completes to is the same in all three, but for the order.
const SITUATIONS: &[(&str, Tab)] = &[
    (
        "fail-start ",
        Offers(
            &[
                "1",
                "2",
                "3",
                "12",
                "status",
                "recover",
                "completions",
                "man",
            ],
            &["4", "7", "--for", "notes.txt", "__offer"],
        ),
    ),
    ("fail-start st", Becomes("fail-start status")),
    ("fail-start rec", Becomes("fail-start recover")),
    ("fail-start 1", Offers(&["1", "12"], &["2", "status"])),
    (
        "fail-start 1 ",
        Offers(&["2", "3", "12"], &["1", "status", "recover"]),
    ),
    (
        "fail-start 1 2 3 12 --ke",
        Becomes("fail-start 1 2 3 12 --keep-sessions"),
    ),
    ("fail-start 1 2 3 12 ", Becomes("fail-start 1 2 3 12 --")),
    ("fail-start --", Offers(OPTIONS, &["status"])),
    (
        "fail-start 1 --json --",
        Offers(
            &["--for", "--method", "--dry-run"],
            &["--json", "--help", "--version"],
        ),
    ),
    ("fail-start 1 --met", Becomes("fail-start 1 --method")),
    (
        "fail-start 1 --method ",
        Offers(&["lock", "revoke"], &["1", "2"]),
    ),
    (
        "fail-start 1 --method=r",
        Becomes("fail-start 1 --method=revoke"),
    ),
    (
        "fail-start 1 --for ",
        Offers(&["10s", "30s", "1m", "5m"], &["2"]),
    ),
    (
        "fail-start 1 --for 30s ",
        Offers(&["2", "3", "12"], &["1", "30s"]),
    ),
    (
        "fail-start --env-file not",
        Becomes("fail-start --env-file notes.txt"),
    ),
    (
        "fail-start --env-file other.env ",
        Offers(&["1", "2", "3", "7", "status"], &["12"]),
    ),
    (
        "fail-start --env-file=oth",
        Becomes("fail-start --env-file=other.env"),
    ),
    (
        "fail-start status ",
        Offers(&["1", "2", "3", "12"], &["status", "man"]),
    ),
    (
        "fail-start status 3 --j",
        Becomes("fail-start status 3 --json"),
    ),
    (
        "fail-start recover 1 --",
        Offers(
            &["--json", "--env-file", "--timeout"],
            &["--for", "--dry-run", "--method"],
        ),
    ),
    (
        "fail-start completions ",
        Offers(&["bash", "zsh", "fish", "powershell"], &["1", "notes.txt"]),
    ),
    (
        "fail-start completions z",
        Becomes("fail-start completions zsh"),
    ),
    (
        "fail-start 1 -- an-odd-pro",
        Becomes("fail-start 1 -- an-odd-program"),
    ),
    (
        "fail-start 1 --for 30s -- cat note",
        Becomes("fail-start 1 --for 30s -- cat notes.txt"),
    ),
    // As the shell itself has it for that command.
    (
        "fail-start 2 -- fail-start stat",
        Becomes("fail-start 2 -- fail-start status"),
    ),
];

/// A shell in a terminal.
struct Shell {
    folder: TempDir,
}

impl Shell {
    fn start(name: &str, width: u16) -> Self {
        let folder = TempDir::new();
        let home = folder.path();
        folder.write(".env", "LOCAL_DB_PORT_NODE12=3312\n");
        folder.write("other.env", "LOCAL_DB_PORT_NODE7=3307\n");
        folder.write("notes.txt", "");
        let program = env!("CARGO_BIN_EXE_fail-start");
        let bin = std::path::Path::new(program).parent().unwrap().display();
        std::fs::create_dir(home.join("bin")).unwrap();
        std::os::unix::fs::symlink("/bin/true", home.join("bin/an-odd-program")).unwrap();
        // As the README says, and as the shell's own files have it.
        let (script, start, line) = match name {
            "bash" => (
                ".local/share/bash-completion/completions/fail-start",
                (
                    ".bashrc",
                    "PS1='> '; . /usr/share/bash-completion/bash_completion; bind 'set show-all-if-ambiguous on'\n",
                ),
                "bash --rcfile .bashrc",
            ),
            "bare" => (
                "fail-start.bash",
                (
                    ".bashrc",
                    "PS1='> '; . ./fail-start.bash; bind 'set show-all-if-ambiguous on'\n",
                ),
                "bash --rcfile .bashrc",
            ),
            "zsh" => (
                ".local/share/zsh/site-functions/_fail-start",
                (
                    ".zshrc",
                    "PS1='> '; fpath=(~/.local/share/zsh/site-functions $fpath); autoload -U compinit; compinit -u\n",
                ),
                "zsh",
            ),
            _ => (
                ".local/share/fish/vendor_completions.d/fail-start.fish",
                (
                    ".config/fish/config.fish",
                    "function fish_prompt; echo -n '> '; end; set -g fish_greeting; set -g fish_autosuggestion_enabled 0\n",
                ),
                "fish",
            ),
        };
        let kind = if name == "bare" { "bash" } else { name };
        let printed = Command::new(program)
            .args(["completions", kind])
            .output()
            .unwrap();
        assert!(printed.status.success());
        for (path, content) in [
            (script, printed.stdout),
            (start.0, start.1.as_bytes().to_vec()),
        ] {
            std::fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
            folder.write(path, content);
        }
        let shell = Self { folder };
        let home = shell.folder.path().display();
        // Whatever becomes of this test, the shell ends, and with it the terminal.
        let inside = format!(
            "env -i HOME={home} TERM=screen LANG=C.UTF-8 PATH={home}/bin:{bin}:/usr/bin:/bin timeout --foreground 300 {line}"
        );
        let width = width.to_string();
        shell.tmux(&["new-session", "-d", "-x", &width, "-y", "50", &inside]);
        wait_until("its prompt", || {
            (shell.screen().trim_end() == ">").then_some(())
        });
        shell
    }

    fn tmux(&self, args: &[&str]) -> String {
        let socket = self.folder.path().join("tmux");
        let mut tmux = Command::new("tmux");
        tmux.arg("-S")
            .arg(socket)
            .args(["-f", "/dev/null"])
            .args(args);
        tmux.env("LC_ALL", "C.UTF-8")
            .current_dir(self.folder.path());
        let output = tmux.stderr(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Types the line on an empty screen. A key that is pressed while the shell deals with another
    /// one may go by: then again.
    fn type_it(&self, line: &str) {
        let typed = format!("> {line}");
        let shows = |text: &str| {
            let began = Instant::now();
            let mut shown = false;
            while !shown && began.elapsed() < Duration::from_secs(1) {
                shown = self.screen().trim_end() == text.trim_end();
            }
            shown
        };
        wait_until("what is typed", || {
            self.press("C-c");
            self.press("C-l");
            if !shows(">") {
                return None;
            }
            self.tmux(&["send-keys", "-l", line]);
            shows(&typed).then_some(())
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn tab_works_in(name: &str) {
    let shell = Shell::start(name, 100);
    for (line, expected) in SITUATIONS {
        // Without that package bash knows of no other command's completion.
        if name == "bare" && line.contains("-- fail-start") {
            continue;
        }
        shell.type_it(line);
        shell.press("Tab");
        let mut screen = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("the completion", || {
                screen = shell.screen();
                let words: Vec<&str> = screen
                    .lines()
                    .skip(1)
                    .flat_map(str::split_whitespace)
                    .collect();
                match expected {
                    Becomes(line) => [screen.lines().next(), screen.trim_end().lines().last()]
                        .contains(&Some(&format!("> {line}"))),
                    Offers(offered, _) => offered.iter().all(|one| words.contains(one)),
                }
                .then_some(())
            });
        }));
        assert!(seen.is_ok(), "{name}: {line}:\n{screen}");
        if let Offers(_, others) = expected {
            // A description stands in brackets, or behind two hyphens.
            let offers = screen
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().next());
            let offers: Vec<&str> = match name {
                "bash" | "bare" => screen.lines().flat_map(str::split_whitespace).collect(),
                _ => offers.collect(),
            };
            let first = screen.lines().next().unwrap();
            for other in *others {
                let typed = first.split_whitespace().any(|word| word == *other);
                assert!(
                    typed || !offers.contains(other),
                    "{name}: {line}: {other}:\n{screen}"
                );
            }
        }
    }
}

/// A server that never answers, at as many nodes as wanted.
#[test]
fn what_is_waited_for_leaves_no_row_behind_however_narrow_the_terminal() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let numbers: Vec<String> = (1..=30).map(|number| number.to_string()).collect();
    let all = numbers.join(" ");
    for (width, nodes, shows) in [
        (
            100,
            "1 2",
            format!("waiting for node 1 (localhost:{port}), node 2 (localhost:{port}): 3s"),
        ),
        (40, "1 2", "waiting for nodes 1, 2: 3s".to_owned()),
        (40, all.as_str(), "waiting for 30 nodes: 3s".to_owned()),
        (12, "1 2", "waiting for".to_owned()),
        (2, "1 2", "w".to_owned()),
    ] {
        let shell = Shell::start("bare", width);
        let settings: Vec<String> = numbers
            .iter()
            .map(|number| format!("LOCAL_DB_PORT_NODE{number}={port}"))
            .collect();
        shell.folder.write("n", settings.join("\n"));
        shell.folder.write(
            "bin/f",
            format!("#!/bin/sh\nexec fail-start --env-file n --timeout 4s {nodes} >o 2>/dev/tty\n"),
        );
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(shell.folder.path().join("bin/f"), executable).unwrap();
        shell.tmux(&["send-keys", "clear; f; clear", "Enter"]);
        // One row in all, the second time that it is written, too.
        wait_until("the line", || {
            (shell.screen().trim() == shows.trim()).then_some(())
        });
        wait_until("its end", || {
            (shell.screen().trim_end() == ">").then_some(())
        });
    }
}

#[test]
fn tab_works_in_bash() {
    tab_works_in("bash");
}

#[test]
fn tab_works_in_a_bash_without_its_package_of_completions() {
    tab_works_in("bare");
}

#[test]
fn tab_works_in_zsh() {
    tab_works_in("zsh");
}

#[test]
fn tab_works_in_fish() {
    tab_works_in("fish");
}
