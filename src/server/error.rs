//! Why a statement or a connection failed, in words that say where to look.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use mysql::DriverError;

use crate::config::{Address, Environment, Node, SslMode};
use crate::reason::{self, Kind, Reason};

/// Why a statement or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The server said no.
    Server {
        /// Its error number:
        /// <https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html>.
        code: u16,
        /// Its words.
        message: String,
    },
    /// There is no server, or none that makes sense, or the way to it is cut.
    Connection(String),
    /// Its host name leads nowhere just now.
    Name(String),
    /// Nothing serves at its address.
    NobodyThere(String),
    /// The connection could not be encrypted as asked.
    Tls(String),
    /// It is not as it must be, and may yet come.
    NotYet(Reason),
    /// The server would do it, but fail-start must not.
    Refused(Reason),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { code, message } => write!(f, "{message} (error {code})"),
            Self::Connection(cause)
            | Self::Name(cause)
            | Self::NobodyThere(cause)
            | Self::Tls(cause) => f.write_str(cause),
            Self::NotYet(reason) | Self::Refused(reason) => f.write_str(&reason.text),
        }
    }
}

impl std::error::Error for Error {}

/// What is wrong with a node, and the server's error number if it came from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The server's error number.
    pub code: Option<u16>,
    /// What all is wrong.
    pub reasons: Vec<Reason>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.reasons.iter().map(|one| &*one.text).collect();
        f.write_str(&texts.join("\n"))
    }
}

impl Failure {
    /// What a server or the driver says, or a sentence of [`reason`](crate::reason) about it.
    fn new(code: Option<u16>, kind: Kind, text: impl fmt::Display) -> Self {
        let text = text.to_string();
        Self {
            code,
            reasons: vec![Reason { kind, text }],
        }
    }

    /// The same, each of what is wrong in these words.
    pub fn told(mut self, words: impl Fn(&str) -> String) -> Self {
        for reason in &mut self.reasons {
            reason.text = words(&reason.text);
        }
        self
    }
}

impl From<Vec<Reason>> for Failure {
    fn from(reasons: Vec<Reason>) -> Self {
        Self {
            code: None,
            reasons,
        }
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        vec![reason].into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.context(&error)
    }
}

impl Error {
    /// This error, told in these words.
    pub fn context(&self, text: impl fmt::Display) -> Failure {
        Failure::new(self.code(), self.kind(), text)
    }

    /// What is told of this error where more is known of it than what the server says.
    pub fn told_as(&self, reason: Reason) -> Failure {
        Failure {
            code: self.code(),
            ..reason.into()
        }
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Server { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// What it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Server { code, .. } if refuses_login(*code) => Kind::LoginRefused,
            Self::Server {
                code: OPTION_PREVENTS,
                message,
            } if message.contains("read-only") => Kind::ReadOnly,
            Self::Server { .. } => Kind::ServerError,
            Self::Connection(_) => Kind::Unreachable,
            Self::Name(_) => Kind::UnknownHost,
            Self::NobodyThere(_) => Kind::NothingListens,
            Self::Tls(_) => Kind::Tls,
            Self::NotYet(reason) | Self::Refused(reason) => reason.kind,
        }
    }

    /// Whether the server has no TLS at all.
    fn is_plain(&self) -> bool {
        matches!(self, Self::Tls(why) if why == NO_TLS)
    }

    /// Whether the server has TLS, but none that would be safe.
    fn has_no_cipher(&self) -> bool {
        matches!(self, Self::Tls(why) if why.ends_with(NO_CIPHER))
    }

    /// The same, where it is that the login was refused, in words that say what to look at.
    pub fn with_advice(self, node: &Node) -> Self {
        match self {
            Self::Server { code, .. } if self.kind() == Kind::LoginRefused => {
                let message = self.at_login(node).to_string();
                Self::Server { code, message }
            }
            error => error,
        }
    }

    /// Why a login to the node was refused, and what to look at.
    pub fn at_login(&self, node: &Node) -> Failure {
        let why = match self {
            // Without what the server repeats of it.
            Self::Server {
                code: code @ (ACCESS_DENIED | NO_PASSWORD),
                message,
            } => {
                let who = message.trim_start_matches("Access denied for user ");
                let who = who.split(" (using password").next().unwrap_or(who);
                let why = match *code {
                    ACCESS_DENIED => "wrong password?",
                    _ => "it may log in by its socket only, or needs a password",
                };
                format!("login refused for {who} ({why})")
            }
            Self::Server { code, .. } if EXPIRED.contains(code) => {
                format!("the password of '{}' has expired", node.admin.user)
            }
            Self::Server { code, .. } if LOCKED.contains(code) => {
                format!("the admin '{}' is locked", node.admin.user)
            }
            Self::Server {
                code: COMPRESSED_ONLY,
                ..
            } => "the server takes compressed connections only".to_owned(),
            error => error.to_string(),
        };
        self.context(format_args!("{why}: {}", advice(node, self)))
    }
}

