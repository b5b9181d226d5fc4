//! Taking back what was accepted: what is queued ends at once, what is in flight at its agent's word.

use control_api::job::Job;
use control_api::measurement::Measurement;
use control_core::authorize::Grant;
use control_store::jobs::{CancelOutcome, EndedJob};
use shared_protocol::id::{JobId, MeasurementId};

use super::{Jobs, read};
use crate::clock;
use crate::error::ServiceError;

impl Jobs {
    /// Takes a measurement back: its queued jobs end at once, those in flight at their agent's word.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such measurement.
    pub async fn cancel_measurement(&self, grant: &Grant, id: &str) -> Result<Measurement, ServiceError> {
        let scope = grant.scope()?;
        let measurement = read::parse_id::<MeasurementId>(id)?;
        let at = clock::now();
        let jobs = self.clone();
        let cancelling = self.lifecycle().tasks.spawn(async move {
            let taken_back = jobs
                .store()
                .write(move |tx| Box::pin(async move { control_store::jobs::cancel_measurement(tx, scope, measurement, at).await }))
                .await?
                .ok_or(ServiceError::NotFound)?;
            jobs.taken_back(taken_back.ended, taken_back.requested.iter().map(|job| job.job).collect())
                .await;
            Ok::<_, ServiceError>(())
        });
        cancelling.await.map_err(|_| ServiceError::Internal)??;
        self.measurement(grant, id).await
    }

    /// Takes a job back. Twice is the same as once; a job that has its end keeps it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such job.
    pub async fn cancel_job(&self, grant: &Grant, id: &str) -> Result<Job, ServiceError> {
        let scope = grant.scope()?;
        let job = read::parse_id::<JobId>(id)?;
        let at = clock::now();
        let jobs = self.clone();
        let cancelling = self.lifecycle().tasks.spawn(async move {
            let outcome = jobs
                .store()
                .write(move |tx| Box::pin(async move { control_store::jobs::request_cancel(tx, scope, job, at).await }))
                .await?;
            match outcome {
                CancelOutcome::Ended(ended) => jobs.taken_back(vec![ended], Vec::new()).await,
                CancelOutcome::Requested(open) => jobs.taken_back(Vec::new(), vec![open.job]).await,
                CancelOutcome::AlreadyEnded => {}
                CancelOutcome::NotFound => return Err(ServiceError::NotFound),
            }
            Ok(())
        });
        cancelling.await.map_err(|_| ServiceError::Internal)??;
        self.job(grant, id).await
    }

    async fn taken_back(&self, ended: Vec<EndedJob>, in_flight: Vec<JobId>) {
        for job in &ended {
            self.lifecycle().ended(job, None).await;
        }
        if !in_flight.is_empty() {
            self.lifecycle().dispatch.cancel(in_flight).await;
        }
    }
}
