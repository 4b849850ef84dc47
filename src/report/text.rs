//! Numbers, durations and names as a person reads them, and how much of it a terminal's line has
//! room for.

use std::io;
use std::time::Duration;

use terminal_size::{Width, terminal_size_of};

/// The text with its control characters escaped, those too that turn the direction of writing or take
/// no room: names and messages come from servers and files.
pub(super) fn printable(text: &str) -> String {
    let is_format = |c| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_format(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// So many sessions.
pub(super) fn sessions(count: usize) -> String {
    match count {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    }
}

/// How many columns there are on a line of the terminal without its last one, where some go on to
/// the next line.
pub(super) fn room() -> usize {
    let size = terminal_size_of(io::stderr());
    // One that does not tell is as wide as they come.
    size.map_or(80, |(Width(columns), _)| usize::from(columns)) - 1
}

/// How many columns the text takes at most: some characters take two.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// As much of the text's beginning as takes no more than so many columns.
pub(super) fn within(text: &str, room: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += if c.is_ascii() { 1 } else { 2 };
        taken <= room
    };
    text.chars().take_while(fits).collect()
}

pub(super) fn turned_away(count: u64) -> String {
    match count {
        1 => ", 1 login or statement refused".to_owned(),
        count => format!(", {count} logins or statements refused"),
    }
}

/// To a tenth of a millisecond.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// In whole seconds, the one that has begun counted.
pub(super) fn in_seconds(duration: Duration) -> humantime::FormattedDuration {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    humantime::format_duration(Duration::from_secs(whole))
}

/// For people: to a tenth of a second, or in whole ones.
pub fn rounded(duration: Duration) -> String {
    // What would be rounded to 60.0s is a minute.
    if duration < Duration::from_millis(59_950) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        let seconds = duration.as_secs().max(60);
        humantime::format_duration(Duration::from_secs(seconds)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_or_turn_the_line_or_is_not_seen_is_escaped() {
        assert_eq!(
            printable("a\tb\u{1b}[31m\u{202e}\u{feff}ü❌"),
            "a\\tb\\u{1b}[31m\\u{202e}\\u{feff}ü❌"
        );
    }

    #[test]
    fn a_text_is_cut_where_the_line_ends() {
        assert_eq!(within("node ü1", 6), "node ");
        assert_eq!(within("node ü1", 7), "node ü");
        assert_eq!(columns(&within("❌❌❌", 5)), 4);
    }

    #[test]
    fn one_is_said_as_one() {
        assert_eq!(
            (sessions(1), sessions(2)),
            ("1 session".to_owned(), "2 sessions".to_owned())
        );
        assert!(turned_away(1).ends_with("1 login or statement refused"));
        assert_eq!(rounded(Duration::from_millis(1240)), "1.2s");
        assert_eq!(rounded(Duration::from_millis(59_940)), "59.9s");
        assert_eq!(rounded(Duration::from_millis(59_960)), "1m");
        assert_eq!(rounded(Duration::from_millis(61_900)), "1m 1s");
        assert_eq!(in_seconds(Duration::from_millis(1001)).to_string(), "2s");
    }
}