/// `ER_ACCESS_DENIED_ERROR`: the user name or the password is wrong.
pub const ACCESS_DENIED: u16 = 1045;
/// `ER_ACCESS_DENIED_NO_PASSWORD_ERROR`: the account logs in another way, as root by its socket.
const NO_PASSWORD: u16 = 1698;
/// The password is to be changed first: `ER_MUST_CHANGE_PASSWORD`, `ER_MUST_CHANGE_PASSWORD_LOGIN`.
const EXPIRED: [u16; 2] = [1820, 1862];
/// What MySQL and MariaDB say of an account that is locked.
const LOCKED: [u16; 2] = [3118, 4151];

fn refuses_login(code: u16) -> bool {
    [ACCESS_DENIED, NO_PASSWORD].contains(&code)
        || EXPIRED.contains(&code)
        || LOCKED.contains(&code)
}

/// `ER_BAD_DB_ERROR`: there is no such database, which is found out after the login itself.
pub const NO_DATABASE: u16 = 1049;
/// `ER_EVENT_ALREADY_EXISTS`.
pub const EVENT_EXISTS: u16 = 1537;
/// `ER_OPTION_PREVENTS_STATEMENT`: the server is read-only, or runs with another option that forbids
/// the statement.
pub const OPTION_PREVENTS: u16 = 1290;
/// What MariaDB says of every event where its scheduler is DISABLED, or its table of them missing
/// or of another version: `ER_EVENTS_DB_ERROR`, `ER_EVENT_OPEN_TABLE_FAILED`.
/// <https://mariadb.com/kb/en/mariadb-error-codes/>
pub(super) const NO_EVENTS: [u16; 2] = [1577, 1545];
/// `ER_CON_COUNT_ERROR`.
pub const TOO_MANY_CONNECTIONS: u16 = 1040;
/// `ER_NO_SUCH_TABLE`.
pub const NO_TABLE: u16 = 1146;
/// `ER_NONEXISTING_GRANT`: there is no such account, where its grants are asked for.
pub const NO_SUCH_GRANT: u16 = 1141;
/// `ER_NO_SUCH_THREAD`: the session that is to end has ended by itself.
pub(super) const NO_SUCH_THREAD: u16 = 1094;
const NO_TLS: &str = "the server offers no TLS";
/// `ER_SECURE_TRANSPORT_REQUIRED`.
const TLS_REQUIRED: u16 = 3159;
/// `ER_WRONG_COMPRESSION_ALGORITHM_CLIENT`: `protocol_compression_algorithms` lacks `uncompressed`.
const COMPRESSED_ONLY: u16 = 3922;
/// As with the official builds of MySQL 5.7, which have no ECDHE.
const NO_CIPHER: &str =
    "the server has none of fail-start's ciphers (ECDHE with AES-GCM or ChaCha20)";

pub(super) fn not_mysql() -> Error {
    Error::Connection("what answers there does not speak MySQL's protocol".to_owned())
}

/// A duration for a person, such as `10s`.
pub fn in_words(duration: Duration) -> humantime::FormattedDuration {
    // What is left of a time is no round one.
    let unit = if duration < Duration::from_secs(1) {
        1
    } else {
        100
    };
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let whole = Duration::from_millis(milliseconds / unit * unit);
    humantime::format_duration(whole)
}

/// The driver's error in words for a person.
pub(super) fn explain(error: &mysql::Error, timeout: Duration) -> Error {
    if let Some(error) = cause_in_io(error) {
        return explain_io(error, timeout);
    }
    Error::Connection(match error {
        mysql::Error::MySqlError(error) => {
            return Error::Server {
                code: error.code,
                message: error.message.clone(),
            };
        }
        mysql::Error::TlsError(error) => return Error::Tls(tls_failed(&error.to_string())),
        mysql::Error::DriverError(DriverError::TlsNotSupported) => {
            return Error::Tls(NO_TLS.to_owned());
        }
        mysql::Error::DriverError(DriverError::ConnectTimeout) => silent(timeout),
        mysql::Error::DriverError(DriverError::CouldNotConnect(Some((_, description, kind)))) => {
            return match kind {
                ErrorKind::ConnectionRefused => {
                    Error::NobodyThere("nothing listens there".to_owned())
                }
                ErrorKind::NotFound => Error::NobodyThere("no such socket".to_owned()),
                _ if description.contains("POLLHUP") => Error::Connection(CUT.to_owned()),
                _ => Error::Connection(format!("no connection ({})", without_number(description))),
            };
        }
        mysql::Error::DriverError(DriverError::CleartextPluginDisabled) => {
            return Error::Refused(reason::clear_text());
        }
        mysql::Error::DriverError(DriverError::UnknownAuthPlugin(plugin))
            if plugin == "mysql_clear_password" =>
        {
            return Error::Refused(reason::clear_text());
        }
        mysql::Error::DriverError(DriverError::UnknownAuthPlugin(plugin)) => {
            return Error::Refused(reason::unknown_plugin(plugin));
        }
        mysql::Error::DriverError(
            DriverError::UnsupportedProtocol(_)
            | DriverError::PacketOutOfSync
            | DriverError::PacketTooLarge
            | DriverError::Protocol41NotSet
            | DriverError::UnexpectedPacket,
        )
        | mysql::Error::CodecError(_) => return not_mysql(),
        other => format!("the connection failed: {other}"),
    })
}

