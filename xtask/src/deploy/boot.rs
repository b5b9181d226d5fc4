//! `cargo xtask deploy --boot`: installs both programs with deploy.sh on a Debian of its own that systemd has booted, and uses them there.
//!
//! The Debian runs in a network namespace that this makes and removes, so nothing of it meets the machine's own ports.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::debian::{self, Program};
use crate::tool::{self, Install};
use crate::workspace;

/// Takes some minutes: most of them to unpack a Debian.
pub(super) fn run(root: &Path, install: Install) -> Result<()> {
    debian::ensure(&PROGRAMS, install)?;
    ensure!(nix::unistd::geteuid().is_root(), "a Debian is booted as root only");
    tool::build_programs(root, install)?;
    let folder = tempfile::tempdir().context("making a folder for the Debian")?;
    let host = Host::boot(root, folder.path())?;
    let programs = ["control-plane", "probe-agent"].map(|name| workspace::built_binary(root, name));
    let [plane, agent] = programs.map(|built| stripped(&built, folder.path()));
    let (plane, agent) = (plane?, agent?);

    println!("-- install the control plane");
    host.deploy("control-plane", &["--agent-name", "localhost"], &plane)?;
    host.run(FIRST_TENANT)?;
    println!("-- a host without identity and bundle says what it needs, and is not restarted");
    let refused = host.deploy("probe-agent", &[], &agent);
    ensure!(refused.is_err(), "an agent without bundle was installed");
    let said = host.run("journalctl --unit probe-agent --no-pager; systemctl show --property NRestarts --value probe-agent")?;
    ensure!(said.contains("no identity yet") && said.trim_end().ends_with('0'), "it said: {said}");
    println!("-- install the agent");
    let bundle = folder.path().join("bundle");
    std::fs::write(&bundle, host.run("cat bundle")?)?;
    host.deploy("probe-agent", &["--bundle", &bundle.to_string_lossy()], &agent)?;
    host.run(ALLOW_LOOPBACK)?;
    host.expect_measurement()?;
    println!("-- an observer is enabled, and what it sees is a report");
    host.run(OBSERVER)?;
    host.expect_observation()?;
    println!("-- KIL-03: an observer that is killed is back, and the next observation works");
    host.run(KILL_OBSERVER)?;
    host.expect_observation()?;
    println!("-- the observer's drop-ins: functions of programs, packages of the owner's own");
    let counted = KernelSetting::instead(BPF_STATS, "0")?;
    host.package_of_ones_own(folder.path())?;
    host.drop_in("probe-agent-observe-functions.conf")?;
    host.drop_in("probe-agent-observe-packages.conf")?;
    host.run(DROP_INS)?;
    host.expect(SHAKE_HANDS, "handshake of OpenSSL", |report| {
        report.pointer("/findings/seen/totals/handshakes").and_then(Value::as_u64) > Some(0)
    })?;
    host.expect(CUSTOM, "package's rows", |report| {
        report.pointer("/findings/self_check") == Some(&"passed".into())
    })?;
    drop(counted);
    println!("-- a program that does not start gives way to the one before");
    let broken = folder.path().join("broken");
    std::fs::write(&broken, "#!/bin/sh\n[ \"$1\" = --version ]\n")?;
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for role in ["control-plane", "probe-agent"] {
        ensure!(host.deploy(role, &[], &broken).is_err(), "a broken {role} was installed");
    }
    host.expect_measurement()?;
    println!("-- KIL-11: the watchdog mends a hang");
    host.run(HANG)?;
    host.expect_measurement()
}

/// The booted Debian; gone once this is dropped.
struct Host<'a> {
    repository: &'a Path,
    /// Its files.
    tree: PathBuf,
    key: PathBuf,
    container: Child,
}

