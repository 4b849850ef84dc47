//! `.env` and the environment, read into typed settings of the named nodes. The only file that knows dotenvy.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail};

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
}

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The other nodes, not named, and where they are.
    pub unnamed: Vec<(u32, Address)>,
    /// The variables that are set for this node alone.
    numbered: BTreeSet<String>,
}

impl Node {
    /// The variable that holds a setting of this node, such as `LOCAL_DB_HOST_NODE2` for `DB_HOST`.
    pub fn variable(&self, name: &str) -> String {
        if self.number == 1 {
            self.shared_variable(name)
        } else {
            format!("{}_{name}_NODE{}", self.environment.prefix(), self.number)
        }
    }

    /// The variable that holds a setting of all nodes, such as `LOCAL_DB_USER` for `DB_USER`, or the one for this node.
    pub fn shared_variable(&self, name: &str) -> String {
        self.in_effect(format!("{}_{name}", self.environment.prefix()))
    }

    /// The variable that holds a setting of the admin, such as `TESTER_LOCAL_DB_PASSWORD` for `PASSWORD`.
    pub fn admin_variable(&self, name: &str) -> String {
        self.in_effect(format!("TESTER_{}_DB_{name}", self.environment.prefix()))
    }

    fn in_effect(&self, plain: String) -> String {
        let numbered = format!("{plain}_NODE{}", self.number);
        if self.numbered.contains(&numbered) {
            numbered
        } else {
            plain
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} ({})", self.number, self.address)
    }
}

/// The settings of the named nodes, in the order of their naming; of all nodes, if none is named.
///
/// # Errors
/// A file that cannot be read or is malformed, a value that is not of its variable's kind, a node that no variable
/// names, and what the cloud environment cannot do without: all that is wrong at once, and never a value.
pub fn load(env_file: Option<&Path>, numbers: &[u32]) -> Result<Vec<Node>> {
    let variables = Variables::read(env_file)?;
    let environment = if variables.boolean("USE_CLOUD_SQL")? {
        Environment::Cloud
    } else {
        Environment::Local
    };
    let settings = Settings {
        variables,
        environment,
    };

    let known = settings.known_nodes();
    let all: Vec<u32> = known.iter().copied().collect();
    let numbers = if numbers.is_empty() { &all } else { numbers };
    let mut nodes = Vec::new();
    let mut problems = Vec::new();
    for &number in numbers {
        match settings.node(number) {
            Ok(node) => nodes.push(node),
            Err(found) => problems.extend(found.into_iter().map(|problem| format!("{problem:#}"))),
        }
    }
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    for number in known.into_iter().filter(|number| !numbers.contains(number)) {
        // What is wrong with a node that nobody named does not matter here.
        if let Ok(address) = settings.address(number) {
            for node in &mut nodes {
                node.unnamed.push((number, address.clone()));
            }
        }
    }
    Ok(nodes)
}

/// The real environment over the file.
struct Variables {
    from_file: HashMap<String, String>,
    file: Option<PathBuf>,
}

impl Variables {
    fn read(env_file: Option<&Path>) -> Result<Self> {
        let file = match env_file {
            Some(path) => Some(path.to_owned()),
            None => find(".env")?,
        };
        let from_file = match &file {
            Some(path) => {
                let content = std::fs::read(path).with_context(|| path.display().to_string())?;
                parse(&content).map_err(|(line, problem)| {
                    anyhow!("{}, line {line}: {problem}", path.display())
                })?
            }
            None => HashMap::new(),
        };
        Ok(Self { from_file, file })
    }

    /// The variable's value; an empty one counts as none.
    fn get(&self, name: &str) -> Result<Option<String>> {
        self.get_or_empty(name)
            .map(|value| value.filter(|value| !value.is_empty()))
    }

    fn get_or_empty(&self, name: &str) -> Result<Option<String>> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(self.from_file.get(name).cloned()),
            Err(std::env::VarError::NotUnicode(_)) => bail!("{name}: not UTF-8"),
        }
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let real = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        self.from_file.keys().cloned().chain(real)
    }

    fn boolean(&self, name: &str) -> Result<bool> {
        match self
            .get(name)?
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" | "" => Ok(false),
            _ => bail!("{name}: expected true, 1, yes or on, or false, 0, no or off"),
        }
    }
}

