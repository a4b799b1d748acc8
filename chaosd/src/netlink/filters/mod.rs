//! Programs on interfaces by clsact and `cls_bpf` (tc-bpf(8)): what kernels before 6.6 have in the
//! place of tcx, and what hangs at devices of our own.
//!
//! Unlike a tcx link, a filter outlives its maker. Ours bear a name that says whose they are, and
//! one is taken away only while it runs the program that we hung there. The clsact qdisc goes with
//! the last filter if chaosd made it; so that the last of several chaosds knows, each one's name
//! carries that on.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use rtnetlink::{
    LinkUnspec,
    packet_core::{DefaultNla, Emitable},
    packet_route::{
        RouteNetlinkMessage,
        link::LinkAttribute,
        tc::{TcAttribute, TcHandle, TcMessage},
    },
};

mod read;
mod turn;

pub use self::read::Found;
use self::turn::Turn;
use super::{
    NetlinkError,
    socket::{Request, RouteSocket},
};
use crate::undo::{Filter, Hook, Outcome};

/// Before everybody else's, so that nobody's verdict hides packets from us. At the same priority
/// the newest filter comes first (`net/sched/cls_bpf.c`, `cls_bpf_change`).
const PRIORITY: u16 = 1;
/// Where our handles begin: a number that is easy to tell in a listing.
const FIRST_HANDLE: u32 = 0xc4a0_5d00;
/// `ETH_P_ALL` (`linux/if_ether.h`), every protocol.
const EVERY_PROTOCOL: u16 = 3;
/// `linux/rtnetlink.h`: `TCA_OPTIONS`.
const OPTIONS: u16 = 2;
// linux/pkt_cls.h
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAGS_GEN: u16 = 9;
const TCA_BPF_ID: u16 = 11;
/// The program's return value is the verdict.
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
/// Not for the network card to run.
const TCA_CLS_FLAGS_SKIP_HW: u32 = 1;

/// Begins the name of every filter of chaosd's.
const LABEL: &str = "chaosd plane ";
/// Ends it, when clsact is there because of chaosd.
const CLSACT_TOO: &str = ", clsact too";

/// A program to hang at a hook.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Where.
    pub hook: Hook,
    /// Its descriptor.
    pub fd: BorrowedFd<'a>,
    /// Its id.
    pub id: u32,
}

/// What is about to be made at an interface: to be recorded, then made.
#[derive(Debug)]
pub struct Prepared<'a> {
    netns: BorrowedFd<'a>,
    index: u32,
    interface: String,
    make_clsact: bool,
    /// Its queue has no length, and is to have none.
    is_queueless: bool,
    clsact: bool,
    name: String,
    programs: &'a [Program<'a>],
    filters: Vec<Filter>,
    /// None: nobody else hangs anything there.
    turn: Option<Turn>,
}

/// Filters of a chaosd on one interface, found by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The interface.
    pub index: u32,
    /// Its name.
    pub interface: String,
    /// The number of the plane that they served.
    pub plane: u32,
    /// The process that hung them there.
    pub pid: u32,
    /// True when clsact goes with them.
    pub clsact: bool,
    /// The filters.
    pub filters: Vec<Filter>,
}

/// Looks what can hang at an interface, and chooses handles. Changes nothing; while the result
/// lives, no other chaosd changes the interface.
pub fn prepare<'a>(
    netns: BorrowedFd<'a>,
    index: u32,
    interface: &str,
    plane: u32,
    programs: &'a [Program<'a>],
) -> Result<Prepared<'a>, NetlinkError> {
    let turn = Turn::take(netns, index)?;
    let qdisc = read::qdiscs(netns)?.into_iter().find(|(i, _)| *i == index);
    let there = read::filters(netns, index)?;
    let taken = |what: String| NetlinkError::Taken {
        device: interface.to_owned(),
        what,
    };
    if let Some((_, kind)) = &qdisc
        && kind != "clsact"
    {
        return Err(taken(format!("its {kind} qdisc leaves no room for clsact")));
    }
    let foreign = |f: &&Found| f.priority == PRIORITY && !(f.kind == "bpf" && f.every_protocol);
    if let Some(filter) = there.iter().find(foreign) {
        return Err(taken(format!(
            "a {} filter holds priority {PRIORITY} of {}",
            filter.kind,
            filter.hook.name()
        )));
    }
    let inherited = there.iter().any(|f| label(&f.name).is_some_and(|l| l.2));
    let make_clsact = qdisc.is_none();
    let clsact = make_clsact || inherited;
    let link = RouteSocket::open(netns)?.link(interface)?;
    let is_queueless = link.is_some_and(|link| {
        let attributes = link.attributes.iter();
        let mut lengths = attributes.filter(|a| matches!(a, LinkAttribute::TxQueueLen(0)));
        lengths.next().is_some()
    });
    let filters = programs.iter().map(|program| {
        let taken = |handle: u32| {
            let same =
                |f: &Found| (f.hook, f.priority, f.handle) == (program.hook, PRIORITY, handle);
            there.iter().any(same)
        };
        let handle = (FIRST_HANDLE..u32::MAX).find(|h| !taken(*h));
        filter(program, handle.unwrap_or(u32::MAX))
    });
    Ok(Prepared {
        netns,
        index,
        interface: interface.to_owned(),
        make_clsact,
        is_queueless,
        clsact,
        name: name(plane, clsact),
        filters: filters.collect(),
        programs,
        turn: Some(turn),
    })
}

