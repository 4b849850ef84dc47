//! All that one account row holds, and what of it reaches a database.

use std::collections::BTreeSet;

use super::grants::{Grant, Object, is_data_privilege};
use super::names::Names;

/// All that one account row holds.
pub struct Held {
    /// Its grants.
    pub grants: Vec<Grant>,
    /// What is taken from the global ones on single databases.
    /// <https://dev.mysql.com/doc/refman/9.7/en/partial-revokes.html>
    pub restrictions: Vec<Grant>,
}

impl Held {
    /// By the lines of its `SHOW GRANTS`.
    pub fn read<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Self {
        Self {
            grants: lines.clone().filter_map(Grant::parse).collect(),
            restrictions: lines.filter_map(Grant::parse_restriction).collect(),
        }
    }

    /// The privileges by which its global grants open the data of this database.
    pub fn globally_on(&self, database: &str) -> BTreeSet<String> {
        let here = self
            .restrictions
            .iter()
            .filter(|one| one.object == Object::Database(database.to_owned()));
        let taken: BTreeSet<&String> = here
            .flat_map(|one| one.privileges.values().flatten())
            .collect();
        let global = self
            .grants
            .iter()
            .filter(|one| one.object == Object::Everywhere);
        let held = global.flat_map(|one| one.privileges.values().flatten());
        held.filter(|one| is_data_privilege(one) && !taken.contains(one))
            .cloned()
            .collect()
    }

    /// Whether it opens the data of the database of this name in whatever way.
    pub fn reaches(&self, database: &str, names: Names) -> bool {
        let mut others = self
            .grants
            .iter()
            .filter(|one| one.object != Object::Everywhere);
        !self.globally_on(database).is_empty() || others.any(|one| one.reaches(database, names))
    }

    /// The first of these databases beside it that it would lose with what it holds on this one: a
    /// grant on this one covers that too, and it has none of its own, by which alone the server
    /// would go.
    pub fn loses_too<'a>(
        &self,
        database: &str,
        others: &'a [String],
        names: Names,
    ) -> Option<&'a String> {
        let covers = |grant: &Grant, other: &str| match &grant.object {
            Object::Database(name) => grant.is_on(database, names) && names.include(name, other),
            _ => false,
        };
        let is_own =
            |grant: &Grant, other: &str| grant.is_on_a_database() && grant.is_on(other, names);
        others.iter().find(|other| {
            other.as_str() != database
                && self.grants.iter().any(|one| covers(one, other))
                && !self
                    .grants
                    .iter()
                    .any(|one| is_own(one, other) && !one.is_on(database, names))
        })
    }

    /// Whether its global grants give all that this grant on a database gives.
    pub fn give_globally(&self, grant: &Grant) -> bool {
        let Object::Database(database) = &grant.object else {
            return false;
        };
        let held = self.globally_on(database);
        grant
            .privileges
            .values()
            .flatten()
            .all(|one| held.contains(one))
    }
}
