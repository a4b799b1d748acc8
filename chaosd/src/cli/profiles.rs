//! `chaosd profiles`: the profiles that ship.

use clap::Args;
use serde::Serialize;

use super::{Exit, Output, failure::CliError, out, render};
use crate::profile::{self, Parameter};

#[derive(Args, Debug)]
pub(super) struct Profiles {
    /// Show this one: its parameters and its text
    name: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// A profile, for people who choose.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

impl Listed {
    fn new(name: &str, text: &str, with_text: bool) -> Self {
        Self {
            name: name.to_owned(),
            about: profile::about(text).unwrap_or_default(),
            parameters: profile::parameters(text),
            text: with_text.then(|| text.to_owned()),
        }
    }
}

impl Profiles {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        let json = self.output.is_json();
        if let Some(name) = self.name {
            let (name, text) = profile::find(&name)?;
            let listed = Listed::new(&name, &text, true);
            if json {
                out::json(&listed);
            } else {
                out::say(render::profile(&listed));
            }
            return Ok(Exit::Done);
        }
        let all: Vec<Listed> = profile::shipped()
            .iter()
            .map(|shipped| Listed::new(shipped.name, shipped.text, false))
            .collect();
        if json {
            out::json(&all);
        } else {
            out::say(render::profiles(&all));
        }
        Ok(Exit::Done)
    }
}
