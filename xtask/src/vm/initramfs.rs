//! What the kernel unpacks and starts before it has a root: busybox, our scripts, and the few
//! modules that bring the host's root in.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::kernel::{Kernel, program};
use crate::step;

const INIT: &str = include_str!("guest/init.sh");
const STAGE2: &str = include_str!("guest/stage2.sh");
const STAGE3: &str = include_str!("guest/stage3.sh");

/// What it takes to mount the root and to talk to the host; the rest loads on demand.
const MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "virtiofs",
    "overlay",
];

/// Writes the archive into `work`, which is used for its parts too, with the script that runs the
/// command inside (empty when booting is all that is asked).
pub fn write(kernel: &Kernel, work: &Path, command: &[u8]) -> Result<PathBuf> {
    let root = work.join("initramfs");
    let modules = root.join("modules");
    for dir in [root.join("bin"), modules.clone()] {
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("failed to create {}", dir.display()))?;
    }
    let busybox = program("busybox")?;
    std::fs::copy(&busybox, root.join("bin/busybox"))
        .with_context(|| format!("failed to copy {}", busybox.display()))?;
    put(&root.join("init"), INIT.as_bytes())?;
    put(&root.join("stage2"), STAGE2.as_bytes())?;
    put(&root.join("stage3"), STAGE3.as_bytes())?;
    put(&root.join("command"), command)?;
    make_executable(&root.join("init"))?;

    let mut order = String::new();
    for module in modules_in_order(kernel)? {
        let name = unpack_module(&module, &modules)?;
        order.push_str(&name);
        order.push('\n');
    }
    put(&modules.join("order"), order.as_bytes())?;

    let archive = work.join("initrd");
    pack(&root, &archive)?;
    Ok(archive)
}

/// The files of the modules and of what they need, dependencies first, each once.
fn modules_in_order(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for module in MODULES {
        let listing = step::output(
            Command::new(program("modprobe")?)
                .arg("-d")
                .arg(&kernel.dir)
                .args(["-S", &kernel.version, "--show-depends", module]),
        )?;
        for file in insmods(&listing) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The files in what `modprobe --show-depends` prints; a built-in module has none.
fn insmods(listing: &str) -> Vec<PathBuf> {
    listing
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .map(|file| PathBuf::from(file.trim()))
        .collect()
}

/// Copies a module, decompressed since busybox loads no other, and returns its name there.
fn unpack_module(module: &Path, into: &Path) -> Result<String> {
    let name = module
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no name", module.display()))?;
    let Some(plain) = name.strip_suffix(".xz") else {
        std::fs::copy(module, into.join(name))
            .with_context(|| format!("failed to copy {}", module.display()))?;
        return Ok(name.to_owned());
    };
    let output = Command::new(program("xz")?)
        .arg("-dc")
        .arg(module)
        .output()
        .context("failed to start xz")?;
    ensure!(
        output.status.success(),
        "failed to decompress {}: {}",
        module.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    put(&into.join(plain), &output.stdout)?;
    Ok(plain.to_owned())
}

fn pack(root: &Path, archive: &Path) -> Result<()> {
    let mut names = String::new();
    list(root, "", &mut names)?;
    let output = std::fs::File::create(archive)
        .with_context(|| format!("failed to create {}", archive.display()))?;
    let mut cpio = Command::new(program("cpio")?)
        .args(["-o", "-H", "newc", "-R", "0:0", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()
        .context("failed to start cpio")?;
    let mut stdin = cpio.stdin.take().context("cpio has no standard input")?;
    stdin
        .write_all(names.as_bytes())
        .context("failed to tell cpio the names")?;
    drop(stdin);
    let status = cpio.wait().context("failed to wait for cpio")?;
    ensure!(status.success(), "cpio: {status}");
    Ok(())
}

/// The names below `dir`, a directory before what is in it.
fn list(dir: &Path, prefix: &str, names: &mut String) -> Result<()> {
    let read = || format!("failed to read {}", dir.display());
    for entry in std::fs::read_dir(dir).with_context(read)? {
        let entry = entry.with_context(read)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        names.push_str(&name);
        names.push('\n');
        if entry.file_type().with_context(read)?.is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        }
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("failed to make {} executable", path.display()))
}

#[cfg(test)]
mod tests {
    use super::insmods;

    #[test]
    fn what_is_built_in_is_not_loaded() {
        let listing = "builtin virtio\ninsmod /k/virtio_ring.ko \ninsmod /k/virtio_pci.ko.xz\n";
        assert_eq!(
            insmods(listing),
            ["/k/virtio_ring.ko", "/k/virtio_pci.ko.xz"].map(Into::<std::path::PathBuf>::into)
        );
    }
}
