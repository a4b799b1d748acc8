//! Where a process is in each hierarchy of cgroups, as its /proc/PID/cgroup tells (cgroups(7)): a line
//! `0::/path` of the unified one (v2), and `7:memory:/path` of each of v1.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::placing::{container_dir, id_within};

/// The lines of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines(String);

/// A directory of the hierarchy with these controllers; of the unified one there are none.
type Dir = (String, PathBuf);

impl Lines {
    /// `None`: no such process.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::new(fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
    }

    pub(super) fn new(text: String) -> Option<Self> {
        // A zombie is in no cgroup of its own any more.
        (!text.is_empty()).then_some(Self(text))
    }

    /// The path in the unified hierarchy; `/` on a host without one.
    pub(super) fn unified(&self) -> &str {
        let mut paths = self.each();
        let unified = paths.find(|(controllers, _)| controllers.is_empty());
        unified.map_or("/", |(_, path)| path)
    }

    /// The path that says most for people: one with an id in it, else one that is not the root.
    pub(super) fn shown(&self) -> &str {
        let unified = std::iter::once(self.unified());
        let all = || unified.clone().chain(self.each().map(|(_, path)| path));
        let named = all().find(|path| id_within(path).is_some());
        named
            .or_else(|| all().find(|path| *path != "/"))
            .unwrap_or("/")
    }

    /// The directories of the container `id`, in whatever hierarchies it has one.
    pub(super) fn of_container(&self, id: &str) -> Vec<Dir> {
        self.each()
            .filter_map(|(hierarchy, path)| Some((hierarchy.to_owned(), container_dir(path, id)?)))
            .collect()
    }

    /// True in one of these directories, or below it.
    pub(super) fn is_within(&self, dirs: &[Dir]) -> bool {
        self.each().any(|(hierarchy, path)| {
            let path = Path::new(path.trim_start_matches('/'));
            let mut dirs = dirs.iter();
            dirs.any(|(of, dir)| of == hierarchy && path.starts_with(dir))
        })
    }

    fn each(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .lines()
            .filter_map(|line| line.split_once(':')?.1.split_once(':'))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ID: &str =
        "3f2a4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778a";
    const OTHER: &str = "00112233445566778a3f2a4b5c6d7e8f90112233445566778899aabbccddeeff";

    fn lines(text: &str) -> Lines {
        Lines::new(text.replace("OTHER", OTHER).replace("ID", ID)).unwrap()
    }

    /// A container of kubelet's on a host with cgroup v1 alone, by the driver `cgroupfs` and by `systemd`.
    pub(in super::super) const V1: [&str; 2] = [
        "9:pids:/kubepods/burstable/pod1a-2b/ID\n4:memory:/kubepods/burstable/pod1a-2b/ID\n\
         1:name=systemd:/kubepods/burstable/pod1a-2b/ID\n",
        "9:pids:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a_2b.slice/cri-containerd-ID.scope\n\
         1:name=systemd:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a_2b.slice/cri-containerd-ID.scope\n",
    ];

    #[test]
    fn a_container_of_v1_is_told_from_its_siblings_with_either_driver() {
        for text in V1 {
            let own = lines(text).of_container(ID);
            assert!(!own.is_empty(), "{text}");
            let child = text.replace("ID\n", "ID/init.scope\n");
            let child = child.replace("scope\n", "scope/inner\n");
            assert!(lines(text).is_within(&own) && lines(&child).is_within(&own));
            assert!(!lines(&text.replace("ID", "OTHER")).is_within(&own));
            assert_eq!(lines(text).unified(), "/");
            assert_eq!(id_within(lines(text).shown()), Some(ID));
        }
    }

    #[test]
    fn a_directory_of_one_hierarchy_is_none_of_another() {
        let own = lines("4:memory:/docker/ID\n0::/\n").of_container(ID);
        assert_eq!(own, [("memory".into(), format!("docker/{ID}").into())]);
        assert!(lines("4:memory:/docker/ID/x\n9:pids:/\n").is_within(&own));
        assert!(!lines("9:pids:/docker/ID\n0::/docker/ID\n").is_within(&own));
    }

    #[test]
    fn what_says_most_of_a_process_is_shown() {
        for (text, shown) in [
            ("4:memory:/b\n0::/a\n", "/a"),
            ("4:memory:/b\n0::/\n", "/b"),
            ("4:memory:/\n0::/\n", "/"),
            ("1:name=systemd:/a:b\n", "/a:b"),
        ] {
            assert_eq!(lines(text).shown(), shown);
        }
        let named = lines("4:memory:/docker/ID\n0::/system.slice/docker.service\n");
        assert_eq!(named.shown(), format!("/docker/{ID}"));
        assert_eq!(Lines::new(String::new()), None);
    }
}
