//! What can be typed. With the files in its folder the only one that knows clap: what the Tab key
//! offers and the manual page are made from the definition here.

mod completion;
mod help;
mod manual;
mod usage_error;
mod values;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{CommandFactory, Parser, ValueEnum};

use self::completion::Shell;
use self::help::{CASES, TEMPLATE, USAGE, WIDTH, details};
pub use self::usage_error::UsageError;
use self::values::{at_once, hold_for, limit, node, timeout};

use crate::config::Method;
use crate::options::{DrillOptions, Options};
use crate::reason;
use crate::report::{self, Audience, Printer};

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
        options: Options,
        /// The command that it lasts for, and its arguments; may be empty.
        command: Vec<OsString>,
    },
    /// Fail them one set after the other, and run a command before, during and after each.
    Drill {
        /// In which way they are failed.
        options: Options,
        /// What is tried, and how it is told.
        drill: DrillOptions,
    },
    /// Say how they stand.
    Status,
    /// Bring them back.
    Recover,
}

/// How nodes are failed.
#[derive(Clone, Copy, Debug, clap::Args)]
struct How {
    /// Check all, print the statements, change nothing
    #[arg(long)]
    dry_run: bool,

    /// Bring the nodes back after this time, such as 30s
    ///
    /// Nobody is asked. If fail-start is gone by then, the server itself brings its node back a few
    /// seconds later.
    #[arg(long = "for", value_name = "DURATION", value_parser = hold_for)]
    hold_for: Option<Duration>,

    /// lock or revoke [default: local lock, cloud revoke]
    ///
    /// Lock the account, or revoke what it holds on the node's database.
    #[arg(long, hide_possible_values = true)]
    method: Option<Method>,

    /// Leave open sessions alone: they may go on writing
    #[arg(long)]
    keep_sessions: bool,

    /// Switch super_read_only off for the moment it takes
    ///
    /// For a replica or a secondary of a group (MySQL): off for the milliseconds that out and back
    /// take, each in one packet. Whoever holds CONNECTION_ADMIN could write in these. Nothing
    /// changes for a node that is writable.
    #[arg(long)]
    lift_read_only: bool,
}

impl How {
    fn options(self, timeout: Duration) -> Options {
        Options {
            method: self.method,
            keep_sessions: self.keep_sessions,
            lift_read_only: self.lift_read_only,
            hold_for: self.hold_for,
            dry_run: self.dry_run,
            timeout,
        }
    }
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
    /// First with every node online; if it fails then, nothing is taken offline. Then, for each
    /// node by itself, and with
    /// --at-once also for pairs and more: while it is offline, and when it is back. FAIL_START_NODES tells the command which
    /// nodes are offline, FAIL_START_PHASE is before, offline or back. Exit status 0 if every run
    /// passed, 1 if one failed.
    #[command(mut_arg("hold_for", |one| one
        .help("End an outage after this time: a run then has failed")
        .long_help("End an outage after this time: a run that goes on then has failed. Without it the limit and a minute, or \
                    10 minutes. If fail-start is gone by then, the servers themselves bring their nodes back a few seconds \
                    later.")))]
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
    /// Works from any machine that has the configuration, also for a node that another fail-start
    /// still holds. A node that is named is brought back even if nothing on it says how it was:
    /// then the account is unlocked, or granted ALL PRIVILEGES on the node's database. Exit status
    /// 0 if all that fail-start took are back, 3 if one is not.
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

    /// What is to be done; prints a completion script or the manual page and ends the program where
    /// it is that.
    fn task(self, json: bool, timeout: Duration) -> (Task, Vec<u32>) {
        match self {
            Self::Drill {
                nodes,
                at_once,
                limit,
                fail_fast,
                quiet,
                junit,
                how,
                argv,
            } => {
                let drill = DrillOptions {
                    at_once,
                    limit,
                    fail_fast,
                    quiet,
                    json,
                    junit,
                    command: argv,
                };
                let options = Options {
                    hold_for: Some(drill.hold_for(how.hold_for)),
                    ..how.options(timeout)
                };
                (Task::Drill { options, drill }, nodes)
            }
            Self::Status { nodes } => (Task::Status, nodes),
            Self::Recover { nodes } => (Task::Recover, nodes),
            Self::Completions { shell } => {
                print_and_exit(|out| out.write_all(shell.script().as_bytes()))
            }
            Self::Man => {
                print_and_exit(|out| out.write_all(manual::page(&Cli::command()).as_bytes()))
            }
        }
    }
}

impl Args {
    /// Reads the command line; prints help, a completion script or the manual page and ends the
    /// program where that is what it asks for.
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
            Err(error) if !error.use_stderr() => exit_after(error.print()),
            Err(error) => return Err(UsageError::of(&Cli::command(), &error, &typed)),
        };
        let (json, env_file, timeout) = (cli.json, cli.env_file.clone(), cli.timeout);
        let (task, mut nodes) = cli
            .task(&typed)
            .map_err(|message| UsageError::new(message, &typed))?;
        let mut seen = std::collections::HashSet::new();
        nodes.retain(|&node| seen.insert(node));
        Ok(Self {
            task,
            nodes,
            json,
            env_file,
            timeout,
        })
    }
}

impl Cli {
    /// What is to be done, and the nodes that it is to be done with; or what is wrong with what was
    /// typed.
    fn task(self, typed: &[OsString]) -> Result<(Task, Vec<u32>), String> {
        let only_to_fail = [
            (self.how.hold_for.is_some(), "--for"),
            (self.how.method.is_some(), "--method"),
            (self.how.keep_sessions, "--keep-sessions"),
            (self.how.lift_read_only, "--lift-read-only"),
            (self.how.dry_run, "--dry-run"),
            (!self.argv.is_empty(), "a command after it"),
        ];
        let Some(command) = self.command else {
            if self.argv.is_empty() && typed.iter().any(|arg| arg == "--") {
                let example = "fail-start 1 -- make test";
                return Err(format!(
                    "-- needs a COMMAND after it, for example: {example}"
                ));
            }
            let task = Task::Fail {
                options: self.how.options(self.timeout),
                command: self.argv,
            };
            return Ok((task, self.nodes));
        };
        if let Some((_, what)) = only_to_fail.into_iter().find(|(given, _)| *given) {
            return Err(match command {
                Subcommand::Drill { .. } => {
                    "nodes and options go behind drill: fail-start drill 2 3 --at-once 2 -- COMMAND"
                        .to_owned()
                }
                _ => format!("{} cannot be used with {what}", command.name()),
            });
        }
        Ok(command.task(self.json, self.timeout))
    }
}

/// Prints what was asked for and ends the program.
fn print_and_exit(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> ! {
    // All of it is made before any of it is written: then nobody minds a reader that leaves early.
    let mut made = Vec::new();
    exit_after(print(&mut made).and_then(|()| io::stdout().write_all(&made)))
}

/// Ends the program, once standard output has it all.
fn exit_after(printed: io::Result<()>) -> ! {
    let printed = printed.and_then(|()| io::stdout().flush());
    if let Err(error) = &printed
        && error.kind() != ErrorKind::BrokenPipe
    {
        let why = reason::cannot_write_output(error);
        Printer::standard(Audience::Person).general_error(&why);
        report::wait_until_taken();
    }
    std::process::exit(i32::from(printed.is_err()))
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

    }
}
