//! Several statements in one round trip, and their answers.

use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Row, Value};

use super::answers::Answers;
use super::connect::Connection;
use super::error::{Error, NO_SUCH_THREAD, explain_later};
use super::identity::ServerId;
use super::sql;

/// What became of sessions that were told to end.
#[derive(Debug, Default)]
pub struct Ended {
    /// How many there still were.
    pub count: usize,
    /// Those that the server did not end, by their places, and why.
    pub refused: Vec<(usize, Error)>,
}

/// What is to be changed, by statements each of which stands for itself.
#[derive(Clone, Copy, Default)]
pub struct Change<'a> {
    /// A statement that fails where nothing is to be changed (any more).
    pub only_if: Option<&'a String>,
    /// The statements.
    pub statements: &'a [String],
    /// Asked when all have been run.
    pub questions: &'a [String],
}

/// What became of it.
#[derive(Default)]
pub struct Ran {
    /// The error of `only_if`: nothing more was done.
    pub stopped: Option<Error>,
    /// Those that the server refused, and why.
    pub failed: Vec<(String, Error)>,
    /// Whether the one was run that comes when none has failed, of the way through `super_read_only`.
    pub is_last_done: bool,
    /// The answers to what was asked when all had been run, if it could be asked at once.
    pub answers: Option<Answers>,
}

/// Whether this says that it was [not to be done](sql::stop_unless).
pub fn is_stop(error: &Error) -> bool {
    matches!(error, Error::Server { code, .. } if *code == sql::STOPPED)
}

impl Ran {
    /// That all was done, or was not to be done any more.
    ///
    /// # Errors
    /// Why something was not.
    pub fn result(self) -> Result<(), Error> {
        let failed = self.failed.into_iter().next().map(|(_, error)| error);
        let stopped = self.stopped.filter(|error| !is_stop(error));
        stopped.or(failed).map_or(Ok(()), Err)
    }
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
            .map_err(|error| explain_later(&error, timeout))?;
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
                let variables = self.batch_or_error(&[sql::identity()])?.rows()?;
                Ok(ServerId::read(variables))
            }
            answers => {
                let row: Option<Row> = answers?.row()?;
                Ok(ServerId::read(row.into_iter().flat_map(by_column)))
            }
        }
    }

    /// Sends the statements in one round trip. The server runs them in order and stops at the first
    /// that fails: the answers of those before it, and its error.
    pub fn batch(&mut self, statements: &[String]) -> (Answers, Result<(), Error>) {
        self.send(statements, |_| {})
    }

    /// As [`Self::batch`], but looks for answers in pauses only, each a small part of the time that
    /// it has taken already: a server that has to wake the reader for each of a thousand small
    /// answers is slowed down by that.
    fn batch_patiently(&mut self, statements: &[String]) -> (Answers, Result<(), Error>) {
        let began = Instant::now();
        self.send(statements, |waited| {
            if waited > Duration::from_micros(100) {
                thread::sleep((began.elapsed() / 32).min(Duration::from_millis(50)));
            }
        })
    }

    /// Tells `after_each` how long each answer but the first took to come.
    fn send(
        &mut self,
        statements: &[String],
        after_each: impl Fn(Duration),
    ) -> (Answers, Result<(), Error>) {
        let mut answers = Vec::with_capacity(statements.len());
        let result = self.send_into(&mut answers, statements, after_each);
        let result = result.map_err(|error| explain_later(&error, self.timeout));
        (Answers::new(answers), result)
    }

    fn send_into(
        &mut self,
        answers: &mut Vec<Vec<Row>>,
        statements: &[String],
        after_each: impl Fn(Duration),
    ) -> Result<(), mysql::Error> {
        if statements.is_empty() {
            return Ok(());
        }
        let mut result = self.conn.query_iter(statements.join(";\n"))?;
        let mut began = Instant::now();
        while let Some(set) = result.iter() {
            answers.push(set.collect::<Result<_, _>>()?);
            after_each(began.elapsed());
            began = Instant::now();
        }
        Ok(())
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
    pub fn batch_or_error(&mut self, statements: &[String]) -> Result<Answers, Error> {
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

/// The text of each column, by its name. Whatever a session's character set is, it is no reason to
/// fail.
pub(super) fn by_column(row: Row) -> impl Iterator<Item = (String, Option<String>)> {
    let columns = row.columns();
    let text = |value| match value {
        None | Some(Value::NULL) => String::new(),
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Some(other) => other.as_sql(true),
    };
    let values = row.unwrap_raw().into_iter().enumerate();
    values.map(move |(at, value)| (columns[at].name_str().into_owned(), Some(text(value))))
}
