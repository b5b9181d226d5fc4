//! The machine that is emulated: what its memory holds at the start, and what it said by the end.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;

/// What came of the tests in one kernel.
pub(super) struct Ran {
    pub(super) passed: bool,
    /// The tests' own last line.
    pub(super) summary: String,
    /// Everything the machine said.
    pub(super) console: String,
}

/// A file system for the memory of a machine: the test, what it is linked with, and a shell that starts it.
pub(super) fn memory(test: &Path) -> Result<NamedTempFile> {
    let tree = tempfile::tempdir().context("making a folder for the guest")?;
    let shell = crate::tool::find("busybox").context("busybox is not on the search path")?;
    for folder in ["bin", "proc", "sys", "dev", "tmp"] {
        std::fs::create_dir(tree.path().join(folder))?;
    }
    place(tree.path(), &shell, Path::new("/bin/busybox"))?;
    place(tree.path(), test, Path::new("/test"))?;
    for library in libraries(&shell)?.union(&libraries(test)?) {
        place(tree.path(), library, library)?;
    }
    let init = tree.path().join("init");
    std::fs::write(&init, INIT)?;
    std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755))?;
    packed(tree.path())
}

fn place(tree: &Path, file: &Path, at: &Path) -> Result<()> {
    let to = tree.join(at.strip_prefix("/").unwrap_or(at));
    std::fs::create_dir_all(to.parent().context("a file without a folder")?)?;
    std::fs::copy(file, &to).with_context(|| format!("copying {}", file.display()))?;
    Ok(())
}

/// What a program is linked with; nothing where it is whole.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("calling ldd")?;
    let listed = String::from_utf8(output.stdout).context("what ldd says is not UTF-8")?;
    let words = listed.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    Ok(words.map(PathBuf::from).collect())
}

/// As the kernel unpacks it into its memory: cpio, of the newer kind.
fn packed(tree: &Path) -> Result<NamedTempFile> {
    let mut found = Command::new("find")
        .arg(".")
        .current_dir(tree)
        .stdout(Stdio::piped())
        .spawn()
        .context("calling find")?;
    let names = found.stdout.take().context("no output of find")?;
    let archive = Command::new("busybox")
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(tree)
        .stdin(names)
        .output()
        .context("calling busybox cpio")?;
    ensure!(found.wait()?.success() && archive.status.success(), "the guest's files cannot be packed");
    let mut file = NamedTempFile::new().context("making a file for the guest's memory")?;
    file.write_all(&archive.stdout).context("writing the guest's memory")?;
    Ok(file)
}

/// Boots a kernel, and waits until the machine has switched itself off.
pub(super) fn boot(kernel: &Path, memory: &NamedTempFile) -> Result<Ran> {
    // A guest that hangs is ended from outside: it has nobody else who would.
    let output = Command::new("timeout")
        .args(["--kill-after=5", LONGEST_S, "qemu-system-x86_64"])
        .args([
            "-accel",
            // The processors take turns in one thread: with a thread each, one of them now and then sleeps through its timer and the other's call,
            // and the guest stands still.
            "tcg,thread=single",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "512",
            "-nic",
            "none",
            "-nographic",
            "-no-reboot",
            "-kernel",
        ])
        .arg(kernel)
        .arg("-initrd")
        .arg(memory.path())
        .args(["-append", "console=ttyS0 panic=-1 quiet"])
        .stdin(Stdio::null())
        .output()
        .context("calling qemu-system-x86_64")?;
    let console = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(judge(console))
}

fn judge(console: String) -> Ran {
    let said = |start: &str| console.lines().find_map(|line| line.trim_end().strip_prefix(start));
    // Some test ran, and the test program says itself that all went well.
    let passed = said(END) == Some("0") && said("test result: ok. ").is_some_and(|counts| !counts.starts_with("0 passed"));
    Ran {
        passed,
        summary: said("test result: ").unwrap_or("the guest did not come to the end of its tests").to_owned(),
        console,
    }
}

/// What the guest says at the end, before the exit code of the tests.
const END: &str = "the tests ended with ";
const LONGEST_S: &str = "180";
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
ip link set lo up
cd /tmp
/test --test-threads=1 < /dev/null
echo the tests ended with $?
poweroff -f
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_that_ran_to_a_good_end_pass() {
        let good = "running 7 tests\r\ntest result: ok. 7 passed; 0 failed\r\n\r\nthe tests ended with 0\r\n";
        let ran = judge(good.to_owned());
        assert_eq!((ran.passed, ran.summary.as_str()), (true, "ok. 7 passed; 0 failed"));
        for bad in [
            "",
            "Kernel panic",
            "test result: ok. 0 passed; 0 failed\nthe tests ended with 0\n",
            "test result: FAILED. 6 passed; 1 failed\nthe tests ended with 101\n",
            "test result: ok. 7 passed; 0 failed\nthe tests ended with 139\n",
        ] {
            assert!(!judge(bad.to_owned()).passed, "{bad}");
        }
    }
}
