//! What the help says beside the options; the manual page is put together from it too.

use std::fmt::Write as _;

pub const USAGE: &str = "\
fail-start [OPTIONS] <NODE>...                 until you answer Y
       fail-start [OPTIONS] <NODE>... -- <COMMAND>... while a command runs
       fail-start drill [NODE]... -- <COMMAND>...     lose each, and tabulate
       fail-start status [NODE]...                    which are offline, by whom
       fail-start recover [NODE]...                   bring back what was left
       fail-start completions <SHELL> | man           for a shell; manual page";

pub const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\nOptions:\n{options}{after-help}";

pub const CASES: &str = "\
Cases 1, 2: fail-start 1, then answer Y. Cases 3, 4: fail-start 2 3, then Y.
Exit status: 0 done, 1 not offline, 2 usage, 3 not back, 130 interrupted";

/// The long help is put together from these, and so is the manual page.
pub const EXAMPLES: &[(&str, &str)] = &[
    ("fail-start 1", "node 1 is offline until you answer Y"),
    (
        "fail-start 2 3",
        "nodes 2 and 3 are offline until you answer Y",
    ),
    (
        "fail-start 2 3 --for 30s",
        "nodes 2 and 3 are offline for 30 seconds",
    ),
    (
        "fail-start 2 -- make test",
        "node 2 is offline while make runs",
    ),
    (
        "fail-start drill -- make test",
        "make runs before, during and after each loss",
    ),
    (
        "fail-start recover",
        "bring back what a killed fail-start left offline",
    ),
];

pub const EXIT_STATUSES: &[(&str, &str)] = &[
    (
        "0",
        "done, and every node is back (status: every node is online)",
    ),
    (
        "1",
        "the nodes could not be taken offline, or standard input ended before an answer; whatever had been changed is put \
         back (status: one is not online)",
    ),
    ("2", "wrong arguments or configuration; nothing was touched"),
    (
        "3",
        "a node could not be brought back; the statements to run by hand are printed",
    ),
    (
        "130",
        "interrupted (Ctrl-C, Ctrl-\\, SIGTERM, SIGHUP), and every node is back",
    ),
];

pub const WITH_COMMAND: &str = "With -- COMMAND its own status (128 + signal where one ended it); 125 where 1 would stand, 126 if \
                            it cannot be executed, 127 if it is not found.";

pub const A_DRILL: &str = "A drill: 0 if every run passed, 1 if one failed, 125 if it told nothing, since the command fails with all \
                       nodes online, or one could not be taken offline.";

pub const FOUR_CASES: &[(&str, &str)] = &[
    (
        "fail-start 1",
        "node 1 goes offline: writes to it from nodes 2 and 3 fail",
    ),
    (
        "answer Y",
        "node 1 comes back: pending writes can be replayed",
    ),
    (
        "fail-start 2 3",
        "nodes 2 and 3 go offline: writes to them from node 1 fail",
    ),
    ("answer Y", "nodes 2 and 3 come back"),
];

pub const SETTINGS: &str = "Nodes, accounts and passwords come from .env, in this folder or a parent, and from the environment, \
                        which wins. Without any, nodes 1 to 3 are localhost:3306 to 3308, the account is user and the admin \
                        is tester.";

/// What stands under the options in the long help.
pub fn details() -> String {
    let mut text = "Examples:\n".to_owned();
    for (command, what) in EXAMPLES {
        let _ = writeln!(text, "  {command:<29}  {what}");
    }
    text += "\nThe four cases:\n";
    for (number, (what, then)) in (1..).zip(FOUR_CASES) {
        let _ = writeln!(text, "  {number}  {what:<16}  {then}");
    }
    text += "\nExit status:\n";
    for (status, meaning) in EXIT_STATUSES {
        text += &indented(&format!("  {status:<3}  "), meaning);
    }
    text + &indented("  ", WITH_COMMAND) + &indented("  ", A_DRILL) + "\n" + &indented("", SETTINGS)
}

/// The text after `first`, at most [`WIDTH`] columns wide and as far in on each line.
fn indented(first: &str, text: &str) -> String {
    let indent = " ".repeat(first.len());
    let mut lines = vec![first.to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() == indent.len() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n") + "\n"
}

/// How wide the help is at most.
pub const WIDTH: usize = 80;
