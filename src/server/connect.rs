//! How a server is reached: names, addresses, TLS, the login.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mysql::{Conn, DriverError, Opts, OptsBuilder, SslOpts};
use rustls::NamedGroup;

use super::error::{Error, TOO_MANY_CONNECTIONS, explain, in_words, is_cut, silent};
use crate::config::{Address, Login, Node, SslMode};
use crate::threads;

/// One connection, of the admin or of the account.
pub struct Connection {
    pub(super) conn: Conn,
    pub(super) timeout: Duration,
}

impl Connection {
    /// For how long one that is cut is tried again.
    const CUT_AGAIN: Duration = Duration::from_millis(300);

    /// Logs in to the node's server. One that is cut in the middle is tried again: another fail-start
    /// at this server may have ended it with those of its account.
    ///
    /// # Errors
    /// Whatever keeps the login from working, in words that say where to look.
    pub fn open(
        node: &Node,
        login: &Login,
        database: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let began = Instant::now();
        loop {
            match Self::open_once(node, login, database, timeout, began) {
                Err(error)
                    if is_cut(&error) && began.elapsed() < Self::CUT_AGAIN.min(timeout / 2) =>
                {
                    thread::sleep(Duration::from_millis(50));
                }
                result => return result,
            }
        }
    }

    fn open_once(
        node: &Node,
        login: &Login,
        database: Option<&str>,
        timeout: Duration,
        began: Instant,
    ) -> Result<Self, Error> {
        let base = options(login, database, timeout);
        let mut failed = None;
        for (address, options) in addresses(node, base, timeout)? {
            // All addresses of a host together cost no more than one.
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            match connect_within(left, node, options) {
                Ok(conn) => {
                    if let (Some(address), Some(_)) = (address, failed) {
                        answered().insert(node.address.clone(), address);
                    }
                    return Ok(Self { conn, timeout });
                }
                // The next address of the same host may well work.
                Err(mysql::Error::DriverError(
                    error @ (DriverError::ConnectTimeout | DriverError::CouldNotConnect(_)),
                )) => {
                    // Of several addresses, one of a kind that this machine does not have (IPv6)
                    // says the least.
                    if failed.as_ref().is_none_or(is_not_for_this_machine) {
                        failed = Some(error);
                    }
                }
                Err(error) => return Err(explain(&error, timeout)),
            }
        }
        Err(failed.map_or_else(
            || Error::Connection(silent(timeout)),
            |error| explain(&mysql::Error::DriverError(error), timeout),
        ))
    }

