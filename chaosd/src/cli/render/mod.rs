//! Results as people read them: text only, nothing is asked or changed here.

mod doctor;
mod experiment;
mod kept;
mod number;
mod plan;
mod profiles;
mod report;
mod revert;
mod status;
mod table;

pub(super) use doctor::doctor;
pub(super) use experiment::experiment;
pub(super) use kept::{kept, list, style};
pub(super) use number::seconds;
pub(super) use plan::plans;
pub(super) use profiles::{profile, profiles};
pub(super) use report::{ended, faults, started};
pub(super) use revert::{revert, reverted};
pub(super) use status::{fresh_screen, status};
pub(super) use table::terminal_width;

pub(super) use crate::experiment::words::grouped;
