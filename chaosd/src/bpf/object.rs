//! The loaded programs of one plane and their maps.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    panic::resume_unwind,
    sync::{LazyLock, Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray, ProgramArray},
    programs::{CgroupSkb, Program, ProgramError, SchedClassifier},
};
use aya_log::EbpfLogger;
use chaosd_ebpf::{ANSWER, DECIDE, DNS, FAULTS, NETEM, SEND};

use crate::sys::{
    bpf as pod,
    map::{Mapped, Plain},
};

use super::{descriptors::first_to_close, fence, plane::PlaneError};

/// The object file, built by `cargo xtask build`.
static PLANE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/plane.o"));

/// One for all planes: making it reads the kernel's BTF (megabytes), which none of our programs is
/// relocated against and which it lets go of again.
static LOADER: LazyLock<Mutex<EbpfLoader<'static>>> = LazyLock::new(|| {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    Mutex::new(loader)
});

/// Everything the kernel holds for a plane.
pub(super) struct Object {
    pub ebpf: Ebpf,
    pub control: Mapped<chaosd_ebpf::Control>,
    pub runs: Mapped<chaosd_ebpf::Run>,
    pub faults: Mapped<chaosd_ebpf::Fault>,
    pub states: Mapped<chaosd_ebpf::FaultState>,
    pub protocols: Mapped<chaosd_ebpf::Bits>,
    pub flags: Mapped<chaosd_ebpf::Bits>,
    ports: MapData,
    local_ports: MapData,
    flows: MapData,
    pub peers4: LpmTrie<MapData, [u8; 4], pod::Bits>,
    pub peers6: LpmTrie<MapData, [u8; 16], pod::Bits>,
    pub delays4: LpmTrie<MapData, [u8; 8], u64>,
    pub delays6: LpmTrie<MapData, [u8; 20], u64>,
    pub cgroups: HashMap<MapData, u64, pod::Bits>,
    pub protected: HashMap<MapData, pod::FlowKey, u32>,
    pub ifaces: Mapped<chaosd_ebpf::Iface>,
    pub moved: HashMap<MapData, u32, u32>,
    pub counters: PerCpuArray<MapData, pod::Counters>,
    pub seen: PerCpuArray<MapData, u64>,
    pub detoured: PerCpuArray<MapData, u64>,
    pub held: PerCpuArray<MapData, u64>,
    pub quantiles: Array<MapData, pod::Quantiles>,
    pub netems: Array<MapData, u32>,
    pub netem_ends: HashMap<MapData, u32, u32>,
    pub dns_names: HashMap<MapData, pod::NameKey, pod::NameBits>,
    pub dns_types: HashMap<MapData, u32, pod::Bits>,
    pub dns_rules: Mapped<chaosd_ebpf::DnsRule>,
    pub dns_hits: Mapped<chaosd_ebpf::dns::DnsHit>,
    pub dns_counters: PerCpuArray<MapData, u64>,
    /// The control map's id, by which another process can fence the plane.
    pub control_id: u32,
    /// Holds the programs behind the gate in place.
    _stages: OwnedFd,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object(control map {})", self.control_id)
    }
}

/// Programs, before anything of their maps is mapped: that would count as memory of ours.
pub(super) struct Loaded {
    pub ebpf: Ebpf,
    stages: OwnedFd,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded")
    }
}

impl Loaded {
    /// Loads every program; attaches none.
    pub fn load() -> Result<Self, PlaneError> {
        let mut ebpf = LOADER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .load(PLANE)
            .map_err(|e| PlaneError::Load(Box::new(e)))?;
        load_all(&mut ebpf)?;
        let stages = stages(&mut ebpf)?;
        Ok(Self { ebpf, stages })
    }
}

impl Object {
    /// Opens the maps of loaded programs.
    pub fn open(Loaded { mut ebpf, stages }: Loaded) -> Result<Self, PlaneError> {
        let logger = EbpfLogger::init(&mut ebpf).ok();
        let (control, control_id) = {
            let data = array(&mut ebpf, "CONTROL")?;
            let id = fence::id(&data).map_err(|e| PlaneError::Map("CONTROL", e))?;
            (mapped_data(&data, "CONTROL", 1)?, id)
        };
        let faults = chaosd_ebpf::MAX_FAULTS;
        Ok(Self {
            control,
            control_id,
            runs: mapped(&mut ebpf, "RUNS", chaosd_ebpf::MAX_RUNS as usize)?,
            faults: mapped(&mut ebpf, "FAULTS", faults)?,
            states: mapped(&mut ebpf, "STATES", faults)?,
            protocols: mapped(&mut ebpf, "PROTOCOLS", 256)?,
            flags: mapped(&mut ebpf, "FLAGS", 256)?,
            ports: array(&mut ebpf, "PORTS")?,
            local_ports: array(&mut ebpf, "LOCAL_PORTS")?,
            flows: array(&mut ebpf, "FLOWS")?,
            peers4: typed(&mut ebpf, "PEERS4")?,
            peers6: typed(&mut ebpf, "PEERS6")?,
            delays4: typed(&mut ebpf, "DELAYS4")?,
            delays6: typed(&mut ebpf, "DELAYS6")?,
            cgroups: typed(&mut ebpf, "CGROUPS")?,
            protected: typed(&mut ebpf, "PROTECTED")?,
            ifaces: mapped(&mut ebpf, "IFACES", chaosd_ebpf::MAX_SLOTS as usize)?,
            moved: typed(&mut ebpf, "MOVED")?,
            counters: typed(&mut ebpf, "COUNTERS")?,
            seen: typed(&mut ebpf, "SEEN")?,
            detoured: typed(&mut ebpf, "DETOURED")?,
            held: typed(&mut ebpf, "HELD")?,
            quantiles: typed(&mut ebpf, "TABLES")?,
            netems: typed(&mut ebpf, "NETEMS")?,
            netem_ends: typed(&mut ebpf, "NETEM_ENDS")?,
            dns_names: typed(&mut ebpf, "DNS_NAMES")?,
            dns_types: typed(&mut ebpf, "DNS_TYPES")?,
            dns_rules: mapped(&mut ebpf, "DNS_RULES", faults)?,
            dns_hits: mapped(&mut ebpf, "DNS_HITS", chaosd_ebpf::dns::MAX_HITS as usize)?,
            dns_counters: typed(&mut ebpf, "DNS_COUNTERS")?,
            logger,
            _stages: stages,
            ebpf,
        })
    }

