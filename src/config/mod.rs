//! `.env` and the environment, read into typed settings of the named nodes. The only folder that
//! knows dotenvy.

mod env_file;
mod names;
#[cfg(test)]
mod python_dotenv;
mod settings;
mod statements;
mod variables;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use self::settings::Settings;
use self::variables::Variables;

/// How a node is taken away from the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Lock the account.
    Lock,
    /// Revoke what it holds on the node's database.
    Revoke,
}

impl Method {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Revoke => "revoke",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// One server a node.
    Local,
    /// Managed servers; several nodes may share one.
    Cloud,
}

impl Environment {
    fn prefix(self) -> &'static str {
        match self {
            Self::Local => "LOCAL",
            Self::Cloud => "CLOUD",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Cloud => "cloud",
        })
    }
}

/// A password. Neither `Debug` nor an error shows anything of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself, for a login and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A user name and its password, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Option<Secret>,
    /// Whether the server may be sent the password as it is, encrypted by TLS alone.
    pub in_clear_text: bool,
}

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// A host name or IP address, and a port.
    Tcp(String, u16),
    /// The path of a Unix socket.
    Socket(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path) => f.write_str(path),
        }
    }
}

/// MySQL's own words for how far a connection is encrypted and its server's certificate checked.
/// <https://dev.mysql.com/doc/refman/9.7/en/connection-options.html#option_general_ssl-mode>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypted.
    Disabled,
    /// Encrypted where the server can.
    Preferred,
    /// Encrypted, whatever the certificate says.
    Required,
    /// Encrypted, by a certificate that an authority vouches for.
    VerifyCa,
    /// The same, made out to this host.
    VerifyIdentity,
}

/// One node, and how to reach and to fail it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The number that the user knows it by.
    pub number: u32,
    /// Where it runs.
    pub environment: Environment,
    /// How it is reached.
    pub address: Address,
    /// Its database.
    pub database: String,
    /// The application's account.
    pub account: Login,
    /// The account that fail-start logs in with.
    pub admin: Login,
    /// How far the connection is encrypted.
    pub ssl_mode: SslMode,
    /// The authorities that the verify modes trust, a PEM file; without it, those of the web.
    pub ssl_ca: Option<PathBuf>,
    /// The other nodes, which are not named.
    pub unnamed: Vec<Unnamed>,
    /// Which variables say so.
    pub variables: NodeVariables,
}

/// A node that is not named: what it may share with one that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// The number that the user knows it by.
    pub number: u32,
    /// How it is reached.
    pub address: Address,
    /// Its database.
    pub database: String,
    /// The user name of the application's account there.
    pub user: String,
}

impl From<&Node> for Unnamed {
    fn from(node: &Node) -> Self {
        Self {
            number: node.number,
            address: node.address.clone(),
            database: node.database.clone(),
            user: node.account.user.clone(),
        }
    }
}

/// The variable that each setting of a node came from, or that sets it: `LOCAL_DB_HOST_NODE2`, say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeVariables {
    pub host: String,
    pub port: String,
    pub database: String,
    pub user: String,
    pub password: String,
    pub admin_user: String,
    pub admin_password: String,
    pub admin_in_clear_text: String,
    pub ssl_mode: String,
    pub ssl_ca: String,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} ({})", self.number, self.address)
    }
}

/// What was read.
pub struct Config {
    /// The named nodes, in the order of their naming; all of them, if none is named.
    pub nodes: Vec<Node>,
    /// Which file was read, such as `from .env`.
    pub origin: String,
}

/// Reads the settings of the named nodes, or of all, and warns of what is no error.
///
/// # Errors
/// A file that cannot be read, a line in it that sets a variable of ours and is not read the same
/// by the application, a value that is not of its variable's kind, a node that no variable names,
/// and what the cloud environment cannot do without: all that is wrong at once, one problem a line,
/// and never a value.
pub fn load(env_file: Option<&Path>, numbers: &[u32], warn: impl FnMut(String)) -> Result<Config> {
    let variables = Variables::read(env_file)?;
    variables.misspelt().into_iter().for_each(warn);
    let origin = match &variables.file {
        Some(file) => format!("from {}", file.display()),
        None => "no .env".to_owned(),
    };
    let settings = Settings::new(variables)?;

    let known = settings.known_nodes();
    let all: Vec<u32> = known.iter().copied().collect();
    let numbers = if numbers.is_empty() { &all } else { numbers };
    let mut nodes = Vec::new();
    let mut problems = Vec::new();
    for &number in numbers {
        match settings.node(number) {
            Ok(node) => nodes.push(node),
            Err(found) => problems.extend(found.iter().map(|problem| format!("{problem:#}"))),
        }
    }
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    for number in known.into_iter().filter(|number| !numbers.contains(number)) {
        // What is wrong with a node that nobody named does not matter here.
        if let Ok(other) = settings.unnamed(number) {
            for node in &mut nodes {
                node.unnamed.push(other.clone());
            }
        }
    }
    Ok(Config { nodes, origin })
}

