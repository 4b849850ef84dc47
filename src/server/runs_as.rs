//! Whose a session is that runs a routine or a trigger: most lists show whom it runs as, which is its
//! definer.

use std::collections::{BTreeMap, BTreeSet};

use super::listing::Session;
use super::sql;
use super::{Admin, Answers, Error};

/// Whom a session may run as that has a statement under way.
pub(super) enum RunsAs {
    /// A definer: no client comes from there.
    Definer,
    /// A definer, `user@host`, or whoever has logged in by that name from there: with all that is
    /// shown for a host, and without what may be a port.
    Perhaps([String; 2]),
}

/// What a session does that has no statement under way.
const RUNS_NOTHING: [&str; 5] = [
    "Sleep",
    "Connect",
    "Daemon",
    "Binlog Dump",
    "Binlog Dump GTID",
];

impl RunsAs {
    /// By a list that shows this user name, this host with or without a port, and this command.
    pub(super) fn shown(user: &str, host: &str, command: &str) -> Option<Self> {
        if RUNS_NOTHING.contains(&command) {
            return None;
        }
        match without_port(host) {
            // Of a replica's own threads.
            "" if user == sql::SYSTEM_THREAD => None,
            // An account row's own, or a role's (MariaDB).
            part if part.is_empty() || part.contains('%') => Some(Self::Definer),
            // An IPv6 address alone may look as if it had a port.
            part => Some(Self::Perhaps(
                [host, part].map(|one| format!("{user}@{one}")),
            )),
        }
    }
}

/// The host of a session, of which a client's port may stand behind it.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    }
}

impl Admin {
    /// Learns whose these sessions are, by their ids, as far as anything tells.
    ///
    /// # Errors
    /// As [`Admin::batch_or_error`].
    pub(super) fn learn_whose(
        &mut self,
        sessions: &mut [Session],
        run_as: &BTreeMap<u64, RunsAs>,
    ) -> Result<(), Error> {
        if run_as.is_empty() {
            return Ok(());
        }
        let ids: Vec<u64> = run_as.keys().copied().collect();
        let logins = self.logins_of(&ids)?;
        for session in sessions {
            let Some(shown) = run_as.get(&session.id) else {
                continue;
            };
            session.is_unknown = match (logins.get(&session.id), shown) {
                (Some(name), _) => {
                    session.user.clone_from(name);
                    false
                }
                (None, RunsAs::Definer) => true,
                (None, RunsAs::Perhaps([shown, part])) => {
                    self.defines(shown)? || self.defines(part)?
                }
            };
        }
        Ok(())
    }

    /// By which user names these have logged in, of those of which a performance schema tells it.
    fn logins_of(&mut self, sessions: &[u64]) -> Result<BTreeMap<u64, String>, Error> {
        if !self.has_performance_schema {
            return Ok(BTreeMap::new());
        }
        match self.rows::<(u64, Option<String>)>(sql::logins_of(sessions)) {
            // There is no such table, or none for this admin.
            Err(Error::Server { .. }) => Ok(BTreeMap::new()),
            known => {
                let known = known?.into_iter();
                Ok(known.filter_map(|(id, name)| Some((id, name?))).collect())
            }
        }
    }

    /// Whether this is an account row that has defined what runs as it, or may have where this admin
    /// does not see that. Many a client's host is that of no row, and to find triggers and views the
    /// server opens every table.
    fn defines(&mut self, account: &str) -> Result<bool, Error> {
        if self.with_a_host.is_none() {
            let mut answers = self.batch_or_error(&[sql::rows_with_a_host(self.server)])?;
            self.read_rows_with_a_host(&mut answers)?;
        }
        let is_in = |rows: &Option<BTreeSet<String>>| {
            rows.as_ref().is_some_and(|rows| rows.contains(account))
        };
        if !is_in(&self.with_a_host) {
            return Ok(false);
        }
        let mut to_see = sql::to_see_definers(self.server).iter();
        if !to_see.all(|any_of| any_of.iter().any(|privilege| self.holds(privilege))) {
            return Ok(true);
        }
        if self.definers.is_none() {
            let definers: Vec<String> = self.rows(sql::definers(self.server))?;
            self.definers = Some(definers.into_iter().collect());
        }
        Ok(is_in(&self.definers))
    }

    /// Reads the answer to [`sql::rows_with_a_host`].
    pub(super) fn read_rows_with_a_host(&mut self, answers: &mut Answers) -> Result<(), Error> {
        let rows: Vec<(String, String)> = answers.rows()?;
        self.with_a_host = Some(
            rows.into_iter()
                .map(|(user, host)| format!("{user}@{host}"))
                .collect(),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_no_client_has_is_a_definers() {
        let shown = |user: &str, host: &str| match RunsAs::shown(user, host, "Bulk_execute") {
            Some(RunsAs::Definer) => "a definer".to_owned(),
            Some(RunsAs::Perhaps(names)) => names.join(" or "),
            None => "itself".to_owned(),
        };
        for host in ["%", "10.0.%:3306", ":52806", ""] {
            assert_eq!(shown("app", host), "a definer", "{host}");
        }
        let with_a_port = "app@db.example:52806 or app@db.example";
        assert_eq!(shown("app", "db.example:52806"), with_a_port);
        assert_eq!(shown("app", "::1"), "app@::1 or app@:");
        assert_eq!(shown("system user", ""), "itself");
        assert!(RunsAs::shown("app", "%", "Sleep").is_none());
    }
}