/// The same on a connection that was made: who is there has spoken the protocol, and whatever ends
/// in the middle was closed.
pub(super) fn explain_later(error: &mysql::Error, timeout: Duration) -> Error {
    match cause_in_io(error).map(io::Error::kind) {
        Some(ErrorKind::UnexpectedEof) => Error::Connection(CUT.to_owned()),
        _ => explain(error, timeout),
    }
}

/// Why TLS failed, in words where the library has only a name for it.
fn tls_failed(why: &str) -> String {
    let known = [
        (
            "CaUsedAsEndEntity",
            "its certificate is its own authority, which the verify modes do not take",
        ),
        (
            "UnsupportedCertVersion",
            "its certificate is of X.509 version 1, which the verify modes do not take",
        ),
        (
            "UnknownIssuer",
            "no authority that is known has signed its certificate (UnknownIssuer)",
        ),
        (
            "BadEncoding",
            "a certificate cannot be read, the server's or an authority's (BadEncoding)",
        ),
        ("HandshakeFailure", NO_CIPHER),
    ];
    let words = known.iter().find(|(name, _)| why.contains(name));
    format!("TLS failed: {}", words.map_or(why, |(_, words)| words))
}

pub(super) fn silent(timeout: Duration) -> String {
    format!("no answer within {} (--timeout)", in_words(timeout))
}

/// The system's error in the driver's; it wraps those that come with a packet once more.
fn cause_in_io(error: &mysql::Error) -> Option<&io::Error> {
    match error {
        mysql::Error::IoError(error) => Some(error),
        mysql::Error::CodecError(error) => std::error::Error::source(error)?.downcast_ref(),
        _ => None,
    }
}

/// Also where it was closed as soon as it was there: what tells that has no words for people.
const CUT: &str = "the connection was cut";
/// As where a container's port leads to a server that is not up yet.
const CLOSED: &str = "what answers there closes the connection: it does not speak MySQL's protocol, or has no server behind it yet";

/// Whether a login was cut in the middle, as by whoever ends logins that are under way.
pub(super) fn is_cut(error: &Error) -> bool {
    matches!(error, Error::Connection(why) if why == CUT || why == CLOSED)
}

fn explain_io(error: &io::Error, timeout: Duration) -> Error {
    Error::Connection(match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => silent(timeout),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            CUT.to_owned()
        }
        // The TLS library puts its errors, and it alone, into an error of this kind.
        ErrorKind::InvalidData if error.get_ref().is_some() => {
            return Error::Tls(tls_failed(&error.to_string()));
        }
        ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        // Packets that hold what no server sends.
        ErrorKind::InvalidData => return not_mysql(),
        _ => format!(
            "the connection failed: {}",
            without_number(&error.to_string())
        ),
    })
}

/// The system's words, without its `(os error 99)`.
fn without_number(description: &str) -> &str {
    description
        .split(" (os error")
        .next()
        .unwrap_or(description)
}

