//! `chaosd doctor`: what this host can do, what is missing, what is left over.

use clap::Args;

use super::{Exit, Global, Output, failure::CliError, out, render};
use crate::api::examine;

#[derive(Args, Debug)]
pub(super) struct Doctor {
    #[command(flatten)]
    output: Output,
}

impl Doctor {
    #[expect(clippy::unnecessary_wraps, reason = "every verb ends in the same way")]
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        let doctor = examine(&global.state());
        if self.output.is_json() {
            out::json(&doctor);
        } else {
            out::say(render::doctor(&doctor));
        }
        Ok(if doctor.ready { Exit::Done } else { Exit::Host })
    }
}
