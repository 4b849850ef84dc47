//! Why a warning or an error is told: what it is about, for programs, and its words, for people.
//! Each of its sentences is a function of this folder and stands nowhere else, but for those about
//! a connection, a setting or the command line, which come as they are. It knows nothing of the
//! program: the facts come as plain values.

mod after;
mod before;
mod during;
mod obstacles;
mod program;
mod reaching;
mod ways_in;

use std::fmt;

pub use self::after::*;
pub use self::before::*;
pub use self::during::*;
pub use self::obstacles::*;
pub use self::program::*;
pub use self::reaching::*;
pub use self::ways_in::*;

/// What a warning or an error is about. Its name in `--json` stays as it is, whatever its words
/// become: [the list](../../docs/for-programs.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    // Before any server is asked.
    Arguments,
    Configuration,
    CommandNotStarted,
    CannotWrite,
    OutputNotKept,
    // The way to a server.
    UnknownHost,
    NothingListens,
    Unreachable,
    Tls,
    LoginRefused,
    ServerError,
    UnknownPlugin,
    ClearText,
    SeveralServers,
    // What is in the way of an outage.
    NoAccount,
    NoDatabase,
    AdminIsAccount,
    LacksPrivilege,
    ReadOnly,
    WouldReachCluster,
    SystemUser,
    AlreadyOffline,
    AlreadyLocked,
    NothingToRevoke,
    UnknownGrant,
    OtherWayIn,
    CannotEndSessions,
    SameServer,
    SameDatabase,
    CoversAnotherDatabase,
    TakenByAnother,
    // What the user should know before.
    EndsOtherSessions,
    ReachesReplicas,
    NeighbourGoesToo,
    LoginNotTried,
    NoUndo,
    DeadlineNotKept,
    GrantNotRestorable,
    OwnEvents,
    DefinerObjects,
    HeldAsRole,
    PreparedTransactions,
    // While a node goes, and while it is offline.
    SessionsLeft,
    SessionsKept,
    LoginsUnderWay,
    StillGetsIn,
    GotIn,
    Opened,
    KeptOutAgain,
    Away,
    ReachableAgain,
    NotWatched,
    EndOfInput,
    CommandFailed,
    CommandGoesOn,
    // The way back.
    Retrying,
    NotAsBefore,
    NeighbourComesToo,
    AccountDropped,
    GrantLost,
    LoginFails,
    UndoNotTrusted,
    UndoMissing,
    LeftOpen,
    Silent,
    LeftEarly,
    BrokeDown,
}

impl Kind {
    /// This, in these words.
    fn told(self, text: impl fmt::Display) -> Reason {
        Reason {
            kind: self,
            text: text.to_string(),
        }
    }
}

impl fmt::Display for Kind {
    /// As `--json` has it: `no_account`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in format!("{self:?}").char_indices() {
            if at > 0 && c.is_ascii_uppercase() {
                f.write_str("_")?;
            }
            write!(f, "{}", c.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// Why something is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// What it is about.
    pub kind: Kind,
    /// Its words.
    pub text: String,
}

impl Reason {
    /// Each of its lines by itself.
    pub fn lines(&self) -> impl Iterator<Item = Self> {
        self.text.lines().map(|line| self.kind.told(line))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
