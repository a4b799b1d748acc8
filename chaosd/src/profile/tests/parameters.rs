//! Parameters: declared, given, used.

use super::{check, one, problems, read};
use crate::profile::{Overrides, load};

const OPEN: &str = "version: 1\nparameters:\n  rate: {default: 1%}\n  zone:\n    about: where\nfaults:\n- drop: ${rate}\n  match: {peers: [\"${zone}\", \"10.${zone}.0.1\"]}\n";

#[test]
fn parameters_are_filled_in_and_checked() {
    check(
        OPEN,
        &["t.yaml:4:3: the parameter `zone` has no value: give --set zone=VALUE"],
    );
    let set = |pairs: &[(&str, &str)]| Overrides {
        set: pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        ..Overrides::default()
    };
    let profile = load("t.yaml", OPEN, &set(&[("zone", "7"), ("rate", "9%")])).unwrap_err();
    assert_eq!(
        profile.to_string(),
        "--set zone: `7` is not an address, a CIDR or a host name"
    );
    assert_eq!(
        problems(OPEN, &set(&[("zoen", "1"), ("rate", "9"), ("rate", "8")])),
        "--set zoen: unknown parameter `zoen` (there is rate, zone); did you mean `zone`?\n--set rate: given twice\n--set rate: `8` is not a share without a percent sign; did you mean `8%`?\nt.yaml:4:3: the parameter `zone` has no value: give --set zone=VALUE"
    );
    check(
        "version: 1\nparameters:\n  a: {about: x, default: 1}\n  1b: {}\n  c: 5\nfaults:\n- drop: ${b}\n- drop: 1%\n  name: \"${\"\n",
        &[
            "t.yaml:3:3: the parameter `a` is used nowhere: write ${a} where its value belongs",
            "t.yaml:4:3: `1b` is not a name of letters, digits, - and _",
            "t.yaml:5:3: the parameter `c` is used nowhere: write ${c} where its value belongs",
            "t.yaml:5:6: expected a parameter as a map of about, default, found a single value",
            "t.yaml:7:9: unknown parameter `b` (there is a, c)",
            "t.yaml:9:9: `${` has ${ without a }",
        ],
    );
    let literal = read("version: 1\nabout: costs $${5}\nfaults: [{drop: 1%}]\n");
    assert_eq!(literal.about, "costs ${5}");
    check(
        &one("drop: {rate: ${r}}"),
        &[
            "t.yaml:3:17: not YAML: while parsing a flow mapping, did not find expected ',' or '}': put quotes around \"${...}\" inside [ ] and { }",
        ],
    );
}