/// The same for a new device of our own: nothing is there to look for, and nobody to wait for.
pub fn prepare_own<'a>(
    netns: BorrowedFd<'a>,
    index: u32,
    interface: &str,
    plane: u32,
    programs: &'a [Program<'a>],
) -> Prepared<'a> {
    Prepared {
        netns,
        index,
        interface: interface.to_owned(),
        make_clsact: true,
        is_queueless: false,
        clsact: true,
        name: name(plane, true),
        filters: programs.iter().map(|p| filter(p, FIRST_HANDLE)).collect(),
        programs,
        turn: None,
    }
}

fn filter(program: &Program<'_>, handle: u32) -> Filter {
    Filter {
        hook: program.hook,
        priority: PRIORITY,
        handle,
        program: program.id,
    }
}

fn name(plane: u32, clsact: bool) -> String {
    let clsact = if clsact { CLSACT_TOO } else { "" };
    format!("{LABEL}{plane} of pid {}{clsact}", std::process::id())
}

impl Prepared<'_> {
    /// What [`remove`] has to be told.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Whether clsact is to go with the last filter.
    pub fn clsact(&self) -> bool {
        self.clsact
    }

    /// Makes it, in one datagram: whatever kills us, either all of it was sent or nothing.
    pub fn make(self) -> Result<(), NetlinkError> {
        let mut requests = Vec::new();
        if self.make_clsact {
            requests.push(Request {
                verb: "add clsact to",
                device: self.interface.clone(),
                message: RouteNetlinkMessage::NewQueueDiscipline(clsact(self.index)),
            });
            // The kernel takes it for forgotten and sets its default (`net/sched/sch_api.c`, `qdisc_create`).
            if self.is_queueless {
                let change = LinkUnspec::new_with_index(self.index).txqueuelen(0);
                requests.push(Request {
                    verb: "put back the queue length of",
                    device: self.interface.clone(),
                    message: RouteNetlinkMessage::SetLink(change.build()),
                });
            }
        }
        for (filter, program) in self.filters.iter().zip(self.programs) {
            let mut message = message(self.index, filter);
            let options = options(program.fd, &self.name);
            message.attributes.push(TcAttribute::Other(options));
            requests.push(Request {
                verb: "hang a program at",
                device: format!("{} of {}", filter.hook.name(), self.interface),
                message: RouteNetlinkMessage::NewTrafficFilter(message),
            });
        }
        let done = RouteSocket::open(self.netns)?.send_all(&requests).map(drop);
        // An undo that follows a failure waits for its turn.
        drop(self.turn);
        done
    }
}

/// True when every one of `filters` hangs there and runs its program.
pub fn all_hang(
    netns: BorrowedFd<'_>,
    index: u32,
    filters: &[Filter],
) -> Result<bool, NetlinkError> {
    let there = read::filters(netns, index)?;
    Ok(filters.iter().all(|filter| {
        there
            .iter()
            .any(|found| at_place(found, filter) && found.program == filter.program)
    }))
}

/// Takes those of `filters` away that still run their program; then, with `clsact`, the clsact
/// qdisc, unless a filter is left there. What is gone already, the interface included, is fine.
/// Needs no runtime: this is what a revert calls.
pub fn remove(
    netns: BorrowedFd<'_>,
    index: u32,
    filters: &[Filter],
    clsact: bool,
) -> Result<Outcome, NetlinkError> {
    let _turn = Turn::take(netns, index)?;
    let there = read::filters(netns, index)?;
    let mut socket = RouteSocket::open(netns)?;
    let mut removed = false;
    let mut replaced = None;
    for filter in filters {
        match there.iter().find(|found| at_place(found, filter)) {
            Some(found) if found.program == filter.program => {
                removed |= delete(
                    &mut socket,
                    Request {
                        verb: "take a filter off",
                        device: format!("{} of interface {index}", filter.hook.name()),
                        message: RouteNetlinkMessage::DelTrafficFilter(message(index, filter)),
                    },
                )?;
            }
            Some(found) => {
                let name = &found.name;
                replaced = Some(format!(
                    "the filter \"{name}\" of program {}",
                    found.program
                ));
            }
            None => {}
        }
    }
    let has_clsact = || -> Result<bool, NetlinkError> {
        let qdiscs = read::qdiscs(netns)?;
        Ok(qdiscs
            .iter()
            .any(|(i, kind)| *i == index && kind == "clsact"))
    };
    if clsact && has_clsact()? {
        let left = read::filters(netns, index)?;
        if left.is_empty() {
            removed |= delete(
                &mut socket,
                Request {
                    verb: "delete clsact of",
                    device: format!("interface {index}"),
                    message: RouteNetlinkMessage::DelQueueDiscipline(self::clsact(index)),
                },
            )?;
        } else if let Some(other) = left
            .iter()
            .find(|f| f.handle != 0 && label(&f.name).is_none())
        {
            let kind = &other.kind;
            replaced.get_or_insert(format!("clsact with a {kind} filter of somebody else's"));
        }
    }
    Ok(match replaced {
        Some(found) => Outcome::LeftAlone { found },
        None if removed => Outcome::Done,
        None => Outcome::AlreadyGone,
    })
}

