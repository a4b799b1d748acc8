//! One network namespace under fault: attach, install, arm, disarm.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd},
};

use aya::{
    maps::MapError,
    programs::{
        CgroupAttachMode, CgroupSkbAttachType, LinkOrder, ProgramError, SchedClassifier,
        TcAttachType,
        cgroup_skb::CgroupSkbLink,
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use chaosd_ebpf::{Bits, Fault, FaultState, FlowKey, HAS_L2, MAX_FAULTS, MAX_RUNS, MAX_SLOTS, Run};

use crate::{
    plan::{Cgroup, Interface, Netns},
    report::Count,
    sys::bpf as pod,
};

use super::{
    matcher::{Matcher, PeerSet},
    object::{self, Object},
    tables::Tables,
};

/// What failed on the way to the kernel.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The object was refused: too old a kernel, lockdown, no capability.
    #[error("failed to load the programs: {0}")]
    Load(#[source] Box<aya::EbpfError>),
    /// The object lacks a part.
    #[error("the object file has no {0}")]
    Missing(&'static str),
    /// A program was refused.
    #[error("failed to load program {name}: {source}")]
    Program {
        /// Which.
        name: &'static str,
        /// The verifier's answer.
        source: ProgramError,
    },
    /// A map was refused.
    #[error("failed to write map {0}: {1}")]
    Map(&'static str, #[source] io::Error),
    /// A link was refused.
    #[error("failed to attach to {interface}: {source}")]
    Attach {
        /// Interface or cgroup.
        interface: String,
        /// The kernel's answer.
        source: ProgramError,
    },
    /// The link is there and the program is not.
    #[error("attached to {interface}, but the kernel does not list the program")]
    NotAttached {
        /// Interface.
        interface: String,
    },
    /// The namespace could not be entered.
    #[error("failed to enter the network namespace: {0}")]
    Netns(#[source] io::Error),
    /// A table is full.
    #[error("a plane holds at most {max} {what} at once")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        max: usize,
    },
}

fn map_error(name: &'static str) -> impl FnOnce(MapError) -> PlaneError {
    move |e| PlaneError::Map(name, io::Error::other(e))
}

/// An interface with our programs on it.
#[derive(Debug)]
struct Attached {
    name: String,
    slot: u32,
    ethernet: bool,
    default: bool,
    loopback: bool,
    bits: [Bits; 2],
    _links: [SchedClassifierLink; 2],
}

/// Loaded programs without a plane: loading takes the verifier longer than everything else.
#[derive(Debug)]
pub struct Spare(Object);

impl Spare {
    /// Loads every program; attaches none.
    pub fn load() -> Result<Self, PlaneError> {
        Object::load().map(Self)
    }
}

/// See the module's page.
#[derive(Debug)]
pub struct Plane {
    number: u32,
    netns: Netns,
    // Declared, and so dropped, in this order: first nothing is steered any more, then the detour's
    // own program goes.
    attached: BTreeMap<u32, Attached>,
    cgroups: BTreeMap<u64, (CgroupSkbLink, u32)>,
    detour: Option<SchedClassifierLink>,
    object: Object,
    tables: Tables,
    runs: [bool; MAX_RUNS as usize],
    lease_ns: u64,
}

impl Plane {
    /// A plane that is attached nowhere. `number` tells planes of one machine apart (0 to 4095).
    pub fn open(number: u32, netns: Netns, Spare(mut object): Spare) -> Self {
        object.control.update(0, |c| c.plane = number);
        Self {
            number,
            netns,
            attached: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            detour: None,
            object,
            tables: Tables::default(),
            runs: [false; MAX_RUNS as usize],
            lease_ns: 0,
        }
    }

    /// Takes everything off: first nothing is steered any more, then the detour's program goes.
    pub fn shut(&mut self) {
        self.lease(0);
        self.object.control.update(0, |c| c.detour = 0);
        self.attached.clear();
        self.cgroups.clear();
        self.detour = None;
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The control map's id, for the journal.
    pub fn control_id(&self) -> u32 {
        self.object.control_id
    }

    /// True when packets can be sent through the detour.
    pub fn has_detour(&self) -> bool {
        self.detour.is_some()
    }

    /// Attaches to the detour's receiving end and steers to its sending end from now on.
    pub fn use_detour(&mut self, tx: u32, rx_name: &str) -> Result<(), PlaneError> {
        let link = attach(
            &mut self.object,
            &self.netns,
            "detour",
            rx_name,
            TcAttachType::Ingress,
        )?;
        self.detour = Some(link);
        self.object.control.update(0, |c| c.detour = tx);
        Ok(())
    }

    /// Puts the programs on `interface`, and the faults that want it. Idempotent.
    pub fn attach(&mut self, interface: &Interface) -> Result<(), PlaneError> {
        if let Some(a) = self.attached.get_mut(&interface.index) {
            a.name.clone_from(&interface.name);
            a.default = interface.default;
            return self.write_iface(interface.index);
        }
        let slot = (0..MAX_SLOTS)
            .find(|s| self.attached.values().all(|a| a.slot != *s))
            .ok_or(PlaneError::Full {
                what: "interfaces",
                max: MAX_SLOTS as usize,
            })?;
        self.object
            .slots
            .set(slot, interface.index, 0)
            .map_err(map_error("SLOTS"))?;
        let links = [
            attach(
                &mut self.object,
                &self.netns,
                "egress",
                &interface.name,
                TcAttachType::Egress,
            )?,
            attach(
                &mut self.object,
                &self.netns,
                "ingress",
                &interface.name,
                TcAttachType::Ingress,
            )?,
        ];
        self.attached.insert(
            interface.index,
            Attached {
                name: interface.name.clone(),
                slot,
                ethernet: interface.ethernet,
                default: interface.default,
                loopback: interface.loopback,
                bits: [Bits::NONE; 2],
                _links: links,
            },
        );
        self.write_iface(interface.index)
    }

    /// Takes the programs off an interface (which may be gone).
    pub fn detach(&mut self, index: u32) {
        if let Some(a) = self.attached.remove(&index) {
            drop(a);
            // Gone or not: nothing looks at the entry any more.
            if let Err(e) = self.object.ifaces.remove(&index) {
                tracing::debug!("interface {index} had no entry: {e}");
            }
        }
    }

    /// Interfaces that carry the programs.
    pub fn attached(&self) -> impl Iterator<Item = (u32, &str)> {
        self.attached.iter().map(|(i, a)| (*i, a.name.as_str()))
    }

    /// Puts the cgroup program on a target cgroup, once however many faults name it.
    pub fn attach_cgroup(&mut self, cgroup: &Cgroup) -> Result<(), PlaneError> {
        if let Some((_, users)) = self.cgroups.get_mut(&cgroup.id) {
            *users += 1;
            return Ok(());
        }
        let wrong = |source| PlaneError::Attach {
            interface: cgroup.path.display().to_string(),
            source,
        };
        let program = object::cgroup_ingress(&mut self.object.ebpf)?;
        let id = program
            .attach(
                cgroup.fd.as_fd(),
                CgroupSkbAttachType::Ingress,
                CgroupAttachMode::Single,
            )
            .map_err(wrong)?;
        let link = program.take_link(id).map_err(wrong)?;
        self.cgroups.insert(cgroup.id, (link, 1));
        Ok(())
    }

    /// Undoes one [`Plane::attach_cgroup`].
    pub fn detach_cgroup(&mut self, id: u64) {
        if let Some((_, users)) = self.cgroups.get_mut(&id) {
            *users -= 1;
            if *users == 0 {
                self.cgroups.remove(&id);
            }
        }
    }

    /// Reserves a run: its faults refer to it, [`Plane::arm`] arms them all.
    pub fn reserve_run(&mut self) -> Result<u32, PlaneError> {
        let run = self
            .runs
            .iter()
            .position(|used| !used)
            .ok_or(PlaneError::Full {
                what: "runs",
                max: MAX_RUNS as usize,
            })?;
        self.runs[run] = true;
        self.object.runs.set(run, Run::default());
        u32::try_from(run).map_err(|_| PlaneError::Full {
            what: "runs",
            max: MAX_RUNS as usize,
        })
    }

    /// Gives a run back, disarmed.
    pub fn release_run(&mut self, run: u32) {
        self.disarm(run);
        self.runs[run as usize] = false;
    }

    /// Writes a fault into the tables. It acts once its run is armed and [`Plane::refresh`] was called.
    pub fn install(&mut self, matcher: Matcher, fault: Fault) -> Result<u8, PlaneError> {
        let n = (0..=u8::MAX)
            .find(|n| !self.tables.matchers().contains_key(n))
            .ok_or(PlaneError::Full {
                what: "faults",
                max: MAX_FAULTS,
            })?;
        self.object.states.set(n.into(), FaultState::default());
        for direction in 0..2 {
            let none = vec![pod::Counters(chaosd_ebpf::Counters::default()); cpus()?];
            let none = aya::maps::PerCpuValues::try_from(none)
                .map_err(|e| PlaneError::Map("COUNTERS", e))?;
            self.object
                .counters
                .set(u32::from(n) * 2 + direction, none, 0)
                .map_err(map_error("COUNTERS"))?;
        }
        self.object.faults.set(n.into(), fault);
        if let Err(e) = self.tables.add(&mut self.object, n, matcher) {
            self.object.faults.set(n.into(), Fault::default());
            self.tables.remove(&mut self.object, n).ok();
            return Err(e);
        }
        Ok(n)
    }

    /// Takes a fault out. Its run should be disarmed.
    pub fn uninstall(&mut self, n: u8) -> Result<(), PlaneError> {
        let result = self.tables.remove(&mut self.object, n);
        let refreshed = self.refresh();
        self.object.faults.set(n.into(), Fault::default());
        result.and(refreshed)
    }

    /// Replaces a fault's peers.
    pub fn change_peers(&mut self, n: u8, peers: PeerSet) -> Result<(), PlaneError> {
        self.tables.change_peers(&mut self.object, n, Some(peers))
    }

    /// Tells every interface which faults it carries.
    pub fn refresh(&mut self) -> Result<(), PlaneError> {
        let indices: Vec<u32> = self.attached.keys().copied().collect();
        indices.into_iter().try_for_each(|i| self.write_iface(i))
    }

    fn write_iface(&mut self, index: u32) -> Result<(), PlaneError> {
        let Some(a) = self.attached.get_mut(&index) else {
            return Ok(());
        };
        let mut bits = [Bits::NONE; 2];
        for (&n, m) in self.tables.matchers() {
            let wanted = m.wants(&a.name, a.default, a.loopback);
            for (direction, bits) in bits.iter_mut().enumerate() {
                if wanted && m.directions[direction] {
                    bits.set(n);
                }
            }
        }
        let flags = if a.ethernet { HAS_L2 } else { 0 };
        a.bits = bits;
        self.object
            .ifaces
            .insert(
                index,
                pod::Iface(chaosd_ebpf::Iface {
                    slot: a.slot,
                    flags,
                    bits,
                }),
                0,
            )
            .map_err(map_error("IFACES"))
    }

    /// Connections that faults leave alone. Replaces the list.
    pub fn protect(&mut self, flows: &[FlowKey]) -> Result<(), PlaneError> {
        let old: Vec<_> = self
            .object
            .protected
            .keys()
            .filter_map(Result::ok)
            .collect();
        for flow in flows {
            self.object
                .protected
                .insert(pod::FlowKey(*flow), 1, 0)
                .map_err(map_error("PROTECTED"))?;
        }
        for key in old.iter().filter(|k| !flows.contains(&k.0)) {
            self.object
                .protected
                .remove(key)
                .map_err(map_error("PROTECTED"))?;
        }
        Ok(())
    }

    /// Arms a run by one store. `until_ns`: the run's end; times are `CLOCK_MONOTONIC`.
    pub fn arm(&mut self, run: u32, start_ns: u64, until_ns: u64) {
        let i = run as usize;
        self.object.runs.set_field(i, |r| &mut r.start_ns, start_ns);
        self.object
            .runs
            .set_field(i, |r| &mut r.deadline_ns, until_ns);
    }

    /// Disarms a run by one store.
    pub fn disarm(&mut self, run: u32) {
        self.object
            .runs
            .set_field(run as usize, |r| &mut r.deadline_ns, 0);
    }

    /// Vouches for the plane until then; 0 lets every packet pass.
    pub fn lease(&mut self, until_ns: u64) {
        if self.lease_ns != until_ns {
            self.lease_ns = until_ns;
            self.object
                .control
                .set_field(0, |c| &mut c.lease_ns, until_ns);
        }
    }

    /// True when the watchdog took the plane away.
    pub fn is_fenced(&self) -> bool {
        self.object.control.get(0).fence != 0
    }

    /// True when a fault in the tables belongs on this interface.
    pub fn wants(&self, i: &Interface) -> bool {
        self.tables
            .matchers()
            .values()
            .any(|m| m.wants(&i.name, i.default, i.loopback))
    }

    /// True when this fault has an interface to act on.
    pub fn covers(&self, m: &Matcher) -> bool {
        self.attached
            .values()
            .any(|a| m.wants(&a.name, a.default, a.loopback))
    }

    /// True when no fault stands in its tables.
    pub fn is_idle(&self) -> bool {
        self.tables.matchers().is_empty()
    }

    /// Matched and affected of a fault so far, per direction (egress, ingress); `seen` is 0.
    pub fn counts(&self, n: u8) -> Result<[Count; 2], PlaneError> {
        let mut counts = [Count::default(); 2];
        for (direction, count) in (0..).zip(&mut counts) {
            let values = self
                .object
                .counters
                .get(&(u32::from(n) * 2 + direction), 0)
                .map_err(map_error("COUNTERS"))?;
            for v in values.iter() {
                count.matched += v.0.matched;
                count.affected += v.0.affected;
            }
        }
        Ok(counts)
    }

    /// Packets that passed the interfaces of fault `n` while the plane was armed (egress, ingress).
    pub fn seen(&self, n: u8) -> Result<[u64; 2], PlaneError> {
        let mut seen = [0; 2];
        for a in self.attached.values() {
            for (direction, seen) in (0..).zip(&mut seen) {
                if a.bits[direction as usize].has(n) {
                    let values = self
                        .object
                        .seen
                        .get(&(a.slot << 1 | direction), 0)
                        .map_err(map_error("SEEN"))?;
                    *seen += values.iter().sum::<u64>();
                }
            }
        }
        Ok(seen)
    }

    /// Segments that went into the detour and came out of it.
    pub fn detoured(&self) -> Result<(u64, u64), PlaneError> {
        let sum = |i: u32| {
            let values = self
                .object
                .detoured
                .get(&i, 0)
                .map_err(map_error("DETOURED"))?;
            Ok::<u64, PlaneError>(values.iter().sum())
        };
        Ok((sum(0)?, sum(1)?))
    }

    /// Hands the programs' log lines to `tracing`.
    pub fn flush_log(&mut self) {
        self.object.flush_log();
    }

    /// The loaded classifier `egress`, `ingress` or `detour`, for [`crate::sys::test_run`].
    pub fn program(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let program: &SchedClassifier = self.object.ebpf.program(name)?.try_into().ok()?;
        Some(program.fd().ok()?.as_fd())
    }
}

fn cpus() -> Result<usize, PlaneError> {
    aya::util::nr_cpus().map_err(|(file, e)| {
        tracing::debug!("failed to read {file}");
        PlaneError::Map("COUNTERS", e)
    })
}

/// Attaches first in the tcx order, so that nobody's verdict hides packets from us, and reads back
/// that the kernel lists the program.
fn attach(
    object: &mut Object,
    netns: &Netns,
    program: &'static str,
    interface: &str,
    hook: TcAttachType,
) -> Result<SchedClassifierLink, PlaneError> {
    let wrong = |source| PlaneError::Attach {
        interface: interface.into(),
        source,
    };
    let classifier = object::classifier(&mut object.ebpf, program)?;
    crate::netlink::in_netns(netns.fd.as_fd(), || {
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = classifier
            .attach_with_options(interface, hook, order)
            .map_err(wrong)?;
        let link = classifier.take_link(id).map_err(wrong)?;
        let own = classifier.info().map_err(wrong)?.id();
        let (_, programs) = SchedClassifier::query_tcx(interface, hook).map_err(wrong)?;
        if programs.iter().any(|p| p.id() == own) {
            Ok(link)
        } else {
            Err(PlaneError::NotAttached {
                interface: interface.into(),
            })
        }
    })
    .map_err(PlaneError::Netns)?
}