/// The nearest file of this name, in the working directory or a parent.
fn find(name: &str) -> Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("the working directory cannot be read")?;
    Ok(here
        .ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file()))
}

/// The content's variables, or the number of the line that is wrong and what is wrong with it.
fn parse(content: &[u8]) -> std::result::Result<HashMap<String, String>, (usize, &'static str)> {
    if let Err(error) = std::str::from_utf8(content) {
        let before = String::from_utf8_lossy(&content[..error.valid_up_to()]);
        return Err((1 + before.matches('\n').count(), "not UTF-8"));
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let lines_read = Rc::new(Cell::new(0));
    let lines = LineByLine {
        rest: content,
        lines_read: Rc::clone(&lines_read),
    };
    // A last line that ends in a space and not in a line break would count as unfinished.
    let mut variables = HashMap::new();
    for entry in dotenvy::Iter::new(lines.chain(&b"\n"[..])) {
        match entry {
            Ok((name, value)) => variables.insert(name, value),
            Err(dotenvy::Error::LineParse(entry, _)) => {
                let last = lines_read.get();
                let spanned = entry.trim_end().lines().count().max(1);
                return Err((
                    last.saturating_sub(spanned - 1).max(1),
                    "expected NAME=value (a value with spaces, quotes, $ or # goes in single quotes)",
                ));
            }
            Err(_) => return Err((lines_read.get(), "cannot be read")),
        };
    }
    Ok(variables)
}

/// Hands out one line a read, so that the number of lines read tells where the parser stands: it does not say itself.
struct LineByLine<'a> {
    rest: &'a [u8],
    lines_read: Rc<Cell<usize>>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = self
            .rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(self.rest.len(), |end| end + 1);
        let length = line.min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest = &self.rest[length..];
        if length == line && length > 0 {
            self.lines_read.set(self.lines_read.get() + 1);
        }
        Ok(length)
    }
}

/// The variables, seen from one environment.
struct Settings {
    variables: Variables,
    environment: Environment,
}

impl Settings {
    /// A variable of this environment, such as `LOCAL_DB_HOST` for `DB_HOST`.
    fn variable(&self, name: &str) -> String {
        format!("{}_{name}", self.environment.prefix())
    }

    /// A setting that each node has for itself: `LOCAL_DB_HOST` is node 1's, `LOCAL_DB_HOST_NODE2` node 2's.
    fn own(&self, name: &str, number: u32) -> Result<Option<String>> {
        self.numbered(&self.variable(name), number, number == 1)
    }

    /// A setting that holds for all nodes under its plain name, and for one under its numbered name.
    fn shared(&self, name: &str, number: u32) -> Result<Option<String>> {
        self.numbered(&self.variable(name), number, true)
    }

    /// The numbered variable's value, else the plain one's if that holds for this node.
    fn numbered(&self, plain: &str, number: u32, else_plain: bool) -> Result<Option<String>> {
        match self.variables.get(&format!("{plain}_NODE{number}"))? {
            None if else_plain => self.variables.get(plain),
            value => Ok(value),
        }
    }

