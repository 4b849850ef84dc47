//! Which server answers: what is the same only for two connections to one server, however they are
//! addressed.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::Address;
use crate::server::sql;

/// The values of [`sql::IDENTITY`], by their variables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerId(BTreeMap<String, String>);

impl ServerId {
    /// Reads it from variables and their values, among which may be others too.
    pub fn read(variables: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let own = variables
            .into_iter()
            .filter(|(name, _)| sql::IDENTITY.contains(&name.as_str()));
        Self(
            own.map(|(name, value)| (name, value.unwrap_or_default()))
                .collect(),
        )
    }

    /// The variables that it is read from.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn variable(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Where it listens, by its own word: the machine's name and the port, and the socket on that
    /// machine.
    pub fn listens(&self) -> [Address; 2] {
        let port = self.variable("port").parse().unwrap_or(0);
        [
            Address::Tcp(self.variable("hostname").to_owned(), port),
            Address::Socket(self.variable("socket").to_owned()),
        ]
    }
}

impl ServerId {
    /// The shortest that tells this server from others.
    pub fn name(&self) -> String {
        match self.variable("server_uuid") {
            "" => format!("{}-{}", self.variable("hostname"), self.variable("port")),
            uuid => uuid.to_owned(),
        }
    }
}

impl fmt::Display for ServerId {
    /// Enough of it for a person to know the server by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [hostname, port] = ["hostname", "port"].map(|name| self.variable(name));
        let id = match self.variable("server_uuid") {
            "" => self.variable("datadir"),
            uuid => uuid,
        };
        write!(f, "{hostname}:{port} ({id})")
    }
}
