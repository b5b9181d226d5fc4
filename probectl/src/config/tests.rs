use std::fs::{Permissions, set_permissions, write};

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::cli::Cli;

struct Home {
    folder: TempDir,
}

impl Home {
    fn with(config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let home = Self { folder };
        home.file("config.toml", 0o644, config);
        home
    }

    fn file(&self, name: &str, mode: u32, text: &str) -> PathBuf {
        let file = self.folder.path().join("probeops").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        write(&file, text).unwrap();
        set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        file
    }

    fn find(&self, arguments: &[&str], token: Option<&str>, mut stdin: &[u8]) -> Result<(String, String), ConfigError> {
        let global = Cli::parse_from([&["probectl"], arguments, &["agents", "list"]].concat()).global;
        let surroundings = Surroundings {
            token: token.map(Into::into),
            config_home: Some(self.folder.path().to_owned()),
            home: None,
        };
        let connection = Connection::find(&global, &surroundings, &mut stdin)?;
        Ok((connection.url.to_string(), connection.key.expose_secret().to_owned()))
    }
}

fn found(url: &str, key: &str) -> (String, String) {
    (url.to_owned(), key.to_owned())
}

#[test]
fn the_current_context_gives_address_and_key() {
    let home = Home::with("");
    let key = home.file("api-key", 0o600, "po_live_file\n");
    home.file(
        "config.toml",
        0o644,
        &format!("current = \"a\"\n[contexts.a]\nurl = \"http://127.0.0.1:1\"\nkey_file = {key:?}\n[contexts.b]\nurl = \"https://b.example/base/\"\n"),
    );
    assert_eq!(home.find(&[], None, b"").unwrap(), found("http://127.0.0.1:1/", "po_live_file"));
    assert_eq!(
        home.find(&["--context", "b"], Some("po_live_env"), b"").unwrap(),
        found("https://b.example/base/", "po_live_env")
    );
    assert_eq!(
        home.find(&["--url", "https://c.example"], None, b"").unwrap(),
        found("https://c.example/", "po_live_file")
    );
    assert_eq!(home.find(&["--key-stdin"], Some("po_live_env"), b"po_live_in\n").unwrap().1, "po_live_in");
}

#[test]
fn without_a_file_address_and_key_come_from_the_environment() {
    let home = Home {
        folder: TempDir::new().unwrap(),
    };
    assert_eq!(
        home.find(&["--url", "http://127.0.0.1:1"], Some("k"), b"").unwrap(),
        found("http://127.0.0.1:1/", "k")
    );
    assert!(matches!(home.find(&["--url", "http://127.0.0.1:1"], None, b""), Err(ConfigError::NoKey)));
    assert!(matches!(home.find(&[], Some("k"), b""), Err(ConfigError::NoContext(_))));
    assert!(matches!(
        home.find(&["--config", "/nonexistent/x"], Some("k"), b""),
        Err(ConfigError::Read { .. })
    ));
    assert!(matches!(
        home.find(&["--context", "x"], Some("k"), b""),
        Err(ConfigError::UnknownContext { .. })
    ));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    for mode in [0o640, 0o604, 0o660] {
        let home = Home::with("");
        let key = home.file("api-key", mode, "po_live_file");
        home.file(
            "config.toml",
            0o600,
            &format!("current = \"a\"\n[contexts.a]\nurl = \"http://127.0.0.1:1\"\nkey_file = {key:?}\n"),
        );
        assert!(matches!(home.find(&[], None, b""), Err(ConfigError::Exposed(file)) if file == key), "{mode:o}");
    }
    let home = Home::with("current = \"a\"\n[contexts.a]\nurl = \"http://127.0.0.1:1\"\nkey = \"po_live_inline\"\n");
    assert!(matches!(home.find(&[], None, b""), Err(ConfigError::Exposed(_))));
    set_permissions(home.folder.path().join("probeops/config.toml"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.find(&[], None, b"").unwrap().1, "po_live_inline");
}

#[test]
fn what_is_no_key_or_no_address_is_refused() {
    let home = Home {
        folder: TempDir::new().unwrap(),
    };
    for key in ["", " ", "two words", "line\nline", "\u{1b}[2J", &"k".repeat(513)] {
        let refused = home.find(&["--url", "http://127.0.0.1:1"], Some(key), b"");
        assert!(matches!(refused, Err(ConfigError::NotAKey("PROBEOPS_TOKEN"))), "{key:?}");
    }
    let endless = vec![b'k'; 10_000];
    assert!(matches!(
        home.find(&["--url", "http://127.0.0.1:1", "--key-stdin"], None, &endless),
        Err(ConfigError::NotAKey("standard input"))
    ));
    for url in [
        "",
        "127.0.0.1:1",
        "ftp://x",
        "http://user:secret@x",
        "http://x/?key=1",
        "http://x/#a",
        "file:///etc/passwd",
    ] {
        assert!(matches!(home.find(&["--url", url], Some("k"), b""), Err(ConfigError::Url(_))), "{url}");
    }
}

#[test]
fn aut_23_no_message_about_the_configuration_holds_the_key() {
    for text in [
        "key = \"po_live_canary\"\n[[",
        "[contexts.a]\nurl = \"x\"\nkey = \"po_live_canary\" x",
        "[contexts.a]\nkey = \"po_live_canary\"\n",
        "[contexts.a]\nurl = 7 # po_live_canary\n",
    ] {
        let home = Home::with(text);
        let refused = home.find(&[], None, b"").unwrap_err();
        assert!(matches!(refused, ConfigError::Parse { .. }), "{refused:?}");
        assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused}");
    }
}

#[test]
fn a_key_in_the_clear_over_a_network_is_noticed() {
    for (url, exposed) in [
        ("http://127.0.0.1:1", false),
        ("http://localhost:1", false),
        ("http://[::1]:1", false),
        ("https://example.test", false),
        ("http://192.0.2.1", true),
        ("http://localhost.example.test", true),
    ] {
        let connection = Connection {
            url: url.parse().unwrap(),
            key: "k".into(),
        };
        assert_eq!(connection.is_exposed(), exposed, "{url}");
    }
}

#[test]
fn switching_the_context_changes_one_line_and_keeps_who_may_read_the_file() {
    let contexts =
        "# mine\n[contexts.a]\nurl = \"http://127.0.0.1:1\"\n\n[contexts.\"b c\"]\nurl = \"http://127.0.0.1:2\" # two\ncurrent_is_no_field_here = 1\n";
    let contexts = contexts.replace("current_is_no_field_here = 1\n", "");
    for (before, after) in [("", "current = \"b c\"\n"), ("x = 1\n", ""), ("current = \"a\" # old\n", "current = \"b c\"\n")] {
        let home = Home::with(&format!("{before}{contexts}"));
        let file = home.folder.path().join("probeops/config.toml");
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let switched = ConfigFile::switch(&file, "b c");
        if after.is_empty() {
            assert!(
                matches!(switched, Err(ConfigError::Parse { .. })),
                "an unknown field is refused and nothing changed"
            );
            continue;
        }
        switched.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{after}{contexts}"));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(ConfigFile::switch(&file, "none"), Err(ConfigError::UnknownContext { .. })));
    }
}
