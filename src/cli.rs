//! What can be typed. The only file that knows clap.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// How a node is taken away from the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Lock the account
    Lock,
    /// Revoke what it holds on the node's database
    Revoke,
}

const EXAMPLES: &str = "\
Examples:
  fail-start 1          node 1 is offline until you answer Y
  fail-start 2 3        nodes 2 and 3 are
  echo Y | fail-start 1 2 3";

const DETAILS: &str = "\
The four cases:
  1  fail-start 1       node 1 goes offline: writes to it from nodes 2 and 3 fail
  2  answer Y           node 1 comes back: pending writes can be replayed
  3  fail-start 2 3     nodes 2 and 3 go offline: writes to them from node 1 fail
  4  answer Y           nodes 2 and 3 come back

Exit status:
  0    done, and every node is back
  1    the nodes could not be taken offline, or standard input ended before an
       answer; whatever had been changed is put back
  2    wrong arguments or configuration; nothing was touched
  3    a node could not be brought back; the statements to run by hand are printed
  130  interrupted (Ctrl-C, SIGTERM, SIGHUP), and every node is back

Nodes, accounts and passwords come from .env, in this folder or a parent, and
from the environment, which wins. Without any, nodes 1 to 3 are localhost:3306
to 3308, the account is user and the admin is tester.";

/// Simulate the failure of MySQL nodes: take them away from the application's account until you answer Y
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{DETAILS}"))]
pub struct Args {
    /// Numbers of the nodes to take offline, such as 1 or 2 3
    #[arg(required = true, value_name = "NODE", value_parser = clap::value_parser!(u32).range(1..))]
    pub nodes: Vec<u32>,

    /// Lock the account or revoke its grants [default: lock in local, revoke in cloud]
    #[arg(long)]
    pub method: Option<Method>,

    /// Leave the account's open sessions alone: they may go on writing
    #[arg(long)]
    pub keep_sessions: bool,

    /// Read this file instead of .env
    #[arg(long, value_name = "PATH")]
    pub env_file: Option<PathBuf>,

    /// Longest wait for a node to answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    pub timeout: Duration,
}

impl Args {
    /// Reads the command line; prints help or an error and ends the program where that is what it asks for.
    pub fn read() -> Self {
        let mut args = Self::parse();
        let mut seen = std::collections::HashSet::new();
        args.nodes.retain(|&node| seen.insert(node));
        args
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "expected a duration such as 500ms, 10s or 1m".to_owned())?;
    if (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&duration) {
        Ok(duration)
    } else {
        Err("expected 1ms to 1h".to_owned())
    }
}
