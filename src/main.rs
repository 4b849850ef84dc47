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
mod threads;

use crate::cli::{Args, Task};
use crate::exit_status::ExitStatus;
use crate::report::{Audience, Printer};

fn main() {
    let status = run();
    report::wait_until_taken();
    if let Some(error) = report::cut_short_by() {
        let why = reason::cannot_write_output(&error);
        Printer::standard(Audience::Person).general_warning(&why);
        report::wait_until_taken();
    }
    std::process::exit(status.code());
}

fn run() -> ExitStatus {
    tell_panics_to(Audience::Person);
    let args = match Args::read() {
        Ok(args) => args,
        Err(wrong) => {
            let audience = if wrong.json {
                Audience::Program
            } else {
                Audience::Person
            };
            let why = reason::wrong_arguments(wrong.message);
            Printer::standard(audience).general_error(&why);
            return ExitStatus::Usage;
        }
    };
    let audience = audience(&args);
    tell_panics_to(audience);
    let mut printer = Printer::standard(audience);
    let warn = |warning| printer.general_warning(&reason::of_configuration(warning));
    let config = match config::load(args.env_file.as_deref(), &args.nodes, warn) {
        Ok(config) => config,
        Err(error) => {
            printer.general_error(&reason::of_configuration(format_args!("{error:#}")));
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
        Task::Fail { options, command } => run::fail(nodes, options, &command, &mut printer),
        Task::Drill { options, drill } => run::drill(nodes, options, drill, &mut printer),
        Task::Status => run::status(nodes, args.timeout, &mut printer),
        Task::Recover => run::recover(nodes, !args.nodes.is_empty(), args.timeout, &mut printer),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            printer.general_error(&reason::cannot_start(format_args!("{error:#}")));
            ExitStatus::Failed
        }
    }
}

/// One line instead of a stack trace: what matters to a user is that the nodes come back, which is
/// told next.
fn tell_panics_to(audience: Audience) {
    std::panic::set_hook(Box::new(move |panic| {
        let what = panic.to_string().replace('\n', " ");
        Printer::standard(audience).general_error(&reason::broke_down(&what));
        report::give_way();
    }));
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
