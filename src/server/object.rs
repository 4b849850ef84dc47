//! What a grant is on.

use std::fmt;

use super::sql::identifier;

/// What a grant is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// `*.*`
    Everywhere,
    /// Databases, by a [name](super::names::Names).
    Database(String),
    /// One table or view.
    Table {
        /// The database that it is in.
        database: String,
        /// Its name.
        name: String,
    },
    /// One routine, or what else has a name in a database.
    Routine {
        /// `PROCEDURE`, `FUNCTION`, on MariaDB `PACKAGE` or `PACKAGE BODY`.
        kind: String,
        /// The database that it is in.
        database: String,
        /// Its name.
        name: String,
    },
    /// None: a role, or another account, for which this one may log in (`PROXY`). In the server's
    /// words.
    Other(String),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("*.*"),
            Self::Database(name) => write!(f, "{}.*", identifier(name)),
            Self::Table { database, name } => {
                write!(f, "{}.{}", identifier(database), identifier(name))
            }
            Self::Routine {
                kind,
                database,
                name,
            } => {
                write!(f, "{kind} {}.{}", identifier(database), identifier(name))
            }
            Self::Other(words) => f.write_str(words),
        }
    }
}
