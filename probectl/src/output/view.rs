//! A measurement as people watch it. Of one agent, or in a pipe: lines as they come. Of several agents on a terminal: a table with one row
//! for each of them, drawn again while it changes. At the end the same rows are comma-separated values, if those were asked for.

use std::io;

use control_api::job::Job;
use control_api::measurement::{JobReport, Measurement};
use control_api::stream::Finding;
use serde::Serialize;
use shared_protocol::end::{End, RefuseReason};
use shared_protocol::fault::Status;
use shared_protocol::spec::ProbeKind;

use super::evidence;
use super::probe::{self, JobView, Names, Paper};
use super::{Cell, Line, Live, Screen, Surface, Terminal, Tone, table};

/// What has been shown of a measurement so far.
#[derive(Debug)]
pub(crate) struct View {
    kind: ProbeKind,
    target: String,
    jobs: Vec<Watched>,
    live: Live,
    changed: bool,
    /// Live findings and reports taken in.
    pub(crate) findings: u32,
}

/// What has been seen of one job.
#[derive(Debug)]
struct Watched {
    id: String,
    agent: String,
    view: JobView,
    verdict: Option<Verdict>,
    state: String,
}

/// How a job went.
#[derive(Debug, Clone)]
struct Verdict {
    status: String,
    trouble: Option<String>,
}

impl View {
    /// Of a measurement of this kind of probe.
    pub(crate) fn new(kind: ProbeKind, measurement: &Measurement) -> Self {
        let mut view = Self {
            kind,
            target: String::new(),
            jobs: Vec::new(),
            live: Live::default(),
            changed: true,
            findings: 0,
        };
        view.measurement(measurement);
        view
    }

    /// The measurement as it stands: whose jobs are whose.
    pub(crate) fn measurement(&mut self, measurement: &Measurement) {
        self.target = target_of(measurement);
        for job in &measurement.jobs {
            if let Some(known) = self.jobs.iter_mut().find(|known| known.id == job.id) {
                known.state.clone_from(&job.state);
                continue;
            }
            self.jobs.push(Watched {
                id: job.id.clone(),
                agent: job.agent_name.clone(),
                view: JobView::new(self.kind),
                verdict: None,
                state: job.state.clone(),
            });
        }
        self.changed = true;
    }

    /// Shows a live finding.
    pub(crate) fn finding(&mut self, screen: &mut Screen<'_>, finding: &Finding) -> io::Result<()> {
        self.take(screen, &finding.job, |view, names| view.finding(names, &finding.finding))
    }

