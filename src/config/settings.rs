//! The variables' names, and what each is when it is set and when it is not.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::env_file;
use super::names::node_number;
use super::variables::{Setting, Variables};
use super::{Address, Environment, Login, Node, NodeVariables, Secret, SslMode, Unnamed};
use crate::system::HAS_SOCKETS;

/// The variables, seen from one environment.
pub struct Settings {
    variables: Variables,
    environment: Environment,
}

impl Settings {
    /// The settings of the environment that the variables name.
    pub fn new(variables: Variables) -> Result<Self> {
        let environment = if variables.cloud()? {
            Environment::Cloud
        } else {
            Environment::Local
        };
        Ok(Self {
            variables,
            environment,
        })
    }

    #[cfg(test)]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// A variable of this environment, such as `LOCAL_DB_HOST` for `DB_HOST`.
    fn variable(&self, name: &str) -> String {
        format!("{}_{name}", self.environment.prefix())
    }

    /// A setting that each node has for itself: `LOCAL_DB_HOST` is node 1's, `LOCAL_DB_HOST_NODE2`
    /// node 2's.
    fn own(&self, name: &str, number: u32) -> Result<Setting> {
        let plain = self.variable(name);
        let setting = self.numbered(&plain, number, number == 1)?;
        if number == 1 && setting.is_from_file() {
            // By either of its names the environment wins.
            let first = self.variables.get(&plain)?;
            if first.value.is_some() && !first.is_from_file() {
                return Ok(first);
            }
        }
        Ok(setting)
    }

    /// A setting that holds for all nodes under its plain name, and for one under its numbered
    /// name.
    fn shared(&self, name: &str, number: u32) -> Result<Setting> {
        self.numbered(&self.variable(name), number, true)
    }

    /// The same, with what it means.
    fn read<T>(
        &self,
        name: &str,
        number: u32,
        read: fn(&Self, &Setting) -> Result<T>,
    ) -> Result<(T, Setting)> {
        let setting = self.shared(name, number)?;
        Ok((read(self, &setting)?, setting))
    }

    /// The numbered variable's value, else the plain one's if that holds for this node.
    fn numbered(&self, plain: &str, number: u32, else_plain: bool) -> Result<Setting> {
        let setting = self.variables.get(&format!("{plain}_NODE{number}"))?;
        if setting.value.is_none() && else_plain {
            self.variables.get(plain)
        } else {
            Ok(setting)
        }
    }

