//! The drill: a command is run before, during and after the loss of each set of nodes, one set
//! after the other.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::command::{self, Output, Setup};
use super::held::Held;
use super::sets::sets;
use super::{Abort, Run};
use crate::config::Node;
use crate::exit_status::{EXIT_CANCELED, ExitStatus};
use crate::options::{DrillOptions, Options};
use crate::reason::{self, Reason};
use crate::report::runs::{Outcome, Phase, Set, Tried, table, title, write_junit};
use crate::report::{Printer, rounded};

/// More sets than anybody waits for.
const MOST_SETS: usize = 10_000;

/// How much of a failed run's output JUnit XML gets.
const END_OF_OUTPUT: u64 = 64 * 1024;

/// Runs the command before, during and after the loss of each set of nodes.
///
/// # Errors
/// Where signals cannot be handled: nothing was touched.
pub fn drill(
    nodes: Vec<Node>,
    options: Options,
    settings: DrillOptions,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if let Err(not_started) = command::check(&settings.command) {
        let status = not_started.told(printer);
        let tried = Tried {
            errors: printer.errors_told(),
            ..not_started_yet()
        };
        if !options.dry_run {
            write_again(settings.junit.as_deref(), &[tried], printer);
        }
        return Ok(status);
    }
    let Some(sets) = all_sets(&nodes, &settings, printer) else {
        return Ok(ExitStatus::Usage);
    };
    if options.dry_run {
        let mut run = Run::start(nodes, printer)?;
        run.printer.head(&run.nodes);
        return Ok(dry_run(&mut run, options, &sets).unwrap_or_else(|Abort(status)| status));
    }
    let junit = settings.junit.clone();
    // Now, so that nobody waits for a drill whose result cannot be written; and kept open, for who
    // reads a pipe.
    let _kept_open = match junit.as_deref().map(create).transpose() {
        Ok(file) => file,
        Err(why) => {
            printer.general_error(&why);
            return Ok(ExitStatus::Usage);
        }
    };
    let mut run = Run::start(nodes, printer)?;
    run.is_drill = true;
    run.printer.head(&run.nodes);
    run.printer.leave_nodes_to_programs();
    let mut drill = Drill {
        run,
        options,
        settings,
        runs: Vec::new(),
    };
    let ended = drill.go(&sets);
    let status = drill.status(&ended);
    drill.tell(sets.len());
    let is_written = write_again(junit.as_deref(), &drill.runs, drill.run.printer);
    if !is_written && status == ExitStatus::Done {
        return Ok(ExitStatus::Command(EXIT_CANCELED));
    }
    Ok(status)
}

fn create(path: &Path) -> Result<File, Reason> {
    File::create(path).map_err(|error| reason::cannot_write(path, &error))
}

/// Writes the JUnit XML where it is wanted; where that fails, tells why and returns so. The file was
/// there: a command may have cleaned its folder, or away with it.
fn write_again(path: Option<&Path>, runs: &[Tried], printer: &mut Printer) -> bool {
    let Some(path) = path else {
        return true;
    };
    if let Some(folder) = path.parent() {
        // Whether that works shows next.
        let _ = fs::create_dir_all(folder);
    }
    let written = create(path).and_then(|file| {
        write_junit(runs, file).map_err(|error| reason::cannot_write(path, &error))
    });
    match written {
        Ok(()) => true,
        Err(why) => {
            printer.general_error(&why);
            false
        }
    }
}

/// The sets to try, unless they are too many, which is told.
fn all_sets(nodes: &[Node], settings: &DrillOptions, printer: &mut Printer) -> Option<Vec<Set>> {
    let numbers: Vec<u32> = nodes.iter().map(|node| node.number).collect();
    let sets = sets(&numbers, settings.at_once).take(MOST_SETS + 1);
    let sets: Vec<Set> = sets.collect();
    if sets.len() > MOST_SETS {
        let many = reason::too_many_sets(nodes.len(), MOST_SETS, settings.at_once);
        printer.general_error(&many);
        return None;
    }
    Some(sets)
}

/// The nodes that are offline in a phase, as the command is told.
fn offline(set: &Set, phase: Phase) -> String {
    let numbers: Vec<String> = match phase {
        Phase::Offline => set.iter().map(ToString::to_string).collect(),
        Phase::Before | Phase::Back => Vec::new(),
    };
    numbers.join(",")
}

/// Checks every node, and says what would be tried.
fn dry_run(run: &mut Run, options: Options, sets: &[Set]) -> Result<ExitStatus, Abort> {
    run.preview(options)?;
    run.printer.drill_preview(sets);
    Ok(ExitStatus::Done)
}

