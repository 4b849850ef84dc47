//! The values of options and arguments: numbers and durations, each within its bounds.

use std::time::Duration;

/// The number of a node.
///
/// # Errors
/// What it takes.
pub fn node(text: &str) -> Result<u32, &'static str> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        // What to type instead depends on what else was typed.
        _ => Err("not the number of a node"),
    }
}

/// The longest wait for a node to answer.
///
/// # Errors
/// What it takes.
pub fn timeout(text: &str) -> Result<Duration, String> {
    duration(text, "500ms, 10s or 1m", Duration::from_secs(3600), "1h")
}

/// How many nodes a drill takes offline together.
///
/// # Errors
/// What it takes.
pub fn at_once(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|&count| count > 0);
    count.ok_or_else(|| "takes how many nodes, 1 or more".to_owned())
}

/// How long a run of a drill may take.
///
/// # Errors
/// What it takes.
pub fn limit(text: &str) -> Result<Duration, String> {
    duration(text, "30s, 5m or 1h", Duration::from_secs(24 * 3600), "1d")
}

/// How long an outage lasts.
///
/// # Errors
/// What it takes.
pub fn hold_for(text: &str) -> Result<Duration, String> {
    // The undo that the server runs must be dated before 2038, and nobody holds a node for longer.
    duration(
        text,
        "30s, 5m or 1h",
        Duration::from_secs(30 * 24 * 3600),
        "30d",
    )
}

fn duration(
    text: &str,
    such_as: &str,
    longest: Duration,
    in_words: &str,
) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("takes a duration such as {such_as}"))?;
    if (Duration::from_millis(1)..=longest).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("takes 1ms to {in_words}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_node_is_a_number_and_no_other_text_is_one(number in any::<u32>(), text in any::<String>(), near in "[-+0-9 .ex]{0,12}") {
            prop_assert_eq!(node(&number.to_string()).ok(), Some(number).filter(|number| *number > 0));
            for text in [text, near] {
                if node(&text).is_ok() {
                    prop_assert!(text.strip_prefix('+').unwrap_or(&text).bytes().all(|byte| byte.is_ascii_digit()));
                }
            }
        }

        #[test]
        fn a_duration_is_within_its_bounds(text in "[0-9]{1,25}(ns|us|ms|s|m|h|d|w|M|y)") {
            if let Ok(duration) = timeout(&text) {
                prop_assert!((1..=3_600_000).contains(&duration.as_millis()));
            }
        }
    }
}
