//! The variables as they are set: the real environment over the file.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::env_file::{self, EnvFile};
use super::names::{CLOUD_SWITCH, is_ours, known_names, misspelling};

/// What a variable is set to, if it is, and which one that is: the one to set, if none is.
pub(super) struct Setting {
    pub value: Option<String>,
    pub variable: String,
    /// Where it is in the file, if it comes from there.
    line: Option<usize>,
}

impl Setting {
    pub fn is_from_file(&self) -> bool {
        self.line.is_some()
    }
}

/// The real environment over the file.
#[derive(Default)]
pub struct Variables {
    pub file: Option<PathBuf>,
    pub from_file: EnvFile,
}

impl Variables {
    pub fn read(env_file: Option<&Path>) -> Result<Self> {
        let file = match env_file {
            Some(path) => Some(path.to_owned()),
            None => env_file::find()?,
        };
        let from_file = match &file {
            Some(path) => env_file::read(path)?,
            None => EnvFile::default(),
        };
        Ok(Self { file, from_file })
    }

    /// The variable's value; an empty one counts as none.
    pub fn get(&self, name: &str) -> Result<Setting> {
        let mut setting = self.get_or_empty(name)?;
        setting.value = setting.value.filter(|value| !value.is_empty());
        Ok(setting)
    }

    pub fn get_or_empty(&self, name: &str) -> Result<Setting> {
        let (value, line) = match (std::env::var(name), self.from_file.values.get(name)) {
            (Ok(value), _) => (Some(value), None),
            (Err(std::env::VarError::NotUnicode(_)), _) => {
                bail!("the environment: {name}: not UTF-8")
            }
            (Err(_), Some((value, line))) => (Some(value.clone()), Some(*line)),
            (Err(_), None) => (None, None),
        };
        Ok(Setting {
            value,
            variable: name.to_owned(),
            line,
        })
    }

    pub fn names(&self) -> impl Iterator<Item = String> {
        self.from_file.values.keys().cloned().chain(real_names())
    }

    pub fn cloud(&self) -> Result<bool> {
        self.is_true(&self.get(CLOUD_SWITCH)?)
    }

    /// Whether it is set to `true`.
    pub fn is_true(&self, setting: &Setting) -> Result<bool> {
        match setting.value.as_deref() {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(_) => bail!("{}: expected true or false", self.named(setting)),
        }
    }

    /// The variable of a setting, after where it is set, if it is.
    pub fn named(&self, setting: &Setting) -> String {
        let variable = &setting.variable;
        match (&self.file, setting.line) {
            (Some(file), Some(line)) => format!("{}, line {line}: {variable}", file.display()),
            (_, None) if setting.value.is_some() => format!("the environment: {variable}"),
            _ => variable.clone(),
        }
    }

    /// Where to set what is not set.
    pub fn place(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => ".env".to_owned(),
        }
    }

    /// A warning for each name that looks like a misspelt one of ours.
    pub fn misspelt(&self) -> Vec<String> {
        let known = known_names();
        let file = self.place();
        let in_file = self.from_file.others.iter();
        let in_file = in_file.map(|(name, line)| (format!("{file}, line {line}"), name.clone()));
        let real = real_names().filter(|name| !is_ours(name));
        let real = real.map(|name| ("the environment".to_owned(), name));
        let warning = |(place, name): (String, String)| {
            let meant = misspelling(&name, &known)?;
            Some(format!("{place}: {name} is not known: {meant}"))
        };
        in_file.chain(real).filter_map(warning).collect()
    }
}

fn real_names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}
