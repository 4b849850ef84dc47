//! The names of the variables: which are ours, and which look as if they were meant to be.

pub(super) const CLOUD_SWITCH: &str = "USE_CLOUD_SQL";

pub(super) const ENVIRONMENTS: [&str; 2] = ["LOCAL", "CLOUD"];

pub(super) const SETTINGS: [&str; 7] = [
    "HOST", "PORT", "NAME", "USER", "PASSWORD", "SSL_MODE", "SSL_CA",
];

pub(super) const ADMIN_SETTINGS: [&str; 3] = ["USER", "PASSWORD", "ENABLE_CLEARTEXT_PLUGIN"];

/// Whether fail-start reads a variable of this name.
pub fn is_ours(name: &str) -> bool {
    let plain = match name.rsplit_once("_NODE") {
        Some((plain, digits)) if node_number(digits).is_some() => plain,
        _ => return name == CLOUD_SWITCH || is_plain(name),
    };
    is_plain(plain)
}

pub(super) fn is_plain(name: &str) -> bool {
    let (name, settings) = match name.strip_prefix("TESTER_") {
        Some(name) => (name, &ADMIN_SETTINGS[..]),
        None => (name, &SETTINGS[..]),
    };
    name.split_once("_DB_")
        .is_some_and(|(environment, setting)| {
            ENVIRONMENTS.contains(&environment) && settings.contains(&setting)
        })
}

/// The number behind `_NODE`, without leading zeros.
pub(super) fn node_number(digits: &str) -> Option<u32> {
    let number: u32 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some(number)
}

/// A name that may have been meant.
pub(super) struct Known {
    name: String,
    /// Without `_NODE`.
    plain: String,
    /// How many of its letters may be wrong.
    wrong: usize,
}

/// All names without a number, those that lack one too.
pub(super) fn known_names() -> Vec<Known> {
    let mut names = vec![(CLOUD_SWITCH.to_owned(), 2)];
    for environment in ENVIRONMENTS {
        let of = |setting: &&str, admin| {
            let name = format!("{admin}{environment}_DB_{setting}");
            (name, setting.len() / 3)
        };
        names.extend(SETTINGS.iter().map(|setting| of(setting, "")));
        names.extend(ADMIN_SETTINGS.iter().map(|setting| of(setting, "TESTER_")));
    }
    let with_suffix = |(plain, wrong): (String, usize)| {
        [plain.clone(), format!("{plain}_NODE")].map(|name| Known {
            name,
            plain: plain.clone(),
            wrong,
        })
    };
    names.into_iter().flat_map(with_suffix).collect()
}

/// What is to be said about a name that is none of ours but looks as if it was meant to be.
pub(super) fn misspelling(name: &str, known: &[Known]) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let stem = upper.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = upper[stem.len()..].trim_start_matches('0');
    let has_number = stem.len() < upper.len();
    let stem = stem.trim_end_matches('_');
    let (_, Known { name, plain, .. }) = known
        .iter()
        .filter(|known| known.name.len().abs_diff(stem.len()) <= known.wrong)
        .map(|known| (strsim::osa_distance(stem, &known.name), known))
        .filter(|(distance, known)| *distance <= known.wrong)
        .min_by_key(|(distance, _)| *distance)?;
    if !has_number && name == plain || plain == CLOUD_SWITCH {
        return Some(format!("is {plain} meant?"));
    }
    Some(match node_number(digits) {
        Some(number) => format!("is {plain}_NODE{number} meant?"),
        None => format!("{plain}_NODE<N> is for node N, 1 or more"),
    })
}
