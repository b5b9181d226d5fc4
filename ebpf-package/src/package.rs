//! A package as it travels: one JSON document with the manifest, the object, and the signature over both.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use shared_protocol::package::PackageDigest;

use crate::checked::Checked;
use crate::limits::{MANIFEST_BYTES, OBJECT_BYTES, PACKAGE_BYTES};
use crate::manifest::Manifest;
use crate::refusal::Refusal;
use crate::signature::{PublicKey, SigningKey};

/// A package, of which nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    manifest: String,
    object: Vec<u8>,
    signature: Option<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    key: PublicKey,
    bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    manifest: String,
    object: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

impl Package {
    /// A package of these parts, which nobody has signed.
    ///
    /// # Errors
    /// [`Refusal::TooMuch`].
    pub fn new(manifest: String, object: Vec<u8>) -> Result<Self, Refusal> {
        for (what, found, most) in [
            ("bytes of the manifest", manifest.len(), MANIFEST_BYTES),
            ("bytes of the object", object.len(), OBJECT_BYTES),
        ] {
            if found > most {
                return Err(Refusal::too_much(what, found, most));
            }
        }
        Ok(Self {
            manifest,
            object,
            signature: None,
        })
    }

    /// Reads it as it travels.
    ///
    /// # Errors
    /// [`Refusal`]: of its form only.
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        if text.len() > PACKAGE_BYTES {
            return Err(Refusal::too_much("bytes of the package", text.len(), PACKAGE_BYTES));
        }
        let text: Text = serde_json::from_slice(text).map_err(|error| Refusal::Shape(error.to_string()))?;
        if text.format != FORMAT {
            return Err(Refusal::Shape(format!("its format is not {FORMAT}")));
        }
        let bytes = |text: &str, what: &str| BASE64.decode(text).map_err(|_| Refusal::Shape(format!("{what} is no Base64")));
        let mut package = Self::new(text.manifest, bytes(&text.object, "the object")?)?;
        package.signature = match (text.key, text.signature) {
            (None, None) => None,
            (Some(key), Some(signature)) => Some(Signature {
                key: key.parse().map_err(|error| Refusal::Shape(format!("its key {error}")))?,
                bytes: bytes(&signature, "the signature")?,
            }),
            _ => return Err(Refusal::Shape("key and signature go together".to_owned())),
        };
        Ok(package)
    }

    /// The text that travels.
    pub fn to_text(&self) -> String {
        let text = Text {
            format: FORMAT.to_owned(),
            manifest: self.manifest.clone(),
            object: BASE64.encode(&self.object),
            key: self.signature.as_ref().map(|signature| signature.key.to_string()),
            signature: self.signature.as_ref().map(|signature| BASE64.encode(&signature.bytes)),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// The same, signed.
    #[must_use]
    pub fn signed(self, key: &SigningKey, public: PublicKey) -> Self {
        let bytes = key.sign(&self.message());
        Self {
            signature: Some(Signature { key: public, bytes }),
            ..self
        }
    }

    /// By what it is known: the hash of manifest and object, whoever signed them.
    pub fn digest(&self) -> PackageDigest {
        let mut content = DOMAIN.to_vec();
        for part in [self.manifest.as_bytes(), &self.object] {
            content.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            content.extend(part);
        }
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest(&SHA256, &content).as_ref()) {
            *to = *from;
        }
        PackageDigest::from_bytes(bytes)
    }

    /// The object.
    pub fn object(&self) -> &[u8] {
        &self.object
    }

    /// The manifest as it was written.
    pub fn manifest_text(&self) -> &str {
        &self.manifest
    }

    /// Whose signature it has, where it is a signature of this package by the key that it names.
    ///
    /// # Errors
    /// [`Refusal::NotSigned`], [`Refusal::BadSignature`].
    pub fn signer(&self) -> Result<PublicKey, Refusal> {
        let signature = self.signature.as_ref().ok_or(Refusal::NotSigned)?;
        if signature.key.verifies(&self.message(), &signature.bytes) {
            return Ok(signature.key);
        }
        Err(Refusal::BadSignature {
            key: signature.key.to_string(),
        })
    }

    /// Whether somebody that is trusted stands for it.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] and those of [`Self::signer`].
    pub fn check_trust<'a>(&self, trusted: impl IntoIterator<Item = &'a PublicKey>) -> Result<PublicKey, Refusal> {
        let signer = self.signer()?;
        if trusted.into_iter().any(|key| *key == signer) {
            return Ok(signer);
        }
        Err(Refusal::UnknownKey { key: signer.to_string() })
    }

    /// Reads the manifest, looks at the object, and compares the two.
    ///
    /// # Errors
    /// [`Refusal`] with what is wrong and where.
    pub fn check(&self) -> Result<Checked, Refusal> {
        Checked::of(Manifest::parse(&self.manifest)?, &self.object)
    }

    /// What is signed: the hash, and what it is a hash of.
    fn message(&self) -> Vec<u8> {
        [SIGNED, self.digest().as_bytes()].concat()
    }
}

const FORMAT: &str = "probeops-observation-1";
/// What the hashed content begins with, so that it is the hash of nothing else.
const DOMAIN: &[u8] = b"probeops observation 1\0";
/// What the signed message begins with.
const SIGNED: &[u8] = b"probeops signed observation 1\0";