    /// Shows what a report has beyond the live findings, then its numbers and its verdict. Each report is shown once.
    pub(crate) fn report(&mut self, screen: &mut Screen<'_>, report: &JobReport) -> io::Result<()> {
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == report.job) else {
            return Ok(());
        };
        if job.verdict.is_some() {
            return Ok(());
        }
        let verdict = verdict(report);
        job.verdict = Some(verdict.clone());
        let agent = job.agent.clone();
        if let Some(findings) = report.findings() {
            self.take(screen, &report.job, |view, names| view.findings(names, findings))?;
        }
        if let Some(evidence) = &report.report.evidence {
            self.take(screen, &report.job, |_, _| evidence::lines(evidence))?;
        }
        self.changed = true;
        match verdict.trouble {
            Some(trouble) if self.is_lines(screen) => screen.print(&Line::warning(format!("{agent}: {}: {trouble}", verdict.status))),
            Some(_) | None => Ok(()),
        }
    }

    /// Shows a job that ended without a report.
    pub(crate) fn end(&mut self, screen: &mut Screen<'_>, job: &Job) -> io::Result<()> {
        let lines = self.is_lines(screen);
        let Some(watched) = self.jobs.iter_mut().find(|watched| watched.id == job.id) else {
            return Ok(());
        };
        if watched.verdict.is_some() {
            return Ok(());
        }
        watched.verdict = Some(Verdict {
            status: job.state.clone(),
            trouble: Some(job.reason.clone().unwrap_or_else(|| "no report".to_owned())),
        });
        self.changed = true;
        if !lines {
            return Ok(());
        }
        let reason = job.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let refusal = (job.state == End::Refused.as_str()).then(|| job.reason.as_deref()?.parse::<RefuseReason>().ok());
        let remedy = refusal.flatten().map(|reason| format!(": {}", reason.remedy())).unwrap_or_default();
        screen.print(&Line::warning(format!(
            "{}: no report, the job is {}{reason}{remedy}",
            job.agent_name, job.state
        )))
    }

    /// Draws the table of agents, if there is one and it has changed.
    pub(crate) fn draw(&mut self, screen: &mut Screen<'_>) -> io::Result<()> {
        match self.terminal(screen) {
            Some(terminal) if std::mem::take(&mut self.changed) => {
                let drawing = self.live.redraw(&self.rows(), terminal);
                screen.raw(drawing.as_bytes())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Leaves the table of agents as it is now, in full.
    pub(crate) fn finish(&mut self, screen: &mut Screen<'_>) -> io::Result<()> {
        let Some(terminal) = self.terminal(screen) else {
            return Ok(());
        };
        let drawing = self.live.finish(&self.rows(), terminal);
        screen.raw(drawing.as_bytes())
    }

    fn take(&mut self, screen: &mut Screen<'_>, job: &str, read: impl FnOnce(&mut JobView, Names<'_>) -> Vec<Line>) -> io::Result<()> {
        let lines = self.is_lines(screen);
        let several = self.jobs.len() > 1;
        let Some(watched) = self.jobs.iter_mut().find(|watched| watched.id == job) else {
            return Ok(());
        };
        self.changed = true;
        self.findings += 1;
        let names = Names {
            target: &self.target,
            agent: &watched.agent,
            paper: match screen.surface() {
                Surface::Pipe => Paper::Plain,
                Surface::Terminal(_) => Paper::Rows,
            },
        };
        let said = read(&mut watched.view, names);
        if !lines {
            return Ok(());
        }
        let prefix = if several { format!("[{}] ", watched.agent) } else { String::new() };
        said.into_iter().try_for_each(|line| screen.print(&line.after(&prefix)))
    }

    /// Whether lines are printed as they come.
    fn is_lines(&self, screen: &Screen<'_>) -> bool {
        self.terminal(screen).is_none()
    }

    /// The terminal on which a table is drawn.
    fn terminal(&self, screen: &Screen<'_>) -> Option<Terminal> {
        match screen.surface() {
            Surface::Terminal(terminal) if self.jobs.len() > 1 || self.jobs.iter().any(|job| job.view.is_drawn()) => Some(terminal),
            Surface::Terminal(_) | Surface::Pipe => None,
        }
    }

    fn rows(&self) -> Vec<Line> {
        if let [job] = self.jobs.as_slice()
            && job.view.is_drawn()
        {
            return self.alone(job);
        }
        let columns = probe::columns(self.kind);
        let shown = || columns.names.iter().take(columns.shown).copied();
        let names: Vec<&str> = ["agent", "status"].into_iter().chain(shown()).chain(["note"]).collect();
        let rows: Vec<Vec<Cell>> = self
            .jobs
            .iter()
            .map(|job| {
                let verdict = job.verdict.as_ref();
                let status = verdict.map_or(&job.state, |verdict| &verdict.status);
                let note = verdict.and_then(|verdict| verdict.trouble.clone()).unwrap_or_default();
                let found = job.view.row().into_iter().take(columns.shown);
                [Cell::from(&job.agent), Cell::from(status)]
                    .into_iter()
                    .chain(found)
                    .chain([Cell::from(note)])
                    .collect()
            })
            .collect();
        let tones = std::iter::once(Tone::Plain).chain(self.jobs.iter().map(|job| match &job.verdict {
            Some(Verdict { trouble: Some(_), .. }) => Tone::Warning,
            Some(_) | None => Tone::Plain,
        }));
        table(&names, &rows).into_iter().zip(tones).map(|(text, tone)| Line { text, tone }).collect()
    }
}

impl View {
    /// The drawing of a single job, and what is wrong with it.
    fn alone(&self, job: &Watched) -> Vec<Line> {
        let names = Names {
            target: &self.target,
            agent: &job.agent,
            paper: Paper::Rows,
        };
        let trouble = job.verdict.as_ref().and_then(|verdict| {
            let trouble = verdict.trouble.as_ref()?;
            Some(Line::warning(format!("{}: {}: {trouble}", job.agent, verdict.status)))
        });
        job.view.drawing(names).into_iter().chain(trouble).collect()
    }
}

/// The columns of a measurement's reports, one row a job: what every probe has, then the probe's own.
pub(crate) fn report_columns(kind: Option<ProbeKind>) -> Vec<&'static str> {
    let own = kind.map_or(&[][..], |kind| probe::columns(kind).names);
    COMMON.into_iter().chain(own.iter().copied()).collect()
}