    /// Nodes 1 to 3, and those that a host or a port names.
    pub fn known_nodes(&self) -> BTreeSet<u32> {
        let prefixes = ["DB_HOST_NODE", "DB_PORT_NODE"].map(|name| self.variable(name));
        let number = |name: String| {
            let digits = prefixes
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix))?;
            let number = node_number(digits)?;
            // One that is set to nothing names no node.
            let is_set = !matches!(self.variables.get(&name), Ok(Setting { value: None, .. }));
            is_set.then_some(number)
        };
        (1..=3)
            .chain(self.variables.names().filter_map(number))
            .collect()
    }

    fn port(&self, setting: &Setting) -> Result<Option<u16>> {
        let Some(value) = &setting.value else {
            return Ok(None);
        };
        match value.trim().parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => bail!(
                "{}: expected a port, 1 to 65535",
                self.variables.named(setting)
            ),
        }
    }

    /// Where the node is.
    pub fn address_of(&self, number: u32) -> Result<Address> {
        self.address(number).map(|(address, ..)| address)
    }

    /// What a node that is not named may share with one that is.
    pub fn unnamed(&self, number: u32) -> Result<Unnamed> {
        Ok(Unnamed {
            number,
            address: self.address_of(number)?,
            database: database_or_default(self.own("DB_NAME", number)?.value, number),
            user: user_or_default(self.shared("DB_USER", number)?.value),
        })
    }

    /// Where the node is, and the host and the port that say so.
    fn address(&self, number: u32) -> Result<(Address, Setting, Setting)> {
        let mut host = self.own("DB_HOST", number)?;
        let mut port = self.own("DB_PORT", number)?;
        let prefix = self.environment.prefix();
        if number > 3 && host.value.is_none() && port.value.is_none() {
            let known: Vec<String> = self.known_nodes().iter().map(u32::to_string).collect();
            bail!(
                "there is no node {number} (nodes: {}). To add it, set {prefix}_DB_PORT_NODE{number} or \
                 {prefix}_DB_HOST_NODE{number} in {}",
                known.join(", "),
                self.variables.place()
            );
        }
        let default_port = match (self.environment, number) {
            (Environment::Local, 2) => 3307,
            (Environment::Local, 3) => 3308,
            _ => 3306,
        };
        if host.value.is_none() && self.environment == Environment::Cloud {
            // The host of all nodes brings its port with it.
            host = self.own("DB_HOST", 1)?;
            if port.value.is_none() {
                port = self.own("DB_PORT", 1)?;
            }
            if host.value.is_none() {
                return Err(self.needed("CLOUD_DB_HOST"));
            }
        }
        let number = self.port(&port)?.unwrap_or(default_port);
        let name = host.value.as_deref().unwrap_or("localhost");
        let is_socket = name.starts_with('/');
        if name.starts_with('\\') || is_socket && !HAS_SOCKETS {
            let what = if is_socket { "socket" } else { "named pipe" };
            bail!(
                "{}: a {what} does not do here: expected a host name or an IP address",
                self.variables.named(&host)
            );
        }
        let address = if is_socket {
            Address::Socket(name.to_owned())
        } else {
            let bare = name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'));
            let bare = bare.unwrap_or(name);
            if !may_be_host(bare) {
                let is_url = bare.contains("://") || bare.contains(']');
                let behind = bare.rsplit_once(':').map(|(_, behind)| behind);
                let has_port = (is_url || bare.matches(':').count() == 1)
                    && behind.is_some_and(|one| one.starts_with(|c: char| c.is_ascii_digit()));
                let but = has_port.then(|| format!(", and the port in {}", port.variable));
                bail!(
                    "{}: expected a host name or an IP address{}",
                    self.variables.named(&host),
                    but.unwrap_or_default()
                );
            }
            Address::Tcp(bare.to_owned(), number)
        };
        Ok((address, host, port))
    }

    fn needed(&self, name: &str) -> anyhow::Error {
        let place = self.variables.place();
        anyhow::anyhow!("{name} is not set, and the cloud environment needs it: set it in {place}")
    }

    fn admin_setting(&self, name: &str, number: u32) -> Result<Setting> {
        let plain = format!("TESTER_{}_DB_{name}", self.environment.prefix());
        self.numbered(&plain, number, true)
    }

    fn admin_password(&self, number: u32) -> Result<Setting> {
        let mut setting = self.admin_setting("PASSWORD", number)?;
        if setting.value.is_none() {
            if self.environment == Environment::Cloud {
                return Err(self.needed(&setting.variable));
            }
            // Set and empty is an admin without a password; not set at all is the documented
            // default.
            if self
                .variables
                .get_or_empty(&setting.variable)?
                .value
                .is_none()
            {
                setting.value = Some("testpass".to_owned());
            }
        }
        Ok(setting)
    }

    /// The node's database. What the server makes up itself holds no data, and no way back.
    fn database(&self, number: u32) -> Result<Setting> {
        let setting = self.own("DB_NAME", number)?;
        let is = |name: &str| {
            setting
                .value
                .as_ref()
                .is_some_and(|value| value.eq_ignore_ascii_case(name))
        };
        if is("information_schema") || is("performance_schema") {
            bail!(
                "{}: expected the application's database, not one of the server's own",
                self.variables.named(&setting)
            );
        }
        Ok(setting)
    }

    /// Whether the admin's password may be sent as it is, which nobody must be able to read.
    fn admin_in_clear_text(&self, number: u32) -> Result<(bool, Setting)> {
        let setting = self.admin_setting("ENABLE_CLEARTEXT_PLUGIN", number)?;
        let is_enabled = self.variables.is_true(&setting)?;
        let mode = self.shared("DB_SSL_MODE", number)?;
        if is_enabled && self.ssl_mode(&mode).ok() == Some(SslMode::Disabled) {
            bail!(
                "{}: the password would be sent in clear text: {} must not be disabled",
                self.variables.named(&setting),
                mode.variable
            );
        }
        Ok((is_enabled, setting))
    }

    fn ssl_mode(&self, setting: &Setting) -> Result<SslMode> {
        let Some(value) = &setting.value else {
            return Ok(match self.environment {
                Environment::Local => SslMode::Preferred,
                Environment::Cloud => SslMode::Required,
            });
        };
        Ok(match value.to_ascii_lowercase().as_str() {
            "disabled" => SslMode::Disabled,
            "preferred" => SslMode::Preferred,
            "required" => SslMode::Required,
            "verify_ca" => SslMode::VerifyCa,
            "verify_identity" => SslMode::VerifyIdentity,
            _ => bail!(
                "{}: expected disabled, preferred, required, verify_ca or verify_identity",
                self.variables.named(setting)
            ),
        })
    }

    fn ssl_ca(&self, setting: &Setting) -> Result<Option<PathBuf>> {
        let Some(path) = &setting.value else {
            return Ok(None);
        };
        // Else a file that is not there would look like a server that is not there, and one that
        // holds something else like a server whose certificate is none.
        match env_file::content(Path::new(path)) {
            Ok(content) if holds_a_certificate(&content) => Ok(Some(path.into())),
            Ok(_) => bail!(
                "{}: no certificate is in the file that it names (PEM or DER)",
                self.variables.named(setting)
            ),
            Err(why) => bail!(
                "{}: cannot read the file that it names: {why}",
                self.variables.named(setting)
            ),
        }
    }

    /// A node's settings, or all that is wrong with them.
    pub fn node(&self, number: u32) -> std::result::Result<Node, Vec<anyhow::Error>> {
        let mut problems = Vec::new();
        let node = self.node_or_problems(number, &mut problems);
        node.ok_or(problems)
    }

    fn node_or_problems(&self, number: u32, problems: &mut Vec<anyhow::Error>) -> Option<Node> {
        let address = keep(self.address(number), problems);
        let admin_user = keep(self.admin_setting("USER", number), problems);
        let admin_password = keep(self.admin_password(number), problems);
        let database = keep(self.database(number), problems);
        let user = keep(self.shared("DB_USER", number), problems);
        let password = keep(self.shared("DB_PASSWORD", number), problems);
        let ssl_mode = keep(self.read("DB_SSL_MODE", number, Self::ssl_mode), problems);
        let ssl_ca = keep(self.read("DB_SSL_CA", number, Self::ssl_ca), problems);
        let in_clear_text = keep(self.admin_in_clear_text(number), problems);
        let (address, host, port) = address?;
        let (ssl_mode, mode) = ssl_mode?;
        let (ssl_ca, ca) = ssl_ca?;
        let (admin_user, admin_password) = (admin_user?, admin_password?);
        let (in_clear_text, clear_text) = in_clear_text?;
        let (database, user, password) = (database?, user?, password?);
        let variables = NodeVariables {
            host: host.variable,
            port: port.variable,
            database: database.variable,
            user: user.variable,
            password: password.variable,
            admin_user: admin_user.variable,
            admin_password: admin_password.variable,
            admin_in_clear_text: clear_text.variable,
            ssl_mode: mode.variable,
            ssl_ca: ca.variable,
        };
        Some(Node {
            number,
            environment: self.environment,
            address,
            database: database_or_default(database.value, number),
            account: login(user_or_default(user.value), password.value),
            admin: Login {
                in_clear_text,
                ..login(
                    admin_user.value.unwrap_or_else(|| "tester".to_owned()),
                    admin_password.value,
                )
            },
            ssl_mode,
            ssl_ca,
            unnamed: Vec::new(),
            variables,
        })
    }
}

/// Whether it looks like one: in letters, or a sequence in DER.
fn holds_a_certificate(content: &[u8]) -> bool {
    let letters = b"-----BEGIN CERTIFICATE-----";
    content.starts_with(&[0x30]) || content.windows(letters.len()).any(|part| part == letters)
}

/// Whether this may be a host name or an IP address, which a resolver has to tell, and not a URL or the
/// like. An IPv6 address may have a zone.
fn may_be_host(name: &str) -> bool {
    let (address, _) = name.split_once('%').unwrap_or((name, ""));
    let is_in_none = |c: char| c.is_whitespace() || ":/@,()[]".contains(c);
    address.parse::<Ipv6Addr>().is_ok() || !name.contains(is_in_none)
}

fn database_or_default(value: Option<String>, number: u32) -> String {
    value.unwrap_or_else(|| format!("node{number}_db"))
}

fn user_or_default(value: Option<String>) -> String {
    value.unwrap_or_else(|| "user".to_owned())
}

fn login(user: String, password: Option<String>) -> Login {
    Login {
        user,
        password: password.map(Secret),
        in_clear_text: false,
    }
}

fn keep<T>(result: Result<T>, problems: &mut Vec<anyhow::Error>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}
