//! The running control plane and agent, and how they come up and go down.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::child::{self, Running};
use super::data::{Addresses, DataDir, Memory};
use super::operator::Operator;
use super::signal::Signals;
use super::voice::Voice;
use super::{agent, http, privilege};
use crate::cli::UpArgs;
use crate::clock::Stopwatch;

/// Everything that has been started, in the order it was.
#[derive(Debug)]
pub(super) struct House<'a> {
    root: &'a Path,
    data: &'a DataDir,
    signals: &'a Signals,
    server: Option<Running>,
    observer: Option<Running>,
    agent: Option<Running>,
    address: String,
    key: String,
}

impl<'a> House<'a> {
    pub(super) fn new(root: &'a Path, data: &'a DataDir, signals: &'a Signals) -> Self {
        Self {
            root,
            data,
            signals,
            server: None,
            observer: None,
            agent: None,
            address: String::new(),
            key: String::new(),
        }
    }

    pub(super) fn data(&self) -> &DataDir {
        self.data
    }

    pub(super) fn signals(&self) -> &Signals {
        self.signals
    }

    /// Where the HTTP API listens.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Starts the control plane and waits until it is ready.
    pub(super) fn start_server(&mut self, arguments: &UpArgs) -> Result<()> {
        let mut memory = self.data.memory()?;
        let agent_listen = self.agent_address(arguments.agent_listen, &memory)?;
        let mut call = vec!["run".to_owned(), "--data-dir".to_owned(), self.data.path().display().to_string()];
        call.extend([
            "--listen".to_owned(),
            arguments.listen.to_string(),
            "--agent-listen".to_owned(),
            agent_listen.to_string(),
        ]);
        if !agent_listen.ip().is_loopback() {
            call.extend(["--agent-name".to_owned(), agent_listen.ip().to_string()]);
        }
        let program = self.program("control-plane")?;
        let server = Running::start("control plane", &program, &call, &self.data.logs().join("control-plane.log"))?;
        let pid = server.id();
        self.server = Some(server);
        let addresses = self.until(SERVER_LIMIT, "the control plane to be ready", |house| Ok(house.ready(pid)))?;
        self.address = addresses.http;
        memory.agent_port = addresses.agent.rsplit(':').next().and_then(|port| port.parse().ok());
        self.data.remember(&memory)
    }

    /// An agent dials what it was told when it was enrolled: any free port means that one, and another one is a mistake.
    fn agent_address(&self, wanted: SocketAddr, memory: &Memory) -> Result<SocketAddr> {
        match memory.agent_port.filter(|_| memory.enrolled) {
            Some(port) if wanted.port() == 0 => Ok(SocketAddr::new(wanted.ip(), port)),
            Some(port) if wanted.port() != port => bail!(
                "the agent was enrolled to dial port {port}: use --agent-listen {}:{port}, or another --data-dir (this one is {})",
                wanted.ip(),
                self.data.path().display()
            ),
            Some(_) | None => Ok(wanted),
        }
    }

    fn ready(&self, pid: u32) -> Option<Addresses> {
        let addresses = self.data.addresses().filter(|addresses| addresses.pid == pid)?;
        let answer = http::get(&addresses.http, "/readyz", None).ok()?;
        (answer.status == 200).then_some(addresses)
    }

    /// Finds the tenant and key of an earlier run, or makes them.
    pub(super) fn tenant_and_key(&mut self, voice: &Voice) -> Result<()> {
        let program = self.program("control-plane")?;
        let operator = self.operator(&program);
        let mut memory = self.data.memory()?;
        let tenant = if let Some(tenant) = memory.tenant.clone() {
            tenant
        } else {
            let tenant = operator.create_tenant()?;
            voice.say(&format!("       made the tenant {tenant} (enterprise)"));
            memory.tenant = Some(tenant.clone());
            self.data.remember(&memory)?;
            tenant
        };
        self.key = if let Ok(key) = std::fs::read_to_string(self.data.key_file()) {
            key.trim().to_owned()
        } else {
            let key = operator.create_key(&tenant)?;
            self.data.write("api-key", &format!("{key}\n"))?;
            voice.say(&format!("       made an API key, kept in {}", self.data.key_file().display()));
            key
        };
        if http::get(&self.address, "/api/v1/tenant", Some(&self.key))?.status == 401 {
            bail!(
                "the key in {} is not (or no longer) one of this control plane: remove that file and call `up` again",
                self.data.key_file().display()
            );
        }
        self.write_probectl_config()
    }

