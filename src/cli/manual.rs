//! The manual page, for `man`: the commands and options are clap's definition, the rest stands
//! here.

use std::fmt::Write;

use clap::{Arg, Command};

use super::completion::{long, positional, takes_value};
use super::help::{A_DRILL, EXAMPLES, EXIT_STATUSES, FOUR_CASES, SETTINGS, WITH_COMMAND};

const DESCRIPTION: &[&str] = &[
    "fail-start takes numbered MySQL or MariaDB nodes away from an application's account, so that you can watch the \
     application cope, and brings them back exactly as they were. No server is stopped and no data is touched: the account \
     is locked (or its grants on the node's database are revoked), its sessions are ended, and the node is watched until it is \
     back.",
    "The nodes come back when you answer Y, after the time of --for, when the COMMAND has ended, on Ctrl-C, and when the \
     terminal is closed. After a kill -9 or a power cut, fail-start recover brings them back.",
];

/// Each with what it is when it is not set.
const VARIABLES: &[(&str, &str)] = &[
    (
        "USE_CLOUD_SQL",
        "true: the variables that begin with CLOUD are used; false, or not set: those with LOCAL.",
    ),
    (
        "LOCAL_DB_HOST, LOCAL_DB_HOST_NODE2, ...",
        "Host name, IP address, or path of a Unix socket. Not set: localhost.",
    ),
    (
        "LOCAL_DB_PORT, LOCAL_DB_PORT_NODE2, ...",
        "Not set: 3306, 3307 and 3308 for nodes 1 to 3. A node above 3 exists where a host or a port names it.",
    ),
    (
        "LOCAL_DB_NAME, LOCAL_DB_NAME_NODE2, ...",
        "The node's database. Not set: node1_db, node2_db and so on.",
    ),
    (
        "LOCAL_DB_USER, LOCAL_DB_PASSWORD",
        "The application's account. Not set: user, and no password. With its password a login proves each end of the outage.",
    ),
    (
        "TESTER_LOCAL_DB_USER, TESTER_LOCAL_DB_PASSWORD",
        "The admin that fail-start logs in with. Not set: tester, testpass.",
    ),
    (
        "TESTER_LOCAL_DB_ENABLE_CLEARTEXT_PLUGIN",
        "true or false: whether the admin's password may be sent in clear text, as a token is; over TLS only. Not set: false.",
    ),
    (
        "LOCAL_DB_SSL_MODE, LOCAL_DB_SSL_CA",
        "disabled, preferred, required, verify_ca or verify_identity, and the PEM file of the authorities that the last two \
         trust. Not set: preferred, and those of the web.",
    ),
    (
        "CLOUD_DB_HOST, ...",
        "The same with CLOUD for LOCAL. CLOUD_DB_HOST and TESTER_CLOUD_DB_PASSWORD must be set, ports are 3306, and \
         CLOUD_DB_SSL_MODE defaults to required.",
    ),
];

const SET_FOR_COMMAND: &[(&str, &str)] = &[
    (
        "FAIL_START_NODES",
        "Set for COMMAND: the nodes that are offline, such as 2,3.",
    ),
    (
        "FAIL_START_PHASE",
        "Set for COMMAND of a drill: before, offline or back.",
    ),
];

const COLOUR: &[(&str, &str)] = &[("NO_COLOR", "If it is set, nothing is coloured.")];

const FILES: &[(&str, &str)] = &[(
    ".env",
    "The settings, in the working directory or the nearest folder above it that has one; --env-file names another. The \
     application reads the same file with python-dotenv: a line that both would not read the same is an error. The project's \
     .env.example has every variable.",
)];

/// The page.
pub fn page(root: &Command) -> String {
    let mut root = root.clone();
    root.build();
    let name = root.get_name().to_owned();
    let version = root.get_version().unwrap_or_default();
    let mut page = Page(format!(
        ".TH {} 1 \"\" \"{} {version}\" \"User Commands\"\n.nh\n.ad l\n",
        name.to_uppercase(),
        escaped(&name)
    ));
    page.name_and_synopsis(&root);
    page.section("DESCRIPTION");
    for paragraph in DESCRIPTION {
        page.paragraph(paragraph);
    }

    page.section("COMMANDS");
    for command in commands(&root) {
        page.command(command);
    }

    page.section("OPTIONS");
    for arg in root.get_arguments().filter(|arg| !arg.is_positional()) {
        page.option(arg);
    }

    page.section("EXIT STATUS");
    page.table(EXIT_STATUSES);
    page.paragraph(WITH_COMMAND);
    page.paragraph(A_DRILL);

    page.environment();
    page.section("FILES");
    page.table(FILES);

    page.examples();
    page.section("SEE ALSO");
    page.line("\\fBtimeout\\fR(1), whose exit statuses around a command are the same");
    page.0
}

fn commands(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands().filter(|one| !one.is_hide_set())
}

/// The page's source, as it grows.
struct Page(String);