impl<'a> Host<'a> {
    fn boot(repository: &'a Path, folder: &Path) -> Result<Self> {
        let tree = folder.join("debian");
        println!("-- unpack a Debian");
        quietly(Command::new("debootstrap").args(["--variant=minbase", PACKAGES, "bookworm"]).arg(&tree))?;
        let key = folder.join("key");
        quietly(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
        std::fs::create_dir_all(tree.join("root/.ssh"))?;
        std::fs::copy(key.with_extension("pub"), tree.join("root/.ssh/authorized_keys"))?;
        std::fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
        quietly(Command::new("systemctl").arg(format!("--root={}", tree.display())).args(["enable", "ssh"]))?;
        quietly(Command::new("ip").args(["netns", "add", NAMESPACE]))?;
        let container = started(&tree);
        if container.is_err() {
            remove_namespace();
        }
        let host = Self {
            repository,
            tree,
            key,
            container: container?,
        };
        println!("-- boot it");
        host.run("systemctl is-system-running --wait")?;
        Ok(host)
    }

    /// Runs a script there, as root; what it prints.
    fn run(&self, script: &str) -> Result<String> {
        let mut command = within();
        command.arg("ssh").args(self.ssh_options().iter().flat_map(|option| ["-o", option]));
        let output = command
            .args(["--", "root@127.0.0.1", "set -eu;", script])
            .stdin(Stdio::null())
            .output()
            .context("calling ssh")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "`{script}` ended with {}:\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }

    fn deploy(&self, role: &str, arguments: &[&str], program: &Path) -> Result<()> {
        let mut command = within();
        command
            .arg(self.repository.join("deploy.sh"))
            .args([role, "root@127.0.0.1"])
            .args(arguments)
            .arg("--program")
            .arg(program);
        command.args(self.ssh_options().iter().flat_map(|option| ["--ssh-option", option]));
        quietly(&mut command)
    }

    fn expect_measurement(&self) -> Result<()> {
        self.expect(MEASURE, "ping by a raw socket", |report| {
            report.pointer("/findings/socket") == Some(&"raw".into())
        })
    }

    fn expect_observation(&self) -> Result<()> {
        let checked = |report: &Value| report.pointer("/findings/self_check") == Some(&"passed".into());
        self.expect(OBSERVE, "observation", checked)
    }

    /// Measures there; what the programs said is told where nothing good comes back.
    fn expect(&self, measure: &str, what: &str, good: impl FnOnce(&Value) -> bool) -> Result<()> {
        let answer = self.run(measure)?;
        let document: Value = serde_json::from_str(&answer).with_context(|| format!("the answer is not JSON: {answer}"))?;
        let report = document.pointer("/reports/0/report").cloned().unwrap_or_default();
        if report.get("status") == Some(&"ok".into()) && good(&report) {
            return Ok(());
        }
        let words = self.run("journalctl --unit 'probe-agent*' --unit control-plane --lines 60 --no-pager")?;
        bail!("no {what} came back: {document:#}\n{words}")
    }

    fn drop_in(&self, name: &str) -> Result<()> {
        let to = self.tree.join("etc/systemd/system/probe-agent-observe.service.d");
        std::fs::create_dir_all(&to)?;
        std::fs::copy(self.repository.join("deploy/systemd").join(name), to.join(name))?;
        Ok(())
    }

    /// Signs a sample with a key made for it, and leaves it where the owner keeps packages.
    fn package_of_ones_own(&self, folder: &Path) -> Result<()> {
        let probectl = || Command::new(workspace::built_binary(self.repository, "probectl"));
        let key = folder.join("packages.key");
        let made = probectl().args(["packages", "key", "--out"]).arg(&key).output().context("calling probectl")?;
        ensure!(made.status.success(), "no key was made: {}", String::from_utf8_lossy(&made.stderr));
        let samples = self.repository.join("samples/observe");
        let kept = self.tree.join("etc/probeops/packages");
        std::fs::create_dir_all(&kept)?;
        quietly(
            probectl()
                .args(["packages", "sign"])
                .arg(samples.join("opens-by-process.bpf.o"))
                .arg("--manifest")
                .arg(samples.join("opens-by-process.toml"))
                .arg("--key")
                .arg(&key)
                .arg("--out")
                .arg(kept.join("opens-by-process.package")),
        )?;
        std::fs::write(self.tree.join("root/packages.key.public"), made.stdout)?;
        Ok(())
    }

    fn ssh_options(&self) -> [String; 5] {
        [
            format!("IdentityFile={}", self.key.display()),
            "StrictHostKeyChecking=no".to_owned(),
            "UserKnownHostsFile=/dev/null".to_owned(),
            "LogLevel=ERROR".to_owned(),
            "ConnectionAttempts=60".to_owned(),
        ]
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        if self.run("systemctl poweroff").is_err() {
            // It did not come up, or hangs: its tree is thrown away in any case.
            let _ = self.container.kill();
        }
        let _ = self.container.wait();
        remove_namespace();
    }
}

fn started(tree: &Path) -> Result<Child> {
    quietly(within().args(["ip", "link", "set", "lo", "up"]))?;
    within()
        .args([
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
            // For the observer, which has them on a host of its own.
            "--capability=CAP_BPF,CAP_PERFMON",
            "--system-call-filter=bpf perf_event_open",
            "--boot",
            "--directory",
        ])
        .arg(tree)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting systemd-nspawn")
}

fn remove_namespace() {
    if let Err(error) = quietly(Command::new("ip").args(["netns", "delete", NAMESPACE])) {
        println!("could not remove the network namespace: {error:#}");
    }
}

/// A setting of the one kernel that all share; back at what it was once this is dropped.
struct KernelSetting {
    path: &'static str,
    before: String,
}

impl KernelSetting {
    fn instead(path: &'static str, value: &str) -> Result<Self> {
        let before = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        std::fs::write(path, value).with_context(|| format!("writing {path}"))?;
        Ok(Self { path, before })
    }
}

impl Drop for KernelSetting {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(self.path, &self.before) {
            println!("could not set {} back to {}: {error}", self.path, self.before.trim_end());
        }
    }
}

/// A command in the Debian's network. `ip netns exec` would mount another /sys, without which nothing boots.
fn within() -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{NAMESPACE}")).arg("--");
    command
}

