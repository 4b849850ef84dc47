//! The doorway: parse, run, print the error with its causes, exit.

mod cli;
mod config;
mod grants;
mod hold;
mod node;
mod outage;
mod plan;
mod prepare;
mod recover;
mod report;
mod run;
mod sql;
mod state;
mod undo;

use std::process::ExitCode;

use crate::cli::Task;
use crate::plan::Options;
use crate::report::Report;
use crate::run::Status;

fn main() -> ExitCode {
    let args = cli::Args::read();
    let mut report = Report::standard();
    let nodes = match config::load(args.env_file.as_deref(), &args.nodes) {
        Ok(nodes) => nodes,
        Err(error) => {
            report.general_error(format!("{error:#}"));
            return Status::Usage.into();
        }
    };
    let result = match args.task {
        Task::Fail {
            method,
            keep_sessions,
            hold_for,
        } => {
            let options = Options {
                method,
                keep_sessions,
                hold_for,
                timeout: args.timeout,
            };
            run::fail(nodes, options, &mut report)
        }
        Task::Status => Ok(run::status(nodes, args.timeout, &mut report)),
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
