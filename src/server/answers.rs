//! The answers to statements that were sent together, read one by one in the order in which they
//! were asked.

use std::vec::IntoIter;

use mysql::Row;
use mysql::prelude::FromRow;

use super::error::Error;
use super::grants::Names;
use super::held::Held;

/// The answers that have not been read yet.
#[derive(Default)]
pub struct Answers(IntoIter<Vec<Row>>);

impl Answers {
    pub(super) fn new(answers: Vec<Vec<Row>>) -> Self {
        Self(answers.into_iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the first so many of them.
    pub fn take(&mut self, count: usize) -> Self {
        Self::new(self.0.by_ref().take(count).collect())
    }

    /// The rows of the next one, each as a tuple of its columns.
    ///
    /// # Errors
    /// Where they have other columns than their statement asks for.
    pub fn rows<T: FromRow>(&mut self) -> Result<Vec<T>, Error> {
        let unlike = || Error::Connection("it answers something else than it was asked".to_owned());
        let rows = self.0.next().ok_or_else(unlike)?.into_iter();
        rows.map(|row| T::from_row_opt(row).map_err(|_| unlike()))
            .collect()
    }

    /// The first row of the next one, if it has any.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn row<T: FromRow>(&mut self) -> Result<Option<T>, Error> {
        Ok(self.rows()?.into_iter().next())
    }

    /// How many rows the next one has.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn count(&mut self) -> Result<usize, Error> {
        Ok(self.rows::<Row>()?.len())
    }

    /// How often a user name was turned away, by the next one, to [`super::sql::turned_away`].
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn turned_away(&mut self) -> Result<Option<u64>, Error> {
        // `NULL` for one that has never met an error.
        let count = self.row::<Option<u64>>()?;
        Ok(count.map(Option::unwrap_or_default))
    }

    /// What so many account rows hold, by the next answers, each to the `SHOW GRANTS` of one.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn lines(&mut self, accounts: usize) -> Result<Vec<Lines>, Error> {
        (0..accounts).map(|_| self.rows().map(Lines)).collect()
    }
}

/// The lines of `SHOW GRANTS` for one account row.
#[derive(Debug)]
pub struct Lines(pub Vec<String>);

impl Lines {
    /// The lines.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(String::as_str)
    }

    /// What they say.
    pub fn held(&self) -> Held {
        Held::read(self.iter())
    }
}

/// Whether any of these account rows reaches the database, in whatever way.
pub fn reaches(accounts: &[Lines], database: &str, names: Names) -> bool {
    accounts
        .iter()
        .any(|lines| lines.held().reaches(database, names))
}