/// Runs something to its end; what it printed is shown only where it failed.
fn quietly(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("calling {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn stripped(program: &Path, folder: &Path) -> Result<PathBuf> {
    let name = program.file_name().context("a program without a name")?;
    let smaller = folder.join(name);
    quietly(Command::new("strip").arg("-o").arg(&smaller).arg(program))?;
    Ok(smaller)
}

const NAMESPACE: &str = "probeops-boot";
const PACKAGES: &str = "--include=systemd,systemd-sysv,dbus,openssh-server,curl,jq";
const FIRST_TENANT: &str = r#"
control-plane health --data-dir /var/lib/probeops
d="--data-dir /var/lib/probeops"
t=$(control-plane tenant create $d --name example --tier standard | jq -r .id)
control-plane key create $d --tenant "$t" --name first --scope measure,read,admin | jq -r .key >key
control-plane join-token create $d --tenant "$t" --name here | jq -r .bundle >bundle
"#;
const ALLOW_LOOPBACK: &str = "sed -i 's/#allow_loopback = false/allow_loopback = true/' /etc/probeops/agent.toml; systemctl restart probe-agent";
/// The agent may be between two sessions: the measurement waits for it.
const MEASURE: &str = r#"curl --silent --retry 30 --retry-connrefused --retry-delay 1 --header "Authorization: Bearer $(cat key)" --header 'Content-Type: application/json' \
--data '{"spec":{"probe":"ping","target":"127.0.0.1","count":2},"selection":{"agents":["here"]}}' 'http://127.0.0.1:8080/api/v1/measurements?wait=60s'"#;
const OBSERVER: &str = r#"
sed -i 's/^#allow_probes = .*/allow_probes = ["ping", "observe"]/' /etc/probeops/agent.toml
systemctl enable --now probe-agent-observe
systemctl restart probe-agent
"#;
const OBSERVE: &str = r#"curl --silent --retry 30 --retry-connrefused --retry-delay 1 --header "Authorization: Bearer $(cat key)" --header 'Content-Type: application/json' \
--data '{"spec":{"probe":"observe","observation":"connect_latency","duration_s":2},"selection":{"agents":["here"]}}' 'http://127.0.0.1:8080/api/v1/measurements?wait=60s'"#;
const KILL_OBSERVER: &str = r#"
before=$(systemctl show --property MainPID --value probe-agent-observe)
kill -KILL "$before"
for tenth in $(seq 50); do
    sleep 0.1
    now=$(systemctl show --property MainPID --value probe-agent-observe)
    [ "$now" = "$before" ] || [ "$now" = 0 ] || { systemctl is-active --quiet probe-agent-observe && exit 0; }
done
echo 'the observer did not come back within 5 s'
exit 1
"#;
/// A container sees the kernel's settings read-only; a host of its own does not.
const DROP_INS: &str = r#"
mount -o remount,rw,bind /proc/sys
key=$(grep -o 'ed25519:[A-Za-z0-9+/=]*' packages.key.public)
cat >owner.toml <<END
allow = ["connect_latency", "tls_latency", "custom:opens-by-process"]
custom_keys = ["$key"]
packages = "/etc/probeops/packages"
END
sed -i '/^\[observe\]$/r owner.toml' /etc/probeops/agent.toml
systemctl daemon-reload
systemctl restart probe-agent-observe probe-agent
[ "$(cat /proc/sys/kernel/bpf_stats_enabled)" = 1 ]
"#;
/// `curl` speaks by OpenSSL to the port of agents, which refuses it for want of a certificate: after the handshake.
const SHAKE_HANDS: &str = r#"
ask() {
    curl --silent --retry 30 --retry-connrefused --retry-delay 1 --header "Authorization: Bearer $(cat key)" --header 'Content-Type: application/json' \
        --data '{"spec":{"probe":"observe","observation":"tls_latency","duration_s":6},"selection":{"agents":["here"]}}' 'http://127.0.0.1:8080/api/v1/measurements?wait=60s'
}
ask >answer &
for second in $(seq 8); do
    sleep 1
    curl --silent --insecure https://127.0.0.1:8443/ >/dev/null || true
done
wait
cat answer
"#;
const CUSTOM: &str = r#"curl --silent --retry 30 --retry-connrefused --retry-delay 1 --header "Authorization: Bearer $(cat key)" --header 'Content-Type: application/json' \
--data '{"spec":{"probe":"observe","observation":"custom","package":"opens-by-process","duration_s":3},"selection":{"agents":["here"]}}' 'http://127.0.0.1:8080/api/v1/measurements?wait=60s'"#;
const BPF_STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";
const HANG: &str = r#"
for unit in control-plane probe-agent; do kill -STOP "$(systemctl show --property MainPID --value $unit)"; done
for second in $(seq 100); do
    sleep 1
    [ "$(systemctl show --property NRestarts --value control-plane)" = 0 ] || [ "$(systemctl show --property NRestarts --value probe-agent)" = 0 ] || exit 0
done
echo 'nothing was restarted'
exit 1
"#;
const PROGRAMS: [Program; 4] = [
    Program {
        name: "debootstrap",
        also_in: "/usr/sbin",
        package: "debootstrap",
        why: "unpacks a Debian",
    },
    Program {
        name: "systemd-nspawn",
        also_in: "",
        package: "systemd-container",
        why: "boots it",
    },
    Program {
        name: "ssh",
        also_in: "",
        package: "openssh-client",
        why: "is what deploy.sh uses",
    },
    Program {
        name: "ip",
        also_in: "/usr/sbin",
        package: "iproute2",
        why: "makes a network of its own",
    },
];
