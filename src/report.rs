//! Every line that a person reads. Results go to standard output; errors, warnings and hints to standard error.
//!
//! A line that cannot be written (a closed terminal, a pipe that nobody reads) is dropped: bringing the nodes back
//! matters more than saying so.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Node;
use crate::outage::Back;
use crate::recover::Standing;

/// Where the lines go.
pub struct Report {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether the terminal shows what is typed, its line end too.
    echoes: bool,
    /// Whether a line of standard output can be written over.
    is_terminal: bool,
    said_time_left: bool,
}

impl Report {
    /// Standard output and standard error.
    pub fn standard() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            echoes: io::stdin().is_terminal(),
            is_terminal: io::stdout().is_terminal(),
            said_time_left: false,
        }
    }

    fn out(&mut self, line: &str) {
        let _ = writeln!(self.out, "{}", printable(line));
        let _ = self.out.flush();
    }

    fn err(&mut self, line: &str) {
        let _ = writeln!(self.err, "{}", printable(line));
    }

    /// Before anything is done: which nodes, and where.
    pub fn head(&mut self, nodes: &[Arc<Node>]) {
        if let Some(first) = nodes.first() {
            let named: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            self.out(&format!(
                "{} environment: {}",
                first.environment,
                named.join(", ")
            ));
        }
    }

    /// A node that is proven to be offline.
    pub fn offline(&mut self, node: &Node) {
        self.out(&format!(
            "❌ NODE {} IS NOW OFFLINE (simulated)",
            node.number
        ));
    }

    /// A node that is proven to be back.
    pub fn online(&mut self, node: &Node) {
        self.out(&format!(
            "✅ NODE {} IS NOW ONLINE (recovered)",
            node.number
        ));
    }

    /// The question, with the cursor left behind it.
    pub fn prompt(&mut self) {
        let _ = write!(self.out, "Start Server Again (Grant Privileges) (Y/N): ");
        let _ = self.out.flush();
    }

    /// After an answer: the next line begins at the left, also where no terminal has moved the cursor there.
    pub fn answered(&mut self) {
        if !self.echoes {
            self.end_prompt();
        }
    }

    /// The question will not be answered: leave its line.
    pub fn end_prompt(&mut self) {
        let _ = writeln!(self.out);
        let _ = self.out.flush();
    }

    /// The answer was N.
    pub fn stays_offline(&mut self) {
        self.out("The nodes stay offline. Answer Y to bring them back.");
    }

    /// The answer was neither Y nor N.
    pub fn not_an_answer(&mut self) {
        self.out("Please answer Y (bring the nodes back) or N (leave them offline).");
    }

    /// How long the nodes stay offline, on one line that changes; without a terminal it is said once.
    pub fn time_left(&mut self, left: Duration) {
        let text = format!("back in {} (Ctrl-C: now)", in_seconds(left));
        if self.is_terminal {
            // What stood there before may have been longer.
            let _ = write!(self.out, "\r{text:<40}");
            let _ = self.out.flush();
        } else if !self.said_time_left {
            self.out(&text);
        }
        self.said_time_left = true;
    }

    /// Leaves the line of the time left.
    pub fn end_time_left(&mut self) {
        if self.is_terminal && self.said_time_left {
            let _ = write!(self.out, "\r{:40}\r", "");
            let _ = self.out.flush();
        }
    }

    /// How a node stands.
    pub fn standing(&mut self, node: &Node, standing: &Result<Standing, String>) {
        let number = node.number;
        let text = match standing {
            Ok(Standing::Online(None)) => "online".to_owned(),
            Ok(Standing::Online(Some(found))) => format!(
                "online, with an undo left there {found} (fail-start recover {number} drops it)"
            ),
            Ok(Standing::Offline(found)) => format!("offline {found}"),
            Ok(Standing::Out {
                locked,
                without_grants,
            }) => {
                let how = match (locked, without_grants) {
                    (true, true) => "locked and without grants",
                    (true, false) => "locked",
                    (false, _) => "without grants",
                };
                format!(
                    "{how}, but not by fail-start (fail-start recover {number} would change that)"
                )
            }
            Ok(Standing::LockedElsewhere(found)) => found.elsewhere(),
            Ok(Standing::Distrusted(found)) => found.distrust(),
            Err(why) => why.clone(),
        };
        self.out(&format!("{node}: {text}"));
    }

    /// What an outage did to a node.
    pub fn summary(&mut self, node: &Node, back: &Back) {
        let ended = match back.sessions_ended {
            1 => "1 session ended".to_owned(),
            n => format!("{n} sessions ended"),
        };
        let refused = match back.turned_away {
            None => String::new(),
            Some(1) => ", 1 login or statement turned away".to_owned(),
            Some(n) => format!(", {n} logins or statements turned away"),
        };
        self.out(&format!(
            "node {}: offline for {}, {ended}{refused}",
            node.number,
            rounded(back.offline_for.unwrap_or_default())
        ));
    }

    /// Something about a node that the user should know; it goes on.
    pub fn warning(&mut self, node: &Node, text: impl Display) {
        self.err(&format!("warning: {node}: {text}"));
    }

    /// What failed at a node.
    pub fn error(&mut self, node: &Node, text: impl Display) {
        self.err(&format!("error: {node}: {text}"));
    }

    /// What failed, at no node in particular.
    pub fn general_error(&mut self, text: impl Display) {
        for line in text.to_string().lines() {
            self.err(&format!("error: {line}"));
        }
    }

    /// What is going on, or what to do next.
    pub fn note(&mut self, text: impl Display) {
        self.err(&text.to_string());
    }

    /// What to run on a node to bring it back without this program.
    pub fn by_hand(&mut self, node: &Node, statements: &[String]) {
        self.err(&format!(
            "to bring {node} back by hand, run there as {}:",
            node.admin.user
        ));
        for statement in statements {
            self.err(&format!("  {statement};"));
        }
        self.err(&format!(
            "or, as soon as it can be reached: fail-start recover {}",
            node.number
        ));
    }
}

/// The text with its control characters escaped: names and messages come from servers and files.
fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// In whole seconds, the one that has begun counted.
fn in_seconds(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(
        u64::try_from(duration.as_millis())
            .unwrap_or(u64::MAX)
            .div_ceil(1000)
            .saturating_mul(1000),
    ))
}

fn rounded(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}