    /// The table of remote ports. Mapped while it is written: its 2 MiB would count as ours.
    pub fn ports(&self) -> Result<Mapped<chaosd_ebpf::Bits>, PlaneError> {
        mapped_data(&self.ports, "PORTS", 65536)
    }

    /// The table of local ports, likewise.
    pub fn local_ports(&self) -> Result<Mapped<chaosd_ebpf::Bits>, PlaneError> {
        mapped_data(&self.local_ports, "LOCAL_PORTS", 65536)
    }

    /// When the last packets of flows leave, likewise.
    pub fn flows(&self) -> Result<Mapped<u64>, PlaneError> {
        mapped_data(&self.flows, "FLOWS", chaosd_ebpf::FLOW_BUCKETS as usize)
    }

    /// Hands the programs' log lines to `tracing`.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

/// Hands every program to the verifier, side by side: two of them take most of the time.
fn load_all(ebpf: &mut Ebpf) -> Result<(), PlaneError> {
    let load = |program: &mut Program| match program {
        Program::SchedClassifier(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    thread::scope(|scope| {
        let loading: Vec<_> = ebpf
            .programs_mut()
            .filter_map(|(name, program)| {
                let started = thread::Builder::new().spawn_scoped(scope, move || load(program));
                Some((name.to_owned(), started.ok()?))
            })
            .collect();
        loading.into_iter().try_for_each(|(name, thread)| {
            let loaded = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            loaded.map_err(|source| refused(&name, source))
        })
    })?;
    // Those for which no thread could be started.
    let left = ebpf.programs_mut();
    let mut left = left.filter(|(_, program)| program.fd().is_err());
    left.try_for_each(|(name, program)| load(program).map_err(|source| refused(name, source)))
}

/// Puts the programs behind their gate.
fn stages(ebpf: &mut Ebpf) -> Result<OwnedFd, PlaneError> {
    const MAP: &str = "STAGES";
    let wrong = |e| PlaneError::Map(MAP, io::Error::other(e));
    let mut map = take(ebpf, MAP)?;
    let mut stages = ProgramArray::try_from(&mut map).map_err(wrong)?;
    for (stage, name) in [
        (FAULTS, "faults"),
        (DECIDE, "decide"),
        (SEND, "send"),
        (DNS, "dns"),
        (ANSWER, "answer"),
        (NETEM, "netem"),
    ] {
        let program = classifier(ebpf, name)?.fd();
        let program = program.map_err(|source| refused(name, source))?;
        stages.set(stage, program, 0).map_err(wrong)?;
    }
    let Map::ProgramArray(data) = &map else {
        return Err(PlaneError::Missing(MAP));
    };
    let fd = data.fd().as_fd();
    // Under a low limit of open files any number has to do: the links go one by one then.
    pod::renumber(fd, first_to_close())
        .or_else(|_| fd.try_clone_to_owned())
        .map_err(|e| PlaneError::Map(MAP, e))
}

pub(super) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, PlaneError> {
    ebpf.program_mut(name)
        .ok_or(PlaneError::Missing(name))?
        .try_into()
        .map_err(|source: ProgramError| refused(name, source))
}

pub(super) fn cgroup_ingress(ebpf: &mut Ebpf) -> Result<&mut CgroupSkb, PlaneError> {
    let name = "cgroup_ingress";
    ebpf.program_mut(name)
        .ok_or(PlaneError::Missing(name))?
        .try_into()
        .map_err(|source: ProgramError| refused(name, source))
}

fn refused(program: &str, source: ProgramError) -> PlaneError {
    PlaneError::Program {
        name: program.to_owned(),
        source,
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, PlaneError> {
    ebpf.take_map(name).ok_or(PlaneError::Missing(name))
}

fn array(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, PlaneError> {
    match take(ebpf, name)? {
        Map::Array(data) => Ok(data),
        _ => Err(PlaneError::Missing(name)),
    }
}

fn mapped<T: Plain>(
    ebpf: &mut Ebpf,
    name: &'static str,
    len: usize,
) -> Result<Mapped<T>, PlaneError> {
    mapped_data(&array(ebpf, name)?, name, len)
}

/// The mapping keeps the map alive; its descriptor may go.
fn mapped_data<T: Plain>(
    data: &MapData,
    name: &'static str,
    len: usize,
) -> Result<Mapped<T>, PlaneError> {
    Mapped::new(data.fd(), len).map_err(|e| PlaneError::Map(name, e))
}

fn typed<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, PlaneError>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    T::try_from(take(ebpf, name)?).map_err(|e| PlaneError::Map(name, std::io::Error::other(e)))
}