/// What to look at when an admin's login to this node fails this way.
fn advice(node: &Node, error: &Error) -> String {
    match error {
        Error::Server {
            code: ACCESS_DENIED | NO_PASSWORD,
            ..
        } => {
            let (user, password) = (&node.variables.admin_user, &node.variables.admin_password);
            let mut advice = format!("check {user} and {password}");
            if node.ssl_mode == SslMode::Disabled {
                // MariaDB says the same when it insists on TLS.
                advice += "; if the server insists on TLS, check ";
                advice += &node.variables.ssl_mode;
            }
            advice
        }
        Error::Server { code, .. } if EXPIRED.contains(code) => format!(
            "set it anew (ALTER USER), and {} to that",
            node.variables.admin_password
        ),
        Error::Server { code, .. } if LOCKED.contains(code) => {
            format!("check {}", node.variables.admin_user)
        }
        Error::Server {
            code: TLS_REQUIRED, ..
        } => format!("check {}", node.variables.ssl_mode),
        Error::Server {
            code: COMPRESSED_ONLY,
            ..
        } => "add 'uncompressed' to its variable protocol_compression_algorithms".to_owned(),
        Error::Refused(reason) if reason.kind == Kind::ClearText => {
            let (enable, mode) = (
                &node.variables.admin_in_clear_text,
                &node.variables.ssl_mode,
            );
            format!("{enable}=true allows that, over TLS only: check {mode} too")
        }
        Error::Refused(reason) if reason.kind == Kind::UnknownPlugin => {
            format!("check {}", node.variables.admin_user)
        }
        Error::Server { .. } | Error::Refused(_) => "ask the server's administrator".to_owned(),
        Error::Tls(_) if node.environment == Environment::Cloud && error.is_plain() => format!(
            "behind the Cloud SQL Auth Proxy {}=disabled is right; else check it",
            node.variables.ssl_mode
        ),
        Error::Tls(_) if error.has_no_cipher() => format!(
            "on a network that you trust, {}=disabled goes without TLS",
            node.variables.ssl_mode
        ),
        Error::Tls(_) => {
            format!(
                "check {} and {}",
                node.variables.ssl_mode, node.variables.ssl_ca
            )
        }
        Error::Name(_) => format!("check {}", node.variables.host),
        Error::NobodyThere(_) => format!("is the server running? Check {}", at(node)),
        Error::Connection(_) | Error::NotYet(_) => format!("check {}", at(node)),
    }
}

/// The variables that say where the node is.
fn at(node: &Node) -> String {
    match node.address {
        Address::Socket(_) => node.variables.host.clone(),
        Address::Tcp(..) => {
            format!("{} and {}", node.variables.host, node.variables.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(error: impl Into<mysql::Error>) -> Error {
        explain(&error.into(), Duration::from_secs(10))
    }

    #[test]
    fn errors_of_the_system_are_told_in_words_without_a_number() {
        for (kind, says) in [
            (ErrorKind::WouldBlock, "no answer within 10s (--timeout)"),
            (ErrorKind::TimedOut, "no answer within 10s (--timeout)"),
            (ErrorKind::BrokenPipe, "the connection was cut"),
            (ErrorKind::ConnectionReset, "the connection was cut"),
            (
                ErrorKind::UnexpectedEof,
                "what answers there closes the connection: it does not speak MySQL's protocol, or has no server behind it yet",
            ),
        ] {
            let explained = explained(io::Error::from(kind));
            assert_eq!(explained, Error::Connection(says.to_owned()), "{kind}");
        }
        // ENETUNREACH, by its number on Linux.
        let unreachable = explained(io::Error::from_raw_os_error(101)).to_string();
        assert!(
            unreachable.starts_with("the connection failed: "),
            "{unreachable}"
        );
        assert!(!unreachable.contains("os error"), "{unreachable}");
    }

    #[test]
    fn errors_of_the_driver_are_told_by_what_can_be_done() {
        let refused = |kind| {
            DriverError::CouldNotConnect(Some((String::new(), "why (os error 1)".into(), kind)))
        };
        let nobody = |why: &str| Error::NobodyThere(why.to_owned());
        assert_eq!(
            explained(refused(ErrorKind::ConnectionRefused)),
            nobody("nothing listens there")
        );
        assert_eq!(
            explained(refused(ErrorKind::NotFound)),
            nobody("no such socket")
        );
        let other = explained(refused(ErrorKind::PermissionDenied));
        assert_eq!(other, Error::Connection("no connection (why)".to_owned()));
        assert!(explained(DriverError::TlsNotSupported).is_plain());
        let plugin = explained(DriverError::UnknownAuthPlugin("kerberos".to_owned()));
        assert!(
            matches!(&plugin, Error::Refused(why) if why.text.contains("the plugin kerberos")),
            "{plugin}"
        );
        let denied = mysql::MySqlError {
            state: "28000".to_owned(),
            message: "m".to_owned(),
            code: ACCESS_DENIED,
        };
        assert_eq!(
            explained(denied),
            Error::Server {
                code: ACCESS_DENIED,
                message: "m".to_owned()
            }
        );
    }

    #[test]
    fn what_the_tls_library_has_only_a_name_for_is_explained() {
        for (name, says) in [
            ("CaUsedAsEndEntity", "its own authority"),
            ("UnsupportedCertVersion", "version 1"),
            ("BadEncoding", "cannot be read"),
            ("odd", "odd"),
        ] {
            assert!(
                tls_failed(&format!("invalid peer certificate: {name}")).contains(says),
                "{name}"
            );
        }
    }
}
