//! What a burner is when it has been started, and what it cannot be.

use std::os::fd::AsFd;

use nix::sys::signal::{Signal, kill};

use super::*;
use crate::{cgroup::tests::Scratch, netlink::tests::skipped};

fn field(pid: u32, name: &str) -> String {
    let status = proc(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

#[test]
fn it_bears_its_own_name_and_dies_first_when_memory_is_short() {
    let burner = start(&cpu(0.1), &[]).unwrap();
    assert_eq!(proc(burner.pid(), "comm"), format!("{COMM}\n"));
    assert_eq!(proc(burner.pid(), "oom_score_adj"), "1000\n");
}

#[test]
fn it_holds_nothing_of_its_parents() {
    let _ours = fs::File::open("/proc/self/status").unwrap();
    let burner = start(&cpu(0.1), &[]).unwrap();
    let dir = format!("/proc/{}/fd", burner.pid());
    let open: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|file| file != Path::new("/dev/null"))
        .collect();
    let [socket] = open.try_into().unwrap();
    assert!(socket.to_str().unwrap().starts_with("socket:"));
}

#[test]
fn it_has_a_session_of_its_own_and_is_deaf_to_the_terminal() {
    let mut burner = start(&cpu(0.1), &[]).unwrap();
    let session = nix::unistd::getsid(Some(Pid::from_raw(burner.pid().try_into().unwrap())));
    assert_eq!(session.unwrap().as_raw().unsigned_abs(), burner.pid());
    for signal in [
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGTERM,
        Signal::SIGTSTP,
    ] {
        kill(Pid::from_raw(burner.pid().try_into().unwrap()), signal).unwrap();
    }
    vouch_until(&mut burner, 1.0, |b| !b.progress().cpu_used.is_zero());
}

#[test]
fn it_is_bound_to_its_cpu_with_its_nice_value() {
    let work = Work::Cpu {
        cpu: a_cpu(),
        slice: SLICE,
        load: 0.1,
        nice: 7,
        insist: false,
    };
    let burner = start(&work, &[]).unwrap();
    assert_eq!(
        field(burner.pid(), "Cpus_allowed_list"),
        a_cpu().to_string()
    );
    // The 19th field (proc_pid_stat(5)); the name holds no space.
    let stat = proc(burner.pid(), "stat");
    assert_eq!(stat.split(' ').nth(18), Some("7"));
}

#[test]
fn a_real_time_policy_of_its_parent_is_not_its_own() {
    let fifo = ["--fifo", "1"];
    let tried = Command::new("chrt").args(fifo).arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        return skipped("no chrt, or no real-time policy is granted here");
    }
    let binary = env::current_exe().unwrap();
    let role = this_binary("burner");
    let mut command = Command::new("chrt");
    command
        .args(fifo)
        .arg(binary)
        .args(role.get_args())
        .env(ROLE, "burner");
    let burner = Burner::start_as(command, &cpu(0.1), &[]).unwrap();
    // The 41st field (proc_pid_stat(5)) of the thread that burns: the last one, in a test.
    let tasks = fs::read_dir(format!("/proc/{}/task", burner.pid())).unwrap();
    let last = tasks.map(|task| task.unwrap().path()).max().unwrap();
    let stat = fs::read_to_string(last.join("stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    assert_eq!(fields.split(' ').nth(38), Some("0"), "{stat}");
}

#[test]
fn it_burns_in_the_cgroup_that_it_was_to_enter() {
    let scratch = Scratch::new("burn");
    let file = scratch.0.join("cgroup.procs");
    let burner = start(&cpu(0.1), std::slice::from_ref(&file)).unwrap();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!("{}\n", burner.pid())
    );
    drop(burner);
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

#[test]
fn a_cgroup_that_is_not_there_is_named_and_leaves_no_burner() {
    let missing = PathBuf::from("/sys/fs/cgroup/no-such-cgroup/cgroup.procs");
    let error = start(&cpu(0.1), std::slice::from_ref(&missing)).unwrap_err();
    assert!(matches!(&error, BurnError::Enter { path, .. } if *path == missing));
    assert!(error.to_string().contains("no-such-cgroup"), "{error}");
}

#[test]
fn a_cpu_that_is_not_there_is_named() {
    for cpu in [1023, u32::MAX] {
        let work = Work::Cpu {
            cpu,
            slice: SLICE,
            load: 0.1,
            nice: 0,
            insist: false,
        };
        let error = start(&work, &[]).unwrap_err().to_string();
        assert!(error.ends_with(&format!("CPU {cpu}")), "{error}");
    }
}

#[test]
fn what_no_burner_can_do_starts_none() {
    let error = start(&cpu(1.5), &[]).unwrap_err();
    assert!(matches!(error, BurnError::Invalid(_)), "{error}");
}

#[test]
fn a_program_that_is_no_burner_is_found_out() {
    let error = Burner::start_by(Path::new("/bin/true"), &cpu(0.1), &[]).unwrap_err();
    assert!(matches!(error, BurnError::Gone), "{error}");
    let error = Burner::start_by(Path::new("/no/such/program"), &cpu(0.1), &[]).unwrap_err();
    assert!(matches!(error, BurnError::Start(_)), "{error}");
}

#[test]
fn it_outlives_the_thread_that_asked_for_it() {
    let ask = || start(&cpu(0.1), &[]).unwrap();
    let mut burner = std::thread::spawn(ask).join().unwrap();
    vouch_until(&mut burner, 1.0, |b| !b.progress().cpu_used.is_zero());
}

#[test]
fn its_pidfd_is_that_very_process() {
    let burner = start(&cpu(0.1), &[]).unwrap();
    crate::sys::process::pidfd_send_signal(burner.pidfd().as_fd(), Signal::SIGKILL).unwrap();
    let begun = Instant::now();
    while burner.vouch(1.0).is_ok() {
        assert!(begun.elapsed() < LONG, "nobody noticed");
        sleep(Duration::from_millis(5));
    }
    assert!(matches!(burner.vouch(1.0), Err(BurnError::Gone)));
}
