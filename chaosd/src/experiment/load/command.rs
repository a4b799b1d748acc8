//! Which load tools a command names.

use super::{TOOLS, Tool};

/// What stands between the words of a shell's script.
const BETWEEN: &[char] = &[
    ' ', '\t', '\n', '\r', ';', '|', '&', '(', ')', '<', '>', '"', '\'', '`', '$', '{', '}',
];

/// The tools that are among the command's words, in order. A wrapper (`timeout 30 wrk`,
/// `taskset -c 1 /usr/bin/fio`, `python3 -m locust`, `sh -c "vegeta attack | vegeta report"`) needs
/// no grammar: a word that is a tool's name by chance yields no summary of that tool's.
pub(super) fn named(command: &[String]) -> Vec<&'static Tool> {
    let mut tools: Vec<&'static Tool> = Vec::new();
    for word in command.iter().flat_map(|word| word.split(BETWEEN)) {
        // The path of an address says nothing of the program.
        if word.contains("://") {
            continue;
        }
        let program = word.rsplit('/').next().unwrap_or(word);
        let tool = TOOLS.iter().find(|tool| tool.programs.contains(&program));
        if let Some(tool) = tool
            && !tools.iter().any(|other| other.name == tool.name)
        {
            tools.push(tool);
        }
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::named;

    fn names(command: &[&str]) -> Vec<&'static str> {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        named(&command).iter().map(|tool| tool.name).collect()
    }

    #[test]
    fn a_tool_is_found_behind_wrappers_and_in_scripts() {
        assert_eq!(names(&["wrk", "-t2", "http://shop/"]), ["wrk"]);
        assert_eq!(names(&["timeout", "30", "/usr/bin/fio", "job"]), ["fio"]);
        assert_eq!(
            names(&["env", "A=B", "taskset", "-c", "1", "hey", "http://x/"]),
            ["hey"]
        );
        assert_eq!(
            names(&["python3", "-m", "locust", "-f", "x.py"]),
            ["locust"]
        );
        assert_eq!(
            names(&[
                "sh",
                "-c",
                "echo 'GET http://x/'|vegeta attack|vegeta report"
            ]),
            ["vegeta"]
        );
        assert_eq!(
            names(&["bash", "-c", "cd /srv && exec /opt/bin/k6 run x.js"]),
            ["k6"]
        );
        assert_eq!(names(&["valkey-benchmark", "-q"]), ["redis-benchmark"]);
    }

    #[test]
    fn addresses_and_parts_of_words_name_no_tool() {
        assert!(names(&["curl", "http://shop/wrk"]).is_empty());
        assert!(names(&["./fio.sh", "heyday", "k6s"]).is_empty());
        assert!(names(&[]).is_empty());
    }
}