    fn write_probectl_config(&self) -> Result<()> {
        let context = toml::toml! {
            current = "local"
        };
        let mut config = context;
        let local = toml::Table::from_iter([
            ("url".to_owned(), toml::Value::String(format!("http://{}", self.address))),
            ("key_file".to_owned(), toml::Value::String(self.data.key_file().display().to_string())),
        ]);
        config.insert(
            "contexts".to_owned(),
            toml::Value::Table(toml::Table::from_iter([("local".to_owned(), toml::Value::Table(local))])),
        );
        self.data.write("probectl.toml", &toml::to_string(&config)?)
    }

    /// Starts the process that looks into this host's kernel for the agent, where its configuration gives the two a socket to meet at.
    ///
    /// It comes before the agent, which says in its registration what can be observed.
    pub(super) fn start_observer(&mut self, voice: &Voice) -> Result<()> {
        if !self.data.agent_config().exists() {
            self.data.write("agent.toml", &agent_config(&self.data.observer_socket()))?;
        }
        let Some(socket) = observer_socket(&std::fs::read_to_string(self.data.agent_config())?) else {
            voice.say(&format!("       none: {} has no `observe.socket`", self.data.agent_config().display()));
            return Ok(());
        };
        if !privilege::may_load_programs()? {
            voice.say("       none: this user may not load programs into the kernel (CAP_BPF and CAP_PERFMON); everything else works");
            return Ok(());
        }
        if socket.as_os_str().len() > LONGEST_SOCKET {
            voice.say(&format!("       none: {} is too long for a socket; everything else works", socket.display()));
            return Ok(());
        }
        // One that a killed run left would be taken for the new one.
        if socket.exists() {
            std::fs::remove_file(&socket).with_context(|| format!("removing {}", socket.display()))?;
        }
        let config = self.data.agent_config().display().to_string();
        let call = ["observe", "--config", &config].map(str::to_owned);
        let log = self.data.logs().join("probe-agent-observe.log");
        self.observer = Some(Running::start("observer", &self.program("probe-agent")?, &call, &log)?);
        self.until(OBSERVER_LIMIT, "the observer's socket", |_| Ok(socket.exists().then_some(())))
    }

    /// Enrols the local agent if it has no identity yet, and starts it.
    pub(super) fn start_agent(&mut self, voice: &Voice) -> Result<()> {
        let state = self.data.agent_state().display().to_string();
        let program = self.program("probe-agent")?;
        let mut memory = self.data.memory()?;
        if !memory.enrolled || !self.data.agent_state().exists() {
            let server = self.program("control-plane")?;
            let tenant = memory.tenant.clone().context("no tenant to enrol the agent with")?;
            let bundle = self.operator(&server).create_join_token(&tenant)?;
            let call = ["enrol", "--state-dir", &state].map(str::to_owned);
            let ended = child::run(&program, &call, Some(&format!("{bundle}\n")), self.signals).context("calling probe-agent enrol")?;
            if !ended.status.success() {
                bail!("the agent could not be enrolled: {}", ended.stderr.trim());
            }
            memory.enrolled = true;
            self.data.remember(&memory)?;
            voice.say("       enrolled an agent over mutual TLS");
        }
        let config = self.data.agent_config().display().to_string();
        let call = ["run", "--state-dir", &state, "--config", &config].map(str::to_owned);
        self.agent = Some(Running::start("agent", &program, &call, &self.data.logs().join("probe-agent.log"))?);
        Ok(())
    }

