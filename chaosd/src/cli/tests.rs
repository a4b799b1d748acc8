//! Lines as people type them.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_line_of_the_manual_parses() {
    for line in [
        "chaosd run profiles/az-partition.yaml --set zone=10.2.0.0/16 --for 2m",
        "chaosd run profiles/slow-database.yaml -- wrk -d 60s http://shop.local/",
        "chaosd run packet-loss --set a=1 --set b=2 --seed 7 --cgroup /a.slice --detach -o json",
        "chaosd inject drop --rate 30% --port 5432 --cgroup /system.slice/shop.service --for 60s",
        "chaosd inject drop --rate 30% --detach -o json",
        "chaosd inject --detach -o json drop --rate 30%",
        "chaosd plan packet-loss --set rate=1% --netns a",
        "chaosd plan inject drop --rate 30% -o json",
        "chaosd serve --group wheel --max-for 10m --linger 5s --log-format json -vv",
        "chaosd status --watch -o json",
        "chaosd revert r-00000001 r-00000002",
        "chaosd revert --all -o json",
        "chaosd run packet-loss --as lossy --detach",
        "chaosd inject dns --name shop.local --as names --answer nxdomain",
        "chaosd inject --as lossy drop --rate 30% --detach",
        "chaosd revert lossy 812",
        "chaosd status lossy r-00000001 --expect armed -o json",
        "chaosd status lossy --expect effective",
        "chaosd doctor -o json",
        "chaosd profiles",
        "chaosd profiles packet-loss",
        "chaosd hook",
        "chaosd hook --socket /tmp/s --within 20s",
        "chaosd hook install --dir /etc/containers/oci/hooks.d --socket /tmp/s --within 5s",
        "chaosd hook uninstall",
        "chaosd report",
        "chaosd report latest -o html",
        "chaosd report x-0123abcd -o junit --runs-dir /tmp/runs",
        "chaosd report --list -o json",
        "chaosd report --schema",
        "chaosd report latest --surprise unexpected",
        "chaosd run packet-loss --keep-runs 5 --keep-runs-for 7d",
        "chaosd status --socket /tmp/s --state-dir /tmp/d --color never",
    ] {
        assert!(
            parsed(line).is_ok(),
            "{line}: {}",
            parsed(line).unwrap_err()
        );
    }
}

#[test]
fn a_mistaken_line_is_a_usage_error() {
    for line in [
        "chaosd",
        "chaosd rnu x",
        "chaosd run",
        "chaosd run x --set novalue",
        "chaosd run x --host --cgroup /a",
        "chaosd plan",
        "chaosd plan x inject drop",
        "chaosd revert",
        "chaosd run x --as r-shop",
        "chaosd run x --as 812",
        "chaosd status --expect armed",
        "chaosd status lossy --expect well",
        "chaosd status lossy --expect armed --watch",
        "chaosd revert --all r-00000001",
        "chaosd serve --linger soon",
        "chaosd hook --within 2h",
        "chaosd run x --detach -- true",
        "chaosd report x --schema",
        "chaosd report --list --surprise y",
        "chaosd report x -o pdf",
        "chaosd report --keep-runs-for soon",
    ] {
        let error = parsed(line).unwrap_err();
        assert_eq!(Exit::of_usage(&error), Exit::Usage, "{line}");
    }
}

#[test]
fn a_mistyped_verb_is_corrected() {
    let error = parsed("chaosd stauts").unwrap_err().to_string();
    assert!(error.contains("'status'"), "{error}");
}

#[test]
fn help_and_version_succeed() {
    for line in ["chaosd --help", "chaosd --version", "chaosd run --help"] {
        assert_eq!(Exit::of_usage(&parsed(line).unwrap_err()), Exit::Done);
    }
}

#[test]
fn color_is_known_before_the_rest_is_parsed() {
    let choice = |line: &str| {
        let words: Vec<_> = line.split(' ').map(std::ffi::OsString::from).collect();
        colour_in(&words)
    };
    assert_eq!(
        choice("chaosd --color never x"),
        anstream::ColorChoice::Never
    );
    assert_eq!(
        choice("chaosd x --color=always"),
        anstream::ColorChoice::Always
    );
    assert_eq!(
        choice("chaosd run x -- y --color never"),
        anstream::ColorChoice::Auto
    );
    assert_eq!(choice("chaosd --color"), anstream::ColorChoice::Auto);
}
