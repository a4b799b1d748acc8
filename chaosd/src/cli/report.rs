//! `chaosd report`: what a run that is over came to.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Exit, Global, failure::CliError, out, render};
use crate::experiment::{record::Record, report, store, words};

#[derive(Args, Debug)]
pub(super) struct Report {
    /// Its id or the beginning of it, `latest`, or the path of a record
    #[arg(
        value_name = "RUN",
        default_value = "latest",
        hide_default_value = true
    )]
    run: String,
    /// The form
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
    /// List the runs that are kept
    #[arg(long, conflicts_with_all = ["surprise", "run"])]
    list: bool,
    /// Print the schema of records (`-o json`)
    #[arg(long, conflicts_with_all = ["list", "surprise", "run"])]
    schema: bool,
    /// Write down what nobody expected, into the kept run
    #[arg(long, value_name = "TEXT")]
    surprise: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A summary for the terminal
    #[value(alias = "human")]
    Text,
    /// A page for a browser
    Html,
    /// The whole record
    Json,
    /// Test results for CI
    Junit,
    /// For a ticket
    #[value(alias = "md")]
    Markdown,
}

/// A kept run, for programs that choose.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed<'r> {
    id: &'r str,
    profile: &'r str,
    started: &'r str,
    seconds: f64,
    outcome: &'static str,
    held: Option<bool>,
    score: Option<f64>,
}

impl Report {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        if self.schema {
            out::json(&report::schema());
            return Ok(Exit::Done);
        }
        if self.list {
            return self.list(global);
        }
        let mut record = self.find(global)?;
        let mut exit = Exit::Done;
        if let Some(text) = &self.surprise {
            text.trim().clone_into(&mut record.surprises);
            let kept = global.runs.store().rewrite(&record)?;
            out::tell(format_args!("written into {}", kept.path.display()));
            for problem in &kept.problems {
                out::tell(out::paint(out::BAD, problem));
                exit = Exit::Host;
            }
        }
        match self.output {
            Form::Text => out::say(render::kept(&record)),
            Form::Html => out::say(report::html(&record)),
            Form::Json => out::json(&record.analysed()),
            Form::Junit => out::say(report::junit(&record).trim_end()),
            Form::Markdown => out::say(report::markdown(&record).trim_end()),
        }
        Ok(exit)
    }

    /// The run that is meant: a kept one, or a record in a file of anybody's.
    fn find(&self, global: &Global) -> Result<Record, CliError> {
        let path = Path::new(&self.run);
        if !self.run.contains('/') && path.extension().is_none_or(|end| end != "json") {
            return Ok(global.runs.store().find(&self.run)?);
        }
        if self.surprise.is_some() {
            return Err(CliError::Usage(format!(
                "--surprise writes into a kept run, and {} is a path: name the run by its id, and its directory by --runs-dir",
                self.run
            )));
        }
        Ok(store::read(path)?)
    }

    fn list(&self, global: &Global) -> Result<Exit, CliError> {
        let kept = global.runs.store();
        let (records, problems) = kept.list()?;
        match self.output {
            Form::Json => {
                let listed: Vec<Listed<'_>> = records.iter().map(Listed::of).collect();
                out::json(&listed);
            }
            Form::Text => out::say(render::list(&records, kept.dir())),
            Form::Html | Form::Junit | Form::Markdown => {
                return Err(CliError::Usage(
                    "--list is for people or programs: leave -o out, or give it text or json"
                        .into(),
                ));
            }
        }
        for problem in &problems {
            out::error(problem);
        }
        Ok(if problems.is_empty() {
            Exit::Done
        } else {
            Exit::Host
        })
    }
}

impl<'r> Listed<'r> {
    fn of(record: &'r Record) -> Self {
        let analysis = record.analysis();
        Self {
            id: &record.id,
            profile: &record.profile,
            started: &record.started,
            seconds: record.seconds,
            outcome: words::outcome(record, &analysis).0,
            held: analysis.held,
            score: analysis.score,
        }
    }
}