    /// Waits until the control plane sees the agent online.
    pub(super) fn wait_for_agent(&mut self) -> Result<Value> {
        self.until(AGENT_LIMIT, "the agent to come online", |house| agent::online(&house.address, &house.key))
    }

    /// A line that measures, from any folder, without showing the key.
    pub(super) fn probectl_line(&self, agent: &str) -> String {
        let program = self.program("probectl").map_or_else(|_| "probectl".to_owned(), |path| quoted(&path));
        format!("{program} --config {} ping 127.0.0.1 --from {agent}", quoted(&self.data.probectl_config()))
    }

    pub(super) fn program(&self, name: &str) -> Result<PathBuf> {
        super::program(self.root, name)
    }

    /// Waits for Ctrl-C, as long as both are alive.
    pub(super) fn wait_until_interrupted(&mut self) -> Result<()> {
        while !self.signals.wait(WATCH)? {
            self.check()?;
        }
        Ok(())
    }

    /// Ends the agent, the observer, then the control plane, each with time to finish.
    pub(super) fn stop(&mut self, voice: &Voice) {
        for running in [self.agent.take(), self.observer.take(), self.server.take()].into_iter().flatten() {
            if let Some(trouble) = running.stop() {
                voice.say(&format!("       {trouble}"));
            }
        }
    }

    fn operator<'b>(&'b self, program: &'b Path) -> Operator<'b> {
        Operator {
            program,
            data: self.data,
            signals: self.signals,
        }
    }

    fn check(&mut self) -> Result<()> {
        self.server
            .iter_mut()
            .chain(self.observer.iter_mut())
            .chain(self.agent.iter_mut())
            .try_for_each(Running::check)
    }

    /// Asks again and again until there is an answer, everybody being alive.
    fn until<T>(&mut self, limit: Duration, what: &str, mut ask: impl FnMut(&Self) -> Result<Option<T>>) -> Result<T> {
        let watch = Stopwatch::start();
        loop {
            self.check()?;
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
            if self.signals.wait(ASK_AGAIN)? {
                bail!("interrupted");
            }
            if watch.left(limit).is_none() {
                let words: Vec<String> = self.server.iter().chain(&self.observer).chain(&self.agent).map(Running::last_words).collect();
                bail!(
                    "waited {} s for {what} in vain; the last that was said, in {}:\n{}",
                    limit.as_secs(),
                    self.data.logs().display(),
                    words.join("\n")
                );
            }
        }
    }
}

/// As a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|character| character.is_ascii_alphanumeric() || "/._-+".contains(character));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

const SERVER_LIMIT: Duration = Duration::from_secs(30);
const AGENT_LIMIT: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(50);
const WATCH: Duration = Duration::from_millis(500);

/// The owner of this agent is whoever called `up`: it may measure the own machine, as the first ping does, and whatever else can be tried here.
fn agent_config(observer_socket: &Path) -> String {
    let socket = toml::Value::String(observer_socket.display().to_string());
    format!(
        "# What the owner of this host allows its agent. No control plane can override it.\n[policy]\nallow_loopback = true\n# `port` and `observe` are off unless an owner lists them.\nallow_probes = [{ALLOWED}]\n\n[observe]\nallow_standing = true\nsocket = {socket}\n"
    )
}

/// Where an agent's configuration has it meet the observer.
fn observer_socket(config: &str) -> Option<PathBuf> {
    let config: toml::Table = config.parse().ok()?;
    config.get("observe")?.get("socket")?.as_str().map(PathBuf::from)
}

const ALLOWED: &str = r#""ping", "tcp", "udp", "traceroute", "mtr", "pmtu", "dns", "http", "port", "neighbor", "observe""#;
/// unix(7), less the byte that ends it.
const LONGEST_SOCKET: usize = 107;
const OBSERVER_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_observer_is_met_where_the_configuration_says() {
        let socket = Path::new("/a \"b\"/observe.sock");
        assert_eq!(observer_socket(&agent_config(socket)).as_deref(), Some(socket));
        assert_eq!(observer_socket("[policy]\nallow_loopback = true\n"), None);
    }

    #[test]
    fn a_path_with_a_space_is_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
