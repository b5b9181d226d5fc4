//! Which control plane to talk to and with which key: from options, the environment and the configuration file, in this order.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::cli::Global;
use crate::error::ConfigError;

/// What the environment says; read once, in `main`.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// `PROBEOPS_TOKEN`.
    pub token: Option<SecretString>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

/// Where to connect to, and as whom.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) url: Url,
    pub(crate) key: SecretString,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// The context used where none is named.
    pub(crate) current: Option<String>,
    /// All contexts by name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One control plane and one key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Address of the control plane.
    pub(crate) url: String,
    /// File that holds the key alone.
    pub(crate) key_file: Option<PathBuf>,
    /// The key itself.
    key: Option<SecretString>,
}

impl Surroundings {
    /// The configuration file, whether it exists or not.
    pub(crate) fn config_file(&self, global: &Global) -> Result<PathBuf, ConfigError> {
        if let Some(file) = &global.config {
            return Ok(file.clone());
        }
        let absolute = |path: &&PathBuf| path.is_absolute();
        let home = || self.home.as_ref().map(|home| home.join(".config"));
        let base = self.config_home.as_ref().filter(absolute).cloned().or_else(home).ok_or(ConfigError::NoHome)?;
        Ok(base.join("probeops").join("config.toml"))
    }
}

impl Connection {
    /// Puts together where to connect to, and as whom.
    pub(crate) fn find(global: &Global, surroundings: &Surroundings, stdin: &mut dyn Read) -> Result<Self, ConfigError> {
        let file = surroundings.config_file(global);
        let config = match &file {
            Ok(file) if global.config.is_some() || file.exists() => ConfigFile::read(file)?,
            Ok(_) | Err(_) => ConfigFile::default(),
        };
        let named = global.context.as_ref().or(config.current.as_ref());
        let context = match named {
            Some(name) => Some(config.contexts.get(name).ok_or_else(|| ConfigError::UnknownContext {
                file: file.as_ref().map(Clone::clone).unwrap_or_default(),
                name: name.clone(),
            })?),
            None => None,
        };
        let url = match (&global.url, context) {
            (Some(url), _) => url,
            (None, Some(context)) => &context.url,
            (None, None) => return Err(ConfigError::NoContext(file?)),
        };
        let key = if global.key_stdin {
            key_from(
                &read_limited(stdin).map_err(|source| read_error(Path::new("standard input"), source))?,
                "standard input",
            )?
        } else if let Some(token) = &surroundings.token {
            key_from(token, "PROBEOPS_TOKEN")?
        } else {
            context.ok_or(ConfigError::NoKey)?.key(file.as_deref().unwrap_or(Path::new("")))?
        };
        Ok(Self { url: parse_url(url)?, key })
    }

    /// Whether the key would cross a network in the clear.
    pub(crate) fn is_exposed(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        self.url.scheme() != "https" && !loopback
    }
}

impl ConfigFile {
    /// Reads the file.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| read_error(file, source))?;
        Self::parse(file, &text)
    }

    fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        // Only the message: the whole error would show the line, and a line may hold a key.
        toml::from_str(text).map_err(|error| ConfigError::Parse {
            file: file.to_owned(),
            message: match error.span() {
                Some(span) => format!("line {}: {}", line_of(text, span.start), error.message()),
                None => error.message().to_owned(),
            },
        })
    }

    /// Makes a context the current one; every other line of the file stays as it is.
    pub(crate) fn switch(file: &Path, name: &str) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| read_error(file, source))?;
        if !Self::parse(file, &text)?.contexts.contains_key(name) {
            return Err(ConfigError::UnknownContext {
                file: file.to_owned(),
                name: name.to_owned(),
            });
        }
        let changed = with_current(&text, name);
        Self::parse(file, &changed)?;
        replace(file, &changed).map_err(|source| ConfigError::Save { file: file.to_owned(), source })
    }
}

impl Context {
    fn key(&self, config: &Path) -> Result<SecretString, ConfigError> {
        if let Some(key) = &self.key {
            refuse_exposed(config)?;
            return key_from(key, "the configuration");
        }
        let file = self.key_file.as_ref().ok_or(ConfigError::NoKey)?;
        refuse_exposed(file)?;
        let mut open = std::fs::File::open(file).map_err(|source| read_error(file, source))?;
        key_from(&read_limited(&mut open).map_err(|source| read_error(file, source))?, "the key file")
    }
}

fn parse_url(text: &str) -> Result<Url, ConfigError> {
    let invalid = || ConfigError::Url(text.to_owned());
    let url = Url::parse(text).map_err(|_| invalid())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    if plain && usable { Ok(url) } else { Err(invalid()) }
}

fn key_from(text: &SecretString, source: &'static str) -> Result<SecretString, ConfigError> {
    let key = text.expose_secret().trim();
    let plausible = !key.is_empty() && key.len() <= KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_graphic());
    if plausible { Ok(key.into()) } else { Err(ConfigError::NotAKey(source)) }
}

fn read_limited(from: &mut dyn Read) -> std::io::Result<SecretString> {
    let mut text = String::new();
    let limit = u64::try_from(KEY_BYTES).unwrap_or(u64::MAX).saturating_mul(4);
    from.take(limit).read_to_string(&mut text)?;
    Ok(text.into())
}

fn refuse_exposed(file: &Path) -> Result<(), ConfigError> {
    let mode = std::fs::metadata(file).map_err(|source| read_error(file, source))?.permissions().mode();
    let of_others = mode & 0o077;
    if of_others == 0 { Ok(()) } else { Err(ConfigError::Exposed(file.to_owned())) }
}

fn read_error(file: &Path, source: std::io::Error) -> ConfigError {
    ConfigError::Read { file: file.to_owned(), source }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn with_current(text: &str, name: &str) -> String {
    let wanted = format!("current = {}", toml::Value::from(name));
    let is_current = |line: &str| line.trim_start().strip_prefix("current").is_some_and(|rest| rest.trim_start().starts_with('='));
    let root = text.lines().take_while(|line| !line.trim_start().starts_with('[')).count();
    let place = text.lines().take(root).position(is_current);
    let mut lines: Vec<&str> = text.lines().collect();
    match place.and_then(|place| lines.get_mut(place)) {
        Some(line) => *line = &wanted,
        None => lines.insert(0, &wanted),
    }
    lines.join("\n") + "\n"
}

/// Replaces a file at once, so that no moment has half of it, and keeps who may read it.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let permissions = std::fs::metadata(file)?.permissions();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(permissions)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

/// Longest key accepted.
const KEY_BYTES: usize = 512;

#[cfg(test)]
mod tests;
