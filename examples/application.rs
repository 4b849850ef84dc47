//! The application of `scripts/demo`: writes to node 1 ten times a second, and says when that is
//! refused and when it works again.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

fn main() -> io::Result<()> {
    let port = std::env::var("LOCAL_DB_PORT").ok();
    let port = port.and_then(|port| port.parse().ok()).unwrap_or(3306);
    let mut connection = None;
    let mut worked = None;
    let mut refused = 0_u32;
    let mut out = io::stdout();
    loop {
        let written = write(&mut connection, port);
        match (&written, worked) {
            (Ok(()), None) => writeln!(out, "writes to node 1, ten times a second")?,
            (Ok(()), Some(false)) => {
                writeln!(out, "writes to node 1 again; {refused} writes were refused")?;
            }
            (Err(mysql::Error::MySqlError(error)), None | Some(true)) => {
                writeln!(out, "is refused: {}", error.message)?;
            }
            (Err(error), None | Some(true)) => writeln!(out, "is refused: {error}")?,
            _ => {}
        }
        out.flush()?;
        refused = if written.is_ok() { 0 } else { refused + 1 };
        worked = Some(written.is_ok());
        thread::sleep(Duration::from_millis(100));
    }
}

/// Writes a row on the open connection, or on a new one where there is none or it was lost, as a
/// pool of connections does.
fn write(connection: &mut Option<Conn>, port: u16) -> mysql::Result<()> {
    const WRITE: &str = "INSERT INTO orders VALUES ()";
    if let Some(open) = connection
        && open.query_drop(WRITE).is_ok()
    {
        return Ok(());
    }
    *connection = None;
    let options = OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(port)
        .user(Some("user"))
        .pass(Some("rootpass"))
        .db_name(Some("node1_db"));
    let mut new = Conn::new(options)?;
    new.query_drop("CREATE TABLE IF NOT EXISTS orders (id INT AUTO_INCREMENT PRIMARY KEY)")?;
    new.query_drop(WRITE)?;
    *connection = Some(new);
    Ok(())
}
