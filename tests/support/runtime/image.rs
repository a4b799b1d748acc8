//! An image without a registry: busybox and its names, as an archive that every runtime takes.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::run;

/// What it is called.
pub const NAME: &str = "localhost/lab:1";

const BUSYBOX: &str = "/bin/busybox";
/// The names that tests use.
const NAMES: [&str; 6] = ["sh", "sleep", "ping", "nc", "ip", "cat"];

/// The root of a container.
pub fn root(at: &Path) -> Result<()> {
    let bin = at.join("bin");
    for dir in [
        &bin,
        &at.join("etc"),
        &at.join("proc"),
        &at.join("dev"),
        &at.join("sys"),
    ] {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::copy(BUSYBOX, bin.join("busybox")).context("there is no static busybox")?;
    for name in NAMES {
        symlink("busybox", bin.join(name)).with_context(|| name.to_owned())?;
    }
    std::fs::write(at.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    Ok(())
}

/// A docker-archive of the root in `place`: a layer, a configuration, and which is which.
pub fn archive(place: &Path) -> Result<PathBuf> {
    let image = place.join("image");
    std::fs::create_dir_all(&image)?;
    let dir = image.display().to_string();
    let (layer, root) = (format!("{dir}/layer.tar"), place.join("root"));
    let root = root.display().to_string();
    run("tar", &["-C", &root, "--numeric-owner", "-cf", &layer, "."])?;
    let sum = run("sha256sum", &[&layer])?;
    let sum = sum.split(' ').next().context("sha256sum said nothing")?;
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": super::SLEEP },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{sum}")] },
    });
    let manifest = serde_json::json!([{
        "Config": "config.json",
        "RepoTags": [NAME],
        "Layers": ["layer.tar"],
    }]);
    std::fs::write(image.join("config.json"), config.to_string())?;
    std::fs::write(image.join("manifest.json"), manifest.to_string())?;
    let archive = place.join("image.tar");
    let to = archive.display().to_string();
    run(
        "tar",
        &[
            "-C",
            &dir,
            "-cf",
            &to,
            "manifest.json",
            "config.json",
            "layer.tar",
        ],
    )?;
    Ok(archive)
}