impl Page {
    fn name_and_synopsis(&mut self, root: &Command) {
        let name = root.get_name();
        self.section("NAME");
        let about = root
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let about = about.split(':').next().unwrap_or_default();
        self.line(&format!(
            "{} \\- {}",
            escaped(name),
            escaped(&about.to_lowercase().replace("mysql", "MySQL"))
        ));

        self.section("SYNOPSIS");
        self.line(&synopsis(name, root));
        for command in commands(root) {
            self.line(".br");
            let name = format!("{name} {}", command.get_name());
            self.line(&synopsis(&name, command));
        }
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn section(&mut self, name: &str) {
        self.line(&format!(".SH {name}"));
    }

    /// The head of an item; what belongs to it comes next.
    fn tagged(&mut self, tag: &str) {
        self.line(".TP");
        self.line(tag);
    }

    /// Text of several paragraphs, as far in as what stands before it.
    fn text(&mut self, text: &str) {
        for (at, paragraph) in text.split("\n\n").enumerate() {
            if at > 0 {
                self.line(".IP");
            }
            self.line(&sentences(paragraph));
        }
    }

    fn paragraph(&mut self, text: &str) {
        self.line(".PP");
        self.line(&sentences(text));
    }

    fn table(&mut self, rows: &[(&str, &str)]) {
        for (name, what) in rows {
            self.tagged(&format!("\\fB{}\\fR", escaped(name)));
            self.text(what);
        }
    }

    /// A subcommand, with its options.
    fn command(&mut self, command: &Command) {
        self.tagged(&synopsis(command.get_name(), command));
        let about = command.get_long_about().or(command.get_about());
        self.text(&about.map(ToString::to_string).unwrap_or_default());
        let own =
            |arg: &&Arg| !arg.is_positional() && !arg.is_global_set() && arg.get_id() != "help";
        if command.get_arguments().any(|arg| own(&arg)) {
            self.line(".RS");
            for arg in command.get_arguments().filter(own) {
                self.option(arg);
            }
            self.line(".RE");
        }
    }

    fn environment(&mut self) {
        self.section("ENVIRONMENT");
        self.paragraph(SETTINGS);
        self.table(VARIABLES);
        self.paragraph(
            "What holds for all nodes has a variable for one that differs, too: LOCAL_DB_USER_NODE2, TESTER_LOCAL_DB_USER_NODE2.",
        );
        self.table(SET_FOR_COMMAND);
        self.table(COLOUR);
    }

    fn examples(&mut self) {
        self.section("EXAMPLES");
        self.table(EXAMPLES);
        self.paragraph("The four cases that an application over several nodes should survive:");
        for (number, (what, then)) in (1..).zip(FOUR_CASES) {
            self.line(&format!(".IP {number}. 4"));
            self.line(&format!("\\fB{}\\fR", escaped(what)));
            self.line(".br");
            self.text(then);
        }
    }

    fn option(&mut self, arg: &Arg) {
        let Some(long) = long(arg) else { return };
        let mut tag = match arg.get_short() {
            Some(short) => format!("\\fB\\-{short}\\fR, \\fB{}\\fR", escaped(&long)),
            None => format!("\\fB{}\\fR", escaped(&long)),
        };
        if takes_value(arg) {
            let names = arg.get_value_names().unwrap_or_default();
            for name in names {
                let _ = write!(tag, " \\fI{}\\fR", escaped(name));
            }
        }
        self.tagged(&tag);
        let help = arg.get_long_help().or(arg.get_help());
        let mut help = help.map(ToString::to_string).unwrap_or_default();
        if let [default] = arg.get_default_values()
            && takes_value(arg)
        {
            let _ = write!(help, " [default: {}]", default.to_string_lossy());
        }
        self.text(&help);
    }
}

/// How a command is typed.
fn synopsis(name: &str, command: &Command) -> String {
    let mut line = format!("\\fB{}\\fR", escaped(name));
    let own = |arg: &Arg| !arg.is_positional() && !arg.is_global_set() && arg.get_id() != "help";
    if command.get_arguments().any(own) {
        line += " [\\fIOPTION\\fR]...";
    }
    let last = command.get_positionals().find(|arg| arg.is_last_set());
    for arg in positional(command).into_iter().chain(last) {
        let placeholder = arg.get_value_names().and_then(|names| names.first());
        let placeholder = placeholder.map_or_else(|| arg.get_id().as_str(), |name| name.as_str());
        let several = arg
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1);
        let several = if several { "..." } else { "" };
        let dashes = if arg.is_last_set() {
            "\\fB\\-\\-\\fR "
        } else {
            ""
        };
        let one = format!(
            "{dashes}\\fI{}\\fR{several}",
            escaped(&placeholder.to_uppercase())
        );
        let _ = if arg.is_required_set() {
            write!(line, " {one}")
        } else {
            write!(line, " [{one}]")
        };
    }
    line
}

/// A sentence a line, as `man` wants it.
fn sentences(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    escaped(&text).replace(". ", ".\n")
}

/// The text with nothing in it that `man` would take for its own, and with hyphens that can be
/// copied.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}
