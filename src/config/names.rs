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

/// What others call some of the settings.
const ALSO_CALLED: [(&str, &str); 7] = [
    ("USERNAME", "USER"),
    ("LOGIN", "USER"),
    ("PASS", "PASSWORD"),
    ("PWD", "PASSWORD"),
    ("DATABASE", "NAME"),
    ("SCHEMA", "NAME"),
    ("HOSTNAME", "HOST"),
];

/// A name that may have been meant.
pub(super) struct Known {
    /// As it may be written.
    name: String,
    /// Ours, without `_NODE`.
    plain: String,
    /// Whether it is one node's.
    is_of_node: bool,
    /// How many of its letters may be wrong.
    wrong: usize,
}

/// All names without a number, those that lack one too.
pub(super) fn known_names() -> Vec<Known> {
    let switch = CLOUD_SWITCH.to_owned();
    let mut names = vec![(switch.clone(), switch, 2)];
    for environment in ENVIRONMENTS {
        let mut add = |admin: &str, settings: &[&str]| {
            let name = |setting: &str| format!("{admin}{environment}_DB_{setting}");
            let own = settings
                .iter()
                .map(|one| (name(one), name(one), one.len() / 3));
            names.extend(own);
            let also = ALSO_CALLED
                .iter()
                .filter(|(_, ours)| settings.contains(ours));
            names.extend(also.map(|(other, ours)| (name(other), name(ours), 0)));
        };
        add("", &SETTINGS);
        add("TESTER_", &ADMIN_SETTINGS);
    }
    let with_suffix = |(name, plain, wrong): (String, String, usize)| {
        [(name.clone(), false), (format!("{name}_NODE"), true)].map(|(name, is_of_node)| Known {
            name,
            plain: plain.clone(),
            is_of_node,
            wrong,
        })
    };
    names.into_iter().flat_map(with_suffix).collect()
}

/// What is to be said about a name that is none of ours but looks as if it was meant to be.
pub(super) fn misspelling(name: &str, known: &[Known]) -> Option<String> {
    // What nobody sees may stand before it, where files were joined that begin with a mark.
    let seen = name.trim_start_matches(|c: char| !c.is_ascii() && !c.is_alphanumeric());
    let upper = seen.to_ascii_uppercase();
    let stem = upper.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = upper[stem.len()..].trim_start_matches('0');
    let has_number = stem.len() < upper.len();
    let stem = stem.trim_end_matches('_');
    let (_, meant) = known
        .iter()
        .filter(|known| known.name.len().abs_diff(stem.len()) <= known.wrong)
        .map(|known| (strsim::osa_distance(stem, &known.name), known))
        .filter(|(distance, known)| *distance <= known.wrong)
        .min_by_key(|(distance, _)| *distance)?;
    let plain = &meant.plain;
    if !has_number && !meant.is_of_node || plain == CLOUD_SWITCH {
        return Some(format!("is {plain} meant?"));
    }
    Some(match node_number(digits) {
        Some(number) => format!("is {plain}_NODE{number} meant?"),
        None => format!("{plain}_NODE<N> is for node N, 1 or more"),
    })
}
