//! Which of Debian's packages hold the newest kernel of a series.

use super::series::Series;

/// The flavour without drivers for hardware: a tenth of the size, and all that a guest needs.
pub const FLAVOUR: &str = "cloud-amd64";

/// The version of the newest kernel of `series` among the names of packages, as in
/// `6.12.117+deb12-cloud-amd64`.
pub fn newest<'a>(names: impl IntoIterator<Item = &'a str>, series: Series) -> Option<&'a str> {
    names
        .into_iter()
        .filter_map(|name| name.trim().strip_prefix("linux-image-"))
        .filter(|version| is_of(version, series))
        .max_by_key(|version| numbers(version))
}

/// Whether a version is of the series, and a kernel of our flavour: not its debug symbols, and
/// neither the unsigned twin nor the package that only points at the newest one.
pub fn is_of(version: &str, series: Series) -> bool {
    let Some(middle) = version
        .strip_prefix(series.name())
        .and_then(|rest| rest.strip_suffix(FLAVOUR))
        .and_then(|rest| rest.strip_suffix('-'))
    else {
        return false;
    };
    middle.starts_with(['.', '+', '-'])
        && middle
            .replace("deb", "")
            .replace("bpo", "")
            .chars()
            .all(|c| c.is_ascii_digit() || "+.-~".contains(c))
}

/// The packages to unpack for a version, of those that exist: up to 6.12 the image alone; in later
/// kernels the image only depends on the parts.
pub fn parts(version: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    ["linux-base", "linux-binary", "linux-modules"]
        .iter()
        .map(|part| format!("{part}-{version}"))
        .filter(|name| exists(name))
        .chain([format!("linux-image-{version}")])
        .collect()
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{newest, parts};
    use crate::vm::series::Series;

    const NAMES: [&str; 9] = [
        "linux-image-6.1.0-9-cloud-amd64",
        "linux-image-6.1.0-56-cloud-amd64",
        "linux-image-6.1.0-57-cloud-amd64-unsigned",
        "linux-image-6.1.0-58-amd64",
        "linux-image-6.12.9+deb12-cloud-amd64",
        "linux-image-6.12.117+deb12-cloud-amd64",
        "linux-image-6.12.118+deb12-cloud-amd64-dbg",
        "linux-image-6.12.118+deb12-rt-cloud-amd64",
        "linux-image-7.2.12+deb13-cloud-amd64",
    ];

    #[test]
    fn the_newest_kernel_of_each_series_is_picked() {
        let picked = Series::ALL.map(|series| newest(NAMES, series));
        assert_eq!(
            picked,
            [
                Some("6.1.0-56-cloud-amd64"),
                Some("6.12.117+deb12-cloud-amd64"),
                Some("7.2.12+deb13-cloud-amd64"),
            ]
        );
    }

    #[test]
    fn a_series_that_no_mirror_carries_gives_none() {
        assert_eq!(newest(NAMES[..4].iter().copied(), Series::V7), None);
    }

    #[test]
    fn the_parts_of_a_split_kernel_are_fetched_too() {
        assert_eq!(parts("6.1.0-56", |_| false), ["linux-image-6.1.0-56"]);
        assert_eq!(
            parts("7.2", |name| name != "linux-base-7.2"),
            ["linux-binary-7.2", "linux-modules-7.2", "linux-image-7.2"]
        );
    }
}