    /// Nodes 1 to 3, and those that a host or a port names.
    fn known_nodes(&self) -> BTreeSet<u32> {
        let prefixes = ["DB_HOST_NODE", "DB_PORT_NODE"].map(|name| self.variable(name));
        let number = |name: String| {
            prefixes
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix)?.parse().ok())
        };
        (1..=3)
            .chain(self.variables.names().filter_map(number))
            .collect()
    }

    /// The variables that are set for this node alone; an empty one is as good as none.
    fn set_for(&self, number: u32) -> BTreeSet<String> {
        let suffix = format!("_NODE{number}");
        self.variables
            .names()
            .filter(|name| {
                name.ends_with(&suffix) && matches!(self.variables.get(name), Ok(Some(_)))
            })
            .collect()
    }

    fn port(&self, number: u32) -> Result<Option<u16>> {
        let Some(value) = self.own("DB_PORT", number)? else {
            return Ok(None);
        };
        match value.trim().parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => bail!(
                "{} of node {number}: expected a port, 1 to 65535",
                self.variable("DB_PORT")
            ),
        }
    }

    fn address(&self, number: u32) -> Result<Address> {
        let host = self.own("DB_HOST", number)?;
        let port = self.port(number)?;
        let prefix = self.environment.prefix();
        if number > 3 && host.is_none() && port.is_none() {
            let known = self.known_nodes();
            let known: Vec<String> = known.iter().map(u32::to_string).collect();
            bail!(
                "node {number} does not exist: nodes {} do, and others that {prefix}_DB_HOST_NODE{number} or \
                 {prefix}_DB_PORT_NODE{number} names{}",
                known.join(", "),
                self.place()
            );
        }
        let (host, default_port) = match (self.environment, host) {
            (Environment::Local, host) => {
                let default_port = match number {
                    2 => 3307,
                    3 => 3308,
                    _ => 3306,
                };
                (host.unwrap_or_else(|| "localhost".to_owned()), default_port)
            }
            (Environment::Cloud, Some(host)) => (host, 3306),
            // The host of all nodes brings its port with it.
            (Environment::Cloud, None) => match self.own("DB_HOST", 1)? {
                Some(host) => (host, self.port(1)?.unwrap_or(3306)),
                None => bail!(
                    "CLOUD_DB_HOST is not set: the cloud environment needs it{}",
                    self.place()
                ),
            },
        };
        Ok(if host.starts_with('/') {
            Address::Socket(host)
        } else {
            let bare = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            Address::Tcp(
                bare.unwrap_or(&host).to_owned(),
                port.unwrap_or(default_port),
            )
        })
    }

    fn admin(&self, number: u32) -> Result<Login> {
        let base = format!("TESTER_{}_DB", self.environment.prefix());
        let user = self
            .numbered(&format!("{base}_USER"), number, true)?
            .unwrap_or_else(|| "tester".to_owned());
        let name = format!("{base}_PASSWORD");
        let password = match (self.numbered(&name, number, true)?, self.environment) {
            (Some(password), _) => Some(password),
            (None, Environment::Cloud) => {
                bail!(
                    "{name} is not set: the cloud environment needs it{}",
                    self.place()
                )
            }
            // Set and empty is an admin without a password; not set at all is the documented default.
            (None, Environment::Local) => match self.variables.get_or_empty(&name)? {
                Some(_) => None,
                None => Some("testpass".to_owned()),
            },
        };
        Ok(Login {
            user,
            password: password.map(Secret),
        })
    }

    fn ssl_mode(&self, number: u32) -> Result<SslMode> {
        let name = self.variable("DB_SSL_MODE");
        match (self.shared("DB_SSL_MODE", number)?, self.environment) {
            (Some(value), _) => match value.to_ascii_lowercase().as_str() {
                "disabled" => Ok(SslMode::Disabled),
                "preferred" => Ok(SslMode::Preferred),
                "required" => Ok(SslMode::Required),
                "verify_ca" => Ok(SslMode::VerifyCa),
                "verify_identity" => Ok(SslMode::VerifyIdentity),
                _ => bail!(
                    "{name}: expected disabled, preferred, required, verify_ca or verify_identity"
                ),
            },
            (None, Environment::Local) => Ok(SslMode::Preferred),
            (None, Environment::Cloud) => Ok(SslMode::Required),
        }
    }

    fn ssl_ca(&self, number: u32) -> Result<Option<PathBuf>> {
        let Some(path) = self.shared("DB_SSL_CA", number)? else {
            return Ok(None);
        };
        // Else a file that is not there would look like a server that is not there.
        std::fs::File::open(&path)
            .with_context(|| format!("{}: {path}", self.variable("DB_SSL_CA")))?;
        Ok(Some(path.into()))
    }

    fn node(&self, number: u32) -> std::result::Result<Node, Vec<anyhow::Error>> {
        let mut problems = Vec::new();
        let node = (|| {
            let address = keep(self.address(number), &mut problems);
            let admin = keep(self.admin(number), &mut problems);
            let ssl_mode = keep(self.ssl_mode(number), &mut problems);
            let database = keep(self.own("DB_NAME", number), &mut problems)?;
            let user = keep(self.shared("DB_USER", number), &mut problems)?;
            let password = keep(self.shared("DB_PASSWORD", number), &mut problems)?;
            let ssl_ca = keep(self.ssl_ca(number), &mut problems)?;
            Some(Node {
                number,
                environment: self.environment,
                address: address?,
                database: database.unwrap_or_else(|| format!("node{number}_db")),
                account: Login {
                    user: user.unwrap_or_else(|| "user".to_owned()),
                    password: password.map(Secret),
                },
                admin: admin?,
                ssl_mode: ssl_mode?,
                ssl_ca,
                unnamed: Vec::new(),
                numbered: self.set_for(number),
            })
        })();
        node.ok_or(problems)
    }

    /// Which file was read, for a message about something that is not in it.
    fn place(&self) -> String {
        match &self.variables.file {
            Some(file) => format!(" (read: {})", file.display()),
            None => " (no .env file found here or in a parent folder)".to_owned(),
        }
    }
}

