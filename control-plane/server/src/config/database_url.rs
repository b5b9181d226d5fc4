//! A database's URL, which may hold a password: it is shown without it, and in no message of a parser.

use std::convert::Infallible;
use std::str::FromStr;

use control_services::Database;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// The URL as it was given; not looked at yet.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The database that it names.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn database(&self) -> Result<Database, String> {
        Database::url(self.0.expose_secret()).map_err(|error| error.to_string())
    }

    /// The database that it names; what is no URL names a file.
    ///
    /// # Errors
    /// What is wrong with the URL, without repeating it.
    pub fn database_or_file(&self) -> Result<Database, String> {
        let text = self.0.expose_secret();
        if text.contains("://") {
            return self.database();
        }
        Ok(Database::file(text))
    }
}

/// Anything is taken: the command line's parser would repeat what it refuses.
impl FromStr for DatabaseUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(SecretString::from(text)))
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for DatabaseUrl {}

/// Shows the URL without its password.
impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.database().map_or_else(|_| "not usable".to_owned(), |database| database.to_string());
        serializer.serialize_str(&shown)
    }
}
