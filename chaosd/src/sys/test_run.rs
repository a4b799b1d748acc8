//! Runs a program on a packet without a wire (`BPF_PROG_TEST_RUN`), for tests and benchmarks.
//!
//! The kernel (`net/bpf/test_run.c`, `bpf_prog_test_run_skb`) builds a buffer from the bytes in the
//! network namespace of the calling thread, gives it a socket of the calling task's cgroup, and
//! reports the verdict, the bytes afterwards and the mean time of a run.
//!
//! The context that goes in cannot hold `tc_index`; [`Prelude`] sets it by a program of its own,
//! which goes on into the program under test.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// Commands of bpf(2).
mod command {
    pub(super) const MAP_CREATE: libc::c_long = 0;
    pub(super) const MAP_UPDATE_ELEM: libc::c_long = 2;
    pub(super) const PROG_LOAD: libc::c_long = 5;
    pub(super) const PROG_TEST_RUN: libc::c_long = 10;
}

const PROG_TYPE_SCHED_CLS: u32 = 3;
const MAP_TYPE_PROG_ARRAY: u32 = 3;
/// Word indices of the fields of `struct __sk_buff` (linux/bpf.h) that the kernel accepts.
mod word {
    pub(super) const MARK: usize = 2;
    pub(super) const PRIORITY: usize = 8;
    pub(super) const INGRESS_IFINDEX: usize = 9;
    pub(super) const IFINDEX: usize = 10;
    pub(super) const GSO_SEGS: usize = 41;
    pub(super) const GSO_SIZE: usize = 44;
    /// Size of the struct.
    pub(super) const COUNT: usize = 48;
}
/// Offset of `tc_index` in `struct __sk_buff`, in bytes.
const TC_INDEX: i16 = 44;
/// Room for what a program may add to a packet.
const GROWTH: usize = 256;

/// What the buffer says of itself beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkbContext {
    /// Device the packet is on; 0: loopback.
    pub ifindex: u32,
    /// Device it came in by.
    pub ingress_ifindex: u32,
    /// Wire segments; 0 for a buffer that is not a super-packet.
    pub gso_segs: u32,
    /// Payload bytes of a segment.
    pub gso_size: u32,
    /// `skb->mark`
    pub mark: u32,
    /// `skb->priority`
    pub priority: u32,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// The program's verdict.
    pub retval: i32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Mean time of a run in ns, the kernel's own loop included (some ns).
    pub duration_ns: u32,
    /// The context afterwards. The kernel writes back `mark`, `priority`, the devices and `gso_segs`.
    pub context: SkbContext,
}

/// `union bpf_attr`, the member for `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct TestAttr {
    prog_fd: RawFd,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// `union bpf_attr`, the member for `BPF_PROG_LOAD`, as far as it is needed.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
}

