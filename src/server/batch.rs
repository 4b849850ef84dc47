//! Several statements in one round trip, and their answers.

use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Row, Value};

use super::connect::Connection;
use super::error::{Error, NO_SUCH_THREAD, explain};
use super::grants::{Held, Names};
use super::identity::ServerId;
use super::sql;

/// The rows that one statement answers; `None` is `NULL`.
pub type Rows = Vec<Vec<Option<String>>>;

/// What became of sessions that were told to end.
#[derive(Debug, Default)]
pub struct Ended {
    /// How many there still were.
    pub count: usize,
    /// Those that the server did not end, by their places, and why.
    pub refused: Vec<(usize, Error)>,
}

impl Connection {
    /// The connection's id on its server.
    pub fn id(&self) -> u64 {
        self.conn.connection_id().into()
    }

    /// Sends the statements in one packet, waits until the first of them is done, and leaves the
    /// rest to the server.
    ///
    /// # Errors
    /// Where the first is refused.
    pub fn start(mut self, statements: &[String]) -> Result<(), Error> {
        let timeout = self.timeout;
        let result = self
            .conn
            .query_iter(statements.join(";\n"))
            .map_err(|error| explain(&error, timeout))?;
        // To drop it would be to wait for all of them.
        std::mem::forget(result);
        Ok(())
    }

    /// Asks which server it is, where it should be this one.
    ///
    /// # Errors
    /// As [`Self::batch_or_error`].
    pub fn server_id(&mut self, expected: &ServerId) -> Result<ServerId, Error> {
        match self.batch_or_error(&[sql::values_of(expected.variables())]) {
            // Another has other variables.
            Err(Error::Server { .. }) => {
                let answers = self.batch_or_error(&[sql::identity()])?;
                Ok(ServerId::read(&answers.concat()))
            }
            answers => Ok(expected.with_values(&answers?.concat().concat())),
        }
    }

    /// Sends the statements in one round trip. The server runs them in order and stops at the first
    /// that fails: the answers of those before it, and its error.
    pub fn batch(&mut self, statements: &[String]) -> (Vec<Rows>, Result<(), Error>) {
        self.send(statements, |_| {})
    }

    /// As [`Self::batch`], but looks for answers in pauses only, each an eighth of the time that it
    /// has taken already: a server that has to wake the reader for each of a thousand small answers
    /// is slowed down by that.
    fn batch_patiently(&mut self, statements: &[String]) -> (Vec<Rows>, Result<(), Error>) {
        let began = Instant::now();
        self.send(statements, |waited| {
            if waited > Duration::from_micros(100) {
                thread::sleep((began.elapsed() / 8).min(Duration::from_millis(50)));
            }
        })
    }

    /// Tells `after_each` how long each answer but the first took to come.
    fn send(
        &mut self,
        statements: &[String],
        after_each: impl Fn(Duration),
    ) -> (Vec<Rows>, Result<(), Error>) {
        let mut answers = Vec::with_capacity(statements.len());
        if statements.is_empty() {
            return (answers, Ok(()));
        }
        let timeout = self.timeout;
        let mut result = match self.conn.query_iter(statements.join(";\n")) {
            Ok(result) => result,
            Err(error) => return (answers, Err(explain(&error, timeout))),
        };
        let mut began = Instant::now();
        while let Some(set) = result.iter() {
            let mut rows = Rows::new();
            for row in set {
                match row {
                    Ok(row) => rows.push(texts(row)),
                    Err(error) => return (answers, Err(explain(&error, timeout))),
                }
            }
            answers.push(rows);
            after_each(began.elapsed());
            began = Instant::now();
        }
        (answers, Ok(()))
    }

    /// Sends the statements, each of which ends a session, in as few round trips as the server
    /// allows; all of them, whatever becomes of the others.
    ///
    /// # Errors
    /// As [`Self::batch_or_error`], other than the server's.
    pub fn end_each(&mut self, statements: &[String]) -> Result<Ended, Error> {
        let mut ended = Ended::default();
        let mut at = 0;
        while at < statements.len() {
            let (answers, last) = self.batch_patiently(&statements[at..]);
            ended.count += answers.len();
            at += answers.len() + 1;
            match last {
                Ok(()) => break,
                Err(Error::Server {
                    code: NO_SUCH_THREAD,
                    ..
                }) => {}
                Err(error @ Error::Server { .. }) => ended.refused.push((at - 1, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// Sends the statements in one round trip, and returns the answer of each.
    ///
    /// # Errors
    /// The error of the first statement that failed; those after it were not run.
    pub fn batch_or_error(&mut self, statements: &[String]) -> Result<Vec<Rows>, Error> {
        match self.batch(statements) {
            (answers, Ok(())) if answers.len() == statements.len() => Ok(answers),
            (answers, Ok(())) => {
                let (sent, came) = (statements.len(), answers.len());
                Err(Error::Connection(format!(
                    "{sent} statements were sent and {came} answers came"
                )))
            }
            (_, Err(error)) => Err(error),
        }
    }
}

/// The cell's text; empty where it is `NULL` or not there.
pub fn cell(row: &[Option<String>], column: usize) -> String {
    row.get(column).cloned().flatten().unwrap_or_default()
}

fn texts(row: Row) -> Vec<Option<String>> {
    row.unwrap_raw()
        .into_iter()
        .map(|value| match value {
            None | Some(Value::NULL) => None,
            Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Some(other) => Some(other.as_sql(true)),
        })
        .collect()
}

/// The lines of `SHOW GRANTS`, of one account row or several.
pub fn lines(answers: &[Rows]) -> impl Iterator<Item = &str> + Clone {
    answers
        .iter()
        .flatten()
        .filter_map(|row| row.first()?.as_deref())
}

/// What an account row holds, by the answer to its `SHOW GRANTS`.
pub fn held_by(answer: &Rows) -> Held {
    Held::read(lines(std::slice::from_ref(answer)))
}

/// Whether any of these account rows, by the answers to `SHOW GRANTS`, reaches the database, in
/// whatever way.
pub fn reaches(answers: &[Rows], database: &str, names: Names) -> bool {
    answers
        .iter()
        .any(|answer| held_by(answer).reaches(database, names))
}
