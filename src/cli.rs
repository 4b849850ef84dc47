//! What can be typed. With the files in its folder the only one that knows clap: what the Tab key offers and the manual page
//! are made from the definition here.

mod completion;
mod manual;
mod usage_error;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{CommandFactory, Parser, ValueEnum};

use self::completion::Shell;
pub use self::usage_error::UsageError;

use crate::config::Method;
use crate::run::DrillOptions;

const USAGE: &str = "\
fail-start [OPTIONS] <NODE>...                 until you answer Y
       fail-start [OPTIONS] <NODE>... -- <COMMAND>... while a command runs
       fail-start drill [NODE]... -- <COMMAND>...     lose each, and tabulate
       fail-start status [NODE]...                    which are offline, by whom
       fail-start recover [NODE]...                   bring back what was left
       fail-start completions <SHELL> | man           for a shell; manual page";

const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\nOptions:\n{options}{after-help}";

const CASES: &str = "\
Cases 1, 2: fail-start 1, then answer Y. Cases 3, 4: fail-start 2 3, then Y.
Exit status: 0 done, 1 not offline, 2 usage, 3 not back, 130 interrupted";

/// The long help is put together from these, and so is the manual page.
const EXAMPLES: &[(&str, &str)] = &[
    ("fail-start 1", "node 1 is offline until you answer Y"),
    (
        "fail-start 2 3",
        "nodes 2 and 3 are offline until you answer Y",
    ),
    (
        "fail-start 2 3 --for 30s",
        "nodes 2 and 3 are offline for 30 seconds",
    ),
    (
        "fail-start 2 -- make test",
        "node 2 is offline while make runs",
    ),
    (
        "fail-start drill -- make test",
        "make runs before, during and after each loss",
    ),
    (
        "fail-start recover",
        "bring back what a killed fail-start left offline",
    ),
];

const EXIT_STATUSES: &[(&str, &str)] = &[
    (
        "0",
        "done, and every node is back (status: every node is online)",
    ),
    (
        "1",
        "the nodes could not be taken offline, or standard input ended before an answer; whatever had been changed is put \
         back (status: one is not online)",
    ),
    ("2", "wrong arguments or configuration; nothing was touched"),
    (
        "3",
        "a node could not be brought back; the statements to run by hand are printed",
    ),
    (
        "130",
        "interrupted (Ctrl-C, SIGTERM, SIGHUP), and every node is back",
    ),
];

const WITH_COMMAND: &str = "With -- COMMAND its own status (128 + signal where one ended it); 125 where 1 would stand, 126 if \
                            it cannot be executed, 127 if it is not found.";

const A_DRILL: &str = "A drill: 0 if every run passed, 1 if one failed, 125 if it told nothing, since the command fails with all \
                       nodes online, or one could not be taken offline.";

const FOUR_CASES: &[(&str, &str)] = &[
    (
        "fail-start 1",
        "node 1 goes offline: writes to it from nodes 2 and 3 fail",
    ),
    (
        "answer Y",
        "node 1 comes back: pending writes can be replayed",
    ),
    (
        "fail-start 2 3",
        "nodes 2 and 3 go offline: writes to them from node 1 fail",
    ),
    ("answer Y", "nodes 2 and 3 come back"),
];

const SETTINGS: &str = "Nodes, accounts and passwords come from .env, in this folder or a parent, and from the environment, \
                        which wins. Without any, nodes 1 to 3 are localhost:3306 to 3308, the account is user and the admin \
                        is tester.";

/// What stands under the options in the long help.
fn details() -> String {
    let mut text = "Examples:\n".to_owned();
    for (command, what) in EXAMPLES {
        let _ = writeln!(text, "  {command:<29}  {what}");
    }
    text += "\nThe four cases:\n";
    for (number, (what, then)) in (1..).zip(FOUR_CASES) {
        let _ = writeln!(text, "  {number}  {what:<16}  {then}");
    }
    text += "\nExit status:\n";
    for (status, meaning) in EXIT_STATUSES {
        text += &indented(&format!("  {status:<3}  "), meaning);
    }
    text + &indented("  ", WITH_COMMAND) + &indented("  ", A_DRILL) + "\n" + &indented("", SETTINGS)
}

