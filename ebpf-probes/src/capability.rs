//! What can be observed on this host, found out by trying.

use std::path::PathBuf;

use shared_protocol::frame::{CapabilityLevel, ObservationCapability};
use shared_protocol::spec::Observation;

use crate::error::ObserveError;
use crate::kernel::Kernel;
use crate::observing::{Ask, Observing};

/// Sets up every observation for a moment, and says how well that went; that of OpenSSL in the files that the owner names, if any.
pub fn capabilities(kernel: &Result<Kernel, ObserveError>, libraries: &[PathBuf]) -> Vec<ObservationCapability> {
    Observation::ALL
        .into_iter()
        .map(|observation| capability(kernel.as_ref(), observation, libraries))
        .collect()
}

fn capability(kernel: Result<&Kernel, &ObserveError>, observation: Observation, libraries: &[PathBuf]) -> ObservationCapability {
    let ask = Ask {
        libraries,
        ..Ask::everything(observation)
    };
    let outcome = match kernel {
        Ok(kernel) => Observing::start(kernel, &ask).map_err(|error| unavailable(observation, &error)),
        Err(error) => Err(unavailable(observation, error)),
    };
    match outcome {
        Ok(observing) => {
            let attachment = observing.attachment();
            ObservationCapability {
                observation: observation.as_str().to_owned(),
                level: attachment.level(),
                reason: (!attachment.missing.is_empty()).then(|| attachment.missing.join("; ")),
                remedy: None,
            }
        }
        Err(unavailable) => unavailable,
    }
}

fn unavailable(observation: Observation, error: &ObserveError) -> ObservationCapability {
    ObservationCapability {
        observation: observation.as_str().to_owned(),
        level: CapabilityLevel::Unavailable,
        reason: Some(error.to_string()),
        remedy: Some(error.remedy().to_owned()),
    }
}