fn keep<T>(result: Result<T>, problems: &mut Vec<anyhow::Error>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(content: &str) -> Settings {
        let from_file = parse(content.as_bytes()).unwrap();
        let variables = Variables {
            from_file,
            file: None,
        };
        let cloud = variables.boolean("USE_CLOUD_SQL").unwrap();
        Settings {
            variables,
            environment: if cloud {
                Environment::Cloud
            } else {
                Environment::Local
            },
        }
    }

    fn node(content: &str, number: u32) -> Node {
        settings(content).node(number).unwrap()
    }

    /// A node whose settings are the same whichever variables they came from.
    fn settings_of(content: &str, number: u32) -> Node {
        Node {
            numbered: BTreeSet::new(),
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
        let named = |number, name| {
            let node = node(content, number);
            (node.shared_variable(name), node.variable(name))
        };
        for (number, name, shared, own) in [
            (1, "DB_USER", "LOCAL_DB_USER", "LOCAL_DB_USER"),
            (2, "DB_USER", "LOCAL_DB_USER_NODE2", "LOCAL_DB_USER_NODE2"),
            (3, "DB_USER", "LOCAL_DB_USER", "LOCAL_DB_USER_NODE3"),
            (1, "DB_NAME", "LOCAL_DB_NAME_NODE1", "LOCAL_DB_NAME_NODE1"),
        ] {
            assert_eq!(named(number, name), (shared.to_owned(), own.to_owned()));
        }
    }

    #[test]
    fn the_example_changes_nothing_in_the_local_environment() {
        let example = include_str!("../.env.example");
        for number in 1..=3 {
            assert_eq!(settings_of(example, number), settings_of("", number));
        }
    }

    #[test]
    fn the_example_has_the_cloud_defaults_too() {
        let required = "USE_CLOUD_SQL=1\nCLOUD_DB_HOST=h\nTESTER_CLOUD_DB_PASSWORD=p\n";
        let example = include_str!("../.env.example").to_owned() + required;
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
        assert!(problems(content, 4).contains("node 4 does not exist"));
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
        let content = "USE_CLOUD_SQL=on\nTESTER_CLOUD_DB_PASSWORD=p\nCLOUD_DB_HOST=h\nCLOUD_DB_PORT=13306\n\
                       CLOUD_DB_HOST_NODE2=two\nCLOUD_DB_PORT_NODE3=3\n";
        assert_eq!(node(content, 1).address.to_string(), "h:13306");
        assert_eq!(node(content, 2).address.to_string(), "two:3306");
        assert_eq!(node(content, 3).address.to_string(), "h:3");
        assert_eq!(node(content, 2).ssl_mode, SslMode::Required);
        assert!(
            problems("USE_CLOUD_SQL=1\nTESTER_CLOUD_DB_PASSWORD=p", 2)
                .contains("CLOUD_DB_HOST is not set")
        );
    }

    #[test]
    fn a_host_may_be_a_socket_or_an_ipv6_address() {
        assert_eq!(
            node("LOCAL_DB_HOST=/run/my.sock", 1).address,
            Address::Socket("/run/my.sock".to_owned())
        );
        for host in ["::1", "[::1]"] {
            let node = node(&format!("LOCAL_DB_HOST={host}"), 1);
            assert_eq!(node.address, Address::Tcp("::1".to_owned(), 3306));
            assert_eq!(node.address.to_string(), "[::1]:3306");
        }
    }

    #[test]
    fn values_may_hold_anything_when_they_are_quoted() {
        let content = "A='p$a #\"b'\nB=\"it's \\$5 \\\\ \\\"q\\\"\"\nC=plain#1 # comment\n";
        let variables = parse(content.as_bytes()).unwrap();
        assert_eq!(variables["A"], "p$a #\"b");
        assert_eq!(variables["B"], "it's $5 \\ \"q\"");
        assert_eq!(variables["C"], "plain#1");
        // dotenvy lets a backslash escape the quote after it here too, so such a value goes in double quotes.
        assert_eq!(parse(b"A=1\nD='a\\'\n").unwrap_err().0, 2);
        assert_eq!(parse(b"D=\"a\\\\\"\n").unwrap()["D"], "a\\");
    }

    #[test]
    fn of_two_lines_the_last_wins_and_a_byte_order_mark_is_no_name() {
        let variables = parse("\u{feff}A=1\r\nA=2  ".as_bytes()).unwrap();
        assert_eq!(variables["A"], "2");
    }

    #[test]
    fn booleans_are_the_documented_words_and_no_others() {
        for (text, expected) in [
            ("TRUE", true),
            ("1", true),
            ("Yes", true),
            ("on", true),
            ("", false),
            ("Off", false),
        ] {
            assert_eq!(
                settings(&format!("B={text}"))
                    .variables
                    .boolean("B")
                    .unwrap(),
                expected,
                "{text}"
            );
        }
        assert!(settings("B=maybe").variables.boolean("B").is_err());
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
        fn no_file_makes_it_panic(content in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = (parse(&content), parse(text.as_bytes()));
        }

        #[test]
        fn no_error_shows_a_value(
            name in "(USE_CLOUD_SQL|(LOCAL|CLOUD)_DB_(HOST|PORT|NAME|USER|PASSWORD|SSL_MODE)(_NODE[12])?)",
            value in "s3cret[ -&(-~]{0,20}",
            cloud in any::<bool>(),
        ) {
            let content = format!("USE_CLOUD_SQL={cloud}\nTESTER_CLOUD_DB_PASSWORD='{value}'\n{name}='{value}'\n");
            // A backslash before the closing quote makes the line malformed.
            let Ok(from_file) = parse(content.as_bytes()) else { return Ok(()) };
            let variables = Variables { from_file, file: None };
            let mut shown = Vec::new();
            let environment = match variables.boolean("USE_CLOUD_SQL") {
                Ok(true) => Environment::Cloud,
                Ok(false) => Environment::Local,
                Err(error) => {
                    shown.push(error.to_string());
                    Environment::Local
                }
            };
            let settings = Settings { variables, environment };
            for number in 1..=2 {
                match settings.node(number) {
                    Err(problems) => shown.extend(problems.iter().map(|problem| format!("{problem:#}"))),
                    Ok(node) => {
                        let login = format!("{:?}{:?}", node.account.password, node.admin.password);
                        shown.push(login);
                    }
                }
            }
            prop_assert!(shown.iter().all(|text| !text.contains("s3cret")), "{shown:?}");
        }

        #[test]
        fn a_file_with_a_secret_in_a_wrong_line_is_named_without_it(before in "[A-Z=' \n#$\"]{0,40}", after in any::<String>()) {
            if let Err((line, problem)) = parse(format!("{before}s3cret{after}").as_bytes()) {
                prop_assert!(line >= 1 && !problem.contains("s3cret"));
            }
        }
    }
}