struct Drill<'a> {
    run: Run<'a>,
    options: Options,
    settings: DrillOptions,
    /// What was tried so far.
    runs: Vec<Tried>,
}

impl Drill<'_> {
    /// All of it, unless something ends it before.
    fn go(&mut self, sets: &[Set]) -> Result<(), Abort> {
        // Changes nothing and keeps nobody out: what is wrong with any node is told before anything
        // is run.
        let check = Options {
            dry_run: true,
            ..self.options
        };
        if let Err(left) = self.run.prepare(&self.run.all(), check) {
            self.record(not_run(&[], Phase::Before), None);
            return Err(left);
        }
        let before = self.attempt(Set::new(), Phase::Before, None)?;
        if before.is_failure() {
            self.run.printer.general_error(&match before {
                Outcome::Failed(status) => reason::fails_while_online(status),
                _ => reason::takes_too_long_while_online(),
            });
            return Err(Abort(ExitStatus::Failed));
        }
        for set in sets {
            let offline = self.lose(set);
            if self.run.not_restored {
                self.record(not_run(set, Phase::Back), None);
            }
            let offline = offline?;
            if self.ends_after(offline) {
                break;
            }
            let back = self.attempt(set.clone(), Phase::Back, None)?;
            if self.ends_after(back) {
                break;
            }
        }
        Ok(())
    }

    fn ends_after(&self, outcome: Outcome) -> bool {
        self.settings.fail_fast && outcome.is_failure()
    }

    /// Takes a set offline, runs the command, and brings the set back.
    fn lose(&mut self, set: &Set) -> Result<Outcome, Abort> {
        let begun = self.run.begin(set, self.options);
        match begun {
            Ok(outage) if outage.is_complete && self.run.interrupted.is_none() => {
                self.attempt(set.clone(), Phase::Offline, Some(outage))
            }
            // Why was told.
            Ok(outage) => {
                self.record(not_run(set, Phase::Offline), None);
                self.run.end(outage)?;
                self.must_go_on()?;
                Err(Abort(ExitStatus::Failed))
            }
            Err(left) => {
                self.record(not_run(set, Phase::Offline), None);
                Err(left)
            }
        }
    }

    /// Runs the command once. What is offline comes back when it has ended, or first, where that
    /// takes too long.
    fn attempt(&mut self, set: Set, phase: Phase, outage: Option<Held>) -> Result<Outcome, Abort> {
        let title = title(&set, phase);
        let (output, kept) = self.output();
        if kept.is_none() {
            self.run.printer.run_begins(&title);
        } else {
            self.run.printer.run_begins_quietly(&title);
        }
        let setup = Setup {
            nodes: &offline(&set, phase),
            phase: Some(phase.name()),
            output,
        };
        let began = Instant::now();
        let limit = self.settings.limit.map(|limit| began + limit);
        let deadline = outage.as_ref().and_then(|outage| outage.deadline);
        let mut errors = String::new();
        let started = self.run.start_command(&self.settings.command, setup);
        let until = [limit, deadline].into_iter().flatten().min();
        let status = match started {
            Ok(()) => self.run.wait_for_command(until),
            Err(not_started) => match (phase, not_started.told(self.run.printer)) {
                (Phase::Before, status) => {
                    self.record(not_started_yet(), None);
                    return Err(Abort(status));
                }
                (_, status) => {
                    errors = self.run.printer.errors_told();
                    status
                }
            },
        };
        let elapsed = began.elapsed();
        let takes_too_long = self.run.running.is_some();
        if takes_too_long {
            self.tell_of_the_limit(elapsed, outage.is_some());
        } else if status != ExitStatus::Command(0)
            && self.run.interrupted.is_none()
            && self.run.interrupt_comes()
        {
            // What has ended the command was meant for the drill, too.
            self.run.interrupted = Some(Instant::now());
        }
        let mut outcome = self.outcome(status, takes_too_long);
        let ended = match outage.map(|outage| self.run.end(outage)) {
            Some(Ok(back)) => {
                if outcome == Outcome::Passed && back.values().any(|node| node.was_opened) {
                    outcome = Outcome::NotOffline;
                }
                Ok(())
            }
            Some(Err(left)) => Err(left),
            None => Ok(()),
        };
        if takes_too_long && ended.is_ok() {
            self.run.end_command();
        }
        let tried = Tried {
            set,
            phase,
            outcome,
            elapsed,
            output: None,
            errors,
        };
        self.record(tried, kept.as_ref());
        ended?;
        self.must_go_on()?;
        Ok(outcome)
    }

    fn tell_of_the_limit(&mut self, elapsed: Duration, is_outage: bool) {
        let next = if is_outage {
            "the nodes come back, and then it is ended"
        } else {
            "it is ended"
        };
        let within = rounded(elapsed);
        self.run
            .printer
            .note(format!("the command has not ended within {within}: {next}"));
    }

    fn outcome(&self, status: ExitStatus, takes_too_long: bool) -> Outcome {
        match status {
            _ if takes_too_long => Outcome::TimedOut,
            _ if self.run.interrupted.is_some() => Outcome::Interrupted,
            ExitStatus::Command(0) => Outcome::Passed,
            ExitStatus::Command(status) => Outcome::Failed(status),
            _ => Outcome::NotRun,
        }
    }

    /// Where the command's output goes, and the file where it is kept.
    fn output(&mut self) -> (Output, Option<File>) {
        let live = if self.settings.json {
            Output::StandardError
        } else {
            Output::Own
        };
        if !self.settings.quiet {
            return (live, None);
        }
        match unnamed_file().and_then(|file| Ok((file.try_clone()?, file))) {
            Ok((to, kept)) => (Output::Kept(to), Some(kept)),
            Err(error) => {
                let not_kept = reason::output_not_kept(&error);
                self.run.printer.general_warning(&not_kept);
                (live, None)
            }
        }
    }

    /// Tells what a run came to, and remembers it.
    fn record(&mut self, mut tried: Tried, kept: Option<&File>) {
        if let Some(kept) = kept
            && tried.outcome != Outcome::Passed
        {
            self.run.printer.run_begins(&tried.title());
            tried.output = self.pass_through(kept).ok();
        }
        if [Outcome::NotRun, Outcome::NotStarted].contains(&tried.outcome) {
            tried.errors = self.run.printer.errors_told();
        }
        self.run.printer.run_ended(&tried);
        self.runs.push(tried);
    }

    /// Shows all of a run's output, and returns its end.
    fn pass_through(&mut self, mut kept: &File) -> io::Result<Vec<u8>> {
        kept.rewind()?;
        let mut length = 0;
        let mut buffer = vec![0; 64 * 1024];
        while let read @ 1.. = kept.read(&mut buffer)? {
            self.run.printer.pass_through(&buffer[..read]);
            length += read as u64;
        }
        kept.seek(SeekFrom::Start(length.saturating_sub(END_OF_OUTPUT)))?;
        let mut end = Vec::new();
        kept.take(END_OF_OUTPUT).read_to_end(&mut end)?;
        Ok(end)
    }

    /// Whether the drill is not to end now.
    fn must_go_on(&self) -> Result<(), Abort> {
        if self.run.not_restored {
            return Err(Abort(ExitStatus::NotRestored));
        }
        match self.run.interrupted {
            Some(_) => Err(Abort(ExitStatus::Interrupted)),
            None => Ok(()),
        }
    }

    /// What is known at the end.
    fn tell(&mut self, sets: usize) {
        // What stands in the way of the first set was told.
        if self.runs.iter().all(|run| run.phase == Phase::Before) {
            return;
        }
        self.run.printer.table(&table(&self.runs));
        let run = |one: &&Tried| one.outcome != Outcome::NotRun;
        let runs: Vec<&Tried> = self.runs.iter().filter(run).collect();
        let failed = runs.iter().filter(|run| run.outcome.is_failure()).count();
        let tried = runs.iter().filter(|run| run.phase == Phase::Offline);
        let not_tried = sets - tried.count();
        let not_tried = match not_tried {
            0 => String::new(),
            count => format!(", {count} of {sets} sets were not tried"),
        };
        let told = format!("{failed} of {} runs failed{not_tried}", runs.len());
        self.run.printer.note(told);
    }

    fn status(&self, ended: &Result<(), Abort>) -> ExitStatus {
        if let Err(Abort(status)) = *ended {
            return match status {
                // Nothing else outranks that.
                _ if self.run.not_restored => ExitStatus::NotRestored,
                status => status.instead_of_a_command(),
            };
        }
        if self.runs.iter().any(|run| run.outcome.is_failure()) {
            ExitStatus::Failed
        } else {
            ExitStatus::Done
        }
    }
}

fn not_run(set: &[u32], phase: Phase) -> Tried {
    Tried {
        set: set.to_vec(),
        phase,
        outcome: Outcome::NotRun,
        elapsed: Duration::ZERO,
        output: None,
        errors: String::new(),
    }
}

/// No node was touched yet.
fn not_started_yet() -> Tried {
    Tried {
        outcome: Outcome::NotStarted,
        ..not_run(&[], Phase::Before)
    }
}

/// A file that nobody else can open, and that is gone with the program. Whoever writes to it does so
/// at its end, wherever it is read.
fn unnamed_file() -> io::Result<File> {
    Ok(tempfile::Builder::new()
        .append(true)
        .tempfile()?
        .into_file())
}
