//! The doorway: parse, run, print the error with its causes, exit.

mod cli;
mod command;
mod config;
mod drain;
mod drill;
mod ender;
mod gone;
mod grants;
mod guard;
mod hold;
mod listing;
mod login;
mod node;
mod obstacles;
mod outage;
mod plan;
mod prepare;
mod progress;
mod read_only;
mod recover;
mod report;
mod results;
mod run;
mod server_id;
mod sql;
mod state;
mod undo;
mod watch;
mod ways_in;

use std::process::ExitCode;

use crate::cli::{How, Task};
use crate::plan::Options;
use crate::report::{Reader, Report};
use crate::run::Status;

fn main() -> ExitCode {
    // One line instead of a stack trace: what matters to a user is that the nodes come back, which is told next.
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.to_string().replace('\n', " ");
        Report::standard(Reader::Person).general_error(format!(
            "fail-start itself broke down (please report it): {what}"
        ));
    }));
    let args = match cli::Args::read() {
        Ok(args) => args,
        Err(wrong) => {
            let reader = if wrong.json {
                Reader::Program
            } else {
                Reader::Person
            };
            Report::standard(reader).general_error(wrong.message);
            return Status::Usage.into();
        }
    };
    let reader = match &args.task {
        _ if args.json => Reader::Program,
        Task::Fail { command, how } if !how.dry_run && !command.is_empty() => Reader::Command,
        Task::Drill { how, .. } if !how.dry_run => Reader::Command,
        _ => Reader::Person,
    };
    let mut report = Report::standard(reader);
    let warn = |warning| report.general_warning(warning);
    let config = match config::load(args.env_file.as_deref(), &args.nodes, warn) {
        Ok(config) => config,
        Err(error) => {
            report.general_error(format!("{error:#}"));
            return Status::Usage.into();
        }
    };
    report.settings_are(config.origin);
    let nodes = config.nodes;
    let timeout = args.timeout;
    let options = |how: How, hold_for| Options {
        method: how.method,
        keep_sessions: how.keep_sessions,
        hold_for,
        dry_run: how.dry_run,
        timeout,
    };
    let result = match args.task {
        Task::Fail { how, .. } if how.dry_run => {
            run::dry_run(nodes, options(how, how.hold_for), &mut report)
        }
        Task::Fail { how, command } => {
            run::fail(nodes, options(how, how.hold_for), &command, &mut report)
        }
        Task::Drill { how, settings } => {
            let hold_for = settings.hold_for(how.hold_for);
            drill::drill(nodes, options(how, Some(hold_for)), settings, &mut report)
        }
        Task::Status => run::status(nodes, args.timeout, &mut report),
        Task::Recover => run::recover(nodes, !args.nodes.is_empty(), args.timeout, &mut report),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            report.general_error(format!("{error:#}"));
            Status::NotDone.into()
        }
    }
}