    /// Logs in as the admin. A server whose connections are all in use keeps one for it, but
    /// whoever is just being turned away has that for a moment.
    pub(super) fn open_where_room_is_kept(node: &Node, timeout: Duration) -> Result<Self, Error> {
        let began = Instant::now();
        loop {
            match Self::open(node, &node.admin, None, timeout) {
                Err(Error::Server {
                    code: TOO_MANY_CONNECTIONS,
                    ..
                }) if began.elapsed() < timeout.min(Duration::from_secs(3)) => {
                    thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    /// A second session of the admin, beside its own.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn beside(node: &Node, timeout: Duration) -> Result<Self, Error> {
        Self::open(node, &node.admin, None, timeout)
    }
}

/// What is the same for every connection of this login.
fn options(login: &Login, database: Option<&str>, timeout: Duration) -> OptsBuilder {
    OptsBuilder::new()
        .user(Some(&login.user))
        .pass(
            login
                .password
                .as_ref()
                .map(|password| password.reveal().to_owned()),
        )
        .db_name(database)
        .enable_cleartext_plugin(login.in_clear_text)
        // Else it would reconnect over a socket that the server names, past a port that is
        // forwarded.
        .prefer_socket(false)
        // Else it would ask for it, one more round trip. No statement here is near it: MySQL's
        // default is 64 MiB.
        .max_allowed_packet(Some(16 << 20))
        // A node that is gone without a word is noticed, and a firewall does not forget the
        // connection.
        .tcp_keepalive_time_ms(Some(30_000))
        .read_timeout(Some(timeout))
        .write_timeout(Some(timeout))
}

/// The connection options of each address to try, in the order in which they are tried.
///
/// The driver tries the first address of a name only: `localhost` is often `::1` first, where no
/// server listens.
fn addresses(
    node: &Node,
    base: OptsBuilder,
    timeout: Duration,
) -> Result<Vec<(Option<IpAddr>, OptsBuilder)>, Error> {
    let (host, port) = match &node.address {
        Address::Socket(path) => return Ok(vec![(None, base.socket(Some(path)))]),
        Address::Tcp(host, port) => (host.clone(), *port),
    };
    let base = base.tcp_port(port);
    let mut resolved = resolve(&host, port, timeout)?;
    likely_first(&mut resolved, answered().get(&node.address));
    Ok(resolved
        .into_iter()
        .map(|address| {
            let options =
                if node.ssl_mode == SslMode::VerifyIdentity && host.parse::<IpAddr>().is_err() {
                    // The certificate is checked against the name, so the driver must have the name.
                    // Bound to one family it tries all of that family's addresses.
                    let any: IpAddr = match address {
                        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                    };
                    base.clone()
                        .ip_or_hostname(Some(&host))
                        .bind_address(Some((any, 0)))
                } else {
                    let literal = match address {
                        IpAddr::V4(address) => address.to_string(),
                        IpAddr::V6(address) => format!("[{address}]"),
                    };
                    base.clone().ip_or_hostname(Some(literal))
                };
            (Some(address), options)
        })
        .collect())
}

/// The address of a name at which a server has answered when another had not.
static ANSWERED: Mutex<BTreeMap<Address, IpAddr>> = Mutex::new(BTreeMap::new());

fn answered() -> MutexGuard<'static, BTreeMap<Address, IpAddr>> {
    ANSWERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the address that has answered before first, then the others in the resolver's order, but
/// `127.0.0.1` before `::1`, where many a server does not listen: Windows takes two seconds to
/// refuse a connection.
fn likely_first(addresses: &mut [IpAddr], answered: Option<&IpAddr>) {
    addresses.sort_by_key(|address| {
        let is_second = *address == IpAddr::V6(Ipv6Addr::LOCALHOST);
        (Some(address) != answered, is_second)
    });
}

/// The addresses of a host name, in the resolver's order.
fn resolve(host: &str, port: u16, timeout: Duration) -> Result<Vec<IpAddr>, Error> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let name = host.to_owned();
    // The resolver knows no time limit: let it go on alone past ours.
    let resolving = threads::start_or_run(move || {
        let all = (name.as_str(), port).to_socket_addrs()?;
        io::Result::Ok(all.map(|one| one.ip()).collect())
    });
    match resolving.join_within(timeout) {
        Some(Ok(Ok(addresses))) => Ok(addresses),
        Some(_) => Err(Error::Name("unknown host name".to_owned())),
        None => Err(Error::Name(format!(
            "its host name was not resolved within {}",
            in_words(timeout)
        ))),
    }
}

/// The numbers of those nodes that are at this address too, under whatever name: those whose host
/// name cannot be resolved within the timeout are not.
pub fn at_same_address(
    address: &Address,
    others: &[(u32, Address)],
    timeout: Duration,
) -> Vec<u32> {
    let resolved = move |address: &Address| match address {
        Address::Tcp(host, port) => resolve(host, *port, timeout).unwrap_or_default(),
        Address::Socket(_) => Vec::new(),
    };
    let port = |address: &Address| match address {
        Address::Tcp(_, port) => Some(*port),
        Address::Socket(_) => None,
    };
    let is_loopback = |addresses: &[IpAddr]| addresses.iter().any(IpAddr::is_loopback);
    let is_same = |ours: &[IpAddr], theirs: &[IpAddr]| {
        is_loopback(ours) && is_loopback(theirs) || theirs.iter().any(|one| ours.contains(one))
    };
    // All at once: names that do not resolve would cost a timeout each.
    let start = |other: &Address| {
        let other = other.clone();
        threads::start_or_run(move || resolved(&other))
    };
    let same_port = |other: &Address| port(other) == port(address);
    let ours = LazyCell::new(|| resolved(address));
    let theirs: Vec<_> = others
        .iter()
        .filter(|(_, other)| other != address && same_port(other))
        .map(|(number, other)| (*number, start(other)))
        .collect();
    let equal = others.iter().filter(|(_, other)| other == address);
    let mut same: Vec<u32> = equal.map(|(number, _)| *number).collect();
    for (number, theirs) in theirs {
        if is_same(&ours, &theirs.join().unwrap_or_default()) {
            same.push(number);
        }
    }
    same
}

fn is_not_for_this_machine(error: &DriverError) -> bool {
    matches!(
        error,
        DriverError::CouldNotConnect(Some((
            _,
            _,
            ErrorKind::AddrNotAvailable | ErrorKind::NetworkUnreachable
        )))
    )
}

/// Offers the group first that MySQL takes. Of TLS libraries' favourite, X25519, it does not, and
/// then asks again.
fn offer_p256_first() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut provider = rustls::crypto::ring::default_provider();
        provider
            .kx_groups
            .sort_by_key(|group| group.name() != NamedGroup::secp256r1);
        // There is none yet.
        let _ = provider.install_default();
    });
}

