//! One server, spoken to: connections, what is said on them, and how its answers read. The only
//! folder that knows the mysql crate and rustls; of the program it knows the settings, the words of errors and the threads.

mod admin;
mod answers;
mod batch;
mod connect;
mod error;
mod first;
pub mod grants;
mod held;
pub mod identity;
mod in_turn;
pub mod listing;
pub mod login;
mod names;
mod object;
mod parse;
mod runs_as;
pub mod sql;
mod tokens;

pub use self::admin::{AccountRow, Admin};
pub use self::answers::{Answers, Lines, reaches};
pub use self::batch::{Change, Ended, Ran, is_stop};
pub use self::connect::{Connection, at_same_address};
pub use self::error::{
    ACCESS_DENIED, EVENT_EXISTS, Error, Failure, NO_DATABASE, NO_SUCH_GRANT, NO_TABLE,
    OPTION_PREVENTS, TOO_MANY_CONNECTIONS, in_words,
};
