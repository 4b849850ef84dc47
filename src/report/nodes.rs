//! What is said of a node: offline and back, how it stands, what would be done to it, and what to
//! run there by hand.

use std::time::Duration;

use serde_json::json;

use super::Printer;
use super::text::{milliseconds, printable, rounded, sessions, turned_away};
use crate::config::Node;
use crate::outage::hold::Back;
use crate::outage::ready::Preview;
use crate::outage::recover::NodeStatus;
use crate::outage::state::UndoEvent;
use crate::outage::take_down::Taken;
use crate::server::Failure;
use crate::server::grants::Grant;

impl Printer {
    /// A node that is proven to be offline.
    pub fn offline(&mut self, node: &Node, taken: &Taken) {
        self.of_node(&format!(
            "❌ NODE {} IS NOW OFFLINE (simulated)",
            node.number
        ));
        let more = json!({
            "method": taken.method.to_string(),
            "sessions_ended": taken.sessions_ended,
            "elapsed_ms": milliseconds(taken.elapsed),
        });
        self.event("offline", Some(node), more);
    }

    /// A node that is proven to be back.
    pub fn online(&mut self, node: &Node, back: &Back) {
        self.of_node(&format!(
            "✅ NODE {} IS NOW ONLINE (recovered)",
            node.number
        ));
        let more = json!({
            "method": back.method.to_string(),
            "offline_ms": back.offline_for.map(milliseconds),
            "sessions_ended": back.sessions_ended,
            "got_in": back.got_in,
            "turned_away": back.turned_away,
            "elapsed_ms": milliseconds(back.elapsed),
        });
        self.event("online", Some(node), more);
    }

    fn of_node(&mut self, line: &str) {
        if !self.nodes_for_programs {
            self.out(line);
        }
    }

    /// How a node stands.
    pub fn standing(&mut self, node: &Node, standing: &Result<NodeStatus, Failure>) {
        let number = node.number;
        let (state, text, found) = match standing {
            Ok(NodeStatus::Online(None)) => ("online", "online".to_owned(), None),
            Ok(NodeStatus::Online(Some(found))) => (
                "online",
                format!(
                    "online, but what would bring it back is still there, {found} (fail-start recover {number} drops it)"
                ),
                Some(found),
            ),
            Ok(NodeStatus::Offline(found)) => ("offline", format!("offline {found}"), Some(found)),
            Ok(NodeStatus::Out {
                locked,
                without_grants,
            }) => {
                let (state, how) = match (locked, without_grants) {
                    (true, true) => ("locked", "locked and without grants"),
                    (true, false) => ("locked", "locked"),
                    (false, _) => ("without_grants", "without grants"),
                };
                let hint = match locked {
                    true => format!("fail-start recover {number} unlocks it"),
                    false => format!("fail-start recover {number} grants it ALL PRIVILEGES"),
                };
                (state, format!("{how}, not by fail-start ({hint})"), None)
            }
            Ok(NodeStatus::LockedElsewhere(found)) => {
                ("locked", found.elsewhere().text, Some(found))
            }
            Ok(NodeStatus::Distrusted(found)) => ("distrusted", found.distrust().text, None),
            Err(why) => ("unreachable", why.to_string(), None),
        };
        // Only what is wrong may be more than one thing: a line break in a name makes no other line.
        match standing {
            Err(why) => {
                for reason in &why.reasons {
                    self.out(&format!("{node}: {reason}"));
                }
            }
            Ok(_) => self.out(&format!("{node}: {text}")),
        }
        let undo = found.and_then(|found| found.undo.as_ref());
        let more = json!({
            "state": state,
            "since": found.map(UndoEvent::since),
            "until": found.and_then(UndoEvent::until),
            "by": undo.map(|undo| json!({"version": undo.version, "host": undo.host, "process": undo.process})),
            "code": standing.as_ref().err().and_then(|why| why.code),
            "message": text,
        });
        self.event("status", Some(node), more);
    }

    /// What would be done to a node.
    pub fn preview(&mut self, node: &Node, preview: &Preview) {
        let end = match preview.with {
            Some(first) => format!("its sessions are counted with those of node {first}"),
            None => format!("{} would end", sessions(preview.sessions)),
        };
        self.out(&format!(
            "{node}: {}, {}, {end}{}",
            preview.version,
            preview.method,
            if preview.lifts_read_only {
                ", super_read_only would be lifted for the moment"
            } else {
                ""
            }
        ));
        let lists = [
            ("would run:", &preview.out),
            ("to bring it back:", &preview.back),
        ];
        for (heading, statements) in lists {
            self.out(&format!("  {heading}"));
            for statement in statements {
                for line in format!("{statement};").lines() {
                    self.out(&format!("    {line}"));
                }
            }
        }
        let more = json!({
            "method": preview.method.to_string(),
            "server": preview.version,
            "sessions": preview.sessions,
            "lifts_read_only": preview.lifts_read_only,
            "out": preview.out,
            "back": preview.back,
        });
        self.event("plan", Some(node), more);
    }

    /// What an outage did to a node.
    pub fn summary(&mut self, node: &Node, back: &Back) {
        let ended = match (back.with, back.sessions_ended) {
            (Some(first), 0) => format!("its sessions are counted with those of node {first}"),
            (_, ended) => format!("{} ended", sessions(ended)),
        };
        let got_in = match back.got_in {
            0 => String::new(),
            n => format!(" ({n} had got in meanwhile)"),
        };
        let refused = back.turned_away.map(turned_away).unwrap_or_default();
        let offline = match back.offline_for {
            None => String::new(),
            Some(short) if short < Duration::from_millis(950) => {
                format!("offline for {} ms, ", short.as_millis())
            }
            Some(duration) => format!("offline for {}, ", rounded(duration)),
        };
        self.out(&format!(
            "node {}: {offline}{ended}{got_in}{refused}",
            node.number
        ));
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
        if statements.iter().any(|one| printable(one) != *one) {
            self.err("a name there holds a control character, which is shown as \\n or the like: with --json they are as they are");
        }
        let can_be_gone = |grant: Grant| !grant.is_on_a_database();
        if statements
            .iter()
            .any(|one| Grant::given_by(one).is_some_and(can_be_gone))
        {
            self.err("where one fails since its table, column or routine is gone, go on with the next (mysql --force)");
        }
        self.err(&format!(
            "or, as soon as it can be reached: fail-start recover {}",
            node.number
        ));
        self.event("by_hand", Some(node), json!({"statements": statements}));
    }
}