/// `union bpf_attr`, the member for `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
#[derive(Default)]
struct UpdateAttr {
    map_fd: RawFd,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

pub(super) fn address<T>(of: *const T) -> u64 {
    of.expose_provenance() as u64
}

fn size(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// # Safety
/// `attr` is the member of `union bpf_attr` for `command`, and every address in it is valid for
/// what the command does with it.
pub(super) unsafe fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: the caller's; the kernel reads and writes at most the size given.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(answer).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Runs a tc program `repeat` times on a packet (Ethernet header first, at least 14 bytes).
///
/// Each run sees the packet as the one before left it.
///
/// # Errors
/// `EINVAL`: the packet is too short, or the context holds what the kernel does not accept.
pub fn test_run(
    program: BorrowedFd<'_>,
    packet: &[u8],
    context: &SkbContext,
    repeat: u32,
) -> io::Result<TestRun> {
    let mut out = vec![0; packet.len() + GROWTH];
    let mut words = [0_u32; word::COUNT];
    words[word::MARK] = context.mark;
    words[word::PRIORITY] = context.priority;
    words[word::INGRESS_IFINDEX] = context.ingress_ifindex;
    words[word::IFINDEX] = context.ifindex;
    words[word::GSO_SEGS] = context.gso_segs;
    words[word::GSO_SIZE] = context.gso_size;
    let mut after = [0_u32; word::COUNT];
    let mut attr = TestAttr {
        prog_fd: program.as_raw_fd(),
        data_size_in: size(packet.len())?,
        data_size_out: size(out.len())?,
        data_in: address(packet.as_ptr()),
        data_out: address(out.as_mut_ptr()),
        repeat,
        ctx_size_in: size(size_of_val(&words))?,
        ctx_size_out: size(size_of_val(&after))?,
        ctx_in: address(words.as_ptr()),
        ctx_out: address(after.as_mut_ptr()),
        ..TestAttr::default()
    };
    // SAFETY: the addresses are of live buffers of the sizes told; the kernel writes to `out` and
    // `after` alone.
    unsafe { bpf(command::PROG_TEST_RUN, &mut attr) }?;
    out.truncate(attr.data_size_out as usize);
    Ok(TestRun {
        retval: attr.retval.cast_signed(),
        packet: out,
        duration_ns: attr.duration,
        context: SkbContext {
            ifindex: after[word::IFINDEX],
            ingress_ifindex: after[word::INGRESS_IFINDEX],
            gso_segs: after[word::GSO_SEGS],
            gso_size: after[word::GSO_SIZE],
            mark: after[word::MARK],
            priority: after[word::PRIORITY],
        },
    })
}

/// An instruction (`struct bpf_insn`): opcode, registers, offset, immediate.
const fn instruction(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    (code as u64)
        | ((dst | src << 4) as u64) << 8
        | (off.cast_unsigned() as u64) << 16
        | (imm.cast_unsigned() as u64) << 32
}

const MOV_IMM: u8 = 0xb7;
const EXIT: u8 = 0x95;
const CALL: u8 = 0x85;
const LOAD_MAP: u8 = 0x18;
const STORE_WORD: u8 = 0x63;
/// Source register of `LOAD_MAP`: the immediate is a map's descriptor.
const PSEUDO_MAP_FD: u8 = 1;
const HELPER_TAIL_CALL: i32 = 12;

/// A classifier of two instructions that lets every packet pass: the yardstick of benchmarks.
pub fn empty_classifier() -> io::Result<OwnedFd> {
    load(&[
        instruction(MOV_IMM, 0, 0, 0, -1),
        instruction(EXIT, 0, 0, 0, 0),
    ])
}

fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        prog_type: PROG_TYPE_SCHED_CLS,
        insn_cnt: size(instructions.len())?,
        insns: address(instructions.as_ptr()),
        license: address(c"GPL".as_ptr()),
        ..LoadAttr::default()
    };
    // SAFETY: the addresses are of live, read-only data; without a log nothing is written.
    let fd = unsafe { bpf(command::PROG_LOAD, &mut attr) }?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A classifier that sets `tc_index` and goes on into another one.
#[derive(Debug)]
pub struct Prelude {
    program: OwnedFd,
    _next: OwnedFd,
}

impl Prelude {
    /// Sets `tc_index`, then runs `next`; a packet on which that fails gets verdict 99.
    pub fn new(tc_index: u16, next: BorrowedFd<'_>) -> io::Result<Self> {
        // map_type, key_size, value_size, max_entries
        let mut attr = [MAP_TYPE_PROG_ARRAY, 4, 4, 1];
        // SAFETY: numbers alone.
        let fd = unsafe { bpf(command::MAP_CREATE, &mut attr) }?;
        // SAFETY: the kernel has just made it for us.
        let map = unsafe { OwnedFd::from_raw_fd(fd) };
        let program = load(&[
            instruction(MOV_IMM, 2, 0, 0, i32::from(tc_index)),
            instruction(STORE_WORD, 1, 2, TC_INDEX, 0),
            instruction(LOAD_MAP, 2, PSEUDO_MAP_FD, 0, map.as_raw_fd()),
            instruction(0, 0, 0, 0, 0),
            instruction(MOV_IMM, 3, 0, 0, 0),
            instruction(CALL, 0, 0, 0, HELPER_TAIL_CALL),
            instruction(MOV_IMM, 0, 0, 0, 99),
            instruction(EXIT, 0, 0, 0, 0),
        ])?;
        let (key, value) = (0_u32, next.as_raw_fd());
        let mut attr = UpdateAttr {
            map_fd: map.as_raw_fd(),
            key: address(&raw const key),
            value: address(&raw const value),
            ..UpdateAttr::default()
        };
        // SAFETY: key and value are four bytes each, as the map was made.
        unsafe { bpf(command::MAP_UPDATE_ELEM, &mut attr) }?;
        Ok(Self {
            program,
            _next: map,
        })
    }

    /// The program to run.
    pub fn program(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.program)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_empty_program_passes_every_packet_as_it_is() {
        let program = empty_classifier().unwrap();
        let packet: Vec<u8> = (0..64).collect();
        let context = SkbContext {
            mark: 7,
            priority: 3,
            ..SkbContext::default()
        };
        let run = test_run(program.as_fd(), &packet, &context, 10).unwrap();
        assert_eq!((run.retval, run.packet), (-1, packet));
        assert_eq!((run.context.mark, run.context.priority), (7, 3));
    }

    #[test]
    fn a_packet_shorter_than_its_ethernet_header_is_refused() {
        let program = empty_classifier().unwrap();
        let error = test_run(program.as_fd(), &[0; 13], &SkbContext::default(), 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_prelude_goes_on_into_the_program() {
        let program = empty_classifier().unwrap();
        let prelude = Prelude::new(5, program.as_fd()).unwrap();
        let run = test_run(prelude.program(), &[0; 64], &SkbContext::default(), 1).unwrap();
        assert_eq!(run.retval, -1);
    }
}
