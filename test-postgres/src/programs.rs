//! PostgreSQL's programs, and the user they run as: the server refuses to run as root.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::{User, geteuid};

use crate::error::TestPostgresError;

/// A cluster of databases in a directory, and how it is reached.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
}

/// The superuser, used to make databases.
pub(crate) const ADMIN: &str = "postgres";
/// The user that owns the databases: no superuser.
pub(crate) const OWNER: &str = "probeops";
/// Its password. The server is reached on this machine only.
const PASSWORD: &str = "only-for-tests";

impl Cluster {
    /// Makes a cluster in a directory that is there and empty.
    pub(crate) fn make(directory: &Path) -> Result<Self, TestPostgresError> {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).map_err(TestPostgresError::io("open up", directory))?;
        if let Some(user) = unprivileged() {
            chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(TestPostgresError::io("give away", directory))?;
        }
        let data = directory.join("data");
        let mut initdb = program("initdb")?;
        initdb.arg("--pgdata").arg(&data).args(["--username", ADMIN]).args([
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]);
        finish("initdb", initdb)?;
        Ok(Self {
            directory: directory.to_owned(),
            port: free_port()?,
        })
    }

    /// The server's command line.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let directory = self.directory.display();
        vec![
            "-D".to_owned(),
            format!("{directory}/data"),
            "-k".to_owned(),
            directory.to_string(),
            "-p".to_owned(),
            self.port.to_string(),
            "-c".to_owned(),
            "listen_addresses=127.0.0.1".to_owned(),
            "-c".to_owned(),
            "max_connections=400".to_owned(),
            "-c".to_owned(),
            "dynamic_shared_memory_type=mmap".to_owned(),
        ]
    }

    /// Waits until the server answers, and makes the roles if they are not there.
    pub(crate) fn until_ready(&self) -> Result<(), TestPostgresError> {
        for _ in 0..TRIES {
            if self.command("postgres", ROLES).is_ok() {
                return Ok(());
            }
            pause();
        }
        Err(TestPostgresError::TooSlow {
            what: "come up",
            log: self.last_words(),
        })
    }

    /// Runs SQL as the superuser.
    pub(crate) fn command(&self, database: &str, sql: &str) -> Result<String, TestPostgresError> {
        let mut psql = program("psql")?;
        psql.arg("--host").arg(&self.directory).args(["--port", &self.port.to_string()]).args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            "--username",
            ADMIN,
            "--dbname",
            database,
            "--command",
            sql,
        ]);
        finish("psql", psql)
    }

    /// Makes an empty database that belongs to the ordinary user.
    pub(crate) fn create_database(&self) -> Result<String, TestPostgresError> {
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        self.command("postgres", &format!("CREATE DATABASE {name} OWNER {OWNER}"))?;
        Ok(name)
    }

    /// The URL of a database, by the Unix socket.
    pub(crate) fn socket_url(&self, user: &str, database: &str) -> String {
        let path = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://{user}@{path}:{}/{database}", self.port)
    }

    /// The URL of a database, by TCP and with a password.
    pub(crate) fn tcp_url(&self, database: &str) -> String {
        format!("postgres://{OWNER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Writes a file into the data directory that nobody but the server may read.
    pub(crate) fn put_private(&self, name: &str, text: &str) -> Result<(), TestPostgresError> {
        let file = self.directory.join("data").join(name);
        std::fs::write(&file, text).map_err(TestPostgresError::io("write", &file))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).map_err(TestPostgresError::io("protect", &file))?;
        if let Some(user) = unprivileged() {
            chown(&file, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(TestPostgresError::io("give away", &file))?;
        }
        Ok(())
    }

    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

/// One of PostgreSQL's programs, as the user that may run it, with no standard streams of ours.
pub(crate) fn program(name: &str) -> Result<Command, TestPostgresError> {
    Ok(as_unprivileged(Command::new(folder()?.join(name))))
}

pub(crate) fn as_unprivileged(mut command: Command) -> Command {
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").stdin(Stdio::null());
    if let Some(user) = unprivileged() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// The folder of the programs: the newest of Debian's, or the one that `initdb` on the search path lies in.
pub(crate) fn folder() -> Result<PathBuf, TestPostgresError> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = debian
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(version, folder)| *version >= OLDEST && folder.join("initdb").is_file())
        .max();
    if let Some((_, folder)) = newest {
        return Ok(folder);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("initdb")).find(|initdb| initdb.is_file());
    let real = found.and_then(|initdb| std::fs::canonicalize(initdb).ok());
    real.and_then(|initdb| initdb.parent().map(Path::to_owned)).ok_or(TestPostgresError::Missing)
}

/// Whom the programs run as where this process is root.
fn unprivileged() -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten())
}

fn finish(program: &str, mut command: Command) -> Result<String, TestPostgresError> {
    let output = command.output().map_err(TestPostgresError::io("run", program))?;
    if !output.status.success() {
        return Err(TestPostgresError::Failed {
            program: program.to_owned(),
            status: output.status,
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn free_port() -> Result<u16, TestPostgresError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(TestPostgresError::io("find a port on", "127.0.0.1"))?;
    Ok(listener.local_addr().map_err(TestPostgresError::io("find a port on", "127.0.0.1"))?.port())
}

/// Between two looks at a server that comes up or goes down.
#[expect(
    clippy::disallowed_methods,
    reason = "a server says nothing when it is ready; callers are tests, and the number of looks has a bound"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// The oldest version that the control plane works with.
const OLDEST: u32 = 15;
/// Looks at a server before it is given up: a minute.
pub(crate) const TRIES: u32 = 1_200;

const ROLES: &str = "DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'probeops') THEN
        CREATE ROLE probeops LOGIN CREATEROLE PASSWORD 'only-for-tests';
        CREATE ROLE probeops_tenant NOLOGIN;
        GRANT probeops_tenant TO probeops;
    END IF;
END $$";
