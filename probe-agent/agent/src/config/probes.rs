//! The `[probes]` table: what probes are measured with.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

/// What probes are measured with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeSettings {
    /// Roots beside the host's own that the certificates of targets are held against, as PEM. They are for targets only: whom the agent
    /// takes for its control plane was settled when it enrolled.
    pub extra_roots: Option<PathBuf>,
}

impl ProbeSettings {
    /// Reads the roots.
    ///
    /// # Errors
    /// Where the file cannot be read, or holds no certificate.
    pub fn extra_roots(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let Some(path) = &self.extra_roots else {
            return Ok(Vec::new());
        };
        let failed = |cause: String| io::Error::other(format!("probes.extra_roots: {}: {cause}", path.display()));
        let mut pem = Vec::new();
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(FILE_BYTES).read_to_end(&mut pem).map_err(|error| failed(error.to_string()))?;
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let roots = roots.map_err(|error| failed(error.to_string()))?;
        if roots.is_empty() {
            return Err(failed("it holds no certificate".to_owned()));
        }
        Ok(roots)
    }
}

/// Longest file read.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &[u8]) -> (tempfile::TempDir, ProbeSettings) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("roots.pem");
        std::fs::write(&path, text).unwrap();
        (directory, ProbeSettings { extra_roots: Some(path) })
    }

    #[test]
    fn roots_are_read_from_pem_and_a_file_without_any_is_refused() {
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let (_directory, good) = settings(format!("# ours\n{}", root.pem()).as_bytes());
        assert_eq!(good.extra_roots().unwrap(), [root.der().clone()]);
        assert_eq!(ProbeSettings::default().extra_roots().unwrap(), []);
        let (_directory, empty) = settings(b"no certificate");
        assert!(empty.extra_roots().unwrap_err().to_string().contains("probes.extra_roots"));
        let absent = ProbeSettings {
            extra_roots: Some("/nonexistent".into()),
        };
        assert!(absent.extra_roots().unwrap_err().to_string().contains("/nonexistent"));
    }
}