/// The text after `first`, at most [`WIDTH`] columns wide and as far in on each line.
fn indented(first: &str, text: &str) -> String {
    let indent = " ".repeat(first.len());
    let mut lines = vec![first.to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() == indent.len() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n") + "\n"
}

/// How wide the help is at most.
const WIDTH: usize = 80;

/// What is to be done.
#[derive(Debug)]
pub struct Args {
    /// What, and how.
    pub task: Task,
    /// The named nodes, each once.
    pub nodes: Vec<u32>,
    /// Whether standard output is for programs.
    pub json: bool,
    /// The file to read instead of `.env`.
    pub env_file: Option<PathBuf>,
    /// The longest wait for a node to answer.
    pub timeout: Duration,
}

/// What is to be done with the nodes.
#[derive(Debug)]
pub enum Task {
    /// Fail them.
    Fail {
        /// In which way.
        how: How,
        /// The command that it lasts for, and its arguments; may be empty.
        command: Vec<OsString>,
    },
    /// Fail them one set after the other, and run a command before, during and after each.
    Drill {
        /// In which way they are failed.
        how: How,
        /// What is tried, and how it is told.
        settings: DrillOptions,
    },
    /// Say how they stand.
    Status,
    /// Bring them back.
    Recover,
}

/// How nodes are failed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct How {
    /// Check all, print the statements, change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Bring the nodes back after this time, such as 30s
    ///
    /// Nobody is asked. If fail-start is gone by then, the server itself brings its node back a few seconds later.
    #[arg(long = "for", value_name = "DURATION", value_parser = hold_for)]
    pub hold_for: Option<Duration>,

    /// lock or revoke [default: local lock, cloud revoke]
    ///
    /// Lock the account, or revoke what it holds on the node's database.
    #[arg(long, hide_possible_values = true)]
    pub method: Option<Method>,

    /// Leave open sessions alone: they may go on writing
    #[arg(long)]
    pub keep_sessions: bool,

    /// Switch super_read_only off for the moment it takes
    ///
    /// For a replica or a secondary of a group (MySQL): off for the milliseconds that out and back take, each in one packet.
    /// Whoever holds CONNECTION_ADMIN could write in these. Nothing changes for a node that is writable.
    #[arg(long)]
    pub lift_read_only: bool,
}

/// Simulate the failure of MySQL nodes: take them from the application's account
#[derive(Debug, Parser)]
#[command(
    version,
    override_usage = USAGE,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
#[command(after_help = CASES, after_long_help = details(), help_template = TEMPLATE, max_term_width = WIDTH)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommand>,

    /// Numbers of the nodes to take offline
    #[arg(required = true, value_name = "NODE", value_parser = node)]
    nodes: Vec<u32>,

    #[command(flatten)]
    how: How,

    /// Hold the outage while this command runs, and exit as it does
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "json")]
    argv: Vec<OsString>,

    /// One JSON object a line on standard output
    #[arg(long, global = true)]
    json: bool,

    /// Read this file instead of .env
    #[arg(long, value_name = "PATH", global = true)]
    env_file: Option<PathBuf>,

    /// Longest wait for a node to answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = timeout, global = true)]
    timeout: Duration,
}

