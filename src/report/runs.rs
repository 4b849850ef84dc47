//! What the runs of a drill came to: as a table for people, and as JUnit XML, which every CI shows.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::rounded;

/// The nodes that are offline together, by their numbers.
pub type Set = Vec<u32>;

/// The set as it is written for people: `2 3`.
pub fn in_words(set: &[u32]) -> String {
    let numbers: Vec<String> = set.iter().map(ToString::to_string).collect();
    numbers.join(" ")
}

/// The step of a drill that a command is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before any node was taken offline.
    Before,
    /// While the nodes of a set are offline.
    Offline,
    /// When they are back.
    Back,
}

impl Phase {
    /// As programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Offline => "offline",
            Self::Back => "back",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::Offline => "while offline",
            Self::Back => "when back",
        })
    }
}

/// What one run of the command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended with status 0.
    Passed,
    /// It ended with this status.
    Failed(i32),
    /// It was ended, since it took too long.
    TimedOut,
    /// It ended, or was ended, since the drill was to end.
    Interrupted,
    /// It ended with status 0, but somebody had brought a node back meanwhile.
    NotOffline,
    /// It was not started: its nodes could not be taken offline, or brought back.
    NotRun,
    /// It could not be started.
    NotStarted,
}

impl Outcome {
    /// Whether the application did not do what it should.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut | Self::NotOffline)
    }

    /// As programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::NotOffline => "not_offline",
            Self::NotRun | Self::NotStarted => "not_run",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(status) => write!(f, "FAILED {status}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::NotOffline => f.write_str("not offline"),
            Self::NotRun | Self::NotStarted => f.write_str("not run"),
        }
    }
}

/// One run of the command.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The nodes that are, or were, offline.
    pub set: Set,
    /// When it was run.
    pub phase: Phase,
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took, or how long it was given.
    pub elapsed: Duration,
    /// The end of what it printed, where it failed and that was kept.
    pub output: Option<Vec<u8>>,
    /// Why it was not run, as it was told: a line an error.
    pub errors: String,
}

impl Tried {
    /// Which run it is: `offline 2 3: while offline`.
    pub fn title(&self) -> String {
        title(&self.set, self.phase)
    }
}

/// Which run of a drill it is.
pub fn title(set: &[u32], phase: Phase) -> String {
    match phase {
        Phase::Before => phase.to_string(),
        Phase::Offline | Phase::Back => format!("offline {}: {phase}", in_words(set)),
    }
}

/// The table: a line a set, with what it came to while its nodes were offline and when they were
/// back.
pub fn table(runs: &[Tried]) -> Vec<String> {
    let mut rows = vec![[
        "offline".to_owned(),
        Phase::Offline.to_string(),
        String::new(),
        Phase::Back.to_string(),
        String::new(),
    ]];
    for run in runs {
        let time = match run.outcome {
            Outcome::NotRun => String::new(),
            _ => rounded(run.elapsed),
        };
        let set = in_words(&run.set);
        match (run.phase, rows.last_mut()) {
            (Phase::Before, _) | (_, None) => {}
            (Phase::Back, Some(row)) if row[0] == set => {
                row[3] = run.outcome.to_string();
                row[4] = time;
            }
            _ => rows.push([
                set,
                run.outcome.to_string(),
                time,
                String::new(),
                String::new(),
            ]),
        }
    }
    // The head of two columns may stand over both.
    let head = Phase::Offline.to_string().len() + 6;
    let width = |at: usize| {
        let rows = if at == 0 { &rows[..] } else { &rows[1..] };
        rows.iter().map(|row| row[at].len()).max().unwrap_or(0)
    };
    let [set, mut time] = [width(0) + 3, width(2) + 4];
    let outcome = width(1).max(width(3)).max(9) + 2;
    time = time.max(head.saturating_sub(outcome));
    let line = |(at, row): (usize, &[String; 5])| {
        let [offline, outcome_out, time_out, outcome_back, time_back] = row;
        let while_offline = match at {
            0 => format!("{outcome_out:<width$}", width = outcome + time),
            _ => format!("{outcome_out:<outcome$}{time_out:<time$}"),
        };
        let line = format!("{offline:<set$}{while_offline}{outcome_back:<outcome$}{time_back}");
        line.trim_end().to_owned()
    };
    rows.iter().enumerate().map(line).collect()
}

