//! The doorway: parse, run, print the error with its causes, exit.

mod cli;
mod command;
mod config;
mod drain;
mod gone;
mod grants;
mod guard;
mod hold;
mod listing;
mod login;
mod node;
mod outage;
mod plan;
mod prepare;
mod progress;
mod read_only;
mod recover;
mod report;
mod run;
mod server_id;
mod sql;
mod state;
mod undo;
mod watch;
mod ways_in;

use std::process::ExitCode;

use crate::cli::Task;
use crate::plan::Options;
use crate::report::{Reader, Report};
use crate::run::Status;

fn main() -> ExitCode {
    let args = cli::Args::read();
    let reader = match &args.task {
        _ if args.json => Reader::Program,
        Task::Fail {
            command,
            dry_run: false,
            ..
        } if !command.is_empty() => Reader::Command,
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
    let result = match args.task {
        Task::Fail {
            method,
            keep_sessions,
            hold_for,
            command,
            dry_run,
        } => {
            let options = Options {
                method,
                keep_sessions,
                hold_for,
                dry_run,
                timeout: args.timeout,
            };
            if dry_run {
                run::dry_run(nodes, options, &mut report)
            } else {
                run::fail(nodes, options, &command, &mut report)
            }
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