/// Every filter in the namespace that bears chaosd's name, by interface and maker.
pub fn left(netns: BorrowedFd<'_>) -> Result<Vec<Left>, NetlinkError> {
    let mut all: Vec<Left> = Vec::new();
    for (index, _) in read::qdiscs(netns)? {
        for found in read::filters(netns, index)? {
            let Some((plane, pid, clsact)) = label(&found.name) else {
                continue;
            };
            let filter = Filter {
                hook: found.hook,
                priority: found.priority,
                handle: found.handle,
                program: found.program,
            };
            let same = |l: &&mut Left| (l.index, l.plane, l.pid) == (index, plane, pid);
            if let Some(left) = all.iter_mut().find(same) {
                left.clsact |= clsact;
                left.filters.push(filter);
                continue;
            }
            all.push(Left {
                index,
                interface: interface_name(netns, index),
                plane,
                pid,
                clsact,
                filters: vec![filter],
            });
        }
    }
    Ok(all)
}

fn interface_name(netns: BorrowedFd<'_>, index: u32) -> String {
    let name = super::in_netns(netns, || nix::net::if_::if_indextoname(index));
    match name {
        Ok(Ok(name)) => name.to_string_lossy().into_owned(),
        _ => format!("interface {index}"),
    }
}

/// The plane, the process, and whether clsact goes too, of a filter's name.
fn label(name: &str) -> Option<(u32, u32, bool)> {
    let (plane, rest) = name.strip_prefix(LABEL)?.split_once(" of pid ")?;
    let (pid, clsact) = match rest.strip_suffix(CLSACT_TOO) {
        Some(pid) => (pid, true),
        None => (rest, false),
    };
    Some((plane.parse().ok()?, pid.parse().ok()?, clsact))
}

fn at_place(found: &Found, filter: &Filter) -> bool {
    found.kind == "bpf"
        && (found.hook, found.priority, found.handle)
            == (filter.hook, filter.priority, filter.handle)
}

/// False: it was gone.
fn delete(socket: &mut RouteSocket, request: Request) -> Result<bool, NetlinkError> {
    match socket.send_all(&[request]) {
        Ok(_) => Ok(true),
        Err(NetlinkError::Change { source, .. }) if is_gone(&source) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The interface, the qdisc or the filter is not there (`net/sched/cls_api.c`, `tc_del_tfilter`).
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENODEV | libc::ENOENT | libc::EINVAL)
    )
}

fn parent(hook: Hook) -> TcHandle {
    TcHandle {
        major: u16::MAX,
        minor: match hook {
            Hook::Ingress => TcHandle::MIN_INGRESS,
            Hook::Egress => TcHandle::MIN_EGRESS,
        },
    }
}

fn clsact(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle {
        major: u16::MAX,
        minor: 0,
    };
    message
        .attributes
        .push(TcAttribute::Kind("clsact".to_owned()));
    message
}

/// A filter's address: interface, hook, priority, handle, kind.
fn message(index: u32, filter: &Filter) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = parent(filter.hook);
    message.header.handle = TcHandle::from(filter.handle);
    message.header.info = u32::from(filter.priority) << 16 | u32::from(EVERY_PROTOCOL.to_be());
    message.attributes.push(TcAttribute::Kind("bpf".to_owned()));
    message
}

fn options(program: BorrowedFd<'_>, name: &str) -> DefaultNla {
    let number = |kind, value: u32| DefaultNla::new(kind, value.to_ne_bytes().to_vec());
    let mut name = name.as_bytes().to_vec();
    name.push(0);
    let all = [
        number(TCA_BPF_FD, program.as_raw_fd().cast_unsigned()),
        DefaultNla::new(TCA_BPF_NAME, name),
        number(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT),
        number(TCA_BPF_FLAGS_GEN, TCA_CLS_FLAGS_SKIP_HW),
    ];
    let mut bytes = vec![0; all.as_slice().buffer_len()];
    all.as_slice().emit(&mut bytes);
    DefaultNla::new(OPTIONS, bytes)
}

#[cfg(test)]
mod tests;
