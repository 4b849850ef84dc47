//! Every line that a person reads. Results go to standard output; errors, warnings and hints to standard error.
//!
//! A line that cannot be written (a closed terminal, a pipe that nobody reads) is dropped: bringing the nodes back
//! matters more than saying so.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::config::Node;

/// Where the lines go.
pub struct Report {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether the terminal shows what is typed, its line end too.
    echoes: bool,
}

impl Report {
    /// Standard output and standard error.
    pub fn standard() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            echoes: io::stdin().is_terminal(),
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
    pub fn head(&mut self, nodes: &[Node]) {
        if let Some(first) = nodes.first() {
            let named: Vec<String> = nodes.iter().map(Node::to_string).collect();
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

    /// What an outage did to a node; `turned_away` counts logins and statements of the account.
    pub fn summary(
        &mut self,
        node: &Node,
        offline_for: Duration,
        sessions_ended: usize,
        turned_away: Option<u64>,
    ) {
        let ended = match sessions_ended {
            1 => "1 session ended".to_owned(),
            n => format!("{n} sessions ended"),
        };
        let refused = match turned_away {
            None => String::new(),
            Some(1) => ", 1 login or statement turned away".to_owned(),
            Some(n) => format!(", {n} logins or statements turned away"),
        };
        self.out(&format!(
            "node {}: offline for {}, {ended}{refused}",
            node.number,
            rounded(offline_for)
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

fn rounded(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}
