//! The server that tests share.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use crate::error::TestPostgresError;
use crate::programs::{ADMIN, Cluster, OWNER, as_unprivileged, folder};

/// An empty database of its own; it is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    cluster: Cluster,
    name: String,
    /// Held as long as the server is used.
    _using: Flock<File>,
}

impl TestDatabase {
    /// Makes a database, and starts the server if there is none.
    ///
    /// # Errors
    /// [`TestPostgresError::Missing`] where PostgreSQL is not installed.
    pub fn create() -> Result<Self, TestPostgresError> {
        let base = base();
        let using = lock(&with_extension(&base, "users"), FlockArg::LockShared)?;
        let cluster = running(&base)?;
        let name = cluster.create_database()?;
        Ok(Self { cluster, name, _using: using })
    }

    /// Its URL for the user that owns it, by the Unix socket.
    pub fn url(&self) -> String {
        self.cluster.socket_url(OWNER, &self.name)
    }

    /// Its URL for the user that owns it, by TCP and with a password.
    pub fn tcp_url(&self) -> String {
        self.cluster.tcp_url(&self.name)
    }

    /// Its URL for the superuser.
    pub fn admin_url(&self) -> String {
        self.cluster.socket_url(ADMIN, &self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // What cannot be dropped goes away with the server.
        let _gone = self.cluster.command("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The shared server, started if nobody has; one process at a time looks.
fn running(base: &Path) -> Result<Cluster, TestPostgresError> {
    let _looking = lock(&with_extension(base, "start"), FlockArg::LockExclusive)?;
    let ready = base.join("ready");
    if let Some(port) = std::fs::read_to_string(&ready).ok().and_then(|text| text.trim().parse().ok()) {
        let cluster = Cluster {
            directory: base.to_owned(),
            port,
        };
        if cluster.command("postgres", "SELECT 1").is_ok() {
            return Ok(cluster);
        }
    }
    if base.exists() {
        std::fs::remove_dir_all(base).map_err(TestPostgresError::io("remove", base))?;
    }
    std::fs::create_dir(base).map_err(TestPostgresError::io("make", base))?;
    let cluster = Cluster::make(base)?;
    start(base, &cluster)?;
    cluster.until_ready()?;
    std::fs::write(&ready, cluster.port.to_string()).map_err(TestPostgresError::io("write", &ready))?;
    Ok(cluster)
}

/// Starts the server under a watchman in a session of its own: it outlives this process and ends when nobody uses the server any more.
fn start(base: &Path, cluster: &Cluster) -> Result<(), TestPostgresError> {
    let mut watchman = Command::new("/bin/sh");
    watchman
        .args(["-c", WATCHMAN, "probeops-test-postgres"])
        .arg(base)
        .arg(folder()?.join("postgres"))
        .args(cluster.arguments())
        .args([
            "-c",
            "fsync=off",
            "-c",
            "full_page_writes=off",
            "-c",
            "autovacuum=off",
            "-c",
            "shared_buffers=64MB",
        ]);
    let mut watchman = as_unprivileged(watchman);
    watchman.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    watchman.spawn().map_err(TestPostgresError::io("start", "/bin/sh"))?;
    Ok(())
}

/// Takes a lock on a file that every user of this machine's tests can open.
fn lock(path: &Path, how: FlockArg) -> Result<Flock<File>, TestPostgresError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = opened.map_err(TestPostgresError::io("open", path))?;
    file.set_permissions(Permissions::from_mode(0o666))
        .map_err(TestPostgresError::io("open up", path))?;
    Flock::lock(file, how).map_err(|(_, errno)| TestPostgresError::Io {
        what: "lock",
        path: path.to_owned(),
        source: errno.into(),
    })
}

fn base() -> PathBuf {
    std::env::temp_dir().join(format!("probeops-test-postgres-{}", geteuid()))
}

fn with_extension(base: &Path, extension: &str) -> PathBuf {
    let mut path = base.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

/// `$1` the directory, then the server's command line. Ten seconds after the last user let go of the lock, it ends the server,
/// holding the lock itself, so that a new user waits and starts afresh.
const WATCHMAN: &str = r#"
base=$1; shift
exec 9<>"$base.users"
"$@" 9<&- >"$base/log" 2>&1 &
server=$!
idle=0
while kill -0 "$server" 2>/dev/null; do
    sleep 1
    if flock -n -x 9; then
        idle=$((idle + 1))
        if [ "$idle" -ge 10 ]; then
            kill -QUIT "$server"
            wait "$server"
            rm -rf "$base"
            exit
        fi
        flock -u 9
    else
        idle=0
    fi
done
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_made_on_one_server_and_dropped() {
        let (one, two) = (TestDatabase::create().unwrap(), TestDatabase::create().unwrap());
        assert_eq!(one.cluster.port, two.cluster.port);
        let name = one.name.clone();
        let count = |cluster: &Cluster| {
            cluster
                .command("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"))
                .unwrap()
        };
        assert_eq!(count(&two.cluster), "1");
        drop(one);
        assert_eq!(count(&two.cluster), "0");
    }
}
