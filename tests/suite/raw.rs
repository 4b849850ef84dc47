//! Logins that a test sends packet by packet, so that it can pause in the middle of one, and
//! sessions of the X Protocol.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use mysql_common::scramble::{scramble_native, scramble_sha256};

use crate::harness::PATIENCE;

/// A connection of the classic protocol:
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>.
pub struct Raw {
    stream: TcpStream,
    sequence: u8,
    /// What the server said last.
    last: Vec<u8>,
}

/// The client's capabilities: long password, protocol 4.1, secure connection, plugins, and a
/// database.
const CAPABILITIES: u32 = 0x1 | 0x200 | 0x8000 | 0x8_0000 | 0x8;

/// A plugin that no account has here, so that the server asks for another answer.
const OTHER_PLUGIN: &[u8] = b"mysql_clear_password\0";

impl Raw {
    /// Connects and reads the greeting.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self {
            stream,
            sequence: 0,
            last: Vec::new(),
        };
        raw.read().unwrap();
        raw
    }

    /// The connection's id on its server.
    pub fn id(port: u16) -> (Self, u64) {
        let raw = Self::connect(port);
        let end = raw.last.iter().position(|&byte| byte == 0).unwrap() + 1;
        let id = u32::from_le_bytes(raw.last[end..end + 4].try_into().unwrap());
        (raw, id.into())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        self.sequence = head[3].wrapping_add(1);
        self.last = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
        self.stream.read_exact(&mut self.last)
    }

    fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut packet = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        packet[3] = self.sequence;
        packet.extend(payload);
        self.stream.write_all(&packet)
    }

    /// Sends the user name, and waits until the server asks for an answer to its challenge.
    pub fn send_user(&mut self, user: &str, database: &str) {
        let mut packet = CAPABILITIES.to_le_bytes().to_vec();
        packet.extend((1_u32 << 24).to_le_bytes());
        packet.push(45); // utf8mb4
        packet.extend([0; 23]);
        packet.extend(user.as_bytes());
        packet.extend([0, 0]); // no answer yet
        packet.extend(database.as_bytes());
        packet.push(0);
        packet.extend(OTHER_PLUGIN);
        self.write(&packet).unwrap();
        self.read().unwrap();
        assert_eq!(
            self.last[0],
            0xfe,
            "{}",
            String::from_utf8_lossy(&self.last)
        );
    }

    /// The same in a session of somebody else, to become this user.
    pub fn change_user(&mut self, user: &str, database: &str) {
        self.sequence = 0;
        let mut packet = vec![0x11];
        packet.extend(user.as_bytes());
        packet.extend([0, 0]);
        packet.extend(database.as_bytes());
        packet.extend([0, 45, 0]);
        packet.extend(OTHER_PLUGIN);
        self.write(&packet).unwrap();
        self.read().unwrap();
        assert_eq!(
            self.last[0],
            0xfe,
            "{}",
            String::from_utf8_lossy(&self.last)
        );
    }

    /// Answers the challenge: whether the server lets it in.
    pub fn answer(&mut self, password: &str) -> io::Result<bool> {
        let end = self.last.iter().position(|&byte| byte == 0).unwrap();
        let (plugin, nonce) = (
            self.last[1..end].to_vec(),
            self.last[end + 1..end + 21].to_vec(),
        );
        let password = password.as_bytes();
        let answer = match &plugin[..] {
            b"caching_sha2_password" => scramble_sha256(&nonce, password).unwrap().to_vec(),
            _ => scramble_native(&nonce, password).unwrap().to_vec(),
        };
        self.write(&answer)?;
        self.read()?;
        if self.last == [1, 3] {
            self.read()?; // The password was right; whether that lets it in comes next.
        }
        assert_ne!(self.last[0], 1, "the server does not remember the password");
        Ok(self.last[0] == 0)
    }

    /// Runs a statement that answers no rows: whether it worked.
    pub fn query(&mut self, statement: &str) -> io::Result<bool> {
        self.sequence = 0;
        self.write(&[&[3], statement.as_bytes()].concat())?;
        self.read()?;
        Ok(self.last[0] == 0)
    }
}

/// A session of the X Protocol over a server's socket:
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_mysqlx_protocol.html>.
pub struct XSession(UnixStream);

impl XSession {
    /// Logs in, with this database or none (`""`).
    pub fn log_in(socket: &Path, user: &str, password: &str, database: &str) -> Option<Self> {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut session = Self(stream);
        let proof = format!("{database}\0{user}\0{password}");
        // AuthenticateStart { mech_name: 1, auth_data: 2 }
        session
            .send(
                4,
                &[field(1, b"PLAIN"), field(2, proof.as_bytes())].concat(),
            )
            .ok()?;
        session.until(4).ok()?.then_some(session)
    }

    /// Runs a statement: whether it worked.
    pub fn query(&mut self, statement: &str) -> io::Result<bool> {
        // StmtExecute { stmt: 1 }
        self.send(12, &field(1, statement.as_bytes()))?;
        self.until(17)
    }

    fn send(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len() + 1).unwrap().to_le_bytes();
        self.0.write_all(&[&length, &[kind][..], payload].concat())
    }

    /// Whether a message of this kind comes, and not an error.
    fn until(&mut self, kind: u8) -> io::Result<bool> {
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head)?;
            let length = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
            self.0.read_exact(&mut vec![0; length - 1])?;
            if head[4] == kind || head[4] == 1 {
                return Ok(head[4] == kind);
            }
        }
    }
}

/// A field of a message: a string of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len())
        .ok()
        .filter(|length| *length < 128);
    [&[number << 3 | 2, length.unwrap()], bytes].concat()
}