impl ValueEnum for Method {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Lock, Self::Revoke]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Lock => "Lock the account",
            Self::Revoke => "Revoke what it holds on the node's database",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Run a command before, during and after the loss of each node, and tabulate
    ///
    /// First with every node online; if it fails then, nothing is taken offline. Then, for each node by itself, and with
    /// --at-once also for pairs and more: while it is offline, and when it is back. FAIL_START_NODES tells the command which
    /// nodes are offline, FAIL_START_PHASE is before, offline or back. Exit status 0 if every run passed, 1 if one failed.
    Drill {
        /// Numbers of the nodes; without any, all
        #[arg(value_name = "NODE", value_parser = node)]
        nodes: Vec<u32>,

        /// Take up to this many nodes offline together
        #[arg(long, value_name = "COUNT", default_value = "1", value_parser = at_once)]
        at_once: usize,

        /// End a run that takes longer than this: it counts as failed
        #[arg(long, value_name = "DURATION", value_parser = limit)]
        limit: Option<Duration>,

        /// End the drill at the first run that fails
        #[arg(long)]
        fail_fast: bool,

        /// Show the command's output only where it failed
        #[arg(long, short)]
        quiet: bool,

        /// Write the runs to this file as JUnit XML
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,

        #[command(flatten)]
        how: How,

        /// What is run, and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        argv: Vec<OsString>,
    },
    /// Say which nodes are offline, since when, by whom
    ///
    /// One line a node; changes nothing. Exit status 0 if all are online, 1 if one is not.
    Status {
        /// Numbers of the nodes; without any, all
        #[arg(value_name = "NODE", value_parser = node)]
        nodes: Vec<u32>,
    },
    /// Bring back nodes that a fail-start left offline
    ///
    /// Works from any machine that has the configuration, also for a node that another fail-start still holds. A node that
    /// is named is brought back even if nothing on it says how it was: then the account is unlocked, or granted ALL
    /// PRIVILEGES on the node's database. Exit status 0 if all are back, 3 if one is not.
    Recover {
        /// Numbers of the nodes; without any, all that fail-start took offline
        #[arg(value_name = "NODE", value_parser = node)]
        nodes: Vec<u32>,
    },
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

impl Subcommand {
    fn name(&self) -> &'static str {
        match self {
            Self::Drill { .. } => "drill",
            Self::Status { .. } => "status",
            Self::Recover { .. } => "recover",
            Self::Completions { .. } => "completions",
            Self::Man => "man",
        }
    }
}

impl Args {
    /// Reads the command line; prints help, a completion script or the manual page and ends the program where that is what it
    /// asks for.
    ///
    /// # Errors
    /// What is wrong with it, and what to type instead.
    pub fn read() -> Result<Self, UsageError> {
        let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
        if let Some((first, words)) = typed.split_first()
            && first == completion::OFFER
        {
            print_and_exit(|out| completion::offer(&Cli::command(), words, out))
        }
        let cli = match Cli::try_parse() {
            Ok(cli) => cli,
            Err(error) if !error.use_stderr() => error.exit(),
            Err(error) => return Err(UsageError::of(&Cli::command(), &error, &typed)),
        };
        let wrong = |message: String| Err(UsageError::new(message, &typed));
        let only_to_fail = [
            (cli.how.hold_for.is_some(), "--for"),
            (cli.how.method.is_some(), "--method"),
            (cli.how.keep_sessions, "--keep-sessions"),
            (cli.how.lift_read_only, "--lift-read-only"),
            (cli.how.dry_run, "--dry-run"),
            (!cli.argv.is_empty(), "a command after it"),
        ];
        let (task, mut nodes) = match cli.command {
            None if cli.argv.is_empty() && typed.iter().any(|arg| arg == "--") => {
                let example = "fail-start 1 -- make test";
                return wrong(format!(
                    "-- needs a COMMAND after it, for example: {example}"
                ));
            }
            None => {
                let task = Task::Fail {
                    how: cli.how,
                    command: cli.argv,
                };
                (task, cli.nodes)
            }
            Some(command) => {
                let name = command.name();
                if let Some((_, what)) = only_to_fail.into_iter().find(|(given, _)| *given) {
                    return wrong(match command {
                        Subcommand::Drill { .. } => {
                            "nodes and options go behind drill: fail-start drill 2 3 --at-once 2 -- COMMAND".to_owned()
                        }
                        _ => format!("{name} cannot be used with {what}"),
                    });
                }
                match command {
                    Subcommand::Drill {
                        nodes,
                        at_once,
                        limit,
                        fail_fast,
                        quiet,
                        junit,
                        how,
                        argv,
                    } => {
                        let settings = DrillOptions {
                            at_once,
                            limit,
                            fail_fast,
                            quiet,
                            json: cli.json,
                            junit,
                            command: argv,
                        };
                        (Task::Drill { how, settings }, nodes)
                    }
                    Subcommand::Status { nodes } => (Task::Status, nodes),
                    Subcommand::Recover { nodes } => (Task::Recover, nodes),
                    Subcommand::Completions { shell } => {
                        print_and_exit(|out| out.write_all(shell.script().as_bytes()))
                    }
                    Subcommand::Man => print_and_exit(|out| {
                        out.write_all(manual::page(&Cli::command()).as_bytes())
                    }),
                }
            }
        };
        let mut seen = std::collections::HashSet::new();
        nodes.retain(|&node| seen.insert(node));
        Ok(Self {
            task,
            nodes,
            json: cli.json,
            env_file: cli.env_file,
            timeout: cli.timeout,
        })
    }
}

