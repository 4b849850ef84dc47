//! The doorway: parse, run, print the error with its causes, exit.

mod cli;
mod config;
mod exit_status;
mod options;
mod outage;
mod reason;
mod report;
mod run;
mod server;
mod system;

use crate::cli::{Args, Task};
use crate::exit_status::ExitStatus;
use crate::reason::Kind;
use crate::report::{Audience, Printer};

fn main() {
    std::process::exit(run().code());
}

fn run() -> ExitStatus {
    // One line instead of a stack trace: what matters to a user is that the nodes come back, which
    // is told next.
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.to_string().replace('\n', " ");
        let broke_down = format!("fail-start itself broke down (please report it): {what}");
        Printer::standard(Audience::Person).general_error(&Kind::BrokeDown.told(broke_down));
    }));
    let args = match Args::read() {
        Ok(args) => args,
        Err(wrong) => {
            let audience = if wrong.json {
                Audience::Program
            } else {
                Audience::Person
            };
            Printer::standard(audience).general_error(&Kind::Arguments.told(wrong.message));
            return ExitStatus::Usage;
        }
    };
    let mut printer = Printer::standard(audience(&args));
    let warn = |warning| printer.general_warning(&Kind::Configuration.told(warning));
    let config = match config::load(args.env_file.as_deref(), &args.nodes, warn) {
        Ok(config) => config,
        Err(error) => {
            printer.general_error(&Kind::Configuration.told(format_args!("{error:#}")));
            return ExitStatus::Usage;
        }
    };
    let lifts = match &args.task {
        Task::Fail { options, .. } | Task::Drill { options, .. } => options.lift_read_only,
        Task::Status | Task::Recover => false,
    };
    printer.settings_are(config.origin, lifts);
    let nodes = config.nodes;
    let result = match args.task {
        Task::Fail { options, .. } if options.dry_run => run::dry_run(nodes, options, &mut printer),
        Task::Fail { options, command } => run::fail(nodes, options, &command, &mut printer),
        Task::Drill { options, drill } => run::drill(nodes, options, drill, &mut printer),
        Task::Status => run::status(nodes, args.timeout, &mut printer),
        Task::Recover => run::recover(nodes, !args.nodes.is_empty(), args.timeout, &mut printer),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            printer.general_error(&Kind::BrokeDown.told(format_args!("{error:#}")));
            ExitStatus::Failed
        }
    }
}

/// Who reads standard output.
fn audience(args: &Args) -> Audience {
    match &args.task {
        _ if args.json => Audience::Program,
        Task::Fail { command, options } if !options.dry_run && !command.is_empty() => {
            Audience::Command
        }
        Task::Drill { options, .. } if !options.dry_run => Audience::Command,
        _ => Audience::Person,
    }
}
