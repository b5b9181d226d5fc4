//! Whether a package may be loaded at all: it is the one that was asked for, and somebody whom the owner trusts stands for it.

use ebpf_package::{Package, Refusal};
use shared_protocol::fault::ErrorCode;
use shared_protocol::spec::{Observation, ObserveSpec};

use crate::config::ObserveSettings;

/// The package of an observation that needs one, or why it is not loaded.
pub(super) fn package(settings: &ObserveSettings, spec: &ObserveSpec, text: Option<&str>) -> Result<Option<Package>, (ErrorCode, String)> {
    if spec.observation != Observation::Custom {
        return Ok(None);
    }
    let (Some(name), Some(text)) = (&spec.package, text) else {
        return Err((ErrorCode::PackageMissing, "no package was given".to_owned()));
    };
    let refused = |refusal: Refusal| {
        let unknown = matches!(refusal, Refusal::UnknownKey { .. });
        let code = if unknown { ErrorCode::PolicyDenied } else { ErrorCode::PackageRefused };
        (code, refusal.to_string())
    };
    let package = Package::parse(text.as_bytes()).map_err(refused)?;
    package.check_trust(&settings.custom_keys).map_err(refused)?;
    if let Some(wanted) = spec.sha256.filter(|wanted| *wanted != package.digest()) {
        let message = format!("the package that came is not {wanted}, but {}", package.digest());
        return Err((ErrorCode::PackageRefused, message));
    }
    let called = package.check().map_err(refused)?.manifest.name;
    if called != *name {
        return Err((ErrorCode::PackageRefused, format!("the package that came is called {called}, not {name}")));
    }
    Ok(Some(package))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ebpf_package::{PublicKey, SigningKey};
    use shared_protocol::spec::ProbeSpec;

    use super::*;

    fn sample(name: &str) -> Package {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/observe");
        let manifest = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        Package::new(manifest, std::fs::read(folder.join(format!("{name}.bpf.o"))).unwrap()).unwrap()
    }

    fn spec(name: &str, digest: &str) -> ObserveSpec {
        let digest = if digest.is_empty() {
            String::new()
        } else {
            format!(r#","sha256":"{digest}""#)
        };
        let text = format!(r#"{{"probe":"observe","observation":"custom","package":"{name}"{digest}}}"#);
        let ProbeSpec::Observe(spec) = ProbeSpec::parse(&text).unwrap() else {
            panic!("another probe")
        };
        spec
    }

    fn key() -> (SigningKey, PublicKey) {
        let key = SigningKey::generate().unwrap();
        let public = key.public().unwrap();
        (key, public)
    }

    #[test]
    fn only_the_very_package_that_was_asked_for_under_a_trusted_signature_is_loaded() {
        let ((ours, public), (theirs, other)) = (key(), key());
        let settings = ObserveSettings {
            custom_keys: [public].into(),
            ..ObserveSettings::default()
        };
        let unsigned = sample("tcp-states");
        let signed = unsigned.clone().signed(&ours, public);
        let digest = signed.digest().to_string();
        let asked = |spec: &ObserveSpec, given: &Package| package(&settings, spec, Some(&given.to_text()));
        assert_eq!(asked(&spec("tcp-states", &digest), &signed), Ok(Some(signed.clone())));
        assert_eq!(asked(&spec("tcp-states", ""), &signed), Ok(Some(signed.clone())));
        for (spec, given, code, why) in [
            (spec("tcp-states", &"0".repeat(64)), signed.clone(), ErrorCode::PackageRefused, "is not 000"),
            (spec("tcp", &digest), signed.clone(), ErrorCode::PackageRefused, "is called tcp-states, not tcp"),
            (spec("tcp-states", ""), unsigned.clone(), ErrorCode::PackageRefused, "not signed"),
            (
                spec("tcp-states", ""),
                unsigned.clone().signed(&theirs, other),
                ErrorCode::PolicyDenied,
                "none of the keys",
            ),
            (
                spec("tcp-states", ""),
                unsigned.signed(&theirs, public),
                ErrorCode::PackageRefused,
                "signature is not",
            ),
        ] {
            let (found, message) = asked(&spec, &given).unwrap_err();
            assert!(found == code && message.contains(why), "{message}");
        }
        assert_eq!(package(&settings, &spec("tcp-states", ""), None).unwrap_err().0, ErrorCode::PackageMissing);
        assert_eq!(
            package(&settings, &spec("tcp-states", ""), Some("{}")).unwrap_err().0,
            ErrorCode::PackageRefused
        );
        // Without a key nobody is trusted.
        let text = signed.to_text();
        assert_eq!(
            package(&ObserveSettings::default(), &spec("tcp-states", ""), Some(&text)).unwrap_err().0,
            ErrorCode::PolicyDenied
        );
    }
}