/// Writes the runs as JUnit XML, a test case each.
///
/// # Errors
/// Where it cannot be written.
pub fn write_junit(runs: &[Tried], mut to: impl Write) -> io::Result<()> {
    let mut suite = TestSuite::new("fail-start drill");
    for run in runs {
        let failed = |kind, message: String| {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(message);
            if !run.errors.is_empty() {
                status.set_description(run.errors.as_str());
            }
            status
        };
        let status = match run.outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Failed(status) => {
                failed(NonSuccessKind::Failure, format!("exit status {status}"))
            }
            Outcome::TimedOut => failed(
                NonSuccessKind::Failure,
                format!("timed out after {}", rounded(run.elapsed)),
            ),
            Outcome::Interrupted => failed(NonSuccessKind::Error, run.outcome.to_string()),
            Outcome::NotOffline => failed(
                NonSuccessKind::Error,
                "a node was brought back meanwhile".to_owned(),
            ),
            Outcome::NotStarted => failed(
                NonSuccessKind::Error,
                "the command could not be run".to_owned(),
            ),
            Outcome::NotRun => failed(
                NonSuccessKind::Error,
                match run.phase {
                    Phase::Before => "the nodes did not pass the check",
                    Phase::Offline => "the nodes could not be taken offline",
                    Phase::Back => "a node could not be brought back",
                }
                .to_owned(),
            ),
        };
        let mut case = TestCase::new(run.title(), status);
        case.set_classname("fail-start drill");
        case.set_time(run.elapsed);
        if let Some(output) = &run.output {
            case.set_system_out_lossy(output);
        }
        suite.add_test_case(case);
    }
    suite.set_time(runs.iter().map(|run| run.elapsed).sum());
    let mut report = quick_junit::Report::new("fail-start drill");
    report.add_test_suite(suite);
    let text = report.to_string().map_err(io::Error::other)?;
    // The two that it leaves, of those that XML has not.
    let text = text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    to.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(set: &[u32], phase: Phase, outcome: Outcome, seconds: f64) -> Tried {
        Tried {
            set: set.to_vec(),
            phase,
            outcome,
            elapsed: Duration::from_secs_f64(seconds),
            output: None,
            errors: String::new(),
        }
    }

    #[test]
    fn the_table_has_a_line_a_set() {
        let runs = [
            tried(&[], Phase::Before, Outcome::Passed, 1.0),
            tried(&[1], Phase::Offline, Outcome::Passed, 3.1),
            tried(&[1], Phase::Back, Outcome::Passed, 2.9),
            tried(&[2], Phase::Offline, Outcome::Failed(1), 4.0),
            tried(&[2], Phase::Back, Outcome::Passed, 3.0),
            tried(&[3], Phase::Offline, Outcome::Passed, 3.2),
            tried(&[3], Phase::Back, Outcome::TimedOut, 60.0),
            tried(&[2, 3], Phase::Offline, Outcome::NotRun, 0.0),
        ];
        let lines = [
            "offline   while offline      when back",
            "1         passed     3.1s    passed     2.9s",
            "2         FAILED 1   4.0s    passed     3.0s",
            "3         passed     3.2s    timed out  1m",
            "2 3       not run",
        ];
        assert_eq!(table(&runs), lines);
        assert_eq!(table(&runs[..1]), &lines[..1]);
    }

    /// <https://www.w3.org/TR/xml/#charsets>
    #[test]
    fn whatever_is_printed_the_xml_has_what_xml_may_have() {
        let all: String = ('\0'..=char::MAX).collect();
        let mut run = tried(&[1], Phase::Offline, Outcome::NotRun, 0.0);
        run.output = Some([all.as_bytes(), &[0xff, 0xc3]].concat());
        run.errors = all;
        let mut xml = Vec::new();
        write_junit(&[run], &mut xml).unwrap();
        let is_none = |c: char| {
            (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
        };
        let text = String::from_utf8(xml).unwrap();
        assert_eq!(text.find(is_none), None);
    }
}
