//! Control files on this machine: of a scratch cgroup, and of what is none.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use super::*;
use crate::cgroup::tests::Scratch;

fn id(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_control_file_is_read_and_written() {
    let scratch = Scratch::new("file");
    let id = id(&scratch.0);
    let read = || read_control(&scratch.0, id, "cgroup.freeze").unwrap();
    assert_eq!(read().as_deref(), Some("0"));
    write_control(&scratch.0, id, "cgroup.freeze", "1").unwrap();
    assert_eq!(read().as_deref(), Some("1"));
    assert_eq!(
        read_control(&scratch.0, id, "cgroup.no-such").unwrap(),
        None
    );
}

#[test]
fn a_cgroup_made_anew_under_the_same_name_is_another() {
    let scratch = Scratch::new("anew");
    let before = id(&scratch.0);
    fs::remove_dir(&scratch.0).unwrap();
    assert_eq!(
        read_control(&scratch.0, before, "cgroup.freeze").unwrap(),
        None
    );
    fs::create_dir(&scratch.0).unwrap();
    assert_eq!(
        read_control(&scratch.0, before, "cgroup.freeze").unwrap(),
        None
    );
    let error = write_control(&scratch.0, before, "cgroup.freeze", "1").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let now = read_control(&scratch.0, id(&scratch.0), "cgroup.freeze").unwrap();
    assert_eq!(now.as_deref(), Some("0"));
}

#[test]
fn what_is_no_cgroup_is_refused() {
    for path in ["/tmp", "/proc", "/sys"] {
        let path = PathBuf::from(path);
        for error in [
            read_control(&path, id(&path), "cpu.max").unwrap_err(),
            write_control(&path, id(&path), "cpu.max", "1").unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }
}

#[test]
fn files_that_chaosd_has_no_business_with_are_refused() {
    let scratch = Scratch::new("business");
    let id = id(&scratch.0);
    for file in ["cgroup.procs", "cgroup.kill", "../cgroup.freeze", ".."] {
        let error = write_control(&scratch.0, id, file, "1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{file}");
    }
    for file in ["../cgroup.procs", ".."] {
        let error = read_control(&scratch.0, id, file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{file}");
    }
}
