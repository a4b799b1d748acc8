//! What loading the programs costs: the verifier reads them each time that a plane is made ready.

use aya::programs::{Program, ProgramError, ProgramInfo};

use crate::bpf::object::Loaded;

/// Instructions that the verifier may follow in all programs together, each counted as often as it is:
/// 74,000 on Linux 6.18, at some 2 us.
const MOST: u64 = 130_000;

#[test]
fn the_verifier_is_soon_done_with_the_programs() {
    let loaded = Loaded::load().unwrap();
    let costs: Vec<_> = loaded
        .ebpf
        .programs()
        .map(|(name, program)| {
            let info = info(program).unwrap();
            let verified = info.verified_instruction_count();
            (
                name,
                u64::from(verified.expect("Linux 5.16 and later tell")),
            )
        })
        .collect();
    assert!(costs.len() > 9, "{costs:?}");
    let all: u64 = costs.iter().map(|(_, verified)| verified).sum();
    assert!(all < MOST, "{all} instructions: {costs:?}");
}

fn info(program: &Program) -> Result<ProgramInfo, ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.info(),
        Program::CgroupSkb(program) => program.info(),
        other => panic!("a program of type {:?}", other.prog_type()),
    }
}
