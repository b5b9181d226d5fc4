//! A server that belongs to one test.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::TestPostgresError;
use crate::programs::{ADMIN, Cluster, OWNER, TRIES, as_unprivileged, folder, pause};

/// A server with one database, for tests that stop or kill it. It writes to disk as a real one does, and ends with this value,
/// or with the process that started it.
#[derive(Debug)]
pub struct OwnServer {
    cluster: Cluster,
    database: String,
    watchman: Option<Child>,
    /// Its `shared_buffers`.
    buffers: &'static str,
    _directory: tempfile::TempDir,
}

impl OwnServer {
    /// Makes a cluster, starts its server and makes an empty database.
    ///
    /// # Errors
    /// [`TestPostgresError::Missing`] where PostgreSQL is not installed.
    pub fn start() -> Result<Self, TestPostgresError> {
        Self::with_buffers(FEW_BUFFERS)
    }

    /// Makes one as it is after some days of work and as docs/operations/databases.md advises, to measure with: the buffers that PostgreSQL has by
    /// itself, and a write-ahead log of 2 GiB whose segments are there to be written over. A new server makes each of its segments when it
    /// needs it, 16 MiB and a `fsync`, and who commits waits for that, some 50 ms each time.
    ///
    /// # Errors
    /// [`TestPostgresError::Missing`] where PostgreSQL is not installed.
    pub fn start_to_measure() -> Result<Self, TestPostgresError> {
        let server = Self::with_buffers(USUAL_BUFFERS)?;
        for setting in ["min_wal_size", "max_wal_size"] {
            server.command(&format!("ALTER SYSTEM SET {setting} = '{}MB'", 16 * (SEGMENTS + 1)))?;
        }
        server.command("SELECT pg_reload_conf()")?;
        for _ in 0..SEGMENTS {
            server.command("SELECT pg_logical_emit_message(false, 'segment', ''), pg_switch_wal()")?;
        }
        server.command("CHECKPOINT")?;
        Ok(server)
    }

    fn with_buffers(buffers: &'static str) -> Result<Self, TestPostgresError> {
        let directory = tempfile::tempdir().map_err(TestPostgresError::io("make a folder in", std::env::temp_dir()))?;
        let cluster = Cluster::make(directory.path())?;
        let mut server = Self {
            cluster,
            database: String::new(),
            watchman: None,
            buffers,
            _directory: directory,
        };
        server.start_again()?;
        server.database = server.cluster.create_database()?;
        Ok(server)
    }

    /// Starts the server after it was stopped or killed, on the port it had.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<(), TestPostgresError> {
        let mut watchman = Command::new("/bin/sh");
        watchman
            .args(["-c", WATCHMAN, "probeops-own-postgres"])
            .arg(&self.cluster.directory)
            .arg(folder()?.join("postgres"))
            .args(self.cluster.arguments())
            .args(["-c", &format!("shared_buffers={}", self.buffers)]);
        let mut watchman = as_unprivileged(watchman);
        // The pipe is what the watchman watches: it closes when this process ends, however it ends.
        watchman.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.watchman = Some(watchman.spawn().map_err(TestPostgresError::io("start", "/bin/sh"))?);
        self.cluster.until_ready()
    }

    /// Lets the server speak TLS with this certificate and key, PEM, from its next connection on.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn speak_tls(&self, certificate: &str, key: &str) -> Result<(), TestPostgresError> {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            self.cluster.put_private(name, text)?;
        }
        self.command("ALTER SYSTEM SET ssl = on")?;
        self.command("SELECT pg_reload_conf()").map(drop)
    }

    /// Kills every process of the server at once, as a crash does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self) -> Result<(), TestPostgresError> {
        self.end(Signal::SIGQUIT)
    }

    /// Stops the server in order, cutting its connections.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<(), TestPostgresError> {
        self.end(Signal::SIGINT)
    }

    /// Runs SQL as the superuser.
    ///
    /// # Errors
    /// When it is refused.
    pub fn command(&self, sql: &str) -> Result<String, TestPostgresError> {
        self.cluster.command(&self.database, sql)
    }

    /// Its database's URL for the user that owns it, by the Unix socket.
    pub fn url(&self) -> String {
        self.cluster.socket_url(OWNER, &self.database)
    }

    /// Its database's URL for the user that owns it, by TCP and with a password.
    pub fn tcp_url(&self) -> String {
        self.cluster.tcp_url(&self.database)
    }

    /// Its database's URL for the superuser.
    pub fn admin_url(&self) -> String {
        self.cluster.socket_url(ADMIN, &self.database)
    }

    fn end(&mut self, signal: Signal) -> Result<(), TestPostgresError> {
        let Some(mut watchman) = self.watchman.take() else {
            return Ok(());
        };
        let file = self.cluster.directory.join("data/postmaster.pid");
        let pid = std::fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.parse().ok());
        if let Some(pid) = pid {
            let _already_gone = kill(Pid::from_raw(pid), signal);
        }
        for _ in 0..TRIES {
            if watchman.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Ok(());
            }
            pause();
        }
        Err(TestPostgresError::TooSlow {
            what: "go down",
            log: self.cluster.last_words(),
        })
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ended = self.end(Signal::SIGQUIT);
    }
}

/// Enough for a test, of which many run at a time.
const FEW_BUFFERS: &str = "16MB";
/// What a server has that nobody told otherwise.
const USUAL_BUFFERS: &str = "128MB";
/// Of the log that is there before anything is measured: more than a benchmark writes.
const SEGMENTS: u32 = 127;

/// `$1` the directory, then the server's command line. Ends the server when the standard input closes, and itself when the server ends.
const WATCHMAN: &str = r#"
base=$1; shift
exec 8<&0 </dev/null
"$@" 8<&- >>"$base/log" 2>&1 &
server=$!
(read -r nothing <&8; kill -QUIT "$server") 2>/dev/null &
reader=$!
exec 8<&-
wait "$server"
kill "$reader" 2>/dev/null
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_killed_has_what_it_committed() {
        let mut server = OwnServer::start().unwrap();
        server.command("CREATE TABLE kept (n INTEGER)").unwrap();
        server.kill().unwrap();
        assert!(server.command("SELECT 1").is_err());
        server.start_again().unwrap();
        assert_eq!(server.command("SELECT count(*) FROM kept").unwrap(), "0");
    }

    #[test]
    fn a_server_to_measure_with_need_not_make_segments_of_its_log() {
        let server = OwnServer::start_to_measure().unwrap();
        let ahead = "SELECT count(*) >= 60 FROM pg_ls_waldir() WHERE name > pg_walfile_name(pg_current_wal_lsn())";
        assert_eq!(server.command(ahead).unwrap(), "t");
    }
}