/// Prints what was asked for and ends the program.
fn print_and_exit(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> ! {
    // All of it is made before any of it is written: then nobody minds a reader that leaves early.
    let mut made = Vec::new();
    let printed = print(&mut made).and_then(|()| io::stdout().write_all(&made));
    std::process::exit(i32::from(printed.is_err()))
}

fn node(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        // What to type instead depends on what else was typed.
        _ => Err("not the number of a node"),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    duration(text, "500ms, 10s or 1m", Duration::from_secs(3600), "1h")
}

fn at_once(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|&count| count > 0);
    count.ok_or_else(|| "takes how many nodes, 1 or more".to_owned())
}

fn limit(text: &str) -> Result<Duration, String> {
    duration(text, "30s, 5m or 1h", Duration::from_secs(24 * 3600), "1d")
}

fn hold_for(text: &str) -> Result<Duration, String> {
    // The undo that the server runs must be dated before 2038, and nobody holds a node for longer.
    duration(
        text,
        "30s, 5m or 1h",
        Duration::from_secs(30 * 24 * 3600),
        "30d",
    )
}

fn duration(
    text: &str,
    such_as: &str,
    longest: Duration,
    in_words: &str,
) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("takes a duration such as {such_as}"))?;
    if (Duration::from_millis(1)..=longest).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("takes 1ms to {in_words}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: &[&str] = &[
        "drill",
        "status",
        "recover",
        "completions",
        "man",
        "--",
        "bash",
        "",
    ];
    const OPTIONS: &[&str] = &[
        "at-once",
        "limit",
        "fail-fast",
        "quiet",
        "junit",
        "dry-run",
        "for",
        "method",
        "keep-sessions",
        "lift-read-only",
        "json",
        "env-file",
        "timeout",
        "help",
    ];

    /// What could stand on a command line, and what could not.
    fn argument() -> impl Strategy<Value = String> {
        let duration = "[0-9.]{1,30} ?(ns|ms|s|m|h|d|w|y|years)?( [0-9]+s)?";
        prop_oneof![
            prop::sample::select(NAMES).prop_map(ToOwned::to_owned),
            (prop::sample::select(OPTIONS), duration)
                .prop_map(|(name, value)| format!("--{name}={value}")),
            prop::sample::select(OPTIONS).prop_map(|name| format!("--{name}")),
            duration,
            "[-+]?[0-9]{1,12}",
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn no_arguments_make_it_panic(arguments in prop::collection::vec(argument(), 0..8)) {
            let typed: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            if let Err(error) = Cli::try_parse_from(["fail-start".to_owned()].into_iter().chain(arguments))
                && error.use_stderr()
            {
                let told = UsageError::of(&Cli::command(), &error, &typed).message;
                prop_assert!(!told.is_empty() && !told.contains("use '--"), "{told}");
            }
            completion::offer(&Cli::command(), &typed, &mut io::sink()).unwrap();
        }

        #[test]
        fn a_node_is_a_number_and_no_other_text_is_one(number in any::<u32>(), text in any::<String>(), near in "[-+0-9 .ex]{0,12}") {
            prop_assert_eq!(node(&number.to_string()).ok(), Some(number).filter(|number| *number > 0));
            for text in [text, near] {
                if node(&text).is_ok() {
                    prop_assert!(text.strip_prefix('+').unwrap_or(&text).bytes().all(|byte| byte.is_ascii_digit()));
                }
            }
        }

        #[test]
        fn a_duration_is_within_its_bounds(text in "[0-9]{1,25}(ns|us|ms|s|m|h|d|w|M|y)") {
            if let Ok(duration) = timeout(&text) {
                prop_assert!((1..=3_600_000).contains(&duration.as_millis()));
            }
        }
    }
}