/// The numbers of all nodes, and where they are: for what is not to be done with them, such as to
/// complete a command line.
///
/// # Errors
/// A file that cannot be read, and a line in it that is not read as the application reads it.
pub fn known_nodes(env_file: Option<&Path>) -> Result<Vec<(u32, String)>> {
    let settings = Settings::new(Variables::read(env_file)?)?;
    let place = |number| {
        settings
            .address_of(number)
            .map(|address| address.to_string())
    };
    let known = settings.known_nodes().into_iter();
    Ok(known
        .map(|number| (number, place(number).unwrap_or_default()))
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::env_file::parse;
    use super::*;
    use crate::system::HAS_SOCKETS;

    fn settings(content: &str) -> Settings {
        Settings::new(Variables {
            from_file: parse(content.as_bytes()).unwrap(),
            file: None,
        })
        .unwrap()
    }

    fn node(content: &str, number: u32) -> Node {
        settings(content).node(number).unwrap()
    }

    /// A node whose settings are the same whichever variables they came from.
    fn settings_of(content: &str, number: u32) -> Node {
        Node {
            variables: NodeVariables::default(),
            ..node(content, number)
        }
    }

    fn problems(content: &str, number: u32) -> String {
        let problems = settings(content).node(number).unwrap_err();
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn without_variables_the_local_defaults_are_the_scripts() {
        for (number, address, database) in [
            (1, "localhost:3306", "node1_db"),
            (2, "localhost:3307", "node2_db"),
            (3, "localhost:3308", "node3_db"),
        ] {
            let node = node("", number);
            assert_eq!(
                (node.address.to_string().as_str(), node.database.as_str()),
                (address, database)
            );
            assert_eq!(
                (node.account.user.as_str(), node.account.password),
                ("user", None)
            );
            assert_eq!(
                (
                    node.admin.user.as_str(),
                    node.admin.password.unwrap().reveal()
                ),
                ("tester", "testpass")
            );
            assert_eq!((node.ssl_mode, node.ssl_ca), (SslMode::Preferred, None));
        }
    }

    #[test]
    fn the_variable_in_effect_is_the_one_that_is_named() {
        let content =
            "LOCAL_DB_USER=u\nLOCAL_DB_USER_NODE2=v\nLOCAL_DB_USER_NODE3=\nLOCAL_DB_NAME_NODE1=d\n";
        for (number, user, database) in [
            (1, "LOCAL_DB_USER", "LOCAL_DB_NAME_NODE1"),
            (2, "LOCAL_DB_USER_NODE2", "LOCAL_DB_NAME_NODE2"),
            (3, "LOCAL_DB_USER", "LOCAL_DB_NAME_NODE3"),
        ] {
            let named = node(content, number).variables;
            assert_eq!(
                (named.user.as_str(), named.database.as_str()),
                (user, database)
            );
        }
    }

    #[test]
    fn the_example_changes_nothing_in_the_local_environment() {
        let example = include_str!("../../.env.example");
        for number in 1..=3 {
            assert_eq!(settings_of(example, number), settings_of("", number));
        }
    }

    #[test]
    fn the_example_has_the_cloud_defaults_too() {
        let required = "USE_CLOUD_SQL=true\nCLOUD_DB_HOST=h\nTESTER_CLOUD_DB_PASSWORD=p\n";
        let example = include_str!("../../.env.example").to_owned() + required;
        for number in 1..=3 {
            assert_eq!(settings_of(&example, number), settings_of(required, number));
        }
    }

    #[test]
    fn each_node_has_its_own_suffix_and_node_1_none() {
        let content = "LOCAL_DB_HOST=a\nLOCAL_DB_PORT=1\nLOCAL_DB_NAME=x\nLOCAL_DB_HOST_NODE2=b\nLOCAL_DB_PORT_NODE7=7";
        assert_eq!(node(content, 1).address.to_string(), "a:1");
        assert_eq!(node(content, 1).database, "x");
        assert_eq!(node(content, 2).address.to_string(), "b:3307");
        assert_eq!(node(content, 3).address.to_string(), "localhost:3308");
        assert_eq!(node(content, 7).address.to_string(), "localhost:7");
        assert_eq!(node(content, 7).database, "node7_db");
        assert_eq!(
            node("LOCAL_DB_HOST_NODE1=z", 1).address.to_string(),
            "z:3306"
        );
        assert_eq!(
            problems(content, 4),
            "there is no node 4 (nodes: 1, 2, 3, 7). To add it, set LOCAL_DB_PORT_NODE4 or LOCAL_DB_HOST_NODE4 in .env"
        );
    }

    #[test]
    fn the_account_and_the_admin_hold_for_all_nodes_unless_one_differs() {
        let content = "LOCAL_DB_USER=app\nLOCAL_DB_PASSWORD=p\nLOCAL_DB_USER_NODE2=two\nTESTER_LOCAL_DB_USER=root";
        assert_eq!(node(content, 3).account.user, "app");
        assert_eq!(node(content, 3).account.password.unwrap().reveal(), "p");
        assert_eq!(node(content, 2).account.user, "two");
        assert_eq!(node(content, 2).admin.user, "root");
        assert_eq!(node("TESTER_LOCAL_DB_PASSWORD=", 1).admin.password, None);
    }

    #[test]
    fn cloud_nodes_without_a_host_share_one() {
        let content = "USE_CLOUD_SQL=True\nTESTER_CLOUD_DB_PASSWORD=p\nCLOUD_DB_HOST=h\nCLOUD_DB_PORT=13306\n\
                       CLOUD_DB_HOST_NODE2=two\nCLOUD_DB_PORT_NODE3=3\n";
        assert_eq!(node(content, 1).address.to_string(), "h:13306");
        assert_eq!(node(content, 2).address.to_string(), "two:3306");
        assert_eq!(node(content, 3).address.to_string(), "h:3");
        assert_eq!(node(content, 2).ssl_mode, SslMode::Required);
        assert!(
            problems("USE_CLOUD_SQL=true\nTESTER_CLOUD_DB_PASSWORD=p", 2)
                .contains("CLOUD_DB_HOST is not set")
        );
    }

    #[test]
    fn a_host_may_be_a_socket_or_an_ipv6_address() {
        let socket = "LOCAL_DB_HOST=/run/my.sock";
        if HAS_SOCKETS {
            let address = Address::Socket("/run/my.sock".to_owned());
            assert_eq!(node(socket, 1).address, address);
        } else {
            let told =
                "LOCAL_DB_HOST: a socket does not do here: expected a host name or an IP address";
            assert_eq!(problems(socket, 1), told);
        }
        assert_eq!(
            problems(r#"LOCAL_DB_HOST="\\\\.\\pipe\\mysql""#, 1),
            "LOCAL_DB_HOST: a named pipe does not do here: expected a host name or an IP address"
        );
        for host in ["::1", "[::1]"] {
            let node = node(&format!("LOCAL_DB_HOST={host}"), 1);
            assert_eq!(node.address, Address::Tcp("::1".to_owned(), 3306));
            assert_eq!(node.address.to_string(), "[::1]:3306");
        }
    }

    #[test]
    fn a_host_is_no_url_and_has_no_port() {
        let told = |host: &str| problems(&format!("LOCAL_DB_HOST_NODE2='{host}'\n"), 2);
        let expected = "LOCAL_DB_HOST_NODE2: expected a host name or an IP address";
        for host in [
            "mysql://db",
            "db/app",
            "user@db",
            "tcp(db)",
            "db1,db2",
            "my db",
            "1:2:3",
            "fe80::g",
        ] {
            assert_eq!(told(host), expected, "{host}");
        }
        for host in [
            "db:3306",
            "127.0.0.1:3306",
            "[::1]:3306",
            "mysql://db:3306",
            "mysql://db:3306/app",
            "db:99999",
        ] {
            let port = ", and the port in LOCAL_DB_PORT_NODE2";
            assert_eq!(told(host), format!("{expected}{port}"), "{host}");
        }
        for host in ["db", "my_db.example", "bücher.example", "fe80::1%eth0"] {
            let node = node(&format!("LOCAL_DB_HOST_NODE2='{host}'\n"), 2);
            assert_eq!(node.address, Address::Tcp(host.to_owned(), 3307));
        }
    }

    #[test]
    fn a_path_of_windows_needs_single_quotes() {
        let problem = |content: &str| parse(content.as_bytes()).err().unwrap()[0].text.clone();
        assert_eq!(
            problem(r"LOCAL_DB_SSL_CA=C:\certs\ca.pem"),
            "LOCAL_DB_SSL_CA: not every reader reads a backslash the same: put the value in single quotes"
        );
        // In them already.
        assert_eq!(
            problem(r"LOCAL_DB_SSL_CA='C:\\certs'"),
            "LOCAL_DB_SSL_CA: not every reader reads a backslash the same: put the value in double quotes, with \\ before \
             each \" and \\"
        );
        let quoted = r"LOCAL_DB_NAME='C:\certs\ca.pem'";
        assert_eq!(node(quoted, 1).database, r"C:\certs\ca.pem");
    }

    #[test]
    fn a_node_at_the_host_of_all_nodes_names_the_variables_of_that_one() {
        let content = "USE_CLOUD_SQL=true\nTESTER_CLOUD_DB_PASSWORD=p\nCLOUD_DB_HOST_NODE1=h\n\
                       CLOUD_DB_PORT_NODE3=3\n";
        let named = |number| {
            let named = node(content, number).variables;
            (named.host, named.port)
        };
        let of = |host: &str, port: &str| (host.to_owned(), port.to_owned());
        assert_eq!(named(2), of("CLOUD_DB_HOST_NODE1", "CLOUD_DB_PORT"));
        assert_eq!(named(3), of("CLOUD_DB_HOST_NODE1", "CLOUD_DB_PORT_NODE3"));
    }

    #[test]
    fn a_variable_that_is_empty_makes_no_node() {
        let content = "LOCAL_DB_HOST_NODE4=\nLOCAL_DB_PORT_NODE5=\nLOCAL_DB_HOST_NODE6=h\n\
                       LOCAL_DB_PORT_NODE0=1\nLOCAL_DB_PORT_NODE007=1\nLOCAL_DB_PORT_NODE+8=1\n";
        assert_eq!(
            settings(content).known_nodes(),
            BTreeSet::from([1, 2, 3, 6])
        );
    }

    #[test]
    fn a_wrong_value_is_said_of_the_variable_that_it_came_from() {
        for (content, says) in [
            ("LOCAL_DB_SSL_MODE=rubbish", "LOCAL_DB_SSL_MODE: expected"),
            (
                "LOCAL_DB_SSL_MODE_NODE2=rubbish",
                "LOCAL_DB_SSL_MODE_NODE2: expected",
            ),
            (
                "LOCAL_DB_PORT_NODE2=rubbish",
                "LOCAL_DB_PORT_NODE2: expected",
            ),
            (
                "LOCAL_DB_SSL_CA_NODE2=/",
                "LOCAL_DB_SSL_CA_NODE2: cannot read the file that it names: it is a directory",
            ),
        ] {
            let from_file = parse(format!("\n{content}").as_bytes()).unwrap();
            let file = Some(".env".into());
            let settings = Settings::new(Variables { file, from_file }).unwrap();
            let problem = settings.node(2).unwrap_err()[0].to_string();
            assert!(
                problem.starts_with(&format!(".env, line 2: {says}")),
                "{problem}"
            );
        }
    }

    #[test]
    fn only_true_is_the_cloud() {
        let environment = |value: &str| {
            let from_file = parse(format!("USE_CLOUD_SQL={value}").as_bytes()).unwrap();
            Settings::new(Variables {
                file: None,
                from_file,
            })
            .map(|settings| settings.environment())
        };
        for value in ["true", "TRUE", "True", "'true'"] {
            assert_eq!(environment(value).unwrap(), Environment::Cloud, "{value}");
        }
        for value in ["false", "FALSE", "", "''"] {
            assert_eq!(environment(value).unwrap(), Environment::Local, "{value}");
        }
        for value in [
            "1", "0", "yes", "no", "on", "off", "' true'", "'true '", "trüe",
        ] {
            assert!(environment(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_misspelt_name_is_told_with_the_right_one() {
        for (name, meant) in [
            ("LOCAL_DB_PROT", "is LOCAL_DB_PORT meant?"),
            ("LOCAL_DB_PROT_NODE2", "is LOCAL_DB_PORT_NODE2 meant?"),
            ("LOCAL_DB_PORT2", "is LOCAL_DB_PORT_NODE2 meant?"),
            ("LOCAL_DB_PORT_2", "is LOCAL_DB_PORT_NODE2 meant?"),
            ("LOCAL_DB_PORT_NOD2", "is LOCAL_DB_PORT_NODE2 meant?"),
            ("LOCAL_DB_PORT_NODE_2", "is LOCAL_DB_PORT_NODE2 meant?"),
            ("LOCAL_DB_PORT_NODE007", "is LOCAL_DB_PORT_NODE7 meant?"),
            (
                "LOCAL_DB_PORT_NODE0",
                "LOCAL_DB_PORT_NODE<N> is for node N, 1 or more",
            ),
            (
                "LOCAL_DB_PORT_NODE99999999999",
                "LOCAL_DB_PORT_NODE<N> is for node N, 1 or more",
            ),
            (
                "LOCAL_DB_PORT_NODE",
                "LOCAL_DB_PORT_NODE<N> is for node N, 1 or more",
            ),
            ("LOCLA_DB_HOST", "is LOCAL_DB_HOST meant?"),
            ("local_db_host", "is LOCAL_DB_HOST meant?"),
            (
                "TESTER_CLOUD_DB_PASSWD",
                "is TESTER_CLOUD_DB_PASSWORD meant?",
            ),
            ("USE_CLOUDSQL", "is USE_CLOUD_SQL meant?"),
            ("LOCAL_DB_USERNAME", "is LOCAL_DB_USER meant?"),
            ("CLOUD_DB_PASS_NODE2", "is CLOUD_DB_PASSWORD_NODE2 meant?"),
            ("LOCAL_DB_DATABASE_2", "is LOCAL_DB_NAME_NODE2 meant?"),
            ("TESTER_LOCAL_DB_PWD", "is TESTER_LOCAL_DB_PASSWORD meant?"),
        ] {
            let from_file = parse(format!("# names\n{name}=1\n").as_bytes()).unwrap();
            let file = Some(".env".into());
            assert_eq!(
                Variables { file, from_file }.misspelt(),
                [format!(".env, line 2: {name} is not known: {meant}")]
            );
        }
        let from_file = parse("A=1\n\u{feff}LOCAL_DB_PORT=1\n".as_bytes()).unwrap();
        let file = Some(".env".into());
        assert_eq!(
            Variables { file, from_file }.misspelt(),
            [".env, line 2: \u{feff}LOCAL_DB_PORT is not known: is LOCAL_DB_PORT meant?"]
        );
        let others = "LOCAL_DB_POOL=5\nLOCAL_DB_URL=x\nLOCAL_DB_ENGINE=x\nDB_HOST=x\nAPP_PORT=1\nLOCAL_DB_TYPE=x\n\
                      TESTER_LOCAL_DB_HOST=x\nCLOUD_DB_INSTANCE=x\nUSE_CACHE=1\nLOCAL_DB_HOST_NODE12=x\n";
        let from_file = parse(others.as_bytes()).unwrap();
        assert_eq!(
            Variables {
                file: None,
                from_file
            }
            .misspelt(),
            [""; 0]
        );
    }

    #[test]
    fn debug_shows_no_password() {
        let node = node(
            "LOCAL_DB_PASSWORD=s3cret\nTESTER_LOCAL_DB_PASSWORD=s3cret",
            1,
        );
        assert!(!format!("{node:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn no_error_shows_a_value(
            name in "(USE_CLOUD_SQL|(LOCAL|CLOUD)_DB_(HOST|PORT|NAME|USER|PASSWORD|SSL_MODE|SSL_CA)(_NODE[12])?)",
            value in "s3cret[ -&(-~]{0,20}",
            cloud in any::<bool>(),
        ) {
            let content = format!("USE_CLOUD_SQL={cloud}\nTESTER_CLOUD_DB_PASSWORD='{value}'\n{name}='{value}'\n");
            let mut shown = Vec::new();
            match parse(content.as_bytes()) {
                // `${`, which python-dotenv replaces in single quotes too.
                Err(problems) => shown.push(format!("{problems:?}")),
                Ok(from_file) => match Settings::new(Variables { file: None, from_file }) {
                    Err(problem) => shown.push(format!("{problem:#}")),
                    Ok(settings) => for number in 1..=2 {
                        match settings.node(number) {
                            Err(problems) => shown.push(format!("{problems:?}")),
                            Ok(node) => shown.push(format!("{:?}{:?}", node.account.password, node.admin.password)),
                        }
                    },
                },
            }
            prop_assert!(shown.iter().all(|text| !text.contains("s3cret")), "{shown:?}");
        }
    }
}