/// A job, with its report where there is one, under [`report_columns`].
pub(crate) fn report_row(kind: Option<ProbeKind>, agent: &str, job: &str, report: Option<&JobReport>, state: &str, reason: Option<&String>) -> Vec<Cell> {
    let verdict = report.map(|report| &report.report);
    let error = verdict.and_then(|verdict| verdict.error.as_ref());
    let mut row = vec![
        agent.into(),
        job.into(),
        Cell::of(report.map(|report| report.started_at)),
        verdict.map_or_else(|| state.into(), |verdict| word(&verdict.status).into()),
        Cell::of(verdict.map(|verdict| word(&verdict.fault))),
        Cell::of(error.map(|error| word(&error.code)).or_else(|| reason.cloned())),
        verdict.map_or(Cell::Absent, |verdict| Cell::Micros(verdict.duration_us)),
    ];
    let width = report_columns(kind).len();
    row.extend(report.and_then(JobReport::findings).map(probe::row).unwrap_or_default());
    row.resize(width, Cell::Absent);
    row
}

/// The members of a row, or of its columns, that a table for people has; the others are for programs.
pub(crate) fn for_people<T>(kind: Option<ProbeKind>, row: Vec<T>) -> Vec<T> {
    let shown = COMMON.len() + kind.map_or(0, |kind| probe::columns(kind).shown);
    row.into_iter().take(shown).collect()
}

/// The name of a value as the API spells it.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// What a measurement is aimed at: a target, or an address of the web.
pub(crate) fn target_of(measurement: &Measurement) -> String {
    let text = |name: &str| measurement.spec.get(name).and_then(serde_json::Value::as_str);
    let list = measurement.spec.get("targets").and_then(serde_json::Value::as_array).map(|targets| {
        let first = targets.first().and_then(serde_json::Value::as_str).unwrap_or("-");
        match targets.len() {
            0 | 1 => first.to_owned(),
            several => format!("{first} and {} more", several - 1),
        }
    });
    let one = text("target").or_else(|| text("url")).or_else(|| text("name")).or_else(|| text("observation"));
    list.unwrap_or_else(|| one.unwrap_or("-").to_owned())
}

/// Which probe a measurement is.
pub(crate) fn kind_of(measurement: &Measurement) -> Option<ProbeKind> {
    probe::kind(measurement.spec.get("probe")?.as_str()?)
}

fn verdict(report: &JobReport) -> Verdict {
    let report = &report.report;
    let trouble = match (&report.error, report.status) {
        (Some(error), _) => Some(format!("{} ({}, fault: {})", error.message, word(&error.code), word(&report.fault))),
        (None, Status::Failed | Status::Timeout) => Some(format!("fault: {}", word(&report.fault))),
        (None, Status::Ok | Status::Degraded) => None,
    };
    Verdict {
        status: word(&report.status),
        trouble,
    }
}

/// Columns that every report has.
const COMMON: [&str; 7] = ["agent", "job", "started_at", "status", "fault", "error", "duration_us"];