/// The addresses whose server offered no TLS a moment ago. That shows once a connection is made,
/// which is of no use then, so that of a few connections at the same time only the first shall ask.
struct WithoutTls(Mutex<BTreeMap<Address, Instant>>);

static WITHOUT_TLS: WithoutTls = WithoutTls(Mutex::new(BTreeMap::new()));

impl WithoutTls {
    /// Longer than to take a node away takes, and so short that a server which was restarted with
    /// TLS is not asked without it.
    const A_MOMENT: Duration = Duration::from_secs(1);

    fn add(&self, address: &Address) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(address.clone(), Instant::now());
    }

    fn holds(&self, address: &Address) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(address)
            .is_some_and(|at| at.elapsed() < Self::A_MOMENT)
    }
}

/// Connects, and is done when the time is over: the driver's limits are for each answer of many, and
/// it resolves a name itself where the certificate is checked against that.
fn connect_within(left: Duration, node: &Node, options: OptsBuilder) -> Result<Conn, mysql::Error> {
    let options = options.tcp_connect_timeout(Some(left));
    let node = node.clone();
    match threads::start_or_run(move || connect(&node, &options)).join_within(left) {
        Some(Ok(result)) => result,
        Some(Err(panic)) => resume_unwind(panic),
        // A connection that comes later is closed.
        None => Err(DriverError::ConnectTimeout.into()),
    }
}

/// Connects with TLS as the node's mode has it.
fn connect(node: &Node, options: &OptsBuilder) -> Result<Conn, mysql::Error> {
    offer_p256_first();
    let verify = matches!(node.ssl_mode, SslMode::VerifyCa | SslMode::VerifyIdentity);
    let mut tls = SslOpts::default()
        .with_danger_accept_invalid_certs(!verify)
        .with_danger_skip_domain_validation(node.ssl_mode == SslMode::VerifyCa);
    if verify {
        tls = tls.with_root_cert_path(node.ssl_ca.clone());
    }
    let open = |tls: Option<SslOpts>| {
        let mut options = options.clone();
        if tls.is_none() {
            // Nobody shall read the password.
            options = options.enable_cleartext_plugin(false);
        }
        Conn::new(Opts::from(options.ssl_opts(tls)))
    };
    match node.ssl_mode {
        SslMode::Disabled => open(None),
        SslMode::Preferred if WITHOUT_TLS.holds(&node.address) => open(None),
        SslMode::Preferred => match open(Some(tls)) {
            Err(mysql::Error::DriverError(DriverError::TlsNotSupported)) => {
                WITHOUT_TLS.add(&node.address);
                open(None)
            }
            result => result,
        },
        SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity => open(Some(tls)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_answered_is_tried_first_and_then_127_0_0_1() {
        let ordered = |addresses: &[&str], answered: Option<&str>| {
            let parse = |text: &str| text.parse::<IpAddr>().unwrap();
            let mut all: Vec<IpAddr> = addresses.iter().map(|one| parse(one)).collect();
            likely_first(&mut all, answered.map(parse).as_ref());
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let localhost = ["::1", "127.0.0.1"];
        assert_eq!(ordered(&localhost, None), ["127.0.0.1", "::1"]);
        assert_eq!(ordered(&localhost, Some("::1")), localhost);
        let several = ["fd00::1", "10.0.0.1", "10.0.0.2"];
        assert_eq!(ordered(&several, None), several);
        let first = ["10.0.0.2", "fd00::1", "10.0.0.1"];
        assert_eq!(ordered(&several, Some("10.0.0.2")), first);
    }
}
