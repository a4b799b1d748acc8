//! Control files with a line for each device (Documentation/admin-guide/cgroup-v2.rst, "nested
//! keyed"; cgroup-v1/blkio-controller.rst).
//!
//! A device without a limit has no line.

/// How `io.max` says that there is no limit.
pub(crate) const NO_LIMIT: &str = "max";

/// The rest of a device's line: `8:0 1048576` -> `1048576`.
pub(crate) fn value<'a>(text: &'a str, device: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .find_map(|(key, rest)| (key == device).then_some(rest.trim()))
}

/// A field of a device's line: `8:0 rbps=max wbps=5`, `wbps` -> `5`.
pub(crate) fn field<'a>(text: &'a str, device: &str, name: &str) -> Option<&'a str> {
    value(text, device)?
        .split_whitespace()
        .filter_map(|field| field.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// A line to write.
pub(crate) fn of<'a>(device: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut line = device.to_owned();
    for (name, value) in fields {
        line.push(' ');
        line.push_str(name);
        line.push('=');
        line.push_str(value);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const IO_MAX: &str = "8:0 rbps=max wbps=1048576 riops=max wiops=5\n8:16 rbps=7\n";

    #[test]
    fn a_field_is_found_in_its_device_s_line_alone() {
        assert_eq!(field(IO_MAX, "8:0", "wbps"), Some("1048576"));
        assert_eq!(field(IO_MAX, "8:16", "rbps"), Some("7"));
        assert_eq!(field(IO_MAX, "8:16", "wbps"), None);
        assert_eq!(field(IO_MAX, "8:1", "rbps"), None);
        assert_eq!(value("254:0 900\n7:0 1048576\n", "7:0"), Some("1048576"));
    }

    #[test]
    fn a_line_is_written_as_the_kernel_reads_it() {
        assert_eq!(
            of("8:0", [("rbps", "2"), ("wiops", "max")]),
            "8:0 rbps=2 wiops=max"
        );
    }
}
