//! The shipped profiles.

use super::table;
use crate::{
    cli::{
        out::{BOLD, DIM, paint},
        profiles::Listed,
    },
    profile::Parameter,
};

/// All of them, one a line.
pub(in crate::cli) fn profiles(all: &[Listed]) -> String {
    let mut table = table::table(&["PROFILE", "WHAT IT DOES", "TAKES"]);
    for listed in all {
        let takes: Vec<String> = listed.parameters.iter().map(set).collect();
        table.add_row([
            listed.name.as_str(),
            listed.about.as_str(),
            &takes.join(" "),
        ]);
    }
    let hint = "chaosd profiles NAME shows one; chaosd run NAME --set PARAMETER=VALUE runs it";
    format!("{}\n\n{}", table::text(&table), paint(DIM, hint))
}

/// One in full.
pub(in crate::cli) fn profile(listed: &Listed) -> String {
    let mut parts = vec![format!("{}: {}", paint(BOLD, &listed.name), listed.about)];
    if !listed.parameters.is_empty() {
        let mut table = table::table(&["PARAMETER", "DEFAULT", "WHAT IT IS"]);
        for parameter in &listed.parameters {
            let default = parameter.default.as_deref().unwrap_or("(must be set)");
            table.add_row([parameter.name.as_str(), default, parameter.about.as_str()]);
        }
        parts.push(table::text(&table));
    }
    parts.extend(
        listed
            .text
            .as_deref()
            .map(|text| text.trim_end().to_owned()),
    );
    parts.join("\n\n")
}

/// How it is set: `zone=` when it must be.
fn set(parameter: &Parameter) -> String {
    let default = parameter.default.as_deref().unwrap_or_default();
    format!("{}={default}", parameter.name)
}
