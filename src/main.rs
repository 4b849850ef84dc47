//! The doorway: parse, run, print the error with its causes, exit.

mod cli;
mod config;
mod grants;
mod hold;
mod node;
mod outage;
mod report;
mod run;
mod sql;

use std::process::ExitCode;

use crate::outage::Options;
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
    let options = Options {
        method: args.method,
        keep_sessions: args.keep_sessions,
        timeout: args.timeout,
    };
    match run::run(nodes, options, &mut report) {
        Ok(status) => status.into(),
        Err(error) => {
            report.general_error(format!("{error:#}"));
            Status::NotDone.into()
        }
    }
}
